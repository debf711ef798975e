import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import type { Cell, Result } from '../../bench/sim/cell.ts';
import { fairness, long, nameOf, short } from '../../bench/sim/cell.ts';

interface Golden {
  readonly long: Record<string, Result>;
  readonly short: Record<string, Result>;
  readonly fairness: Record<string, number>;
}

const golden = JSON.parse(readFileSync(new URL('../../bench/sim/golden.json', import.meta.url), 'utf8')) as Golden;

// What `make bench-sim` prints in full. Here only a loss of speed fails, not a change: improvements are welcome, and then a new golden copy.
const MEGA = 1e6;
const CELLS: Cell[] = [
  { congestion: 'cubic', loss: 0, rtt: 50, rate: 10 * MEGA },
  { congestion: 'cubic', loss: 0.001, rtt: 100, rate: 10 * MEGA },
  { congestion: 'cubic', loss: 0.01, rtt: 50, rate: 10 * MEGA },
  { congestion: 'cubic', loss: 0.03, rtt: 1, rate: 100 * MEGA },
  { congestion: 'reno', loss: 0.001, rtt: 50, rate: 10 * MEGA },
  { congestion: 'reno', loss: 0.01, rtt: 10, rate: 100 * MEGA },
  { congestion: 'bbr', loss: 0.01, rtt: 50, rate: 10 * MEGA },
  { congestion: 'bbr', loss: 0.03, rtt: 10, rate: 100 * MEGA },
];
/** Random losses fall on other segments when anything changes; more than that is worse. */
const LEAST = 0.8;

vi.setConfig({ testTimeout: 60_000 });

test.each(CELLS.map((cell) => [nameOf(cell), cell] as const))('%s is as fast as its golden copy', (name, cell) => {
  const was = golden.long[name];
  const is = long(cell);
  expect(is.goodput).toBeGreaterThan(was.goodput * LEAST);
  expect(is.retransmitted).toBeLessThan(was.retransmitted * 1.5 + 20);
  const short64K = short(cell);
  expect(short64K.completion).toBeLessThan(golden.short[name].completion / LEAST);
});

test('the same cell gives the same figures every time', () => {
  expect(long(CELLS[2])).toEqual(long(CELLS[2]));
});

test.each(['cubic', 'reno', 'bbr'])(
  'four flows of %s share a link fairly (Jain index of at least 0.9)',
  (congestion) => {
    expect(fairness(congestion, 4)).toBeGreaterThan(0.9);
  },
);
