// TCP header — RFC 9293 §3.1.
//
// Accessors take (dv, off) and return a small integer: they never allocate and never throw.
// Received bytes must pass `check` once first; after that every accessor is in bounds.

import type { Seq } from './seq.ts';

export const MIN_HEADER = 20;
export const MAX_HEADER = 60;
export const CHECKSUM_OFFSET = 16; // what virtio_net_hdr.csum_offset wants

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40; // RFC 3168 §6.1
export const CWR = 0x80;

export const srcPort = (dv: DataView, off: number): number => dv.getUint16(off);
export const dstPort = (dv: DataView, off: number): number => dv.getUint16(off + 2);
export const seq = (dv: DataView, off: number): Seq => dv.getInt32(off + 4);
export const ack = (dv: DataView, off: number): Seq => dv.getInt32(off + 8);
export const headerLength = (dv: DataView, off: number): number => (dv.getUint8(off + 12) & 0xf0) >> 2;
/** The four reserved bits; the lowest is RFC 3540's NS and AccECN's AE. */
export const reserved = (dv: DataView, off: number): number => dv.getUint8(off + 12) & 0x0f;
export const flags = (dv: DataView, off: number): number => dv.getUint8(off + 13);
/** As it stands in the header: unsigned (RFC 9293 §3.1, MUST-1), not scaled. */
export const window = (dv: DataView, off: number): number => dv.getUint16(off + 14);
export const checksum = (dv: DataView, off: number): number => dv.getUint16(off + 16);
export const urgentPointer = (dv: DataView, off: number): number => dv.getUint16(off + 18);

/** Length of the header at `off`, or 0 if [off, end) cannot hold a well-formed one. */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < MIN_HEADER) return 0;
  const length = headerLength(dv, off);
  return length >= MIN_HEADER && off + length <= end ? length : 0;
}

/** Write a header of `length` bytes (options excluded); the checksum is left zero. */
export function set(
  dv: DataView,
  off: number,
  srcPort: number,
  dstPort: number,
  seq: Seq,
  ack: Seq,
  length: number,
  flags: number,
  window: number,
): void {
  dv.setUint16(off, srcPort);
  dv.setUint16(off + 2, dstPort);
  setSegment(dv, off, seq, ack, length, flags, window);
  dv.setInt32(off + 16, 0);
}

/** Patch the fields that differ from one segment of a connection to the next. `flags` may carry reserved bits above the eight. */
export function setSegment(
  dv: DataView,
  off: number,
  seq: Seq,
  ack: Seq,
  length: number,
  flags: number,
  window: number,
): void {
  dv.setInt32(off + 4, seq);
  dv.setInt32(off + 8, ack);
  dv.setUint16(off + 12, (length << 10) | flags);
  dv.setUint16(off + 14, window);
}

export const setPorts = (dv: DataView, off: number, srcPort: number, dstPort: number): void =>
  dv.setUint32(off, srcPort * 0x10000 + dstPort);
export const setChecksum = (dv: DataView, off: number, checksum: number): void =>
  dv.setUint16(off + CHECKSUM_OFFSET, checksum);
export const setUrgentPointer = (dv: DataView, off: number, pointer: number): void => dv.setUint16(off + 18, pointer);
