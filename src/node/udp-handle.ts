// What a dgram.Socket holds on to: a UDP socket of the core, with the life cycle Node's handles have.
//
// It keeps the process alive while it is referenced and receiving, as libuv's does.

import { AsyncResource } from 'node:async_hooks';
import { EADDRNOTAVAIL, EBADF, EINVAL } from '../errno.ts';
import type { Nic } from '../net/nic.ts';
import type { SocketOwner } from '../socket.ts';
import { EV_ERROR, EV_READABLE } from '../socket.ts';
import type { Datagram } from '../udp/datagram.ts';
import type { UdpSocket } from '../udp/udp-socket.ts';
import { Address, isMulticastV4 } from '../wire/address.ts';
import type { RemoteInfo } from './dgram.ts';
import { Hold } from './hold.ts';
import type { AddressObject, HandleContext } from './tcp-handle.ts';
import { addressObject } from './tcp-handle.ts';

const EAFNOSUPPORT = -97;
const ENODEV = -19;

export class UdpHandle implements SocketOwner {
  onmessage: (message: Buffer, rinfo: RemoteInfo) => void = () => {};
  onerror: (errno: number) => void = () => {};
  readonly #context: HandleContext;
  readonly #socket: UdpSocket;
  readonly #hold: Hold;
  readonly #resource = new AsyncResource('UDPWRAP');
  readonly #isV6: boolean;
  #receiving = false;
  #sendBufferSize = 212_992;
  /** Sources each group is limited to (RFC 3678 §4.1.3); a group that is not here takes all. */
  readonly #sources = new Map<number, Set<number>>();
  // Peers repeat themselves: the last address and its text.
  readonly #lastRemote = new Address();
  #lastText = '0.0.0.0';

  constructor(context: HandleContext, isV6: boolean) {
    this.#context = context;
    this.#socket = context.core.udp.open();
    this.#socket.owner = this;
    this.#hold = new Hold(context.driver);
    this.#isV6 = isV6;
  }

  bind(address: string, port: number, reuseAddr: boolean): number {
    if (this.#isV6) return EAFNOSUPPORT;
    const local = Address.parse(address);
    if (local === null) return EINVAL;
    this.#context.driver.enter();
    return this.#socket.bind(local.isUnspecified ? null : local, port, { reuseAddr });
  }

  connect(address: string, port: number): number {
    const remote = parseRemote(address);
    if (remote === null) return EINVAL;
    this.#context.driver.enter();
    return this.#socket.connect(remote, port);
  }

  disconnect(): number {
    this.#context.driver.enter();
    return this.#socket.disconnect();
  }

  recvStart(): void {
    this.#receiving = true;
    this.#hold.active = true;
  }

  /** To `address`, or to the connected peer when that is null. Bytes sent, or a negative errno. */
  send(list: Uint8Array[], port: number, address: string | null): number {
    const bytes = list.length === 1 ? list[0] : Buffer.concat(list);
    const remote = address === null ? null : parseRemote(address);
    if (address !== null && remote === null) return EINVAL;
    this.#context.driver.enter();
    return this.#socket.send(bytes, 0, bytes.length, remote, port);
  }

  close(): void {
    this.#receiving = false;
    this.#hold.active = false;
    this.#socket.owner = null;
    this.#context.driver.enter();
    this.#socket.close();
  }

  getsockname(): AddressObject | null {
    const socket = this.#socket;
    return socket.bound ? addressObject(socket.local, socket.localPort) : null;
  }

  getpeername(): AddressObject | null {
    const socket = this.#socket;
    return socket.connected ? addressObject(socket.remote, socket.remotePort) : null;
  }

  // There is no socket to set anything on before it is bound: so it is with libuv, and programs bind first.

  setBroadcast(on: boolean): number {
    if (!this.#socket.bound) return EBADF;
    this.#socket.broadcast = on;
    return 0;
  }

  setTTL(ttl: number): number {
    if (!(ttl >= 1 && ttl <= 255)) return EINVAL;
    if (!this.#socket.bound) return EBADF;
    this.#socket.ttl = ttl;
    return 0;
  }

  setTOS(tos: number): number {
    if (!(tos >= 0 && tos <= 255)) return EINVAL;
    if (!this.#socket.bound) return EBADF;
    this.#socket.tos = tos;
    return 0;
  }

  setMulticastTTL(ttl: number): number {
    if (!(ttl >= 0 && ttl <= 255)) return EINVAL;
    if (!this.#socket.bound) return EBADF;
    this.#socket.multicastTtl = ttl;
    return 0;
  }

  setMulticastLoopback(on: boolean): number {
    if (!this.#socket.bound) return EBADF;
    this.#socket.multicastLoop = on;
    return 0;
  }

  setMulticastInterface(address: string): number {
    const nic = this.#interface(address);
    if (nic === EINVAL) return EINVAL;
    if (!this.#socket.bound) return EBADF;
    if (typeof nic === 'number') return nic === ENODEV ? EADDRNOTAVAIL : nic;
    this.#socket.multicastNic = nic;
    return 0;
  }

  addMembership(group: string, address: string | undefined): number {
    const at = Address.parse(group);
    const nic = this.#interface(address);
    if (at === null) return EINVAL;
    if (typeof nic === 'number') return nic;
    this.#context.driver.enter();
    return this.#socket.join(at, nic);
  }

  dropMembership(group: string, address: string | undefined): number {
    const at = Address.parse(group);
    const nic = this.#interface(address);
    if (at === null) return EINVAL;
    if (typeof nic === 'number') return nic;
    this.#context.driver.enter();
    return this.#socket.leave(at, nic);
  }

  /** Take what `source` sends to the group, and what nobody else does. */
  addSourceMembership(source: string, group: string, address: string | undefined): number {
    const from = Address.parse(source);
    const at = Address.parse(group);
    if (from === null || at === null || !isMulticastV4(at.v4)) return EINVAL;
    const sources = this.#sources.get(at.v4);
    if (sources === undefined) {
      const errno = this.addMembership(group, address);
      if (errno < 0) return errno;
      this.#sources.set(at.v4, new Set([from.v4]));
    } else if (sources.has(from.v4)) return EADDRNOTAVAIL;
    else sources.add(from.v4);
    return 0;
  }

  dropSourceMembership(source: string, group: string, address: string | undefined): number {
    const from = Address.parse(source);
    const at = Address.parse(group);
    if (from === null || at === null) return EINVAL;
    const sources = this.#sources.get(at.v4);
    if (sources?.delete(from.v4) !== true) return EADDRNOTAVAIL;
    if (sources.size > 0) return 0;
    this.#sources.delete(at.v4);
    return this.dropMembership(group, address);
  }

  /** Set a buffer's size when `size` is not 0; the size it has. Linux reports twice what was asked for, for its bookkeeping. */
  bufferSize(size: number, receive: boolean): number {
    if (receive) {
      if (size > 0) this.#socket.recvBufferSize = size * 2;
      return this.#socket.recvBufferSize;
    }
    if (size > 0) this.#sendBufferSize = size * 2;
    return this.#sendBufferSize;
  }

  ref(): void {
    this.#hold.ref = true;
  }

  unref(): void {
    this.#hold.ref = false;
  }

  getAsyncId(): number {
    return this.#resource.asyncId();
  }

  hasRef(): boolean {
    return this.#hold.ref;
  }

  onEvents(events: number): void {
    const socket = this.#socket;
    if ((events & EV_ERROR) !== 0) {
      // Only a connected socket hears what became of its datagrams, as on Linux.
      while (socket.takeError() !== null) {}
      const errno = socket.error;
      socket.error = 0;
      if (errno < 0 && socket.connected && this.#receiving)
        this.#context.driver.callback(this.#resource, this.onerror, this, errno);
    }
    if ((events & EV_READABLE) === 0) return;
    for (let datagram = socket.receive(); datagram !== null; datagram = socket.receive()) {
      if (!this.#receiving) continue;
      if (this.#isFiltered(datagram)) continue;
      const message = Buffer.allocUnsafe(datagram.length);
      datagram.copy(message);
      const rinfo = this.#describe(datagram);
      this.#context.driver.callback(this.#resource, this.onmessage, this, message, rinfo);
    }
  }

  #describe(datagram: Datagram): RemoteInfo {
    if (!datagram.remote.equals(this.#lastRemote)) {
      this.#lastRemote.set(datagram.remote);
      this.#lastText = datagram.remote.toString();
    }
    const rinfo: RemoteInfo = {
      address: this.#lastText,
      family: 'IPv4',
      port: datagram.remotePort,
      size: datagram.length,
    };
    return Object.defineProperty(rinfo, 'receivedAt', { value: datagram.wallClock / 1000 });
  }

  #isFiltered(datagram: Datagram): boolean {
    if (this.#sources.size === 0) return false;
    const sources = this.#sources.get(datagram.local.v4);
    return sources !== undefined && !sources.has(datagram.remote.v4);
  }

  /** The NIC with `address`; null to leave the choice to routing; EINVAL or ENODEV. */
  #interface(address: string | undefined): Nic | null | number {
    if (address === undefined || address === '' || address === '0.0.0.0') return null;
    const parsed = Address.parse(address);
    if (parsed === null) return EINVAL;
    return this.#context.core.ownerOf(parsed.v4) ?? ENODEV;
  }
}

/** The unspecified address as a destination means this host, as on Linux. */
function parseRemote(address: string): Address | null {
  return Address.parse(address === '0.0.0.0' ? '127.0.0.1' : address);
}
