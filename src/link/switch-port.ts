// One port of a switch: a link, what waits to be sent on it, and its counters.
//
// Invariant: never more than one batch waits; what does not fit is dropped and counted, as by a switch of iron.

import { FrameBatch, HEAD, LENGTH, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Memory } from '../mem/memory.ts';
import { offsetOf, slabOf } from '../mem/memory.ts';
import type { Link } from './link.ts';
import { lower } from './lower.ts';

const REGION = 512 * 1024;
const CAPACITY = 512;

export class PortCounters {
  inFrames = 0;
  inBytes = 0;
  outFrames = 0;
  outBytes = 0;
  /** Received and sent to every other port. */
  flooded = 0;
  /** Received and not forwarded: to where it came from, to a reserved address, malformed, or on a blocked port. */
  filtered = 0;
  /** Not flooded because there was too much to flood. */
  suppressed = 0;
  /** Not sent because the link did not keep up. */
  overflowed = 0;
  /** Not sent because the link takes no frame of that size. */
  oversized = 0;
  /** Times this port was found to be part of a loop. */
  loops = 0;
}

export class SwitchPort {
  readonly number: number;
  readonly name: string;
  readonly link: Link;
  readonly counters = new PortCounters();
  /** Floods that may still pass, and when that was reckoned. */
  credit: number;
  creditAt: number;
  /** Until when it is out of use for being part of a loop, µs; 0 when it is not. */
  blockedUntil = 0;
  /** Its time is over; it is blocked until it is known that the loop has gone. */
  isOnTrial = false;
  /** The switch has to look at this link. */
  isAwake = true;
  readonly #out: FrameBatch;
  /** `link`, with the offloads it lacks. */
  readonly #lowered: Link;
  #refused = false;

  constructor(number: number, name: string, link: Link, memory: Memory, credit: number, now: number) {
    this.number = number;
    this.name = name;
    this.link = link;
    this.credit = credit;
    this.creditAt = now;
    this.#out = new FrameBatch(memory, REGION, CAPACITY);
    this.#lowered = lower(link, memory);
  }

  get isBlocked(): boolean {
    return this.blockedUntil > 0;
  }

  /** Take a copy of frame `i` of `batch`, which is in one piece, with its virtio header. */
  enqueue(batch: FrameBatch, i: number): void {
    const at = i * STRIDE;
    const length = batch.desc[at + LENGTH];
    const from = offsetOf(batch.desc[at + HEAD]) - VNET_LENGTH;
    const bytes = batch.memory.bytes[slabOf(batch.desc[at + HEAD])];
    const off = this.#room(length);
    if (off < 0) return;
    this.#out.bytes.set(bytes.subarray(from, from + VNET_LENGTH + length), off - VNET_LENGTH);
  }

  /** Room for a frame to be written into `dv` at the offset that is returned; negative when there is none. */
  compose(length: number): { dv: DataView; off: number } {
    return { dv: this.#out.dv, off: this.#room(length) };
  }

  flush(): void {
    const out = this.#out;
    if (out.count === 0 && !this.#refused) return;
    const sent = this.#lowered.send(out);
    this.#refused = sent < out.count;
    if (!this.#refused) {
      out.clear();
      return;
    }
    out.desc.copyWithin(0, sent * STRIDE, out.count * STRIDE);
    out.count -= sent;
  }

  close(): void {
    this.link.watch?.(null);
    this.#lowered.close?.();
    this.#out.release();
  }

  #room(length: number): number {
    let off = this.#out.append(length);
    if (off < 0) {
      this.flush();
      off = this.#out.append(length);
    }
    if (off < 0) this.counters.overflowed++;
    else {
      this.counters.outFrames++;
      this.counters.outBytes += length;
    }
    return off;
  }
}
