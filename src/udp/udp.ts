// UDP: ports, and whose datagram it is — RFC 768, RFC 1122 §4.1.
//
// Invariant: every bound socket is in `#ports` under its port; every connected one is in `#flows` too.

import { EADDRINUSE } from '../errno.ts';
import { FlowTable } from '../mem/flow-table.ts';
import type { IcmpError } from '../net/icmp-error.ts';
import type { Packet } from '../net/packet.ts';
import { MULTICAST, UNICAST } from '../net/packet.ts';
import type { Stack } from '../stack.ts';
import type { Address } from '../wire/address.ts';
import { isMulticastV4, LIMITED_BROADCAST } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as udp from '../wire/udp.ts';
import { UdpSocket } from './udp-socket.ts';

export interface UdpOptions {
  /** Ports to choose from when none is asked for. Default 49152–65535 (RFC 6335 §6). */
  firstPort?: number;
  lastPort?: number;
}

export class Udp {
  readonly stack: Stack;
  readonly #first: number;
  readonly #last: number;
  readonly #ports = new Map<number, UdpSocket[]>();
  readonly #flows: FlowTable<UdpSocket>;

  /** @throws RangeError when the port range is none */
  constructor(stack: Stack, options: UdpOptions = {}) {
    this.stack = stack;
    this.#first = options.firstPort ?? 49152;
    this.#last = options.lastPort ?? 65535;
    if (!(this.#first >= 1 && this.#last <= 65535 && this.#first <= this.#last))
      throw new RangeError(`UDP ports ${this.#first}–${this.#last}: give a first and a last port from 1 … 65535`);
    this.#flows = new FlowTable(stack.world.entropy);
  }

  open(): UdpSocket {
    return new UdpSocket(this);
  }

  /** Every bound socket. */
  sockets(): UdpSocket[] {
    return [...this.#ports.values()].flat();
  }

  input(packet: Packet): void {
    const { stats } = this.stack;
    const { dv, transport, ipEnd } = packet;
    if (udp.check(dv, transport, ipEnd) === 0) {
      stats.udpInErrors++;
      stats.dropMalformedUdp++;
      return;
    }
    const length = udp.length(dv, transport);
    // RFC 1122 §4.1.3.4: zero means that the sender computed none; anything else must be right.
    if (!packet.checksumVerified && udp.checksum(dv, transport) !== 0) {
      const pseudo = checksum.pseudo(packet.src, packet.dst, ipv4.PROTOCOL_UDP, length);
      if (!checksum.verify(dv, transport, length, pseudo)) {
        stats.udpInErrors++;
        stats.dropUdpChecksum++;
        return;
      }
    }
    if (packet.destination !== UNICAST) {
      this.#spread(packet, length);
      return;
    }
    const remotePort = udp.srcPort(dv, transport);
    const localPort = udp.dstPort(dv, transport);
    const socket = this.#find(packet.dst, localPort, packet.src, remotePort);
    if (socket === null) {
      stats.udpNoPorts++;
      stats.dropUdpNoPort++;
      // RFC 1122 §4.1.3.1
      this.stack.icmp.errors.send(packet, icmpv4.DESTINATION_UNREACHABLE, icmpv4.PORT_UNREACHABLE, 0);
      return;
    }
    if (deliver(socket, packet, remotePort, length)) stats.udpInDatagrams++;
    else stats.dropUdpBufferFull++;
  }

  /** An ICMP error about a datagram of ours goes to the socket that sent it (RFC 1122 §4.1.3.3). */
  icmpError(error: IcmpError): void {
    const { dv, off } = error;
    const remotePort = udp.dstPort(dv, off);
    const socket = this.#find(error.local, udp.srcPort(dv, off), error.remote, remotePort);
    if (socket === null) return;
    if (error.mtu > 0) this.stack.pmtu.update(error.remote, error.mtu, this.stack.world.now);
    socket.onError(error, remotePort);
  }

  close(): void {
    for (const socket of this.sockets()) socket.close();
  }

  /** True for what a socket may be bound to: our addresses, groups, and broadcast addresses. */
  canBind(local: Address): boolean {
    return this.stack.canBind(local) || (local.isV4 && (isMulticastV4(local.v4) || this.isBroadcast(local)));
  }

  isBroadcast(address: Address): boolean {
    return address.v4 === LIMITED_BROADCAST || this.stack.nics.some((nic) => nic.isSubnetBroadcast(address.v4));
  }

  /** @internal Give `socket` the port, one of our choice for 0. 0 or EADDRINUSE. */
  bind(socket: UdpSocket, port: number): number {
    const chosen = port === 0 ? this.#choose(socket) : port;
    if (chosen === 0 || !this.#isFree(socket, chosen)) return EADDRINUSE;
    const list = this.#ports.get(chosen);
    if (list === undefined) this.#ports.set(chosen, [socket]);
    else list.push(socket);
    socket.localPort = chosen;
    socket.bound = true;
    return 0;
  }

  /** @internal */
  unbind(socket: UdpSocket): void {
    const list = this.#ports.get(socket.localPort)?.filter((s) => s !== socket) ?? [];
    if (list.length === 0) this.#ports.delete(socket.localPort);
    else this.#ports.set(socket.localPort, list);
    socket.bound = false;
    socket.localPort = 0;
  }

  /** @internal A connected socket takes its four-tuple. False when another has it. */
  claim(socket: UdpSocket): boolean {
    return !socket.connected || this.#flows.add(socket);
  }

  /** @internal Before the four-tuple changes. */
  release(socket: UdpSocket): void {
    if (socket.connected) this.#flows.remove(socket);
  }

  /** Exact four-tuple first, then an unconnected socket bound to that address, then one bound to any. */
  #find(local: Address, localPort: number, remote: Address, remotePort: number): UdpSocket | null {
    if (this.#flows.size > 0) {
      const connected = this.#flows.find(local, localPort, remote, remotePort);
      if (connected !== null) return connected;
    }
    const list = this.#ports.get(localPort);
    if (list === undefined) return null;
    let any: UdpSocket | null = null;
    for (const socket of list) {
      if (socket.connected) continue;
      if (socket.local.equals(local)) return socket;
      if (socket.local.isUnspecified) any = socket;
    }
    return any;
  }

  /** A broadcast or multicast goes to every socket that wants it (RFC 1122 §4.1.3.1: and nobody complains when none does). */
  #spread(packet: Packet, length: number): void {
    const { stats } = this.stack;
    const { dv, transport } = packet;
    const remotePort = udp.srcPort(dv, transport);
    const list = this.#ports.get(udp.dstPort(dv, transport)) ?? [];
    let delivered = false;
    let refused = false;
    for (const socket of list) {
      if (!socket.local.isUnspecified && !socket.local.equals(packet.dst)) continue;
      if (socket.connected && (socket.remotePort !== remotePort || !socket.remote.equals(packet.src))) continue;
      if (packet.destination === MULTICAST && !socket.isInGroup(packet.dst.w3, packet.nic)) continue;
      if (deliver(socket, packet, remotePort, length)) delivered = true;
      else refused = true;
    }
    if (delivered) stats.udpInDatagrams++;
    else if (refused) stats.dropUdpBufferFull++;
    else {
      stats.udpNoPorts++;
      stats.dropUdpNoPort++;
    }
  }

  #isFree(socket: UdpSocket, port: number): boolean {
    for (const other of this.#ports.get(port) ?? []) {
      const overlap = other.local.isUnspecified || socket.local.isUnspecified || other.local.equals(socket.local);
      if (overlap && !(other.reuseAddr && socket.reuseAddr)) return false;
    }
    return true;
  }

  /** A random free port (RFC 6056 §3.3.2); 0 when all are taken. Never one that is shared. */
  #choose(socket: UdpSocket): number {
    const count = this.#last - this.#first + 1;
    const start = (this.stack.world.entropy.int32() >>> 0) % count;
    for (let i = 0; i < count; i++) {
      const port = this.#first + ((start + i) % count);
      if (!this.#ports.has(port)) return port;
    }
    for (let i = 0; i < count; i++) {
      const port = this.#first + ((start + i) % count);
      if (this.#ports.get(port)?.every((s) => !s.reuseAddr) && this.#isFree(socket, port)) return port;
    }
    return 0;
  }
}

/** Give `socket` the datagram of `length` bytes, or each of a super-datagram: a run of one size behind one header, the last may be shorter. */
function deliver(socket: UdpSocket, packet: Packet, remotePort: number, length: number): boolean {
  const end = packet.transport + length;
  const size = packet.gsoSize > 0 ? packet.gsoSize : length;
  let all = true;
  for (let at = packet.transport + udp.HEADER; ; at += size) {
    if (!socket.deliver(packet, remotePort, at, Math.min(size, end - at))) all = false;
    if (at + size >= end) return all;
  }
}
