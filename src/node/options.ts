// What `createStack` takes, and what it makes of it. Everything is checked before anything is opened.

import { isIPv4 } from 'node:net';
import type { Duplex } from 'node:stream';
import type { DnsOptions } from '../dns/options.ts';
import { checkDnsOptions } from '../dns/options.ts';
import type { Clock } from '../driver/clock.ts';
import type { Link } from '../link/link.ts';
import type { Tap, TapOptions } from '../link/tap.ts';
import type { IcmpOptions } from '../net/icmp.ts';
import type { ReassemblyOptions } from '../net/reassembly.ts';
import type { TcpOptions } from '../tcp/options.ts';
import type { UdpOptions } from '../udp/udp.ts';
import type { Ipv4, Mac } from '../wire/address.ts';
import { formatIpv4, maskOf, parseIpv4, parseMac } from '../wire/address.ts';
import type { Cidr } from '../wire/cidr.ts';
import { parseCidr } from '../wire/cidr.ts';
import type { Entropy } from '../world.ts';
import type { Lookup } from './context.ts';
import { invalidArgType, invalidArgValue } from './errors.ts';

/** One network interface of the stack. */
export interface InterfaceOptions {
  /** A TAP by name (made when it does not exist), by what to make it with, or open already. */
  tap?: string | Tap | TapOptions;
  /** Any other link, or a Duplex of Ethernet frames. */
  link?: Link | Duplex;
  /** Own address and prefix, like "10.9.0.2/24". */
  address?: string | readonly string[];
  /** Address and prefix of the host's end of the TAP, like "10.9.0.1/24". Without it the host's end stays as it is. */
  host?: string;
  /** Own hardware address; random when left out. */
  mac?: string;
  /** Largest IP packet; the link's when left out. */
  mtu?: number;
  /** Name of the interface; the TAP's, or eth0, eth1 … */
  name?: string;
  /** 802.1Q VLAN, 1 … 4094. */
  vlan?: number;
  /** Whether to make sure that nobody else has the address (RFC 5227): 'probe' takes 6 s first; 'announce' is the default. */
  acd?: 'probe' | 'announce' | 'off';
}

export interface RouteOptions {
  /** Destination network, like "10.0.0.0/8". */
  to: string;
  /** Gateway. */
  via: string;
  metric?: number;
}

export interface StackOptions extends InterfaceOptions {
  /** Several interfaces, instead of the one described by `tap` or `link` and what goes with it. */
  interfaces?: readonly InterfaceOptions[];
  /** Next hop for everything that is not on a link. */
  gateway?: string;
  routes?: readonly RouteOptions[];
  hostname?: string;
  /** Names and their addresses, known without asking anybody. */
  hosts?: Readonly<Record<string, string | readonly string[]>>;
  /** Name servers to ask for all other names, over this stack; without them the host system is asked. */
  dns?: DnsOptions;
  /** Resolver for names in place of `dns`, in the shape of dns.lookup. */
  lookup?: Lookup;
  /** Most bytes for all buffers, default 512 MB; what is not used is not allocated. */
  memory?: number;
  tcp?: TcpOptions;
  udp?: UdpOptions;
  icmp?: IcmpOptions;
  reassembly?: ReassemblyOptions;
  acceptSourceRoute?: boolean;
  /** Another time and another randomness than the system's: simulations share a virtual clock. */
  world?: { clock?: Clock; entropy?: Entropy };
}

export interface CheckedInterface {
  readonly given: InterfaceOptions;
  readonly addresses: readonly Cidr[];
  readonly mac: Mac | undefined;
}

export interface CheckedRoute {
  readonly destination: Ipv4;
  readonly prefix: number;
  readonly gateway: Ipv4;
  readonly metric: number;
}

export interface CheckedOptions {
  readonly interfaces: readonly CheckedInterface[];
  readonly routes: readonly CheckedRoute[];
}

const INTERFACE_KEYS = ['tap', 'link', 'address', 'host', 'mac', 'mtu', 'name', 'vlan', 'acd'] as const;
const STACK_KEYS = new Set<string>([
  ...INTERFACE_KEYS,
  ...['interfaces', 'gateway', 'routes', 'hostname', 'hosts', 'lookup', 'memory', 'tcp', 'udp', 'icmp', 'reassembly'],
  ...['acceptSourceRoute', 'dns', 'world'],
]);

/** @throws TypeError (ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE) that says which option is wrong, and how */
export function checkOptions(options: StackOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) throw invalidArgType('options', 'Object', options);
  checkKeys(options, STACK_KEYS, 'options');
  const flat = INTERFACE_KEYS.filter((key) => options[key] !== undefined);
  if (options.interfaces !== undefined) {
    if (!Array.isArray(options.interfaces)) throw invalidArgType('options.interfaces', 'Array', options.interfaces);
    if (flat.length > 0)
      throw invalidArgValue(
        `options.${flat[0]}`,
        options[flat[0]],
        'belongs into options.interfaces when that is given',
      );
  }
  const given: readonly InterfaceOptions[] = options.interfaces ?? (flat.length > 0 ? [options] : []);
  const interfaces = given.map((one, i) =>
    checkInterface(one, options.interfaces === undefined ? 'options' : `options.interfaces[${i}]`),
  );
  const routes = (options.routes ?? []).map((route, i) => checkRoute(route, `options.routes[${i}]`));
  if (options.gateway !== undefined) {
    const gateway = checkAddress(options.gateway, 'options.gateway');
    routes.push({ destination: 0, prefix: 0, gateway, metric: 0 });
  }
  for (const { gateway, destination, prefix } of routes) {
    if (onLink(interfaces, gateway)) continue;
    const to = prefix === 0 ? 'options.gateway' : `options.routes: ${formatIpv4(destination)}/${prefix}`;
    throw invalidArgValue(to, formatIpv4(gateway), 'must be a gateway in one of the networks of the stack');
  }
  if (options.lookup !== undefined && typeof options.lookup !== 'function')
    throw invalidArgType('options.lookup', 'Function', options.lookup);
  checkDnsOptions(options.dns, 'options.dns');
  for (const [name, value] of Object.entries(options.hosts ?? {})) {
    for (const address of typeof value === 'string' ? [value] : value) checkAddress(address, `options.hosts.${name}`);
  }
  return { interfaces, routes };
}

function checkInterface(given: InterfaceOptions, at: string): CheckedInterface {
  if (typeof given !== 'object' || given === null) throw invalidArgType(at, 'Object', given);
  if (at !== 'options') checkKeys(given, new Set(INTERFACE_KEYS), at);
  if ((given.tap === undefined) === (given.link === undefined))
    throw invalidArgValue(at, given, 'must say either what TAP or what link to use: `tap` or `link`');
  if (given.host !== undefined && given.tap === undefined)
    throw invalidArgValue(`${at}.host`, given.host, 'is the address of the host end of a TAP, and there is none');
  const list = given.address === undefined ? [] : typeof given.address === 'string' ? [given.address] : given.address;
  const addresses = list.map((text, i) =>
    checkCidr(text, typeof given.address === 'string' ? `${at}.address` : `${at}.address[${i}]`),
  );
  const mac = given.mac === undefined ? undefined : parseMac(given.mac);
  if (mac === null) throw invalidArgValue(`${at}.mac`, given.mac, 'must look like 02:00:5e:10:00:01');
  if (given.mtu !== undefined && !(Number.isInteger(given.mtu) && given.mtu >= 68 && given.mtu <= 65535))
    throw invalidArgValue(`${at}.mtu`, given.mtu, 'must be a whole number of bytes from 68 to 65535');
  return { given, addresses, mac };
}

function checkCidr(text: unknown, at: string): Cidr {
  const cidr = typeof text === 'string' ? parseCidr(text) : null;
  if (cidr === null) throw invalidArgValue(at, text, 'must be an address with its prefix, like 10.9.0.2/24');
  return cidr;
}

function checkRoute(route: RouteOptions, at: string): CheckedRoute {
  if (typeof route !== 'object' || route === null) throw invalidArgType(at, 'Object', route);
  const to = checkCidr(route.to, `${at}.to`);
  if ((to.address & ~maskOf(to.prefix)) !== 0)
    throw invalidArgValue(
      `${at}.to`,
      route.to,
      `has bits beyond its prefix; the network is ${formatIpv4(to.address & maskOf(to.prefix))}/${to.prefix}`,
    );
  const metric = route.metric ?? 0;
  if (!Number.isInteger(metric) || metric < 0)
    throw invalidArgValue(`${at}.metric`, metric, 'must be a whole number, 0 or more');
  return { destination: to.address, prefix: to.prefix, gateway: checkAddress(route.via, `${at}.via`), metric };
}

function checkAddress(text: unknown, at: string): Ipv4 {
  const address = typeof text === 'string' && isIPv4(text) ? parseIpv4(text) : null;
  if (address === null) throw invalidArgValue(at, text, 'must be an IPv4 address, like 10.9.0.1');
  return address;
}

const onLink = (interfaces: readonly CheckedInterface[], address: Ipv4): boolean =>
  interfaces.some(({ addresses }) =>
    addresses.some(
      (own) => own.prefix < 32 && ((own.address ^ address) & maskOf(own.prefix)) === 0 && own.address !== address,
    ),
  );

function checkKeys(options: object, known: ReadonlySet<string>, at: string): void {
  for (const key of Object.keys(options)) {
    if (!known.has(key))
      throw invalidArgValue(`${at}.${key}`, Reflect.get(options, key), 'is not an option of a stack');
  }
}
