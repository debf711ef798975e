// Path MTU: what routers say, and what paths swallow without a word — RFC 1191, RFC 5927 §7, RFC 4821, RFC 8899.

import { describe, expect, test } from 'vitest';
import { ImpairLink } from '../../src/link/impair.ts';
import { lower } from '../../src/link/lower.ts';
import { MtuProbe } from '../../src/tcp/mtu-probe.ts';
import type { ConnectionOptions } from '../../src/tcp/options.ts';
import { connected, type Pair } from './support.ts';

const ETHERNET = 14;
const MB = 1_000_000;
/** Enough to measure the path by. */
const WARM = 100_000;

/** A connection over a path that swallows packets of more than `limit()` bytes, once it is open. */
function blackHole(limit: () => number, client: ConnectionOptions = {}): Pair {
  return connected(
    {
      offload: 0,
      wrap: (link, _side, clock, memory) => {
        const pass = (frame: Uint8Array): boolean => frame.length - ETHERNET <= limit();
        const slow = new ImpairLink(link, clock, { delay: 5_000, pass });
        return Object.assign(lower(slow, memory), { nextDeadline: () => slow.nextDeadline() });
      },
    },
    { sendBuffer: 65_536, ...client }, // many round trips for little
  );
}

function transfer(pair: Pair, bytes: number, within = 120_000_000): number {
  const begin = pair.net.clock.now;
  const goal = pair.server.received + bytes;
  pair.client.send(bytes);
  pair.net.run(within, () => pair.server.received >= goal);
  expect(pair.server.received).toBeGreaterThanOrEqual(goal);
  return pair.net.clock.now - begin;
}

describe('the search', () => {
  const search = (path: number, ceiling = 1448): { sizes: number[]; probe: MtuProbe } => {
    const probe = new MtuProbe();
    probe.ceiling = ceiling;
    const sizes: number[] = [];
    for (let mss = ceiling; mss > path; mss = probe.limit) if (!probe.onBlackHole(mss)) break;
    for (let size = probe.wanted(0); size > 0; size = probe.wanted(0)) {
      sizes.push(size);
      probe.onSent(0, size, size);
      if (size <= path) probe.onArrived();
      else probe.onLost();
      expect(sizes.length).toBeLessThan(20);
    }
    return { sizes, probe };
  };

  test('drops to 1024, then to 512, and no lower (RFC 4821 §7.7)', () => {
    const probe = new MtuProbe();
    probe.ceiling = 1448;
    expect(probe.onBlackHole(1448)).toBe(true);
    expect(probe.limit).toBe(1024);
    expect(probe.onBlackHole(1024)).toBe(true);
    expect(probe.limit).toBe(512);
    expect(probe.onBlackHole(512)).toBe(false);
  });

  test('tries the ceiling first: it may have been an outage (RFC 8899 §5.3.2)', () => {
    const { sizes, probe } = search(1448);
    expect(sizes).toEqual([]);
    probe.onBlackHole(1448);
    expect(probe.wanted(0)).toBe(1448);
    probe.onSent(0, 1448, 1448);
    expect(probe.wanted(0)).toBe(0);
    probe.onArrived();
    expect(probe.limit).toBe(Infinity);
  });

  test('finds every size to within 8 bytes, in at most nine probes (RFC 4821 §7.3)', () => {
    for (let path = 512; path < 1448; path += 7) {
      const { sizes, probe } = search(path);
      expect(probe.limit).toBeLessThanOrEqual(path);
      expect(probe.limit).toBeGreaterThan(path - 9);
      expect(sizes.length).toBeLessThanOrEqual(9);
    }
  });

  test('tries again after ten minutes (RFC 4821 §7.7, RFC 8899 §5.1.1)', () => {
    const { probe } = search(1000);
    expect(probe.wanted(599_000_000)).toBe(0);
    expect(probe.wanted(601_000_000)).toBe(1448);
  });
});

describe('a black hole', () => {
  test('is got around: after three timeouts of full-sized segments smaller ones go (RFC 4821 §7.7)', () => {
    let limit = 1500;
    const pair = blackHole(() => limit);
    transfer(pair, WARM);
    limit = 1280;
    const micros = transfer(pair, MB);
    const { mss } = pair.client.connection.info();
    // 40 bytes of headers, 12 of timestamps.
    expect(mss).toBeLessThanOrEqual(1280 - 52);
    expect(mss).toBeGreaterThan(1280 - 52 - 9);
    expect(micros).toBeLessThan(10_000_000);
    expect(pair.a.stats.tcpMtupSuccess).toBeGreaterThan(0);
    expect(pair.a.stats.tcpMtupFail).toBeGreaterThan(0);
  });

  test('of less than 1100 bytes is got around in one step more (RFC 4821 §7.7)', () => {
    let limit = 1500;
    const pair = blackHole(() => limit);
    transfer(pair, WARM);
    limit = 600;
    transfer(pair, MB);
    expect(pair.client.connection.info().mss).toBeGreaterThan(600 - 52 - 9);
  });

  test('a probe that gets lost costs no cwnd (RFC 4821 §7.6.2)', () => {
    let limit = 1500;
    const pair = blackHole(() => limit);
    transfer(pair, WARM);
    limit = 1280;
    // Past the timeouts, in the middle of the search.
    pair.client.send(2 * MB);
    pair.net.run(60_000_000, () => pair.a.stats.tcpMtupFail === 1);
    const { ssthresh } = pair.client.connection.info();
    const { tcpTimeouts } = pair.a.stats;
    pair.net.run(120_000_000, () => pair.server.received === WARM + 2 * MB);
    expect(pair.a.stats.tcpMtupFail).toBeGreaterThan(2);
    expect(pair.a.stats.tcpTimeouts).toBe(tcpTimeouts);
    expect(pair.client.connection.info().ssthresh).toBe(ssthresh);
  });

  test('an outage is none: the old MSS is back soon after (RFC 8899 §5.3.2)', () => {
    let limit = 1500;
    const pair = blackHole(() => limit);
    transfer(pair, WARM);
    const { mss } = pair.client.connection.info();
    limit = 0;
    pair.client.send(MB);
    pair.net.run(3_000_000);
    limit = 1500;
    transfer(pair, MB);
    expect(pair.client.connection.info().mss).toBe(mss);
    expect(pair.a.stats.tcpMtupFail).toBe(0);
  });

  test('small segments that time out are no sign of one', () => {
    let limit = 1500;
    const pair = blackHole(() => limit);
    limit = 0;
    pair.client.send(100);
    pair.net.run(10_000_000);
    expect(pair.client.connection.info().mss).toBe(1448);
  });

  test('mtuProbing false leaves the MSS alone', () => {
    let limit = 1500;
    const pair = blackHole(() => limit, { mtuProbing: false });
    limit = 1280;
    pair.client.send(MB);
    pair.net.run(20_000_000);
    expect(pair.client.connection.info().mss).toBe(1448);
    expect(pair.server.received).toBe(0);
  });
});
