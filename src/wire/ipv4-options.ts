// IPv4 options — RFC 791 §3.1, RFC 1122 §3.2.1.8, router alert of RFC 2113.
//
// `OptionCursor` walks the options of a header that passed `ipv4.check`. Invariant: every `next` moves forward by at least one byte
// and stays inside the header, so a walk ends after at most 40 steps whatever the bytes are.

import type { Ipv4 } from './address.ts';
import { headerLength, MIN_HEADER } from './ipv4.ts';

/** Bytes of options that a header has room for. */
export const MAX_OPTIONS = 40;

export const END = 0;
export const NOP = 1;
export const RECORD_ROUTE = 7;
export const TIMESTAMP = 68;
export const SECURITY = 130; // obsolete; RFC 1122 §3.2.1.8 (a) lets it pass
export const LOOSE_SOURCE_ROUTE = 131;
export const STREAM_ID = 136; // obsolete, ignored: RFC 1122 §3.2.1.8 (b)
export const STRICT_SOURCE_ROUTE = 137;
export const ROUTER_ALERT = 148;

/** The timestamp option's flag field (RFC 791 §3.1). */
export const TIMESTAMP_ONLY = 0;
export const TIMESTAMP_AND_ADDRESS = 1;
export const TIMESTAMP_PRESPECIFIED = 3;

/** True when an option is repeated in every fragment, not only in the first. */
export const isCopied = (type: number): boolean => (type & 0x80) !== 0;
export const isSourceRoute = (type: number): boolean => type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE;

export const optionName = (type: number): string => NAMES[type] ?? `unknown-${type}`;
const NAMES: Record<number, string> = {
  [END]: 'EOL',
  [NOP]: 'NOP',
  [RECORD_ROUTE]: 'RR',
  [TIMESTAMP]: 'TS',
  [SECURITY]: 'SEC',
  [LOOSE_SOURCE_ROUTE]: 'LSRR',
  [STREAM_ID]: 'SID',
  [STRICT_SOURCE_ROUTE]: 'SSRR',
  [ROUTER_ALERT]: 'RA',
};

export class OptionCursor {
  /** Type octet of the current option. */
  type = END;
  /** Offset of the current option. */
  off = 0;
  /** Bytes of the current option, type and length octets included. */
  length = 0;
  /** Where the option list is malformed, counted from the IP header (what Parameter Problem points at); 0 when it is not. */
  pointer = 0;
  #dv: DataView = EMPTY;
  #start = 0;
  #at = 0;
  #end = 0;

  /** Begin with the header at `off`. */
  start(dv: DataView, off: number): this {
    this.#dv = dv;
    this.#start = off;
    this.#at = off + MIN_HEADER;
    this.#end = off + headerLength(dv, off);
    this.pointer = 0;
    return this;
  }

  /** Go to the next option other than NOP. False at the end of the list, or where it is malformed (then `pointer` is set). */
  next(): boolean {
    const dv = this.#dv;
    let at = this.#at;
    const end = this.#end;
    while (at < end && dv.getUint8(at) === NOP) at++;
    if (at >= end || dv.getUint8(at) === END) {
      this.#at = end;
      return false;
    }
    const length = at + 1 < end ? dv.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) {
      // RFC 1122 §3.2.1.8: a length that cannot be is worth a Parameter Problem that points at it.
      this.pointer = Math.min(at + 1, end - 1) - this.#start;
      this.#at = end;
      return false;
    }
    this.type = dv.getUint8(at);
    this.off = at;
    this.length = length;
    this.#at = at + length;
    return true;
  }
}

const EMPTY = new DataView(new ArrayBuffer(0));

/** Pointer octet of RR, LSRR, SSRR and TS: 1-based, from the option's first octet. */
export const pointer = (dv: DataView, option: number): number => dv.getUint8(option + 2);

/**
 * True when a route option (RR, LSRR, SSRR) is well formed: room for whole addresses and a pointer that falls on one or is
 * past the end (RFC 791 §3.1).
 */
export function routeIsValid(dv: DataView, option: number, length: number): boolean {
  if (length < 3 || (length - 3) % 4 !== 0) return false;
  const at = pointer(dv, option);
  return at >= 4 && at % 4 === 0;
}

/** True when every address of a route option has been used. */
export const routeIsFull = (dv: DataView, option: number, length: number): boolean => pointer(dv, option) + 3 > length;

/** The address at the pointer of a route option that is valid and not full: the next hop of a source route. */
export const routeNext = (dv: DataView, option: number): Ipv4 => dv.getInt32(option + pointer(dv, option) - 1);

/** Store `address` at the pointer of a valid route option and advance the pointer. False when the option is full. */
export function routeRecord(dv: DataView, option: number, length: number, address: Ipv4): boolean {
  if (routeIsFull(dv, option, length)) return false;
  const at = pointer(dv, option);
  dv.setInt32(option + at - 1, address);
  dv.setUint8(option + 2, at + 4);
  return true;
}

export const timestampFlag = (dv: DataView, option: number): number => dv.getUint8(option + 3) & 0x0f;
export const timestampOverflow = (dv: DataView, option: number): number => dv.getUint8(option + 3) >> 4;

/** True when a timestamp option is well formed: known flag, whole entries, a pointer that falls on one or past the end. */
export function timestampIsValid(dv: DataView, option: number, length: number): boolean {
  if (length < 4) return false;
  const flag = timestampFlag(dv, option);
  const entry = flag === TIMESTAMP_ONLY ? 4 : 8;
  if (flag !== TIMESTAMP_ONLY && flag !== TIMESTAMP_AND_ADDRESS && flag !== TIMESTAMP_PRESPECIFIED) return false;
  if ((length - 4) % entry !== 0) return false;
  const at = pointer(dv, option);
  return at >= 5 && (at - 5) % entry === 0;
}

/**
 * Record a timestamp in a valid option, as its flag asks: our address is `address`, the time is milliseconds since midnight UT.
 * False when the option is full and its overflow count was already 15 (RFC 791 §3.1: then the packet is in error).
 */
export function timestampRecord(dv: DataView, option: number, length: number, address: Ipv4, time: number): boolean {
  const at = pointer(dv, option);
  const flag = timestampFlag(dv, option);
  const entry = flag === TIMESTAMP_ONLY ? 4 : 8;
  if (at - 1 + entry > length) {
    if (flag === TIMESTAMP_PRESPECIFIED) return true;
    const overflow = timestampOverflow(dv, option);
    if (overflow === 15) return false;
    dv.setUint8(option + 3, ((overflow + 1) << 4) | flag);
    return true;
  }
  const slot = option + at - 1;
  if (flag === TIMESTAMP_PRESPECIFIED && dv.getInt32(slot) !== address) return true;
  if (flag === TIMESTAMP_AND_ADDRESS) dv.setInt32(slot, address);
  dv.setUint32(slot + entry - 4, time);
  dv.setUint8(option + 2, at + entry);
  return true;
}

/** Write an empty record-route option with room for `slots` (1 … 9) addresses and an end-of-list octet: 4 * (slots + 1) bytes. */
export function setRecordRoute(dv: DataView, off: number, slots: number): number {
  const length = 3 + 4 * slots;
  dv.setUint8(off, RECORD_ROUTE);
  dv.setUint8(off + 1, length);
  dv.setUint8(off + 2, 4);
  for (let i = 3; i <= length; i++) dv.setUint8(off + i, END);
  return length + 1;
}

/** Write an empty timestamp option with `slots` entries of the size `flag` wants. Returns its length, a multiple of four. */
export function setTimestamp(dv: DataView, off: number, flag: number, slots: number): number {
  const length = 4 + slots * (flag === TIMESTAMP_ONLY ? 4 : 8);
  dv.setUint8(off, TIMESTAMP);
  dv.setUint8(off + 1, length);
  dv.setUint8(off + 2, 5);
  dv.setUint8(off + 3, flag);
  for (let i = 4; i < length; i++) dv.setUint8(off + i, 0);
  return length;
}

/** Write a router-alert option (RFC 2113 §2.1): four bytes. */
export function setRouterAlert(dv: DataView, off: number): number {
  dv.setUint32(off, 0x94040000);
  return 4;
}
