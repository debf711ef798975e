// IGMP messages — RFC 1112 appendix I, RFC 2236 §2, RFC 3376 §4.
//
// Received bytes must pass `check` once; after that every accessor of the message's version is in bounds.
//
//   v1, v2:     type 1 | max response 1 | checksum 2 | group 4
//   v3 query:   … | flags 1 | QQIC 1 | sources 2 | source 4 …
//   v3 report:  type 1 | 0 | checksum 2 | 0 2 | records 2 | record: type 1 | aux 1 | sources 2 | group 4 …

import type { Ipv4 } from './address.ts';
import * as sum16 from './checksum.ts';

export const LENGTH = 8;
export const V3_QUERY_LENGTH = 12;
export const RECORD_LENGTH = 8; // without sources

export const QUERY = 0x11;
export const V1_REPORT = 0x12;
export const V2_REPORT = 0x16;
export const V2_LEAVE = 0x17;
export const V3_REPORT = 0x22;

// Record types, RFC 3376 §4.2.12
export const IS_EXCLUDE = 2;
export const TO_INCLUDE = 3;
export const TO_EXCLUDE = 4;

export const type = (dv: DataView, off: number): number => dv.getUint8(off);
/** Tenths of a second (RFC 2236 §2.2); in a v3 query from 128 on a floating-point number (RFC 3376 §4.1.1). */
export const maxResponse = (dv: DataView, off: number): number => dv.getUint8(off + 1);
export const group = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 4);
export const recordCount = (dv: DataView, off: number): number => dv.getUint16(off + 6);

/** Bytes of the message if [off, end) holds one with a right checksum, else 0. */
export function check(dv: DataView, off: number, end: number): number {
  const length = end - off;
  return length >= LENGTH && sum16.verify(dv, off, length) ? length : 0;
}

/** Tenths of a second a v3 query's code stands for. */
export const decodeTime = (code: number): number =>
  code < 128 ? code : ((code & 0x0f) | 0x10) << (((code >> 4) & 7) + 3);

/** A v1 or v2 message, checksum included. */
export function set(dv: DataView, off: number, type: number, group: Ipv4): void {
  dv.setUint16(off, type << 8);
  dv.setUint16(off + 2, 0);
  dv.setInt32(off + 4, group);
  dv.setUint16(off + 2, sum16.finish(sum16.sum(dv, off, LENGTH)));
}

/** The head of a v3 report; records follow, then `finish`. */
export function setReport(dv: DataView, off: number, records: number): void {
  dv.setUint32(off, V3_REPORT << 24);
  dv.setUint32(off + 4, records);
}

/** Record `i` of a v3 report: all sources, or none. */
export function setRecord(dv: DataView, off: number, i: number, type: number, group: Ipv4): void {
  const at = off + LENGTH + i * RECORD_LENGTH;
  dv.setUint32(at, type << 24);
  dv.setInt32(at + 4, group);
}

export const recordType = (dv: DataView, off: number, i: number): number =>
  dv.getUint8(off + LENGTH + i * RECORD_LENGTH);
export const recordGroup = (dv: DataView, off: number, i: number): Ipv4 =>
  dv.getInt32(off + LENGTH + i * RECORD_LENGTH + 4);

/** Compute and store the checksum of `length` bytes. */
export function finish(dv: DataView, off: number, length: number): void {
  dv.setUint16(off + 2, 0);
  dv.setUint16(off + 2, sum16.finish(sum16.sum(dv, off, length)));
}
