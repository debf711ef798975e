import { expect, test } from 'vitest';
import { impair } from '../../src/link/impair.ts';
import { DELAYED_ACK } from '../../src/tcp/receiver.ts';
import { MILLISECOND, SECOND } from '../../src/world.ts';
import { ACK, Dialogue, FIN, mss, PSH, sackOk, timestamps, wscale } from './raw-peer.ts';
import { connected, pattern } from './support.ts';

const modern = (server = {}): Dialogue =>
  new Dialogue({
    synOptions: [...mss(1460), ...sackOk(), ...timestamps(1, 0), ...wscale(7)],
    ackOptions: timestamps(1, 0),
    server,
  });

const ts = (): { options: number[] } => ({ options: timestamps(2, 0) });

/** Spend the acknowledgments at once a connection starts with. */
function settleDown(d: Dialogue): Dialogue {
  d.connection.quickAck = false;
  return d;
}

// ── Acknowledging ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('a lone segment is acknowledged after the delay — RFC 1122 §4.2.3.2 (S18, M40)', () => {
  const d = settleDown(new Dialogue());
  d.say({ data: pattern(0, 100) });
  d.silent();
  d.wait(DELAYED_ACK - MILLISECOND);
  d.silent();
  d.wait(2 * MILLISECOND);
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq + 100 });
  expect(DELAYED_ACK).toBeLessThan(500 * MILLISECOND);
});

test('every second full-sized segment is acknowledged at once — RFC 5681 §4.2 (S19)', () => {
  const d = settleDown(new Dialogue());
  for (let i = 0; i < 6; i++) {
    d.say({ data: pattern(i * 1460, 1460) });
    d.seq += 1460;
    const seen = d.take();
    expect(seen.length, `segment ${i}`).toBe(i % 2);
  }
});

test('segments that arrive together are acknowledged together — RFC 9293 §3.8.6.3 (M58, M59)', () => {
  const d = new Dialogue();
  const segments = Array.from({ length: 8 }, (_, i) => ({
    flags: ACK,
    seq: d.seq + i * 1000,
    ack: d.ack,
    data: pattern(i * 1000, 1000),
  }));
  d.send(...segments);
  expect(d.one().ack).toBe(d.seq + 8000);
});

test('a new connection acknowledges at once for a while, so that the peer’s slow start gets going', () => {
  const d = new Dialogue();
  for (let i = 0; i < 10; i++) {
    d.say({ data: pattern(i * 100, 100) });
    d.seq += 100;
    expect(d.take().length).toBe(1);
  }
});

test('an answer carries the acknowledgment; none is sent besides', () => {
  const d = settleDown(new Dialogue());
  d.say({ data: pattern(0, 10) });
  d.user.send(10);
  expect(d.one()).toMatchObject({ flags: 'P.', ack: d.seq + 10 });
  d.wait(SECOND / 10);
  d.silent();
});

test('every segment out of order gets a duplicate ACK of its own — RFC 5681 §4.2 (MAY-13)', () => {
  const d = settleDown(new Dialogue());
  const later = [1, 2, 3, 4].map((i) => ({
    flags: ACK,
    seq: d.seq + i * 1000,
    ack: d.ack,
    data: pattern(i * 1000, 1000),
  }));
  d.send(...later);
  expect(d.take().map((s) => s.ack)).toEqual([d.seq, d.seq, d.seq, d.seq]);
});

test('filling a gap is acknowledged at once, whole or in part — RFC 5681 §4.2', () => {
  const d = settleDown(new Dialogue());
  d.say({ seq: d.seq + 1000, data: pattern(1000, 1000) });
  d.take();
  d.say({ data: pattern(0, 500) });
  expect(d.one().ack).toBe(d.seq + 500);
  d.say({ seq: d.seq + 500, data: pattern(500, 500) });
  expect(d.one().ack).toBe(d.seq + 2000);
  expect(d.user.received).toBe(2000);
});

test('a gap that is filled in the same batch leaves no duplicate ACK that would look like loss', () => {
  const d = settleDown(new Dialogue());
  const at = (i: number) => ({ flags: ACK, seq: d.seq + i * 1000, ack: d.ack, data: pattern(i * 1000, 1000) });
  d.send(at(1), at(2), at(3), at(0));
  expect(d.take().map((s) => s.ack)).toEqual([d.seq + 4000]);
});

test('a FIN is acknowledged at once', () => {
  const d = settleDown(new Dialogue());
  d.say({ flags: FIN | ACK, data: pattern(0, 10) });
  expect(d.one().ack).toBe(d.seq + 11);
});

// ── SACK ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('SACK blocks: the one that changed last comes first, the others are repeated — RFC 2018 §4', () => {
  const d = modern();
  const at = (i: number) => d.say({ ...ts(), seq: d.seq + i * 100, data: pattern(i * 100, 100) });
  const edges = (...pairs: number[]): number[] => pairs.map((i) => d.seq + i * 100);
  at(2);
  expect(d.one().sack).toEqual(edges(2, 3));
  at(4);
  expect(d.one().sack).toEqual(edges(4, 5, 2, 3));
  at(6);
  expect(d.one().sack).toEqual(edges(6, 7, 4, 5, 2, 3));
  at(8);
  expect(d.one().sack).toEqual(edges(8, 9, 6, 7, 4, 5)); // three fit next to timestamps
  at(3);
  expect(d.one().sack).toEqual(edges(2, 5, 8, 9, 6, 7));
  at(0);
  expect(d.one().sack.slice(0, 2)).toEqual(edges(2, 5));
  at(1);
  const filled = d.one();
  expect(filled.ack).toBe(d.seq + 500);
  expect(filled.sack).toEqual(edges(8, 9, 6, 7));
});

test('four SACK blocks fit without timestamps — RFC 2018 §3', () => {
  const d = new Dialogue({ synOptions: [...mss(1460), ...sackOk()] });
  for (const i of [2, 4, 6, 8, 10]) d.say({ seq: d.seq + i * 100, data: pattern(i * 100, 100) });
  expect(d.take().at(-1)?.sack.length).toBe(8);
});

test('no SACK blocks without permission — RFC 2018 §2', () => {
  const d = new Dialogue();
  d.say({ seq: d.seq + 100, data: pattern(100, 100) });
  expect(d.one().sack).toEqual([]);
});

test('a duplicate is reported once, in the first block — RFC 2883 §4', () => {
  const d = modern();
  d.say({ ...ts(), data: pattern(0, 200) });
  d.take();
  d.say({ ...ts(), data: pattern(0, 200) });
  expect(d.one()).toMatchObject({ ack: d.seq + 200, sack: [d.seq, d.seq + 200] });
  d.say({ ...ts(), seq: d.seq + 400, data: pattern(400, 100) });
  expect(d.one().sack).toEqual([d.seq + 400, d.seq + 500]);
});

test('a duplicate of what is held out of order is reported next to the block it lies in — RFC 2883 §4.2', () => {
  const d = modern();
  d.say({ ...ts(), seq: d.seq + 400, data: pattern(400, 300) });
  d.take();
  d.say({ ...ts(), seq: d.seq + 500, data: pattern(500, 100) });
  expect(d.one().sack).toEqual([d.seq + 500, d.seq + 600, d.seq + 400, d.seq + 700]);
});

test('a segment that repeats old bytes and brings new ones reports the old — RFC 2883 §4.1', () => {
  const d = modern();
  d.say({ ...ts(), data: pattern(0, 200) });
  d.take();
  d.say({ ...ts(), seq: d.seq + 100, data: pattern(100, 200) });
  expect(d.one()).toMatchObject({ ack: d.seq + 300, sack: [d.seq + 100, d.seq + 200] });
});

// ── Windows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('the right edge never moves left, whatever is read, written or set — RFC 9293 §3.8.6 (S14)', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const d = modern({ recvBufferMax: 200_000 });
    const shift = d.synAck.windowScale;
    d.user.paused = true;
    let random = seed * 7919;
    const pick = (n: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (random >> 8) % n;
    };
    let edge = d.irs + 1 + d.synAck.window;
    let sent = 0;
    for (let step = 0; step < 200; step++) {
      const room = Math.min(1400, edge - (d.seq + sent));
      if (room > 0 && pick(3) > 0) {
        const length = 1 + pick(room);
        d.say({ ...ts(), seq: d.seq + sent, data: pattern(sent, length) });
        sent += length;
      }
      if (pick(4) === 0) d.user.drain(pick(20_000));
      if (seed > 10 && pick(20) === 0) d.connection.recvBuffer = 2000 + pick(100_000);
      d.wait(pick(60) * MILLISECOND);
      for (const s of d.take()) {
        const now = s.ack + (s.window << shift);
        // A buffer made smaller under a window still open may cost less than one unit of scale (RFC 7323 §2.4).
        const allowed = seed > 10 ? (1 << shift) - 1 : 0;
        expect(now, `seed ${seed} step ${step}`).toBeGreaterThanOrEqual(edge - allowed);
        edge = Math.max(edge, now);
      }
    }
    d.user.drain();
    expect(d.user.received).toBe(sent);
  }
});

test('a window that was closed re-opens when the reader drains, at once and by a worthwhile amount — RFC 9293 §3.8.6.2.2 (M39)', () => {
  const d = new Dialogue({ server: { recvBuffer: 8000 } });
  d.user.paused = true;
  for (let i = 0; i < 8; i++) {
    d.say({ data: pattern(i * 1000, 1000) });
    d.seq += 1000;
  }
  expect(d.take().at(-1)?.window).toBe(0);
  d.user.drain(500);
  d.wait(SECOND);
  d.silent(); // less than a segment: silly
  d.user.drain(1000);
  d.pull();
  const update = d.one();
  expect(update.window).toBeGreaterThanOrEqual(1460);
  expect(update.ack).toBe(d.seq);
});

test('a probe of our closed window is answered with where we are — RFC 9293 §3.8.6.1 (M36)', () => {
  const d = new Dialogue({ server: { recvBuffer: 2000 } });
  d.user.paused = true;
  d.say({ data: pattern(0, 1000) });
  d.say({ seq: d.seq + 1000, data: pattern(1000, 1000) });
  d.seq += 2000;
  d.take();
  for (let i = 0; i < 3; i++) {
    d.say({ data: pattern(2000, 1) });
    expect(d.one()).toMatchObject({ flags: '.', ack: d.seq, window: 0 });
  }
  expect(d.connection.readable).toBe(2000);
});

test('a closed window does not stop our own data or the ACKs of it (M66)', () => {
  const d = new Dialogue({ server: { recvBuffer: 1000 } });
  d.user.paused = true;
  d.say({ data: pattern(0, 1000) });
  d.seq += 1000;
  d.take();
  d.user.send(100);
  expect(d.one().data.length).toBe(100);
  d.say({ ack: d.ack + 100 });
  expect(d.connection.unacknowledged).toBe(0);
});

test('zero windows both ways: each end re-opens and everything arrives', () => {
  const small = { recvBuffer: 5000, sendBuffer: 20_000 };
  const { net, client, server } = connected({}, small, small);
  client.paused = true;
  server.paused = true;
  client.send(50_000);
  server.send(50_000);
  net.run(20 * SECOND);
  expect(client.connection.readable).toBe(5000);
  expect(server.connection.readable).toBe(5000);
  client.resume();
  server.resume();
  net.run(20 * SECOND, () => client.received === 50_000 && server.received === 50_000);
  expect([client.received, server.received]).toEqual([50_000, 50_000]);
});

test('a lost window update does not stop a transfer for ever: the peer probes', () => {
  let drop = false;
  const { net, client, server, b } = connected(
    { wrap: (link, side, clock) => (side === 'a' ? impair(link, clock, { pass: () => !drop }) : link) },
    {},
    { recvBuffer: 5000 },
  );
  server.paused = true;
  client.send(20_000);
  net.run(SECOND);
  drop = true;
  server.resume();
  net.run(50 * MILLISECOND);
  drop = false;
  net.run(200 * SECOND, () => server.received === 20_000);
  expect(server.received).toBe(20_000);
  expect(b.stats.tcpIllegalTransitions).toBe(0);
});

test('one-byte segments close the window in the end, however it is rounded — RFC 7323 §2.4', () => {
  const d = modern();
  d.user.paused = true;
  const shift = d.synAck.windowScale;
  expect(shift).toBe(8);
  let edge = 0;
  for (let sent = 0; sent < 72_000; sent += 8) {
    d.send(
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => ({
        ...ts(),
        flags: ACK,
        seq: d.seq + sent + i,
        ack: d.ack,
        data: pattern(sent + i, 1),
      })),
    );
    for (const s of d.take()) edge = s.ack + (s.window << shift);
    d.connection.quickAck = true; // an ACK, and so a rounding, for every batch
  }
  expect(edge - d.seq).toBeLessThanOrEqual(65_536 + 17 * 256);
});

test('a reader slower than a chunk still drains everything', () => {
  const { net, client, server } = connected({}, {}, { recvBuffer: 3000 });
  server.paused = true;
  client.send(100_000);
  let turns = 0;
  while (server.received < 100_000 && turns++ < 5000) {
    server.drain(700);
    net.run(10 * MILLISECOND);
  }
  expect(server.received).toBe(100_000);
});

test('out-of-order data up to the right edge is kept (S31)', () => {
  const d = new Dialogue({ server: { recvBuffer: 20_000 } });
  for (let i = 1; i < 20; i++) d.say({ seq: d.seq + i * 1000, data: pattern(i * 1000, 1000) });
  d.take();
  d.say({ data: pattern(0, 1000) });
  expect(d.take().at(-1)?.ack).toBe(d.seq + 20_000);
  expect(d.user.received).toBe(20_000);
});

test('the receive buffer grows with what the reader takes per round trip, and the window with it', () => {
  const { net, client, server } = connected({
    wrap: (link, side, clock) => impair(link, clock, { delay: 10 * MILLISECOND, seed: side === 'a' ? 1 : 2 }),
  });
  expect(server.connection.recvBuffer).toBe(65_536);
  client.send(10_000_000);
  net.run(20 * SECOND, () => server.received === 10_000_000);
  expect(server.received).toBe(10_000_000);
  expect(server.connection.recvBuffer).toBeGreaterThan(500_000);
});

test('a reader that does not read does not make the buffer grow', () => {
  const { net, client, server, b } = connected();
  server.paused = true;
  client.send(10_000_000);
  net.run(5 * SECOND);
  expect(server.connection.recvBuffer).toBe(65_536);
  expect(server.connection.readable).toBeLessThanOrEqual(65_536 + 17 * 256);
  expect(server.connection.receiver.ring.capacity).toBeLessThanOrEqual(131_072);
  expect(b.stats.tcpRcvPruned).toBe(0);
});

test('when memory is spent, data is dropped and counted, and arrives when there is memory again', () => {
  const { net, client, server, b } = connected();
  const { memory } = b;
  const { budget } = memory;
  memory.budget = memory.used;
  client.send(50_000);
  net.run(SECOND);
  expect(server.received).toBe(0);
  expect(b.stats.tcpRcvPruned).toBeGreaterThan(0);
  memory.budget = budget;
  net.run(60 * SECOND, () => server.received === 50_000);
  expect(server.received).toBe(50_000);
});

test('an idle connection owns no buffers', () => {
  const { net, client, server, a, b, baseline } = connected();
  client.send(100_000);
  server.send(100_000);
  net.run(5 * SECOND);
  expect(client.received + server.received).toBe(200_000);
  expect(a.memory.used).toBe(baseline);
  expect(b.memory.used).toBe(baseline);
});

test('super-segments count as the segments they are: two at least are acknowledged at once', () => {
  const { net, client, server, b } = connected();
  server.connection.quickAck = false;
  const before = b.stats.tcpOutSegs;
  client.send(2 * 1448);
  net.run(1);
  expect(b.stats.tcpOutSegs - before).toBe(1);
});

test('sequence numbers and reads wrap past 2^32 without anybody noticing', () => {
  for (const irs of [0xffffff00, 0x7fffff00]) {
    const d = new Dialogue({ seq: irs });
    let sent = 0;
    while (sent < 3000) {
      d.say({ flags: ACK | PSH, data: pattern(sent, 700) });
      sent += 700;
      d.seq = (d.seq + 700) >>> 0;
      expect(d.take().at(-1)?.ack ?? d.seq).toBe(d.seq);
    }
    expect(d.user.received).toBe(sent);
  }
});
