// Segmentation and checksum offload in software — VIRTIO 1.2 §5.1.6.2: what a device does with a frame whose virtio-net header
// says NEEDS_CSUM or a GSO type. Shared by `link/lower.ts`, which stands in for the device, and by captures.
//
// As everywhere, a frame's virtio-net header is the 12 bytes in front of its Ethernet header. `Cutter` reads only the headers, so the
// payload may lie elsewhere, in extents. It is a scratch: good until the next `begin`.
//
// Invariant: the payloads of segments 0 … count-1 are the payload of the super-segment, in order, each but the last `gsoSize` long.

import type { Ipv4 } from './address.ts';
import * as checksum from './checksum.ts';
import * as ethernet from './ethernet.ts';
import * as ipv4 from './ipv4.ts';
import { seqAdd } from './seq.ts';
import * as tcp from './tcp.ts';
import * as udp from './udp.ts';
import * as vnet from './vnet.ts';

const IPV6_HEADER = 40;

/**
 * Complete the partial checksum of the contiguous frame of `length` bytes at `off`, and clear the request from its virtio header.
 * False when the virtio header points outside the frame: nothing changed.
 */
export function completeChecksum(dv: DataView, off: number, length: number): boolean {
  const header = off - vnet.LENGTH;
  if ((vnet.flags(dv, header) & vnet.NEEDS_CSUM) === 0) return true;
  const start = vnet.csumStart(dv, header);
  const csumOffset = vnet.csumOffset(dv, header);
  const field = start + csumOffset;
  if (start > length || field + 2 > length) return false;
  // The field holds the pseudo-header's sum, so summing over it adds that in.
  dv.setUint16(off + field, checksum.finishField(checksum.sum(dv, off + start, length - start), csumOffset));
  dv.setUint8(header, vnet.flags(dv, header) & ~vnet.NEEDS_CSUM);
  return true;
}

export class Cutter {
  /** Segments the frame is to be cut into. */
  count = 0;
  /** Bytes in front of the payload: Ethernet, IP and transport header. */
  headerLength = 0;
  /** Payload bytes per segment; the last may have fewer. */
  gsoSize = 0;
  /** Payload bytes of the whole super-segment. */
  payloadLength = 0;
  /** Of the transport header and of its checksum field, from the Ethernet header. */
  transport = 0;
  checksumField = 0;
  #dv: DataView = EMPTY;
  #off = 0;
  #ip = 0;
  #isV4 = false;
  #isTcp = false;

  /**
   * Begin with the super-segment of `length` bytes whose headers are at `off`. False when its virtio header asks for no cutting,
   * for IP fragments (GSO_UDP, gone from Linux since 4.14), or does not fit the headers that follow.
   */
  begin(dv: DataView, off: number, length: number): boolean {
    const header = off - vnet.LENGTH;
    const type = vnet.gsoType(dv, header);
    const size = vnet.gsoSize(dv, header);
    this.#isTcp = type === vnet.GSO_TCPV4 || type === vnet.GSO_TCPV6;
    if ((!this.#isTcp && type !== vnet.GSO_UDP_L4) || size === 0) return false;
    const end = off + Math.min(length, dv.byteLength - off);
    const ethernetLength = ethernet.check(dv, off, end);
    const etherType = ethernetLength === 0 ? 0 : ethernet.etherType(dv, off);
    this.#isV4 = etherType === ethernet.TYPE_IPV4 && type !== vnet.GSO_TCPV6;
    if (!this.#isV4 && (etherType !== ethernet.TYPE_IPV6 || type === vnet.GSO_TCPV4)) return false;
    this.#dv = dv;
    this.#off = off;
    this.#ip = ethernetLength;
    this.transport = ethernetLength + this.#networkHeader(off + ethernetLength, end);
    if (this.transport === ethernetLength) return false;
    const transportLength = this.#isTcp
      ? tcp.check(dv, off + this.transport, end)
      : off + this.transport + udp.HEADER <= end
        ? udp.HEADER
        : 0;
    if (transportLength === 0) return false;
    this.checksumField = this.transport + (this.#isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
    this.headerLength = this.transport + transportLength;
    this.payloadLength = length - this.headerLength;
    this.gsoSize = size;
    this.count = Math.max(1, Math.ceil(this.payloadLength / size));
    return true;
  }

  /** Offset of segment `i`'s payload within the whole payload. */
  payloadStart(i: number): number {
    return i * this.gsoSize;
  }

  /** Payload bytes of segment `i`. */
  payloadSize(i: number): number {
    return Math.min(this.gsoSize, this.payloadLength - i * this.gsoSize);
  }

  /**
   * Write the `headerLength` bytes of segment `i` at `to` in `target`, complete but for the transport checksum, whose field holds the
   * pseudo-header's sum: `finish` is next.
   */
  header(i: number, target: DataView, to: number): void {
    const { headerLength, transport } = this;
    const dv = this.#dv;
    const off = this.#off;
    for (let k = 0; k < headerLength; k++) target.setUint8(to + k, dv.getUint8(off + k));
    const at = to + transport;
    const length = headerLength - transport + this.payloadSize(i);
    if (this.#isTcp) {
      const flags = tcp.flags(target, at);
      const last = i === this.count - 1;
      tcp.setSegment(
        target,
        at,
        seqAdd(tcp.seq(target, at), this.payloadStart(i)),
        tcp.ack(target, at),
        headerLength - transport,
        // FIN and PSH belong to the last byte, CWR to the first segment (RFC 3168 §6.1.2).
        (tcp.reserved(target, at) << 8) | (flags & ~(last ? 0 : tcp.FIN | tcp.PSH) & ~(i === 0 ? 0 : tcp.CWR)),
        tcp.window(target, at),
      );
    } else {
      target.setUint16(at + 4, length);
    }
    const ip = to + this.#ip;
    const protocol = this.#isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
    let pseudo: number;
    if (this.#isV4) {
      ipv4.setTotalLength(target, ip, transport - this.#ip + length);
      ipv4.setId(target, ip, ipv4.id(target, ip) + i);
      ipv4.updateChecksum(target, ip);
      pseudo = checksum.pseudoV4(ipv4.src(target, ip) as Ipv4, ipv4.dst(target, ip), protocol, length);
    } else {
      target.setUint16(ip + 4, transport - this.#ip - IPV6_HEADER + length);
      pseudo = checksum.sum(target, ip + 8, 32, protocol + length);
    }
    target.setUint16(to + this.checksumField, pseudo);
  }

  /** Complete the transport checksum of the header at `to`; `payloadSum` is `checksum.sum` over the segment's payload. */
  finish(target: DataView, to: number, payloadSum: number): void {
    const transportLength = this.headerLength - this.transport;
    const sum = checksum.sum(target, to + this.transport, transportLength, payloadSum);
    target.setUint16(to + this.checksumField, checksum.finishField(sum, this.checksumField - this.transport));
  }

  /** Bytes of network header at `ip`, 0 when there is no well-formed one. Its length field may be 0 or wrapped: it is not trusted. */
  #networkHeader(ip: number, end: number): number {
    const dv = this.#dv;
    if (!this.#isV4) {
      // Extension headers are as long as the virtio header's csum_start says, when it says so.
      const header = this.#off - vnet.LENGTH;
      if (ip + IPV6_HEADER > end) return 0;
      const start = vnet.csumStart(dv, header) - this.#ip;
      return (vnet.flags(dv, header) & vnet.NEEDS_CSUM) !== 0 && start >= IPV6_HEADER ? start : IPV6_HEADER;
    }
    if (ip + ipv4.MIN_HEADER > end || ipv4.version(dv, ip) !== 4) return 0;
    const length = ipv4.headerLength(dv, ip);
    return length >= ipv4.MIN_HEADER && ip + length <= end ? length : 0;
  }
}

const EMPTY = new DataView(new ArrayBuffer(0));

/**
 * Cut the contiguous super-segment of `length` bytes at `off` into whole frames with complete checksums: each is built at `to` in
 * `target` and given to `emit`, which must be done with it when it returns. False when there is nothing to cut (see `Cutter.begin`).
 */
export function cut(
  cutter: Cutter,
  dv: DataView,
  bytes: Uint8Array,
  off: number,
  length: number,
  target: DataView,
  targetBytes: Uint8Array,
  to: number,
  emit: (length: number) => void,
): boolean {
  if (!cutter.begin(dv, off, length)) return false;
  const { headerLength } = cutter;
  for (let i = 0; i < cutter.count; i++) {
    const start = off + headerLength + cutter.payloadStart(i);
    const size = cutter.payloadSize(i);
    cutter.header(i, target, to);
    targetBytes.set(bytes.subarray(start, start + size), to + headerLength);
    cutter.finish(target, to, checksum.sum(dv, start, size));
    emit(headerLength + size);
  }
  return true;
}
