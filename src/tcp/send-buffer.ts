// The send buffer: bytes written and not yet acknowledged — RFC 9293 §3.9.1.2.
//
// A ring addressed by sequence number. It takes memory when something is written, in doubling steps from 16 KB, and gives it back when
// everything is acknowledged. How much it accepts follows cwnd, unless the owner fixed it.
//
// Invariant: the bytes [start, end) are in the ring; end - start <= capacity.

import type { Memory } from '../mem/memory.ts';
import { blockSize, MIN_BLOCK } from '../mem/memory.ts';
import { Ring } from '../mem/ring.ts';
import type { Seq } from '../wire/seq.ts';

const MIN_RING = 16 * 1024;
/** What a fresh connection accepts before anything is known of its path. */
const INITIAL_LIMIT = 128 * 1024;
const MAX_RING = 16 * 1024 * 1024; // the largest block `Memory` has

export class SendBuffer {
  readonly ring: Ring;
  start: Seq = 0;
  end: Seq = 0;
  /** Most bytes accepted. */
  limit: number;
  /** A write was cut short: its owner waits for room. */
  full = false;
  #fixed: boolean;
  #max: number;
  /** Capacity the ring had when it was last given back. */
  #usual = 0;

  constructor(memory: Memory, fixed: number, max: number) {
    this.ring = new Ring(memory);
    this.#fixed = fixed > 0;
    this.#max = Math.min(max, MAX_RING);
    this.limit = this.#fixed ? Math.min(fixed, MAX_RING) : Math.min(INITIAL_LIMIT, this.#max);
  }

  get length(): number {
    return (this.end - this.start) | 0;
  }

  get writable(): number {
    return Math.max(0, this.limit - this.length);
  }

  /** Fix the limit, as SO_SNDBUF does. */
  fix(bytes: number): void {
    this.#fixed = true;
    this.limit = Math.min(Math.max(1, bytes), MAX_RING);
  }

  /** Start over at `position`, empty. */
  reset(position: Seq): void {
    this.start = position;
    this.end = position;
  }

  /** Take what fits of `source`; fewer bytes than asked when the limit or memory says so. */
  write(source: Uint8Array, start: number, length: number): number {
    let take = Math.min(length, this.writable);
    if (take > 0 && !this.#reserve(this.length + take)) take = Math.min(take, this.ring.capacity - this.length);
    if (take > 0) {
      this.ring.write(this.end, source, start, take);
      this.end = (this.end + take) | 0;
    }
    if (take < length) this.full = true;
    return take;
  }

  /** Everything below `position` is acknowledged. */
  release(position: Seq): void {
    this.start = position;
    if (this.start !== this.end || this.ring.capacity === 0) return;
    this.#usual = this.ring.capacity;
    this.ring.release();
  }

  /** Twice cwnd: one window in flight, and the next one ready when its ACKs come. */
  tune(cwnd: number): void {
    if (this.#fixed || cwnd * 2 <= this.limit || this.limit >= this.#max) return;
    const { memory } = this.ring;
    if (memory.used * 4 > memory.budget * 3) return; // under memory pressure nobody's buffer grows
    this.limit = Math.min(cwnd * 2, this.#max);
  }

  close(): void {
    this.ring.release();
    this.start = this.end;
  }

  #reserve(length: number): boolean {
    const { ring } = this;
    if (length <= ring.capacity) return true;
    // A sender that fills a large ring, drains it and fills it again grows to where it was in one step: doubling from the bottom each time
    // copied every byte once more, 12 % of a bulk sender's time (bench/run.ts bulk-send). Whoever came to need less begins small again.
    if (ring.capacity >= MIN_RING && length < this.#usual && ring.reserve(this.#usual, this.start, this.end))
      return true;
    for (let want = Math.max(length, MIN_RING); want > ring.capacity; want = blockSize(want) / 2) {
      if (ring.reserve(want, this.start, this.end)) return length <= ring.capacity;
      if (want <= MIN_BLOCK) break;
    }
    return false;
  }
}
