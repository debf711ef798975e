import { expect, test } from 'vitest';
import { SECOND } from '../../src/world.ts';
import { ACK, Dialogue, FIN, mss, PSH, RST, SYN, sack, sackOk, timestamps, URG, wscale } from './raw-peer.ts';
import { pattern } from './support.ts';

const withTimestamps = (): Dialogue =>
  new Dialogue({ synOptions: [...mss(1460), ...timestamps(1000, 0)], ackOptions: timestamps(1001, 0) });

// ── First, check sequence number ─────────────────────────────────────────────────────────────────────────────────────────

test('the sequence check accepts what touches the window and answers the rest with an ACK — RFC 9293 §3.10.7.4, table 6', () => {
  // [offset from RCV.NXT, length, acceptable?] with a window of 65,535.
  const cases: [number, number, boolean][] = [
    [0, 0, true],
    [0, 1, true],
    [100, 0, true],
    [65_535, 0, true], // on the right edge: a peer that has filled our window acknowledges from there
    [65_536, 0, false],
    [-1, 0, false],
    [-10, 10, false],
    [-10, 11, true],
    [65_534, 1, true],
    [65_535, 1, false],
    [1_000_000, 10, false],
    [-1_000_000, 10, false],
  ];
  for (const irs of [1000, 0xfffffff0, 0x7ffffff0]) {
    for (const [offset, length, isAcceptable] of cases) {
      const d = new Dialogue({ seq: irs });
      d.user.paused = true;
      const dropped = d.stack.stats.dropTcpUnacceptable;
      d.say({ seq: d.seq + offset, data: new Uint8Array(length) });
      const message = `irs ${irs}, ${offset}+${length}`;
      expect(d.stack.stats.dropTcpUnacceptable - dropped, message).toBe(isAcceptable ? 0 : 1);
      if (!isAcceptable) expect(d.one(), message).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
    }
  }
});

test('old and new bytes in one segment: the old are dropped, the new are taken, once', () => {
  const d = new Dialogue();
  d.say({ data: pattern(0, 100) });
  d.seq += 100;
  d.say({ seq: d.seq - 60, data: pattern(40, 160) });
  expect(d.take().at(-1)?.ack).toBe(d.seq + 100);
  expect(d.user.received).toBe(200);
});

test('bytes beyond the right edge are dropped, those within are taken', () => {
  const d = new Dialogue({ server: { recvBuffer: 1000 } });
  expect(d.synAck.window).toBe(1000);
  d.user.paused = true;
  d.say({ data: pattern(0, 1400) });
  expect(d.take().at(-1)).toMatchObject({ ack: d.seq + 1000, window: 0 });
  expect(d.connection.readable).toBe(1000);
});

test('two ends that find each other’s ACKs unacceptable do not answer for ever', () => {
  const d = new Dialogue();
  for (let i = 0; i < 20; i++) d.say({ seq: d.seq + 1_000_000 });
  expect(d.take().length).toBe(1);
  d.wait(SECOND);
  d.say({ seq: d.seq + 1_000_000 });
  expect(d.take().length).toBe(1);
});

// ── PAWS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('PAWS: a segment whose timestamp is from the past is answered and dropped — RFC 7323 §5.3', () => {
  const d = withTimestamps();
  d.say({ data: pattern(0, 10), options: timestamps(2000, 0) });
  d.take();
  d.seq += 10;
  d.say({ data: 'wrapped', options: timestamps(1500, 0) });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq, tsEcr: 2000 });
  expect(d.stack.stats.tcpPawsEstab).toBe(1);
  expect(d.user.received).toBe(10);
});

test('PAWS: timestamps compare modulo 2^32 — RFC 7323 §5.2', () => {
  const d = new Dialogue({
    synOptions: [...mss(1460), ...timestamps(0xfffffff0, 0)],
    ackOptions: timestamps(0xfffffff5, 0),
  });
  d.say({ data: pattern(0, 10), options: timestamps(5, 0) });
  expect(d.one()).toMatchObject({ ack: d.seq + 10, tsEcr: 5 });
  expect(d.user.received).toBe(10);
});

test('PAWS: after 24 idle days the old timestamp proves nothing — RFC 7323 §5.5', () => {
  const d = withTimestamps();
  d.say({ data: pattern(0, 10), options: timestamps(2000, 0) });
  d.take();
  d.seq += 10;
  d.wait(25 * 86_400 * SECOND);
  d.say({ data: pattern(10, 10), options: timestamps(1500, 0) });
  expect(d.take().at(-1)).toMatchObject({ ack: d.seq + 10, tsEcr: 1500 });
  expect(d.user.received).toBe(20);
});

test('PAWS does not apply to resets — RFC 7323 §5.3 R1', () => {
  const d = withTimestamps();
  d.say({ data: pattern(0, 10), options: timestamps(2000, 0) });
  d.take();
  d.seq += 10;
  d.say({ flags: RST, options: timestamps(1, 0) });
  expect(d.user.closed).toBe(true);
});

test('TS.Recent is taken from the segment that covers Last.ACK.sent, not from one out of order — RFC 7323 §4.3', () => {
  const d = withTimestamps();
  d.say({ seq: d.seq + 100, data: pattern(100, 100), options: timestamps(3000, 0) });
  expect(d.one().tsEcr).toBe(1001);
  d.say({ data: pattern(0, 100), options: timestamps(2500, 0) });
  expect(d.one()).toMatchObject({ ack: d.seq + 200, tsEcr: 2500 });
});

test('every segment of a connection with timestamps carries them, and TSval never runs backwards — RFC 7323 §3.2', () => {
  const d = withTimestamps();
  let before = d.synAck.tsVal;
  for (let i = 0; i < 10; i++) {
    d.wait(50_000);
    d.user.send(10);
    for (const s of d.take()) {
      expect(s.hasTimestamp).toBe(true);
      expect((s.tsVal - before) | 0).toBeGreaterThanOrEqual(0);
      before = s.tsVal;
    }
  }
});

// ── Second, check the RST bit ────────────────────────────────────────────────────────────────────────────────────────────

test('a reset in the window but not at RCV.NXT gets a challenge ACK, one outside nothing — RFC 5961 §3.2', () => {
  const d = new Dialogue();
  d.say({ flags: RST, seq: d.seq + 1 });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  expect(d.stack.stats.tcpChallengeAck).toBe(1);
  d.say({ flags: RST, seq: d.seq - 1 });
  d.say({ flags: RST, seq: d.seq + 70_000 });
  d.silent();
  expect(d.state).toBe('ESTABLISHED');
});

test('challenge ACKs are limited per connection — RFC 5961 §7', () => {
  const d = new Dialogue();
  for (let i = 1; i < 30; i++) d.say({ flags: RST, seq: d.seq + i });
  expect(d.take().length).toBe(1);
  d.wait(SECOND);
  d.say({ flags: RST, seq: d.seq + 5 });
  expect(d.take().length).toBe(1);
});

test('a reset is believed while our window is closed (M66)', () => {
  const d = new Dialogue({ server: { recvBuffer: 1000 } });
  d.user.paused = true;
  d.say({ data: pattern(0, 1000) });
  d.seq += 1000;
  expect(d.take().at(-1)?.window).toBe(0);
  d.say({ flags: RST });
  expect(d.user.closed).toBe(true);
});

// ── Fourth, check the SYN bit ────────────────────────────────────────────────────────────────────────────────────────────

test('a SYN on a synchronized connection gets a challenge ACK, wherever it points — RFC 5961 §4.2', () => {
  for (const offset of [0, 10, -1]) {
    const d = new Dialogue();
    d.say({ flags: SYN, seq: d.seq + offset });
    expect(d.one(), `${offset}`).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
    expect(d.state).toBe('ESTABLISHED');
  }
});

test('a peer that restarted learns of it from our ACK and resets us', () => {
  const d = new Dialogue();
  d.say({ flags: SYN, seq: 123_456, ack: 0 });
  const challenge = d.one();
  expect(challenge).toMatchObject({ flags: '.', ack: d.seq });
  d.say({ flags: RST, seq: challenge.ack });
  expect(d.user.closed).toBe(true);
});

// ── Fifth, check the ACK field ───────────────────────────────────────────────────────────────────────────────────────────

test('a segment without ACK is dropped — RFC 9293 §3.10.7.4, fifth', () => {
  const d = new Dialogue();
  d.say({ flags: PSH, data: 'x' });
  d.silent();
  expect(d.connection.readable).toBe(0);
});

test('an ACK of what was not sent is answered and dropped, its data too — RFC 9293 §3.10.7.4, fifth', () => {
  const d = new Dialogue();
  d.say({ ack: d.ack + 1, data: 'forged' });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  expect(d.connection.readable).toBe(0);
});

test('an ACK from too far back is a guess: challenged, and its data dropped — RFC 5961 §5.2', () => {
  const d = new Dialogue({ window: 1000 });
  d.user.paused = true;
  d.say({ ack: d.ack - 1001, window: 1000, data: 'inject' });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  expect(d.connection.readable).toBe(0);
  expect(d.stack.stats.tcpChallengeAck).toBe(1);
  d.say({ ack: d.ack - 1000, window: 1000, data: 'recent' });
  expect(d.connection.readable).toBe(6);
});

test('a window-only ACK resumes output', () => {
  const d = new Dialogue({ window: 1000 });
  d.user.send(3000);
  const first = d.take();
  expect(first.reduce((sum, s) => sum + s.data.length, 0)).toBeLessThanOrEqual(1000);
  const sent = d.connection.sender.sndNxt >>> 0;
  d.say({ ack: sent, window: 0 });
  d.silent();
  d.say({ ack: sent, window: 5000 });
  expect(d.take().reduce((sum, s) => sum + s.data.length, 0)).toBe(3000 - (sent - d.ack));
});

test('an ACK that carries data is no duplicate ACK, however many there are', () => {
  const d = new Dialogue();
  d.user.send(5000);
  d.take();
  for (let i = 0; i < 10; i++) {
    d.say({ data: pattern(i * 10, 10) });
    d.seq += 10;
  }
  expect(d.take().filter((s) => s.data.length > 0)).toEqual([]);
  expect(d.stack.stats.tcpRetransSegs).toBe(0);
});

test('SACK blocks outside what is in flight do no harm', () => {
  const d = new Dialogue({ synOptions: [...mss(1460), ...sackOk()] });
  d.user.send(10_000);
  d.take();
  d.say({ options: sack(d.ack + 50_000, d.ack + 60_000, d.ack - 500, d.ack - 10, d.ack + 10, d.ack + 5) });
  d.say({ ack: d.ack + 10_000 });
  expect(d.connection.unacknowledged).toBe(0);
});

// ── Sixth, check the URG bit ─────────────────────────────────────────────────────────────────────────────────────────────

test('urgent data stays in the stream, and the user can ask how much of it is left — RFC 9293 §3.8.5 (M30–M33, M62)', () => {
  const d = new Dialogue();
  d.user.paused = true;
  d.say({ flags: ACK | URG | PSH, urgent: 5, data: pattern(0, 20) });
  expect(d.connection.urgent).toBe(5);
  d.user.drain(3);
  expect(d.connection.urgent).toBe(2);
  d.user.drain(3);
  expect(d.connection.urgent).toBe(0);
  d.user.drain();
  expect(d.user.received).toBe(20);
});

test('an urgent pointer beyond the data announces what is still to come, of any length (M31)', () => {
  const d = new Dialogue();
  d.user.paused = true;
  const heard: number[] = [];
  d.connection.owner = { onEvents: (events) => heard.push(events) };
  d.say({ flags: ACK | URG, urgent: 40_000 });
  expect(d.connection.urgent).toBe(40_000);
  expect(heard.length).toBe(1); // M32: asynchronous notice
  d.say({ flags: ACK | URG, urgent: 30_000 });
  expect(d.connection.urgent).toBe(40_000);
});

test('an urgent pointer is heard while our window is closed (M66)', () => {
  const d = new Dialogue({ server: { recvBuffer: 1000 } });
  d.user.paused = true;
  d.say({ data: pattern(0, 1000) });
  d.seq += 1000;
  d.say({ flags: ACK | URG, urgent: 9, data: pattern(1000, 1) });
  expect(d.connection.urgent).toBe(1009);
});

// ── Odds and ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('Christmas-tree segments in every state neither throw nor make an illegal transition', () => {
  // URG, PSH and the rest change nothing about states: vary FIN, SYN, RST, ACK fully, those once.
  const flags = [...Array.from({ length: 8 }, (_, i) => [i, i | ACK]).flat(), 0x3f, 0xff, 0x29, 0x39];
  const prepare: ((d: Dialogue) => void)[] = [
    () => {},
    (d) => d.connection.end(),
    (d) => {
      d.connection.end();
      d.take();
      d.say({ ack: d.ack + 1 });
    },
    (d) => {
      d.connection.end();
      d.take();
      d.say({ flags: FIN | ACK });
    },
    (d) => d.say({ flags: FIN | ACK }),
    (d) => {
      d.say({ flags: FIN | ACK });
      d.connection.end();
    },
    (d) => {
      d.connection.end();
      d.take();
      d.say({ flags: FIN | ACK, ack: d.ack + 1 });
    },
  ];
  for (const step of prepare) {
    for (const bits of flags) {
      for (const offset of [-1, 0]) {
        const d = new Dialogue();
        d.user.paused = true;
        step(d);
        d.take();
        d.say({ flags: bits, seq: d.seq + offset, ack: d.ack + offset, urgent: 3, data: bits & 8 ? 'xy' : undefined });
        d.take();
        expect(d.stack.stats.tcpIllegalTransitions, `${d.state} ${bits} ${offset}`).toBe(0);
      }
    }
  }
});

test('scaled windows are read with the peer’s scale (M1, REC-1)', () => {
  const d = new Dialogue({ synOptions: [...mss(1460), ...wscale(3)], window: 1000 });
  d.say({ window: 2000 });
  expect(d.connection.sender.sndWnd).toBe(16_000);
});
