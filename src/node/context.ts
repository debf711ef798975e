// What the sockets of one stack have in common.

import type { LookupAddress, LookupOptions } from 'node:dns';
import type { Server } from './server.ts';
import type { Socket, SocketOptions } from './socket.ts';
import type { HandleContext } from './tcp-handle.ts';

/** Where a class of a stack's own finds its stack: set on the class's prototype. */
export const kContext = Symbol('stack');

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

/** What the end of the stack ends too. */
export interface Closable {
  /** Close in good order. */
  shutDown(): void;
  /** Close at once. */
  abandon(): void;
}

export interface NetContext extends HandleContext {
  /** Every socket and server that is open. */
  readonly open: Set<Closable>;
  readonly lookup: Lookup;
  readonly defaults: NetDefaults;
  /** The stack's own classes. */
  Socket: new (
    options?: SocketOptions,
  ) => Socket;
  Server: new (...args: ConstructorParameters<typeof Server>) => Server;
}
