// virtio-net header — Virtual I/O Device (VIRTIO) 1.2 §5.1.6, struct virtio_net_hdr_v1: 12 bytes, little-endian.
//
// Stands in front of every frame of a batch and says what the bytes behind it leave undone: a checksum that is only partial,
// a TCP super-segment that is still to be cut. Offsets in it count from the first byte of the Ethernet header.
//
//    0 flags   1 gso_type   2 hdr_len   4 gso_size   6 csum_start   8 csum_offset   10 num_buffers

export const LENGTH = 12;

/** The checksum at csum_start + csum_offset holds the pseudo-header sum only; the rest is to be added. */
export const NEEDS_CSUM = 1;
/** Whoever received the frame has verified its checksums. */
export const DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3; // datagram to be fragmented
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5; // run of datagrams
/** Or'ed to a TCP type: the first of the cut segments carries CWR, the others do not. */
export const GSO_ECN = 0x80;

export const flags = (dv: DataView, off: number): number => dv.getUint8(off);
/** GSO_* without the ECN bit. */
export const gsoType = (dv: DataView, off: number): number => dv.getUint8(off + 1) & ~GSO_ECN;
export const hasEcn = (dv: DataView, off: number): boolean => (dv.getUint8(off + 1) & GSO_ECN) !== 0;
/** Bytes of all headers together. A hint: the device need not trust it. */
export const headerLength = (dv: DataView, off: number): number => dv.getUint16(off + 2, true);
/** Payload bytes per cut segment. */
export const gsoSize = (dv: DataView, off: number): number => dv.getUint16(off + 4, true);
export const csumStart = (dv: DataView, off: number): number => dv.getUint16(off + 6, true);
export const csumOffset = (dv: DataView, off: number): number => dv.getUint16(off + 8, true);
export const numBuffers = (dv: DataView, off: number): number => dv.getUint16(off + 10, true);

/** True when what the header at `off` says is possible for a frame of `length` bytes. */
export function check(dv: DataView, off: number, length: number): boolean {
  if ((flags(dv, off) & NEEDS_CSUM) !== 0 && csumStart(dv, off) + csumOffset(dv, off) + 2 > length) return false;
  switch (gsoType(dv, off)) {
    case GSO_NONE:
      return true;
    case GSO_TCPV4:
    case GSO_UDP:
    case GSO_TCPV6:
    case GSO_UDP_L4:
      return gsoSize(dv, off) > 0;
    default:
      return false;
  }
}

/** Nothing left to do: an ordinary frame. */
export function clear(dv: DataView, off: number): void {
  dv.setInt32(off, 0);
  dv.setInt32(off + 4, 0);
  dv.setInt32(off + 8, 0);
}

/** Write all fields; `type` is GSO_*, with GSO_ECN or'ed in where it applies. */
export function set(
  dv: DataView,
  off: number,
  flags: number,
  type: number,
  headerLength: number,
  gsoSize: number,
  csumStart: number,
  csumOffset: number,
): void {
  dv.setUint8(off, flags);
  dv.setUint8(off + 1, type);
  dv.setUint16(off + 2, headerLength, true);
  dv.setUint16(off + 4, gsoSize, true);
  dv.setUint16(off + 6, csumStart, true);
  dv.setUint16(off + 8, csumOffset, true);
  dv.setUint16(off + 10, 0, true);
}
