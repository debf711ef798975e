// Listening, the way every service here does it: bounded connections, idle connections dropped, a close() that leaves nothing.
//
// Invariant: whatever a peer does to its connection, the error ends in a log line and in that connection only.

import type { Debugger } from 'debug';
import type { DatagramSocket, DgramApi, Endpoint, NetApi, RemoteInfo, StreamServer, StreamSocket } from './api.ts';

export interface TcpListenOptions {
  net: NetApi;
  port: number;
  host?: string | undefined;
  log: Debugger;
  /** Connections beyond this many are closed at once. */
  maxConnections?: number | undefined;
  /** Milliseconds without a byte in either direction after which a connection is dropped; 0: never. */
  idleTimeout?: number | undefined;
  allowHalfOpen?: boolean | undefined;
}

export interface Listening extends Endpoint {
  close(): Promise<void>;
}

export const MAX_CONNECTIONS = 1024;
const IDLE_TIMEOUT = 10 * 60_000;

export function peerName(socket: StreamSocket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
}

/** Start listening; rejects with the listen error (EADDRINUSE …). */
export async function listenTcp(
  options: TcpListenOptions,
  accept: (socket: StreamSocket) => void,
): Promise<Listening & { connections: ReadonlySet<StreamSocket> }> {
  const { log, maxConnections = MAX_CONNECTIONS, idleTimeout = IDLE_TIMEOUT } = options;
  const connections = new Set<StreamSocket>();
  const server = options.net.createServer({ allowHalfOpen: options.allowHalfOpen ?? true }, (socket) => {
    const peer = peerName(socket);
    socket.on('error', (error) => log('%s: %s', peer, error.message));
    if (connections.size >= maxConnections) {
      log('%s: refused, %d connections are open', peer, connections.size);
      socket.destroy();
      return;
    }
    connections.add(socket);
    log('%s: open', peer);
    socket.once('close', () => {
      connections.delete(socket);
      log('%s: closed', peer);
    });
    if (idleTimeout > 0) socket.setTimeout(idleTimeout, () => socket.destroy());
    accept(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, ...(options.host === undefined ? {} : { host: options.host }) }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  server.on('error', (error: Error) => log('listener: %s', error.message));
  return { ...endpointOf(server, 'tcp'), connections, close: () => closeServer(server, connections) };
}

export function closeServer(server: StreamServer, connections: Iterable<StreamSocket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve()); // its only error is "not running", which is what we want
    for (const socket of connections) socket.destroy();
  });
}

function endpointOf(of: { address(): unknown }, protocol: 'tcp' | 'udp'): Endpoint {
  const at = of.address();
  if (typeof at === 'object' && at !== null && 'address' in at && 'port' in at) {
    return { protocol, address: String(at.address), port: Number(at.port) };
  }
  return { protocol, address: String(at), port: 0 };
}

export interface UdpListenOptions {
  dgram: DgramApi;
  port: number;
  host?: string | undefined;
  log: Debugger;
}

/** Bind a UDP socket; `receive` answers with the `send` of the socket it is handed. Rejects with the bind error. */
export async function listenUdp(
  options: UdpListenOptions,
  receive: (message: Uint8Array, from: RemoteInfo, socket: DatagramSocket) => void,
): Promise<Listening> {
  const { log } = options;
  const socket = options.dgram.createSocket({ type: options.host?.includes(':') ? 'udp6' : 'udp4' });
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', refuse);
    socket.bind({ port: options.port, ...(options.host === undefined ? {} : { address: options.host }) }, () => {
      socket.removeListener('error', refuse);
      resolve();
    });
  });
  socket.on('error', (error: Error) => log('socket: %s', error.message));
  socket.on('message', (message: Uint8Array, from: RemoteInfo) => receive(message, from, socket));
  return {
    ...endpointOf(socket, 'udp'),
    close: () => new Promise((resolve) => void socket.close(() => resolve())),
  };
}
