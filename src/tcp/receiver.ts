// The receiving half of a connection — RFC 9293 §3.3.1 (RCV.*), §3.8.6; RFC 7323; RFC 2018; RFC 5681 §4.2.
//
// Bytes go from the frame straight to their final place in the ring, in order or not; sequence numbers are ring positions.
//
//   readNxt          rcvNxt              rcvAdv
//      |── readable ──|── window offered ──|
//                        ▒▒▒   ▒▒▒▒   held out of order
//
// Invariant: readNxt =< rcvNxt =< rcvAdv; rcvAdv never moves left (RFC 9293 §3.8.6, SHLD-14); everything held lies in (rcvNxt, rcvAdv).

import type { Memory } from '../mem/memory.ts';
import { Ring } from '../mem/ring.ts';
import type { Stats } from '../stats.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff, seqGeq, seqGt, seqLeq, seqLt, seqMax, seqMin } from '../wire/seq.ts';
import { MILLISECOND, SECOND } from '../world.ts';
import { OutOfOrder } from './out-of-order.ts';
import type { Segment } from './segment.ts';
import { ACK, CWR, FIN, RST, SYN, URG } from './segment.ts';
import type { Timers } from './timers.ts';
import { DELACK } from './timers.ts';

/** What `text` found: bits. */
export const GOT_DATA = 1; // RCV.NXT moved over payload
export const GOT_FIN = 2; // RCV.NXT moved over the peer's FIN

/** What the sequence number check says of a segment. */
export const ACCEPTABLE = 0;
export const UNACCEPTABLE = 1;
export const PROBE = 2; // beyond a closed window: its ACK counts, its text does not

const MIN_RING = 16 * 1024;
// RFC 1122 §4.2.3.2 allows 500 ms (MUST-40). 40 ms is what Linux does, and request/response traffic notices.
export const DELAYED_ACK = 40 * MILLISECOND;
// Acknowledge at once while the peer is in slow start: its window grows by what we acknowledge.
const QUICK_ACKS = 16;
/** A TS.Recent older than this proves nothing: the peer's clock may have wrapped (RFC 7323 §5.5). */
const TS_RECENT_MAX_AGE = 24 * 86_400 * SECOND;
/** By how many units of the scaled window rounding may stretch the buffer. */
const ROUNDING = 16;
/** Most bytes a ring holds: one block of memory, less what rounding up a scaled window may add. */
export const MAX_BUFFER = 15 * 1024 * 1024;

export class Receiver {
  irs: Seq = 0;
  rcvNxt: Seq = 0;
  /** Right edge of the window we have offered: RCV.NXT + RCV.WND. */
  rcvAdv: Seq = 0;
  /** RCV.UP: sequence number behind the urgent data; only meaningful while `urgent` is true. */
  rcvUp: Seq = 0;
  hasUrgent = false;
  /** The next byte the user will read. */
  readNxt: Seq = 0;
  /** Rcv.Wind.Shift: how far the windows we offer are shifted (RFC 7323 §2.3). */
  shift = 0;
  /** The FIN has been received in order; RCV.NXT is behind it. */
  finReceived = false;

  timestamps = false;
  sackPermitted = false;
  /** ECN was agreed on (RFC 3168). */
  ecn = false;
  /** A CE mark has arrived and no CWR since: every ACK carries ECE (RFC 3168 §6.1.3). */
  echoesCongestion = false;
  /** TS.Recent and when it was set (RFC 7323 §4.3, §5.5). */
  tsRecent = 0;
  tsRecentAt = 0;
  /** Last.ACK.sent */
  lastAckSent: Seq = 0;

  /** Bytes we are ready to hold now, and the most auto-tuning may make of it. */
  buffer: number;
  maxBuffer: number;
  autoTune = true;

  /** An ACK is due in this flush. */
  ackNow = false;
  /** Duplicate ACKs owed on top, one for each segment that arrived out of order (RFC 5681 §4.2). */
  dupAcks = 0;
  /** Acknowledge every segment at once as long as this is positive. */
  quickAcks = QUICK_ACKS;
  /** When the peer's last payload arrived, µs. */
  lastDataAt = 0;

  readonly ring: Ring;
  held: OutOfOrder | null = null;
  readonly #memory: Memory;
  readonly #stats: Stats;
  readonly #timers: Timers;
  /** Largest segment seen lately: what "full-sized" means for the peer (RFC 5681 §4.2). */
  #segmentSize = 536;
  /** The MSS our SYN named. */
  advertisedMss = 536;
  /** Bytes the edge has moved by rounding since it last moved for a reason. */
  #stretched = 0;
  #hasFinSeq = false;
  #finSeq: Seq = 0;
  #hasDsack = false;
  #dsackLeft: Seq = 0;
  #dsackRight: Seq = 0;
  // Dynamic right-sizing: what the user took during the last round trip.
  #space = 0;
  #spaceSeq: Seq = 0;
  #spaceAt = 0;

  constructor(memory: Memory, stats: Stats, timers: Timers, buffer: number, maxBuffer: number) {
    this.#memory = memory;
    this.#stats = stats;
    this.#timers = timers;
    this.ring = new Ring(memory);
    this.buffer = Math.min(buffer, MAX_BUFFER);
    this.maxBuffer = Math.min(Math.max(maxBuffer, buffer), MAX_BUFFER);
  }

  /** The peer's SYN has been received. `offered` is the window our own SYN offers; it is never scaled. */
  start(irs: Seq, offered: number, advertisedMss: number, now: number): void {
    this.irs = irs;
    this.rcvNxt = seqAdd(irs, 1);
    this.readNxt = this.rcvNxt;
    this.rcvAdv = seqAdd(this.rcvNxt, offered);
    this.lastAckSent = this.rcvNxt;
    this.advertisedMss = advertisedMss;
    this.#spaceSeq = this.rcvNxt;
    this.#spaceAt = now;
    this.#space = Math.min(this.buffer, 10 * advertisedMss);
  }

  /** RCV.WND */
  get rcvWnd(): number {
    return seqDiff(this.rcvAdv, this.rcvNxt);
  }

  /** Bytes the user can read now. */
  get readable(): number {
    return seqDiff(this.rcvNxt, this.readNxt) - (this.finReceived ? 1 : 0);
  }

  /** Bytes of urgent data still to be read, 0 when there is none (RFC 9293 §3.8.5, MUST-32, MUST-33). */
  get urgent(): number {
    if (!this.hasUrgent) return 0;
    return Math.max(0, seqDiff(this.rcvUp, this.readNxt));
  }

  // ── SEGMENT ARRIVES ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** First, check sequence number: RFC 9293 §3.10.7.4, table 6. */
  check(segment: Segment): number {
    const { seq } = segment;
    const last = seqAdd(seq, segment.seqLength);
    // A segment without text may stand on the right edge itself, where the table's strict `<` would refuse it: a peer that has
    // filled our window acknowledges from there, and its ACKs must count even while a hole keeps RCV.NXT back.
    if (segment.seqLength === 0) {
      return seqLeq(this.rcvNxt, seq) && seqLeq(seq, this.rcvAdv) ? ACCEPTABLE : UNACCEPTABLE;
    }
    if (this.rcvNxt === this.rcvAdv) {
      // RFC 9293 §3.10.7.4: a closed window still takes valid ACKs, URGs and RSTs (MUST-66).
      return seq === this.rcvNxt ? PROBE : UNACCEPTABLE;
    }
    return seqLt(seq, this.rcvAdv) && seqGt(last, this.rcvNxt) ? ACCEPTABLE : UNACCEPTABLE;
  }

  /** The segment was not acceptable: what an answer should say of it. A wholly old one is reported as duplicate (RFC 2883 §4). */
  reject(segment: Segment): void {
    this.ackNow = true;
    const end = seqAdd(segment.seq, segment.length);
    if (segment.length > 0 && seqLeq(end, this.rcvNxt)) this.#duplicate(segment.seq, end);
  }

  /** RFC 7323 §5.3 R1: true when the segment is from the past and must be dropped after an ACK. */
  pawsRejects(segment: Segment, now: number): boolean {
    if (!this.timestamps || !segment.hasTimestamp || (segment.flags & RST) !== 0) return false;
    if (((segment.tsVal - this.tsRecent) | 0) >= 0) return false;
    if (now - this.tsRecentAt > TS_RECENT_MAX_AGE) return false; // RFC 7323 §5.5: an idle connection's TS.Recent is invalid
    return true;
  }

  /** RFC 7323 §4.3 (2): TS.Recent moves only for a segment that covers Last.ACK.sent. */
  noteTimestamp(segment: Segment, now: number): void {
    if (!this.timestamps || !segment.hasTimestamp) return;
    if (seqGt(segment.seq, this.lastAckSent)) return;
    const age = (segment.tsVal - this.tsRecent) | 0;
    if (age < 0 && now - this.tsRecentAt <= TS_RECENT_MAX_AGE) return;
    this.tsRecent = segment.tsVal;
    this.tsRecentAt = now;
  }

  /** Sixth, check the URG bit. True when this told us of urgent data we had not heard of (RFC 9293 §3.8.5). */
  urge(segment: Segment): boolean {
    if ((segment.flags & URG) === 0) return false;
    // RFC 9293 §3.8.5: the pointer is the octet behind the urgent data (MUST-62), wherever that is (MUST-31).
    const up = seqAdd(segment.seq, segment.urgentPointer);
    if (this.hasUrgent ? seqLeq(up, this.rcvUp) : seqLeq(up, this.readNxt)) return false;
    this.rcvUp = up;
    this.hasUrgent = true;
    return true;
  }

  /** Seventh and eighth: take the segment's text and FIN. Returns GOT_* bits; what has to be acknowledged, and when, is noted. */
  text(segment: Segment, now: number): number {
    let start = (segment.flags & SYN) !== 0 ? seqAdd(segment.seq, 1) : segment.seq;
    let end = seqAdd(start, segment.length);
    let from = segment.payload;
    let fin = (segment.flags & FIN) !== 0;
    if (segment.length === 0 && !fin) return 0;
    const before = this.rcvNxt;

    if (segment.length > 0) {
      this.#measure(segment);
      this.lastDataAt = now;
      if (this.ecn) this.#noteMarks(segment);
    }
    // Trim to the window (RFC 9293 §3.10.7.4): from the left what we have, from the right what we did not ask for.
    if (seqLt(start, this.rcvNxt)) {
      if (segment.length > 0) this.#duplicate(start, seqLt(end, this.rcvNxt) ? end : this.rcvNxt);
      this.ackNow = true;
      if (seqLt(end, this.rcvNxt)) return 0;
      from += seqDiff(this.rcvNxt, start);
      start = this.rcvNxt;
    }
    if (seqGt(end, this.rcvAdv)) {
      end = this.rcvAdv;
      fin = false;
      this.ackNow = true;
      if (seqLeq(end, start)) return 0;
    }
    if (this.finReceived) return 0;
    if (this.#hasFinSeq && seqGt(end, this.#finSeq)) {
      // Nothing follows a FIN: whatever claims to is not the peer's.
      end = this.#finSeq;
      if (seqLeq(end, start) && start !== this.rcvNxt) return 0;
    }

    if (seqGt(end, start) && !this.#store(segment, from, start, end)) return 0;
    if (fin && !this.#hasFinSeq && seqGeq(end, this.held === null ? this.rcvNxt : this.held.highest(this.rcvNxt))) {
      this.#hasFinSeq = true;
      this.#finSeq = end;
      if (seqGt(end, this.rcvNxt) && segment.length === 0) this.dupAcks++;
    }

    let got = 0;
    if (this.rcvNxt !== before) {
      got |= GOT_DATA;
      this.#schedule(before, now);
    }
    if (this.#hasFinSeq && this.#finSeq === this.rcvNxt) {
      this.rcvNxt = seqAdd(this.rcvNxt, 1);
      // The FIN is no byte: the edge we offered for bytes stays where it is, but never behind RCV.NXT.
      this.rcvAdv = seqMax(this.rcvAdv, this.rcvNxt);
      this.finReceived = true;
      this.ackNow = true;
      // Nothing more will come: the peer has no use for D-SACKs (RFC 2883 §4 only recommends them; Linux stops here as well).
      this.#hasDsack = false;
      got |= GOT_FIN;
    }
    return got;
  }

  /** Put [start, end) in its place. False when it could not be kept: it is as if the segment had been lost. */
  #store(segment: Segment, from: number, start: Seq, end: Seq): boolean {
    const { held } = this;
    const top = held === null ? this.rcvNxt : held.highest(this.rcvNxt);
    const span = Math.max(seqDiff(end, this.readNxt), seqDiff(top, this.readNxt));
    if (!this.ring.reserve(Math.max(span, MIN_RING), this.readNxt, top)) {
      this.#stats.tcpRcvPruned++;
      this.ackNow = true;
      return false;
    }
    const length = seqDiff(end, start);
    if (start === this.rcvNxt) {
      this.ring.write(start, segment.bytes, from, length);
      this.rcvNxt = end;
      if (held !== null && held.count > 0) {
        if (seqLt(held.left[0], end)) this.#duplicate(held.left[0], seqLt(held.right[0], end) ? held.right[0] : end);
        this.rcvNxt = held.advance(end);
        // RFC 5681 §4.2: acknowledge at once what fills all or part of a gap; the duplicates owed until now are overtaken.
        this.ackNow = true;
      }
      this.dupAcks = 0;
      return true;
    }
    // RFC 9293 §3.10.7.4 (SHLD-31, MAY-13), RFC 5681 §4.2: keep it, and say at once that there is a gap.
    this.dupAcks++;
    if (held?.covers(start, end)) {
      held.touch(start);
      this.#stats.tcpDsackOfoSent++;
      this.#setDsack(start, end);
      return true;
    }
    if (this.held === null) this.held = new OutOfOrder();
    if (!this.held.add(start, end)) {
      this.#stats.tcpOfoDrop++;
      return false;
    }
    this.ring.write(start, segment.bytes, from, length);
    this.#stats.tcpOfoQueue++;
    return true;
  }

  /** RFC 9293 §3.8.6.3, RFC 5681 §4.2: acknowledge now or within the delay what came in order since `before`. The ACK goes when the
   * whole batch is through, and is one for all of it (MUST-58, MUST-59). */
  #schedule(before: Seq, now: number): void {
    if (this.ackNow) return;
    const unacknowledged = seqDiff(this.rcvNxt, this.lastAckSent);
    // SHLD-19: at least every second full-sized segment. A super-segment counts as the segments it was sent as, by its bytes.
    if (
      unacknowledged >= 2 * this.#segmentSize ||
      this.quickAcks > 0 ||
      seqDiff(this.rcvNxt, before) >= this.buffer >> 1
    ) {
      this.ackNow = true;
      return;
    }
    if (!this.#timers.isSet(DELACK)) this.#timers.set(DELACK, now + DELAYED_ACK); // SHLD-18
  }

  /**
   * RFC 3168 §6.1.3: CWR ends the echo, CE begins one; a segment with both does both, in this order. §6.1.5: marks on what is out of window
   * do not count, so this comes behind the sequence number check. A sender that has slowed down waits for this ACK: it goes at once.
   */
  #noteMarks(segment: Segment): void {
    const echoed = this.echoesCongestion;
    if ((segment.flags & CWR) !== 0) this.echoesCongestion = false;
    if (segment.congestionExperienced) this.echoesCongestion = true;
    if (echoed !== this.echoesCongestion || (segment.flags & CWR) !== 0) this.ackNow = true;
  }

  #measure(segment: Segment): void {
    const size = segment.gsoSize > 0 ? segment.gsoSize : segment.length;
    if (size > this.#segmentSize) this.#segmentSize = Math.min(size, this.advertisedMss);
  }

  #duplicate(start: Seq, end: Seq): void {
    if (seqGeq(start, end)) return;
    this.#stats.tcpDsackOldSent++;
    this.#setDsack(start, end);
  }

  #setDsack(start: Seq, end: Seq): void {
    if (this.#hasDsack && seqLeq(start, this.#dsackRight) && seqGeq(end, this.#dsackLeft)) {
      // Duplicates that arrived in one batch are reported as one block where they touch.
      start = seqMin(start, this.#dsackLeft);
      end = seqMax(end, this.#dsackRight);
    }
    this.#hasDsack = true;
    this.#dsackLeft = start;
    this.#dsackRight = end;
  }

  // ── What we tell the peer ────────────────────────────────────────────────────────────────────────────────────────────────

  /** True while there is something only an ACK with SACK blocks can say. */
  get hasSackBlocks(): boolean {
    return this.sackPermitted && (this.#hasDsack || (this.held !== null && this.held.count > 0));
  }

  /** SACK blocks for the next ACK, into `blocks`; returns how many. A D-SACK comes first, and only once (RFC 2883 §4). */
  sackBlocks(blocks: Int32Array, limit: number): number {
    if (!this.sackPermitted) return 0;
    let count = 0;
    if (this.#hasDsack && limit > 0) {
      blocks[0] = this.#dsackLeft;
      blocks[1] = this.#dsackRight;
      this.#hasDsack = false;
      count = 1;
    }
    if (this.held !== null && this.held.count > 0) count += this.held.report(blocks, count, limit - count);
    return count;
  }

  /**
   * The window field for a segment that leaves now; moves the right edge when that is worth while.
   *
   * The field is rounded up, so that the peer never sees the edge move left by what the shift cuts off (RFC 7323 §2.4, SHLD-14).
   * Rounding up at every ACK would keep a window open for ever that small segments should close: that much the buffer stretches, no more.
   */
  advertise(): number {
    const edge = this.#edge();
    if (seqGt(edge, this.rcvAdv)) {
      this.rcvAdv = edge;
      this.#stretched = 0;
    }
    const unit = 1 << this.shift;
    let field = Math.min(0xffff, Math.ceil(this.rcvWnd / unit));
    const excess = field * unit - this.rcvWnd;
    if (this.#stretched + excess > ROUNDING * unit) field = Math.floor(this.rcvWnd / unit);
    else if (excess > 0) {
      this.#stretched += excess;
      this.rcvAdv = seqAdd(this.rcvAdv, excess);
    }
    return field;
  }

  /** The right edge we could offer now; the present one when moving it would be silly (RFC 9293 §3.8.6.2.2, MUST-39). */
  #edge(): Seq {
    const used = seqDiff(this.rcvNxt, this.readNxt);
    const free = Math.max(0, Math.min(this.buffer - used, 0xffff << this.shift));
    const edge = seqAdd(this.rcvNxt, (free >> this.shift) << this.shift);
    const gain = seqDiff(edge, this.rcvAdv);
    return gain >= Math.min(this.buffer >> 1, this.advertisedMss) ? edge : this.rcvAdv;
  }

  /** Everything received up to `ack` is acknowledged as of now. */
  acknowledged(ack = this.rcvNxt): void {
    this.lastAckSent = ack;
    if (this.ackNow) this.ackNow = false;
    else if (this.dupAcks > 0) this.dupAcks--;
    if (this.quickAcks > 0) this.quickAcks--;
    this.#timers.clear(DELACK);
  }

  /** Established: what came in the peer's SYN, which our SYN,ACK did not cover, is acknowledged within the delay. */
  acknowledgeLater(now: number): void {
    if (this.rcvNxt !== this.lastAckSent && !this.ackNow) this.#timers.set(DELACK, now + DELAYED_ACK);
  }

  /** We answered the peer's data with data: from now on an ACK may wait to ride along (RFC 9293 §3.8.6.3). */
  interactive(): void {
    this.quickAcks = 0;
  }

  /** Acknowledge at once again for a while, e.g. after the connection was idle. */
  quicken(): void {
    this.quickAcks = QUICK_ACKS;
    if (this.#timers.isSet(DELACK)) this.ackNow = true;
  }

  // ── The user ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Take up to `length` bytes. `rtt` is the best guess of the round-trip time, µs; 0 when there is none. */
  read(target: Uint8Array, start: number, length: number, now: number, rtt: number): number {
    const count = Math.min(length, this.readable);
    if (count <= 0) return 0;
    this.ring.read(this.readNxt, target, start, count);
    this.consume(count, now, rtt);
    return count;
  }

  /** The user is done with `count` readable bytes. */
  consume(count: number, now: number, rtt: number): void {
    this.readNxt = seqAdd(this.readNxt, count);
    if (this.hasUrgent && seqGeq(this.readNxt, this.rcvUp)) this.hasUrgent = false;
    if (this.autoTune) this.#tune(now, rtt);
    this.#reopen();
  }

  /** A window update is due when the window we could offer is at least twice the one the peer knows of, as Linux does. */
  #reopen(): void {
    if (this.finReceived) return;
    const known = this.rcvWnd;
    if (2 * known > this.buffer) return;
    const could = seqDiff(this.#edge(), this.rcvNxt);
    if (could > known && could >= 2 * known) this.ackNow = true;
  }

  /** Dynamic right-sizing: hold twice what the user takes per round trip, so that the window never limits the peer. */
  #tune(now: number, rtt: number): void {
    if (rtt <= 0 || now - this.#spaceAt < rtt) return;
    const taken = seqDiff(this.readNxt, this.#spaceSeq);
    if (taken > this.#space) {
      // In slow start the peer doubles per round trip: be ahead of it.
      const growth = this.#space > 0 ? (taken - this.#space) / this.#space : 1;
      const wanted = Math.min(
        this.maxBuffer,
        Math.floor((2 * taken + 16 * this.advertisedMss) * (1 + 2 * Math.min(growth, 1))),
      );
      const affordable = this.#memory.used + (wanted - this.buffer) <= this.#memory.budget >> 1;
      if (wanted > this.buffer && affordable) this.buffer = wanted;
      this.#space = taken;
    }
    this.#spaceSeq = this.readNxt;
    this.#spaceAt = now;
  }

  /** Hold `bytes` from now on, tuned no more. The edge already offered stays (SHLD-14). */
  setBuffer(bytes: number): void {
    this.buffer = Math.max(1, Math.min(bytes, MAX_BUFFER, 0xffff * 2 ** this.shift));
    this.maxBuffer = this.buffer;
    this.autoTune = false;
    this.#reopen();
  }

  /** Let go of the ring when nothing is in it. */
  trim(): void {
    if (this.ring.capacity > 0 && this.readable === 0 && (this.held === null || this.held.count === 0)) {
      this.ring.release();
      this.held = null;
    }
  }

  /** Everything received and not read is thrown away. */
  release(): void {
    this.ring.release();
    this.held = null;
    this.readNxt = this.finReceived ? seqAdd(this.rcvNxt, -1) : this.rcvNxt;
    this.hasUrgent = false;
  }
}

/** True for a segment that carries nothing but an acknowledgment. */
export const isPureAck = (segment: Segment): boolean =>
  segment.seqLength === 0 && (segment.flags & (SYN | FIN | RST | ACK)) === ACK;
