// What happens to a received frame until its transport has it: Ethernet, ARP, IPv4 — RFC 894, RFC 791, RFC 1122 §3.2.1, RFC 1812 §5.2.
//
// Invariant: every frame ends in exactly one place: ARP, a protocol's `input`, the reassembly, or one `drop…` counter.

import type { Stack } from '../stack.ts';
import type { Ipv4 } from '../wire/address.ts';
import { isLoopbackV4, MAC_BROADCAST } from '../wire/address.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as vnet from '../wire/vnet.ts';
import type { Nic } from './nic.ts';
import { inspectOptions, OPTIONS_OK, OPTIONS_SOURCE_ROUTE, sourceRouteContinues } from './options.ts';
import { FOREIGN, MULTICAST, Packet, UNICAST } from './packet.ts';

export class Input {
  readonly #stack: Stack;
  readonly #packet: Packet;
  /** Accept packets that were routed by their sender (default: drop them; RFC 1812 §5.2.4.1's danger, Linux's default). */
  acceptSourceRoute = false;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#packet = new Packet(stack.loopback, stack.spare.dv, stack.spare.bytes);
  }

  /** One frame of `length` bytes at `off`, its virtio header in front of it. */
  frame(nic: Nic, dv: DataView, bytes: Uint8Array, off: number, length: number): void {
    const { stats } = this.#stack;
    stats.ifInFrames++;
    stats.ifInOctets += length;
    nic.counters.inFrames++;
    nic.counters.inOctets += length;
    const end = off + length;
    const header = ethernet.check(dv, off, end);
    if (header === 0) {
      stats.dropShortFrame++;
      return;
    }
    const dst = ethernet.dst(dv, off);
    const group = ethernet.isGroup(dst);
    if ((!group && dst !== nic.mac && nic.hasArp) || !this.#isOurVlan(nic, dv, off)) {
      stats.dropNotForUs++;
      return;
    }
    switch (ethernet.etherType(dv, off)) {
      case ethernet.TYPE_IPV4: {
        const packet = this.#packet;
        packet.nic = nic;
        packet.dv = dv;
        packet.bytes = bytes;
        packet.frame = off;
        packet.frameEnd = end;
        packet.linkBroadcast = group;
        packet.reassembled = false;
        const v = off - vnet.LENGTH;
        const flags = vnet.flags(dv, v);
        packet.checksumPartial = (flags & vnet.NEEDS_CSUM) !== 0;
        packet.checksumVerified = (flags & (vnet.NEEDS_CSUM | vnet.DATA_VALID)) !== 0;
        packet.gsoSize = vnet.gsoType(dv, v) === vnet.GSO_NONE ? 0 : vnet.gsoSize(dv, v);
        this.#ipv4(packet, off + header);
        return;
      }
      case ethernet.TYPE_ARP:
        if (group && dst !== MAC_BROADCAST) stats.dropNotForUs++;
        else nic.arp.input(dv, off + header, end);
        return;
      default:
        stats.dropUnknownEtherType++;
    }
  }

  #isOurVlan(nic: Nic, dv: DataView, off: number): boolean {
    const vlan = ethernet.vlanId(dv, off);
    // IEEE 802.1Q §9.6: VLAN 0 carries a priority only, and belongs to whoever is untagged.
    return vlan === nic.vlan || (vlan === 0 && nic.vlan < 0);
  }

  #ipv4(packet: Packet, ip: number): void {
    const stack = this.#stack;
    const { stats } = stack;
    const { dv, nic } = packet;
    stats.ipInReceives++;
    const header = ipv4.check(dv, ip, packet.frameEnd);
    if (header === 0) {
      // RFC 1122 §3.2.1.1: another version is discarded silently.
      if (packet.frameEnd - ip >= ipv4.MIN_HEADER && ipv4.version(dv, ip) !== 4) stats.dropIpVersion++;
      else stats.dropMalformedIp++;
      return;
    }
    if (!ipv4.checksumIsValid(dv, ip)) {
      stats.dropIpChecksum++; // RFC 1122 §3.2.1.2
      return;
    }
    const src = ipv4.src(dv, ip);
    const dst = ipv4.dst(dv, ip);
    packet.ip = ip;
    // Ethernet pads short frames: what counts is the total length (RFC 894).
    packet.ipEnd = ip + ipv4.totalLength(dv, ip);
    packet.transport = ip + header;
    packet.protocol = ipv4.protocol(dv, ip);
    packet.ttl = ipv4.ttl(dv, ip);
    packet.tos = ipv4.tos(dv, ip);
    packet.src.setV4(src);
    packet.dst.setV4(dst);
    if (dst === 0 || (isLoopbackV4(dst) && !nic.isLoopback)) {
      stats.dropMartianDestination++; // RFC 1122 §3.2.1.3 (a), (g)
      return;
    }
    packet.destination = nic.classify(dst);
    if (!nic.isLoopback && this.#isMartianSource(packet, src)) {
      stats.dropMartianSource++;
      return;
    }
    if (packet.destination === FOREIGN) {
      stats.dropForwardingOff++; // RFC 1122 §3.1, §3.2.1.3: not for us, and we are no router; counted, as all that is dropped
      return;
    }
    if (packet.destination === UNICAST && packet.linkBroadcast) {
      stats.dropMartianDestination++; // RFC 1122 §3.3.6
      return;
    }
    if (packet.destination === MULTICAST && !this.#isMember(nic, dst)) {
      stats.dropNotForUs++;
      return;
    }
    if (header > ipv4.MIN_HEADER && !this.#options(packet)) return;
    if (ipv4.isFragment(dv, ip)) {
      if (stack.fragments.add(packet)) this.#deliver(packet);
      return;
    }
    this.#deliver(packet);
  }

  /** Hand `packet` to its protocol. */
  #deliver(packet: Packet): void {
    const stack = this.#stack;
    const { stats } = stack;
    const transport = stack.transports[packet.protocol];
    if (transport !== null) {
      stats.ipInDelivers++;
      transport.input(packet);
      return;
    }
    stats.dropUnknownProtocol++;
    // RFC 1122 §3.2.2.1
    stack.icmp.errors.send(packet, icmpv4.DESTINATION_UNREACHABLE, icmpv4.PROTOCOL_UNREACHABLE, 0);
  }

  /** RFC 1122 §3.2.1.3, §4.1.3.6, RFC 1812 §5.3.7: sources that no host can have, and our own address from outside (LAND). */
  #isMartianSource(packet: Packet, src: Ipv4): boolean {
    // (a) a host that does not know its address yet may say so to everybody: DHCP and IGMP do.
    if (src === 0) return packet.destination === UNICAST || packet.destination === FOREIGN;
    if (src >>> 24 === 0 || src >>> 28 >= 14) return true; // 0/8, 224/4, 240/4 with 255.255.255.255
    if (isLoopbackV4(src) || packet.nic.isSubnetBroadcast(src)) return true;
    return this.#stack.isLocalAddress(src);
  }

  #isMember(nic: Nic, group: Ipv4): boolean {
    if (!nic.isLoopback) return nic.membership.has(group);
    for (const other of this.#stack.nics) if (other.membership.has(group)) return true;
    return false;
  }

  /** RFC 1122 §3.2.1.8. False when the packet has been dropped. */
  #options(packet: Packet): boolean {
    const stack = this.#stack;
    const verdict = inspectOptions(packet.dv, packet.ip);
    if (verdict === OPTIONS_OK) return true;
    if (verdict === OPTIONS_SOURCE_ROUTE) {
      if (this.acceptSourceRoute && !sourceRouteContinues(packet.dv, packet.ip)) return true;
      stack.stats.dropSourceRoute++;
      // RFC 1122 §3.3.5: a host that does not forward says that the route failed; one that was told to refuse stays silent.
      if (this.acceptSourceRoute)
        stack.icmp.errors.send(packet, icmpv4.DESTINATION_UNREACHABLE, icmpv4.SOURCE_ROUTE_FAILED, 0);
      return false;
    }
    stack.stats.dropIpOption++;
    const rest = icmpv4.restOfPointer(verdict);
    stack.icmp.errors.send(packet, icmpv4.PARAMETER_PROBLEM, icmpv4.POINTER_INDICATES, rest);
    return false;
  }
}
