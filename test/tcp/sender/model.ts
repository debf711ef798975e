// A sender alone in virtual time, against a toy link and a toy receiver.
//
// The link cuts super-segments as a device would, and may lose, duplicate, delay and reorder, each by seed or by script. The receiver
// is as simple as RFC 9293, 2018, 2883 and 7323 let it be, and checks every byte. After every step the documented invariants of the
// scoreboard are recounted naively.

import { expect } from 'vitest';
import { Memory } from '../../../src/mem/memory.ts';
import { Stats } from '../../../src/stats.ts';
import { type InFlight, REC_LOST, REC_RETRANS, REC_SACKED } from '../../../src/tcp/in-flight.ts';
import { ACK, ECE, Segment } from '../../../src/tcp/segment.ts';
import type { SenderOptions } from '../../../src/tcp/sender.ts';
import { Sender } from '../../../src/tcp/sender.ts';
import { Timers } from '../../../src/tcp/timers.ts';
import { TimerWheel } from '../../../src/time/wheel.ts';
import { seqAdd, seqDiff, seqGt, seqLeq, seqLt } from '../../../src/wire/seq.ts';

export const MS = 1_000;

/** A seeded generator: `pick(n)` is an integer in [0, n). */
export function rng(seed: number): (n: number) => number {
  let a = seed | 0;
  return (n) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}

export interface Piece {
  /** 0-based number among all pieces sent. */
  number: number;
  /** Sequence number relative to the first data byte. */
  offset: number;
  length: number;
  fin: boolean;
  push: boolean;
  retransmission: boolean;
  cwr: boolean;
  at: number;
  tsVal: number;
}

export interface ModelOptions {
  seed?: number;
  sender?: SenderOptions;
  mss?: number;
  sack?: boolean;
  timestamps?: boolean;
  ecn?: boolean;
  /** One way, µs. */
  delay?: number;
  /** Bytes per second; Infinity: no serialisation. */
  rate?: number;
  /** Queue at the bottleneck, bytes. */
  queue?: number;
  window?: number;
  delayedAck?: boolean;
  dsack?: boolean;
  iss?: number;
  /** Initial RTT sample of the handshake: as if the SYN had taken a round trip. */
  handshake?: boolean;
  /** What becomes of a piece: true drops it; a number delays it by so many µs more; 'dup' doubles it; 'ce' marks it. */
  fate?: (piece: Piece, model: Model) => boolean | number | 'dup' | 'ce';
  /** What becomes of an ACK. */
  ackFate?: (ack: number, number: number, model: Model) => boolean | number;
  /** Leave SACK blocks off although negotiated, change the ACK, and so on. */
  tamper?: (segment: Segment, model: Model) => void;
}

interface Event {
  at: number;
  order: number;
  run: () => void;
}

const precedes = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Byte `offset` of the stream. */
export const streamByte = (offset: number): number => (offset * 31 + (offset >> 8) * 17 + (offset >> 16)) & 0xff;

const HEADERS = 66;

export class Model {
  now = 1_000_000;
  readonly memory = new Memory(64 * 1024 * 1024);
  readonly stats = new Stats();
  readonly wheel: TimerWheel;
  readonly timers: Timers;
  readonly sender: Sender;
  readonly pieces: Piece[] = [];
  /** Bytes received in order. */
  received = 0;
  finReceived = false;
  window: number;
  acksSent = 0;
  duplicatesReceived = 0;
  gaveUp = false;
  timeoutBits = 0;
  ackBits = 0;
  written = 0;
  check = true;
  onStep: (() => void) | null = null;
  readonly options: Required<Omit<ModelOptions, 'fate' | 'ackFate' | 'tamper' | 'sender'>> & ModelOptions;
  readonly pick: (n: number) => number;
  #events: Event[] = [];
  #order = 0;
  #linkFreeAt = 0;
  #toWrite = 0;
  #endWanted = false;
  #ranges: { left: number; right: number; touched: number }[] = [];
  #touch = 0;
  #delayed = 0;
  #delackAt = Infinity;
  #tsRecent = 0;
  #lastAckSent = 0;
  #ecePending = false;
  readonly #segment = new Segment();
  readonly #base: number;
  #finOffset = -1;

  constructor(options: ModelOptions = {}) {
    this.options = {
      seed: 1,
      mss: 1000,
      sack: true,
      timestamps: true,
      ecn: false,
      delay: 10 * MS,
      rate: Infinity,
      queue: Infinity,
      window: 1 << 24,
      delayedAck: false,
      dsack: true,
      iss: -5000,
      handshake: true,
      ...options,
    };
    const o = this.options;
    this.pick = rng(o.seed);
    this.window = o.window;
    this.wheel = new TimerWheel(this.now);
    this.timers = new Timers(this.wheel, { onTimeout: (kind, now) => this.#onTimeout(kind, now) });
    this.sender = new Sender({
      memory: this.memory,
      stats: this.stats,
      timers: this.timers,
      options: { mtuProbing: false, ...o.sender }, // the toy link knows one MSS
    });
    const { sender } = this;
    sender.sackPermitted = o.sack;
    sender.timestamps = o.timestamps;
    sender.ecn = o.ecn;
    sender.tsOffset = o.seed * 7919;
    sender.setMss(o.mss);
    sender.resume(o.iss, o.handshake ? this.now - 2 * o.delay : -1, false, this.now);
    this.#base = seqAdd(o.iss, 1);
    this.#fill(this.#segment, sender.sndUna);
    sender.setWindow(this.#segment);
    sender.established(this.now);
  }

  get drops(): number {
    return this.#drops;
  }
  #drops = 0;

  /** Write `length` bytes of the stream, as room appears. */
  write(length: number, more = false): void {
    this.#toWrite += length;
    this.#pour(more);
    this.pump();
  }

  end(): void {
    this.#endWanted = true;
    this.#pour(false);
    this.pump();
  }

  at(time: number, run: () => void): void {
    const events = this.#events;
    const event = { at: time, order: this.#order++, run };
    let i = events.length;
    for (; i > 0; i = (i - 1) >> 1) {
      const parent = events[(i - 1) >> 1];
      if (!precedes(event, parent)) break;
      events[i] = parent;
    }
    events[i] = event;
  }

  #earliest(): Event {
    const events = this.#events;
    const first = events[0];
    const last = events.pop() as Event;
    const n = events.length;
    for (let i = 0; n > 0; ) {
      let child = 2 * i + 1;
      if (child + 1 < n && precedes(events[child + 1], events[child])) child++;
      if (child >= n || !precedes(events[child], last)) {
        events[i] = last;
        break;
      }
      events[i] = events[child];
      i = child;
    }
    return first;
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** Run until nothing is left to happen, `until` says so, or virtual time is up. */
  run(until: () => boolean = () => false, forMicros = 3_600_000_000): void {
    const end = this.now + forMicros;
    for (let steps = 0; steps < 5_000_000; steps++) {
      if (until()) return;
      const eventAt = this.#events.length > 0 ? this.#events[0].at : Infinity;
      const timerAt = Math.min(this.wheel.nextDeadline(), this.#delackAt);
      const at = Math.min(eventAt, timerAt);
      if (at === Infinity || at > end) {
        if (at !== Infinity) this.now = end;
        return;
      }
      this.now = Math.max(this.now, at);
      if (this.#delackAt <= this.now) this.#sendAck();
      if (eventAt <= this.now) {
        this.#earliest().run();
      }
      this.wheel.advance(this.now);
      this.pump();
      this.onStep?.();
    }
    throw new Error('the model does not come to rest');
  }

  /** Everything written, and FIN if asked for, has been acknowledged. */
  get done(): boolean {
    return this.#toWrite === 0 && this.sender.allSent && this.sender.flight.count === 0;
  }

  runToEnd(): void {
    this.run(() => this.done || this.gaveUp);
  }

  pump(): void {
    const { sender } = this;
    this.#pour(false);
    for (let i = 0; sender.next(this.now); i++) {
      if (i > 100_000) throw new Error('next() never ends');
      this.#transmit();
      sender.sent(this.now);
    }
    if (this.check) checkScoreboard(sender);
  }

  /** Hand the sender an ACK as if it came from the peer. */
  ack(ackOffset: number, blocks: [number, number][] = [], change?: (s: Segment) => void): number {
    const s = this.#segment;
    this.#fill(s, seqAdd(this.#base, ackOffset));
    s.sackCount = blocks.length;
    blocks.forEach(([l, r], i) => {
      s.sack[2 * i] = seqAdd(this.#base, l);
      s.sack[2 * i + 1] = seqAdd(this.#base, r);
    });
    change?.(s);
    const bits = this.sender.onAck(s, this.now);
    this.ackBits |= bits;
    if (this.check) checkScoreboard(this.sender);
    return bits;
  }

  #pour(more: boolean): void {
    while (this.#toWrite > 0) {
      const n = Math.min(this.#toWrite, 65_536, this.sender.writable);
      if (n === 0) break;
      const chunk = new Uint8Array(n);
      for (let i = 0; i < n; i++) chunk[i] = streamByte(this.written + i);
      const took = this.sender.write(chunk, 0, n, more);
      this.written += took;
      this.#toWrite -= took;
      if (took < n) break;
    }
    if (this.#endWanted && this.#toWrite === 0) {
      this.#endWanted = false;
      this.#finOffset = this.written;
      this.sender.end();
    }
  }

  #onTimeout(kind: number, now: number): void {
    const bits = this.sender.onTimer(kind, now);
    this.timeoutBits |= bits;
    if ((bits & 2) !== 0) {
      this.gaveUp = true;
      this.sender.close();
    }
  }

  #fill(s: Segment, ack: number): void {
    s.seq = 77;
    s.ack = ack;
    s.flags = ACK;
    s.length = 0;
    s.window = s.windowScaled = this.window;
    s.sackCount = 0;
    s.hasTimestamp = this.options.timestamps;
    s.tsVal = 0;
    s.tsEcr = this.#tsRecent;
  }

  // Cut what the sender proposes as the device would, and put the pieces on the link.
  #transmit(): void {
    const { sender } = this;
    const { out } = sender;
    const first = seqDiff(out.seq, this.#base);
    expect(out.length <= out.gsoSize || out.gsoSize === 0 || out.gsoSize === sender.mss, 'gsoSize').toBe(true);
    if (out.gsoSize === 0)
      expect(out.length, 'no gsoSize: at most one MSS').toBeLessThanOrEqual(Math.max(sender.mss, 1));
    const bytes = new Uint8Array(out.length);
    if (out.length > 0) sender.ring.read(out.seq, bytes, 0, out.length);
    for (let i = 0; i < out.length; i++) {
      if (bytes[i] !== streamByte(first + i)) throw new Error(`wrong byte at ${first + i}`);
    }
    let at = 0;
    do {
      const length = Math.min(out.length - at, sender.mss);
      const last = at + length >= out.length;
      const piece: Piece = {
        number: this.pieces.length,
        offset: first + at,
        length,
        fin: out.fin && last,
        push: out.push && last,
        retransmission: out.retransmission,
        cwr: out.cwr,
        at: this.now,
        tsVal: sender.tsVal(this.now),
      };
      this.pieces.push(piece);
      this.#carry(piece);
      at += length;
    } while (at < out.length);
  }

  #carry(piece: Piece): void {
    const o = this.options;
    const fate = o.fate?.(piece, this) ?? false;
    if (fate === true) {
      this.#drops++;
      return;
    }
    let leaves = this.now;
    if (o.rate !== Infinity) {
      const start = Math.max(this.now, this.#linkFreeAt);
      if (((start - this.now) * o.rate) / 1e6 > o.queue) {
        this.#drops++;
        return;
      }
      this.#linkFreeAt = start + ((piece.length + HEADERS) * 1e6) / o.rate;
      leaves = this.#linkFreeAt;
    }
    const extra = typeof fate === 'number' ? fate : 0;
    this.at(leaves + o.delay + extra, () => this.#receive(piece, fate === 'ce'));
    if (fate === 'dup') this.at(leaves + o.delay + extra, () => this.#receive(piece, false));
  }

  #receive(piece: Piece, ce: boolean): void {
    const from = piece.offset;
    const end = from + piece.length;
    if (ce) this.#ecePending = true;
    if (piece.cwr) this.#ecePending = ce;
    // RFC 7323 §4.3: TS.Recent follows segments that touch the left edge.
    if (this.options.timestamps && from <= this.#lastAckSent) {
      if (((piece.tsVal - this.#tsRecent) | 0) >= 0 || this.#tsRecent === 0) this.#tsRecent = piece.tsVal;
    }
    // Beyond the window we offer: answered, and thrown away (RFC 9293 §3.10.7.4, first step).
    if (end > this.received + this.window && piece.length > 0) {
      this.#sendAck();
      return;
    }
    let dsack: [number, number] | null = null;
    if (end <= this.received && piece.length > 0) dsack = [from, end];
    const inOrder = from <= this.received && end > this.received;
    const hadHole = this.#ranges.length > 0;
    if (piece.length > 0 && end > this.received) {
      const left = Math.max(from, this.received);
      const inside = this.#ranges.find((r) => r.left <= left && end <= r.right);
      if (inside) {
        dsack = [left, end];
        inside.touched = ++this.#touch;
      } else this.#insert(left, end);
      if (this.#ranges[0]?.left <= this.received) {
        const first = this.#ranges.shift();
        if (first) this.received = first.right;
      }
    }
    if (dsack) this.duplicatesReceived++;
    if (piece.fin && this.received === this.#finOffset) this.finReceived = true;
    this.#delayed++;
    const immediate =
      !this.options.delayedAck || !inOrder || hadHole || dsack !== null || this.#delayed >= 2 || piece.fin;
    if (immediate) this.#sendAck(dsack);
    else if (this.#delackAt === Infinity) this.#delackAt = this.now + 40 * MS;
  }

  #insert(left: number, right: number): void {
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      const r = this.#ranges[i];
      if (r.left > right || r.right < left) continue;
      left = Math.min(left, r.left);
      right = Math.max(right, r.right);
      this.#ranges.splice(i, 1);
    }
    this.#ranges.push({ left, right, touched: ++this.#touch });
    this.#ranges.sort((a, b) => a.left - b.left);
  }

  /** Discard everything out of order, as RFC 2018 §8 allows. */
  renege(): void {
    this.#ranges = [];
  }

  /** The reader takes its data: the window changes and the peer is told. */
  setWindow(window: number): void {
    this.window = window;
    this.#sendAck();
  }

  #sendAck(dsack: [number, number] | null = null): void {
    const o = this.options;
    this.#delayed = 0;
    this.#delackAt = Infinity;
    this.#lastAckSent = this.received;
    const ack = this.received + (this.finReceived ? 1 : 0);
    const blocks: [number, number][] = [];
    if (o.sack) {
      if (dsack && o.dsack) blocks.push(dsack);
      const recent = [...this.#ranges].sort((a, b) => b.touched - a.touched);
      for (const r of recent) if (blocks.length < (o.timestamps ? 3 : 4)) blocks.push([r.left, r.right]);
    }
    const { window } = this;
    const tsEcr = this.#tsRecent;
    const ece = this.#ecePending;
    const number = this.acksSent++;
    const fate = o.ackFate?.(ack, number, this) ?? false;
    if (fate === true) return;
    this.at(this.now + o.delay + (typeof fate === 'number' ? fate : 0), () => {
      const s = this.#segment;
      this.#fill(s, seqAdd(this.#base, ack));
      s.windowScaled = s.window = window;
      s.tsEcr = tsEcr;
      if (ece && o.ecn) s.flags |= ECE;
      s.sackCount = blocks.length;
      blocks.forEach(([l, r], i) => {
        s.sack[2 * i] = seqAdd(this.#base, l);
        s.sack[2 * i + 1] = seqAdd(this.#base, r);
      });
      o.tamper?.(s, this);
      if (seqLt(s.ack, this.sender.sndUna) && s.sackCount === 0) return; // the connection drops it
      if (seqGt(s.ack, this.sender.sndNxt)) throw new Error('the model acknowledges what was never sent');
      this.ackBits |= this.sender.onAck(s, this.now);
      if (this.check) checkScoreboard(this.sender);
    });
  }
}

/** The documented invariants of the scoreboard, counted from nothing. */
export function checkScoreboard(sender: Sender): void {
  const flight: InFlight = sender.flight;
  let total = 0;
  let sacked = 0;
  let sackedRecords = 0;
  let lost = 0;
  let retrans = 0;
  let at = sender.sndUna;
  let unlisted = 0;
  for (let i = 0; i < flight.count; i++) {
    const slot = flight.at(i);
    if (flight.start(slot) !== at) throw new Error(`record ${i} starts at ${flight.start(slot)}, not ${at}`);
    const length = flight.length(slot);
    if (length <= 0) throw new Error(`record ${i} is empty`);
    at = flight.end(slot);
    const flags = flight.flags(slot);
    total += length;
    if (flags & REC_SACKED) {
      sacked += length;
      sackedRecords++;
      unlisted++;
      if (flags & (REC_LOST | REC_RETRANS)) throw new Error(`record ${i} is SACKed and more: ${flags}`);
    }
    if (flags & REC_LOST) {
      lost += length;
      if (flags & REC_RETRANS) throw new Error(`record ${i} is LOST and RETRANS`);
    }
    if (flags & REC_RETRANS) retrans += length;
  }
  if (at !== sender.sndNxt) throw new Error(`the scoreboard ends at ${at}, SND.NXT is ${sender.sndNxt}`);
  if (total !== flight.total || sacked !== flight.sacked || sackedRecords !== flight.sackedRecords) {
    throw new Error(
      `counted ${total} ${sacked} ${sackedRecords}, kept ${flight.total} ${flight.sacked} ${flight.sackedRecords}`,
    );
  }
  if (lost !== flight.lost || retrans !== flight.retrans) {
    throw new Error(`counted lost ${lost} retrans ${retrans}, kept ${flight.lost} ${flight.retrans}`);
  }
  if (flight.pipe < 0) throw new Error(`pipe is ${flight.pipe}`);
  let listed = 0;
  let before = -Infinity;
  for (let s = flight.oldestSent; s >= 0; s = flight.after(s)) {
    listed++;
    if (flight.sentAt(s) < before) throw new Error('the sent list is out of order');
    before = flight.sentAt(s);
    if (flight.flags(s) & (REC_LOST | REC_SACKED)) throw new Error('the sent list holds a lost or SACKed record');
    if (listed > flight.count) throw new Error('the sent list is circular');
  }
  for (let s = flight.firstLost, last = sender.sndUna; s >= 0; s = flight.after(s)) {
    listed++;
    if (!seqLeq(last, flight.start(s))) throw new Error('the lost list is out of order');
    last = flight.end(s);
    if (!(flight.flags(s) & REC_LOST)) throw new Error('the lost list holds a record that is not lost');
    if (listed > flight.count) throw new Error('the lost list is circular');
  }
  if (listed + unlisted !== flight.count) throw new Error('a record is on no list');
  if (!(sender.congestion.cwnd >= 1)) throw new Error(`cwnd is ${sender.congestion.cwnd}`);
  const limit = sender.ended ? seqAdd(sender.buffer.end, 1) : sender.buffer.end;
  if (seqGt(sender.sndNxt, limit)) throw new Error('SND.NXT is beyond what was written');
}
