import { expect, test } from 'vitest';
import type { ImpairOptions } from '../../src/link/impair.ts';
import { impair } from '../../src/link/impair.ts';
import { SECOND } from '../../src/world.ts';
import { connected, expectNothingLeft } from './support.ts';

test('a transfer arrives whole, both ways at once, over super-segments', () => {
  const { net, client, server, a, b, baseline } = connected();
  client.send(3_000_000, true);
  server.send(2_000_000, true);
  net.run(10 * SECOND, () => client.closed && server.closed);
  expect(server.received).toBe(3_000_000);
  expect(client.received).toBe(2_000_000);
  expect(client.error).toBe(0);
  expect(server.error).toBe(0);
  expect(a.stats.tcpRetransSegs + b.stats.tcpRetransSegs).toBe(0);
  net.run(130 * SECOND);
  expectNothingLeft(a, baseline);
  expectNothingLeft(b, baseline);
});

const NETWORKS: [string, ImpairOptions][] = [
  ['a clean path', { delay: 5000 }],
  ['5 % loss', { delay: 5000, loss: 0.05 }],
  ['duplication', { delay: 5000, duplicate: 0.1 }],
  ['reordering', { delay: 5000, reorder: 0.1, reorderBy: 3000 }],
  ['corruption', { delay: 5000, corrupt: 0.03 }],
  ['bursts', { delay: 5000, burst: { begin: 0.01, end: 0.3 } }],
  ['all of it', { delay: 5000, jitter: 2000, loss: 0.03, duplicate: 0.03, reorder: 0.05, corrupt: 0.01 }],
];

for (const [name, options] of NETWORKS) {
  test(`every byte arrives exactly once and in order over ${name}, and nothing is left afterwards`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { net, client, server, a, b, baseline } = connected({
        seed,
        offload: 0,
        wrap: (link, side, clock) => impair(link, clock, { ...options, seed: seed * 2 + (side === 'a' ? 0 : 1) }),
      });
      client.send(300_000, true);
      server.send(200_000, true);
      net.run(1200 * SECOND, () => client.closed && server.closed);
      const message = `seed ${seed}, ${client.state} ${server.state} at ${net.clock.now / SECOND} s`;
      expect(client.error, message).toBe(0);
      expect(server.error, message).toBe(0);
      expect(server.received, message).toBe(300_000);
      expect(client.received, message).toBe(200_000);
      net.run(1000 * SECOND);
      expectNothingLeft(a, baseline);
      expectNothingLeft(b, baseline);
    }
  });
}
