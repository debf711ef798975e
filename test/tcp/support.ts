// Users of TCP for tests: they write a pattern, read what comes, check it byte by byte, and tell what happened.

import { expect } from 'vitest';
import { EV_CLOSED, EV_CONNECTED, EV_END, EV_ERROR, EV_READABLE, EV_WRITABLE } from '../../src/socket.ts';
import type { Stack } from '../../src/stack.ts';
import type { TcpConnection } from '../../src/tcp/connection.ts';
import type { TcpListener } from '../../src/tcp/listener.ts';
import type { ConnectionOptions, ListenOptions } from '../../src/tcp/options.ts';
import { STATE_NAMES } from '../../src/tcp/states.ts';
import type { Network, TwoStacksOptions } from '../support/two-stacks.ts';
import { twoStacks } from '../support/two-stacks.ts';

/** Byte `i` of every stream in these tests. */
export const patternAt = (i: number): number => (i * 31 + (i >> 8) * 7 + (i >> 16)) & 255;

export function pattern(from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = patternAt(from + i);
  return bytes;
}

/** One end of a connection: reads everything as it comes unless `paused`, and writes `toSend` bytes of the pattern. */
export class User {
  readonly connection: TcpConnection;
  connected = false;
  ended = false;
  closed = false;
  error = 0;
  received = 0;
  sent = 0;
  toSend = 0;
  paused = false;
  endWhenSent = false;
  /** Answer the peer's end with ours. */
  endOnEnd = true;
  readonly #chunk = new Uint8Array(64 * 1024);

  constructor(connection: TcpConnection) {
    this.connection = connection;
    connection.owner = this;
  }

  onEvents(events: number): void {
    if (events & EV_CONNECTED) this.connected = true;
    if (events & EV_READABLE && !this.paused) this.drain();
    if (events & EV_WRITABLE) this.pump();
    if (events & EV_END) {
      this.ended = true;
      if (!this.paused) this.drain();
      if (this.endOnEnd && this.sent === this.toSend) this.connection.end();
    }
    if (events & EV_ERROR) this.error = this.connection.error;
    if (events & EV_CLOSED) this.closed = true;
  }

  send(length: number, endWhenSent = false): void {
    this.toSend += length;
    this.endWhenSent = endWhenSent;
    this.pump();
  }

  pump(): void {
    while (this.sent < this.toSend) {
      const chunk = pattern(this.sent, Math.min(32 * 1024, this.toSend - this.sent));
      const taken = this.connection.write(chunk, 0, chunk.length);
      if (taken < 0) return;
      this.sent += taken;
      if (taken < chunk.length) return;
    }
    if (this.endWhenSent) this.connection.end();
  }

  drain(limit = Infinity): number {
    let total = 0;
    while (total < limit) {
      const n = this.connection.read(this.#chunk, 0, Math.min(this.#chunk.length, limit - total));
      if (n === 0) break;
      for (let i = 0; i < n; i++) {
        if (this.#chunk[i] !== patternAt(this.received + i))
          throw new Error(`byte ${this.received + i} is ${this.#chunk[i]}, not ${patternAt(this.received + i)}`);
      }
      this.received += n;
      total += n;
    }
    return total;
  }

  resume(): void {
    this.paused = false;
    this.drain();
  }

  get state(): string {
    return STATE_NAMES[this.connection.state];
  }
}

export interface Pair {
  net: Network;
  a: Stack;
  b: Stack;
  listener: TcpListener;
  client: User;
  server: User;
  /** Memory in use before there was a connection: the same on both. */
  baseline: number;
}

export function listen(stack: Stack, options: ListenOptions): TcpListener {
  const listener = stack.tcp.listen(options);
  if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
  return listener;
}

/** Two stacks and an established connection between them, both users attached. */
export function connected(
  options: TwoStacksOptions = {},
  client: ConnectionOptions = {},
  server: Partial<ListenOptions> = {},
): Pair {
  const { a, b, net } = twoStacks(options);
  const listener = listen(b.stack, { port: 80, ...server });
  const baseline = a.stack.memory.used;
  expect(b.stack.memory.used).toBe(baseline);
  let clientUser: User;
  let serverUser: User | null = null;
  // On a bad network ARP may give up, three requests in a row being lost: then the user tries again.
  for (let attempt = 0; ; attempt++) {
    const connection = a.stack.tcp.connect({ remote: b.address, remotePort: 80, ...client });
    if (typeof connection === 'number') throw new Error(`connect: ${connection}`);
    clientUser = new User(connection);
    net.run(300_000_000, () => {
      serverUser ??= userOf(listener.accept());
      return (serverUser !== null && clientUser.connected) || clientUser.error < 0;
    });
    if (serverUser !== null || attempt === 5) break;
  }
  if (serverUser === null) throw new Error('nobody was accepted');
  return { net, a: a.stack, b: b.stack, listener, client: clientUser, server: serverUser, baseline };
}

export const userOf = (connection: TcpConnection | null): User | null =>
  connection === null ? null : new User(connection);

/** Nothing may be left of any connection: no endpoint, no byte of memory, no illegal transition. */
export function expectNothingLeft(stack: Stack, baseline: number): void {
  expect(stack.tcp.demux.flows.size).toBe(0);
  expect(stack.tcp.timeWait.size).toBe(0);
  expect(stack.memory.used - baseline).toBe(0);
  expect(stack.stats.tcpIllegalTransitions).toBe(0);
  expect(stack.stats.tcpCurrEstab).toBe(0);
}
