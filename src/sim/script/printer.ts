// Packets as a script would write them.

import type { OptionSpec } from './ast.ts';
import type { Flow } from './flow.ts';
import { icmpCodeName, icmpTypeName } from './icmp-names.ts';
import type { LivePacket, LiveTcp } from './live.ts';

const FLAGS: readonly (readonly [bit: number, letter: string])[] = [
  [0x02, 'S'],
  [0x01, 'F'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x20, 'U'],
  [0x40, 'E'],
  [0x80, 'W'],
  [0x100, 'A'],
  [0x10, '.'],
];

export const printFlags = (flags: number): string =>
  FLAGS.map(([bit, letter]) => ((flags & bit) === 0 ? '' : letter)).join('') || '-';

export function printOption(option: OptionSpec): string {
  switch (option.kind) {
    case 'mss':
    case 'wscale':
      return `${option.kind} ${option.value}`;
    case 'sack':
      return `sack ${option.blocks.map(([left, right]) => `${left}:${right}`).join(' ')}`;
    case 'TS':
      return `TS val ${option.val} ecr ${option.ecr}`;
    case 'FO':
    case 'FOEXP':
      return option.cookie === '' ? option.kind : `${option.kind} ${option.cookie}`;
    default:
      return option.kind;
  }
}

const printOptions = (options: readonly OptionSpec[]): string =>
  options.length === 0 ? '' : ` <${options.map(printOption).join(',')}>`;

const ECN = ['', '[ect1] ', '[ect0] ', '[ce] '];

/** What the stack sent, with its numbers translated to the script's. */
export function printLive(packet: LivePacket, flow: Flow | null): string {
  const ecn = ECN[packet.tos & 3];
  switch (packet.protocol) {
    case 'tcp':
      return `> ${ecn}${printTcp(packet, flow)}`;
    case 'udp':
      return `> ${ecn}udp (${packet.length})`;
    case 'icmp': {
      const code = icmpCodeName(packet.type, packet.code);
      const mtu = packet.type === 3 && packet.code === 4 ? ` mtu ${packet.mtu}` : '';
      return `> ${ecn}icmp ${icmpTypeName(packet.type)}${code === '' ? '' : ` ${code}`}${mtu}`;
    }
  }
}

function printTcp(packet: LiveTcp, flow: Flow | null): string {
  const seq = flow === null ? packet.seq >>> 0 : flow.scriptSeq(packet.seq);
  const end = (seq + packet.length) % 0x100000000;
  const ack = (packet.flags & 0x10) === 0 ? '' : ` ack ${packet.ack >>> 0}`;
  const urgent = (packet.flags & 0x20) === 0 ? '' : ` urg ${packet.urgent}`;
  const options = packet.options.map(
    (option): OptionSpec =>
      option.kind === 'TS' && flow !== null ? { ...option, val: flow.scriptTimestamp(option.val) } : option,
  );
  return `${printFlags(packet.flags)} ${seq}:${end}(${packet.length})${ack} win ${packet.window}${urgent}${printOptions(options)}`;
}

/** Seconds with six digits behind the point. */
export const printTime = (micros: number): string => (micros / 1e6).toFixed(6);
