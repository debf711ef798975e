import { expect, test } from 'vitest';
import { DELACK, KEEPALIVE, PERSIST, RTO, TIMER_KINDS, TIMER_NAMES, Timers } from '../../src/tcp/timers.ts';
import { TimerWheel } from '../../src/time/wheel.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

function table() {
  const wheel = new TimerWheel(0);
  const fired: [number, number][] = [];
  const timers = new Timers(wheel, { onTimeout: (kind, now) => fired.push([kind, now]) });
  return { wheel, timers, fired };
}

test('RTO, persist, delayed ACK and keep-alive each have a deadline of their own', () => {
  const { wheel, timers, fired } = table();
  timers.set(RTO, 5000);
  timers.set(PERSIST, 3000);
  timers.set(DELACK, 4000);
  timers.set(KEEPALIVE, 9000);
  timers.clear(DELACK);
  for (let now = 0; now <= 10_000; now += 500) wheel.advance(now);
  expect(fired.map(([kind]) => kind)).toEqual([PERSIST, RTO, KEEPALIVE]);
  expect(timers.isSet(RTO)).toBe(false);
});

test('a deadline pushed back does not fire at the earlier one', () => {
  const { wheel, timers, fired } = table();
  timers.set(RTO, 1000);
  timers.set(RTO, 8000);
  wheel.advance(5000);
  expect(fired).toEqual([]);
  wheel.advance(8200);
  expect(fired.length).toBe(1);
});

test('stop leaves the wheel at once', () => {
  const { wheel, timers, fired } = table();
  timers.set(RTO, 1000);
  timers.stop();
  expect(wheel.queued).toBe(0);
  wheel.advance(10_000);
  expect(fired).toEqual([]);
});

test('any mixture of sets and clears fires what a plain table would, never early, never more than a tick late', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (n: number): number => (entropy.int32() >>> 0) % n;
    const { wheel, timers, fired } = table();
    const model = new Array<number>(TIMER_KINDS).fill(Infinity);
    let now = 0;
    for (let step = 0; step < 300; step++) {
      const kind = pick(TIMER_KINDS);
      if (pick(3) === 0) {
        timers.clear(kind);
        model[kind] = Infinity;
      } else {
        const at = now + pick(50_000);
        timers.set(kind, at);
        model[kind] = at;
      }
      now += pick(10_000);
      fired.length = 0;
      wheel.advance(now);
      for (const [k] of fired) {
        expect(model[k], `seed ${seed}`).toBeLessThanOrEqual(now);
        model[k] = Infinity;
      }
      for (let k = 0; k < TIMER_KINDS; k++)
        expect(model[k], `seed ${seed} ${TIMER_NAMES[k]}`).toBeGreaterThan(now - 128);
    }
  }
});
