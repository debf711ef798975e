// net.Socket on the stack: a stream.Duplex over a TCP connection, in the shape and with the order of events of Node's own.
//
// Back-pressure is real both ways. A reader that has enough stops the handle, the core's receive buffer fills and the window closes; a
// write completes when the core's send buffer has taken it, so `write()` returns false while the network is slower than the writer.
//
// Properties with a leading underscore are Node's: http, tls and many packages look at them.

import type { NetConnectOpts, OnReadOpts } from 'node:net';
import type { DuplexOptions } from 'node:stream';
import { Duplex } from 'node:stream';
import type { ClockTimer } from '../driver/clock.ts';
import type { TcpInfo } from '../tcp/info.ts';
import type { ConnectArguments } from './connect.ts';
import { connectSocket } from './connect.ts';
import type { Closable, NetContext } from './context.ts';
import { kContext } from './context.ts';
import { errnoException, invalidArgValue, socketClosed, socketClosedBeforeConnection } from './errors.ts';
import type { Server } from './server.ts';
import type { AddressObject, StreamOwner, TcpHandle } from './tcp-handle.ts';
import type { ConnectTuning } from './tuning.ts';
import {
  validateAbortSignal,
  validateDuration,
  validateFunction,
  validateInteger,
  validateNumber,
} from './validate.ts';

const kTimeout = Symbol('timeout');
const kNoDelay = Symbol('noDelay');
const kKeepAlive = Symbol('keepAlive');
const kKeepAliveDelay = Symbol('keepAliveInitialDelay');
const kBytesRead = Symbol('bytesRead');
const kBytesWritten = Symbol('bytesWritten');
const kLastWriteQueueSize = Symbol('lastWriteQueueSize');
const kOnRead = Symbol('onread');
const kResetting = Symbol('resetting');
const kUserTimeout = Symbol('userTimeout');
const kEarly = Symbol('early');
const kWriteEarly = Symbol('writeEarly');

export interface SocketOptions extends DuplexOptions {
  handle?: TcpHandle;
  fd?: number;
  readable?: boolean;
  pauseOnCreate?: boolean;
  manualStart?: boolean;
  onread?: OnReadOpts;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  signal?: AbortSignal;
}

interface UserRead {
  buffer: Uint8Array;
  readonly next: (() => Uint8Array) | null;
  readonly callback: (length: number, buffer: Uint8Array) => boolean;
}

type WriteCallback = (error?: Error | null) => void;
type Chunk = string | Buffer | Uint8Array;

/** Restores a stream that has been destroyed, so that it can connect again: Node's streams have it for this purpose. */
interface Undestroyable {
  _undestroy(): void;
}

function streamOptions(given: SocketOptions | number | undefined): DuplexOptions {
  const options = typeof given === 'number' ? {} : { ...given };
  return {
    ...options,
    allowHalfOpen: Boolean(options.allowHalfOpen),
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
  };
}

function checkOptions(options: SocketOptions | number | undefined): void {
  if (typeof options === 'number') throw fileDescriptorError(options);
  if (options?.fd !== undefined) throw fileDescriptorError(options.fd);
  for (const mode of ['objectMode', 'readableObjectMode', 'writableObjectMode'] as const) {
    if (options?.[mode]) throw invalidArgValue(`options.${mode}`, options[mode], 'is not supported');
  }
  if (options?.keepAliveInitialDelay !== undefined)
    validateNumber(options.keepAliveInitialDelay, 'options.keepAliveInitialDelay');
  if (options?.signal) validateAbortSignal(options.signal, 'signal');
}

/** @throws RangeError or TypeError when `fd` could not be a descriptor at all */
export const fileDescriptorError = (fd: unknown): Error => {
  validateInteger(fd, 'fd', 0, 2147483647);
  return invalidArgValue(
    'options.fd',
    fd,
    'names a socket of the host; a socket of the stack has none, use node:net for it',
  );
};

export class Socket extends Duplex implements StreamOwner, Closable {
  declare readonly [kContext]: NetContext;
  declare connecting: boolean;
  declare server: Server | null;
  declare timeout?: number;
  /** Undefined until several have been tried, whatever Node's types say. */
  declare autoSelectFamilyAttemptedAddresses: string[];
  declare _handle: TcpHandle | null;
  declare _hadError: boolean;
  declare _parent: Socket | null;
  declare _host: string | null;
  declare _server: Server | null;
  declare _peername: AddressObject | null;
  declare _sockname: AddressObject | null;
  declare _pendingData: Chunk | { chunk: Chunk; encoding: BufferEncoding }[] | null;
  declare _pendingEncoding: BufferEncoding | '';
  declare _aborted?: boolean;
  declare private [kTimeout]: ClockTimer | null;
  declare private [kNoDelay]: boolean;
  declare private [kKeepAlive]: boolean;
  declare private [kKeepAliveDelay]: number;
  declare private [kBytesRead]: number;
  declare private [kBytesWritten]: number;
  declare private [kLastWriteQueueSize]: number;
  declare private [kOnRead]: UserRead | null;
  declare private [kResetting]: boolean;
  declare private [kUserTimeout]: number;
  /** Fast open: what is written goes to the core before there is a connection. */
  declare private [kEarly]: boolean;

  constructor(options?: SocketOptions | number) {
    checkOptions(options);
    super(streamOptions(options));
    Socket.init(this, options as SocketOptions | undefined);
  }

  /** Make a socket of `target`, an object that inherits from this class, as an old-style constructor does. */
  static prepare(target: Socket, options?: SocketOptions | number): void {
    checkOptions(options);
    Reflect.apply(Duplex as unknown as (options: DuplexOptions) => void, target, [streamOptions(options)]);
    Socket.init(target, options as SocketOptions | undefined);
  }

  private static init(self: Socket, given: SocketOptions | null | undefined): void {
    const options = given ?? {};
    self.connecting = false;
    self.server = null;
    self._hadError = false;
    self._handle = null;
    self._parent = null;
    self._host = null;
    self._server = null;
    self._peername = null;
    self._sockname = null;
    self._pendingData = null;
    self._pendingEncoding = '';
    self[kTimeout] = null;
    self[kNoDelay] = Boolean(options.noDelay);
    self[kKeepAlive] = Boolean(options.keepAlive);
    self[kKeepAliveDelay] = Math.trunc(Math.max(options.keepAliveInitialDelay ?? 0, 0) / 1000);
    self[kBytesRead] = 0;
    self[kBytesWritten] = 0;
    self[kLastWriteQueueSize] = 0;
    self[kOnRead] = userRead(options.onread);
    self[kResetting] = false;
    self[kUserTimeout] = 0;
    self[kEarly] = false;
    self.on('end', onEnd);
    if (options.handle) {
      self._setHandle(options.handle);
      if (options.readable !== false) {
        if (options.pauseOnCreate) self.pause();
        else if (!options.manualStart) self.read(0);
      }
    }
  }

  /** Take `handle` over: the socket hears what it reads. */
  _setHandle(handle: TcpHandle): void {
    (this as unknown as Undestroyable)._undestroy();
    this._sockname = null;
    this._peername = null;
    this[kEarly] = false;
    this._handle = handle;
    handle.owner = this;
    this[kContext].open.add(this);
    const user = this[kOnRead];
    if (user?.next) user.buffer = user.next();
    if (this[kUserTimeout] > 0) handle.set('userTimeout', this[kUserTimeout] * 1000);
  }

  connect(options: NetConnectOpts & ConnectTuning, connectionListener?: () => void): this;
  connect(port: number, host: string, connectionListener?: () => void): this;
  connect(port: number, connectionListener?: () => void): this;
  connect(path: string, connectionListener?: () => void): this;
  connect(...args: ConnectArguments): this {
    connectSocket(this, args);
    return this;
  }

  /** The connection is there. */
  _connected(): void {
    const handle = this._handle;
    if (handle === null) return;
    this.connecting = false;
    this._sockname = null;
    this._unrefTimer();
    if (this[kNoDelay]) handle.setNoDelay(true);
    if (this[kKeepAlive]) handle.setKeepAlive(true, this[kKeepAliveDelay]);
    this.emit('connect');
    this.emit('ready');
    if (this.readable && !this.isPaused()) this.read(0);
  }

  // What the handle reports

  get userBuffer(): Uint8Array | null {
    return this[kOnRead]?.buffer ?? null;
  }

  onRead(chunk: Buffer | null): boolean {
    this._unrefTimer();
    if (chunk === null) {
      this.push(null);
      // Somebody has to notice the end when nobody reads.
      this.read(0);
      return true;
    }
    if (this.push(chunk)) return true;
    this._stopReading();
    return false;
  }

  onUserBuffer(length: number): boolean {
    this._unrefTimer();
    const user = this[kOnRead];
    if (user === null) return true;
    const more = user.callback(length, user.buffer) !== false;
    if (user.next) user.buffer = user.next();
    if (!more) this._stopReading();
    return more;
  }

  onReadError(errno: number): void {
    this.destroy(errnoException(errno, 'read'));
  }

  private _stopReading(): void {
    const handle = this._handle;
    if (handle === null) return;
    handle.reading = false;
    if (!this.destroyed) handle.readStop();
  }

  private _startReading(): void {
    const handle = this._handle;
    if (handle === null || handle.reading) return;
    handle.reading = true;
    const errno = handle.readStart();
    if (errno < 0) this.destroy(errnoException(errno, 'read'));
  }

  // Readable

  override _read(size: number): void {
    if (this.connecting || this._handle === null) this.once('connect', () => this._read(size));
    else this._startReading();
  }

  override read(size?: number): ReturnType<Duplex['read']> {
    if (this[kOnRead] !== null && !this.connecting) this._startReading();
    return super.read(size);
  }

  override pause(): this {
    if (this[kOnRead] !== null && !this.connecting && this._handle?.reading) this._stopReading();
    return super.pause();
  }

  override resume(): this {
    if (this[kOnRead] !== null && !this.connecting) this._startReading();
    return super.resume();
  }

  // Writable

  override _write(chunk: Chunk, encoding: BufferEncoding, callback: WriteCallback): void {
    if (this._deferWrite(chunk, encoding, callback, () => this._write(chunk, encoding, callback))) return;
    const handle = this._handle;
    if (handle === null) {
      callback(socketClosed());
      return;
    }
    this._unrefTimer();
    if (!handle.write(toBytes(chunk, encoding), this._written(callback)))
      this[kLastWriteQueueSize] = handle.writeQueueSize;
  }

  override _writev(chunks: { chunk: Chunk; encoding: BufferEncoding }[], callback: WriteCallback): void {
    if (this._deferWrite(chunks, '', callback, () => this._writev(chunks, callback))) return;
    const handle = this._handle;
    if (handle === null) {
      callback(socketClosed());
      return;
    }
    this._unrefTimer();
    let failed = 0;
    const done = this._written(callback);
    const note = (errno: number): void => {
      failed ||= errno;
    };
    const last = chunks.length - 1;
    for (let i = 0; i < last; i++) handle.write(toBytes(chunks[i].chunk, chunks[i].encoding), note);
    const end = (errno: number): void => done(failed || errno);
    if (!handle.write(toBytes(chunks[last].chunk, chunks[last].encoding), end))
      this[kLastWriteQueueSize] = handle.writeQueueSize;
  }

  /** While connecting, one write waits here and Writable queues the others behind it. */
  private _deferWrite(
    data: Socket['_pendingData'],
    encoding: BufferEncoding | '',
    callback: WriteCallback,
    retry: () => void,
  ): boolean {
    if (!this.connecting) {
      this._pendingData = null;
      this._pendingEncoding = '';
      return false;
    }
    this._pendingData = data;
    this._pendingEncoding = encoding;
    if (this[kEarly]) {
      // Fast open: the core takes it now, and sends it with the SYN or behind it.
      this.connecting = false;
      retry();
      this.connecting = true;
      return true;
    }
    const onClose = (): void => callback(socketClosedBeforeConnection());
    const onConnect = (): void => {
      this.off('close', onClose);
      this.off(kWriteEarly, onConnect);
      this.off('connect', onConnect);
      retry();
    };
    this.once('connect', onConnect);
    this.once(kWriteEarly, onConnect);
    this.once('close', onClose);
    return true;
  }

  /** The SYN is about to leave, and may take along what was written (RFC 7413). */
  _writeEarly(): void {
    this[kEarly] = true;
    this.emit(kWriteEarly);
  }

  private _written(callback: WriteCallback): (errno: number) => void {
    return (errno) => {
      this[kLastWriteQueueSize] = 0;
      if (this.destroyed) {
        callback(null);
        return;
      }
      this._unrefTimer();
      if (errno === 0) callback(null);
      else {
        const error = errnoException(errno, 'write');
        this.destroy(error);
        callback(error);
      }
    };
  }

  override _final(callback: WriteCallback): void {
    if (this.pending) {
      this.once('connect', () => this._final(callback));
      return;
    }
    if (this._handle === null || !this._handle.shutdown(() => callback())) callback();
  }

  override end(callback?: () => void): this;
  override end(chunk: unknown, callback?: () => void): this;
  override end(chunk: unknown, encoding: BufferEncoding, callback?: () => void): this;
  override end(...args: unknown[]): this {
    Reflect.apply(super.end, this, args);
    return this;
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.connecting = false;
    for (let socket: Socket | null = this; socket; socket = socket._parent) socket[kTimeout]?.close();
    const handle = this._handle;
    this[kContext].open.delete(this);
    if (handle !== null) {
      this[kBytesRead] = handle.bytesRead;
      this[kBytesWritten] = handle.bytesWritten;
      const closed = (): void => {
        this.emit('close', error !== null);
      };
      if (this[kResetting]) handle.reset(closed);
      else handle.close(closed);
      this[kResetting] = false;
      this._handle = null;
      this._sockname = null;
      callback(error);
    } else {
      callback(error);
      process.nextTick(() => this.emit('close'));
    }
    if (this._server) {
      this._server._connections--;
      this._server._emitCloseIfDrained();
    }
  }

  shutDown(): void {
    if (this.connecting) this.destroy();
    else this.destroySoon();
  }

  abandon(): void {
    if (this.connecting) this.destroy();
    else this.resetAndDestroy();
  }

  /** Close with a RST instead of a FIN. */
  resetAndDestroy(): this {
    if (this._handle === null) return this.destroy(socketClosed());
    if (this.connecting) this.once('connect', () => this._reset());
    else this._reset();
    return this;
  }

  _reset(): this {
    this[kResetting] = true;
    return this.destroy();
  }

  // Options

  setTimeout(milliseconds: number, callback?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = milliseconds;
    const delay = validateDuration(milliseconds, 'msecs');
    this[kTimeout]?.close();
    this[kTimeout] = null;
    if (callback !== undefined) validateFunction(callback, 'callback');
    if (delay === 0) {
      if (callback) this.removeListener('timeout', callback);
      return this;
    }
    this[kTimeout] = this[kContext].driver.clock.timer(() => this._onTimeout(), delay);
    if (callback) this.once('timeout', callback);
    return this;
  }

  _onTimeout(): void {
    const size = this[kLastWriteQueueSize];
    if (size > 0 && this._handle !== null) {
      // A write that moves is activity, even if it has not completed.
      const left = this._handle.writeQueueSize;
      if (left !== size) {
        this[kLastWriteQueueSize] = left;
        this._unrefTimer();
        return;
      }
    }
    this.emit('timeout');
  }

  /** There was activity: idle time starts anew. */
  _unrefTimer(): void {
    for (let socket: Socket | null = this; socket; socket = socket._parent) socket[kTimeout]?.refresh();
  }

  setNoDelay(on = true): this {
    const enable = Boolean(on);
    if (this._handle !== null && enable !== this[kNoDelay]) this._handle.setNoDelay(enable);
    this[kNoDelay] = enable;
    return this;
  }

  setKeepAlive(on = false, initialDelay = 0): this {
    const enable = Boolean(on);
    const seconds = Math.trunc(initialDelay / 1000) || 0;
    const changed = enable !== this[kKeepAlive] || (enable && seconds !== this[kKeepAliveDelay]);
    this[kKeepAlive] = enable;
    this[kKeepAliveDelay] = seconds;
    if (changed) this._handle?.setKeepAlive(enable, seconds);
    return this;
  }

  ref(): this {
    if (this._handle === null) this.once('connect', this.ref);
    else this._handle.ref();
    return this;
  }

  unref(): this {
    if (this._handle === null) this.once('connect', this.unref);
    else this._handle.unref();
    return this;
  }

  // What Node does not offer

  /** Give the connection up when written data stays unacknowledged for this many milliseconds (RFC 5482); 0 restores the default. */
  get userTimeout(): number {
    return this[kUserTimeout];
  }

  set userTimeout(milliseconds: number) {
    this[kUserTimeout] = validateDuration(milliseconds, 'userTimeout');
    this._handle?.set('userTimeout', this[kUserTimeout] * 1000);
  }

  /** The connection as the stack sees it: state, windows, round-trip times, losses. Null when there is none. */
  tcpInfo(): TcpInfo | null {
    const connection = this._handle?.connection ?? null;
    if (connection === null) return null;
    this[kContext].driver.enter();
    return connection.info();
  }

  // State

  get _connecting(): boolean {
    return this.connecting;
  }

  get pending(): boolean {
    return this._handle === null || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bufferSize(): number {
    // Node's types do not know that there may be none.
    return this._handle === null ? (undefined as unknown as number) : this.writableLength;
  }

  get bytesRead(): number {
    return this._handle === null ? this[kBytesRead] : this._handle.bytesRead;
  }

  get _bytesDispatched(): number {
    return this._handle === null ? this[kBytesWritten] : this._handle.bytesWritten + this._handle.writeQueueSize;
  }

  /** Bytes given to the stack so far and bytes that wait to be. */
  get bytesWritten(): number {
    const waiting = (this as unknown as { writableBuffer?: { chunk: Chunk; encoding: BufferEncoding }[] })
      .writableBuffer;
    let bytes = this._bytesDispatched;
    for (const entry of waiting ?? []) bytes += byteLength(entry.chunk, entry.encoding);
    const pending = this._pendingData;
    if (Array.isArray(pending)) for (const entry of pending) bytes += byteLength(entry.chunk, entry.encoding);
    else if (pending !== null) bytes += byteLength(pending, this._pendingEncoding || 'utf8');
    return bytes;
  }

  address(): AddressObject {
    return this._getsockname();
  }

  _getsockname(): AddressObject {
    if (this._handle === null) return {};
    if (this._sockname === null) {
      const local = this._handle.getsockname();
      if (local.port === 0) return {}; // not bound yet
      this._sockname = local;
    }
    return this._sockname;
  }

  _getpeername(): AddressObject {
    if (this._handle === null || this.connecting) return this._peername ?? {};
    this._peername ??= this._handle.getpeername();
    return this._peername ?? {};
  }

  get localAddress(): string | undefined {
    return this._getsockname().address;
  }

  get localPort(): number | undefined {
    return this._getsockname().port;
  }

  get localFamily(): string | undefined {
    return this._getsockname().family;
  }

  get remoteAddress(): string | undefined {
    return this._getpeername().address;
  }

  get remotePort(): number | undefined {
    return this._getpeername().port;
  }

  get remoteFamily(): string | undefined {
    return this._getpeername().family;
  }
}

const toBytes = (chunk: Chunk, encoding: BufferEncoding): Uint8Array =>
  typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;

const byteLength = (chunk: Chunk, encoding: BufferEncoding): number =>
  typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length;

function userRead(onread: OnReadOpts | null | undefined): UserRead | null {
  if (onread === null || typeof onread !== 'object' || typeof onread.callback !== 'function') return null;
  const { buffer, callback } = onread;
  if (typeof buffer === 'function') return { buffer: new Uint8Array(0), next: buffer, callback };
  return buffer instanceof Uint8Array ? { buffer, next: null, callback } : null;
}

/** After the end of what the peer sends, a socket that may not be half open takes no more writes. */
function onEnd(this: Socket): void {
  if (!this.allowHalfOpen) this.write = writeAfterEnd as Socket['write'];
}

function writeAfterEnd(this: Socket, ...args: unknown[]): boolean {
  if (!this.writableEnded) return Reflect.apply(Duplex.prototype.write, this, args);
  const callback = typeof args[1] === 'function' ? args[1] : args[2];
  const error = Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' });
  if (typeof callback === 'function') process.nextTick(callback as WriteCallback, error);
  this.destroy(error);
  return false;
}
