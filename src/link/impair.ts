// A bad network in front of a link: loss, bursts of loss, duplication, reordering, corruption, delay, a bottleneck — all from one seed.
//
// What is received passes through it; what is sent goes straight to the link, so wrap both ends to impair both directions. Frames are
// held until their time has come by the world's clock, and `nextDeadline` says when that is.
//
// Invariant: the same seed, options and arrivals give the same departures; a frame leaves zero, one or two times.

import type { FrameBatch } from '../mem/frame-batch.ts';
import { HEAD, LENGTH, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import { offsetOf } from '../mem/memory.ts';
import type { Mac } from '../wire/address.ts';
import { SECOND } from '../world.ts';
import type { Link } from './link.ts';

export interface ImpairOptions {
  seed?: number;
  /** Probability, 0 … 1, that a frame is lost. */
  loss?: number;
  /** Gilbert–Elliott: probabilities per frame of a burst beginning and of its ending; within one, every frame is lost. */
  burst?: { begin: number; end: number };
  /** Probability that a frame arrives twice. */
  duplicate?: number;
  /** Probability that a frame is late by `reorderBy` (default 10 ms), and so overtaken by others. */
  reorder?: number;
  reorderBy?: number;
  /** Probability that a bit flips somewhere behind the Ethernet header. */
  corrupt?: number;
  /** One way, µs. */
  delay?: number;
  /** Added to the delay: uniform in 0 … jitter, µs. Order is kept. */
  jitter?: number;
  /** A bottleneck, bits per second, and how many bytes may wait in front of it (default 256 KB). */
  rate?: number;
  queue?: number;
  /** For scripted faults: false loses the frame. `index` counts frames from 0. */
  pass?: (frame: Uint8Array, index: number) => boolean;
}

/** What has happened so far. */
export class ImpairCounters {
  frames = 0;
  lost = 0;
  duplicated = 0;
  reordered = 0;
  corrupted = 0;
  /** Dropped in front of the bottleneck. */
  overflowed = 0;
}

interface Held {
  readonly due: number;
  readonly order: number;
  /** The virtio header and the frame. */
  readonly bytes: Uint8Array;
}

const ETHERNET_HEADER = 14;
const BYTE_BITS = 8;
/** Batches taken from the link in one call, so that a link that never runs dry does not hold us. */
const MAX_BATCHES = 64;

export class ImpairLink implements Link {
  readonly inner: Link;
  readonly mtu: number;
  readonly offload: number;
  readonly mac?: Mac;
  readonly arp?: boolean;
  readonly watch?: (wake: (() => void) | null) => void;
  readonly counters = new ImpairCounters();
  readonly options: ImpairOptions;
  readonly #clock: { readonly now: number };
  #state: number;
  #order = 0;
  #inBurst = false;
  #lastDue = 0;
  #busyUntil = 0;
  // A binary heap by time, then by arrival.
  readonly #held: Held[] = [];

  /** @param clock tells the time in µs, e.g. a World */
  constructor(inner: Link, clock: { readonly now: number }, options: ImpairOptions = {}) {
    this.inner = inner;
    this.mtu = inner.mtu;
    this.offload = inner.offload;
    if (inner.mac !== undefined) this.mac = inner.mac;
    if (inner.arp !== undefined) this.arp = inner.arp;
    if (inner.watch !== undefined) this.watch = (wake) => inner.watch?.(wake);
    this.#clock = clock;
    this.options = options;
    this.#state = (options.seed ?? 1) | 0;
  }

  receive(rx: FrameBatch): number {
    for (let i = 0; i < MAX_BATCHES && this.inner.receive(rx) > 0; i++) this.#take(rx);
    rx.clear();
    const { now } = this.#clock;
    while (this.#held.length > 0 && this.#held[0].due <= now) {
      const { bytes } = this.#held[0];
      const off = rx.append(bytes.length - VNET_LENGTH);
      if (off < 0) break;
      rx.bytes.set(bytes, off - VNET_LENGTH);
      this.#pop();
    }
    return rx.count;
  }

  send(tx: FrameBatch): number {
    return this.inner.send(tx);
  }

  /** When the next held frame is due, µs; Infinity when none is held. */
  nextDeadline(): number {
    return this.#held.length > 0 ? this.#held[0].due : Infinity;
  }

  close(): void {
    this.#held.length = 0;
    this.inner.close?.();
  }

  #take(rx: FrameBatch): void {
    for (let i = 0; i < rx.count; i++) {
      const start = offsetOf(rx.desc[i * STRIDE + HEAD]) - VNET_LENGTH;
      const bytes = rx.bytes.slice(start, start + VNET_LENGTH + rx.desc[i * STRIDE + LENGTH]);
      const index = this.counters.frames++;
      if (this.#isLost(bytes, index)) {
        this.counters.lost++;
        continue;
      }
      this.#corrupt(bytes);
      this.#hold(bytes);
      if (this.#chance(this.options.duplicate)) {
        this.counters.duplicated++;
        this.#hold(bytes);
      }
    }
  }

  #isLost(bytes: Uint8Array, index: number): boolean {
    const { loss, burst, pass } = this.options;
    if (pass !== undefined && !pass(bytes.subarray(VNET_LENGTH), index)) return true;
    if (burst !== undefined) {
      this.#inBurst = this.#inBurst ? !this.#chance(burst.end) : this.#chance(burst.begin);
      if (this.#inBurst) return true;
    }
    return this.#chance(loss);
  }

  #corrupt(bytes: Uint8Array): void {
    if (!this.#chance(this.options.corrupt)) return;
    this.counters.corrupted++;
    const first = (VNET_LENGTH + ETHERNET_HEADER) * BYTE_BITS;
    const bit = first + (this.#random() % (bytes.length * BYTE_BITS - first));
    bytes[bit >> 3] ^= 1 << (bit & 7);
    // A checksum that is still to be computed would hide the damage: let the receiver verify what stands there.
    bytes[0] = 0;
  }

  #hold(bytes: Uint8Array): void {
    const { delay = 0, jitter = 0, rate = 0, reorderBy = 10_000 } = this.options;
    const { now } = this.#clock;
    let due = now;
    if (rate > 0) {
      const waiting = ((Math.max(this.#busyUntil, now) - now) * rate) / (BYTE_BITS * SECOND);
      if (waiting + bytes.length > (this.options.queue ?? 256 * 1024)) {
        this.counters.overflowed++;
        return;
      }
      this.#busyUntil = Math.max(this.#busyUntil, now) + (bytes.length * BYTE_BITS * SECOND) / rate;
      due = this.#busyUntil;
    }
    due += delay + (jitter > 0 ? this.#random() % (jitter + 1) : 0);
    if (due < this.#lastDue) due = this.#lastDue;
    if (this.#chance(this.options.reorder)) {
      this.counters.reordered++;
      due += reorderBy;
    } else this.#lastDue = due;
    this.#push({ due, order: this.#order++, bytes });
  }

  /** mulberry32: an unsigned number; good from the first on, whatever the seed. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  #chance(probability: number | undefined): boolean {
    return probability !== undefined && probability > 0 && this.#random() < probability * 0x1_0000_0000;
  }

  #push(held: Held): void {
    const heap = this.#held;
    let i = heap.length;
    heap.push(held);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(heap[parent], held)) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = held;
  }

  #pop(): void {
    const heap = this.#held;
    const last = heap.pop() as Held;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}

const isBefore = (a: Held, b: Held): boolean => a.due < b.due || (a.due === b.due && a.order < b.order);

/** `link` behind a network as bad as `options` say. */
export const impair = (link: Link, clock: { readonly now: number }, options: ImpairOptions): ImpairLink =>
  new ImpairLink(link, clock, options);
