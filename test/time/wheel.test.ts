import { expect, test } from 'vitest';
import { Timer, TimerWheel } from '../../src/time/wheel.ts';
import { holds, same } from '../support/check.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

class Recorder extends Timer {
  readonly fired: number[] = [];
  onTimer(now: number): void {
    this.fired.push(now);
  }
}

const picker = (seed: number) => {
  const entropy = new SeededEntropy(seed);
  return (below: number): number => Math.floor(((entropy.int32() >>> 0) / 2 ** 32) * below);
};

test('every timer fires exactly when a plain list of deadlines says, through any arming, moving, cancelling and waiting', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const pick = picker(seed);
    let now = pick(1_000_000_000);
    const wheel = new TimerWheel(now);
    const timers = Array.from({ length: 20 }, () => new Recorder());
    const model = timers.map(() => Infinity);
    for (let step = 0; step < 300; step++) {
      const i = pick(timers.length);
      const spread = 10 ** (1 + pick(10)); // from µs to hours
      switch (pick(4)) {
        case 0:
          wheel.cancel(timers[i]);
          model[i] = Infinity;
          break;
        case 1:
          wheel.remove(timers[i]);
          model[i] = Infinity;
          break;
        default:
          model[i] = now + pick(spread);
          wheel.arm(timers[i], model[i]);
      }
      if (pick(3) === 0) {
        now += pick(10 ** (1 + pick(9)));
        for (const timer of timers) timer.fired.length = 0;
        wheel.advance(now);
        for (let k = 0; k < timers.length; k++) {
          const due = model[k] <= now;
          same(timers[k].fired.join(), due ? `${now}` : '', () => `seed ${seed} step ${step} timer ${k}`);
          if (due) model[k] = Infinity;
        }
      }
      // The wheel may name an earlier time (a lazily moved timer's old slot), never a later one.
      const earliest = Math.min(...model);
      holds(wheel.nextDeadline() <= earliest, () => `seed ${seed} step ${step}: the wheel oversleeps`);
    }
  }
});

test('going to sleep until nextDeadline() again and again reaches every timer, in few steps', () => {
  const wheel = new TimerWheel(0);
  const timer = new Recorder();
  for (const deadline of [1, 127, 128, 8191, 8192, 1_000_000, 3_600_000_000, 86_400_000_000]) {
    timer.fired.length = 0;
    const other = new TimerWheel(0);
    other.arm(timer, deadline);
    let steps = 0;
    let now = 0;
    while (timer.fired.length === 0 && steps++ < 100) {
      now = Math.max(now, other.nextDeadline());
      other.advance(now);
    }
    expect(timer.fired, `${deadline}`).toEqual([deadline]);
    expect(steps, `${deadline}`).toBeLessThan(10);
  }
  expect(wheel.nextDeadline()).toBe(Infinity);
});

test('a timer pushed back by every event costs no slot move, and fires at its last deadline', () => {
  const wheel = new TimerWheel(0);
  const timer = new Recorder();
  for (let now = 0; now < 1_000_000; now += 1000) {
    wheel.advance(now);
    wheel.arm(timer, now + 200_000);
    expect(wheel.queued).toBe(1);
  }
  wheel.advance(1_198_999);
  expect(timer.fired).toEqual([]);
  wheel.advance(1_199_000);
  expect(timer.fired).toEqual([1_199_000]);
});

test('timers of one batch fire in order of deadline, and may arm and disarm each other meanwhile', () => {
  const order: string[] = [];
  const wheel = new TimerWheel(0);
  class Named extends Timer {
    readonly act: () => void;
    constructor(act: () => void) {
      super();
      this.act = act;
    }
    onTimer(): void {
      this.act();
    }
  }
  const late = new Named(() => order.push('late'));
  const again = new Named(() => {
    order.push('again');
    if (order.length < 10) wheel.arm(again, 50);
  });
  const first = new Named(() => {
    order.push('first');
    wheel.remove(victim);
    wheel.arm(late, 5_000);
  });
  const victim = new Named(() => order.push('victim'));
  wheel.arm(victim, 30);
  wheel.arm(late, 20);
  wheel.arm(first, 10);
  wheel.advance(100);
  expect(order).toEqual(['first']);
  wheel.advance(5_000);
  expect(order).toEqual(['first', 'late']);
  wheel.arm(again, 5_001);
  wheel.advance(5_200);
  expect(order.filter((name) => name === 'again').length).toBeGreaterThan(1);
  expect(wheel.queued).toBeLessThanOrEqual(1);
});
