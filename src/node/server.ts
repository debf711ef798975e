// net.Server on the stack: a listener of the core in the shape of Node's own server.

import { EventEmitter, on } from 'node:events';
import type { ListenOptions, ServerOpts } from 'node:net';
import { getDefaultHighWaterMark } from 'node:stream';
import { promisify } from 'node:util';
import { EADDRNOTAVAIL } from '../errno.ts';
import { Address } from '../wire/address.ts';
import { normalizeArguments, pathError } from './connect.ts';
import type { Closable, NetContext } from './context.ts';
import { kContext } from './context.ts';
import {
  invalidArgType,
  invalidArgValue,
  listenException,
  serverAlreadyListening,
  serverNotRunning,
} from './errors.ts';
import { ListenHandle } from './listen-handle.ts';
import type { Socket } from './socket.ts';
import { fileDescriptorError } from './socket.ts';
import type { AddressObject, TcpHandle } from './tcp-handle.ts';
import type { ListenTuning } from './tuning.ts';
import { listenTuning } from './tuning.ts';
import { validateAbortSignal, validateNumber, validatePort } from './validate.ts';

export type ServerOptions = ServerOpts & ListenTuning;
export type ConnectionListener = (socket: Socket) => void;

// What Node asks of the kernel, which rounds it up to 512.
const BACKLOG = 511;

export class Server extends EventEmitter implements Closable {
  declare readonly [kContext]: NetContext;
  declare allowHalfOpen: boolean;
  declare pauseOnConnect: boolean;
  declare noDelay: boolean;
  declare keepAlive: boolean;
  declare keepAliveInitialDelay: number;
  declare highWaterMark: number;
  declare _tuning: ListenTuning;
  declare maxConnections: number;
  /** Only in Node's types: Node itself has removed it. */
  declare readonly connections: number;
  declare _connections: number;
  declare _handle: ListenHandle | null;
  declare _unref: boolean;
  declare _listeningId: number;
  declare _connectionKey?: string;

  constructor(options?: ServerOptions | ConnectionListener | null, connectionListener?: ConnectionListener) {
    super();
    Server.init(this, options, connectionListener);
  }

  /** Make a server of `target`, an object that inherits from this class, as an old-style constructor does. */
  static prepare(
    target: Server,
    options?: ServerOptions | ConnectionListener | null,
    connectionListener?: ConnectionListener,
  ): void {
    Reflect.apply(EventEmitter as unknown as () => void, target, []);
    Server.init(target, options, connectionListener);
  }

  private static init(
    self: Server,
    given: ServerOptions | ConnectionListener | null | undefined,
    connectionListener: ConnectionListener | undefined,
  ): void {
    let options: ServerOptions = {};
    if (typeof given === 'function') self.on('connection', given);
    else if (given === undefined || given === null || typeof given === 'object') {
      options = { ...given };
      if (typeof connectionListener === 'function') self.on('connection', connectionListener);
    } else throw invalidArgType('options', 'Object', given);
    if (options.keepAliveInitialDelay !== undefined)
      validateNumber(options.keepAliveInitialDelay, 'options.keepAliveInitialDelay');
    if (options.highWaterMark !== undefined) validateNumber(options.highWaterMark, 'options.highWaterMark');

    self._tuning = listenTuning(options);
    self._connections = 0;
    self._handle = null;
    self._unref = false;
    self._listeningId = 1;
    self.allowHalfOpen = Boolean(options.allowHalfOpen);
    self.pauseOnConnect = Boolean(options.pauseOnConnect);
    self.noDelay = Boolean(options.noDelay);
    self.keepAlive = Boolean(options.keepAlive);
    self.keepAliveInitialDelay = Math.trunc(Math.max(options.keepAliveInitialDelay ?? 0, 0) / 1000);
    const mark = options.highWaterMark ?? -1;
    self.highWaterMark = mark >= 0 ? mark : getDefaultHighWaterMark(false);
  }

  listen(port?: number, hostname?: string, backlog?: number, listeningListener?: () => void): this;
  listen(port?: number, hostname?: string, listeningListener?: () => void): this;
  listen(port?: number, backlog?: number, listeningListener?: () => void): this;
  listen(port?: number, listeningListener?: () => void): this;
  listen(path: string, backlog?: number, listeningListener?: () => void): this;
  listen(path: string, listeningListener?: () => void): this;
  listen(options: ListenOptions, listeningListener?: () => void): this;
  listen(handle: unknown, backlog?: number, listeningListener?: () => void): this;
  listen(handle: unknown, listeningListener?: () => void): this;
  listen(...args: unknown[]): this {
    const [given, callback] = normalizeArguments(args);
    const options = given as ListenOptions & { fd?: number; port?: unknown };
    if (this._handle !== null) throw serverAlreadyListening();
    if (callback !== null) this.once('listening', callback);
    this._listeningId++;
    closeOnAbort(this, options.signal);
    if (typeof options.fd === 'number' && options.fd >= 0) throw fileDescriptorError(options.fd);

    const anyPort =
      args.length === 0 ||
      typeof args[0] === 'function' ||
      options.port === null ||
      (options.port === undefined && 'port' in options);
    if (anyPort || typeof options.port === 'number' || typeof options.port === 'string') {
      const port = anyPort ? 0 : validatePort(options.port, 'options.port');
      const backlog = options.backlog || count(args[1]) || count(args[2]) || BACKLOG;
      if (options.host) this._lookupAndListen(port, options.host, backlog);
      else this._listen(null, port, backlog);
      return this;
    }
    if (options.path) throw pathError(options.path);
    if ('port' in options || 'path' in options) throw invalidArgValue('options', options);
    throw invalidArgValue('options', options, 'must have the property "port" or "path"');
  }

  private _lookupAndListen(port: number, host: string, backlog: number): void {
    const id = this._listeningId;
    this[kContext].lookup(host, {}, (error, found) => {
      if (id !== this._listeningId) return;
      const address = typeof found === 'string' ? found : found?.[0]?.address;
      if (error) this.emit('error', error);
      else this._listen(address ?? null, port, backlog);
    });
  }

  private _listen(address: string | null, port: number, backlog: number): void {
    const any = address === null || address === '0.0.0.0';
    const local = any ? undefined : Address.parse(address);
    const handle =
      local === null ? EADDRNOTAVAIL : ListenHandle.listen(this[kContext], local, port, backlog, this._tuning);
    if (typeof handle === 'number') {
      // Node says which wildcard it could not have.
      const error = listenException(handle, address ?? '0.0.0.0', port);
      process.nextTick(() => this.emit('error', error));
      return;
    }
    this._handle = handle;
    this[kContext].open.add(this);
    this._connectionKey = `4:${address ?? '0.0.0.0'}:${port}`;
    handle.onconnection = (client) => this._onConnection(client);
    if (this._unref) handle.unref();
    process.nextTick(() => {
      if (this._handle !== null) this.emit('listening');
    });
  }

  private _onConnection(client: TcpHandle): void {
    if (this.maxConnections && this._connections >= this.maxConnections) {
      const local = client.getsockname();
      const remote = client.getpeername();
      client.close();
      this.emit('drop', {
        localAddress: local.address,
        localPort: local.port,
        localFamily: local.family,
        remoteAddress: remote?.address,
        remotePort: remote?.port,
        remoteFamily: remote?.family,
      });
      return;
    }
    const socket = new this[kContext].Socket({
      handle: client,
      allowHalfOpen: this.allowHalfOpen,
      pauseOnCreate: this.pauseOnConnect,
      readableHighWaterMark: this.highWaterMark,
      writableHighWaterMark: this.highWaterMark,
    });
    if (this.noDelay) socket.setNoDelay(true);
    if (this.keepAlive) socket.setKeepAlive(true, this.keepAliveInitialDelay * 1000);
    this._connections++;
    socket.server = this;
    socket._server = this;
    this.emit('connection', socket);
  }

  get listening(): boolean {
    return this._handle !== null;
  }

  address(): Required<AddressObject> | null {
    return this._handle === null ? null : (this._handle.getsockname() as Required<AddressObject>);
  }

  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this._connections);
    return this;
  }

  /** Take no more connections. 'close' follows when those that are open have ended. */
  close(callback?: (error?: Error) => void): this {
    this._listeningId++;
    if (typeof callback === 'function') {
      if (this._handle === null) this.once('close', () => callback(serverNotRunning()));
      else this.once('close', callback);
    }
    this._handle?.close();
    this._handle = null;
    this[kContext].open.delete(this);
    this._emitCloseIfDrained();
    return this;
  }

  shutDown(): void {
    this.close();
  }

  abandon(): void {
    this.close();
  }

  _emitCloseIfDrained(): void {
    if (this._handle !== null || this._connections > 0) return;
    process.nextTick(() => this.emit('close'));
  }

  /** `for await (const socket of server)`: connections from now on, until the server is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Socket> {
    const events = on(this, 'connection', { close: ['close'] });
    return {
      async next() {
        const { done, value } = await events.next();
        return done ? { done, value: undefined } : { done: false, value: (value as [Socket])[0] };
      },
      async return() {
        await events.return?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this._handle !== null) await promisify<void>((done) => this.close(done))();
  }

  override [EventEmitter.captureRejectionSymbol](error: Error, event: string | symbol, ...args: unknown[]): void {
    if (event === 'connection') (args[0] as Socket).destroy(error);
    else this.emit('error', error);
  }

  ref(): this {
    this._unref = false;
    this._handle?.ref();
    return this;
  }

  unref(): this {
    this._unref = true;
    this._handle?.unref();
    return this;
  }
}

const count = (value: unknown): number => {
  const number = Number(value);
  return number > 0 ? Math.trunc(number) : 0;
};

function closeOnAbort(server: Server, signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  validateAbortSignal(signal, 'options.signal');
  const abort = (): void => {
    server.close();
  };
  if (signal.aborted) {
    process.nextTick(abort);
    return;
  }
  signal.addEventListener('abort', abort, { once: true });
  server.once('close', () => signal.removeEventListener('abort', abort));
}
