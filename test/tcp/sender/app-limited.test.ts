// When the application, not the network, sets the pace — RFC 7661, RFC 9438 §5.8, draft-cheng-iccrg-delivery-rate-estimation.

import { expect, test } from 'vitest';
import { Model, MS } from './model.ts';

test.each(['cubic', 'reno'])(
  '%s: cwnd does not grow while the application writes less than it allows (RFC 7661 §4.3, RFC 9438 §5.8)',
  (name) => {
    const m = new Model({ sender: { congestion: name, idleRestart: false } });
    const { cwnd } = m.sender.congestion;
    for (let i = 0; i < 50; i++) {
      m.write(2000);
      m.run(() => m.done);
    }
    expect(m.sender.congestion.cwnd).toBe(cwnd);
    // The same bytes at once use it, and it grows.
    m.write(100_000);
    m.run(() => m.done);
    expect(m.sender.congestion.cwnd).toBeGreaterThan(2 * cwnd);
  },
);

test('a rate sampled while the application had nothing to send says so, and one at full speed does not', () => {
  const m = new Model({ rate: 1_000_000, queue: 100_000 });
  for (let i = 0; i < 2; i++) {
    m.write(1000);
    m.run(() => m.done);
  }
  expect(m.sender.rate.sampleAppLimited).toBe(true);
  m.write(2_000_000);
  m.run(() => m.received > 1_500_000);
  expect(m.sender.rate.sampleAppLimited).toBe(false);
  // Bytes per second of payload over a link that carries 1 MB/s, headers included.
  expect(m.sender.rate.rate).toBeGreaterThan(850_000);
  expect(m.sender.rate.rate).toBeLessThan(1_050_000);
});

test('after ten idle seconds no more than the initial window leaves at once (RFC 5681 §4.1)', () => {
  const m = new Model({ sender: { pacing: 'off' }, delay: 20 * MS });
  m.write(1_000_000);
  m.run(() => m.done);
  expect(m.sender.congestion.cwnd).toBeGreaterThan(100_000);
  m.now += 10_000_000;
  const before = m.pieces.length;
  const { now } = m;
  m.write(500_000);
  const burst = m.pieces.slice(before).filter((piece) => piece.at === now);
  expect(burst.length).toBe(10);
});
