// What a script's file descriptors are: our core sockets behind the manners of BSD ones.

import { EAGAIN, EALREADY, ECONNRESET, EINPROGRESS, EINVAL, EISCONN, ENOTCONN, EPIPE } from '../../errno.ts';
import { EV_READABLE, EV_WRITABLE } from '../../socket.ts';
import type { TcpConnection } from '../../tcp/connection.ts';
import type { TcpListener } from '../../tcp/listener.ts';
import type { ConnectionOptions } from '../../tcp/options.ts';
import * as states from '../../tcp/states.ts';
import type { UdpSocket } from '../../udp/udp-socket.ts';
import { SOCKET } from './symbols.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Would block: try again when something has happened. */
export const BLOCKED = Symbol('blocked');
/** A result as the kernel returns it: bytes, or a negative errno. */
export type Result = number | typeof BLOCKED;

/** Options that are only remembered: what was set is what getsockopt shows. */
export class Remembered {
  readonly #values = new Map<string, number>();

  set(name: string, value: number): void {
    this.#values.set(name, value);
  }

  get(name: string): number | undefined {
    return this.#values.get(name);
  }
}

export class TcpFd {
  readonly kind = 'tcp';
  nonblocking = false;
  readonly options: Mutable<ConnectionOptions> = {};
  readonly remembered = new Remembered();
  boundPort = 0;
  listener: TcpListener | null = null;
  connection: TcpConnection | null = null;
  /** SO_LINGER with a time of 0: close resets. */
  resetOnClose = false;
  cork = false;
  /** TCP_FASTOPEN: how many connections may be open before their handshake is done. */
  fastOpen = 0;
  readShut = false;
  #errorTaken = false;
  /** EV_* since epoll last looked, for EPOLLET. */
  edges = EV_READABLE | EV_WRITABLE;

  adopt(connection: TcpConnection): void {
    this.connection = connection;
    connection.owner = this;
  }

  onEvents(events: number): void {
    this.edges |= events;
  }

  /** SO_ERROR: the pending error as a positive errno, once. */
  takeError(): number {
    const error = this.connection?.error ?? 0;
    if (error >= 0 || this.#errorTaken) return 0;
    this.#errorTaken = true;
    return -error;
  }

  /** What a second connect() says. */
  connectAgain(): Result {
    const { connection } = this;
    if (connection === null) return EINVAL;
    if (connection.connecting) return this.nonblocking ? EALREADY : BLOCKED;
    const error = this.takeError();
    return error > 0 ? -error : EISCONN;
  }

  /** Whether a connect() under way is done. */
  connected(): Result {
    const { connection } = this;
    if (connection === null) return ENOTCONN;
    if (connection.connecting) return this.nonblocking ? EINPROGRESS : BLOCKED;
    const error = this.takeError();
    return error > 0 ? -error : 0;
  }

  read(target: Uint8Array, flags: number): Result {
    const { connection } = this;
    if (connection === null) return ENOTCONN;
    const blocks = !this.nonblocking && (flags & SOCKET.MSG_DONTWAIT) === 0;
    const { readable } = connection;
    // What came with a SYN is the user's once the connection is open (RFC 9293 §3.10.7.3).
    if (connection.connecting) return blocks ? BLOCKED : EAGAIN;
    if (readable > 0) {
      if ((flags & SOCKET.MSG_WAITALL) !== 0 && blocks && readable < target.length && !connection.endReceived)
        return BLOCKED;
      if ((flags & SOCKET.MSG_PEEK) === 0) return connection.read(target, 0, target.length);
      const count = Math.min(readable, target.length);
      connection.receiver.ring.read(connection.receiver.readNxt, target, 0, count);
      return count;
    }
    const error = this.takeError();
    if (error > 0) return -error;
    if (connection.endReceived || this.readShut || connection.error < 0) return 0;
    if (connection.state === states.CLOSED || connection.state === states.TIME_WAIT) return 0;
    if (target.length === 0) return 0;
    return blocks ? BLOCKED : EAGAIN;
  }

  /**
   * Send `source` from `done` on, the bytes an earlier, blocked attempt took.
   * @returns bytes taken in all
   */
  write(source: Uint8Array, done: { count: number }, flags: number, room: number): Result {
    const { connection } = this;
    if (connection === null) return EPIPE;
    const error = this.takeError();
    if (error > 0) return error === -ECONNRESET ? ECONNRESET : -error;
    const blocks = !this.nonblocking && (flags & SOCKET.MSG_DONTWAIT) === 0;
    if (connection.connecting) return blocks ? BLOCKED : EAGAIN;
    if (!states.canSend(connection.state) || connection.sender.ended) return EPIPE;
    const more = this.cork || (flags & SOCKET.MSG_MORE) !== 0;
    // A blocking write may fill the buffer up to what auto-tuning would give it.
    if (blocks && connection.writable < source.length - done.count) {
      const { buffer } = connection.sender;
      if (room > buffer.limit) buffer.limit = room;
    }
    const taken = connection.write(source, done.count, source.length - done.count, more);
    if (taken < 0) return taken === ENOTCONN ? EPIPE : taken;
    done.count += taken;
    if (done.count === source.length) return done.count;
    if (blocks) return BLOCKED;
    return done.count > 0 ? done.count : EAGAIN;
  }

  shutdown(how: number): number {
    const { connection } = this;
    if (connection === null || connection.state === states.CLOSED || connection.state === states.TIME_WAIT)
      return ENOTCONN;
    if (how !== SOCKET.SHUT_WR) this.readShut = true;
    if (how !== SOCKET.SHUT_RD) connection.end();
    return 0;
  }

  close(): void {
    this.listener?.close();
    const { connection } = this;
    if (connection === null) return;
    connection.owner = null;
    if (this.resetOnClose) connection.abort();
    else connection.release();
  }

  /** POLL* bits that hold now. */
  poll(): number {
    const { connection, listener } = this;
    if (listener !== null) return listener.pending > 0 ? SOCKET.POLLIN | SOCKET.POLLRDNORM : 0;
    if (connection === null) return SOCKET.POLLOUT | SOCKET.POLLWRNORM | SOCKET.POLLHUP;
    const { state } = connection;
    const isGone = state === states.CLOSED || state === states.TIME_WAIT;
    let bits = 0;
    if (connection.error < 0 && !this.#errorTaken) bits |= SOCKET.POLLERR;
    if (isGone || (connection.endReceived && connection.sender.ended)) bits |= SOCKET.POLLHUP;
    if (connection.endReceived || this.readShut || isGone) bits |= SOCKET.POLLIN | SOCKET.POLLRDNORM | SOCKET.POLLRDHUP;
    if (connection.connecting) return bits;
    if (connection.readable > 0) bits |= SOCKET.POLLIN | SOCKET.POLLRDNORM;
    // Linux says writable when a third of the buffer is free.
    const { buffer } = connection.sender;
    const canTake = !connection.sender.ended && buffer.length * 3 <= buffer.limit * 2;
    if (canTake || isGone || connection.sender.ended) bits |= SOCKET.POLLOUT | SOCKET.POLLWRNORM;
    return bits;
  }
}

export class UdpFd {
  readonly kind = 'udp';
  nonblocking = false;
  readonly remembered = new Remembered();
  readonly socket: UdpSocket;
  edges = EV_READABLE | EV_WRITABLE;

  constructor(socket: UdpSocket) {
    this.socket = socket;
    socket.owner = this;
  }

  onEvents(events: number): void {
    this.edges |= events;
  }

  takeError(): number {
    const { error } = this.socket;
    this.socket.error = 0;
    return error < 0 ? -error : 0;
  }

  read(target: Uint8Array, flags: number): Result {
    const error = this.takeError();
    if (error > 0) return -error;
    const datagram = this.socket.receive();
    if (datagram !== null) {
      datagram.copy(target);
      return (flags & SOCKET.MSG_TRUNC) !== 0 ? datagram.length : Math.min(datagram.length, target.length);
    }
    return this.nonblocking || (flags & SOCKET.MSG_DONTWAIT) !== 0 ? EAGAIN : BLOCKED;
  }

  close(): void {
    this.socket.close();
  }

  poll(): number {
    let bits: number = SOCKET.POLLOUT | SOCKET.POLLWRNORM;
    if (this.socket.pendingCount > 0) bits |= SOCKET.POLLIN | SOCKET.POLLRDNORM;
    if (this.socket.error < 0) bits |= SOCKET.POLLERR;
    return bits;
  }
}

/** One watched descriptor of an epoll. */
export interface Watch {
  readonly fd: number;
  readonly socket: TcpFd | UdpFd;
  events: number;
  data: number;
  /** EPOLLET: nothing is reported until something new has happened. EPOLLONESHOT: until it is modified. */
  silent: boolean;
}

export class EpollFd {
  readonly kind = 'epoll';
  nonblocking = false;
  readonly remembered = new Remembered();
  readonly watches = new Map<number, Watch>();

  close(): void {
    this.watches.clear();
  }

  /** Ready watches and their bits. */
  ready(limit: number): { watch: Watch; bits: number }[] {
    const found: { watch: Watch; bits: number }[] = [];
    const always = SOCKET.EPOLLERR | SOCKET.EPOLLHUP;
    for (const watch of this.watches.values()) {
      if (found.length >= limit) break;
      const bits = watch.socket.poll() & ((watch.events & 0xffff) | always);
      if (bits === 0) continue;
      const isEdge = (watch.events & SOCKET.EPOLLET) !== 0;
      if (isEdge && watch.socket.edges === 0) continue;
      if (watch.silent) continue;
      if (isEdge) watch.socket.edges = 0;
      if ((watch.events & SOCKET.EPOLLONESHOT) !== 0) watch.silent = true;
      found.push({ watch, bits });
    }
    return found;
  }
}

export type Fd = TcpFd | UdpFd | EpollFd;
