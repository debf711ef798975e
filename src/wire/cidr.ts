// IPv4 networks: an address and a prefix length — RFC 4632 §3.1, classes RFC 791 §3.2, special blocks RFC 6890 §2.2.2.
//
// Invariant: a `Cidr` keeps the host bits it was written with (10.9.0.2/24 is a host *and* its network); `networkOf` drops them.

import type { Ipv4 } from './address.ts';
import { formatIpv4, maskOf, parseIpv4 } from './address.ts';

export interface Cidr {
  readonly address: Ipv4;
  /** 0 … 32 */
  readonly prefix: number;
}

/**
 * Parse an address with a mask in any notation: `/24`, `/255.255.255.0`, `/0.0.0.255` (wildcard), `/0xffffff00`, or the mask behind
 * white space. Without a mask the prefix is `defaultPrefix`; null when there is none either, or when `text` is anything else.
 */
export function parseCidr(text: string, defaultPrefix = -1): Cidr | null {
  const match = /^\s*([^\s/]+)(?:\s*\/\s*|\s+|$)([^\s/]*)\s*$/.exec(text);
  if (match === null) return null;
  const address = parseAddress(match[1]);
  const missing = match[2] === '' && !text.includes('/');
  const prefix = missing ? defaultPrefix : parsePrefix(match[2]);
  return address === null || prefix === null || prefix < 0 ? null : { address, prefix };
}

/** Dotted quad or 0x and eight hexadecimal digits. */
export function parseAddress(text: string): Ipv4 | null {
  return /^0x[0-9a-f]{8}$/i.test(text) ? Number.parseInt(text, 16) | 0 : parseIpv4(text);
}

/** The prefix length of a mask written as `24`, as netmask or wildcard in dotted quad or hexadecimal; null when it is none. */
export function parsePrefix(text: string): number | null {
  if (/^\d{1,2}$/.test(text)) return Number(text) <= 32 ? Number(text) : null;
  const mask = parseAddress(text);
  return mask === null ? null : prefixOf(mask);
}

/** Prefix length of a netmask or, where it begins with a zero bit, a wildcard; null when its bits are not contiguous. */
export function prefixOf(mask: Ipv4): number | null {
  const prefix = mask < 0 ? Math.clz32(~mask) : mask === 0 ? 0 : Math.clz32(mask);
  return mask === maskOf(prefix) || mask === ~maskOf(prefix) ? prefix : null;
}

export const formatCidr = (cidr: Cidr): string => `${formatIpv4(cidr.address)}/${cidr.prefix}`;
export const networkOf = (cidr: Cidr): Ipv4 => cidr.address & maskOf(cidr.prefix);
/** Last address of the block: the directed broadcast address where the block has one. */
export const lastOf = (cidr: Cidr): Ipv4 => cidr.address | ~maskOf(cidr.prefix);
/** Directed broadcast; null for /31 (RFC 3021 §2.2) and /32, which have none. */
export const broadcastOf = (cidr: Cidr): Ipv4 | null => (cidr.prefix >= 31 ? null : lastOf(cidr));
export const contains = (cidr: Cidr, address: Ipv4): boolean => ((address ^ cidr.address) & maskOf(cidr.prefix)) === 0;
/** True when one block contains the other. */
export const overlaps = (a: Cidr, b: Cidr): boolean =>
  contains({ address: a.address, prefix: Math.min(a.prefix, b.prefix) }, b.address);
/** Both addresses of a /31 and the one of a /32 are hosts (RFC 3021 §2.1). */
export const hostMinOf = (cidr: Cidr): Ipv4 => networkOf(cidr) + (cidr.prefix >= 31 ? 0 : 1);
export const hostMaxOf = (cidr: Cidr): Ipv4 => (lastOf(cidr) - (cidr.prefix >= 31 ? 0 : 1)) | 0;
export const hostsOf = (cidr: Cidr): number => {
  const size = 2 ** (32 - cidr.prefix);
  return cidr.prefix >= 31 ? size : size - 2;
};

export type AddressClass = 'A' | 'B' | 'C' | 'D' | 'E';

/** RFC 791 §3.2, RFC 1112 §4. */
export function classOf(address: Ipv4): AddressClass {
  const leadingOnes = Math.clz32(~address);
  return leadingOnes === 0 ? 'A' : leadingOnes === 1 ? 'B' : leadingOnes === 2 ? 'C' : leadingOnes === 3 ? 'D' : 'E';
}

/** Prefix length that a class implied before CIDR; null for D and E, which have no network part. */
export const classPrefix = (name: AddressClass): number | null =>
  name === 'A' ? 8 : name === 'B' ? 16 : name === 'C' ? 24 : null;

const SPECIAL: readonly (readonly [block: string, name: string])[] = [
  ['255.255.255.255/32', 'limited broadcast, RFC 919'],
  ['0.0.0.0/8', 'this network, RFC 1122'],
  ['10.0.0.0/8', 'private, RFC 1918'],
  ['100.64.0.0/10', 'shared address space, RFC 6598'],
  ['127.0.0.0/8', 'loopback, RFC 1122'],
  ['169.254.0.0/16', 'link-local, RFC 3927'],
  ['172.16.0.0/12', 'private, RFC 1918'],
  ['192.0.0.0/24', 'protocol assignments, RFC 6890'],
  ['192.0.2.0/24', 'documentation, RFC 5737'],
  ['192.168.0.0/16', 'private, RFC 1918'],
  ['198.18.0.0/15', 'benchmarking, RFC 2544'],
  ['198.51.100.0/24', 'documentation, RFC 5737'],
  ['203.0.113.0/24', 'documentation, RFC 5737'],
  ['224.0.0.0/24', 'multicast on the local network, RFC 5771'],
  ['232.0.0.0/8', 'source-specific multicast, RFC 4607'],
  ['239.0.0.0/8', 'administratively scoped multicast, RFC 2365'],
  ['224.0.0.0/4', 'multicast, RFC 1112'],
  ['240.0.0.0/4', 'reserved, RFC 1112'],
];

const BLOCKS: readonly (readonly [Cidr, string])[] = SPECIAL.map(([block, name]) => {
  const cidr = parseCidr(block);
  if (cidr === null) throw new Error(`special address block ${block} does not parse`);
  return [cidr, name];
});

/** What the whole of a network is set aside for, or null for ordinary addresses. */
export function specialUse(cidr: Cidr): string | null {
  for (const [block, name] of BLOCKS) {
    if (block.prefix <= cidr.prefix && contains(block, cidr.address)) return name;
  }
  return null;
}

/** The fewest blocks that cover exactly the addresses from `first` to `last`, in order. */
export function blocksOfRange(first: Ipv4, last: Ipv4): Cidr[] {
  const blocks: Cidr[] = [];
  let at = first >>> 0;
  const end = (last >>> 0) + 1;
  while (at < end) {
    // As large as the alignment of `at` and the addresses left allow.
    const aligned = at === 0 ? 32 : 31 - Math.clz32(at & -at);
    const size = Math.min(aligned, Math.floor(Math.log2(end - at)));
    blocks.push({ address: at | 0, prefix: 32 - size });
    at += 2 ** size;
  }
  return blocks;
}

export interface Split {
  /** One block per wanted number of hosts, in the order asked for. */
  readonly subnets: readonly Cidr[];
  /** What is left of the network. */
  readonly unused: readonly Cidr[];
}

/** Divide a network into subnets for the given numbers of hosts, largest first so that every block is aligned; null when they do not fit. */
export function split(cidr: Cidr, hosts: readonly number[]): Split | null {
  const end = (lastOf(cidr) >>> 0) + 1;
  let at = networkOf(cidr) >>> 0;
  const subnets: Cidr[] = new Array(hosts.length);
  const order = hosts.map((_, i) => i).sort((a, b) => hosts[b] - hosts[a] || a - b);
  for (const i of order) {
    const bits = hosts[i] <= 1 ? 2 : Math.ceil(Math.log2(hosts[i] + 2));
    if (at + 2 ** bits > end) return null;
    subnets[i] = { address: at | 0, prefix: 32 - bits };
    at += 2 ** bits;
  }
  return { subnets, unused: at < end ? blocksOfRange(at | 0, (end - 1) | 0) : [] };
}
