// What a capture filter looks at in a dissected frame.

import type { CapturedFrame } from './frame.ts';
import type { Layer } from './layers.ts';
import { layerOf } from './layers.ts';

export interface Subject {
  readonly frame: CapturedFrame;
  readonly layers: readonly Layer[];
}

export interface Pair<T> {
  readonly src: T;
  readonly dst: T;
}

/** Network addresses: those of IP, or of an ARP packet. */
export function addressesOf(layers: readonly Layer[]): Pair<string> | null {
  const ip = layerOf(layers, 'ipv4') ?? layerOf(layers, 'ipv6');
  if (ip !== undefined) return ip;
  const arp = layerOf(layers, 'arp');
  return arp === undefined ? null : { src: arp.senderIp, dst: arp.targetIp };
}

export function portsOf(layers: readonly Layer[]): Pair<number> | null {
  const transport = layerOf(layers, 'tcp') ?? layerOf(layers, 'udp');
  return transport === undefined ? null : { src: transport.srcPort, dst: transport.dstPort };
}

export const macsOf = (layers: readonly Layer[]): Pair<string> | null => layerOf(layers, 'ethernet') ?? null;

/** Sent to a group: the low bit of the first octet of the destination (IEEE 802.3 §3.2.3). */
export function isGroup(layers: readonly Layer[]): boolean {
  const dst = layerOf(layers, 'ethernet')?.dst;
  return dst !== undefined && (Number.parseInt(dst.slice(0, 2), 16) & 1) === 1;
}
