// What may go, and when — RFC 9293 §3.7.4, §3.8.6; RFC 1122 §4.2.3.4.

import { expect, test } from 'vitest';
import {
  ACK_DRAINED,
  ACK_FIN,
  ACK_NEW,
  ACK_SYN,
  ACK_WRITABLE,
  Sender,
  TIMEOUT_R1,
  TIMEOUT_R2,
  TIMEOUT_WRITABLE,
} from '../../../src/tcp/sender.ts';
import { SECOND } from '../../../src/world.ts';
import { Model, MS } from './model.ts';

const offsets = (model: Model): [number, number][] => model.pieces.map((p) => [p.offset, p.length]);
const black = { fate: () => true };

test('a small segment waits while another small one is unacknowledged (RFC 9293 §3.7.4, Nagle; S7)', () => {
  const model = new Model(black);
  model.write(10);
  model.write(20);
  model.write(30);
  expect(offsets(model)).toEqual([[0, 10]]);
  model.ack(10);
  model.pump();
  expect(offsets(model)).toEqual([
    [0, 10],
    [10, 50],
  ]);
});

test('full segments in flight do not hold a small one back (Minshall); Nagle would', () => {
  const model = new Model(black);
  model.write(2_000);
  model.write(10);
  expect(offsets(model).at(-1)).toEqual([2_000, 10]);
});

test('noDelay sends at once (RFC 9293 §3.7.4, M17)', () => {
  const model = new Model({ ...black, sender: { noDelay: true } });
  for (let i = 0; i < 4; i++) model.write(10);
  expect(offsets(model)).toEqual([
    [0, 10],
    [10, 10],
    [20, 10],
    [30, 10],
  ]);
});

test('a write that announces more is held until the rest comes, and never for ever (M60)', () => {
  const model = new Model(black);
  model.write(10, true);
  // `pump` itself pours nothing more; the cork stands.
  expect(model.pieces.length).toBe(0);
  model.write(20);
  expect(offsets(model)).toEqual([[0, 30]]);
  const alone = new Model({});
  alone.write(10, true);
  alone.run(() => alone.pieces.length > 0);
  expect(alone.pieces[0].length).toBe(10);
  expect(alone.now - 1_000_000).toBeLessThanOrEqual(201 * MS);
});

test('PSH marks the last segment of what is buffered, and no other (M61, S27)', () => {
  const model = new Model({});
  model.write(4_500);
  model.runToEnd();
  expect(model.pieces.map((p) => p.push)).toEqual([false, false, false, false, true]);
});

test('FIN rides on the last data, and overrides Nagle', () => {
  const model = new Model(black);
  model.write(100);
  model.write(100);
  model.end();
  expect(model.pieces.map((p) => [p.offset, p.length, p.fin])).toEqual([
    [0, 100, false],
    [100, 100, true],
  ]);
  expect(model.ack(201) & (ACK_NEW | ACK_FIN | ACK_DRAINED)).toBe(ACK_NEW | ACK_FIN | ACK_DRAINED);
  expect(model.sender.finSent).toBe(true);
});

test('FIN alone is retransmitted like data', () => {
  let drop = 2;
  const model = new Model({ fate: () => drop-- > 0 });
  model.end();
  model.runToEnd();
  expect(model.finReceived).toBe(true);
});

test('nothing beyond the window is sent, and a tiny window is not filled with tiny segments (M38, RFC 1122 §4.2.3.4)', () => {
  const model = new Model({ ...black, window: 2_500 });
  model.write(10_000);
  expect(offsets(model)).toEqual([
    [0, 1_000],
    [1_000, 1_000],
  ]); // 500 more would fit
  model.ack(2_000, [], (s) => {
    s.windowScaled = 700; // usable 700: neither a segment nor half the largest window
  });
  model.pump();
  expect(model.pieces.length).toBe(2);
  model.run(() => model.pieces.length > 2); // until the override timer
  expect(offsets(model).at(-1)).toEqual([2_000, 700]);
  expect(model.now - 1_000_000).toBeGreaterThanOrEqual(100 * MS);
  expect(model.now - 1_000_000).toBeLessThanOrEqual(SECOND);
});

test('half of the largest window ever offered is worth a segment (RFC 1122 §4.2.3.4 (3))', () => {
  const model = new Model({ ...black, window: 900 });
  model.write(10_000);
  expect(offsets(model)).toEqual([[0, 900]]);
});

test('a zero window is probed, first after one RTO, then ever more seldom, for as long as the peer answers (M35–M37, S29, S30)', () => {
  const model = new Model({ delay: 10 * MS, window: 4_000 });
  model.write(4_000);
  model.runToEnd();
  model.window = 0;
  model.setWindow(0);
  model.run(() => model.sender.sndWnd === 0);
  const from = model.now;
  const before = model.pieces.length;
  const { rto } = model.sender.rtt;
  model.write(10_000);
  model.run(() => false, 2 * 3600 * SECOND); // far beyond R2
  expect(model.gaveUp).toBe(false);
  const probes = model.pieces.slice(before);
  expect(probes.length).toBeGreaterThan(40);
  expect(probes[0].at - from).toBeGreaterThanOrEqual(rto - 1);
  expect(probes[0].at - from).toBeLessThanOrEqual(rto + 2 * MS);
  for (const p of probes) expect([p.offset, p.length]).toEqual([4_000, 1]);
  for (let i = 2; i < 8; i++) {
    const ratio = (probes[i].at - probes[i - 1].at) / (probes[i - 1].at - probes[i - 2].at);
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2.2);
  }
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);

  const opened = model.now;
  model.setWindow(1 << 20);
  model.runToEnd();
  expect(model.received).toBe(14_000);
  expect(model.now - opened).toBeLessThan(100 * MS); // no back-off left over
});

test('probes that nobody answers end at R2 (M20, M21)', () => {
  const model = new Model({ sender: { userTimeout: 30 * SECOND }, fate: (p) => p.offset >= 4_000 });
  model.write(4_000);
  model.runToEnd();
  model.setWindow(0);
  model.run(() => model.sender.sndWnd === 0);
  model.write(1_000);
  model.run(() => model.gaveUp, 3600 * SECOND);
  expect(model.gaveUp).toBe(true);
});

test('FIN gets through a zero window as a probe', () => {
  const model = new Model({ window: 1_000 });
  model.write(1_000);
  model.runToEnd();
  model.setWindow(0);
  model.run(() => model.sender.sndWnd === 0);
  model.end();
  model.run(() => model.finReceived, 60 * SECOND);
  expect(model.finReceived).toBe(true);
});

test('a window that shrinks to nothing under data in flight costs no connection and no congestion window (M34, S15–S17)', () => {
  let closed = false;
  const model = new Model({
    delay: 10 * MS,
    sender: { userTimeout: 20 * SECOND },
    fate: (p, m) => {
      if (p.offset === 5_000 && !closed) {
        closed = true;
        m.window = 0; // before what is in flight arrives: it will all be refused
      }
      return false;
    },
  });
  model.write(100_000);
  model.run(() => false, 300 * SECOND);
  expect(model.gaveUp).toBe(false);
  expect(model.sender.sndWnd).toBe(0);
  const sent = model.pieces.length;
  expect(sent).toBeLessThan(40); // probes, no stream of retransmissions
  model.setWindow(1 << 20);
  model.runToEnd();
  expect(model.received).toBe(100_000);
});

test('what fits below a shrunk right edge is retransmitted, what is new stays (S15, S16)', () => {
  const model = new Model({ ...black, sender: { tailLossProbe: false } });
  model.write(20_000);
  expect(model.pieces.length).toBe(10);
  model.ack(1_000, [], (s) => {
    s.windowScaled = 3_000; // the edge moves from far away to 4,000
  });
  model.pump();
  expect(model.pieces.length).toBe(10);
  model.run(() => model.stats.tcpTimeouts >= 1);
  for (const p of model.pieces.slice(10)) expect(p.offset + p.length).toBeLessThanOrEqual(4_000);
  model.ack(2_000, [], (s) => {
    s.windowScaled = 2_000;
  });
  model.pump();
  for (const p of model.pieces.slice(10)) expect(p.offset + p.length).toBeLessThanOrEqual(4_000);
});

test('an old segment does not change the window (RFC 9293 §3.10.7.4, SND.WL1 and SND.WL2)', () => {
  const model = new Model(black);
  model.write(10_000);
  model.ack(1_000, [], (s) => {
    s.seq = 200;
    s.windowScaled = 8_000;
  });
  expect(model.sender.sndWnd).toBe(8_000);
  model.ack(1_000, [], (s) => {
    s.seq = 100;
    s.windowScaled = 1;
  });
  expect(model.sender.sndWnd).toBe(8_000);
});

test('the largest legal super-segments are offered, whole multiples of the MSS (RFC 9293 S28)', () => {
  const model = new Model({ ...black, mss: 1_448, sender: { initialWindow: 100, pacing: 'off' } });
  const lengths: number[] = [];
  const { sender } = model;
  const sent = sender.sent.bind(sender);
  sender.sent = (now) => {
    lengths.push(sender.out.length);
    sent(now);
  };
  model.write(128 * 1024);
  expect(lengths[0]).toBe(45 * 1_448);
  for (const n of lengths.slice(0, -1)) expect(n % 1_448).toBe(0);
});

test('a smaller MSS has what is in flight sent again in smaller segments, without a congestion response (RFC 1191 §6.5)', () => {
  const model = new Model({ mss: 1_400, fate: (p) => p.length > 1_000 });
  model.write(14_000);
  model.after(5 * MS, () => model.sender.setMss(1_000));
  model.runToEnd();
  expect(model.received).toBe(14_000);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);
});

test('the initial window is ten segments, fewer when they are large (RFC 6928 §2)', () => {
  for (const [mss, window] of [
    [1_000, 10_000],
    [1_460, 14_600],
    [4_000, 14_600],
    [8_948, 17_896],
  ]) {
    expect(new Model({ mss }).sender.congestion.cwnd).toBe(window);
  }
});

test('after an idle time there is no burst of the old window (RFC 5681 §4.1)', () => {
  const model = new Model({ delay: 10 * MS, sender: { pacing: 'off', congestion: 'reno' } });
  model.write(400_000);
  model.runToEnd();
  const before = model.sender.congestion.cwnd;
  expect(before).toBeGreaterThan(100_000);
  model.run(() => false, 1);
  model.after(60 * SECOND, () => {
    const sent = model.pieces.length;
    model.write(400_000);
    expect(model.pieces.length - sent).toBe(10);
  });
  model.runToEnd();
});

test('cwnd does not grow while the application is the limit (RFC 9438 §5.8, RFC 7661)', () => {
  for (const congestion of ['reno', 'cubic']) {
    const model = new Model({ sender: { congestion } });
    for (let i = 0; i < 200; i++) {
      model.write(2_000);
      model.runToEnd();
    }
    expect(model.sender.congestion.cwnd).toBeLessThanOrEqual(20_000);
  }
});

test('pacing spreads a window over the round trip, and never stalls it', () => {
  const model = new Model({ delay: 50 * MS, sender: { pacing: 'on', congestion: 'reno' } });
  model.write(1_000_000);
  model.runToEnd();
  const counts = new Map<number, number>();
  for (const p of model.pieces) counts.set(p.at, (counts.get(p.at) ?? 0) + 1);
  expect(Math.max(...counts.values())).toBeLessThanOrEqual(20);
  const unpaced = new Model({ delay: 50 * MS, sender: { pacing: 'off', congestion: 'reno' } });
  unpaced.write(1_000_000);
  unpaced.runToEnd();
  expect(model.now).toBeLessThan(unpaced.now * 1.15);
});

test('the buffer follows cwnd, and a write that found it full hears of room', () => {
  const model = new Model({ delay: 50 * MS });
  expect(model.sender.writable).toBe(128 * 1024);
  const chunk = new Uint8Array(200_000);
  for (let i = 0; i < chunk.length; i++) chunk[i] = (i * 31 + (i >> 8) * 17 + (i >> 16)) & 0xff;
  expect(model.sender.write(chunk, 0, 200_000)).toBe(128 * 1024);
  model.pump();
  model.runToEnd();
  expect(model.ackBits & ACK_WRITABLE).toBe(ACK_WRITABLE);
  const big = new Model({ delay: 50 * MS });
  big.write(4_000_000);
  big.runToEnd();
  expect(big.sender.buffer.limit).toBeGreaterThan(1_000_000);
  expect(big.memory.used).toBe(0);
});

test('memory pressure shortens writes and loses nothing', () => {
  const model = new Model({});
  model.memory.budget = 20 * 1024;
  model.write(300_000);
  model.runToEnd();
  expect(model.received).toBe(300_000);
});

test('R1 is reported after three retransmissions, R2 ends it (RFC 9293 §3.8.3, M20, S10, S11)', () => {
  const model = new Model(black);
  model.write(1_000);
  const from = model.now;
  model.run(() => (model.timeoutBits & TIMEOUT_R1) !== 0);
  expect(model.sender.retransmits).toBe(3);
  model.run(() => model.gaveUp, 3600 * SECOND);
  expect(model.timeoutBits & TIMEOUT_R2).toBe(TIMEOUT_R2);
  expect(model.now - from).toBeGreaterThan(100 * SECOND);
});

/** A sender that has yet to send its SYN. */
function opening(options = {}): { model: Model; sender: Sender } {
  const model = new Model({ sender: options });
  const sender = new Sender({ memory: model.memory, stats: model.stats, timers: model.timers, options });
  sender.start(-1);
  return { model, sender };
}

test('SYN is sent first, data only when the handshake is done (RFC 9293 §3.5)', () => {
  const { model, sender } = opening();
  expect(sender.write(new Uint8Array(100), 0, 100)).toBe(100);
  expect(sender.next(model.now)).toBe(true);
  expect([sender.out.syn, sender.out.seq, sender.out.length]).toEqual([true, -1, 0]);
  sender.sent(model.now);
  expect(sender.next(model.now)).toBe(false);
  expect(sender.sndNxt).toBe(0);
});

test('SYN is retransmitted with back-off, and given up after three minutes (RFC 9293 §3.8.3, M22, M23)', () => {
  const { model, sender } = opening();
  const at: number[] = [];
  const from = model.now;
  let gaveUpAt = 0;
  for (let i = 0; i < 40 && gaveUpAt === 0; i++) {
    while (sender.next(model.now)) {
      expect(sender.out.syn).toBe(true);
      expect(sender.out.retransmission).toBe(i > 0);
      at.push(model.now - from);
      sender.sent(model.now);
    }
    model.now = model.timers.at(0);
    model.timers.clear(0);
    if ((sender.onTimer(0, model.now) & TIMEOUT_R2) !== 0) gaveUpAt = model.now - from;
  }
  expect(at.slice(0, 4).map((t) => t / SECOND)).toEqual([0, 1, 3, 7]);
  expect(gaveUpAt).toBeGreaterThanOrEqual(180 * SECOND);
});

test('after a lost SYN the window is one segment, and the timer three seconds if nothing was measured (RFC 5681 §3.1, RFC 6298 §5.7)', () => {
  const { model, sender } = opening();
  sender.next(model.now);
  sender.sent(model.now);
  model.now += SECOND;
  sender.onTimer(0, model.now);
  sender.next(model.now);
  sender.sent(model.now);
  let bits = 0;
  model.ack(0, [], (s) => {
    s.ack = 0;
    s.hasTimestamp = false;
    bits = sender.onAck(s, model.now + 50 * MS);
    s.ack = model.sender.sndUna; // harmless for the model's own sender
  });
  expect(bits & ACK_SYN).toBe(ACK_SYN);
  sender.setMss(1_200);
  sender.established(model.now);
  expect(sender.congestion.cwnd).toBe(1_200);
  expect(sender.rtt.backedOff).toBe(3 * SECOND);
});

test('a writer that found no memory at all is told to try again', () => {
  const model = new Model({});
  model.memory.budget = 0;
  expect(model.sender.write(new Uint8Array(10), 0, 10)).toBe(0);
  model.pump();
  model.run(() => (model.timeoutBits & TIMEOUT_WRITABLE) !== 0, SECOND);
  expect(model.timeoutBits & TIMEOUT_WRITABLE).toBe(TIMEOUT_WRITABLE);
});
