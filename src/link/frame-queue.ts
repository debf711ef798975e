// A bounded first-in first-out of whole frames in one circular buffer: what a pipe holds between its ends.
//
// A frame is stored behind its length and its virtio header, so descriptions of super-segments and partial checksums survive. The
// buffer starts small and doubles up to its limit.
//
// Invariant: bytes [head, tail) hold whole records; positions only grow while it is not empty, and index the buffer modulo its size.

import type { FrameBatch } from '../mem/frame-batch.ts';
import { ADDR1, ADDR2, HEAD, LEN1, LEN2, LENGTH, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Addr } from '../mem/memory.ts';
import { offsetOf, slabOf } from '../mem/memory.ts';

const PREFIX = 4;
const START = 16 * 1024;

export class FrameQueue {
  /** Frames held. */
  count = 0;
  readonly #limit: number;
  #buffer = new Uint8Array(START);
  #head = 0;
  #tail = 0;

  /** @param limit bytes that may wait; a power of two */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held, records' own overhead included. */
  get length(): number {
    return this.#tail - this.#head;
  }

  /** Append frame `i` of `batch`. False when it does not fit. */
  push(batch: FrameBatch, i: number): boolean {
    const frameLength = batch.frameLength(i);
    const need = PREFIX + VNET_LENGTH + frameLength;
    if (!this.#reserve(need)) return false;
    const at = i * STRIDE;
    const { desc } = batch;
    this.#putLength(frameLength);
    this.#put(batch, desc[at + HEAD] - VNET_LENGTH, desc[at + LENGTH] + VNET_LENGTH);
    this.#put(batch, desc[at + ADDR1], desc[at + LEN1]);
    this.#put(batch, desc[at + ADDR2], desc[at + LEN2]);
    this.count++;
    return true;
  }

  /** Move the oldest frames into `rx` while it has room. Returns how many. */
  pull(rx: FrameBatch): number {
    let n = 0;
    while (this.count > 0) {
      const length = this.#peekLength();
      const off = rx.append(length);
      if (off < 0) break;
      this.#head += PREFIX;
      this.#take(rx.bytes, off - VNET_LENGTH, VNET_LENGTH + length);
      this.count--;
      n++;
    }
    if (this.count === 0) this.#head = this.#tail = 0; // start over at the bytes the cache still has
    return n;
  }

  clear(): void {
    this.count = 0;
    this.#head = 0;
    this.#tail = 0;
  }

  #reserve(need: number): boolean {
    const used = this.#tail - this.#head;
    if (used + need <= this.#buffer.length) return true;
    let size = this.#buffer.length;
    while (size < used + need) size *= 2;
    if (size > this.#limit) return false;
    const grown = new Uint8Array(size);
    this.#take(grown, 0, used);
    this.#buffer = grown;
    this.#head = 0;
    this.#tail = used;
    return true;
  }

  #putLength(length: number): void {
    const mask = this.#buffer.length - 1;
    for (let shift = 24; shift >= 0; shift -= 8) this.#buffer[this.#tail++ & mask] = length >>> shift;
  }

  #peekLength(): number {
    const mask = this.#buffer.length - 1;
    let length = 0;
    for (let i = 0; i < PREFIX; i++) length = (length << 8) | this.#buffer[(this.#head + i) & mask];
    return length;
  }

  #put(batch: FrameBatch, addr: Addr, length: number): void {
    if (length === 0) return;
    const source = batch.memory.bytes[slabOf(addr)];
    const from = offsetOf(addr);
    const at = this.#tail & (this.#buffer.length - 1);
    const first = Math.min(length, this.#buffer.length - at);
    this.#buffer.set(source.subarray(from, from + first), at);
    if (first < length) this.#buffer.set(source.subarray(from + first, from + length), 0);
    this.#tail += length;
  }

  #take(target: Uint8Array, start: number, length: number): void {
    const at = this.#head & (this.#buffer.length - 1);
    const first = Math.min(length, this.#buffer.length - at);
    target.set(this.#buffer.subarray(at, at + first), start);
    if (first < length) target.set(this.#buffer.subarray(0, length - first), start + first);
    this.#head += length;
  }
}
