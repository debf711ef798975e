// A frame in full: one block per layer, one field per line, in the order and words of the RFCs.

import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import { hexLines } from './hex.ts';
import type { Checksum, IcmpLayer, Ipv4Layer, Ipv6Layer, Layer, TcpLayer } from './layers.ts';
import { protocolName } from './layers.ts';
import { tcpFlags } from './summary.ts';

type Field = readonly [name: string, value: string];

const INDENT = '  ';
const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
const bytes = (count: number): string => `${count} byte${count === 1 ? '' : 's'}`;

/** The lines that describe every layer. `frame` is where the payload is taken from. */
export function detailLines(layers: readonly Layer[], frame: Uint8Array, indent = INDENT): string[] {
  return layers.flatMap((layer) => layerLines(layer, frame, indent));
}

function layerLines(layer: Layer, frame: Uint8Array, indent: string): string[] {
  const block = (title: string, fields: readonly Field[]): string[] => [
    `${indent}${title}`,
    ...fields.map(([name, value]) => `${indent}${INDENT}${`${name}:`.padEnd(22)} ${value}`),
  ];
  switch (layer.layer) {
    case 'ethernet':
      return block('Ethernet', [
        ['Destination', `${layer.dst}${layer.dst === 'ff:ff:ff:ff:ff:ff' ? ' (broadcast)' : ''}`],
        ['Source', layer.src],
        ['Type', etherTypeName(layer.type)],
      ]);
    case 'vlan':
      return block('802.1Q VLAN', [
        ['Identifier', String(layer.id)],
        ['Priority', String(layer.priority)],
      ]);
    case 'arp':
      return block('ARP', [
        [
          'Operation',
          layer.op === arp.REQUEST ? '1 (request)' : layer.op === arp.REPLY ? '2 (reply)' : String(layer.op),
        ],
        ['Sender', `${layer.senderMac} ${layer.senderIp}`],
        ['Target', `${layer.targetMac} ${layer.targetIp}`],
      ]);
    case 'ipv4':
      return block('IPv4', ipv4Fields(layer));
    case 'ipv6':
      return block('IPv6', ipv6Fields(layer));
    case 'icmp':
    case 'icmp6': {
      const lines = block(layer.layer === 'icmp' ? 'ICMP' : 'ICMPv6', icmpFields(layer));
      if (layer.quoted === undefined) return lines;
      const inner = indent + INDENT + INDENT;
      return [...lines, `${indent}${INDENT}Packet complained about:`, ...detailLines(layer.quoted, frame, inner)];
    }
    case 'igmp':
      return block('IGMP', [
        ['Type', `${hex(layer.type, 2)} (${layer.name})`],
        ...(layer.group === null ? [] : [['Group', layer.group] as const]),
      ]);
    case 'udp':
      return block('UDP', [
        ['Source port', String(layer.srcPort)],
        ['Destination port', String(layer.dstPort)],
        ['Length', `${bytes(layer.datagramLength)} (payload ${layer.payloadLength})`],
        ['Checksum', checksumText(layer.checksum)],
      ]);
    case 'tcp':
      return block('TCP', tcpFields(layer));
    case 'data': {
      const title = `Payload, ${bytes(layer.length)}${layer.hint === null ? '' : `: ${layer.hint}`}`;
      return [`${indent}${title}`, ...hexLines(frame.subarray(layer.off, layer.off + layer.length), indent + INDENT)];
    }
    case 'unknown':
      return [`${indent}${layer.what}, ${bytes(layer.length)}`];
    case 'malformed':
      return [`${indent}Malformed: ${layer.what}`];
    case 'truncated':
      return [`${indent}Not captured: the rest of ${layer.what}`];
  }
}

function etherTypeName(type: number): string {
  if (type < ethernet.MIN_TYPE) return `length ${type} (802.3)`;
  const names: Record<number, string> = {
    [ethernet.TYPE_IPV4]: 'IPv4',
    [ethernet.TYPE_ARP]: 'ARP',
    [ethernet.TYPE_IPV6]: 'IPv6',
  };
  return `${hex(type, 4)}${names[type] === undefined ? '' : ` (${names[type]})`}`;
}

function checksumText({ value, verdict, expected }: Checksum): string {
  switch (verdict) {
    case 'good':
      return `${hex(value, 4)} (correct)`;
    case 'bad':
      return `${hex(value, 4)} (WRONG, should be ${hex(expected ?? 0, 4)})`;
    case 'partial':
      return `${hex(value, 4)} (partial, left to the device)`;
    case 'absent':
      return 'none';
    case 'unchecked':
      return `${hex(value, 4)} (not checked: not all of it is here)`;
  }
}

const ECN_NAMES = ['not ECN-capable', 'ECT(1)', 'ECT(0)', 'congestion experienced'];

function ipv4Fields(ip: Ipv4Layer): Field[] {
  const flags = [
    ip.reservedFlag ? 'reserved' : '',
    ip.dontFragment ? "don't fragment" : '',
    ip.moreFragments ? 'more fragments' : '',
  ].filter((name) => name !== '');
  const fields: Field[] = [
    ['Header length', bytes(ip.length)],
    ['DSCP', String(ip.tos >> 2)],
    ['ECN', `${ip.tos & 3} (${ECN_NAMES[ip.tos & 3]})`],
    ['Total length', bytes(ip.totalLength)],
    ['Identification', `${hex(ip.id, 4)} (${ip.id})`],
    ['Flags', flags.length === 0 ? 'none' : flags.join(', ')],
    ['Fragment offset', String(ip.fragmentOffset)],
    ['Time to live', String(ip.ttl)],
    ['Protocol', `${ip.protocol} (${protocolName(ip.protocol)})`],
    ['Header checksum', checksumText(ip.checksum)],
    ['Source', ip.src],
    ['Destination', ip.dst],
  ];
  for (const option of ip.options) fields.push(['Option', option]);
  return fields;
}

function ipv6Fields(ip: Ipv6Layer): Field[] {
  return [
    ['Traffic class', hex(ip.trafficClass, 2)],
    ['Flow label', hex(ip.flowLabel, 5)],
    ['Payload length', bytes(ip.payloadLength)],
    ...(ip.extensions.length === 0 ? [] : [['Extension headers', ip.extensions.join(', ')] as const]),
    ['Next header', `${ip.protocol} (${protocolName(ip.protocol)})`],
    ['Hop limit', String(ip.hopLimit)],
    ['Source', ip.src],
    ['Destination', ip.dst],
  ];
}

function icmpFields(message: IcmpLayer): Field[] {
  const fields: Field[] = [
    ['Type', String(message.type)],
    ['Code', `${message.code} (${message.name})`],
    ['Checksum', checksumText(message.checksum)],
  ];
  const optional: readonly (readonly [string, string | number | undefined])[] = [
    ['Identifier', message.id],
    ['Sequence number', message.seq],
    ['Next-hop MTU', message.mtu],
    ['Pointer', message.pointer],
    ['Gateway', message.gateway],
    ['Address mask', message.mask],
    ['Originate timestamp', message.originate],
    ['Receive timestamp', message.receive],
    ['Transmit timestamp', message.transmit],
    ['Target', message.target],
  ];
  for (const [name, value] of optional) if (value !== undefined) fields.push([name, String(value)]);
  return fields;
}

const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

function tcpFields(tcp: TcpLayer): Field[] {
  const names = FLAG_NAMES.filter((_, bit) => (tcp.flags & (1 << bit)) !== 0);
  const fields: Field[] = [
    ['Source port', String(tcp.srcPort)],
    ['Destination port', String(tcp.dstPort)],
    ['Sequence number', String(tcp.seq)],
    ['Acknowledgment number', String(tcp.ack)],
    ['Header length', bytes(tcp.length)],
    ['Flags', `${hex(tcp.flags, 2)} [${tcpFlags(tcp)}] ${names.join(', ') || 'none'}`],
    ['Window', String(tcp.window)],
    ['Checksum', checksumText(tcp.checksum)],
    ['Urgent pointer', String(tcp.urgentPointer)],
  ];
  for (const option of tcp.options) fields.push(['Option', option.text]);
  fields.push(['Payload', bytes(tcp.payloadLength)]);
  return fields;
}
