// IPv4 header — RFC 791 §3.1, with the DSCP of RFC 2474 and the ECN bits of RFC 3168. Options are in ipv4-options.ts.
//
// Received bytes must pass `check` once; after that every accessor is in bounds.
//
//    0 version 4 | IHL 4    1 DSCP 6 | ECN 2    2 total length    4 identification    6 flags 3 | fragment offset 13
//    8 TTL    9 protocol    10 header checksum    12 source    16 destination    20 options

import type { Ipv4 } from './address.ts';
import * as sum16 from './checksum.ts';

export const MIN_HEADER = 20;
export const MAX_HEADER = 60;
export const MAX_PACKET = 65535;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_IGMP = 2;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Bits of the 16-bit field at 6, in front of the fragment offset. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;

export const ECN_MASK = 3;
export const ECN_CE = 3; // RFC 3168 §5: congestion experienced

export const version = (dv: DataView, off: number): number => dv.getUint8(off) >> 4;
export const headerLength = (dv: DataView, off: number): number => (dv.getUint8(off) & 0x0f) << 2;
export const tos = (dv: DataView, off: number): number => dv.getUint8(off + 1);
export const dscp = (dv: DataView, off: number): number => dv.getUint8(off + 1) >> 2;
export const ecn = (dv: DataView, off: number): number => dv.getUint8(off + 1) & ECN_MASK;
export const totalLength = (dv: DataView, off: number): number => dv.getUint16(off + 2);
export const id = (dv: DataView, off: number): number => dv.getUint16(off + 4);
/** The whole 16-bit field: reserved bit, DONT_FRAGMENT, MORE_FRAGMENTS, offset in units of eight bytes. */
export const fragment = (dv: DataView, off: number): number => dv.getUint16(off + 6);
export const dontFragment = (dv: DataView, off: number): boolean => (dv.getUint8(off + 6) & 0x40) !== 0;
export const moreFragments = (dv: DataView, off: number): boolean => (dv.getUint8(off + 6) & 0x20) !== 0;
/** In bytes. */
export const fragmentOffset = (dv: DataView, off: number): number => (dv.getUint16(off + 6) & 0x1fff) << 3;
/** True for any piece of a fragmented packet, the first and the last included. */
export const isFragment = (dv: DataView, off: number): boolean => (dv.getUint16(off + 6) & 0x3fff) !== 0;
export const ttl = (dv: DataView, off: number): number => dv.getUint8(off + 8);
export const protocol = (dv: DataView, off: number): number => dv.getUint8(off + 9);
export const checksum = (dv: DataView, off: number): number => dv.getUint16(off + 10);
export const src = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 12);
export const dst = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 16);

/**
 * Length of the header at `off`, or 0 if [off, end) cannot hold the packet it describes: version, IHL and total length as
 * RFC 1812 §5.2.2 tests them. The checksum is tested by `checksumIsValid`.
 */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < MIN_HEADER || version(dv, off) !== 4) return 0;
  const length = headerLength(dv, off);
  const total = totalLength(dv, off);
  return length >= MIN_HEADER && total >= length && off + total <= end ? length : 0;
}

/** RFC 1122 §3.2.1.2 */
export const checksumIsValid = (dv: DataView, off: number): boolean => sum16.verify(dv, off, headerLength(dv, off));

/** Write a header of `length` bytes (options excluded), checksum left zero. `fragment` is the 16-bit field of flags and offset. */
export function set(
  dv: DataView,
  off: number,
  length: number,
  tos: number,
  totalLength: number,
  id: number,
  fragment: number,
  ttl: number,
  protocol: number,
  src: Ipv4,
  dst: Ipv4,
): void {
  dv.setUint8(off, 0x40 | (length >> 2));
  dv.setUint8(off + 1, tos);
  dv.setUint16(off + 2, totalLength);
  dv.setUint16(off + 4, id);
  dv.setUint16(off + 6, fragment);
  dv.setUint8(off + 8, ttl);
  dv.setUint8(off + 9, protocol);
  dv.setUint16(off + 10, 0);
  dv.setInt32(off + 12, src);
  dv.setInt32(off + 16, dst);
}

export const setTotalLength = (dv: DataView, off: number, length: number): void => dv.setUint16(off + 2, length);
export const setId = (dv: DataView, off: number, id: number): void => dv.setUint16(off + 4, id);
export const setFragment = (dv: DataView, off: number, fragment: number): void => dv.setUint16(off + 6, fragment);
export const setTtl = (dv: DataView, off: number, ttl: number): void => dv.setUint8(off + 8, ttl);
export const setChecksum = (dv: DataView, off: number, checksum: number): void => dv.setUint16(off + 10, checksum);

/** Compute and store the header checksum, options included: they must be in place. */
export function updateChecksum(dv: DataView, off: number): void {
  dv.setUint16(off + 10, 0);
  dv.setUint16(off + 10, sum16.finish(sum16.sum(dv, off, headerLength(dv, off))));
}
