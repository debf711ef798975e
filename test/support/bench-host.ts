// One stack on a link that the test plays: frames in, frames out, nothing in between.

import type { Link } from '../../src/link/link.ts';
import type { FrameBatch } from '../../src/mem/frame-batch.ts';
import type { AddressOptions } from '../../src/net/conflict.ts';
import type { Nic, NicOptions } from '../../src/net/nic.ts';
import type { Stack, StackOptions } from '../../src/stack.ts';
import { Address, formatIpv4, parseIpv4 } from '../../src/wire/address.ts';
import * as arp from '../../src/wire/arp.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as icmpv4 from '../../src/wire/icmpv4.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as udp from '../../src/wire/udp.ts';
import { Network } from './two-stacks.ts';

export const ip = (text: string): number => {
  const value = parseIpv4(text);
  if (value === null) throw new Error(`not an address: ${text}`);
  return value;
};
export const address = (text: string): Address => Address.v4(ip(text));

export const OUR_MAC = 0x020000000002;
export const PEER_MAC = 0x020000000001;
export const BROADCAST_MAC = 0xffffffffffff;

/** A device that hands out what the test put in, and keeps what it is given. */
export class TestLink implements Link {
  readonly mtu: number;
  readonly offload = 0;
  readonly incoming: Uint8Array[] = [];
  readonly outgoing: Uint8Array[] = [];
  /** How many frames the device takes before it is full. */
  room = Infinity;

  constructor(mtu = 1500) {
    this.mtu = mtu;
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    while (this.incoming.length > 0 && rx.push(this.incoming[0])) this.incoming.shift();
    return rx.count;
  }

  send(tx: FrameBatch): number {
    let i = 0;
    for (; i < tx.count && this.room > 0; i++, this.room--) {
      const frame = new Uint8Array(tx.frameLength(i));
      tx.gather(i, frame, 0);
      this.outgoing.push(frame);
    }
    return i;
  }
}

export interface IpFields {
  src?: string;
  dst?: string;
  protocol?: number;
  payload?: Uint8Array;
  id?: number;
  /** The 16-bit field of flags and offset. */
  fragment?: number;
  ttl?: number;
  tos?: number;
  options?: Uint8Array;
}

export function ipPacket(fields: IpFields): Uint8Array {
  const payload = fields.payload ?? new Uint8Array(0);
  const options = fields.options ?? new Uint8Array(0);
  const header = 20 + options.length;
  const bytes = new Uint8Array(header + payload.length);
  const dv = new DataView(bytes.buffer);
  const { id = 7, fragment = 0, ttl = 64, protocol = 1, tos = 0 } = fields;
  const [src, dst] = [ip(fields.src ?? '10.9.0.1'), ip(fields.dst ?? '10.9.0.2')];
  ipv4.set(dv, 0, header, tos, bytes.length, id, fragment, ttl, protocol, src, dst);
  bytes.set(options, 20);
  ipv4.updateChecksum(dv, 0);
  bytes.set(payload, header);
  return bytes;
}

export function frame(payload: Uint8Array, dst = OUR_MAC, src = PEER_MAC, type = ethernet.TYPE_IPV4): Uint8Array {
  const bytes = new Uint8Array(14 + payload.length);
  ethernet.set(new DataView(bytes.buffer), 0, dst, src, type);
  bytes.set(payload, 14);
  return bytes;
}

export interface ArpFields {
  op?: number;
  senderMac?: number;
  sender: string;
  targetMac?: number;
  target: string;
  to?: number;
}

export function arpFrame(fields: ArpFields): Uint8Array {
  const bytes = new Uint8Array(28);
  const { op = arp.REQUEST, senderMac = PEER_MAC, targetMac = 0 } = fields;
  arp.set(new DataView(bytes.buffer), 0, op, senderMac, ip(fields.sender), targetMac, ip(fields.target));
  return frame(bytes, fields.to ?? BROADCAST_MAC, senderMac, ethernet.TYPE_ARP);
}

export function icmpMessage(
  type: number,
  code: number,
  rest: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  const dv = new DataView(bytes.buffer);
  icmpv4.set(dv, 0, type, code, rest);
  bytes.set(data, 8);
  icmpv4.setChecksum(dv, 0, checksum.finish(checksum.sum(dv, 0, bytes.length)));
  return bytes;
}

export function udpDatagram(
  srcPort: number,
  dstPort: number,
  payload: Uint8Array,
  src = '10.9.0.1',
  dst = '10.9.0.2',
): Uint8Array {
  const bytes = new Uint8Array(8 + payload.length);
  const dv = new DataView(bytes.buffer);
  udp.set(dv, 0, srcPort, dstPort, bytes.length, 0);
  bytes.set(payload, 8);
  const pseudo = checksum.pseudoV4(ip(src), ip(dst), 17, bytes.length);
  udp.setChecksum(dv, 0, checksum.finishUdp(checksum.sum(dv, 0, bytes.length, pseudo)));
  return bytes;
}

/** One line per frame, so that a test reads like a capture. */
export function describe(bytes: Uint8Array): string {
  const dv = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = ethernet.check(dv, 0, bytes.length);
  const vlan = ethernet.vlanId(dv, 0) < 0 ? '' : `vlan ${ethernet.vlanId(dv, 0)} `;
  if (ethernet.etherType(dv, 0) === ethernet.TYPE_ARP) {
    const [sender, target] = [formatIpv4(arp.senderIp(dv, header)), formatIpv4(arp.targetIp(dv, header))];
    const to = ethernet.dst(dv, 0) === BROADCAST_MAC ? '' : ' unicast';
    return arp.op(dv, header) === arp.REQUEST ? `arp who-has ${target} tell ${sender}${to}` : `arp ${sender} is here`;
  }
  if (ipv4.check(dv, header, bytes.length) === 0 || !ipv4.checksumIsValid(dv, header)) return 'bad ip';
  const src = formatIpv4(ipv4.src(dv, header));
  const dst = formatIpv4(ipv4.dst(dv, header));
  const at = header + ipv4.headerLength(dv, header);
  const length = ipv4.totalLength(dv, header) - ipv4.headerLength(dv, header);
  const offset = ipv4.fragmentOffset(dv, header);
  const piece = ipv4.isFragment(dv, header) ? ` frag ${offset}${ipv4.moreFragments(dv, header) ? '+' : ''}` : '';
  let what = `proto ${ipv4.protocol(dv, header)}`;
  if (offset === 0 && ipv4.protocol(dv, header) === 1)
    what = `icmp ${icmpv4.codeName(icmpv4.type(dv, at), icmpv4.code(dv, at))}`;
  if (offset === 0 && ipv4.protocol(dv, header) === 17) what = `udp ${udp.srcPort(dv, at)} > ${udp.dstPort(dv, at)}`;
  return `${vlan}${src} > ${dst} ${what}${piece} ${length}`;
}

export interface BenchHost {
  net: Network;
  stack: Stack;
  nic: Nic;
  link: TestLink;
  /** Let `frames` arrive and everything due happen. Returns what was sent, described. */
  inject(...frames: Uint8Array[]): string[];
  /** Everything sent since last asked, described. */
  sent(): string[];
  /** The same, as bytes. */
  frames(): Uint8Array[];
}

export interface BenchOptions {
  mtu?: number;
  stack?: Partial<StackOptions>;
  nic?: NicOptions;
  acd?: AddressOptions['acd'];
  defence?: AddressOptions['defence'];
  /** The peer's MAC is known from the start; default true. */
  peerKnown?: boolean;
  prefix?: number;
}

/** 10.9.0.2/24 on a link where 10.9.0.1 lives. */
export function benchHost(options: BenchOptions = {}): BenchHost {
  const net = new Network();
  const stack = net.addStack(7, options.stack);
  const link = new TestLink(options.mtu);
  const nic = stack.addNic(link, { mac: OUR_MAC, ...options.nic });
  nic.addAddress(ip('10.9.0.2'), options.prefix ?? 24, {
    acd: options.acd ?? 'off',
    defence: options.defence ?? 'keep',
  });
  if (options.peerKnown !== false) nic.neighbors.pin(ip('10.9.0.1'), PEER_MAC);
  const frames = (): Uint8Array[] => link.outgoing.splice(0);
  const sent = (): string[] => frames().map(describe);
  const inject = (...arriving: Uint8Array[]): string[] => {
    link.incoming.push(...arriving);
    net.settle();
    return sent();
  };
  return { net, stack, nic, link, inject, sent, frames };
}
