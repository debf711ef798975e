// A socket's send or receive buffer: a power-of-two ring of bytes addressed by absolute position.
//
// Positions are int32 and wrap like sequence numbers, so TCP may use sequence numbers as positions directly. The ring does not know
// which positions are filled: its owner does. Memory is taken lazily, so an idle connection owns none.
//
// Invariant: the owner keeps every live position inside one window of `capacity` bytes.

import type { Addr, Memory } from './memory.ts';
import { blockSize, copyBytes, offsetOf, slabOf } from './memory.ts';

export class Ring {
  readonly memory: Memory;
  /** Address of the block, or -1 while the ring owns no memory. */
  base: Addr = -1;
  /** Size in bytes of the block; a power of two, or 0. */
  capacity = 0;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /**
   * Make `capacity` at least `length`, keeping the bytes at positions [from, end). False when memory is short: nothing changed.
   */
  reserve(length: number, from: number, end: number): boolean {
    if (length <= this.capacity) return true;
    const capacity = blockSize(length);
    const base = this.memory.alloc(capacity);
    if (base < 0) return false;
    const mask = capacity - 1;
    for (let at = from; at !== end; ) {
      // The longest run that wraps in neither ring.
      let n = (end - at) | 0;
      n = Math.min(n, this.capacity - (at & (this.capacity - 1)), capacity - (at & mask));
      this.memory.copy(base + (at & mask), this.address(at), n);
      at = (at + n) | 0;
    }
    this.release();
    this.base = base;
    this.capacity = capacity;
    return true;
  }

  /** Give the memory back; the contents are gone. */
  release(): void {
    if (this.base >= 0) this.memory.free(this.base, this.capacity);
    this.base = -1;
    this.capacity = 0;
  }

  /** Address of `position`. */
  address(position: number): Addr {
    return this.base + (position & (this.capacity - 1));
  }

  /** How many bytes from `position` on lie in one piece. */
  contiguous(position: number): number {
    return this.capacity - (position & (this.capacity - 1));
  }

  /** Store `length` bytes of `source` from `start` on at `position`. */
  write(position: number, source: Uint8Array, start: number, length: number): void {
    const first = Math.min(length, this.contiguous(position));
    const bytes = this.memory.bytes[slabOf(this.base)];
    copyBytes(bytes, offsetOf(this.address(position)), source, start, first);
    if (first < length) copyBytes(bytes, offsetOf(this.base), source, start + first, length - first);
  }

  /** Copy `length` bytes at `position` into `target` from `start` on. */
  read(position: number, target: Uint8Array, start: number, length: number): void {
    const first = Math.min(length, this.contiguous(position));
    const bytes = this.memory.bytes[slabOf(this.base)];
    copyBytes(target, start, bytes, offsetOf(this.address(position)), first);
    if (first < length) copyBytes(target, start + first, bytes, offsetOf(this.base), length - first);
  }
}
