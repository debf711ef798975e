// One frame into its layers: what IP carries.

import { formatIpv4 } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as icmp from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import * as tcpOptions from '../wire/tcp-options.ts';
import * as udp from '../wire/udp.ts';
import type { Context, DissectIp, Network } from './dissect-context.ts';
import { checked, data, short, unchecked } from './dissect-context.ts';
import { dissectIcmp6 } from './dissect-icmp6.ts';
import type { IcmpLayer, Layer, TcpOption } from './layers.ts';
import { protocolName } from './layers.ts';

/** Dissect the payload of an IP packet, [off, context.end); it would go on to `claimed` had everything been captured. */
export function dissectTransport(
  context: Context,
  dissectIp: DissectIp,
  off: number,
  claimed: number,
  protocol: number,
  network: Network,
): void {
  const { layers, end } = context;
  if (network.fragmentOffset > 0) {
    layers.push({ layer: 'data', off, length: end - off, hint: null });
    return;
  }
  switch (protocol) {
    case ipv4.PROTOCOL_ICMP:
      dissectIcmp(context, dissectIp, off, claimed, network);
      break;
    case ipv4.PROTOCOL_IGMP:
      dissectIgmp(context, off);
      break;
    case ipv4.PROTOCOL_TCP:
      dissectTcp(context, off, claimed, network);
      break;
    case ipv4.PROTOCOL_UDP:
      dissectUdp(context, off, claimed, network);
      break;
    case 58:
      dissectIcmp6(context, dissectIp, off, claimed, network);
      break;
    default:
      layers.push({
        layer: 'unknown',
        off,
        length: end - off,
        what: `${network.v4 ? 'ip' : 'ip6'}-proto-${protocol} ${protocolName(protocol)}`.replace(/ unknown$/, ''),
      });
  }
}

const pseudoOf = (network: Network, protocol: number, length: number): number =>
  checksum.pseudo(network.src, network.dst, protocol, length);

function dissectUdp(context: Context, off: number, claimed: number, network: Network): void {
  const { dv, end, layers } = context;
  if (end - off < udp.HEADER) {
    short(context, off, 'UDP header');
    return;
  }
  const length = udp.length(dv, off);
  const value = udp.checksum(dv, off);
  const whole = length >= udp.HEADER && (off + length <= claimed || network.isFragment);
  const datagram = { ...context, end: Math.min(end, off + length) };
  layers.push({
    layer: 'udp',
    off,
    length: udp.HEADER,
    srcPort: udp.srcPort(dv, off),
    dstPort: udp.dstPort(dv, off),
    datagramLength: length,
    // RFC 768: zero means the sender computed none.
    checksum:
      value === 0 && network.v4
        ? { value, verdict: 'absent' }
        : whole
          ? checked(datagram, off, off + udp.CHECKSUM_OFFSET, network, pseudoOf(network, ipv4.PROTOCOL_UDP, length))
          : unchecked(value),
    payloadLength: Math.max(0, length - udp.HEADER),
  });
  if (!whole && !context.quoted) {
    layers.push({ layer: 'malformed', off, length: end - off, what: `UDP length ${length}` });
    return;
  }
  data(context, off + udp.HEADER, datagram.end, udp.srcPort(dv, off), udp.dstPort(dv, off), false);
}

function dissectTcp(context: Context, off: number, claimed: number, network: Network): void {
  const { dv, end, layers } = context;
  if (context.quoted && end - off >= 8 && end - off < tcp.MIN_HEADER) {
    // RFC 792 guarantees ports and sequence number only.
    layers.push(quotedTcp(dv, off, end));
    return;
  }
  if (end - off < tcp.MIN_HEADER) {
    short(context, off, 'TCP header');
    return;
  }
  const length = tcp.headerLength(dv, off);
  if (length < tcp.MIN_HEADER || off + length > end) {
    if (length >= tcp.MIN_HEADER) short(context, off, `TCP header of ${length} bytes`);
    else layers.push({ layer: 'malformed', off, length: end - off, what: `TCP data offset ${length >> 2}` });
    return;
  }
  layers.push({
    layer: 'tcp',
    off,
    length,
    srcPort: tcp.srcPort(dv, off),
    dstPort: tcp.dstPort(dv, off),
    seq: tcp.seq(dv, off) >>> 0,
    ack: tcp.ack(dv, off) >>> 0,
    reserved: tcp.reserved(dv, off),
    flags: tcp.flags(dv, off),
    window: tcp.window(dv, off),
    urgentPointer: tcp.urgentPointer(dv, off),
    checksum: checked(
      context,
      off,
      off + tcp.CHECKSUM_OFFSET,
      network,
      pseudoOf(network, ipv4.PROTOCOL_TCP, claimed - off),
    ),
    options: describeTcpOptions(dv, off + tcp.MIN_HEADER, off + length),
    payloadLength: claimed - off - length,
  });
  data(context, off + length, end, tcp.srcPort(dv, off), tcp.dstPort(dv, off), true);
}

function quotedTcp(dv: DataView, off: number, end: number): Layer {
  return {
    layer: 'tcp',
    off,
    length: end - off,
    srcPort: tcp.srcPort(dv, off),
    dstPort: tcp.dstPort(dv, off),
    seq: tcp.seq(dv, off) >>> 0,
    ack: 0,
    reserved: 0,
    flags: 0,
    window: 0,
    urgentPointer: 0,
    checksum: unchecked(0),
    options: [],
    payloadLength: 0,
  };
}

function describeTcpOptions(dv: DataView, off: number, end: number): TcpOption[] {
  const options: TcpOption[] = [];
  const cursor = new tcpOptions.OptionCursor().start(dv, off, end);
  while (cursor.next()) {
    const { kind } = cursor;
    const text = describeTcpOption(dv, cursor);
    options.push(kind === tcpOptions.SACK ? { kind, text, blocks: sackBlocks(dv, cursor) } : { kind, text });
  }
  if (cursor.malformed) options.push({ kind: -1, text: 'malformed' });
  return options;
}

/** SACK blocks in words, relative to sequence number `base`. */
export const sackText = (blocks: readonly (readonly [number, number])[], base: number): string =>
  `sack ${blocks.length} ${blocks.map(([left, right]) => `{${(left - base) >>> 0}:${(right - base) >>> 0}}`).join('')}`;

function sackBlocks(dv: DataView, { off, length }: { off: number; length: number }): [number, number][] {
  const blocks: [number, number][] = [];
  for (let i = 2; i + 8 <= length; i += 8) blocks.push([dv.getUint32(off + i), dv.getUint32(off + i + 4)]);
  return blocks;
}

const unsigned = (dv: DataView, off: number): number => dv.getUint32(off);

function describeTcpOption(dv: DataView, { kind, off, length }: tcpOptions.OptionCursor): string {
  switch (kind) {
    case tcpOptions.END:
      return 'eol';
    case tcpOptions.NOP:
      return 'nop';
    case tcpOptions.MSS:
      return length === 4 ? `mss ${dv.getUint16(off + 2)}` : `mss [len ${length}]`;
    case tcpOptions.WINDOW_SCALE:
      return length === 3 ? `wscale ${dv.getUint8(off + 2)}` : `wscale [len ${length}]`;
    case tcpOptions.SACK_PERMITTED:
      return 'sackOK';
    case tcpOptions.SACK:
      return sackText(sackBlocks(dv, { off, length }), 0);
    case tcpOptions.TIMESTAMPS:
      return length === 10 ? `TS val ${unsigned(dv, off + 2)} ecr ${unsigned(dv, off + 6)}` : `TS [len ${length}]`;
    case tcpOptions.USER_TIMEOUT:
      return length === 4 ? `uto ${tcpOptions.userTimeout(dv, off)} s` : `uto [len ${length}]`;
    case tcpOptions.FAST_OPEN: {
      let cookie = '';
      for (let i = 2; i < length; i++)
        cookie += dv
          .getUint8(off + i)
          .toString(16)
          .padStart(2, '0');
      return cookie === '' ? 'tfo cookiereq' : `tfo cookie ${cookie}`;
    }
    default:
      return `unknown-${kind} (${length} bytes)`;
  }
}

function dissectIgmp(context: Context, off: number): void {
  const { dv, end, layers } = context;
  if (end - off < 8) {
    short(context, off, 'IGMP');
    return;
  }
  const type = dv.getUint8(off);
  const names: Record<number, string> = {
    17: 'query',
    18: 'v1 report',
    22: 'v2 report',
    23: 'leave',
    34: 'v3 report',
  };
  const group = type === 0x22 ? null : formatIpv4(dv.getInt32(off + 4));
  layers.push({
    layer: 'igmp',
    off,
    length: end - off,
    type,
    name: names[type] ?? `type 0x${type.toString(16)}`,
    group,
  });
}

function dissectIcmp(context: Context, dissectIp: DissectIp, off: number, claimed: number, network: Network): void {
  const { dv, end, layers } = context;
  const length = icmp.check(dv, off, end);
  if (length === 0) {
    short(context, off, 'ICMP');
    return;
  }
  const type = icmp.type(dv, off);
  const code = icmp.code(dv, off);
  const quoted: Layer[] = [];
  if (icmp.isError(type)) dissectIp({ ...context, quoted: true, layers: quoted }, off + length);
  const layer: IcmpLayer = {
    layer: 'icmp',
    off,
    length,
    type,
    code,
    name: icmp.codeName(type, code),
    checksum: checked(context, off, off + icmp.CHECKSUM_OFFSET, network, 0),
    messageLength: claimed - off,
    ...icmpFields(dv, off, type, code),
    ...(quoted.length > 0 ? { quoted } : {}),
  };
  layers.push(layer);
  if (quoted.length === 0) data(context, off + length, end, 0, 0, false);
}

function icmpFields(dv: DataView, off: number, type: number, code: number): Partial<IcmpLayer> {
  switch (type) {
    case icmp.ECHO:
    case icmp.ECHO_REPLY:
      return { id: icmp.id(dv, off), seq: icmp.seq(dv, off) };
    case icmp.TIMESTAMP:
    case icmp.TIMESTAMP_REPLY:
      return {
        id: icmp.id(dv, off),
        seq: icmp.seq(dv, off),
        originate: icmp.originate(dv, off),
        receive: icmp.receive(dv, off),
        transmit: icmp.transmit(dv, off),
      };
    case icmp.ADDRESS_MASK:
    case icmp.ADDRESS_MASK_REPLY:
      return { id: icmp.id(dv, off), seq: icmp.seq(dv, off), mask: formatIpv4(icmp.addressMask(dv, off)) };
    case icmp.REDIRECT:
      return { gateway: formatIpv4(icmp.gateway(dv, off)) };
    case icmp.DESTINATION_UNREACHABLE:
      return code === icmp.FRAGMENTATION_NEEDED ? { mtu: icmp.mtu(dv, off) } : {};
    case icmp.PARAMETER_PROBLEM:
      return { pointer: icmp.pointer(dv, off) };
    default:
      return {};
  }
}
