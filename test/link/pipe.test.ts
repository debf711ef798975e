import { expect, test } from 'vitest';
import { FrameQueue } from '../../src/link/frame-queue.ts';
import { pipe } from '../../src/link/pipe.ts';
import { ADDR1, ADDR2, FrameBatch, LEN1, LEN2, STRIDE } from '../../src/mem/frame-batch.ts';
import { Memory, offsetOf, slabOf } from '../../src/mem/memory.ts';
import { same } from '../support/check.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const batch = (memory: Memory): FrameBatch => new FrameBatch(memory, 256 * 1024, 32);

/** Append a frame with random contents in up to three places; returns its bytes, virtio header first. */
function append(tx: FrameBatch, length: number, entropy: SeededEntropy): Uint8Array {
  const { memory } = tx;
  const off = tx.append(length);
  entropy.fill(tx.bytes.subarray(off - 12, off + length));
  const at = (tx.count - 1) * STRIDE;
  for (const [addr, len] of [
    [ADDR1, LEN1],
    [ADDR2, LEN2],
  ]) {
    if ((entropy.int32() & 1) === 0) continue;
    const block = memory.alloc(4096);
    entropy.fill(memory.bytes[slabOf(block)].subarray(offsetOf(block), offsetOf(block) + 100));
    tx.desc[at + addr] = block;
    tx.desc[at + len] = (entropy.int32() >>> 0) % 100;
  }
  const whole = new Uint8Array(12 + tx.frameLength(tx.count - 1));
  tx.gather(tx.count - 1, whole, 0, true);
  return whole;
}

test('frames come out of a queue as they went in, virtio headers and all, through wrapping and growing', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const queue = new FrameQueue(128 * 1024);
    const model: Uint8Array[] = [];
    const [txMemory, rxMemory] = [new Memory(), new Memory()];
    const tx = batch(txMemory);
    // Takes a few at a time, so that the queue grows and wraps with frames in it.
    const rx = new FrameBatch(rxMemory, 256 * 1024, 3);
    for (let step = 0; step < 60; step++) {
      tx.clear();
      for (let n = pick(6); n > 0; n--) {
        const whole = append(tx, 14 + pick(pick(4) === 0 ? 20_000 : 1500), entropy);
        if (queue.push(tx, tx.count - 1)) model.push(whole);
        else same(queue.length + whole.length > 64 * 1024, true, () => `seed ${seed}: refused with room left`);
      }
      if (pick(2) === 0) continue;
      rx.clear();
      const n = queue.pull(rx);
      for (let i = 0; i < n; i++) {
        const out = new Uint8Array(12 + rx.frameLength(i));
        rx.gather(i, out, 0, true);
        same(out.join(), model.shift()?.join(), () => `seed ${seed} step ${step}`);
      }
      same(queue.count, model.length, () => `seed ${seed}`);
    }
  }
});

test('a full pipe refuses frames, takes them when there is room, and wakes its reader once per burst', () => {
  const [a, b] = pipe({ limit: 128 * 1024 });
  let woken = 0;
  b.watch(() => woken++);
  const tx = batch(new Memory());
  const rx = batch(new Memory());
  let accepted = 0;
  for (let round = 0; round < 10; round++) {
    tx.clear();
    while (tx.hasRoom(10_000)) tx.append(10_000);
    accepted += a.send(tx);
  }
  expect(accepted).toBe(13);
  expect(woken).toBe(1);
  expect(b.receive(rx)).toBe(13);
  expect(a.send(tx)).toBe(13);
  expect(woken).toBe(2);
});

test('an unplugged pipe swallows what is sent, and a limit that is no size says so', () => {
  const [a, b] = pipe();
  const tx = batch(new Memory());
  tx.append(60);
  b.close();
  expect(a.send(tx)).toBe(1);
  expect(b.pending).toBe(0);
  expect(() => pipe({ limit: 100_000 })).toThrow('power of two');
});
