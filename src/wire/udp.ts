// UDP header — RFC 768.
//
// Received bytes must pass `check` once; after that every accessor is in bounds.

export const HEADER = 8;
export const CHECKSUM_OFFSET = 6; // what virtio_net_hdr.csum_offset wants

export const srcPort = (dv: DataView, off: number): number => dv.getUint16(off);
export const dstPort = (dv: DataView, off: number): number => dv.getUint16(off + 2);
/** Header and payload together. */
export const length = (dv: DataView, off: number): number => dv.getUint16(off + 4);
/** Zero: the sender computed none (RFC 768, RFC 1122 §4.1.3.4). */
export const checksum = (dv: DataView, off: number): number => dv.getUint16(off + 6);

/** HEADER if [off, end), the IP payload, holds a whole datagram, else 0. Bytes behind its length are not part of it. */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < HEADER) return 0;
  const whole = length(dv, off);
  return whole >= HEADER && off + whole <= end ? HEADER : 0;
}

/** Write the header; `length` counts it and the payload. */
export function set(
  dv: DataView,
  off: number,
  srcPort: number,
  dstPort: number,
  length: number,
  checksum: number,
): void {
  dv.setUint16(off, srcPort);
  dv.setUint16(off + 2, dstPort);
  dv.setUint16(off + 4, length);
  dv.setUint16(off + 6, checksum);
}

export const setChecksum = (dv: DataView, off: number, checksum: number): void =>
  dv.setUint16(off + CHECKSUM_OFFSET, checksum);
