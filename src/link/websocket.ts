// Ethernet over WebSocket (RFC 6455): one frame per binary message, as v86 and websockproxy have it. A client, and a server that makes a
// link of every client.
//
// A WebSocket buffers whatever it is given; here it is not given more than it gets rid of. Towards the peer, no message is sent while more
// than HIGH bytes wait; from the peer, nothing is read while the stack has not taken what was.
//
// Invariant: at most HIGH bytes and one frame wait in the WebSocket, and at most `limit` frames in front of it.

import { EventEmitter, once } from 'node:events';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Socket as HostSocket } from 'node:net';
import { Duplex } from 'node:stream';
import type { ClientOptions } from 'ws';
import { WebSocket, WebSocketServer } from 'ws';
import { MAX_FRAME } from '../mem/frame-batch.ts';
import type { DuplexLinkOptions } from './duplex.ts';
import { DuplexLink } from './duplex.ts';

const HIGH = 1024 * 1024;
const LOW = 256 * 1024;
const NORMAL_CLOSURE = 1000;
const GOING_AWAY = 1001;

/** Frames of a WebSocket that is open, as a Duplex of chunks. */
class FrameDuplex extends Duplex {
  readonly #socket: WebSocket;
  #blocked: ((error?: Error | null) => void) | null = null;

  constructor(socket: WebSocket) {
    super({ objectMode: true, highWaterMark: 64 });
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => {
      // Text is not for us: v86 has none, and others send greetings.
      if (isBinary && Buffer.isBuffer(data) && !this.destroyed && !this.push(data)) socket.pause();
    });
    socket.on('error', (error) => this.destroy(error));
    this.on('error', () => {}); // the link tells of it; when there is none, because its options were wrong, nobody waits for it
    socket.on('close', (code, reason) => this.#onClose(code, String(reason)));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(frame: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    const socket = this.#socket;
    if (socket.readyState !== WebSocket.OPEN) {
      done(); // an unplugged cable swallows what is sent into it; 'close' is about to tell
      return;
    }
    socket.send(frame, { binary: true, compress: false }, () => {
      if (this.#blocked === null || socket.bufferedAmount > LOW) return;
      const go = this.#blocked;
      this.#blocked = null;
      go();
    });
    if (socket.bufferedAmount > HIGH) this.#blocked = done;
    else done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const socket = this.#socket;
    socket.resume(); // or the peer's goodbye would not be read
    if (error === null && socket.readyState === WebSocket.OPEN) socket.close(NORMAL_CLOSURE);
    else socket.terminate();
    done(error);
  }

  #onClose(code: number, reason: string): void {
    if (this.destroyed) return;
    const said = reason === '' ? `code ${code}` : `code ${code}, ${reason}`;
    this.destroy(Object.assign(new Error(`the WebSocket was closed (${said})`), { code: 'ERR_LINK_ENDED' }));
  }
}

export interface WebSocketLinkOptions extends DuplexLinkOptions {
  /** Milliseconds of silence after which the peer is asked for a sign of life, and given up for lack of one; default 30,000, 0 for never. */
  heartbeat?: number;
}

export interface WebSocketConnectOptions extends WebSocketLinkOptions {
  /** Subprotocols to offer. */
  protocols?: readonly string[];
  /** Anything else `ws` takes: headers, certificates, an agent. */
  ws?: ClientOptions;
}

/** A link over a WebSocket that is open. */
export class WebSocketLink extends DuplexLink {
  readonly socket: WebSocket;
  #timer: NodeJS.Timeout | undefined;

  /** @param socket a `ws` WebSocket, open */
  constructor(socket: WebSocket, options: WebSocketLinkOptions = {}) {
    const { heartbeat = 30_000, ...rest } = options;
    if (socket.readyState !== WebSocket.OPEN)
      throw new TypeError('WebSocketLink needs a WebSocket that is open: await its "open" event first');
    if (!Number.isInteger(heartbeat) || heartbeat < 0)
      throw new RangeError(`WebSocketLink: heartbeat ${heartbeat} is not a number of milliseconds`);
    super(new FrameDuplex(socket), rest);
    this.socket = socket;
    if (heartbeat > 0) this.#watchPeer(heartbeat);
  }

  /** Connect to a server of frames, like ws://host:port/path. Rejects when there is none. */
  static async connect(url: string | URL, options: WebSocketConnectOptions = {}): Promise<WebSocketLink> {
    const { protocols = [], ws, ...rest } = options;
    const socket = new WebSocket(url, [...protocols], { perMessageDeflate: false, maxPayload: MAX_FRAME, ...ws });
    // What comes with the handshake's answer has to find somebody who listens.
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', () => {
        socket.off('error', reject);
        try {
          resolve(new WebSocketLink(socket, rest));
        } catch (error) {
          socket.terminate();
          reject(error);
        }
      });
    });
  }

  override close(): void {
    clearInterval(this.#timer);
    super.close();
  }

  #watchPeer(interval: number): void {
    const { socket } = this;
    let isAlive = true;
    const alive = (): void => {
      isAlive = true;
    };
    for (const event of ['message', 'ping', 'pong']) socket.on(event, alive);
    socket.once('close', () => clearInterval(this.#timer));
    this.#timer = setInterval(() => {
      if (socket.isPaused) return; // it is we who do not listen
      if (!isAlive) {
        socket.terminate();
        return;
      }
      isAlive = false;
      socket.ping();
    }, interval);
    this.#timer.unref();
  }
}

export interface WebSocketServerOptions extends WebSocketLinkOptions {
  /** Where to listen; port 0 chooses one. */
  port?: number;
  /** Default 127.0.0.1: whoever may connect is on the same Ethernet, so think before opening it to others. */
  host?: string;
  /** Only this path. */
  path?: string;
  /** An HTTP server to share, instead of `port` and `host`. */
  server?: HttpServer;
  /** Who may connect; everybody who gets through when left out. */
  authorize?: (request: IncomingMessage) => boolean;
  /** Most clients at a time, default 256. */
  maxClients?: number;
}

export interface WebSocketLinkServerEvents {
  listening: [];
  /** A client has connected. The link is the listener's to close. */
  link: [link: WebSocketLink, request: IncomingMessage];
  error: [error: Error];
  close: [];
}

/** Listens for clients, and makes a link of each: for a switch to join, or a stack of its own. */
export class WebSocketLinkServer extends EventEmitter<WebSocketLinkServerEvents> {
  readonly #server: WebSocketServer;

  private constructor(options: WebSocketServerOptions) {
    super();
    const { port, host = '127.0.0.1', path, server, authorize, maxClients = 256, ...rest } = options;
    if ((port === undefined) === (server === undefined))
      throw new TypeError('WebSocketLinkServer: say where to listen, by either `port` or `server`');
    this.#server = new WebSocketServer({
      ...(server === undefined ? { port, host } : { server }),
      path,
      perMessageDeflate: false,
      maxPayload: MAX_FRAME,
      verifyClient: ({ req }: { req: IncomingMessage }, decide: (ok: boolean, status?: number) => void) => {
        if (this.#server.clients.size >= maxClients) decide(false, 503);
        else decide(authorize?.(req) ?? true, 401);
      },
    });
    this.#server.on('connection', (socket, request) => {
      (request.socket as HostSocket).setNoDelay(true);
      this.emit('link', new WebSocketLink(socket, rest), request);
    });
    this.#server.on('listening', () => this.emit('listening'));
    this.#server.on('error', (error) => this.emit('error', error));
    this.#server.on('close', () => this.emit('close'));
  }

  /** Resolves when it listens. */
  static async listen(options: WebSocketServerOptions): Promise<WebSocketLinkServer> {
    const made = new WebSocketLinkServer(options);
    if (options.server === undefined) await once(made, 'listening');
    return made;
  }

  /** The port it listens on. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Say goodbye to every client and stop listening. */
  async close(): Promise<void> {
    for (const client of this.#server.clients) client.close(GOING_AWAY);
    await new Promise<void>((resolve, reject) =>
      this.#server.close((error) => (error === undefined ? resolve() : reject(error))),
    );
  }
}
