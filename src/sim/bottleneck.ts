// The slow part of a link: frames leave it at a rate, and wait in front of it in a queue that is either a plain drop-tail one or CoDel's.
//
// Invariant: frames leave in the order they came, never faster than the rate; whatever is not passed on has been reported to `drop`.

import { SECOND } from '../world.ts';
import { CoDel } from './codel.ts';
import { markCe } from './ecn.ts';
import type { Schedule } from './schedule.ts';

export interface CodelOptions {
  /** Standing delay that is acceptable, ms (RFC 8289 §4.2: 5). */
  target?: number;
  /** How long it may stand before frames are dropped, ms (RFC 8289 §4.3: 100). */
  interval?: number;
  /** Mark packets of ECN-capable transports instead of dropping them (RFC 8289 §5.1 with RFC 3168 §5). */
  ecn?: boolean;
}

export interface QueueOptions {
  /** Most bytes that may wait. Default: as much as leaves in 100 ms, at least 64 KB. */
  bytes?: number;
  /** Most frames that may wait. Default: no limit. */
  packets?: number;
  codel?: boolean | CodelOptions;
}

/** Why a frame went no further. */
export type DropReason = 'overflow' | 'codel';

export interface BottleneckOwner {
  /** `frame` has left at `now`. */
  pass(frame: Uint8Array): void;
  drop(frame: Uint8Array, reason: DropReason): void;
  marked(): void;
}

const LEAST_QUEUE = 64 * 1024;

export class Bottleneck {
  /** Bits per second. */
  rate: number;
  readonly #schedule: Schedule;
  readonly #owner: BottleneckOwner;
  readonly #limit: number;
  readonly #packets: number;
  readonly #codel: CoDel | null;
  readonly #marks: boolean;
  readonly #queue: { readonly frame: Uint8Array; readonly since: number }[] = [];
  #bytes = 0;
  #freeAt = 0;
  #isBusy = false;

  constructor(schedule: Schedule, owner: BottleneckOwner, rate: number, queue: QueueOptions) {
    this.#schedule = schedule;
    this.#owner = owner;
    this.rate = rate;
    this.#limit = queue.bytes ?? Math.max(LEAST_QUEUE, rate / 80);
    this.#packets = queue.packets ?? Infinity;
    const codel = queue.codel === true ? {} : queue.codel || null;
    this.#codel = codel === null ? null : new CoDel((codel.target ?? 5) * 1000, (codel.interval ?? 100) * 1000);
    this.#marks = codel?.ecn === true;
  }

  /** Bytes that wait. */
  get waiting(): number {
    return this.#bytes;
  }

  offer(frame: Uint8Array): void {
    if (this.#bytes + frame.length > this.#limit || this.#queue.length >= this.#packets) {
      this.#owner.drop(frame, 'overflow');
      return;
    }
    this.#queue.push({ frame, since: this.#schedule.now });
    this.#bytes += frame.length;
    if (!this.#isBusy) this.#transmit();
  }

  /** Forget what waits: the cable is cut. Returns how many frames that were. */
  clear(): number {
    const waiting = this.#queue.splice(0).length;
    this.#bytes = 0;
    return waiting;
  }

  #transmit(): void {
    const frame = this.#dequeue();
    if (frame === null) {
      this.#isBusy = false;
      return;
    }
    this.#isBusy = true;
    // Kept exactly, though events happen at whole microseconds: at 1 Gbit/s the difference would be a tenth of the rate.
    this.#freeAt = Math.max(this.#freeAt, this.#schedule.now - 1) + (frame.length * 8 * SECOND) / this.rate;
    this.#schedule.add(this.#freeAt, () => {
      this.#owner.pass(frame);
      this.#transmit();
    });
  }

  #dequeue(): Uint8Array | null {
    const { now } = this.#schedule;
    const codel = this.#codel;
    for (;;) {
      const head = this.#queue.shift();
      if (head === undefined) {
        codel?.empty();
        return null;
      }
      this.#bytes -= head.frame.length;
      if (codel === null || !codel.drops(now - head.since, this.#bytes, now)) return head.frame;
      if (this.#marks && markCe(head.frame)) {
        this.#owner.marked();
        return head.frame;
      }
      this.#owner.drop(head.frame, 'codel');
    }
  }
}
