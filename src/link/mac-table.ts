// Which addresses are behind which port — the filtering database of IEEE 802.1D §7.9: learnt from sources, forgotten with age.
//
// Invariant: at most `capacity` addresses; none of a group.

import type { Mac } from '../wire/address.ts';

export interface MacEntry {
  readonly mac: Mac;
  readonly port: number;
  /** µs since a frame came from there. */
  readonly age: number;
}

export class MacTable {
  readonly capacity: number;
  /** µs without a frame after which an address is forgotten. */
  readonly age: number;
  /** Addresses that were not learnt because there was no room. */
  overflows = 0;
  /** Times an address turned up at another port. */
  moves = 0;
  readonly #entries = new Map<Mac, { port: number; seenAt: number }>();

  constructor(capacity: number, age: number) {
    this.capacity = capacity;
    this.age = age;
  }

  get size(): number {
    return this.#entries.size;
  }

  learn(mac: Mac, port: number, now: number): void {
    const entry = this.#entries.get(mac);
    if (entry !== undefined) {
      if (entry.port !== port) this.moves++;
      entry.port = port;
      entry.seenAt = now;
      return;
    }
    if (this.#entries.size >= this.capacity) this.expire(now);
    if (this.#entries.size >= this.capacity) this.overflows++;
    else this.#entries.set(mac, { port, seenAt: now });
  }

  /** The port of `mac`, or -1 when it is not known. */
  find(mac: Mac, now: number): number {
    const entry = this.#entries.get(mac);
    return entry === undefined || now - entry.seenAt >= this.age ? -1 : entry.port;
  }

  expire(now: number): void {
    for (const [mac, { seenAt }] of this.#entries) if (now - seenAt >= this.age) this.#entries.delete(mac);
  }

  /** Forget what is behind `port`. */
  forget(port: number): void {
    for (const [mac, entry] of this.#entries) if (entry.port === port) this.#entries.delete(mac);
  }

  clear(): void {
    this.#entries.clear();
  }

  list(now: number): MacEntry[] {
    this.expire(now);
    return [...this.#entries].map(([mac, { port, seenAt }]) => ({ mac, port, age: now - seenAt }));
  }
}
