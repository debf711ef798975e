// Real packets on the script's link: taken apart when the stack sends them, built when the script does.

import * as checksum from '../../wire/checksum.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as icmpv4 from '../../wire/icmpv4.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as tcp from '../../wire/tcp.ts';
import * as tcpOptions from '../../wire/tcp-options.ts';
import * as udp from '../../wire/udp.ts';
import * as vnet from '../../wire/vnet.ts';
import type { IcmpSpec, OptionSpec, TcpSpec, UdpSpec } from './ast.ts';
import type { Flow } from './flow.ts';

interface LiveBase {
  /** When it was sent, µs of the stack's clock. */
  readonly at: number;
  readonly tos: number;
  readonly ttl: number;
}

export interface LiveTcp extends LiveBase {
  readonly protocol: 'tcp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  /** With AE at 0x100. */
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  readonly length: number;
  /** Payload bytes per segment of a super-segment, else 0. */
  readonly gsoSize: number;
  readonly options: readonly OptionSpec[];
}

export interface LiveUdp extends LiveBase {
  readonly protocol: 'udp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly length: number;
}

export interface LiveIcmp extends LiveBase {
  readonly protocol: 'icmp';
  readonly type: number;
  readonly code: number;
  readonly mtu: number;
}

export type LivePacket = LiveTcp | LiveUdp | LiveIcmp;

/** What the stack sent: `frame` begins with its virtio header. Null for what is no IPv4 packet of a protocol scripts speak of. */
export function dissect(frame: Uint8Array, at: number): LivePacket | null {
  const dv = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const ip = vnet.LENGTH + ethernet.HEADER;
  if (dv.getUint16(ip - 2) !== ethernet.TYPE_IPV4) return null;
  const header = ipv4.check(dv, ip, frame.length);
  if (header === 0) return null;
  const off = ip + header;
  const end = ip + ipv4.totalLength(dv, ip);
  const base = { at, tos: ipv4.tos(dv, ip), ttl: ipv4.ttl(dv, ip) };
  switch (ipv4.protocol(dv, ip)) {
    case ipv4.PROTOCOL_TCP: {
      const length = tcp.check(dv, off, end);
      if (length === 0) return null;
      return {
        protocol: 'tcp',
        ...base,
        srcPort: tcp.srcPort(dv, off),
        dstPort: tcp.dstPort(dv, off),
        seq: tcp.seq(dv, off),
        ack: tcp.ack(dv, off),
        flags: tcp.flags(dv, off) | ((tcp.reserved(dv, off) & 1) << 8),
        window: tcp.window(dv, off),
        urgent: tcp.urgentPointer(dv, off),
        length: end - off - length,
        gsoSize: vnet.gsoType(dv, 0) === vnet.GSO_NONE ? 0 : vnet.gsoSize(dv, 0),
        options: optionsOf(dv, off + tcp.MIN_HEADER, off + length),
      };
    }
    case ipv4.PROTOCOL_UDP:
      return {
        protocol: 'udp',
        ...base,
        srcPort: udp.srcPort(dv, off),
        dstPort: udp.dstPort(dv, off),
        length: end - off - udp.HEADER,
      };
    case ipv4.PROTOCOL_ICMP:
      return {
        protocol: 'icmp',
        ...base,
        type: icmpv4.type(dv, off),
        code: icmpv4.code(dv, off),
        mtu: icmpv4.mtu(dv, off),
      };
    default:
      return null;
  }
}

function optionsOf(dv: DataView, off: number, end: number): OptionSpec[] {
  const options: OptionSpec[] = [];
  while (off < end) {
    const kind = dv.getUint8(off);
    if (kind === tcpOptions.END) break;
    if (kind === tcpOptions.NOP) {
      options.push({ kind: 'nop' });
      off++;
      continue;
    }
    const length = off + 1 < end ? dv.getUint8(off + 1) : 0;
    if (length < 2 || off + length > end) break;
    if (kind === tcpOptions.MSS) options.push({ kind: 'mss', value: dv.getUint16(off + 2) });
    else if (kind === tcpOptions.WINDOW_SCALE) options.push({ kind: 'wscale', value: dv.getUint8(off + 2) });
    else if (kind === tcpOptions.SACK_PERMITTED) options.push({ kind: 'sackOK' });
    else if (kind === tcpOptions.TIMESTAMPS)
      options.push({ kind: 'TS', val: dv.getUint32(off + 2), ecr: dv.getUint32(off + 6) });
    else if (kind === tcpOptions.SACK) {
      const blocks: [number, number][] = [];
      for (let at = off + 2; at + 8 <= off + length; at += 8) blocks.push([dv.getUint32(at), dv.getUint32(at + 4)]);
      options.push({ kind: 'sack', blocks });
    } else if (kind === tcpOptions.FAST_OPEN) {
      let cookie = '';
      for (let at = off + 2; at < off + length; at++) cookie += dv.getUint8(at).toString(16).padStart(2, '0');
      options.push({ kind: 'FO', cookie });
    }
    off += length;
  }
  return options;
}

/** The two ends of the link. */
export interface Ends {
  readonly localIp: number;
  readonly remoteIp: number;
}

const DEFAULT_WINDOW = 0;
const TTL = 255; // what packetdrill sends with when the script does not say

/** An Ethernet frame with an IP packet of `length` bytes of payload; the caller fills it from the offset returned on. */
function frameFor(
  ends: Ends,
  protocol: number,
  length: number,
  tos: number,
  ttl: number,
): [Uint8Array, DataView, number] {
  const frame = new Uint8Array(ethernet.HEADER + ipv4.MIN_HEADER + length);
  const dv = new DataView(frame.buffer);
  const ip = ethernet.HEADER;
  ethernet.set(dv, 0, 0, 0, ethernet.TYPE_IPV4);
  const total = ipv4.MIN_HEADER + length;
  ipv4.set(dv, ip, ipv4.MIN_HEADER, tos, total, 0, 0, ttl, protocol, ends.remoteIp, ends.localIp);
  ipv4.updateChecksum(dv, ip);
  return [frame, dv, ip + ipv4.MIN_HEADER];
}

const tosOf = (spec: TcpSpec | UdpSpec | IcmpSpec): number =>
  spec.ip.tos ?? (typeof spec.ip.ecn === 'number' ? spec.ip.ecn : 0);

export function buildTcp(spec: TcpSpec, flow: Flow, ends: Ends): Uint8Array {
  const options = encodeOptions(spec.options ?? [], flow);
  const header = tcp.MIN_HEADER + options.length;
  const [frame, dv, off] = frameFor(ends, ipv4.PROTOCOL_TCP, header + spec.length, tosOf(spec), spec.ip.ttl ?? TTL);
  const srcPort = spec.srcPort || flow.remotePort;
  const dstPort = spec.dstPort || flow.localPort;
  const ack = (spec.flags & tcp.ACK) === 0 ? 0 : flow.liveSeq(spec.ack);
  const window = spec.window < 0 ? DEFAULT_WINDOW : spec.window;
  tcp.set(dv, off, srcPort, dstPort, (spec.seq ?? 0) | 0, ack, header, spec.flags, window);
  if (spec.urgent > 0) tcp.setUrgentPointer(dv, off, spec.urgent);
  frame.set(options, off + tcp.MIN_HEADER);
  const length = header + spec.length;
  const pseudo = checksum.pseudoV4(ends.remoteIp, ends.localIp, ipv4.PROTOCOL_TCP, length);
  tcp.setChecksum(dv, off, checksum.finish(checksum.sum(dv, off, length, pseudo)));
  return frame;
}

function encodeOptions(options: readonly OptionSpec[], flow: Flow): Uint8Array {
  const bytes: number[] = [];
  const word = (value: number): void => {
    bytes.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
  };
  for (const option of options) {
    switch (option.kind) {
      case 'nop':
        bytes.push(tcpOptions.NOP);
        break;
      case 'eol':
        bytes.push(tcpOptions.END);
        break;
      case 'mss':
        bytes.push(tcpOptions.MSS, 4, option.value >> 8, option.value & 255);
        break;
      case 'wscale':
        bytes.push(tcpOptions.WINDOW_SCALE, 3, option.value);
        break;
      case 'sackOK':
        bytes.push(tcpOptions.SACK_PERMITTED, 2);
        break;
      case 'sack':
        bytes.push(tcpOptions.SACK, 2 + 8 * option.blocks.length);
        for (const [left, right] of option.blocks) {
          word(flow.liveSeq(left));
          word(flow.liveSeq(right));
        }
        break;
      case 'TS':
        bytes.push(tcpOptions.TIMESTAMPS, 10);
        word(option.val);
        word(flow.liveTimestamp(option.ecr));
        break;
      case 'FO':
        bytes.push(tcpOptions.FAST_OPEN, 2 + option.cookie.length / 2);
        pushHex(bytes, option.cookie);
        break;
      case 'FOEXP':
        bytes.push(254, 4 + option.cookie.length / 2, 0xf9, 0x89); // RFC 7413 appendix, RFC 6994
        pushHex(bytes, option.cookie);
        break;
    }
  }
  while (bytes.length % 4 !== 0) bytes.push(tcpOptions.END);
  return Uint8Array.from(bytes);
}

function pushHex(bytes: number[], hex: string): void {
  for (let i = 0; i + 1 < hex.length; i += 2) bytes.push(Number.parseInt(hex.slice(i, i + 2), 16));
}

export function buildUdp(spec: UdpSpec, flow: Flow, ends: Ends): Uint8Array {
  const length = udp.HEADER + spec.length;
  const [frame, dv, off] = frameFor(ends, ipv4.PROTOCOL_UDP, length, tosOf(spec), spec.ip.ttl ?? TTL);
  udp.set(dv, off, spec.srcPort || flow.remotePort, spec.dstPort || flow.localPort, length, 0);
  const pseudo = checksum.pseudoV4(ends.remoteIp, ends.localIp, ipv4.PROTOCOL_UDP, length);
  udp.setChecksum(dv, off, checksum.finishUdp(checksum.sum(dv, off, length, pseudo)));
  return frame;
}

const QUOTED_TCP = tcp.MIN_HEADER;

export function buildIcmp(spec: IcmpSpec, flow: Flow, ends: Ends): Uint8Array {
  const isError = icmpv4.isError(spec.type);
  const quotedTransport = spec.quoted.protocol === 'tcp' ? QUOTED_TCP : udp.HEADER;
  const length = isError ? icmpv4.HEADER + ipv4.MIN_HEADER + quotedTransport : icmpv4.HEADER;
  const [frame, dv, off] = frameFor(ends, ipv4.PROTOCOL_ICMP, length, tosOf(spec), spec.ip.ttl ?? TTL);
  icmpv4.set(dv, off, spec.type, spec.code, isError ? spec.mtu : spec.id << 16);
  if (isError) {
    const at = off + icmpv4.HEADER;
    const { quoted } = spec;
    const isTcp = quoted.protocol === 'tcp';
    const protocol = isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
    const total = ipv4.MIN_HEADER + quotedTransport + quoted.length;
    ipv4.set(dv, at, ipv4.MIN_HEADER, 0, total, 0, ipv4.DONT_FRAGMENT, 64, protocol, ends.localIp, ends.remoteIp);
    ipv4.updateChecksum(dv, at);
    const transport = at + ipv4.MIN_HEADER;
    if (quoted.protocol === 'tcp')
      tcp.set(dv, transport, flow.localPort, flow.remotePort, flow.liveSeq(quoted.seq), 0, QUOTED_TCP, tcp.ACK, 0);
    else udp.set(dv, transport, flow.localPort, flow.remotePort, udp.HEADER + quoted.length, 0);
  }
  icmpv4.setChecksum(dv, off, checksum.finish(checksum.sum(dv, off, length)));
  return frame;
}
