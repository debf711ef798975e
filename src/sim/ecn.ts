// The two ECN bits of an IPv4 packet in a frame — RFC 3168 §5 — as routers see and set them.

import * as checksum from '../wire/checksum.ts';
import { HEADER, TYPE_IPV4 } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

/** A view of `frame`. */
export const viewOf = (frame: Uint8Array): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

/** True for an untagged frame with a well-formed IPv4 header. */
export const holdsIpv4 = (dv: DataView): boolean =>
  dv.byteLength >= HEADER + ipv4.MIN_HEADER &&
  dv.getUint16(12) === TYPE_IPV4 &&
  ipv4.check(dv, HEADER, dv.byteLength) > 0;

/** Change the TOS octet, and the header checksum with it. */
export function setTos(dv: DataView, tos: number): void {
  const before = dv.getUint16(HEADER);
  const after = (before & 0xff00) | tos;
  dv.setUint16(HEADER, after);
  dv.setUint16(HEADER + 10, checksum.update16(ipv4.checksum(dv, HEADER), before, after));
}

/** Mark congestion. False when the packet is of no ECN-capable transport. */
export function markCe(frame: Uint8Array): boolean {
  const dv = viewOf(frame);
  if (!holdsIpv4(dv) || ipv4.ecn(dv, HEADER) === 0) return false;
  setTos(dv, ipv4.tos(dv, HEADER) | ipv4.ECN_CE);
  return true;
}
