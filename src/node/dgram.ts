// `stack.dgram`: the module Node calls `dgram`, on one stack.
//
// A socket is bound before it sends: what is sent earlier waits in order until that has happened. `rinfo.receivedAt` (not enumerable, so
// that rinfo compares like Node's) is the wall clock, in milliseconds with a fraction, at which the frame was read.

import type { BindOptions, SocketOptions, SocketType } from 'node:dgram';
import { EventEmitter, errorMonitor } from 'node:events';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { EBADF } from '../errno.ts';
import type { Callable } from './callable.ts';
import { callable } from './callable.ts';
import type { Closable, Lookup, LookupCallback, NetContext } from './context.ts';
import { kContext } from './context.ts';
import {
  addressException,
  alreadyBound,
  badBufferSize,
  badSocketType,
  bufferOutOfBounds,
  coded,
  codeOf,
  dgramConnected,
  dgramNotConnected,
  dgramNotRunning,
  errnoException,
  invalidArgType,
  invalidArgValue,
  missingArgs,
} from './errors.ts';
import { UdpHandle } from './udp-handle.ts';
import {
  validateAbortSignal,
  validateFunction,
  validateNumber,
  validatePort,
  validateString,
  validateUint32,
} from './validate.ts';

export interface RemoteInfo {
  address: string;
  family: 'IPv4' | 'IPv6';
  port: number;
  size: number;
  /** Wall clock when the frame was read, ms since 1970. */
  readonly receivedAt?: number;
}

export type SendCallback = (error: Error | null, bytes: number) => void;
type MessageListener = (message: Buffer<ArrayBuffer>, rinfo: RemoteInfo) => void;
type Part = string | NodeJS.ArrayBufferView;

const kState = Symbol('state');

/** Node calls a lookup with the family, or with options that contain it. */
type AnyLookup = (hostname: string, options: never, callback: LookupCallback) => void;

interface State {
  handle: UdpHandle | null;
  receiving: boolean;
  bound: 'no' | 'binding' | 'yes';
  connected: 'no' | 'connecting' | 'yes';
  /** What waits for the socket to be bound. */
  queue: (() => void)[] | null;
  readonly reuseAddr: boolean;
  readonly recvBufferSize: number | undefined;
  readonly sendBufferSize: number | undefined;
  readonly lookup: (address: string | undefined, callback: (error: Error | null, ip: string) => void) => void;
}

export class DgramSocket extends EventEmitter implements Closable {
  declare readonly [kContext]: NetContext;
  declare type: SocketType;
  declare private [kState]: State;

  constructor(type: SocketType | SocketOptions, listener?: MessageListener) {
    super();
    DgramSocket.init(this, type, listener);
  }

  /** Make a socket of `target`, an object that inherits from this class, as an old-style constructor does. */
  static prepare(target: DgramSocket, type: SocketType | SocketOptions, listener?: MessageListener): void {
    Reflect.apply(EventEmitter as unknown as () => void, target, []);
    DgramSocket.init(target, type, listener);
  }

  private static init(
    self: DgramSocket,
    given: SocketType | SocketOptions,
    listener: MessageListener | undefined,
  ): void {
    const options: Partial<SocketOptions> = given !== null && typeof given === 'object' ? given : {};
    const type = given !== null && typeof given === 'object' ? given.type : given;
    if (options.recvBufferSize) validateUint32(options.recvBufferSize, 'options.recvBufferSize');
    if (options.sendBufferSize) validateUint32(options.sendBufferSize, 'options.sendBufferSize');
    const context = self[kContext];
    const lookup = resolver(context.lookup, type, options.lookup as AnyLookup | undefined);
    self.type = type;
    if (typeof listener === 'function') self.on('message', listener);
    self[kState] = {
      handle: new UdpHandle(context, type === 'udp6'),
      receiving: false,
      bound: 'no',
      connected: 'no',
      queue: null,
      reuseAddr: Boolean(options.reuseAddr),
      recvBufferSize: options.recvBufferSize,
      sendBufferSize: options.sendBufferSize,
      lookup,
    };
    context.open.add(self);
    if (options.signal !== undefined) closeOnAbort(self, options.signal, () => self[kState].handle !== null);
  }

  bind(port?: number, address?: string, callback?: () => void): this;
  bind(port?: number, callback?: () => void): this;
  bind(callback?: () => void): this;
  bind(options: BindOptions, callback?: () => void): this;
  bind(...args: unknown[]): this {
    const state = this[kState];
    running(state);
    if (state.bound !== 'no') throw alreadyBound();
    state.bound = 'binding';

    const callback = args.at(-1);
    if (typeof callback === 'function') {
      const forget = (): void => {
        this.removeListener('error', forget);
        this.removeListener('listening', listening);
      };
      const listening = (): void => {
        forget();
        Reflect.apply(callback, this, []);
      };
      this.on('error', forget);
      this.on('listening', listening);
    }

    const options = (typeof args[0] === 'object' && args[0] !== null ? args[0] : null) as BindOptions | null;
    if (typeof options?.fd === 'number' && options.fd > 0)
      throw invalidArgValue('options.fd', options.fd, 'names a socket of the host; use node:dgram for it');
    const port = options === null ? args[0] : options.port;
    const given = options === null ? args[1] : options.address;
    const address = typeof given === 'string' && given !== '' ? given : this.type === 'udp4' ? '0.0.0.0' : '::';
    state.lookup(address, (error, ip) => {
      if (state.handle === null) return;
      const number = typeof port === 'number' || typeof port === 'string' ? Number(port) : 0;
      const errno = error === null ? state.handle.bind(ip, number, state.reuseAddr) : 0;
      if (error !== null || errno < 0) {
        state.bound = 'no';
        this.emit('error', error ?? addressException(errno, 'bind', ip, number));
        return;
      }
      this._startReceiving(state, state.handle);
    });
    return this;
  }

  private _startReceiving(state: State, handle: UdpHandle): void {
    handle.onmessage = (message, rinfo) => this.emit('message', message, rinfo);
    handle.onerror = (errno) => this.emit('error', errnoException(errno, 'recvmsg'));
    handle.recvStart();
    state.receiving = true;
    state.bound = 'yes';
    if (state.recvBufferSize) this.setRecvBufferSize(state.recvBufferSize);
    if (state.sendBufferSize) this.setSendBufferSize(state.sendBufferSize);
    this.emit('listening');
  }

  connect(port: number, address?: string, callback?: () => void): void;
  connect(port: number, callback: () => void): void;
  connect(given: number, second?: string | (() => void), third?: () => void): void {
    const port = validatePort(given, 'Port', false);
    const callback = typeof second === 'function' ? second : third;
    const address = typeof second === 'function' || second === undefined ? '' : second;
    validateString(address, 'address');
    const state = this[kState];
    if (state.connected !== 'no') throw dgramConnected();
    state.connected = 'connecting';
    const connect = (): void => this._connect(state, port, address, callback);
    if (this._isBound(state)) connect();
    else this._enqueue(state, connect);
  }

  private _connect(state: State, port: number, address: string, callback: ((error?: Error) => void) | undefined): void {
    if (callback) this.once('connect', callback);
    state.lookup(address, (failure, ip) => {
      if (state.handle === null) return;
      const errno = failure === null ? state.handle.connect(ip, port) : 0;
      const error = failure ?? (errno < 0 ? addressException(errno, 'connect', address, port) : null);
      if (error === null) {
        state.connected = 'yes';
        process.nextTick(() => this.emit('connect'));
        return;
      }
      state.connected = 'no';
      process.nextTick(() => {
        if (callback) {
          this.removeListener('connect', callback);
          callback(error);
        } else this.emit('error', error);
      });
    });
  }

  disconnect(): void {
    const state = this[kState];
    if (state.connected !== 'yes') throw dgramNotConnected();
    check(running(state).disconnect(), 'connect');
    state.connected = 'no';
  }

  /** The old form of `send`. */
  sendto(buffer: Part, offset: number, length: number, port: number, address: string, callback?: SendCallback): void {
    validateNumber(offset, 'offset');
    validateNumber(length, 'length');
    validateNumber(port, 'port');
    validateString(address, 'address');
    this.send(buffer, offset, length, port, address, callback);
  }

  send(message: Part | readonly Part[], port?: number, address?: string, callback?: SendCallback): void;
  send(message: Part | readonly Part[], port?: number, callback?: SendCallback): void;
  send(message: Part | readonly Part[], callback?: SendCallback): void;
  send(message: Part, offset: number, length: number, port?: number, address?: string, callback?: SendCallback): void;
  send(message: Part, offset: number, length: number, port?: number, callback?: SendCallback): void;
  send(message: Part, offset: number, length: number, callback?: SendCallback): void;
  send(message: unknown, ...args: unknown[]): void {
    const state = this[kState];
    const connected = state.connected === 'yes';
    const [offset, length] = args;
    let [, , port, address, callback] = args;
    let data = message;
    if (connected) {
      if (typeof length === 'number') {
        data = slice(message, offset, length);
        if (typeof port === 'function') {
          callback = port;
          port = undefined;
        }
      } else callback = offset;
      if (port || address) throw dgramConnected();
    } else if (address || (port && typeof port !== 'function')) data = slice(message, offset, length);
    else {
      callback = port;
      port = offset;
      address = length;
    }
    const list = toList(data);
    const number = connected ? 0 : validatePort(port, 'Port', false);
    if (typeof address === 'function') {
      callback = address;
      address = undefined;
    } else if (address !== undefined && address !== null) validateString(address, 'address');
    const done = typeof callback === 'function' ? (callback as SendCallback) : undefined;
    running(state);
    const host = typeof address === 'string' ? address : undefined;
    const send = (): void => this._send(state, list, number, host, done);
    if (this._isBound(state)) send();
    else this._enqueue(state, send);
  }

  private _send(
    state: State,
    list: Uint8Array[],
    port: number,
    address: string | undefined,
    callback?: SendCallback,
  ): void {
    const transmit = (failure: Error | null, ip: string | null): void => {
      if (failure !== null) {
        process.nextTick(() => {
          if (callback) (callback as (error: Error) => void)(failure);
          else this.emit('error', failure);
        });
        return;
      }
      if (state.handle === null) return;
      const sent = state.handle.send(list, port, ip);
      if (callback === undefined) return;
      if (sent < 0) process.nextTick(callback, addressException(sent, 'send', address, port || undefined), 0);
      else process.nextTick(callback, null, sent);
    };
    if (port === 0) transmit(null, null);
    else state.lookup(address, transmit);
  }

  /** True when the socket is bound; otherwise it is being bound from now on. */
  private _isBound(state: State): boolean {
    if (state.bound === 'no') this.bind({ port: 0, exclusive: true });
    return (state.bound as State['bound']) === 'yes';
  }

  private _enqueue(state: State, action: () => void): void {
    if (state.queue === null) {
      state.queue = [];
      const failed = (): void => {
        this.removeListener('listening', bound);
        state.queue = null;
      };
      const bound = (): void => {
        this.removeListener(errorMonitor, failed);
        const queue = state.queue ?? [];
        state.queue = null;
        for (const waiting of queue) waiting();
      };
      this.once(errorMonitor, failed);
      this.once('listening', bound);
    }
    state.queue.push(action);
  }

  close(callback?: () => void): this {
    const state = this[kState];
    if (typeof callback === 'function') this.on('close', callback);
    if (state.queue !== null) {
      state.queue.push(() => this.close());
      return this;
    }
    running(state).close();
    state.receiving = false;
    state.handle = null;
    this[kContext].open.delete(this);
    process.nextTick(() => this.emit('close'));
    return this;
  }

  shutDown(): void {
    if (this[kState].handle !== null) this.close();
  }

  abandon(): void {
    const state = this[kState];
    state.queue = null;
    this.shutDown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this[kState].handle !== null) await promisify<void>((done) => this.close(() => done(null)))();
  }

  address(): AddressInfo {
    const address = running(this[kState]).getsockname();
    // The kernel knows no address of a socket that is not bound.
    if (address === null) throw errnoException(EBADF, 'getsockname');
    return address as AddressInfo;
  }

  remoteAddress(): AddressInfo {
    const state = this[kState];
    const handle = running(state);
    const address = state.connected === 'yes' ? handle.getpeername() : null;
    if (address === null) throw dgramNotConnected();
    return address as AddressInfo;
  }

  setBroadcast(on: boolean): void {
    check(running(this[kState]).setBroadcast(Boolean(on)), 'setBroadcast');
  }

  setTTL(ttl: number): number {
    validateNumber(ttl, 'ttl');
    check(running(this[kState]).setTTL(ttl), 'setTTL');
    return ttl;
  }

  /** Type of service, or DSCP and ECN, of what is sent: 0 … 255 (RFC 1122 §4.1.4). */
  setTOS(tos: number): number {
    validateNumber(tos, 'tos');
    check(running(this[kState]).setTOS(tos), 'setTOS');
    return tos;
  }

  setMulticastTTL(ttl: number): number {
    validateNumber(ttl, 'ttl');
    check(running(this[kState]).setMulticastTTL(ttl), 'setMulticastTTL');
    return ttl;
  }

  setMulticastLoopback(on: boolean): boolean {
    check(running(this[kState]).setMulticastLoopback(Boolean(on)), 'setMulticastLoopback');
    return on;
  }

  setMulticastInterface(multicastInterface: string): void {
    const handle = running(this[kState]);
    validateString(multicastInterface, 'interfaceAddress');
    check(handle.setMulticastInterface(multicastInterface), 'setMulticastInterface');
  }

  addMembership(multicastAddress: string, multicastInterface?: string): void {
    const handle = running(this[kState]);
    if (!multicastAddress) throw missingArgs('multicastAddress');
    check(this._implicitBind(handle) || handle.addMembership(multicastAddress, multicastInterface), 'addMembership');
  }

  dropMembership(multicastAddress: string, multicastInterface?: string): void {
    const handle = running(this[kState]);
    if (!multicastAddress) throw missingArgs('multicastAddress');
    check(handle.dropMembership(multicastAddress, multicastInterface), 'dropMembership');
  }

  addSourceSpecificMembership(sourceAddress: string, groupAddress: string, multicastInterface?: string): void {
    const handle = running(this[kState]);
    validateString(sourceAddress, 'sourceAddress');
    validateString(groupAddress, 'groupAddress');
    const errno = handle.addSourceMembership(sourceAddress, groupAddress, multicastInterface);
    check(errno, 'addSourceSpecificMembership');
  }

  dropSourceSpecificMembership(sourceAddress: string, groupAddress: string, multicastInterface?: string): void {
    const handle = running(this[kState]);
    validateString(sourceAddress, 'sourceAddress');
    validateString(groupAddress, 'groupAddress');
    const errno = handle.dropSourceMembership(sourceAddress, groupAddress, multicastInterface);
    check(errno, 'dropSourceSpecificMembership');
  }

  /** libuv binds a socket that joins a group to any port first, and tells nobody. */
  private _implicitBind(handle: UdpHandle): number {
    return this[kState].bound === 'no' && handle.getsockname() === null ? handle.bind('0.0.0.0', 0, false) : 0;
  }

  setRecvBufferSize(size: number): void {
    bufferSize(this[kState], size, true);
  }

  setSendBufferSize(size: number): void {
    bufferSize(this[kState], size, false);
  }

  getRecvBufferSize(): number {
    return bufferSize(this[kState], 0, true);
  }

  getSendBufferSize(): number {
    return bufferSize(this[kState], 0, false);
  }

  /** Datagrams leave with `send`: nothing queues here. */
  getSendQueueSize(): number {
    running(this[kState]);
    return 0;
  }

  getSendQueueCount(): number {
    running(this[kState]);
    return 0;
  }

  ref(): this {
    this[kState].handle?.ref();
    return this;
  }

  unref(): this {
    this[kState].handle?.unref();
    return this;
  }
}

function running(state: State): UdpHandle {
  if (state.handle === null) throw dgramNotRunning();
  return state.handle;
}

function check(errno: number, syscall: string): void {
  if (errno < 0) throw errnoException(errno, syscall);
}

function bufferSize(state: State, size: number, receive: boolean): number {
  if (size >>> 0 !== size) throw badBufferSize();
  const syscall = receive ? 'uv_recv_buffer_size' : 'uv_send_buffer_size';
  const result = state.handle === null || !state.receiving ? EBADF : state.handle.bufferSize(size, receive);
  if (result >= 0) return result;
  const info = { errno: result, code: codeOf(result), message: 'bad file descriptor', syscall };
  const error = coded(
    new Error(`Could not get or set buffer size: ${syscall} returned ${info.code} (${info.message})`),
    'ERR_SOCKET_BUFFER_SIZE',
  );
  throw Object.assign(error, { name: 'SystemError', info, errno: result, syscall });
}

function slice(buffer: unknown, offset: unknown, length: unknown): Uint8Array {
  const bytes = toBytes(buffer);
  if (bytes === null) throw invalidArgType('buffer', ['Buffer', 'TypedArray', 'DataView', 'string'], buffer);
  const start = Number(offset) >>> 0;
  const count = Number(length) >>> 0;
  if (start > bytes.length) throw bufferOutOfBounds('offset');
  if (start + count > bytes.length) throw bufferOutOfBounds('length');
  return bytes.subarray(start, start + count);
}

function toBytes(part: unknown): Uint8Array | null {
  if (typeof part === 'string') return Buffer.from(part);
  return ArrayBuffer.isView(part) ? Buffer.from(part.buffer, part.byteOffset, part.byteLength) : null;
}

function toList(data: unknown): Uint8Array[] {
  const parts: unknown[] = Array.isArray(data) ? data : [data];
  return parts.map((part) => {
    const bytes = toBytes(part);
    if (bytes !== null) return bytes;
    const name = Array.isArray(data) ? 'buffer list arguments' : 'buffer';
    throw invalidArgType(name, ['Buffer', 'TypedArray', 'DataView', 'string'], data);
  });
}

function resolver(ours: Lookup, type: unknown, given: AnyLookup | undefined): State['lookup'] {
  if (given !== undefined) validateFunction(given, 'lookup');
  if (type !== 'udp4' && type !== 'udp6') throw badSocketType();
  const family = type === 'udp4' ? 4 : 6;
  const fallback = type === 'udp4' ? '127.0.0.1' : '::1';
  return (address, callback) => {
    const answer: LookupCallback = (error, found) => {
      const ip = typeof found === 'string' ? found : (found?.[0]?.address ?? '');
      callback(error ?? null, ip);
    };
    if (given === undefined) ours(address || fallback, { family }, answer);
    else Reflect.apply(given, undefined, [address || fallback, family, answer]);
  };
}

function closeOnAbort(socket: DgramSocket, signal: AbortSignal, isOpen: () => boolean): void {
  validateAbortSignal(signal, 'options.signal');
  const abort = (): void => {
    if (isOpen()) socket.close();
  };
  if (signal.aborted) {
    abort();
    return;
  }
  signal.addEventListener('abort', abort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', abort));
}

type DgramConstructor = Callable<[type: SocketType | SocketOptions, listener?: MessageListener], DgramSocket> &
  Omit<typeof DgramSocket, 'prototype'> &
  // What Node's types say of the constructor, which nobody is meant to call.
  (new (options?: {
    captureRejections?: boolean;
  }) => DgramSocket);

export interface Dgram {
  Socket: DgramConstructor;
  createSocket(type: SocketType | SocketOptions, listener?: MessageListener): DgramSocket;
}

/** Make the module for `context`. */
export function createDgram(context: NetContext): Dgram {
  const own = { [kContext]: { value: context } };
  const Socket = callable(
    DgramSocket,
    'Socket',
    (target, args) => DgramSocket.prepare(target, ...args),
    own,
  ) as unknown as DgramConstructor;
  return { Socket, createSocket: (type, listener) => new Socket(type, listener) };
}
