// Connections as Web Streams, in the shape of the Sockets API proposal (WinterTC) that other runtimes have: `stack.connect()`.
//
// Thin: a net.Socket is underneath, and its back-pressure reaches through.

import { Duplex } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import { invalidArgValue } from './errors.ts';
import type { Net } from './net.ts';
import type { Socket, SocketOptions } from './socket.ts';
import { validatePort, validateString } from './validate.ts';

export interface SocketAddress {
  hostname: string;
  port: number;
}

export interface ConnectOptions
  extends Pick<SocketOptions, 'noDelay' | 'keepAlive' | 'keepAliveInitialDelay' | 'signal'> {
  /** Leave the writable half open when the peer has ended its own. */
  allowHalfOpen?: boolean;
}

export interface SocketInfo {
  remoteAddress: string;
  localAddress: string;
}

/** One connection. `readable` ends when the peer ends; closing `writable` ends our side. */
export interface SocketStreams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Resolves when there is a connection, rejects when there is to be none. */
  readonly opened: Promise<SocketInfo>;
  /** Resolves when the connection is over, rejects when it failed. */
  readonly closed: Promise<void>;
  /** Give the connection up, whatever has not been read or written yet. */
  close(): Promise<void>;
}

/** Connect to "host:port", "[2001:db8::1]:80" or { hostname, port }. */
export function connectStreams(
  net: Pick<Net, 'connect'>,
  address: string | SocketAddress,
  options: ConnectOptions = {},
): SocketStreams {
  const { hostname, port } = typeof address === 'string' ? parse(address) : address;
  validateString(hostname, 'address.hostname');
  const socket = net.connect({ ...options, host: hostname, port: validatePort(port, 'address.port', false) });
  return fromSocket(socket);
}

function parse(address: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  if (match === null) throw invalidArgValue('address', address, 'must look like example.org:80 or [2001:db8::1]:80');
  return { hostname: match[1] ?? match[2], port: Number(match[3]) };
}

/** The two halves of a socket, and what becomes of it. */
export function fromSocket(socket: Socket): SocketStreams {
  const closed = new Promise<void>((resolve, reject) => {
    let failure: Error | null = null;
    socket.once('error', (error) => {
      failure = error;
    });
    socket.once('close', () => (failure === null ? resolve() : reject(failure)));
  });
  const opened = new Promise<SocketInfo>((resolve, reject) => {
    const info = (): void => resolve({ remoteAddress: place(socket, 'remote'), localAddress: place(socket, 'local') });
    if (!socket.connecting && socket._handle !== null) info();
    else socket.once('connect', info);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed before it was established')));
  });
  // Nobody has to look at both: what is wrong is told by the streams, too.
  for (const promise of [closed, opened]) promise.catch(() => {});
  const { readable, writable } = Duplex.toWeb(socket);
  return {
    readable,
    writable,
    opened,
    closed,
    async close() {
      socket.destroy();
      // Whether it had failed before is what `closed` tells.
      await closed.catch(() => {});
    },
  };
}

function place(socket: Socket, side: 'remote' | 'local'): string {
  const host = side === 'remote' ? socket.remoteAddress : socket.localAddress;
  const port = side === 'remote' ? socket.remotePort : socket.localPort;
  return host?.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
