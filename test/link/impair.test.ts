import { expect, test } from 'vitest';
import type { ImpairOptions } from '../../src/link/impair.ts';
import { ImpairLink } from '../../src/link/impair.ts';
import { pipe } from '../../src/link/pipe.ts';
import { FrameBatch, HEAD, LENGTH, STRIDE } from '../../src/mem/frame-batch.ts';
import { Memory, offsetOf } from '../../src/mem/memory.ts';

/** Send `count` numbered frames at one moment and collect what comes out, with the time it came. */
function through(options: ImpairOptions, count: number): { link: ImpairLink; out: { n: number; at: number }[] } {
  const memory = new Memory(64 * 1024 * 1024);
  const clock = { now: 1000 };
  const [near, far] = pipe();
  const link = new ImpairLink(far, clock, options);
  const tx = new FrameBatch(memory, 1 << 18, 512);
  const rx = new FrameBatch(memory, 1 << 18, 512);
  for (let n = 0; n < count; n++) {
    const frame = new Uint8Array(64);
    new DataView(frame.buffer).setUint32(20, n);
    tx.push(frame);
  }
  expect(near.send(tx)).toBe(count);
  const out: { n: number; at: number }[] = [];
  for (let rounds = 0; rounds < 10_000; rounds++) {
    while (link.receive(rx) > 0) {
      for (let i = 0; i < rx.count; i++) {
        expect(rx.desc[i * STRIDE + LENGTH]).toBe(64);
        out.push({ n: rx.dv.getUint32(offsetOf(rx.desc[i * STRIDE + HEAD]) + 20), at: clock.now });
      }
    }
    if (link.nextDeadline() === Infinity) break;
    clock.now = link.nextDeadline();
  }
  return { link, out };
}

test('without options every frame passes at once and in order', () => {
  const { out } = through({}, 100);
  expect(out).toEqual(Array.from({ length: 100 }, (_, n) => ({ n, at: 1000 })));
});

test('loss takes about the share it is told, and the same seed takes the same frames', () => {
  const first = through({ seed: 5, loss: 0.2 }, 500);
  const again = through({ seed: 5, loss: 0.2 }, 500);
  expect(first.link.counters.lost).toBeGreaterThan(60);
  expect(first.link.counters.lost).toBeLessThan(140);
  expect(first.out.length).toBe(500 - first.link.counters.lost);
  expect(again.out).toEqual(first.out);
  expect(through({ seed: 6, loss: 0.2 }, 500).out).not.toEqual(first.out);
});

test('bursts lose frames in a row', () => {
  const { out, link } = through({ seed: 3, burst: { begin: 0.02, end: 0.2 } }, 500);
  const arrived = new Set(out.map(({ n }) => n));
  let rows = 0;
  for (let n = 1; n < 500; n++) if (!arrived.has(n) && !arrived.has(n - 1)) rows++;
  expect(link.counters.lost).toBeGreaterThan(10);
  expect(rows).toBeGreaterThan(link.counters.lost / 2);
});

test('duplicates arrive twice, reordered frames late, and nothing is lost by either', () => {
  const { out, link } = through({ seed: 9, duplicate: 0.1, reorder: 0.1, reorderBy: 5000 }, 400);
  const times = new Map<number, number>();
  for (const { n } of out) times.set(n, (times.get(n) ?? 0) + 1);
  expect(times.size).toBe(400);
  expect(out.length).toBe(400 + link.counters.duplicated);
  expect(link.counters.reordered).toBeGreaterThan(10);
  expect(out.filter(({ at }) => at === 6000).length).toBe(link.counters.reordered);
});

test('delay and jitter hold frames back and keep their order', () => {
  const { out } = through({ seed: 2, delay: 20_000, jitter: 3000 }, 200);
  expect(out.map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, n) => n));
  expect(out[0].at).toBeGreaterThanOrEqual(21_000);
  expect(out[199].at).toBeLessThanOrEqual(24_000);
});

test('a bottleneck lets frames through at its rate and drops what its queue cannot hold', () => {
  // 76 bytes with the virtio header at 608 kbit/s: one frame per millisecond.
  const { out, link } = through({ rate: 608_000, queue: 760 }, 50);
  expect(out.length).toBe(10);
  expect(link.counters.overflowed).toBe(40);
  expect(out[9].at - out[0].at).toBe(9000);
});

test('corruption flips one bit behind the Ethernet header', () => {
  const memory = new Memory(64 * 1024 * 1024);
  const [near, far] = pipe();
  const link = new ImpairLink(far, { now: 0 }, { seed: 4, corrupt: 1 });
  const batch = new FrameBatch(memory, 1 << 18, 512);
  for (let n = 0; n < 100; n++) batch.push(new Uint8Array(64));
  near.send(batch);
  expect(link.receive(batch)).toBe(100);
  for (let i = 0; i < batch.count; i++) {
    const head = offsetOf(batch.desc[i * STRIDE + HEAD]);
    const frame = batch.bytes.subarray(head, head + 64);
    const bits = frame.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    expect(bits).toBe(1);
    expect(frame.subarray(0, 14).every((byte) => byte === 0)).toBe(true);
  }
});

test('a script decides frame by frame', () => {
  const { out } = through({ pass: (_frame, index) => index % 3 !== 1 }, 9);
  expect(out.map(({ n }) => n)).toEqual([0, 2, 3, 5, 6, 8]);
});
