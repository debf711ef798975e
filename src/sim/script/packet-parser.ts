// Packets: `S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,nop,nop>`, `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`, `udp (100)`.

import type { IcmpSpec, IpSpec, OptionSpec, PacketSpec, TcpSpec } from './ast.ts';
import { Unsupported } from './ast.ts';
import { icmpCode, icmpType } from './icmp-names.ts';
import type { Scanner } from './scanner.ts';

const FLAG_BITS: Record<string, number> = {
  F: 0x01,
  S: 0x02,
  R: 0x04,
  P: 0x08,
  '.': 0x10,
  U: 0x20,
  E: 0x40,
  W: 0x80,
  A: 0x100,
};

/** A packet, the direction having been read. */
export function packet(s: Scanner): PacketSpec {
  const outer = s.take(/(ipv4|ipv6|gre|mpls|sctp|udplite|ipip|icmp6|psp)\b/iy);
  if (outer !== null) throw new Unsupported(`${outer[1]} packets (line ${s.line})`);
  let ip: IpSpec = { ecn: null, tos: null, ttl: null };
  let quoted: IcmpSpec['quoted'] | null = null;
  while (s.peek(/[([]/y)) {
    if (s.peek(/\[\s*\d+\s*:/y)) quoted = quotation(s);
    else ip = ipInfo(s);
  }
  if (s.take(/icmp\b/y) !== null) return icmp(s, ip, quoted);
  if (s.take(/udp\b/y) !== null) {
    const [srcPort, dstPort] = ports(s);
    s.expect('(', 'in front of the length of a datagram');
    const length = s.integer('the length of a datagram');
    s.expect(')', 'after the length of a datagram');
    return { protocol: 'udp', ip, srcPort, dstPort, length };
  }
  return tcp(s, ip);
}

function ports(s: Scanner): [number, number] {
  const found = s.take(/(\d+)\s*>\s*(\d+)/y);
  return found === null ? [0, 0] : [Number(found[1]), Number(found[2])];
}

const ECN_NAMES: Record<string, number | 'ect01'> = { noecn: 0, ect1: 1, ect0: 2, ce: 3, ect01: 'ect01' };

/** `[ect0]`, `(tos 0x10)`, `(ttl 3)`, and several of them separated by commas. */
function ipInfo(s: Scanner): IpSpec {
  const close = s.accept('[') ? ']' : ')';
  if (close === ')') s.expect('(', 'in front of IP information');
  let ecn: IpSpec['ecn'] = null;
  let tos: number | null = null;
  let ttl: number | null = null;
  do {
    const word = s.word('IP information');
    if (word === 'tos') tos = s.integer('a TOS');
    else if (word === 'ttl') ttl = s.integer('a TTL');
    else if (word === 'flowlabel') throw new Unsupported('IPv6 flow labels');
    else if (Object.hasOwn(ECN_NAMES, word)) ecn = ECN_NAMES[word];
    else s.fail(`'${word}' is no IP information`);
  } while (s.accept(','));
  s.expect(close, 'after IP information');
  return { ecn, tos, ttl };
}

/** `[1:1461(1460)]` or `[udp (100)]`: what an ICMP message quotes. */
function quotation(s: Scanner): IcmpSpec['quoted'] {
  s.expect('[', 'in front of what is quoted');
  if (s.take(/udp\b/iy) !== null) {
    s.expect('(', 'in front of the length of the datagram');
    const length = s.integer('the length of the datagram');
    s.expect(')', 'after it');
    s.expect(']', 'after what is quoted');
    return { protocol: 'udp', length };
  }
  if (s.take(/raw\b/iy) !== null) throw new Unsupported('raw sockets');
  const { seq, length } = sequence(s);
  s.expect(']', 'after what is quoted');
  return { protocol: 'tcp', seq, length };
}

function icmp(s: Scanner, ip: IpSpec, before: IcmpSpec['quoted'] | null): IcmpSpec {
  const typeName = s.word('an ICMP type');
  const type = icmpType(typeName);
  if (type < 0) throw new Unsupported(`ICMP type ${typeName} (line ${s.line})`);
  let code = 0;
  let mtu = 0;
  let id = 0;
  let quoted = before;
  for (;;) {
    if (s.take(/mtu\b/y) !== null) mtu = s.integer('an MTU');
    else if (s.take(/id\b/y) !== null) id = s.integer('an id');
    else if (s.peek(/\[/y)) quoted = quotation(s);
    else {
      const word = s.take(/[a-z][a-z_0-9]*(?![\w(])/y);
      if (word === null) break;
      code = icmpCode(type, word[0]);
      if (code < 0) throw new Unsupported(`ICMP code ${word[0]} (line ${s.line})`);
    }
  }
  return { protocol: 'icmp', ip, type, code, mtu, id, quoted: quoted ?? { protocol: 'tcp', seq: 0, length: 0 } };
}

function sequence(s: Scanner): { seq: number; length: number } {
  const seq = s.integer('a sequence number');
  s.expect(':', 'after the first sequence number');
  const end = s.integer('the sequence number of the end');
  const length = payloadLength(s);
  if ((seq + length) % 0x100000000 !== end % 0x100000000)
    s.fail(`${seq}:${end}(${length}): the numbers do not add up; ${seq} + ${length} is ${seq + length}`);
  return { seq, length };
}

function payloadLength(s: Scanner): number {
  s.expect('(', 'in front of the payload length');
  const length = s.integer('the payload length');
  s.expect(')', 'after the payload length');
  return length;
}

function tcp(s: Scanner, ip: IpSpec): TcpSpec {
  const [srcPort, dstPort] = ports(s);
  const found = s.take(/-(?=\s)|[FSRPUEWA.]+\d?|\d(?=\s+\d+:)/y);
  if (found === null) s.fail("expected TCP flags such as 'S', '.', 'P.' or 'F.'");
  let flags = 0;
  for (const letter of found[0]) {
    if (letter === '-') continue;
    // AccECN: a digit is the value of the ACE field, which is AE, CWR and ECE.
    if (letter >= '0' && letter <= '7') flags |= aceBits(Number(letter));
    else if (Object.hasOwn(FLAG_BITS, letter)) flags |= FLAG_BITS[letter];
    else s.fail(`'${letter}' is no TCP flag`);
  }
  const { seq, length } = s.accept('...') ? { seq: null, length: payloadLength(s) } : sequence(s);
  const ack = s.take(/ack\b/y) === null ? 0 : s.integer('an acknowledgment number');
  const window = s.take(/win\b/y) === null ? -1 : s.integer('a window');
  const urgent = s.take(/urg\b/y) === null ? 0 : s.integer('an urgent pointer');
  const options = tcpOptions(s);
  if (s.peek(/\{/y)) throw new Unsupported(`mutated packets (line ${s.line})`);
  return { protocol: 'tcp', ip, srcPort, dstPort, flags, seq, length, ack, window, urgent, options };
}

const aceBits = (ace: number): number => ((ace & 4) << 6) | ((ace & 2) << 6) | ((ace & 1) << 6);

function tcpOptions(s: Scanner): OptionSpec[] | null {
  // A '<' on the same line is an option list; on the next it is a packet without a time.
  if (s.takeHere(/[ \t]*</y) === null) return [];
  if (s.accept('...')) {
    s.expect('>', "after '<...'");
    return null;
  }
  const options: OptionSpec[] = [];
  if (s.accept('>')) return options;
  do options.push(tcpOption(s));
  while (s.accept(','));
  s.expect('>', 'after TCP options');
  return options;
}

function tcpOption(s: Scanner): OptionSpec {
  const name = s.word('a TCP option');
  switch (name) {
    case 'nop':
      return { kind: 'nop' };
    case 'eol':
      return { kind: 'eol' };
    case 'mss':
      return { kind: 'mss', value: s.integer('an MSS') };
    case 'wscale':
      return { kind: 'wscale', value: s.integer('a window scale') };
    case 'sackOK':
      return { kind: 'sackOK' };
    case 'sack': {
      const blocks: [number, number][] = [];
      do {
        const left = s.integer('the left edge of a SACK block');
        s.expect(':', 'inside a SACK block');
        blocks.push([left, s.integer('the right edge of a SACK block')]);
      } while (s.peek(/\d/y));
      return { kind: 'sack', blocks };
    }
    case 'TS': {
      s.expect('val', 'after TS');
      const val = s.integer('a timestamp');
      s.expect('ecr', 'after the timestamp');
      return { kind: 'TS', val, ecr: s.integer('a timestamp echo') };
    }
    case 'FO':
    case 'FOEXP':
      return { kind: name, cookie: s.take(/[0-9a-fA-F]+/y)?.[0] ?? '' };
    default:
      throw new Unsupported(`TCP option ${name} (line ${s.line})`);
  }
}
