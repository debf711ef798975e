// The scoreboard: one record for each segment, or super-segment, between SND.UNA and SND.NXT — RFC 2018, RFC 6675 §3, RFC 8985 §5.
//
// A record is a slot of columns in two typed arrays. `order` is a ring of slots in sequence order, searched by bisection, so that a
// SACK block costs O(log n) wherever it points. A record that is neither SACKed nor acknowledged is also on one of two linked lists:
//
//   sent   in the order of last transmission: what RACK walks, and stops at the first that is too young
//   lost   in sequence order, deemed lost and not sent again yet: what is retransmitted next
//
// Slots never move while they live, so a super-segment is split in O(1) links plus a short shift of `order`. Nothing is allocated but by growth.
//
// Invariant: records are adjacent and ascending, head.start = SND.UNA, tail.end = SND.NXT; SACKED excludes LOST; `total`, `sacked`,
// `lost` and `retrans` are the sums of the lengths of all, SACKED, LOST and RETRANS records.

import type { Seq } from '../wire/seq.ts';

export const REC_SYN = 1;
export const REC_FIN = 2;
export const REC_PUSH = 4;
/** The peer says it has it (and may renege). */
export const REC_SACKED = 8;
/** Deemed lost; waits to be sent again. */
export const REC_LOST = 16;
/** A retransmission of it is in flight. */
export const REC_RETRANS = 32;
/** It was sent more than once: no RTT sample from it (Karn). */
export const REC_EVER_RETRANS = 64;
/** The sender was application-limited when it was sent. */
export const REC_APP_LIMITED = 128;

const START = 0;
const END = 1;
const FLAGS = 2;
const PREV = 3;
const NEXT = 4;
const INTS = 5;

const SENT_AT = 0;
/** Delivery-rate columns: the connection's state when the record was sent. */
export const DELIVERED = 1;
export const DELIVERED_TIME = 2;
export const FIRST_SENT_TIME = 3;
export const LOST_AT_SEND = 4;
export const PIPE_AT_SEND = 5;
const DOUBLES = 6;

const MIN_CAPACITY = 4;
const MIN_CUTS = 64;
/** Average length below which records are not cut further. */
const MIN_PIECE = 256;
/** Arrays larger than this are given back when everything has been acknowledged. */
const KEEP_CAPACITY = 64;
const NONE = -1;
const NO_INTS = new Int32Array(0);
const NO_DOUBLES = new Float64Array(0);

export class InFlight {
  /** Records. */
  count = 0;
  /** Bytes of sequence space, SYN and FIN counted. */
  total = 0;
  sacked = 0;
  /** How many records are SACKED. */
  sackedRecords = 0;
  lost = 0;
  retrans = 0;
  /** Without SACK: bytes that duplicate ACKs say have left the network (RFC 5681 §3.2, RFC 6937 §3): so they release new ones (RFC 3042). */
  inferred = 0;

  #ints = NO_INTS;
  #doubles = NO_DOUBLES;
  #order = NO_INTS;
  #capacity = 0;
  #head = 0;
  #free = NONE;
  #sentHead = NONE;
  #sentTail = NONE;
  #lostHead = NONE;
  #lostTail = NONE;

  /** FlightSize less what has left the network: RFC 6675's pipe. */
  get pipe(): number {
    return this.total - this.sacked - this.lost - this.inferred;
  }

  // Columns, by slot.
  start(slot: number): Seq {
    return this.#ints[slot * INTS + START];
  }
  end(slot: number): Seq {
    return this.#ints[slot * INTS + END];
  }
  length(slot: number): number {
    return (this.#ints[slot * INTS + END] - this.#ints[slot * INTS + START]) | 0;
  }
  flags(slot: number): number {
    return this.#ints[slot * INTS + FLAGS];
  }
  sentAt(slot: number): number {
    return this.#doubles[slot * DOUBLES + SENT_AT];
  }
  column(slot: number, column: number): number {
    return this.#doubles[slot * DOUBLES + column];
  }
  setColumn(slot: number, column: number, value: number): void {
    this.#doubles[slot * DOUBLES + column] = value;
  }

  /** Slot of the record at `index` in sequence order. */
  at(index: number): number {
    return this.#order[(this.#head + index) & (this.#capacity - 1)];
  }
  /** Slot of the record that starts at SND.UNA, or -1. */
  get first(): number {
    return this.count === 0 ? NONE : this.at(0);
  }
  /** Slot of the record that ends at SND.NXT, or -1. */
  get last(): number {
    return this.count === 0 ? NONE : this.at(this.count - 1);
  }
  /** Least recently transmitted of those in flight, or -1. */
  get oldestSent(): number {
    return this.#sentHead;
  }
  /** Lowest lost record, or -1. */
  get firstLost(): number {
    return this.#lostHead;
  }
  /** The one after `slot` on its list (sent or lost), or -1. */
  after(slot: number): number {
    return this.#ints[slot * INTS + NEXT];
  }

  /** Index of the record that holds `seq`, which must lie in [head.start, tail.end). */
  indexOf(seq: Seq): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (((this.start(this.at(middle)) - seq) | 0) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** [start, end) has been sent for the first time; it begins at the old SND.NXT. */
  push(start: Seq, end: Seq, flags: number, now: number): number {
    if (this.#free === NONE) this.#grow();
    const slot = this.#take();
    const i = slot * INTS;
    this.#ints[i + START] = start;
    this.#ints[i + END] = end;
    this.#ints[i + FLAGS] = flags;
    this.#doubles[slot * DOUBLES + SENT_AT] = now;
    this.#order[(this.#head + this.count) & (this.#capacity - 1)] = slot;
    this.count++;
    this.total += (end - start) | 0;
    this.#appendSent(slot);
    return slot;
  }

  /** The head record is acknowledged whole. */
  popFirst(): void {
    const slot = this.at(0);
    const length = this.length(slot);
    this.#forget(slot, length);
    this.total -= length;
    this.#head = (this.#head + 1) & (this.#capacity - 1);
    this.count--;
    this.#ints[slot * INTS + NEXT] = this.#free;
    this.#free = slot;
    if (this.count === 0 && this.#capacity > KEEP_CAPACITY) this.#drop();
  }

  /** The head record is acknowledged up to `seq`, short of its end. */
  trimFirst(seq: Seq): void {
    const slot = this.at(0);
    const i = slot * INTS;
    const length = (seq - this.#ints[i + START]) | 0;
    const flags = this.#ints[i + FLAGS];
    this.#ints[i + START] = seq;
    this.#ints[i + FLAGS] = flags & ~REC_SYN;
    this.total -= length;
    if ((flags & REC_SACKED) !== 0) this.sacked -= length;
    if ((flags & REC_LOST) !== 0) this.lost -= length;
    if ((flags & REC_RETRANS) !== 0) this.retrans -= length;
  }

  /**
   * May another record be cut in two? An honest peer SACKs whole segments; one that SACKs single bytes could otherwise make
   * a record of each (CVE-2019-11478).
   */
  mayCut(): boolean {
    return this.count < MIN_CUTS + this.total / MIN_PIECE;
  }

  /** Cut the record at `index` at `seq`, strictly inside it; the part behind becomes the record at `index + 1`. */
  split(index: number, seq: Seq): void {
    if (this.#free === NONE) this.#grow();
    const slot = this.at(index);
    const right = this.#take();
    const a = slot * INTS;
    const b = right * INTS;
    const ints = this.#ints;
    const flags = ints[a + FLAGS];
    ints[b + START] = seq;
    ints[b + END] = ints[a + END];
    ints[b + FLAGS] = flags & ~REC_SYN;
    ints[a + END] = seq;
    ints[a + FLAGS] = flags & ~(REC_FIN | REC_PUSH);
    this.#doubles.copyWithin(right * DOUBLES, slot * DOUBLES, (slot + 1) * DOUBLES);
    if ((flags & REC_SACKED) !== 0) this.sackedRecords++;
    else this.#linkAfter(slot, right, (flags & REC_LOST) !== 0);
    const mask = this.#capacity - 1;
    for (let i = this.count; i > index + 1; i--) {
      this.#order[(this.#head + i) & mask] = this.#order[(this.#head + i - 1) & mask];
    }
    this.#order[(this.#head + index + 1) & mask] = right;
    this.count++;
  }

  /** The peer has it. */
  markSacked(slot: number): void {
    const length = this.length(slot);
    this.#forget(slot, length);
    this.sacked += length;
    this.sackedRecords++;
    const i = slot * INTS + FLAGS;
    this.#ints[i] = (this.#ints[i] & ~(REC_LOST | REC_RETRANS)) | REC_SACKED;
  }

  /** It is deemed lost: retransmit it. */
  markLost(slot: number): void {
    const i = slot * INTS + FLAGS;
    const flags = this.#ints[i];
    if ((flags & REC_LOST) !== 0) return;
    const length = this.length(slot);
    this.#forget(slot, length);
    this.lost += length;
    this.#ints[i] = (flags & ~(REC_SACKED | REC_RETRANS)) | REC_LOST;
    this.#insertLost(slot);
  }

  /** It has been sent again. */
  markRetransmitted(slot: number, now: number): void {
    const i = slot * INTS + FLAGS;
    const flags = this.#ints[i];
    const length = this.length(slot);
    this.#forget(slot, length);
    this.retrans += length;
    this.#ints[i] = (flags & ~(REC_LOST | REC_SACKED)) | REC_RETRANS | REC_EVER_RETRANS;
    this.#doubles[slot * DOUBLES + SENT_AT] = now;
    this.#appendSent(slot);
  }

  addFlags(slot: number, flags: number): void {
    this.#ints[slot * INTS + FLAGS] |= flags;
  }

  removeFlags(slot: number, flags: number): void {
    this.#ints[slot * INTS + FLAGS] &= ~flags;
  }

  /** Nothing was lost after all: what waits for retransmission is in flight again. Rare, so it may sort. */
  unmarkAllLost(): void {
    const slots: number[] = [];
    for (let s = this.#sentHead; s !== NONE; s = this.after(s)) slots.push(s);
    for (let s = this.#lostHead; s !== NONE; s = this.after(s)) slots.push(s);
    slots.sort((a, b) => this.sentAt(a) - this.sentAt(b) || (this.start(a) - this.start(b)) | 0);
    this.#sentHead = this.#sentTail = this.#lostHead = this.#lostTail = NONE;
    this.lost = 0;
    for (const slot of slots) {
      this.#ints[slot * INTS + FLAGS] &= ~REC_LOST;
      this.#appendSent(slot);
    }
  }

  clear(): void {
    this.count = this.total = this.sacked = this.sackedRecords = this.lost = this.retrans = this.inferred = 0;
    this.#sentHead = this.#sentTail = this.#lostHead = this.#lostTail = NONE;
    this.#drop();
  }

  /** How many segments of `mss` bytes the records with any of `flags` are (all of them, if 0). For information: it walks. */
  segments(flags: number, mss: number): number {
    let segments = 0;
    for (let i = 0; i < this.count; i++) {
      const slot = this.at(i);
      if (flags === 0 || (this.flags(slot) & flags) !== 0) segments += Math.ceil(this.length(slot) / mss);
    }
    return segments;
  }

  // Leave whichever list it is on, and whichever sum it is in.
  #forget(slot: number, length: number): void {
    const flags = this.#ints[slot * INTS + FLAGS];
    if ((flags & REC_RETRANS) !== 0) this.retrans -= length;
    if ((flags & REC_SACKED) !== 0) {
      this.sacked -= length;
      this.sackedRecords--;
      return;
    }
    const ints = this.#ints;
    const previous = ints[slot * INTS + PREV];
    const next = ints[slot * INTS + NEXT];
    if (previous !== NONE) ints[previous * INTS + NEXT] = next;
    if (next !== NONE) ints[next * INTS + PREV] = previous;
    if ((flags & REC_LOST) !== 0) {
      this.lost -= length;
      if (previous === NONE) this.#lostHead = next;
      if (next === NONE) this.#lostTail = previous;
    } else {
      if (previous === NONE) this.#sentHead = next;
      if (next === NONE) this.#sentTail = previous;
    }
  }

  #appendSent(slot: number): void {
    const i = slot * INTS;
    this.#ints[i + PREV] = this.#sentTail;
    this.#ints[i + NEXT] = NONE;
    if (this.#sentTail === NONE) this.#sentHead = slot;
    else this.#ints[this.#sentTail * INTS + NEXT] = slot;
    this.#sentTail = slot;
  }

  // Losses are found in nearly ascending order, so this looks back from the tail; a retransmission lost again is usually the lowest.
  #insertLost(slot: number): void {
    const start = this.start(slot);
    let before = this.#lostTail;
    if (this.#lostHead !== NONE && ((start - this.start(this.#lostHead)) | 0) < 0) before = NONE;
    while (before !== NONE && ((this.start(before) - start) | 0) > 0) before = this.#ints[before * INTS + PREV];
    if (before !== NONE) {
      this.#linkAfter(before, slot, true);
      return;
    }
    const i = slot * INTS;
    this.#ints[i + PREV] = NONE;
    this.#ints[i + NEXT] = this.#lostHead;
    if (this.#lostHead === NONE) this.#lostTail = slot;
    else this.#ints[this.#lostHead * INTS + PREV] = slot;
    this.#lostHead = slot;
  }

  #linkAfter(before: number, slot: number, lost: boolean): void {
    const ints = this.#ints;
    const next = ints[before * INTS + NEXT];
    ints[slot * INTS + PREV] = before;
    ints[slot * INTS + NEXT] = next;
    ints[before * INTS + NEXT] = slot;
    if (next !== NONE) ints[next * INTS + PREV] = slot;
    else if (lost) this.#lostTail = slot;
    else this.#sentTail = slot;
  }

  #take(): number {
    const slot = this.#free;
    this.#free = this.#ints[slot * INTS + NEXT];
    return slot;
  }

  #grow(): void {
    const old = this.#capacity;
    const capacity = old === 0 ? MIN_CAPACITY : old * 2;
    const ints = new Int32Array(capacity * INTS);
    const doubles = new Float64Array(capacity * DOUBLES);
    const order = new Int32Array(capacity);
    ints.set(this.#ints);
    doubles.set(this.#doubles);
    for (let i = 0; i < this.count; i++) order[i] = this.at(i);
    for (let slot = old; slot < capacity; slot++) {
      ints[slot * INTS + NEXT] = this.#free;
      this.#free = slot;
    }
    this.#ints = ints;
    this.#doubles = doubles;
    this.#order = order;
    this.#capacity = capacity;
    this.#head = 0;
  }

  #drop(): void {
    this.#ints = NO_INTS;
    this.#doubles = NO_DOUBLES;
    this.#order = NO_INTS;
    this.#capacity = 0;
    this.#head = 0;
    this.#free = NONE;
  }
}
