// One address space for every byte the core touches: receive regions, socket rings, transmit headers.
//
// It is made of 16 MB slabs. An address is an int32, slab number in the high byte and offset in the low 24 bits, so
// descriptors are integers and the native addon needs one pointer per slab. A slab's pages are zero-fill-on-demand: what is never
// touched costs no memory. Blocks are powers of two from 4 KB to 16 MB, never straddle a slab, and are kept in a buddy free list per slab.
//
// Invariant: a block of size S starts at a multiple of S within its slab; live blocks never overlap; `used` is the sum of live block sizes.

export type Addr = number;

export const SLAB_BITS = 24;
export const SLAB_SIZE = 1 << SLAB_BITS;
const OFFSET_MASK = SLAB_SIZE - 1;
const MIN_BITS = 12;
export const MIN_BLOCK = 1 << MIN_BITS;
const ORDERS = SLAB_BITS - MIN_BITS + 1;
const MAX_SLABS = 127; // keeps every address a non-negative int32

export const slabOf = (addr: Addr): number => addr >>> SLAB_BITS;
export const offsetOf = (addr: Addr): number => addr & OFFSET_MASK;

/** Smallest legal block that holds `length` bytes. */
export const blockSize = (length: number): number =>
  length <= MIN_BLOCK ? MIN_BLOCK : 1 << (32 - Math.clz32(length - 1));

/** Up to this many bytes a loop is as fast as a view of the source, and allocates nothing (bench/micro/copy.ts). */
const LOOP_MAX = 16;

/**
 * Copy `length` bytes of `source` from `from` on into `target` at `to`. Copying within one array, a few bytes, or the whole of `source`
 * allocates nothing; anything else costs a view, because the language has no other way to name a part of an array.
 */
export function copyBytes(target: Uint8Array, to: number, source: Uint8Array, from: number, length: number): void {
  if (target === source) target.copyWithin(to, from, from + length);
  else if (length <= LOOP_MAX) for (let i = 0; i < length; i++) target[to + i] = source[from + i];
  else if (length === source.length) target.set(source, to);
  else target.set(source.subarray(from, from + length), to);
}

export class Memory {
  /** Slab n is `bytes[n]` / `views[n]`. They only ever grow in number. */
  readonly bytes: Uint8Array[] = [];
  readonly views: DataView[] = [];
  /** Most bytes that may be live at once. */
  budget: number;
  /** Bytes in live blocks. */
  used = 0;
  readonly #takeSlab: () => ArrayBuffer;
  readonly #free: Addr[][] = Array.from({ length: ORDERS }, () => []);

  /**
   * @param budget upper bound in bytes for everything allocated here (at most 127 slabs, 2,032 MB)
   * @param takeSlab where slabs of SLAB_SIZE come from: simulations of many short lives use them again
   */
  constructor(budget = 512 * 1024 * 1024, takeSlab: () => ArrayBuffer = () => new ArrayBuffer(SLAB_SIZE)) {
    this.budget = budget;
    this.#takeSlab = takeSlab;
  }

  /** A block of at least `length` bytes (1 … 16 MB), or -1 when the budget or the address space is spent. Contents are unspecified. */
  alloc(length: number): Addr {
    const size = blockSize(length);
    if (size > SLAB_SIZE || this.used + size > this.budget) return -1;
    const order = 31 - Math.clz32(size) - MIN_BITS;
    let from = order;
    while (from < ORDERS && this.#free[from].length === 0) from++;
    if (from === ORDERS && !this.#addSlab()) return -1;
    if (from === ORDERS) from = ORDERS - 1;
    const addr = this.#free[from].pop() as Addr;
    while (from > order) {
      from--;
      this.#free[from].push(addr + (MIN_BLOCK << from)); // the upper half stays free
    }
    this.used += size;
    return addr;
  }

  /** Give back the block at `addr`; `length` is what was asked for. */
  free(addr: Addr, length: number): void {
    const size = blockSize(length);
    this.used -= size;
    let order = 31 - Math.clz32(size) - MIN_BITS;
    while (order < ORDERS - 1) {
      const buddy = addr ^ (MIN_BLOCK << order);
      const list = this.#free[order];
      const at = list.lastIndexOf(buddy);
      if (at < 0) break;
      list[at] = list[list.length - 1];
      list.pop();
      addr = Math.min(addr, buddy);
      order++;
    }
    this.#free[order].push(addr);
  }

  /** Copy `length` bytes between two addresses. Ranges in one slab may overlap. */
  copy(to: Addr, from: Addr, length: number): void {
    const target = this.bytes[to >>> SLAB_BITS];
    copyBytes(target, to & OFFSET_MASK, this.bytes[from >>> SLAB_BITS], from & OFFSET_MASK, length);
  }

  #addSlab(): boolean {
    if (this.bytes.length === MAX_SLABS) return false;
    const buffer = this.#takeSlab();
    this.#free[ORDERS - 1].push(this.bytes.length << SLAB_BITS);
    this.bytes.push(new Uint8Array(buffer));
    this.views.push(new DataView(buffer));
    return true;
  }
}
