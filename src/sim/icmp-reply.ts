// ICMP errors as routers on the way send them — RFC 792, RFC 1812 §4.3.2.

import type { Ipv4 } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import { HEADER } from '../wire/ethernet.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { viewOf } from './ecn.ts';

/** RFC 7600 §4.3: the address of a router that has none. */
const DUMMY: Ipv4 = 0xc0000008 | 0;
/** RFC 1812 §4.3.2.3: as much of the packet as fits without the message exceeding 576 bytes. */
const QUOTE = 576 - ipv4.MIN_HEADER - icmpv4.HEADER;
const TOS = 0xc0; // RFC 1812 §4.3.2.5: internetwork control
const TTL = 64;

/** RFC 1122 §3.2.2: none about errors, fragments but the first, and what was sent to or from other than one host. */
function mayComplain(dv: DataView): boolean {
  if (ipv4.fragmentOffset(dv, HEADER) !== 0 || ethernet.isGroup(ethernet.dst(dv, 0))) return false;
  const src = ipv4.src(dv, HEADER);
  if (src >>> 24 === 0 || src >>> 28 >= 14 || ipv4.dst(dv, HEADER) >>> 28 >= 14) return false;
  if (ipv4.protocol(dv, HEADER) !== ipv4.PROTOCOL_ICMP) return true;
  const at = HEADER + ipv4.headerLength(dv, HEADER);
  return at < dv.byteLength && !icmpv4.isError(icmpv4.type(dv, at));
}

/** An IPv4 packet in a frame whose MAC addresses are still to be written. */
export function ipFrame(from: Ipv4, to: Ipv4, protocol: number, ttl: number, tos: number, length: number): Uint8Array {
  const frame = new Uint8Array(HEADER + ipv4.MIN_HEADER + length);
  const dv = viewOf(frame);
  dv.setUint16(12, ethernet.TYPE_IPV4);
  ipv4.set(dv, HEADER, ipv4.MIN_HEADER, tos, ipv4.MIN_HEADER + length, 0, 0, ttl, protocol, from, to);
  ipv4.updateChecksum(dv, HEADER);
  return frame;
}

/** The error about the packet in `frame`, from `from` to its source; null when the rules forbid one. */
export function icmpError(dv: DataView, frame: Uint8Array, from: Ipv4, type: number, code: number, rest: number) {
  if (!mayComplain(dv)) return null;
  const quoted = Math.min(ipv4.totalLength(dv, HEADER), QUOTE);
  const reply = ipFrame(from, ipv4.src(dv, HEADER), ipv4.PROTOCOL_ICMP, TTL, TOS, icmpv4.HEADER + quoted);
  const at = HEADER + ipv4.MIN_HEADER;
  const out = viewOf(reply);
  icmpv4.set(out, at, type, code, rest);
  reply.set(frame.subarray(HEADER, HEADER + quoted), at + icmpv4.HEADER);
  icmpv4.setChecksum(out, at, checksum.finish(checksum.sum(out, at, icmpv4.HEADER + quoted)));
  return reply;
}

/** What a nameless hop answers to a packet that is too big for it (RFC 1191 §4), back to where it came from. */
export function fragmentationNeeded(dv: DataView, frame: Uint8Array, mtu: number): Uint8Array | null {
  const reply = icmpError(dv, frame, DUMMY, icmpv4.DESTINATION_UNREACHABLE, icmpv4.FRAGMENTATION_NEEDED, mtu);
  if (reply === null) return null;
  const out = viewOf(reply);
  ethernet.setMac(out, 0, ethernet.src(dv, 0));
  ethernet.setMac(out, 6, ethernet.dst(dv, 0));
  return reply;
}
