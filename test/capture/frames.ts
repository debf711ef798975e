// Frames to dissect, built by the codecs: whole, with good checksums unless a test spoils them.

import type { CapturedFrame } from '../../src/capture/frame.ts';
import { LINKTYPE_ETHERNET } from '../../src/capture/frame.ts';
import { parseIpv4, parseMac } from '../../src/wire/address.ts';
import * as arp from '../../src/wire/arp.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as icmp from '../../src/wire/icmpv4.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as udp from '../../src/wire/udp.ts';

export const A = parseIpv4('10.9.0.1') as number;
export const B = parseIpv4('10.9.0.2') as number;
const MAC_A = parseMac('02:00:00:00:00:01') as number;
const MAC_B = parseMac('02:00:00:00:00:02') as number;

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
export const hex = (value: string): Uint8Array =>
  new Uint8Array((value.replace(/\s/g, '').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));

export function framed(bytes: Uint8Array, more: Partial<CapturedFrame> = {}): CapturedFrame {
  return {
    time: 0n,
    bytes,
    wireLength: bytes.length,
    linkType: LINKTYPE_ETHERNET,
    direction: null,
    interfaceName: null,
    comment: null,
    ...more,
  };
}

export function ethernetFrame(type: number, payload: Uint8Array, dst = MAC_B, src = MAC_A): Uint8Array {
  const bytes = new Uint8Array(14 + payload.length);
  ethernet.set(viewOf(bytes), 0, dst, src, type);
  bytes.set(payload, 14);
  return bytes;
}

export interface IpOptions {
  fragment?: number;
  id?: number;
  ttl?: number;
  src?: number;
  dst?: number;
  /** A multiple of four bytes. */
  options?: Uint8Array;
}

export function ipFrame(protocol: number, payload: Uint8Array, more: IpOptions = {}): Uint8Array {
  const options = more.options ?? new Uint8Array(0);
  const length = 20 + options.length;
  const packet = new Uint8Array(length + payload.length);
  const dv = viewOf(packet);
  const { id = 1, fragment = ipv4.DONT_FRAGMENT, ttl = 64, src = A, dst = B } = more;
  ipv4.set(dv, 0, length, 0, packet.length, id, fragment, ttl, protocol, src, dst);
  packet.set(options, 20);
  ipv4.updateChecksum(dv, 0);
  packet.set(payload, length);
  return ethernetFrame(ethernet.TYPE_IPV4, packet);
}

export function udpFrame(srcPort: number, dstPort: number, payload: Uint8Array, more: IpOptions = {}): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length);
  const dv = viewOf(datagram);
  udp.set(dv, 0, srcPort, dstPort, datagram.length, 0);
  datagram.set(payload, 8);
  const pseudo = checksum.pseudoV4(more.src ?? A, more.dst ?? B, 17, datagram.length);
  udp.setChecksum(dv, 0, checksum.finishUdp(checksum.sum(dv, 0, datagram.length, pseudo)));
  return ipFrame(17, datagram, more);
}

export interface TcpFields {
  srcPort?: number;
  dstPort?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  urgent?: number;
  /** A multiple of four bytes. */
  options?: Uint8Array;
  payload?: Uint8Array;
  /** Sent by B to A. */
  back?: boolean;
}

export function tcpFrame(fields: TcpFields): Uint8Array {
  const { srcPort = 40000, dstPort = 110, seq = 1000, ack = 0, flags = tcp.ACK, window = 64240, urgent = 0 } = fields;
  const { options = new Uint8Array(0), payload = new Uint8Array(0), back = false } = fields;
  const [src, dst] = back ? [B, A] : [A, B];
  const segment = new Uint8Array(20 + options.length + payload.length);
  const dv = viewOf(segment);
  const [from, to] = back ? [dstPort, srcPort] : [srcPort, dstPort];
  tcp.set(dv, 0, from, to, seq, ack, 20 + options.length, flags, window);
  tcp.setUrgentPointer(dv, 0, urgent);
  segment.set(options, 20);
  segment.set(payload, 20 + options.length);
  const pseudo = checksum.pseudoV4(src, dst, 6, segment.length);
  tcp.setChecksum(dv, 0, checksum.finish(checksum.sum(dv, 0, segment.length, pseudo)));
  return ipFrame(6, segment, { src, dst });
}

export function icmpFrame(
  type: number,
  code: number,
  rest: number,
  body: Uint8Array,
  more: IpOptions = {},
): Uint8Array {
  const message = new Uint8Array(8 + body.length);
  const dv = viewOf(message);
  icmp.set(dv, 0, type, code, rest);
  message.set(body, 8);
  icmp.setChecksum(dv, 0, checksum.finish(checksum.sum(dv, 0, message.length)));
  return ipFrame(1, message, more);
}

export function arpFrame(op: number, senderIp: number, targetIp: number, targetMac = 0): Uint8Array {
  const bytes = new Uint8Array(arp.LENGTH);
  arp.set(viewOf(bytes), 0, op, MAC_A, senderIp, targetMac, targetIp);
  return ethernetFrame(ethernet.TYPE_ARP, bytes, 0xffffffffffff);
}

/** The IP packet of a frame, as an ICMP error quotes it. */
export const quote = (frame: Uint8Array, length = frame.length - 14): Uint8Array => frame.slice(14, 14 + length);
