// TCP options — RFC 9293 §3.2, RFC 7323 §2–3, RFC 2018 §2–3, RFC 5482, RFC 7413.
//
// `parse` fills the fields the protocol machine reads on every segment. `OptionCursor` visits every option, for the rest.
// Invariant: a walk moves forward by at least one byte per step and never leaves [off, end), whatever the bytes are.

import type { Seq } from './seq.ts';

export const END = 0;
export const NOP = 1;
export const MSS = 2;
export const WINDOW_SCALE = 3;
export const SACK_PERMITTED = 4;
export const SACK = 5;
export const TIMESTAMPS = 8;
export const USER_TIMEOUT = 28;
export const FAST_OPEN = 34;

export const MAX_SACK_BLOCKS = 4;
/** RFC 7323 §2.3 */
export const MAX_WINDOW_SCALE = 14;

/** What `parse` fills; a received `Segment` is one. */
export interface OptionFields {
  /** 0 when absent. */
  mss: number;
  /** Shift count, at most 14; -1 when absent. */
  windowScale: number;
  sackPermitted: boolean;
  hasTimestamp: boolean;
  tsVal: number;
  tsEcr: number;
  sackCount: number;
  /** Left and right edge of block i at 2i and 2i + 1; room for four blocks. */
  sack: Int32Array;
}

/** A scratch to parse into. */
export class TcpOptions implements OptionFields {
  mss = 0;
  windowScale = -1;
  sackPermitted = false;
  hasTimestamp = false;
  tsVal = 0;
  tsEcr = 0;
  sackCount = 0;
  sack = new Int32Array(2 * MAX_SACK_BLOCKS);
}

/** Bits that `parse` returns. */
export const FOUND_MALFORMED = 1; // parsing stopped there; what came before counts
export const FOUND_UNKNOWN = 2;
export const FOUND_USER_TIMEOUT = 4; // see `find`
export const FOUND_FAST_OPEN = 8;

const NOP_NOP_TIMESTAMPS = 0x0101080a;

/** Parse the options in [off, end) into `into`, every field of which is set. Returns FOUND_* bits. */
export function parse(dv: DataView, off: number, end: number, into: OptionFields): number {
  into.mss = 0;
  into.windowScale = -1;
  into.sackPermitted = false;
  into.hasTimestamp = false;
  into.tsVal = 0;
  into.tsEcr = 0;
  into.sackCount = 0;
  if (end - off === 12 && dv.getInt32(off) === NOP_NOP_TIMESTAMPS) {
    // RFC 7323 Appendix A: how nearly every segment of a connection with timestamps looks.
    into.hasTimestamp = true;
    into.tsVal = dv.getInt32(off + 4);
    into.tsEcr = dv.getInt32(off + 8);
    return 0;
  }
  let found = 0;
  while (off < end) {
    const kind = dv.getUint8(off);
    if (kind === END) break;
    if (kind === NOP) {
      off++;
      continue;
    }
    // RFC 9293 §3.1: END and NOP are single octets (MUST-4), wherever they stand (MUST-64). All others have a length (MUST-68); an
    // illegal one is survived (MUST-7).
    const length = off + 1 < end ? dv.getUint8(off + 1) : 0;
    if (length < 2 || off + length > end) return found | FOUND_MALFORMED;
    found |= parseOne(dv, off, kind, length, into);
    off += length;
  }
  return found;
}

function parseOne(dv: DataView, off: number, kind: number, length: number, into: OptionFields): number {
  switch (kind) {
    case MSS:
      if (length !== 4) return FOUND_UNKNOWN;
      into.mss = dv.getUint16(off + 2);
      return 0;
    case WINDOW_SCALE:
      if (length !== 3) return FOUND_UNKNOWN;
      // RFC 7323 §2.3: a larger shift is used as 14.
      into.windowScale = Math.min(dv.getUint8(off + 2), MAX_WINDOW_SCALE);
      return 0;
    case SACK_PERMITTED:
      if (length !== 2) return FOUND_UNKNOWN;
      into.sackPermitted = true;
      return 0;
    case SACK: {
      const count = (length - 2) >> 3;
      if (count < 1 || count > MAX_SACK_BLOCKS || length !== 2 + 8 * count) return FOUND_UNKNOWN;
      for (let i = 0; i < 2 * count; i++) into.sack[i] = dv.getInt32(off + 2 + 4 * i);
      into.sackCount = count;
      return 0;
    }
    case TIMESTAMPS:
      if (length !== 10) return FOUND_UNKNOWN;
      into.hasTimestamp = true;
      into.tsVal = dv.getInt32(off + 2);
      into.tsEcr = dv.getInt32(off + 6);
      return 0;
    case USER_TIMEOUT:
      return length === 4 ? FOUND_USER_TIMEOUT : FOUND_UNKNOWN;
    case FAST_OPEN:
      return fastOpenIsValid(length) ? FOUND_FAST_OPEN : FOUND_UNKNOWN;
    default:
      return FOUND_UNKNOWN; // RFC 9293 §3.1: skipped by its length (MUST-6)
  }
}

/** Empty (a request for a cookie) or 4 … 16 bytes of even length (RFC 7413 §4.1.1). */
const fastOpenIsValid = (length: number): boolean =>
  length === 2 || (length >= 6 && length <= 18 && (length & 1) === 0);

/** Offset of the first option of `kind` in [off, end), or -1. */
export function find(dv: DataView, off: number, end: number, kind: number): number {
  while (off < end) {
    const at = dv.getUint8(off);
    if (at === END) return -1;
    if (at === NOP) {
      off++;
      continue;
    }
    const length = off + 1 < end ? dv.getUint8(off + 1) : 0;
    if (length < 2 || off + length > end) return -1;
    if (at === kind) return off;
    off += length;
  }
  return -1;
}

/** Seconds announced by the user-timeout option at `option` (RFC 5482 §2): granularity bit and 15-bit value. */
export function userTimeout(dv: DataView, option: number): number {
  const value = dv.getUint16(option + 2);
  return value & 0x8000 ? (value & 0x7fff) * 60 : value;
}

/** Visits every option in order, NOP and END included, for whoever wants to show them. */
export class OptionCursor {
  kind = END;
  off = 0;
  length = 0;
  malformed = false;
  #dv: DataView = EMPTY;
  #at = 0;
  #end = 0;

  start(dv: DataView, off: number, end: number): this {
    this.#dv = dv;
    this.#at = off;
    this.#end = end;
    this.malformed = false;
    return this;
  }

  next(): boolean {
    const at = this.#at;
    if (at >= this.#end) return false;
    const kind = this.#dv.getUint8(at);
    let length = 1;
    if (kind > NOP) {
      length = at + 1 < this.#end ? this.#dv.getUint8(at + 1) : 0;
      if (length < 2 || at + length > this.#end) {
        this.malformed = true;
        this.#at = this.#end;
        return false;
      }
    }
    this.kind = kind;
    this.off = at;
    this.length = length;
    this.#at = kind === END ? this.#end : at + length;
    return true;
  }
}

const EMPTY = new DataView(new ArrayBuffer(0));

// Writers return the bytes written. Those for one option pad it with NOPs in front, to a multiple of four, so that no padding with zeros
// is needed behind (RFC 9293 §3.1, MUST-69).

export function setMss(dv: DataView, off: number, mss: number): number {
  dv.setUint32(off, 0x02040000 + mss);
  return 4;
}

export function setWindowScale(dv: DataView, off: number, shift: number): number {
  dv.setUint32(off, 0x01030300 + shift);
  return 4;
}

export function setSackPermitted(dv: DataView, off: number): number {
  dv.setInt32(off, 0x01010402);
  return 4;
}

export function setTimestamps(dv: DataView, off: number, tsVal: number, tsEcr: number): number {
  dv.setInt32(off, NOP_NOP_TIMESTAMPS);
  dv.setInt32(off + 4, tsVal);
  dv.setInt32(off + 8, tsEcr);
  return 12;
}

/** The first `count` blocks of `blocks`: left and right edges alternating (RFC 2018 §3). Nothing when `count` is 0. */
export function setSack(dv: DataView, off: number, blocks: Int32Array, count: number): number {
  if (count === 0) return 0;
  dv.setInt32(off, 0x01010500 + 2 + 8 * count);
  for (let i = 0; i < 2 * count; i++) dv.setInt32(off + 4 + 4 * i, blocks[i]);
  return 4 + 8 * count;
}

/** One SACK block at index `i` of an option begun with `setSack`'s layout: for callers whose ranges are not in one array. */
export function setSackBlock(dv: DataView, off: number, i: number, left: Seq, right: Seq): void {
  dv.setInt32(off + 4 + 8 * i, left);
  dv.setInt32(off + 8 + 8 * i, right);
}

export function setUserTimeout(dv: DataView, off: number, seconds: number): number {
  const minutes = seconds > 0x7fff;
  const value = minutes ? 0x8000 | Math.min(0x7fff, Math.floor(seconds / 60)) : seconds;
  dv.setUint32(off, 0x1c040000 + value);
  return 4;
}

/** A fast-open cookie of 0 (a request) or 4 … 16 bytes. */
export function setFastOpen(dv: DataView, off: number, cookie: Uint8Array): number {
  const length = 2 + cookie.length;
  const pad = -length & 3;
  for (let i = 0; i < pad; i++) dv.setUint8(off + i, NOP);
  dv.setUint8(off + pad, FAST_OPEN);
  dv.setUint8(off + pad + 1, length);
  for (let i = 0; i < cookie.length; i++) dv.setUint8(off + pad + 2 + i, cookie[i]);
  return pad + length;
}

/**
 * The options of a SYN in Linux's order: MSS, SACK-permitted, timestamps, window scale. SACK-permitted takes the place of the
 * timestamps' padding, so that all four fit 20 bytes. `windowScale` -1 leaves it out; so do the two flags.
 */
export function setSyn(
  dv: DataView,
  off: number,
  mss: number,
  windowScale: number,
  sackPermitted: boolean,
  timestamps: boolean,
  tsVal: number,
  tsEcr: number,
): number {
  let at = off + setMss(dv, off, mss);
  if (timestamps) {
    at += setTimestamps(dv, at, tsVal, tsEcr);
    if (sackPermitted) dv.setUint16(at - 12, 0x0402);
  } else if (sackPermitted) {
    at += setSackPermitted(dv, at);
  }
  if (windowScale >= 0) at += setWindowScale(dv, at, windowScale);
  return at - off;
}
