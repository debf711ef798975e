// IPv4 options of received packets — RFC 791 §3.1, RFC 1122 §3.2.1.8.

import type { Ipv4 } from '../wire/address.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as option from '../wire/ipv4-options.ts';

export const OPTIONS_OK = -1;
/** Well formed, and it carries a source route. */
export const OPTIONS_SOURCE_ROUTE = -2;

const cursor = new option.OptionCursor();

/**
 * Look the options of the header at `ip` over. OPTIONS_OK, OPTIONS_SOURCE_ROUTE, or the octet of the header that a Parameter Problem must
 * point at. Unknown options are ignored (RFC 1122 §3.2.1.8 (M50)).
 */
export function inspectOptions(dv: DataView, ip: number): number {
  let seen = 0;
  let verdict = OPTIONS_OK;
  for (cursor.start(dv, ip); cursor.next(); ) {
    const { type, off, length } = cursor;
    switch (type) {
      case option.RECORD_ROUTE:
      case option.LOOSE_SOURCE_ROUTE:
      case option.STRICT_SOURCE_ROUTE:
        if (!option.routeIsValid(dv, off, length)) return off + (length < 3 ? 1 : 2) - ip;
        break;
      case option.TIMESTAMP:
        if (!option.timestampIsValid(dv, off, length)) return off + (length < 4 ? 1 : 2) - ip;
        break;
      default:
        continue;
    }
    // RFC 791 §3.1: each of these appears at most once; RFC 1122 §3.2.1.8 (c): one source route only.
    const bit = option.isSourceRoute(type) ? 1 : type === option.RECORD_ROUTE ? 2 : 4;
    if ((seen & bit) !== 0) return off - ip;
    seen |= bit;
    if (bit === 1) verdict = OPTIONS_SOURCE_ROUTE;
  }
  return cursor.pointer === 0 ? verdict : cursor.pointer;
}

/**
 * `options` as a header of ours may carry them: padded with END to a multiple of four (RFC 791 §3.1). Null when they are malformed, too
 * many, or hold a source route.
 */
export function outgoingOptions(options: Uint8Array): Uint8Array | null {
  const length = (options.length + 3) & ~3;
  if (length > option.MAX_OPTIONS) return null;
  const header = new Uint8Array(ipv4.MIN_HEADER + length);
  header[0] = 0x40 | (header.length >> 2);
  header.set(options, ipv4.MIN_HEADER);
  if (inspectOptions(new DataView(header.buffer), 0) !== OPTIONS_OK) return null;
  return header.subarray(ipv4.MIN_HEADER);
}

/** True when a source route in the header at `ip` names hops after us (it is not ours to deliver, but to forward). */
export function sourceRouteContinues(dv: DataView, ip: number): boolean {
  for (cursor.start(dv, ip); cursor.next(); ) {
    if (option.isSourceRoute(cursor.type)) return !option.routeIsFull(dv, cursor.off, cursor.length);
  }
  return false;
}

/**
 * The options an echo reply carries — RFC 1122 §3.2.2.6: record route and timestamp go back with us added, so that they tell the
 * whole round trip; a source route goes back reversed. Null when there is none of them.
 * @param source who sent the request: where a reversed route ends
 * @param address ours, to be recorded
 * @param time milliseconds since midnight UT
 */
export function replyOptions(dv: DataView, ip: number, source: Ipv4, address: Ipv4, time: number): ReplyOptions | null {
  const length = ipv4.headerLength(dv, ip) - ipv4.MIN_HEADER;
  if (length === 0) return null;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let end = 0;
  let firstHop: Ipv4 | null = null;
  for (cursor.start(dv, ip); cursor.next(); ) {
    const { type, off, length: size } = cursor;
    if (type !== option.RECORD_ROUTE && type !== option.TIMESTAMP && !option.isSourceRoute(type)) continue;
    for (let i = 0; i < size; i++) view.setUint8(end + i, dv.getUint8(off + i));
    if (type === option.RECORD_ROUTE) option.routeRecord(view, end, size, address);
    else if (type === option.TIMESTAMP) option.timestampRecord(view, end, size, address, time);
    else firstHop = reverseRoute(view, end, size, source);
    end += size;
  }
  return end === 0 ? null : { bytes: bytes.subarray(0, (end + 3) & ~3), firstHop };
}

export interface ReplyOptions {
  /** Padded to a multiple of four with end-of-list octets. */
  readonly bytes: Uint8Array;
  /** Where a source-routed reply goes first; null when it is not source-routed. */
  readonly firstHop: Ipv4 | null;
}

/**
 * Turn a completed source route round (RFC 1122 §3.2.1.8 (c)): the hops in reverse, ending at `source`. Returns the first hop,
 * which goes into the destination field instead of the list.
 */
function reverseRoute(view: DataView, off: number, length: number, source: Ipv4): Ipv4 {
  const hops: Ipv4[] = [source];
  for (let at = off + 3; at + 4 <= off + length && at + 1 < off + view.getUint8(off + 2); at += 4)
    hops.push(view.getInt32(at));
  const first = hops.pop() ?? source;
  let at = off + 3;
  for (const hop of hops.reverse()) {
    if (at + 4 > off + length) break;
    view.setInt32(at, hop);
    at += 4;
  }
  view.setUint8(off + 2, 4);
  return first;
}
