// What a net.Socket or net.Server holds on to: a connection or a listener of the core, with the life cycle Node's handles have.
//
// A handle keeps the process alive while it is referenced and has something to wait for (a connect, data it reads, a write on its way, a
// listener), as libuv's handles do. When it is closed, the core goes on delivering what was written; the process waits for that too,
// because here no kernel would do it after the process has gone.
//
// Callbacks run in the asynchronous context the handle was made in. Nothing they throw reaches the core.

import { AsyncResource } from 'node:async_hooks';
import type { Driver } from '../driver/event-loop.ts';
import { EINVAL, ENOTCONN, EPIPE } from '../errno.ts';
import type { SocketOwner } from '../socket.ts';
import { EV_CONNECTED, EV_END, EV_ERROR, EV_READABLE, EV_WRITABLE } from '../socket.ts';
import type { Stack } from '../stack.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import { Address } from '../wire/address.ts';
import { Hold, Lingering } from './hold.ts';
import type { ConnectTuning } from './tuning.ts';

// As large as Node's own reads.
const CHUNK = 65536;

export interface AddressObject {
  address?: string;
  family?: string;
  port?: number;
}

/** What handles need to know of their stack. */
export interface HandleContext {
  readonly core: Stack;
  readonly driver: Driver;
}

/** Who is told what a TcpHandle reads. */
export interface StreamOwner {
  /** Bytes, or null at the end of the stream. False: enough for now. */
  onRead(chunk: Buffer | null): boolean;
  onReadError(errno: number): void;
  /** A buffer of the owner's to read into instead of a new one; null when there is none. */
  readonly userBuffer: Uint8Array | null;
  /** `length` bytes have been put in the user's buffer. */
  onUserBuffer(length: number): boolean;
}

interface PendingWrite {
  readonly bytes: Uint8Array;
  at: number;
  readonly callback: (errno: number) => void;
}

export class TcpHandle implements SocketOwner {
  owner: StreamOwner | null = null;
  /** Kept by the owner, as Node's sockets do. */
  reading = false;
  bytesRead = 0;
  bytesWritten = 0;
  connection: TcpConnection | null;
  readonly #context: HandleContext;
  readonly #hold: Hold;
  readonly #resource = new AsyncResource('TCPWRAP');
  #local: Address | null = null;
  #localPort = 0;
  #connected: ((errno: number) => void) | null = null;
  #writes: PendingWrite[] = [];
  #shutdown: (() => void) | null = null;
  #flowing = false;
  #pullPending = false;
  #yielded = false;
  #error = 0;
  #closed = false;
  // Set before there is a connection.
  #noDelay = false;
  #keepAlive: number | null = null;
  readonly #settings: Partial<ConnectionSettings> = {};

  constructor(context: HandleContext, connection: TcpConnection | null = null) {
    this.#context = context;
    this.#hold = new Hold(context.driver);
    this.connection = connection;
    if (connection !== null) connection.owner = this;
  }
  /** Bytes written but not yet taken by the core. */
  get writeQueueSize(): number {
    let size = 0;
    for (const write of this.#writes) size += write.bytes.length - write.at;
    return size;
  }

  bind(address: string, port: number): number {
    const local = Address.parse(address);
    if (local === null) return EINVAL;
    this.#local = local;
    this.#localPort = port;
    return 0;
  }

  /** `callback` hears 0 or why it failed; what is known at once is returned instead. */
  connect(remote: Address, port: number, callback: (errno: number) => void, tuning: ConnectTuning = {}): number {
    const { core, driver } = this.#context;
    driver.enter();
    const local = this.#local ?? undefined;
    const localPort = this.#localPort || undefined;
    const connection = core.tcp.connect({ remote, remotePort: port, local, localPort, ...tuning, ...this.#settings });
    if (typeof connection === 'number') return connection;
    this.connection = connection;
    connection.owner = this;
    if (this.#noDelay) connection.noDelay = true;
    if (this.#keepAlive !== null) this.setKeepAlive(true, this.#keepAlive);
    this.#connected = callback;
    this.#update();
    return 0;
  }

  readStart(): number {
    if (this.#closed) return EINVAL;
    this.#flowing = true;
    this.#update();
    // What has arrived is not delivered from within the caller.
    if (this.connection !== null && this.#connected === null && !this.#pullPending) {
      this.#pullPending = true;
      process.nextTick(TcpHandle.#pullLater, this);
    }
    return 0;
  }

  readStop(): number {
    this.#flowing = false;
    this.#update();
    return 0;
  }

  /**
   * Hand `bytes` to the core. True when it has taken all of them, or failed, and `callback` has been called; false when the rest waits for
   * room and `callback` hears of it later.
   */
  write(bytes: Uint8Array, callback: (errno: number) => void): boolean {
    let at = 0;
    if (this.#writes.length === 0) {
      at = this.#push(bytes, 0);
      if (at < 0 || at === bytes.length) {
        callback(Math.min(at, 0));
        return true;
      }
    }
    this.#writes.push({ bytes, at, callback });
    this.#update();
    return false;
  }

  /** Send FIN behind everything written. False when there is nothing to end any more. */
  shutdown(callback: () => void): boolean {
    if (this.connection === null || this.#error !== 0 || this.connection.error !== 0) return false;
    this.#shutdown = callback;
    this.#endWhenWritten();
    this.#update();
    return true;
  }

  /** Give the connection up; what the core has been handed is still delivered. `callback` runs after this round of the event loop. */
  close(callback?: () => void): void {
    this.#finish(false, callback);
  }

  /** Give the connection up at once: the peer hears a RST. */
  reset(callback?: () => void): void {
    this.#finish(true, callback);
  }

  getsockname(): AddressObject {
    const { connection } = this;
    if (connection !== null) return addressObject(connection.local, connection.localPort);
    return this.#local === null
      ? { address: '0.0.0.0', family: 'IPv4', port: 0 }
      : addressObject(this.#local, this.#localPort);
  }

  getpeername(): AddressObject | null {
    const { connection } = this;
    return connection === null ? null : addressObject(connection.remote, connection.remotePort);
  }

  setNoDelay(on: boolean): void {
    this.#noDelay = on;
    if (this.connection === null) return;
    this.#context.driver.enter();
    this.connection.noDelay = on;
  }

  /** @param idle seconds before the first probe; 0 leaves the default */
  setKeepAlive(on: boolean, idle: number): void {
    this.#keepAlive = on ? idle : null;
    if (this.connection === null) return;
    this.#context.driver.enter();
    // libuv probes every second, ten times, once the connection has been idle for as long as asked.
    if (idle > 0) this.connection.setKeepAlive(on, idle * 1_000_000, 1_000_000, 10);
    else this.connection.setKeepAlive(on);
  }

  /** Change what Node has no name for; remembered when there is no connection yet. */
  set<K extends keyof ConnectionSettings>(name: K, value: ConnectionSettings[K]): void {
    this.#settings[name] = value;
    if (this.connection === null) return;
    this.#context.driver.enter();
    const connection: ConnectionSettings = this.connection;
    connection[name] = value;
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
    return this.#hold.ref && !this.#closed;
  }

  onEvents(events: number): void {
    this.#context.driver.callback(this.#resource, this.#handle, this, events);
  }

  #handle(events: number): void {
    const connection = this.connection;
    if (connection === null) return;
    if (this.#connected !== null) {
      if ((events & (EV_CONNECTED | EV_ERROR)) === 0) return;
      if (connection.path.isLocal && !this.#yielded) {
        // To ourselves: the listener's side hears of it first, as it does from the kernel, so that a program which stops listening once
        // it is connected does not lose the connection.
        this.#yielded = true;
        this.#context.core.events.post(connection, events);
        return;
      }
      const connected = this.#connected;
      this.#connected = null;
      const failed = (events & EV_ERROR) !== 0 && (events & EV_CONNECTED) === 0;
      if (failed) this.#error = connection.error;
      this.#update();
      connected(failed ? connection.error : 0);
      if (failed) return;
    }
    if ((events & EV_WRITABLE) !== 0) this.#pushPending();
    if ((events & EV_ERROR) !== 0) this.#error = connection.error;
    if ((events & (EV_READABLE | EV_END | EV_ERROR)) !== 0) this.#pull();
    // Whoever does not read learns of the error from what it writes.
    if (this.#error !== 0 && !this.#closed) this.#failWrites(this.#error);
  }

  static #pullLater(handle: TcpHandle): void {
    handle.#pullPending = false;
    handle.#resource.runInAsyncScope(handle.#pull, handle);
  }

  #pull(): void {
    const { connection, owner } = this;
    if (connection === null || owner === null) return;
    if (this.#flowing && connection.readable > 0) this.#context.driver.enter();
    while (this.#flowing && connection.readable > 0) {
      const buffer = owner.userBuffer;
      const target = buffer ?? Buffer.allocUnsafe(Math.min(connection.readable, CHUNK));
      const length = connection.read(target, 0, target.length);
      if (length <= 0) break;
      this.bytesRead += length;
      let more: boolean;
      if (buffer !== null) more = owner.onUserBuffer(length);
      else more = owner.onRead(length === target.length ? (target as Buffer) : (target as Buffer).subarray(0, length));
      if (!more) this.#flowing = false;
    }
    if (this.#flowing && connection.readable === 0) {
      if (this.#error !== 0) {
        const errno = this.#error;
        this.#error = EPIPE;
        this.#flowing = false;
        this.#update();
        owner.onReadError(errno);
        return;
      }
      if (connection.endReceived) {
        // Nothing more to wait for: the handle is idle from here on, as libuv's is.
        this.#flowing = false;
        this.#update();
        owner.onRead(null);
        return;
      }
    }
    this.#update();
  }

  /** Offer bytes from `at` on; the new position, or a negative errno. */
  #push(bytes: Uint8Array, at: number): number {
    const { connection } = this;
    if (this.#error !== 0) {
      const errno = this.#error;
      this.#error = EPIPE;
      return errno;
    }
    if (connection === null) return ENOTCONN;
    this.#context.driver.enter();
    while (at < bytes.length) {
      const taken = connection.write(bytes, at, bytes.length - at);
      if (taken < 0) return taken;
      if (taken === 0) break;
      at += taken;
      this.bytesWritten += taken;
    }
    return at;
  }

  #pushPending(): void {
    while (this.#writes.length > 0) {
      const write = this.#writes[0];
      write.at = this.#push(write.bytes, write.at);
      if (write.at >= 0 && write.at < write.bytes.length) return;
      this.#writes.shift();
      write.callback(Math.min(write.at, 0));
      if (this.#closed) return;
    }
    this.#endWhenWritten();
    this.#update();
  }

  #failWrites(errno: number): void {
    const writes = this.#writes;
    if (writes.length > 0) {
      this.#writes = [];
      this.#error = EPIPE;
      for (const write of writes) write.callback(errno);
    }
    this.#update();
  }

  #endWhenWritten(): void {
    const done = this.#shutdown;
    if (done === null || this.#writes.length > 0 || this.connection === null) return;
    this.#shutdown = null;
    this.#context.driver.enter();
    this.connection.end();
    setImmediate(done);
  }

  #finish(reset: boolean, callback?: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flowing = false;
    this.#connected = null;
    const { connection } = this;
    this.owner = null;
    this.connection = null;
    for (const write of this.#writes) process.nextTick(write.callback, 0);
    this.#writes = [];
    if (this.#shutdown !== null) process.nextTick(this.#shutdown);
    this.#shutdown = null;
    this.#update();
    if (connection !== null) {
      connection.owner = null;
      this.#context.driver.enter();
      if (reset) connection.abort();
      else {
        if (connection.error === 0 && connection.unacknowledged > 0)
          connection.owner = new Lingering(this.#context.driver, connection);
        connection.release();
      }
    }
    if (callback !== undefined) setImmediate(callback);
  }

  #update(): void {
    this.#hold.active =
      !this.#closed &&
      (this.#connected !== null ||
        (this.#flowing && this.connection !== null) ||
        this.#writes.length > 0 ||
        this.#shutdown !== null);
  }
}

/** Knobs of a connection beyond Node's. */
export interface ConnectionSettings {
  /** Microseconds unacknowledged data may wait before the connection is given up; 0 for the default. RFC 5482. */
  userTimeout: number;
  ttl: number;
  tos: number;
  quickAck: boolean;
}

export function addressObject(address: Address, port: number): AddressObject {
  return { address: address.toString(), family: address.isV4 ? 'IPv4' : 'IPv6', port };
}
