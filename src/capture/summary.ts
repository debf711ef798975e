// A frame in one line, in tcpdump's words: `IP 10.9.0.1.45678 > 10.9.0.2.110: Flags [S], seq 1, win 64240, length 0`.
//
// Unlike tcpdump, a bad checksum is told without being asked for, and one left to the device is said to be partial.

import * as arp from '../wire/arp.ts';
import * as icmp from '../wire/icmpv4.ts';
import { sackText } from './dissect-transport.ts';
import type {
  ArpLayer,
  Checksum,
  IcmpLayer,
  IgmpLayer,
  Ipv4Layer,
  Ipv6Layer,
  Layer,
  TcpLayer,
  UdpLayer,
} from './layers.ts';
import { layerOf, protocolName } from './layers.ts';
import { Streams } from './streams.ts';

export interface SummaryOptions {
  /** Sequence numbers as they stand in the header. */
  readonly absolute?: boolean;
  /** Begin with the Ethernet header. */
  readonly link?: boolean;
}

const hex4 = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

function cksum(name: string, checksum: Checksum): string {
  if (checksum.verdict === 'partial') return ` [${name} cksum partial]`;
  if (checksum.verdict !== 'bad') return '';
  return ` [bad ${name} cksum ${hex4(checksum.value)} -> ${hex4(checksum.expected ?? 0)}!]`;
}

export class Summary {
  readonly #streams = new Streams();
  readonly #options: SummaryOptions;

  constructor(options: SummaryOptions = {}) {
    this.#options = options;
  }

  /** One line for a frame of `length` bytes on the wire. Frames of a capture are to be given in order. */
  line(layers: readonly Layer[], length: number): string {
    let prefix = '';
    const ethernet = layerOf(layers, 'ethernet');
    if (ethernet !== undefined && this.#options.link === true) {
      prefix += `${ethernet.src} > ${ethernet.dst}, ethertype ${hex4(ethernet.type)}, length ${length}: `;
    }
    const vlan = layerOf(layers, 'vlan');
    if (vlan !== undefined) prefix += `vlan ${vlan.id}, p ${vlan.priority}, `;
    return prefix + this.#network(layers, length);
  }

  #network(layers: readonly Layer[], length: number): string {
    for (const layer of layers) {
      if (layer.layer === 'arp') return describeArp(layer, length - layer.off);
      if (layer.layer === 'ipv4' || layer.layer === 'ipv6') return this.#ip(layer, layers);
      if (layer.layer === 'unknown') return `${layer.what}, length ${layer.length}`;
      if (layer.layer === 'malformed') return `[malformed ${layer.what}], length ${length}`;
      if (layer.layer === 'truncated') return `[|${layer.what}], length ${length}`;
    }
    return `length ${length}`;
  }

  #ip(ip: Ipv4Layer | Ipv6Layer, layers: readonly Layer[]): string {
    const name = ip.layer === 'ipv4' ? 'IP' : 'IP6';
    const notes = ip.layer === 'ipv4' ? cksum('ip', ip.checksum) : '';
    const behind = layers.slice(layers.indexOf(ip) + 1);
    const upper = behind[0];
    const plain = `${name} ${ip.src} > ${ip.dst}:`;
    if (upper === undefined)
      return `${plain} ${ip.layer === 'ipv4' ? protocolName(ip.protocol) : 'no next header'}${notes}`;
    if (ip.fragmentOffset > 0) {
      return `${plain} ${protocolName(ip.protocol)}, fragment ${fragmentOf(ip, layers)}${notes}`;
    }
    const fragment = ip.moreFragments ? `, fragment ${fragmentOf(ip, layers)}` : '';
    switch (upper.layer) {
      case 'tcp':
        return `${name} ${ip.src}.${upper.srcPort} > ${ip.dst}.${upper.dstPort}: ${this.#tcp(ip, upper, behind)}${fragment}${notes}`;
      case 'udp':
        return `${name} ${ip.src}.${upper.srcPort} > ${ip.dst}.${upper.dstPort}: ${describeUdp(upper, behind)}${fragment}${notes}`;
      case 'icmp':
        return `${plain} ${describeIcmp(upper)}${fragment}${notes}`;
      case 'icmp6':
        return `${plain} ${describeIcmp6(upper)}${fragment}${notes}`;
      case 'igmp':
        return `${plain} ${describeIgmp(upper)}${notes}`;
      case 'unknown':
        return `${plain} ${upper.what} ${upper.length}${notes}`;
      case 'malformed':
        return `${plain} [malformed ${upper.what}]${notes}`;
      case 'truncated':
        return `${plain} [|${upper.what}]${notes}`;
      default:
        return `${plain} ${protocolName(ip.protocol)}, length ${upper.length}${fragment}${notes}`;
    }
  }

  #tcp(ip: { src: string; dst: string }, tcp: TcpLayer, layers: readonly Layer[]): string {
    const isSyn = (tcp.flags & 0x02) !== 0;
    const { seq, ack, sackBase } =
      this.#options.absolute === true
        ? { seq: tcp.seq, ack: tcp.ack, sackBase: 0 }
        : this.#streams.relative(`${ip.src}.${tcp.srcPort}`, `${ip.dst}.${tcp.dstPort}`, tcp.seq, tcp.ack, isSyn);
    let text = `Flags [${tcpFlags(tcp)}]${cksum('tcp', tcp.checksum)}`;
    const length = tcp.payloadLength;
    if (length > 0) text += `, seq ${seq}:${(seq + length) >>> 0}`;
    else if ((tcp.flags & 0x07) !== 0) text += `, seq ${seq}`;
    if ((tcp.flags & 0x10) !== 0) text += `, ack ${ack}`;
    text += `, win ${tcp.window}`;
    if ((tcp.flags & 0x20) !== 0) text += `, urg ${tcp.urgentPointer}`;
    if (tcp.options.length > 0) {
      const options = tcp.options.map((option) =>
        option.blocks === undefined ? option.text : sackText(option.blocks, sackBase),
      );
      text += `, options [${options.join(',')}]`;
    }
    const hint = layerOf(layers, 'data')?.hint ?? null;
    return `${text}, length ${length}${hint === null ? '' : `: ${hint}`}`;
  }
}

/** tcpdump's letters; "none" when no flag is set. */
export function tcpFlags({ flags, reserved }: { flags: number; reserved: number }): string {
  let text = '';
  for (const [bit, letter] of FLAG_LETTERS) if ((flags & bit) !== 0) text += letter;
  if ((reserved & 1) !== 0) text += 'e';
  return text === '' ? 'none' : text;
}

const FLAG_LETTERS = [
  [0x01, 'F'],
  [0x02, 'S'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x10, '.'],
  [0x20, 'U'],
  [0x40, 'E'],
  [0x80, 'W'],
] as const;

function fragmentOf(ip: Ipv4Layer | Ipv6Layer, layers: readonly Layer[]): string {
  const length =
    ip.layer === 'ipv4'
      ? ip.totalLength - ip.length
      : layers.slice(layers.indexOf(ip) + 1).reduce((sum, layer) => sum + layer.length, 0);
  const id = ip.layer === 'ipv4' ? `id ${ip.id} ` : '';
  return `${id}${length}@${ip.fragmentOffset}${ip.moreFragments ? '+' : ''}`;
}

function describeArp(layer: ArpLayer, length: number): string {
  const { senderIp, senderMac, targetIp, targetMac } = layer;
  const known = targetMac === '00:00:00:00:00:00' || targetMac === 'ff:ff:ff:ff:ff:ff' ? '' : ` (${targetMac})`;
  if (layer.op === arp.REQUEST) {
    // RFC 5227 §1.1: a probe has no sender address, an announcement asks for its own.
    if (senderIp === '0.0.0.0') return `ARP, Probe ${targetIp}, length ${length}`;
    if (senderIp === targetIp) return `ARP, Announcement ${senderIp}, length ${length}`;
    return `ARP, Request who-has ${targetIp}${known} tell ${senderIp}, length ${length}`;
  }
  if (layer.op === arp.REPLY) return `ARP, Reply ${senderIp} is-at ${senderMac}, length ${length}`;
  return `ARP, op ${layer.op}, length ${length}`;
}

function describeUdp(udp: UdpLayer, layers: readonly Layer[]): string {
  const sum = cksum('udp', udp.checksum).trimStart();
  const lead = sum === '' ? '' : `${sum} `;
  if (layerOf(layers, 'malformed') !== undefined) return `${lead}[malformed UDP, length ${udp.datagramLength}]`;
  const hint = layerOf(layers, 'data')?.hint ?? null;
  return lead + (hint ?? `UDP, length ${udp.payloadLength}`);
}

function describeIgmp(igmp: IgmpLayer): string {
  return `igmp ${igmp.name}${igmp.group === null ? '' : ` ${igmp.group}`}`;
}

/** "10.9.0.2 udp port 33434", as far as the quoted packet tells. */
function quotedEndpoint(message: IcmpLayer): string {
  const quoted = message.quoted ?? [];
  const ip = layerOf(quoted, 'ipv4') ?? layerOf(quoted, 'ipv6');
  const transport = layerOf(quoted, 'udp') ?? layerOf(quoted, 'tcp');
  if (ip === undefined) return '';
  return transport === undefined ? ip.dst : `${ip.dst} ${transport.layer} port ${transport.dstPort}`;
}

function describeIcmp(message: IcmpLayer): string {
  const tail = `${cksum('icmp', message.checksum)}, length ${message.messageLength}`;
  const quoted = layerOf(message.quoted ?? [], 'ipv4');
  const host = quoted?.dst ?? '?';
  switch (message.type) {
    case icmp.ECHO:
    case icmp.ECHO_REPLY:
      return `ICMP ${message.name}, id ${message.id}, seq ${message.seq}${tail}`;
    case icmp.DESTINATION_UNREACHABLE:
      return `ICMP ${describeUnreachable(message, host)}${tail}`;
    case icmp.REDIRECT:
      return `ICMP redirect ${host} to ${message.code === icmp.REDIRECT_HOST ? 'host' : 'net'} ${message.gateway}${tail}`;
    case icmp.TIME_EXCEEDED:
      return `ICMP ${message.code === icmp.TTL_EXCEEDED ? 'time exceeded in-transit' : 'ip reassembly time exceeded'}${tail}`;
    case icmp.PARAMETER_PROBLEM:
      return `ICMP parameter problem - ${message.code === 0 ? `octet ${message.pointer}` : message.name}${tail}`;
    case icmp.TIMESTAMP:
      return `ICMP time stamp query id ${message.id} seq ${message.seq}${tail}`;
    case icmp.TIMESTAMP_REPLY:
      return `ICMP time stamp reply id ${message.id} seq ${message.seq}: org ${clock(message.originate)}, recv ${clock(message.receive)}, xmit ${clock(message.transmit)}${tail}`;
    case icmp.ADDRESS_MASK_REPLY:
      return `ICMP address mask is ${message.mask}${tail}`;
    default:
      return `ICMP ${message.name}${tail}`;
  }
}

function describeUnreachable(message: IcmpLayer, host: string): string {
  const quoted = layerOf(message.quoted ?? [], 'ipv4');
  switch (message.code) {
    case icmp.NET_UNREACHABLE:
      return `net ${host} unreachable`;
    case icmp.HOST_UNREACHABLE:
      return `host ${host} unreachable`;
    case icmp.PROTOCOL_UNREACHABLE:
      return `${host} protocol ${quoted?.protocol ?? '?'} unreachable`;
    case icmp.PORT_UNREACHABLE:
      return `${quotedEndpoint(message)} unreachable`;
    case icmp.FRAGMENTATION_NEEDED:
      return `${host} unreachable - need to frag${message.mtu ? ` (mtu ${message.mtu})` : ''}`;
    default:
      return `${host} unreachable - ${message.name}`;
  }
}

/** Milliseconds since midnight as hh:mm:ss.mmm; with the high bit set they are something else (RFC 792). */
function clock(time: number | undefined): string {
  if (time === undefined || time >= 86_400_000) return String(time ?? '?');
  const pad = (value: number, width = 2): string => String(Math.floor(value)).padStart(width, '0');
  return `${pad(time / 3_600_000)}:${pad((time / 60_000) % 60)}:${pad((time / 1000) % 60)}.${pad(time % 1000, 3)}`;
}

function describeIcmp6(message: IcmpLayer): string {
  const tail = `${cksum('icmp6', message.checksum)}, length ${message.messageLength}`;
  if (message.seq !== undefined) return `ICMP6, ${message.name}, id ${message.id}, seq ${message.seq}${tail}`;
  if (message.target !== undefined) {
    return `ICMP6, ${message.name}, ${message.type === 135 ? 'who has' : 'tgt is'} ${message.target}${tail}`;
  }
  if (message.mtu !== undefined) return `ICMP6, packet too big, mtu ${message.mtu}${tail}`;
  return `ICMP6, ${message.name}${message.quoted === undefined ? '' : ` ${quotedEndpoint(message)}`}${tail}`;
}
