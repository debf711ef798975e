// What has arrived above RCV.NXT: the ranges behind reassembly and behind the SACK blocks we send — RFC 2018 §4, RFC 2883.
//
// Only ranges live here. The bytes are already at their final place in the receive ring, so filling a hole moves no data.
//
// Invariant: ranges are disjoint, non-adjacent and ascending, and all fall inside one receive window, so sequence order is a
// total order over them.

import type { Seq } from '../wire/seq.ts';
import { seqGeq, seqGt, seqLeq, seqLt, seqMax, seqMin } from '../wire/seq.ts';

const INITIAL = 8;
/** Ranges one connection may hold: one per hole, and a peer with more holes than this is better served by a retransmission. */
export const MAX_RANGES = 4096;
/** Blocks that fit in an ACK without timestamps (RFC 2018 §3). */
const RECENT = 4;

export class OutOfOrder {
  count = 0;
  left = new Int32Array(INITIAL);
  right = new Int32Array(INITIAL);
  // A sequence number inside each of the ranges that changed last, most recent first.
  readonly #recent = new Int32Array(RECENT);
  #recentCount = 0;

  /** Record [start, end). False when the table is full: drop the segment, the peer will resend it. */
  add(start: Seq, end: Seq): boolean {
    const { count } = this;
    // Most arrivals extend or follow the highest range: look from that end.
    let i = count;
    while (i > 0 && seqGeq(this.right[i - 1], start)) i--;
    let j = i;
    let from = start;
    let to = end;
    for (; j < count && seqLeq(this.left[j], to); j++) {
      from = seqMin(from, this.left[j]);
      to = seqMax(to, this.right[j]);
    }
    if (j === i && count === this.left.length && !this.#grow()) return false;
    this.#replace(i, j, from, to);
    this.touch(start);
    return true;
  }

  /** RCV.NXT after absorbing every range that `rcvNxt` has reached (RFC 9293 §3.10.7.4, seventh). */
  advance(rcvNxt: Seq): Seq {
    let n = 0;
    for (; n < this.count && seqLeq(this.left[n], rcvNxt); n++) rcvNxt = seqMax(rcvNxt, this.right[n]);
    if (n > 0) {
      this.left.copyWithin(0, n, this.count);
      this.right.copyWithin(0, n, this.count);
      this.count -= n;
      if (this.count === 0) this.#recentCount = 0;
    }
    return rcvNxt;
  }

  /** Index of the range that holds `seq`, -1 when none does. */
  indexOf(seq: Seq): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqLeq(this.right[middle], seq)) low = middle + 1;
      else high = middle;
    }
    return low < this.count && seqLeq(this.left[low], seq) ? low : -1;
  }

  /** True when every byte of [start, end) is here already: a duplicate (RFC 2883 §4). */
  covers(start: Seq, end: Seq): boolean {
    const i = this.indexOf(start);
    return i >= 0 && seqGeq(this.right[i], end);
  }

  /** Make the range that holds `seq` the first to be reported (RFC 2018 §4: the block of the segment that triggered this ACK). */
  touch(seq: Seq): void {
    const recent = this.#recent;
    const range = this.indexOf(seq);
    let at = 0;
    while (at < this.#recentCount && this.indexOf(recent[at]) !== range) at++;
    if (at === this.#recentCount && at < RECENT) this.#recentCount++;
    recent.copyWithin(1, 0, Math.min(at, RECENT - 1));
    recent[0] = seq;
  }

  /** Right edge of the highest range; `otherwise` when there is none. */
  highest(otherwise: Seq): Seq {
    return this.count === 0 ? otherwise : this.right[this.count - 1];
  }

  /**
   * Write up to `limit` SACK blocks into `blocks` from pair `at` on and return how many: the most recently changed first, then the
   * highest of the others, so that every ACK repeats as much as it can (RFC 2018 §4).
   */
  report(blocks: Int32Array, at: number, limit: number): number {
    let written = 0;
    for (let r = 0; r < this.#recentCount && written < limit; r++) {
      const i = this.indexOf(this.#recent[r]);
      if (i >= 0 && !this.#isReported(blocks, at, written, i)) this.#write(blocks, at + written++, i);
    }
    for (let i = this.count - 1; i >= 0 && written < limit; i--) {
      if (!this.#isReported(blocks, at, written, i)) this.#write(blocks, at + written++, i);
    }
    return written;
  }

  clear(): void {
    this.count = 0;
    this.#recentCount = 0;
  }

  #write(blocks: Int32Array, pair: number, i: number): void {
    blocks[2 * pair] = this.left[i];
    blocks[2 * pair + 1] = this.right[i];
  }

  #isReported(blocks: Int32Array, at: number, written: number, i: number): boolean {
    for (let k = 0; k < written; k++) if (blocks[2 * (at + k)] === this.left[i]) return true;
    return false;
  }

  /** Ranges [i, j) become the one range [start, end). */
  #replace(i: number, j: number, start: Seq, end: Seq): void {
    if (j !== i + 1) {
      this.left.copyWithin(i + 1, j, this.count);
      this.right.copyWithin(i + 1, j, this.count);
      this.count += i + 1 - j;
    }
    this.left[i] = start;
    this.right[i] = end;
  }

  #grow(): boolean {
    if (this.count >= MAX_RANGES) return false;
    const left = new Int32Array(this.count * 2);
    const right = new Int32Array(this.count * 2);
    left.set(this.left);
    right.set(this.right);
    this.left = left;
    this.right = right;
    return true;
  }
}

/** True when ranges are ascending, disjoint and not adjacent, and lie above `rcvNxt`: the invariant, for tests. */
export function isOrdered(held: OutOfOrder, rcvNxt: Seq): boolean {
  let before = rcvNxt;
  for (let i = 0; i < held.count; i++) {
    if (!seqGt(held.left[i], before) || !seqLt(held.left[i], held.right[i])) return false;
    before = held.right[i];
  }
  return true;
}
