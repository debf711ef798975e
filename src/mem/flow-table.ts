// Flows by their four-tuple: open addressing with linear probing over a keyed hash.
//
// The hashes lie in one Int32Array, so that a lookup that misses touches no object, and growing computes no hash again.
// Removal shifts the followers back, so there are no tombstones and lookups never slow down with age.
//
// Invariant: every entry is reachable from its home slot without crossing an empty slot; at most 3/4 of the slots are taken.

import type { Address } from '../wire/address.ts';
import type { Entropy } from '../world.ts';
import { KeyedHash } from './keyed-hash.ts';

/** What identifies an entry. These fields must not change while it is in a table. */
export interface Flow {
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
}

const MIN_SLOTS = 16;

export class FlowTable<T extends Flow> {
  /** Entries. */
  size = 0;
  readonly #hash: KeyedHash;
  #hashes = new Int32Array(MIN_SLOTS);
  #flows: (T | null)[] = new Array<T | null>(MIN_SLOTS).fill(null);
  #mask = MIN_SLOTS - 1;

  constructor(entropy: Entropy) {
    this.#hash = new KeyedHash(entropy);
  }

  find(local: Address, localPort: number, remote: Address, remotePort: number): T | null {
    const hash = this.#hash.ofFlow(local, localPort, remote, remotePort);
    const hashes = this.#hashes;
    for (let i = hash & this.#mask; ; i = (i + 1) & this.#mask) {
      const flow = this.#flows[i];
      if (flow === null) return null;
      if (hashes[i] === hash && matches(flow, local, localPort, remote, remotePort)) return flow;
    }
  }

  /** False, and no change, when the table holds an entry with the same four-tuple. */
  add(flow: T): boolean {
    if (this.find(flow.local, flow.localPort, flow.remote, flow.remotePort) !== null) return false;
    if ((this.size + 1) * 4 > (this.#mask + 1) * 3) this.#resize((this.#mask + 1) * 2);
    this.#place(flow, this.#hash.ofFlow(flow.local, flow.localPort, flow.remote, flow.remotePort));
    this.size++;
    return true;
  }

  /** False when this very object is not in the table. */
  remove(flow: T): boolean {
    const hash = this.#hash.ofFlow(flow.local, flow.localPort, flow.remote, flow.remotePort);
    let i = hash & this.#mask;
    while (this.#flows[i] !== flow) {
      if (this.#flows[i] === null) return false;
      i = (i + 1) & this.#mask;
    }
    this.#close(i);
    this.size--;
    if (this.#mask + 1 > MIN_SLOTS && this.size * 8 < this.#mask + 1) this.#resize((this.#mask + 1) / 2);
    return true;
  }

  /** Every entry, in no order. The table must not change meanwhile; take `entries()` to change it. */
  forEach(visit: (flow: T) => void): void {
    for (const flow of this.#flows) if (flow !== null) visit(flow);
  }

  entries(): T[] {
    return this.#flows.filter((flow): flow is T => flow !== null);
  }

  #place(flow: T, hash: number): void {
    let i = hash & this.#mask;
    while (this.#flows[i] !== null) i = (i + 1) & this.#mask;
    this.#flows[i] = flow;
    this.#hashes[i] = hash;
  }

  /** Empty slot `hole`, moving back whatever would become unreachable behind it (Knuth 6.4 R). */
  #close(hole: number): void {
    const mask = this.#mask;
    for (let i = (hole + 1) & mask; this.#flows[i] !== null; i = (i + 1) & mask) {
      const home = this.#hashes[i] & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      this.#flows[hole] = this.#flows[i];
      this.#hashes[hole] = this.#hashes[i];
      hole = i;
    }
    this.#flows[hole] = null;
  }

  #resize(slots: number): void {
    const flows = this.#flows;
    const hashes = this.#hashes;
    this.#flows = new Array<T | null>(slots).fill(null);
    this.#hashes = new Int32Array(slots);
    this.#mask = slots - 1;
    for (let i = 0; i < flows.length; i++) {
      const flow = flows[i];
      if (flow !== null) this.#place(flow, hashes[i]);
    }
  }
}

function matches(flow: Flow, local: Address, localPort: number, remote: Address, remotePort: number): boolean {
  return (
    flow.remotePort === remotePort &&
    flow.localPort === localPort &&
    flow.remote.equals(remote) &&
    flow.local.equals(local)
  );
}
