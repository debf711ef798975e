// RFC 6298, RFC 7323 §4.

import { expect, test } from 'vitest';
import { Rtt } from '../../../src/tcp/rtt.ts';
import { SECOND } from '../../../src/world.ts';
import { MS } from './model.ts';

const fresh = (minRto = 200 * MS): Rtt => new Rtt({ initialRto: SECOND, minRto, maxRto: 120 * SECOND });

test('RTO is one second before the first sample (RFC 6298 §2.1)', () => {
  expect(fresh().rto).toBe(SECOND);
});

test('the first sample sets SRTT and RTTVAR (RFC 6298 §2.2)', () => {
  const rtt = fresh();
  rtt.sample(400 * MS, true);
  expect([rtt.srtt, rtt.rttvar, rtt.rto]).toEqual([400 * MS, 200 * MS, 1_200 * MS]);
});

test('a steady RTT brings the RTO down to SRTT and the minimum, never to the RTT itself (RFC 6298 §2.4)', () => {
  for (const minRto of [200 * MS, SECOND]) {
    const rtt = fresh(minRto);
    for (let i = 0; i < 200; i++) rtt.sample(100 * MS, true);
    expect(rtt.rto).toBeCloseTo(100 * MS + minRto, -3);
  }
});

test('many samples per round do not make the variance forget a spike within it (RFC 7323 §4.2)', () => {
  const rtt = fresh(1);
  for (let i = 0; i < 1_000; i++) rtt.sample(100 * MS, i % 100 === 0);
  rtt.sample(300 * MS, false);
  const after = rtt.rto;
  for (let i = 0; i < 90; i++) rtt.sample(100 * MS, false);
  expect(rtt.rto).toBeGreaterThan(after * 0.8);
});

test('a falling RTT does not lengthen the RTO (Linux)', () => {
  const rtt = fresh();
  for (let i = 0; i < 100; i++) rtt.sample(500 * MS, true);
  const before = rtt.rto;
  rtt.sample(50 * MS, false);
  expect(rtt.rto).toBeLessThan(before);
});

test('a clock too coarse to see the RTT still gives a timer that is not zero', () => {
  const rtt = fresh();
  rtt.sample(0, true);
  rtt.sampleMin(0, 0);
  expect(rtt.hasSample).toBe(true);
  expect(rtt.rto).toBeGreaterThanOrEqual(200 * MS);
  expect(rtt.min).toBeGreaterThan(0);
});

test('back-off doubles up to the maximum, which is at least 60 s (RFC 6298 §5.5, §2.5)', () => {
  const rtt = fresh();
  const seen: number[] = [];
  for (rtt.backoff = 0; rtt.backoff < 12; rtt.backoff++) seen.push(rtt.backedOff / SECOND);
  expect(seen).toEqual([1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120]);
});

test('the minimum expires after five minutes, and the best since takes its place', () => {
  const rtt = fresh();
  rtt.sampleMin(10 * MS, 0);
  for (let t = 1; t <= 299; t++) rtt.sampleMin(t === 200 ? 30 * MS : 50 * MS, t * SECOND);
  expect(rtt.min).toBe(10 * MS);
  rtt.sampleMin(50 * MS, 302 * SECOND);
  expect(rtt.min).toBe(30 * MS);
});
