// The control socket of a running stack: who may open the file may command the stack, so it is made for its owner alone.

import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import createDebug from 'debug';
import { removeSocket } from './directory.ts';
import { ControlError, LineReader, MAX_REQUEST, type Params, parseRequest, type Reply } from './protocol.ts';

const debug = createDebug('tapstack:control');

const MAX_CLIENTS = 32;
const REQUEST_TIMEOUT = 10_000;
/** Bytes waiting in a client's socket above which `trySend` drops. */
const MAX_BACKLOG = 4 * 1024 * 1024;

/** One request being answered. */
export class Call {
  readonly params: Params;
  readonly #socket: Socket;
  readonly #cancelled = new AbortController();

  constructor(params: Params, socket: Socket) {
    this.params = params;
    this.#socket = socket;
    socket.once('close', () => this.#cancelled.abort());
  }

  /** Aborts when the client is gone. */
  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Stream one item. */
  send(item: unknown): void {
    writeReply(this.#socket, { item });
  }

  /** Stream one item unless the client reads too slowly; false when it was dropped. */
  trySend(item: unknown): boolean {
    if (this.#socket.writableLength > MAX_BACKLOG) return false;
    this.send(item);
    return true;
  }
}

export type Handler = (call: Call) => unknown | Promise<unknown>;

function writeReply(socket: Socket, reply: Reply): void {
  if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
}

export class ControlServer {
  readonly path: string;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  #closing: Promise<void> | null = null;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
  }

  /**
   * Serve `handlers` at `path`. A socket file that a dead stack left there is replaced.
   * @throws Error when a live stack serves there
   */
  static async listen(path: string, handlers: ReadonlyMap<string, Handler>): Promise<ControlServer> {
    if (await isServed(path)) throw new Error(`another stack serves ${path}: stop it first, or name another TAP`);
    rmSync(path, { force: true });
    const server = createServer({ allowHalfOpen: true });
    server.maxConnections = MAX_CLIENTS;
    const control = new ControlServer(path, server);
    server.on('connection', (socket) => control.#accept(socket, handlers));
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void => {
        removeSocket(path);
        reject(error);
      };
      server.once('error', refuse);
      server.listen(path, () => {
        server.off('error', refuse);
        resolve();
      });
    });
    chmodSync(path, 0o600);
    return control;
  }

  #accept(socket: Socket, handlers: ReadonlyMap<string, Handler>): void {
    this.#clients.add(socket);
    socket.once('close', () => this.#clients.delete(socket));
    socket.on('error', (error) => debug('client: %s', error.message));
    socket.setTimeout(REQUEST_TIMEOUT, () => socket.destroy());
    const lines = new LineReader(MAX_REQUEST);
    let answered = false;
    socket.on('data', (chunk: Buffer) => {
      if (answered) return;
      try {
        for (const line of lines.push(chunk)) {
          answered = true;
          socket.setTimeout(0);
          void answer(line, socket, handlers);
          return;
        }
      } catch (error) {
        answered = true;
        fail(socket, error);
      }
    });
    // The client's end means it wants no more: a request in progress is cancelled by the close.
    socket.once('end', () => socket.destroy());
  }

  close(): Promise<void> {
    this.#closing ??= new Promise<void>((resolve) => {
      for (const client of this.#clients) client.destroy();
      this.#server.close(() => {
        removeSocket(this.path);
        resolve();
      });
    });
    return this.#closing;
  }
}

async function answer(line: string, socket: Socket, handlers: ReadonlyMap<string, Handler>): Promise<void> {
  try {
    const { op, params } = parseRequest(line);
    const handler = handlers.get(op);
    if (handler === undefined) throw new ControlError('ENOSYS', `this stack knows no request "${op}"`);
    debug('request %s', op);
    const result = await handler(new Call(params, socket));
    writeReply(socket, { result: result ?? null });
    socket.end();
  } catch (error) {
    fail(socket, error);
  }
}

function fail(socket: Socket, error: unknown): void {
  const { code, message } = error as NodeJS.ErrnoException;
  debug('request failed: %s', message);
  writeReply(socket, { error: { code: typeof code === 'string' ? code : 'EFAULT', message: String(message) } });
  socket.end();
}

/** Whether somebody answers at `path`; a socket file nobody listens on is stale. */
export function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}
