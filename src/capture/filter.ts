// Capture filters: the part of tcpdump's language (pcap-filter) that people type.
//
//   expression   and, or, not, !, &&, ||, parentheses
//   primitive    [ip|ip6|arp|tcp|udp|icmp|ether …] [src|dst|src or dst|src and dst] [host|net|port|portrange] VALUE
//                ip ip6 arp tcp udp icmp icmp6 igmp | broadcast multicast | vlan [N] | less N | greater N | inbound outbound
//                tcp[tcpflags] & (tcp-syn|tcp-fin) != 0     bytes of a header, compared
//
// Compiled once to a predicate over dissected frames. As in tcpdump, `and` and `or` have equal precedence and associate to the left, and a
// bare value takes the qualifiers before it: "port 80 or 443". A mistake is told at once, with the word that was not understood.

import { parseMac } from '../wire/address.ts';
import type { Cidr } from '../wire/cidr.ts';
import { contains, parseCidr } from '../wire/cidr.ts';
import { FilterError, isComparison, parseComparison, Tokens } from './filter-arithmetic.ts';
import { addressesOf, isGroup, macsOf, portsOf, type Subject } from './filter-subject.ts';
import { layerOf } from './layers.ts';

export { FilterError } from './filter-arithmetic.ts';
export type { Subject } from './filter-subject.ts';

export type Filter = (subject: Subject) => boolean;

export interface FilterOptions {
  /** The number of a port called by name ("pop3"), or null. */
  readonly portOf?: (name: string) => number | null;
}

type Side = 'src' | 'dst' | 'either' | 'both';
type Kind = 'host' | 'net' | 'port' | 'portrange';

const PROTOCOLS = ['ip', 'ip6', 'arp', 'tcp', 'udp', 'icmp', 'icmp6', 'igmp', 'ether'] as const;
type Protocol = (typeof PROTOCOLS)[number];
const isProtocol = (word: string): word is Protocol => PROTOCOLS.some((name) => name === word);
const KINDS = ['host', 'net', 'port', 'portrange'] as const;
const isKind = (word: string): word is Kind => KINDS.some((name) => name === word);

interface Qualifiers {
  protocol: Protocol | null;
  side: Side;
  kind: Kind;
}

const everything: Filter = () => true;

/**
 * Compile `text`; an empty filter passes everything.
 * @throws FilterError that names what was not understood
 */
export function compileFilter(text: string, options: FilterOptions = {}): Filter {
  const parser = new Parser(new Tokens(text), options);
  return parser.parse();
}

class Parser {
  readonly #tokens: Tokens;
  readonly #options: FilterOptions;
  #last: Qualifiers | null = null;

  constructor(tokens: Tokens, options: FilterOptions) {
    this.#tokens = tokens;
    this.#options = options;
  }

  parse(): Filter {
    if (this.#tokens.peek() === null) return everything;
    const filter = this.#expression();
    const rest = this.#tokens.peek();
    if (rest !== null) throw new FilterError(`"${rest}" is one word too many: join conditions by and / or`);
    return filter;
  }

  #expression(): Filter {
    let left = this.#term();
    for (;;) {
      if (this.#tokens.accept('and', '&&')) {
        const [a, b] = [left, this.#term()];
        left = (subject) => a(subject) && b(subject);
      } else if (this.#tokens.accept('or', '||')) {
        const [a, b] = [left, this.#term()];
        left = (subject) => a(subject) || b(subject);
      } else {
        return left;
      }
    }
  }

  #term(): Filter {
    const tokens = this.#tokens;
    if (tokens.accept('not', '!')) {
      const filter = this.#term();
      return (subject) => !filter(subject);
    }
    if (isComparison(tokens)) return parseComparison(tokens);
    if (tokens.accept('(')) {
      const filter = this.#expression();
      if (!tokens.accept(')')) throw new FilterError('a "(" is not closed');
      return filter;
    }
    return this.#primitive();
  }

  #primitive(): Filter {
    const tokens = this.#tokens;
    const word = tokens.next('a condition such as "tcp port 110"');
    switch (word) {
      case 'broadcast':
        return ({ layers }) => macsOf(layers)?.dst === 'ff:ff:ff:ff:ff:ff';
      case 'multicast':
        return ({ layers }) => isGroup(layers);
      case 'inbound':
        return ({ frame }) => frame.direction === 'in';
      case 'outbound':
        return ({ frame }) => frame.direction === 'out';
      case 'less':
        return this.#length((length, limit) => length <= limit);
      case 'greater':
        return this.#length((length, limit) => length >= limit);
      case 'vlan':
        return this.#vlan();
      default:
        return this.#qualified(word);
    }
  }

  #length(compare: (length: number, limit: number) => boolean): Filter {
    const limit = number(this.#tokens.next('a length'), 'length', 0xffffffff);
    return ({ frame }) => compare(frame.wireLength, limit);
  }

  #vlan(): Filter {
    const word = this.#tokens.peek();
    if (word === null || !/^\d+$/.test(word)) return ({ layers }) => layerOf(layers, 'vlan') !== undefined;
    const id = number(this.#tokens.next('a VLAN'), 'VLAN', 4095);
    return ({ layers }) => layerOf(layers, 'vlan')?.id === id;
  }

  /** [protocol] [side] [kind] value. */
  #qualified(first: string): Filter {
    const tokens = this.#tokens;
    let word: string | null = first;
    let protocol: Protocol | null = null;
    let side: Side | null = null;
    let kind: Kind | null = null;
    if (isProtocol(word)) {
      protocol = word;
      word = this.#continues() ? tokens.next('a value') : null;
      if (word === null) {
        this.#last = null;
        if (protocol === 'ether') throw new FilterError('"ether" wants an address: ether host 02:00:00:00:00:01');
        return hasLayer(protocol);
      }
    }
    if (word === 'src' || word === 'dst') {
      side = this.#side(word);
      word = tokens.next(`what ${word} is to be`);
    }
    if (isKind(word)) {
      kind = word;
      word = tokens.next(`the ${kind}`);
    }
    let qualifiers: Qualifiers;
    if (protocol === null && side === null && kind === null) {
      if (this.#last === null && !looksLikeAddress(word)) throw new FilterError(`"${word}" is not a condition`);
      // pcap-filter: "not host vs and ace" means "not host vs and host ace".
      qualifiers = this.#last ?? { protocol: null, side: 'either', kind: 'host' };
    } else {
      qualifiers = { protocol, side: side ?? 'either', kind: kind ?? (word.includes('/') ? 'net' : 'host') };
    }
    this.#last = qualifiers;
    return this.#match(qualifiers, word);
  }

  /** True when what follows a protocol name belongs to it. */
  #continues(): boolean {
    const word = this.#tokens.peek();
    return word !== null && (word === 'src' || word === 'dst' || isKind(word) || looksLikeAddress(word));
  }

  #side(word: 'src' | 'dst'): Side {
    const other = word === 'src' ? 'dst' : 'src';
    if (this.#tokens.acceptRun('or', other)) return 'either';
    if (this.#tokens.acceptRun('and', other)) return 'both';
    return word;
  }

  #match({ protocol, side, kind }: Qualifiers, value: string): Filter {
    const gate = protocol === null || protocol === 'ether' ? everything : hasLayer(protocol);
    if (protocol === 'ether') return ethernetHost(side, value);
    switch (kind) {
      case 'port':
      case 'portrange': {
        const [low, high] = this.#ports(kind, value);
        const inside = (port: number): boolean => port >= low && port <= high;
        return (subject) => {
          const ports = gate(subject) ? portsOf(subject.layers) : null;
          return ports !== null && onSide(side, inside(ports.src), inside(ports.dst));
        };
      }
      case 'net':
      case 'host': {
        const matches = kind === 'host' ? hostMatcher(value) : netMatcher(value);
        return (subject) => {
          const addresses = gate(subject) ? addressesOf(subject.layers) : null;
          return addresses !== null && onSide(side, matches(addresses.src), matches(addresses.dst));
        };
      }
    }
  }

  #ports(kind: 'port' | 'portrange', value: string): [number, number] {
    if (kind === 'portrange') {
      const [low, high, ...rest] = value.split('-');
      if (high === undefined || rest.length > 0)
        throw new FilterError(`"${value}" is not a range of ports such as 20-25`);
      return [number(low, 'port', 65535), number(high, 'port', 65535)];
    }
    const named = /^\d+$/.test(value) ? null : (this.#options.portOf?.(value) ?? null);
    const port = named ?? number(value, 'port', 65535);
    return [port, port];
  }
}

function onSide(side: Side, src: boolean, dst: boolean): boolean {
  switch (side) {
    case 'src':
      return src;
    case 'dst':
      return dst;
    case 'either':
      return src || dst;
    case 'both':
      return src && dst;
  }
}

function number(text: string, what: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max) throw new FilterError(`"${text}" is not a ${what} from 0 to ${max}`);
  return value;
}

const looksLikeAddress = (word: string): boolean =>
  /^\d+(\.\d+){1,3}(\/.+)?$/.test(word) || /^[0-9a-f]*:[0-9a-f:.]+$/i.test(word);

function hasLayer(protocol: Exclude<Protocol, 'ether'>): Filter {
  const name = protocol === 'ip' ? 'ipv4' : protocol === 'ip6' ? 'ipv6' : protocol;
  return ({ layers }) => layerOf(layers, name) !== undefined;
}

function ethernetHost(side: Side, value: string): Filter {
  const mac = parseMac(value);
  if (mac === null) throw new FilterError(`"${value}" is not a hardware address such as 02:00:00:00:00:01`);
  const wanted = value.toLowerCase().replaceAll('-', ':');
  return ({ layers }) => {
    const macs = macsOf(layers);
    return macs !== null && onSide(side, macs.src === wanted, macs.dst === wanted);
  };
}

function hostMatcher(value: string): (address: string) => boolean {
  if (value.includes(':')) {
    const wanted = value.toLowerCase();
    return (address) => address === wanted;
  }
  if (value.includes('/')) throw new FilterError(`"${value}" is a network: say net ${value}`);
  const host = parseCidr(`${value}/32`);
  if (host === null) throw new FilterError(`"${value}" is not an address`);
  return (address) => address === value;
}

function netMatcher(value: string): (address: string) => boolean {
  const net = parseNet(value);
  return (address) => {
    const other = parseCidr(address, 32);
    return other !== null && contains(net, other.address);
  };
}

/** As pcap-filter has it, "net 10.9" is 10.9.0.0/16. */
function parseNet(value: string): Cidr {
  const [address, mask] = value.split('/');
  const octets = address.split('.');
  const whole = [...octets, '0', '0', '0'].slice(0, 4).join('.');
  const net = octets.length > 4 ? null : parseCidr(`${whole}/${mask ?? 8 * octets.length}`);
  if (net === null) throw new FilterError(`"${value}" is not a network such as 10.9.0.0/24`);
  return net;
}
