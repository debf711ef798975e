import { expect, test } from 'vitest';
import { isOrdered, MAX_RANGES, OutOfOrder } from '../../src/tcp/out-of-order.ts';
import { seqAdd, seqDiff } from '../../src/wire/seq.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const rng = (seed: number): ((n: number) => number) => {
  const entropy = new SeededEntropy(seed);
  return (n) => (entropy.int32() >>> 0) % n;
};

test('any arrival order ends with every byte delivered exactly once', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const pick = rng(seed);
    const irs = pick(2 ** 32) | 0; // anywhere, so wrapping is the common case
    const arrived = new Uint8Array(64); // the model: one flag per byte
    const held = new OutOfOrder();
    let rcvNxt = irs;
    while (seqDiff(rcvNxt, irs) < 64) {
      const from = pick(64);
      const to = Math.min(64, from + 1 + pick(16));
      arrived.fill(1, from, to);
      if (seqDiff(seqAdd(irs, to), rcvNxt) > 0)
        expect(held.add(seqAdd(irs, Math.max(from, seqDiff(rcvNxt, irs))), seqAdd(irs, to))).toBe(true);
      rcvNxt = held.advance(rcvNxt);
      const hole = arrived.indexOf(0);
      expect(seqDiff(rcvNxt, irs), `seed ${seed}`).toBe(hole < 0 ? 64 : hole);
      expect(isOrdered(held, rcvNxt), `seed ${seed}: order`).toBe(true);
      const wrong = arrived.findIndex((flag, i) => {
        const seq = seqAdd(irs, i);
        return held.indexOf(seq) >= 0 !== (seqDiff(seq, rcvNxt) >= 0 && flag === 1);
      });
      expect(wrong, `seed ${seed}: byte`).toBe(-1);
    }
    expect(held.count).toBe(0);
  }
});

test('blocks are reported without repeating one, most recent first, and all of them where they fit — RFC 2018 §4', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const pick = rng(seed);
    const held = new OutOfOrder();
    for (let step = 0; step < 30; step++) {
      const start = 10 + 10 * pick(40);
      held.add(start, start + 5 + pick(12));
      const blocks = new Int32Array(8);
      const n = held.report(blocks, 0, 4);
      expect(n).toBe(Math.min(4, held.count));
      const lefts = new Set<number>();
      for (let i = 0; i < n; i++) {
        const at = held.indexOf(blocks[2 * i]);
        expect(held.left[at]).toBe(blocks[2 * i]);
        expect(held.right[at]).toBe(blocks[2 * i + 1]);
        lefts.add(blocks[2 * i]);
      }
      expect(lefts.size).toBe(n);
      expect(blocks[0] <= start && start < blocks[1], `seed ${seed}`).toBe(true);
    }
  }
});

test('covers is true exactly for what one range holds whole', () => {
  const held = new OutOfOrder();
  held.add(10, 20);
  held.add(30, 40);
  expect([
    held.covers(10, 20),
    held.covers(12, 15),
    held.covers(9, 15),
    held.covers(15, 21),
    held.covers(15, 35),
  ]).toEqual([true, true, false, false, false]);
});

test('the table is bounded, and what does not fit is refused without harm', () => {
  const held = new OutOfOrder();
  for (let i = 0; i < MAX_RANGES; i++) expect(held.add(10 * i, 10 * i + 5)).toBe(true);
  expect(held.add(10 * MAX_RANGES, 10 * MAX_RANGES + 5)).toBe(false);
  expect(held.count).toBe(MAX_RANGES);
  expect(held.add(5, 10)).toBe(true); // closes a gap: two become one
  expect(held.count).toBe(MAX_RANGES - 1);
  expect(isOrdered(held, -1)).toBe(true);
});
