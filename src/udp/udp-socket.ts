// A UDP socket — RFC 768, RFC 1122 §4.1.
//
// Received payloads lie in one ring, their descriptions in records that are reused, so a datagram costs no allocation. Errors that
// routers and peers report are kept apart, because they belong to single datagrams: see `takeError`.
//
// Invariant: the payloads of the records in the queue, and of the one last taken, are the ring's live bytes, in order.

import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EBADF,
  EDESTADDRREQ,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
} from '../errno.ts';
import { Ring } from '../mem/ring.ts';
import type { IcmpError } from '../net/icmp-error.ts';
import type { Nic } from '../net/nic.ts';
import { outgoingOptions } from '../net/options.ts';
import type { Packet } from '../net/packet.ts';
import { BROADCAST, MULTICAST } from '../net/packet.ts';
import { DEFAULT_TTL, Path } from '../net/path.ts';
import { EV_CLOSED, EV_ERROR, EV_READABLE, Socket } from '../socket.ts';
import type { Ipv4 } from '../wire/address.ts';
import { Address, isMulticastV4 } from '../wire/address.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as udp from '../wire/udp.ts';
import { Datagram } from './datagram.ts';
import type { Udp } from './udp.ts';

export const MAX_PAYLOAD = ipv4.MAX_PACKET - ipv4.MIN_HEADER - udp.HEADER; // 65,507
// What a waiting datagram counts besides its payload, so that empty ones are bounded too.
const OVERHEAD = 64;
const MAX_ERRORS = 16;
const KEEP_RING = 64 * 1024;

/** What an ICMP message said about a datagram we sent. */
export interface UdpError {
  readonly errno: number;
  /** Who reported it. */
  readonly from: Address;
  readonly type: number;
  readonly code: number;
  /** Next-hop MTU of "fragmentation needed", else 0. */
  readonly mtu: number;
  /** Where the datagram was going. */
  readonly remote: Address;
  readonly remotePort: number;
  /** world.now when it came, µs. */
  readonly receivedAt: number;
}

export interface BindOptions {
  /** Share the port with other sockets that say so too (SO_REUSEADDR): broadcasts and multicasts reach all of them. */
  reuseAddr?: boolean;
}

interface Group {
  readonly group: Ipv4;
  readonly nic: Nic;
}

export class UdpSocket extends Socket {
  readonly local = Address.v4(0);
  localPort = 0;
  readonly remote = Address.v4(0);
  remotePort = 0;
  bound = false;
  connected = false;
  reuseAddr = false;
  /** May send to broadcast addresses (SO_BROADCAST). */
  broadcast = false;
  ttl = DEFAULT_TTL;
  multicastTtl = 1; // RFC 1112 §6.1
  /** What we send to a group reaches our own members too. */
  multicastLoop = true;
  /** Where multicasts leave; null lets routing decide. */
  multicastNic: Nic | null = null;
  tos = 0; // with `ttl`: RFC 1122 §3.2.1.6, §4.1.4
  /** Send with DF, and fail with EMSGSIZE what the path does not carry in one piece. */
  dontFragment = false;
  /** Bytes that may wait to be received, OVERHEAD for each datagram included. */
  recvBufferSize = 212_992; // Linux's rmem_default
  /** Datagrams discarded because too many waited. */
  drops = 0;
  closed = false;
  #ipOptions: Uint8Array | null = null;
  readonly #udp: Udp;
  readonly #path: Path;
  /** The path leads from the socket's own address, so that it may serve the next datagram to the same peer. */
  #reusable = false;
  readonly #ring: Ring;
  /** A circular queue of records; `#count` of them from `#first` on wait. */
  #records: Datagram[];
  #first = 0;
  #count = 0;
  #head = 0;
  #tail = 0;
  #errors: UdpError[] = [];
  #groups: Group[] = [];

  /** @internal use `stack.udp.open()` */
  constructor(owner: Udp) {
    super();
    this.#udp = owner;
    this.#path = new Path(owner.stack);
    this.#ring = new Ring(owner.stack.memory);
    this.#records = [];
  }

  /** Bytes waiting to be received, records' overhead included. */
  get pending(): number {
    return this.#count === 0 ? 0 : ((this.#tail - this.#records[this.#first].position) | 0) + this.#count * OVERHEAD;
  }

  /** What `setIpOptions` was given, padded; null for none. */
  get ipOptions(): Uint8Array | null {
    return this.#ipOptions;
  }

  /**
   * Send these IP options in every datagram (RFC 1122 §4.1.3.2), padded to a multiple of four; null for none. 0, or EINVAL for options that
   * are malformed, longer than 40 bytes, or a source route, which networks drop and hosts distrust (RFC 7126 §4.3).
   */
  setIpOptions(options: Uint8Array | null): number {
    const padded = options === null || options.length === 0 ? null : outgoingOptions(options);
    if (options !== null && options.length > 0 && padded === null) return EINVAL;
    this.#ipOptions = padded;
    return 0;
  }

  /** Datagrams waiting to be received. */
  get pendingCount(): number {
    return this.#count;
  }

  /**
   * Receive what is sent to `port` at `local`, or at any of our addresses when that is null. Port 0 has one chosen (RFC 6056). `local` may be a
   * multicast group or a broadcast address. 0, EINVAL (bound already), EADDRNOTAVAIL or EADDRINUSE.
   */
  bind(local: Address | null, port: number, options: BindOptions = {}): number {
    if (this.closed) return EBADF;
    if (this.bound || port < 0 || port > 65535 || !Number.isInteger(port)) return EINVAL;
    const any = local === null || local.isUnspecified;
    if (!any && !this.#udp.canBind(local)) return EADDRNOTAVAIL;
    this.reuseAddr = options.reuseAddr === true;
    if (any) this.local.setV4(0);
    else this.local.set(local);
    return this.#udp.bind(this, port);
  }

  /**
   * Fix the peer: only its datagrams are received, and what is reported about ours is an error of this socket. Binds when needed.
   * 0 or a negative errno.
   */
  connect(remote: Address, port: number): number {
    if (this.closed) return EBADF;
    if (port <= 0 || port > 65535 || !Number.isInteger(port)) return EINVAL;
    if (this.connected) return EISCONN;
    const wasBound = this.bound;
    const path = this.#path;
    const errno = this.#point(remote, null);
    if (errno < 0) return errno;
    if (path.kind === BROADCAST && !this.broadcast) return EACCES;
    const unspecified = this.local.isUnspecified;
    if (!this.bound) {
      const bound = this.bind(null, 0);
      if (bound < 0) return bound;
    }
    this.#udp.release(this);
    if (unspecified) this.local.set(path.local); // RFC 1122 §4.1.3.5: from now on our address is this one
    this.remote.set(remote);
    this.remotePort = port;
    this.connected = true;
    if (!this.#udp.claim(this)) {
      this.connected = false;
      this.remotePort = 0;
      this.remote.setV4(0);
      if (unspecified) this.local.setV4(0);
      this.#udp.claim(this);
      if (!wasBound) this.#udp.unbind(this);
      return EADDRINUSE;
    }
    return 0;
  }

  /** Undo `connect`. ENOTCONN when there is none. */
  disconnect(): number {
    if (!this.connected) return ENOTCONN;
    this.#udp.release(this);
    this.connected = false;
    this.remote.setV4(0);
    this.remotePort = 0;
    this.#udp.claim(this);
    return 0;
  }

  /**
   * Send `length` bytes of `source` from `start` on to the given address and port, or to the connected peer. `local` chooses the source
   * address among ours (RFC 1122 §4.1.3.5). Returns `length`, or a negative errno: EDESTADDRREQ, EMSGSIZE, EACCES (broadcast not permitted),
   * ENETUNREACH … An error reported for an earlier datagram of a connected socket is returned once and nothing is sent, as sockets do.
   */
  send(
    source: Uint8Array,
    start: number,
    length: number,
    remote: Address | null = null,
    port = 0,
    local: Address | null = null,
  ): number {
    if (this.closed) return EBADF;
    if (this.connected && remote !== null) return EISCONN;
    if (!this.connected && remote === null) return EDESTADDRREQ;
    if (length > MAX_PAYLOAD) return EMSGSIZE;
    if (this.connected && this.error !== 0) {
      const { error } = this;
      this.error = 0;
      return error;
    }
    const toPort = remote === null ? this.remotePort : port;
    if (!(toPort > 0 && toPort <= 65535)) return EINVAL;
    const errno = this.#point(remote ?? this.remote, local);
    if (errno < 0) return errno;
    const path = this.#path;
    if (path.kind === BROADCAST && !this.broadcast) return EACCES; // RFC 1122 §3.3.6 is Berkeley's rule
    if (!this.bound) {
      const bound = this.bind(null, 0);
      if (bound < 0) return bound;
    }
    path.ttl = path.kind === MULTICAST ? this.multicastTtl : this.ttl;
    path.tos = this.tos;
    path.dontFragment = this.dontFragment;
    path.loop = path.kind === MULTICAST ? this.multicastLoop : true;
    const { tx } = path.nic;
    const off = tx.begin(path, udp.HEADER, this.#ipOptions);
    udp.set(tx.dv, off, this.localPort, toPort, udp.HEADER + length, 0);
    tx.copy(source, start, length);
    // RFC 1122 §4.1.3.4: the checksum is always computed (a sum of zero goes out as all ones, which the completer sees to).
    const result = tx.commit(ipv4.PROTOCOL_UDP, udp.CHECKSUM_OFFSET, 0);
    if (result < 0) return result;
    this.#udp.stack.stats.udpOutDatagrams++;
    return length;
  }

  /** The oldest datagram that waits, valid until the next call; null when none does. */
  receive(): Datagram | null {
    if (this.#count === 0) {
      this.#settle();
      return null;
    }
    const record = this.#records[this.#first];
    this.#first = (this.#first + 1) % this.#records.length;
    this.#count--;
    this.#head = record.position;
    return record;
  }

  /** The oldest report about a datagram we sent; null when there is none. For connected sockets `error` is set as well. */
  takeError(): UdpError | null {
    return this.#errors.shift() ?? null;
  }

  /** Listen to a multicast group on `nic` (default: where routing would send it). 0 or a negative errno. */
  join(group: Address, nic: Nic | null = null): number {
    const { stack } = this.#udp;
    if (this.closed) return EBADF;
    if (!group.isV4 || !isMulticastV4(group.v4)) return EINVAL;
    const on =
      nic ?? this.multicastNic ?? stack.routes.lookup(group.v4, null, stack.world.now)?.nic ?? stack.defaultNic();
    if (on === null) return EADDRNOTAVAIL;
    if (this.#groups.some((g) => g.group === group.v4 && g.nic === on)) return EADDRINUSE;
    on.membership.join(group.v4);
    this.#groups.push({ group: group.v4, nic: on });
    return 0;
  }

  /** Stop listening to `group`. EADDRNOTAVAIL when this socket does not. */
  leave(group: Address, nic: Nic | null = null): number {
    const at = this.#groups.findIndex((g) => g.group === group.v4 && (nic === null || g.nic === nic));
    if (at < 0) return EADDRNOTAVAIL;
    const [left] = this.#groups.splice(at, 1);
    left.nic.membership.leave(left.group);
    return 0;
  }

  /** Give port and memory back. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { group, nic } of this.#groups) nic.membership.leave(group);
    this.#groups = [];
    if (this.bound) {
      this.#udp.release(this);
      this.#udp.unbind(this);
    }
    this.#count = 0;
    this.#records = [];
    this.#errors = [];
    this.#ring.release();
    this.#udp.stack.events.post(this, EV_CLOSED);
  }

  /** @internal A datagram for this socket: `length` bytes of payload at `payload` of the packet. */
  deliver(packet: Packet, remotePort: number, payload: number, length: number): boolean {
    const { stack } = this.#udp;
    const full = this.pending + length + OVERHEAD > this.recvBufferSize && this.#count > 0;
    // The one last taken may still be read, so its bytes are kept too.
    const kept = (this.#tail - this.#head) | 0;
    if (full || !this.#ring.reserve(Math.max(1, kept + length), this.#head, this.#tail)) {
      this.drops++;
      stack.stats.udpRcvbufErrors++;
      return false;
    }
    const record = this.#append(packet.nic);
    this.#ring.write(this.#tail, packet.bytes, payload, length);
    record.nic = packet.nic;
    record.remote.set(packet.src);
    record.remotePort = remotePort;
    record.local.set(packet.dst);
    record.localPort = this.localPort;
    record.length = length;
    record.ttl = packet.ttl;
    record.tos = packet.tos;
    const options = packet.ip + ipv4.MIN_HEADER;
    record.ipOptions = packet.transport > options ? packet.bytes.slice(options, packet.transport) : null;
    record.receivedAt = stack.world.now;
    record.wallClock = stack.world.wallClock();
    record.position = this.#tail;
    this.#tail = (this.#tail + length) | 0;
    stack.events.post(this, EV_READABLE);
    return true;
  }

  /** @internal */
  onError(error: IcmpError, remotePort: number): void {
    const { stack } = this.#udp;
    if (this.#errors.length === MAX_ERRORS) this.#errors.shift();
    this.#errors.push({
      errno: error.errno,
      from: error.from.clone(),
      type: error.type,
      code: error.code,
      mtu: error.mtu,
      remote: error.remote.clone(),
      remotePort,
      receivedAt: stack.world.now,
    });
    // RFC 1122 §4.1.3.3 wants all errors passed up. A connected socket has one peer, so they are its own; hard ones fail its next call.
    if (this.connected && error.hard) this.error = error.errno;
    stack.events.post(this, EV_ERROR);
  }

  /** @internal True when this socket is in `group` on `nic`, or takes every group that comes in (it joined none). */
  isInGroup(group: Ipv4, nic: Nic): boolean {
    if (this.#groups.length === 0) return nic.membership.has(group);
    return this.#groups.some((g) => g.group === group && (g.nic === nic || nic.isLoopback));
  }

  /** Let the socket's path lead to `remote`. */
  #point(remote: Address, local: Address | null): number {
    const path = this.#path;
    if (
      this.#reusable &&
      local === null &&
      path.fresh &&
      path.remote.equals(remote) &&
      path.wantedNic === this.multicastNic
    )
      return 0;
    path.wantedNic = this.multicastNic;
    // RFC 1122 §4.1.3.6: bound to a group or a broadcast address, that is where to listen, not who we are.
    const own = this.#udp.stack.isLocalAddress(this.local.w3) ? this.local : null;
    const errno = path.resolve(remote, local ?? own);
    this.#reusable = errno === 0 && local === null;
    return errno;
  }

  /** Everything has been taken, and what was taken last is given up. */
  #settle(): void {
    this.#head = this.#tail;
    if (this.#ring.capacity > KEEP_RING) this.#ring.release();
  }

  /** The record behind the last waiting one, never that which was taken last. */
  #append(nic: Nic): Datagram {
    const size = this.#records.length;
    if (this.#count + 1 >= size) {
      const grown: Datagram[] = [];
      for (let i = 0; i < this.#count; i++) grown.push(this.#records[(this.#first + i) % size]);
      while (grown.length < Math.max(4, size * 2)) grown.push(new Datagram(nic, this.#ring));
      this.#records = grown;
      this.#first = 0;
    }
    const record = this.#records[(this.#first + this.#count) % this.#records.length];
    this.#count++;
    return record;
  }
}
