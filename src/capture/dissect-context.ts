// What the parts of the dissector share: where they are in a frame, and verdicts on checksums.

import type { Address } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as ipv4 from '../wire/ipv4.ts';
import type { Checksum, Layer } from './layers.ts';
import { hintOf } from './payload.ts';

export interface Context {
  readonly dv: DataView;
  readonly bytes: Uint8Array;
  /** Bytes at and after this offset were not captured, or are no part of the packet. */
  readonly end: number;
  /** The packet goes on where the captured bytes end. */
  readonly truncated: boolean;
  /** The packet is a quotation inside an ICMP error: it may end anywhere, and its checksums prove nothing. */
  readonly quoted: boolean;
  readonly layers: Layer[];
}

/** What IP said about the packet. */
export interface Network {
  readonly v4: boolean;
  readonly src: Address;
  readonly dst: Address;
  readonly fragmentOffset: number;
  readonly isFragment: boolean;
}

/** How a packet inside a packet is dissected. */
export type DissectIp = (context: Context, off: number) => void;

/** What has no room for its header: cut off, or wrong. */
export function short(context: Context, off: number, what: string): void {
  const layer = context.truncated || context.quoted ? 'truncated' : 'malformed';
  context.layers.push({ layer, off, length: Math.max(0, context.end - off), what });
}

/** The payload [off, end), if there is any. */
export function data(
  context: Context,
  off: number,
  end: number,
  srcPort: number,
  dstPort: number,
  isTcp: boolean,
): void {
  if (end <= off) return;
  const hint = context.quoted ? null : hintOf(context.bytes.subarray(off, end), srcPort, dstPort, isTcp);
  context.layers.push({ layer: 'data', off, length: end - off, hint });
}

export const unchecked = (value: number): Checksum => ({ value, verdict: 'unchecked' });

/** The verdict on the checksum field at `field` over [off, end) and a pseudo-header's sum. */
export function checked(context: Context, off: number, field: number, network: Network, pseudo: number): Checksum {
  const { dv, end } = context;
  const value = dv.getUint16(field);
  if (context.truncated || context.quoted || network.isFragment) return unchecked(value);
  const total = checksum.sum(dv, off, end - off, pseudo);
  if (total === 0xffff) return { value, verdict: 'good' };
  if (pseudo !== 0 && value === pseudo) return { value, verdict: 'partial' };
  // Take the field's own value out of the sum: what is left is what it should complement.
  return { value, verdict: 'bad', expected: checksum.finish(total + (~value & 0xffff)) };
}

/** The verdict on an IPv4 header's own checksum. */
export function checkedHeader(dv: DataView, off: number, length: number): Checksum {
  const value = ipv4.checksum(dv, off);
  const total = checksum.sum(dv, off, length);
  if (total === 0xffff) return { value, verdict: 'good' };
  return { value, verdict: 'bad', expected: checksum.finish(total + (~value & 0xffff)) };
}
