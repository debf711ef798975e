// What the sockets of one stack have in common.

import type { LookupAddress, LookupOptions } from 'node:dns';
import type { Server } from './server.ts';
import type { Socket, SocketOptions } from './socket.ts';
import type { HandleContext } from './tcp-handle.ts';

export type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** In the shape of `dns.lookup`. */
export type Lookup = (hostname: string, options: LookupOptions, callback: LookupCallback) => void;

/** Defaults programs can change at run time, as Node's `net` lets them. */
export interface NetDefaults {
  autoSelectFamily: boolean;
  autoSelectFamilyAttemptTimeout: number;
}

export interface NetContext extends HandleContext {
  readonly lookup: Lookup;
  readonly defaults: NetDefaults;
  /** The stack's own classes. */
  Socket: new (options?: SocketOptions) => Socket;
  Server: new (...args: ConstructorParameters<typeof Server>) => Server;
}
