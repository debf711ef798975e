import { expect, test } from 'vitest';
import { ADDR1, FrameBatch, LEN1, STRIDE, VNET_LENGTH } from '../../src/mem/frame-batch.ts';
import { blockSize, Memory, MIN_BLOCK, offsetOf, SLAB_SIZE, slabOf } from '../../src/mem/memory.ts';
import { Ring } from '../../src/mem/ring.ts';
import { holds, same } from '../support/check.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const picker = (seed: number) => {
  const entropy = new SeededEntropy(seed);
  return (below: number): number => (entropy.int32() >>> 0) % below;
};

test('live blocks are aligned, never overlap, and `used` is their sum; freed memory is whole again', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const pick = picker(seed);
    const memory = new Memory(64 * 1024 * 1024);
    const live: { addr: number; length: number }[] = [];
    for (let step = 0; step < 400; step++) {
      if (pick(3) > 0 || live.length === 0) {
        const length = 1 + pick(1 << (8 + pick(15)));
        const addr = memory.alloc(length);
        if (addr >= 0) live.push({ addr, length });
      } else {
        const [gone] = live.splice(pick(live.length), 1);
        memory.free(gone.addr, gone.length);
      }
      const sorted = [...live].sort((a, b) => a.addr - b.addr);
      let sum = 0;
      for (let i = 0; i < sorted.length; i++) {
        const { addr, length } = sorted[i];
        const size = blockSize(length);
        sum += size;
        same(offsetOf(addr) % size, 0, () => `seed ${seed}`);
        same(slabOf(addr), slabOf(addr + size - 1), () => `seed ${seed}`);
        const before = i === 0 ? 0 : sorted[i - 1].addr + blockSize(sorted[i - 1].length);
        holds(addr >= before, () => `seed ${seed}: blocks overlap`);
      }
      same(memory.used, sum, () => `seed ${seed}`);
      holds(sum <= memory.budget, () => `seed ${seed}: over budget`);
    }
    for (const { addr, length } of live) memory.free(addr, length);
    expect(memory.used).toBe(0);
    // Everything has merged: a whole slab can be had without adding one.
    const slabs = memory.bytes.length;
    expect(memory.alloc(SLAB_SIZE)).toBeGreaterThanOrEqual(0);
    expect(memory.bytes.length).toBe(slabs);
  }
});

test('the budget is kept, and so is the largest block', () => {
  const memory = new Memory(3 * MIN_BLOCK);
  expect([1, 1, 1].map((n) => memory.alloc(n) >= 0)).toEqual([true, true, true]);
  expect(memory.alloc(1)).toBe(-1);
  expect(new Memory().alloc(SLAB_SIZE + 1)).toBe(-1);
});

test('a ring keeps every live byte at its position while it wraps, grows and is released', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const pick = picker(seed);
    const ring = new Ring(new Memory());
    const model = new Map<number, number>();
    let from = pick(2 ** 32) | 0;
    let end = from;
    for (let step = 0; step < 80; step++) {
      const length = 1 + pick(3000);
      const live = (end - from) | 0;
      same(ring.reserve(live + length, from, end), true, () => `seed ${seed}`);
      const chunk = Uint8Array.from({ length }, () => pick(256));
      ring.write(end, chunk, 0, length);
      for (let i = 0; i < length; i++) model.set((end + i) | 0, chunk[i]);
      end = (end + length) | 0;
      const take = pick(((end - from) | 0) + 1);
      const out = new Uint8Array(take);
      ring.read(from, out, 0, take);
      for (let i = 0; i < take; i++) same(out[i], model.get((from + i) | 0), () => `seed ${seed}`);
      from = (from + take) | 0;
    }
    ring.release();
    expect(ring.memory.used).toBe(0);
  }
});

test('a batch puts IP headers on multiples of four behind a clear virtio header, and gathers extents in order', () => {
  const memory = new Memory();
  const batch = new FrameBatch(memory, 64 * 1024, 8);
  for (const length of [60, 61, 62, 63, 1514]) {
    batch.bytes.fill(0xee, offsetOf(batch.region) + batch.fill, offsetOf(batch.region) + batch.fill + 64);
    const off = batch.append(length);
    expect((off + 14) % 4).toBe(0);
    expect([...batch.bytes.subarray(off - VNET_LENGTH, off)]).toEqual(new Array(VNET_LENGTH).fill(0));
  }
  const block = memory.alloc(10);
  memory.bytes[slabOf(block)].set([1, 2, 3], offsetOf(block));
  batch.desc[ADDR1] = block;
  batch.desc[LEN1] = 3;
  const out = new Uint8Array(63);
  expect(batch.gather(0, out, 0)).toBe(63);
  expect([...out.subarray(60)]).toEqual([1, 2, 3]);
  expect(batch.frameLength(0)).toBe(63);
  while (batch.append(10) >= 0) {}
  expect(batch.count).toBe(8);
  expect(batch.desc.length).toBe(8 * STRIDE);
});
