// What a service needs from a network, and no more.
//
// `node:net` and `node:dgram` satisfy these interfaces, and so do the `net` and `dgram` of a stack: a service is written once, runs
// on either, and is tested on the loopback of the host. Methods are declared in method syntax so that richer types fit.

import type { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export interface StreamSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  setTimeout(milliseconds: number, callback?: () => void): this;
  setNoDelay(on?: boolean): this;
}

export interface StreamServer extends EventEmitter {
  listen(options: { port: number; host?: string; backlog?: number }, callback?: () => void): this;
  close(callback?: (error?: Error) => void): this;
  address(): AddressInfo | string | null;
  ref(): this;
  unref(): this;
}

export interface NetApi {
  createServer(
    options: { allowHalfOpen?: boolean; noDelay?: boolean },
    listener: (socket: StreamSocket) => void,
  ): StreamServer;
}

export interface RemoteInfo {
  readonly address: string;
  readonly port: number;
  readonly size: number;
  /** Wall clock at which the frame was read: nanoseconds (bigint) or milliseconds (number). `node:dgram` does not say. */
  readonly receivedAt?: bigint | number;
}

export interface DatagramSocket extends EventEmitter {
  bind(options: { port: number; address?: string }, callback?: () => void): this;
  send(
    message: Uint8Array,
    port: number,
    address: string,
    callback?: (error: Error | null, bytes: number) => void,
  ): void;
  address(): AddressInfo;
  close(callback?: () => void): this;
  ref(): this;
  unref(): this;
}

export interface DgramApi {
  createSocket(options: { type: 'udp4' | 'udp6' }): DatagramSocket;
}

export interface StackLike {
  readonly net: NetApi;
  readonly dgram: DgramApi;
}

/** Where a service listens. */
export interface Endpoint {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
}

export interface Service {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  /** What the operator should be told once it runs: an account to try, a warning. */
  readonly notes: readonly string[];
  /** Stop listening, end what is open, release what is held. */
  close(): Promise<void>;
}
