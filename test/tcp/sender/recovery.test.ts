// Loss recovery, one scenario for each algorithm — RFC 8985, 9937, 5682, 3522, 3708, 6582, 6675, 3042, 6298.

import { expect, test } from 'vitest';
import { REC_SACKED } from '../../../src/tcp/in-flight.ts';
import { Rack } from '../../../src/tcp/rack.ts';
import { CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY } from '../../../src/tcp/recovery.ts';
import { Segment } from '../../../src/tcp/segment.ts';
import { RTO } from '../../../src/tcp/timers.ts';
import type { Piece } from './model.ts';
import { Model, MS } from './model.ts';

const firstTime = (_model: Model, piece: Piece): boolean => !piece.retransmission;
const retransmitted = (model: Model): number[] => model.pieces.filter((p) => p.retransmission).map((p) => p.offset);

test('RACK finds one lost segment within a round trip and sends it once (RFC 8985 §6.2)', () => {
  const model = new Model({ fate: (p) => p.number === 12 });
  model.write(60_000);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([12_000]);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.stats.tcpSackRecovery).toBe(1);
  expect(model.stats.tcpFastRetrans).toBe(1);
  const [lost, again] = model.pieces.filter((p) => p.offset === 12_000);
  expect(again.at - lost.at).toBeLessThanOrEqual(26 * MS); // one RTT of 20 ms, and a quarter of it at most
});

test('every other segment of a window lost is repaired in one round trip without a timeout (RFC 8985, RFC 2018)', () => {
  const model = new Model({
    fate: (p, m) => firstTime(m, p) && p.offset >= 30_000 && p.offset < 50_000 && (p.offset / 1000) % 2 === 0,
  });
  model.write(150_000);
  model.runToEnd();
  expect(retransmitted(model).sort((a, b) => a - b)).toEqual(
    [30, 32, 34, 36, 38, 40, 42, 44, 46, 48].map((n) => n * 1000),
  );
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.duplicatesReceived).toBe(0);
});

test('a lost retransmission is found without a timeout (RFC 8985 §3.1)', () => {
  let times = 0;
  // With this RTT, repair takes longer than an RTO that runs since SND.UNA last moved would: each retransmission has its own.
  const model = new Model({ delay: 150 * MS, fate: (p) => p.offset === 12_000 && ++times <= 3 });
  model.write(300_000);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([12_000, 12_000, 12_000]);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.stats.tcpLostRetransmit).toBe(2);
});

test('RACK tolerates reordering within a quarter of the RTT once it has seen it (RFC 8985 §6.2 step 4)', () => {
  const model = new Model({
    delay: 20 * MS,
    rate: 2_000_000,
    fate: (p) => (p.number % 25 === 24 ? 6 * MS : false),
  });
  model.write(2_000_000);
  model.runToEnd();
  expect(model.sender.rack.reorderingSeen).toBe(true);
  const late = retransmitted(model).filter((offset) => offset > 200_000);
  expect(late).toEqual([]);
  expect(model.sender.rack.reoWndMult).toBeLessThanOrEqual(2);
});

test('each round with a D-SACK widens the reordering window until retransmissions stop (RFC 8985 §6.2 step 4)', () => {
  const model = new Model({
    delay: 20 * MS,
    rate: 2_000_000,
    fate: (p) => (p.number % 60 === 59 && !p.retransmission ? 25 * MS : false), // more than a quarter of the RTT
  });
  model.write(4_000_000);
  model.runToEnd();
  expect(model.stats.tcpDsackRecv).toBeGreaterThan(0);
  expect(model.sender.rack.reoWndMult).toBeGreaterThan(1);
  const spurious = retransmitted(model);
  expect(spurious.length).toBeLessThan(12);
  expect(spurious.filter((offset) => offset > 2_000_000)).toEqual([]);
  expect(model.sender.recovery.state).toBe(CA_OPEN);
});

test('after 16 recoveries without D-SACK the reordering window is narrow again (RFC 8985 §6.2 step 4)', () => {
  const model = new Model({
    delay: 20 * MS,
    rate: 2_000_000,
    fate: (p) => {
      if (p.retransmission) return false;
      if (p.number === 100 || p.number === 200) return 30 * MS;
      return p.number > 400 && p.number % 150 === 0;
    },
  });
  model.write(4_000_000);
  model.runToEnd();
  expect(model.stats.tcpDsackRecv).toBeGreaterThan(0);
  expect(model.stats.tcpSackRecovery).toBeGreaterThan(17);
  expect(model.sender.rack.reoWndMult).toBe(1);
});

test('the reordering timer finds a loss that no later ACK would reveal (RFC 8985 §6.2 step 5)', () => {
  // Two segments in flight: the ACK of the second says little; a quarter of the RTT later the first is lost.
  const model = new Model({ delay: 100 * MS, fate: (p) => p.number === 0 });
  model.write(2_000);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([0]);
  expect(model.stats.tcpTimeouts + model.stats.tcpLossProbes).toBe(0);
  const again = model.pieces[2];
  expect(again.at - model.pieces[0].at).toBeGreaterThan(240 * MS);
  expect(again.at - model.pieces[0].at).toBeLessThan(255 * MS);
});

test('a tail loss is repaired by a probe, without a timeout, and counts as congestion (RFC 8985 §7.3, §7.4.2)', () => {
  const model = new Model({ fate: (p) => p.offset === 9_000 && !p.retransmission });
  model.write(10_000);
  model.runToEnd();
  expect(model.received).toBe(10_000);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.stats.tcpLossProbes).toBe(1);
  expect(retransmitted(model)).toEqual([9_000]);
  // That there was no D-SACK is known when something later is acknowledged.
  model.write(10_000);
  model.runToEnd();
  expect(model.stats.tcpLossProbeRecovery).toBe(1);
  expect(model.sender.congestion.ssthresh).toBeLessThan(Infinity);
});

test('a tail of several losses is started off by the probe and finished by RACK, without a timeout (RFC 8985 §7.1)', () => {
  const model = new Model({ fate: (p, m) => p.offset >= 6_000 && firstTime(m, p) });
  model.write(10_000);
  model.runToEnd();
  expect(model.received).toBe(10_000);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.stats.tcpLossProbes).toBe(1);
  expect(model.stats.tcpSackRecovery).toBe(1);
});

test('a probe sends new data when there is some (RFC 8985 §7.3)', () => {
  const model = new Model({ sender: { initialWindow: 4 }, ackFate: (_a, n) => n < 4 });
  model.write(6_000);
  model.runToEnd();
  expect(model.stats.tcpLossProbes).toBe(1);
  const probe = model.pieces[4];
  expect([probe.offset, probe.retransmission]).toEqual([4_000, false]);
  expect(model.received).toBe(6_000);
});

test('a probe that was answered by a D-SACK is no sign of congestion (RFC 8985 §7.4.2, case 1)', () => {
  const model = new Model({ ackFate: (_a, n) => n >= 5 && n < 10 }); // the last ACKs are lost, not the data
  model.write(10_000);
  const { cwnd } = model.sender.congestion;
  model.runToEnd();
  expect(model.stats.tcpLossProbes).toBe(1);
  expect(model.stats.tcpDsackRecv).toBe(1);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);
  expect(model.sender.congestion.cwnd).toBeGreaterThanOrEqual(cwnd);
});

test('the probe waits two round trips, and longer for a delayed ACK when one segment is in flight (RFC 8985 §7.2)', () => {
  const one = new Model({ delay: 10 * MS, fate: (p) => p.number === 0 });
  one.write(1_000);
  one.runToEnd();
  expect(one.pieces[1].at - one.pieces[0].at).toBeGreaterThanOrEqual(220 * MS);
  const many = new Model({ delay: 10 * MS, fate: (p) => p.number < 5 });
  many.write(5_000);
  many.runToEnd();
  expect(many.pieces[5].at - many.pieces[0].at).toBeGreaterThanOrEqual(40 * MS);
  expect(many.pieces[5].at - many.pieces[0].at).toBeLessThan(60 * MS);
});

test('without timestamps, an ACK sooner than any round trip is of the original (RFC 8985 §6.2 step 2)', () => {
  const rack = new Rack();
  rack.setMinRtt(100 * MS);
  rack.begin(new Segment());
  rack.onDelivered(0, 1_000, false, true, 100 * MS);
  rack.onDelivered(195 * MS, 2_000, true, true, 200 * MS); // sent again 5 ms ago
  expect([rack.xmitTime, rack.rtt]).toEqual([0, 100 * MS]);
  rack.onDelivered(195 * MS, 2_000, true, true, 300 * MS);
  expect(rack.xmitTime).toBe(195 * MS);
});

test('reordering is something original delivered below the highest delivered (RFC 8985 §6.2 step 3)', () => {
  const rack = new Rack();
  rack.begin(new Segment());
  rack.onDelivered(0, 3_000, false, false, 100 * MS);
  rack.onDelivered(0, 1_000, true, false, 300 * MS);
  expect(rack.reorderingSeen).toBe(false); // a retransmission may come late
  rack.onDelivered(0, 2_000, false, false, 300 * MS);
  expect([rack.reorderingSeen, rack.reordering]).toEqual([true, 1_000]);
});

test('the timer runs again after it has fired, whether or not anything could be sent (RFC 6298 §5.6)', () => {
  const model = new Model({ sender: { tailLossProbe: false }, fate: () => true });
  model.write(1_000);
  const at = model.timers.at(RTO);
  model.timers.clear(RTO);
  model.sender.onTimer(RTO, at);
  expect(model.timers.at(RTO)).toBeGreaterThan(at);
  expect(model.timers.isSet(RTO)).toBe(true);
});

// Everything is held up for a second, in order; nothing is lost.
const spike = (sack: boolean, timestamps: boolean): Model => {
  let spikeAt = Infinity;
  const model = new Model({
    sack,
    timestamps,
    delay: 25 * MS,
    fate: (p, m) => {
      if (p.offset >= 300_000 && spikeAt === Infinity) spikeAt = m.now;
      return m.now >= spikeAt && m.now < spikeAt + 1_000 * MS ? spikeAt + 1_000 * MS - m.now : false;
    },
  });
  return model;
};

test.each([
  ['Eifel with timestamps (RFC 3522)', true, true],
  ['F-RTO with SACK alone (RFC 5682 §3)', true, false],
  ['F-RTO without SACK and timestamps (RFC 5682 §2)', false, false],
])('a spurious timeout is undone: %s', (_name, sack, timestamps) => {
  const model = spike(sack, timestamps);
  let before = 0;
  let inLoss = false;
  let after = -1;
  model.onStep = () => {
    const { state } = model.sender.recovery;
    if (state === CA_LOSS) inLoss = true;
    if (!inLoss) before = model.sender.congestion.cwnd;
    else if (after < 0 && state !== CA_LOSS) after = model.sender.congestion.cwnd;
  };
  model.write(1_500_000);
  model.runToEnd();
  expect(model.received).toBe(1_500_000);
  expect(model.stats.tcpTimeouts).toBeGreaterThanOrEqual(1);
  expect(model.stats.tcpSpuriousRtos).toBe(1);
  expect(after).toBeGreaterThanOrEqual(before);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);
  // Only the head went again, once for each expiry and perhaps a probe.
  expect(new Set(retransmitted(model)).size).toBeLessThanOrEqual(2);
  expect(model.sender.rtt.backoff).toBe(0);
});

test('a timeout that was right is not undone: everything outstanding goes again in slow start (RFC 5681 §3.1, RFC 5682 §2.1 3a)', () => {
  for (const sack of [true, false]) {
    const model = new Model({
      sack,
      sender: { tailLossProbe: false },
      fate: (p) => p.offset >= 20_000 && p.offset < 30_000 && !p.retransmission,
    });
    model.write(30_000);
    model.runToEnd();
    expect(model.received).toBe(30_000);
    expect(model.stats.tcpTimeouts).toBe(1);
    expect(model.stats.tcpSpuriousRtos).toBe(0);
    expect(model.sender.congestion.ssthresh).toBeLessThan(Infinity);
    expect(new Set(retransmitted(model)).size).toBe(10);
    expect(retransmitted(model).length).toBe(10);
  }
});

test('a fast retransmit proved needless by D-SACK is undone (RFC 3708 §3)', () => {
  const model = new Model({
    timestamps: false, // or Eifel would be quicker
    delay: 20 * MS,
    fate: (p) => (p.offset === 40_000 && !p.retransmission ? 50 * MS : false),
  });
  let entered = false;
  model.onStep = () => {
    if (model.sender.recovery.state === CA_RECOVERY) entered = true;
  };
  model.write(200_000);
  model.runToEnd();
  expect(entered).toBe(true);
  expect(model.stats.tcpDsackUndo).toBe(1);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);
});

test('a fast retransmit proved needless by timestamps is undone before recovery ends (RFC 3522 §3.2)', () => {
  const model = new Model({
    delay: 20 * MS,
    dsack: false,
    fate: (p) => (p.offset === 40_000 && !p.retransmission ? 30 * MS : false),
  });
  model.write(200_000);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([40_000]);
  expect(model.stats.tcpFullUndo).toBe(1);
  expect(model.sender.congestion.ssthresh).toBe(Infinity);
});

test('PRR sends in proportion to what is delivered and ends recovery at ssthresh (RFC 9937 §6.2)', () => {
  const model = new Model({
    delay: 50 * MS,
    rate: 1_000_000,
    sender: { congestion: 'reno', pacing: 'off' },
    fate: (p) => p.offset === 100_000 && !p.retransmission,
  });
  let cwndAtLoss = 0;
  let sentBefore = 0;
  let deliveredBefore = 0;
  let mostPerStep = 0;
  let state = CA_OPEN;
  let last = 0;
  let cwndAfter = 0;
  let ratio = 0;
  model.onStep = () => {
    const { sender } = model;
    const bytes = model.pieces.reduce((sum, p) => sum + p.length, 0);
    if (state !== CA_RECOVERY && sender.recovery.state === CA_RECOVERY) {
      cwndAtLoss = last;
      sentBefore = bytes;
      deliveredBefore = sender.rate.delivered;
    }
    if (state === CA_RECOVERY && sender.recovery.state === CA_RECOVERY) {
      mostPerStep = Math.max(mostPerStep, bytes - sentBytes);
      ratio = (bytes - sentBefore) / (sender.rate.delivered - deliveredBefore);
    }
    if (state === CA_RECOVERY && sender.recovery.state === CA_OPEN) cwndAfter = sender.congestion.cwnd;
    state = sender.recovery.state;
    last = sender.congestion.cwnd;
    sentBytes = bytes;
  };
  let sentBytes = 0;
  model.write(400_000);
  model.runToEnd();
  expect(model.stats.tcpSackRecovery).toBe(1);
  expect(mostPerStep).toBeLessThanOrEqual(2_000);
  expect(ratio).toBeGreaterThan(0.4);
  expect(ratio).toBeLessThan(0.62);
  expect(cwndAfter / cwndAtLoss).toBeGreaterThan(0.4);
  expect(cwndAfter / cwndAtLoss).toBeLessThan(0.6);
});

test('a peer that reneges is found out by a timer, and everything it discarded goes again (RFC 2018 §8)', () => {
  let reneged = false;
  const model = new Model({
    delay: 20 * MS,
    fate: (p, m) => {
      if (p.offset === 20_000 && p.retransmission && !reneged) {
        reneged = true;
        m.after(1, () => m.renege());
      }
      return p.offset === 20_000 && !p.retransmission;
    },
  });
  model.write(120_000);
  model.runToEnd();
  expect(reneged).toBe(true);
  expect(model.received).toBe(120_000);
  expect(model.stats.tcpSackReneging).toBe(1);
});

test('SACK blocks of what was never sent, or is acknowledged already, mark nothing (RFC 2018 §4)', () => {
  const model = new Model({ fate: () => true });
  model.write(10_000);
  model.ack(2_000, [[-5_000, 1_000]]);
  model.ack(2_000, [[8_000, 20_000]]);
  model.ack(2_000, [[5_000, 4_000]]);
  model.ack(2_000, [[3_000, 3_000]]);
  model.ack(2_000, [
    [20_000, 30_000],
    [25_000, 28_000],
  ]);
  expect(model.sender.flight.sacked).toBe(0);
  model.ack(2_000, [[1_000, 4_000]]);
  expect(model.sender.flight.sacked).toBe(2_000);
});

test('a peer that SACKs single bytes cannot make a record of each (CVE-2019-11478)', () => {
  const model = new Model({ fate: () => true, sender: { initialWindow: 40 }, mss: 1_000 });
  model.write(40_000);
  for (let i = 0; i < 10_000; i++) model.ack(0, [[(i * 7919) % 39_000, ((i * 7919) % 39_000) + 1]]);
  expect(model.sender.flight.count).toBeLessThan(300);
});

test('a super-segment SACKed in part is split, and only the missing part goes again (RFC 6675 §3)', () => {
  const model = new Model({
    sender: { pacing: 'off' },
    fate: (p) => (p.offset === 3_000 || p.offset === 4_000) && !p.retransmission,
  });
  model.write(10_000);
  expect(model.sender.flight.count).toBe(1);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([3_000, 4_000]);
  expect(model.received).toBe(10_000);
  model.write(2_500);
  expect(model.sender.flight.segments(0, 1_000)).toBe(3);
});

test('the timer doubles at each expiry and comes back with the first valid sample (RFC 6298 §5.5, §5.7; M18, M19)', () => {
  let dead = true;
  const model = new Model({ timestamps: false, sender: { tailLossProbe: false }, fate: () => dead });
  model.write(1_000);
  model.run(() => model.stats.tcpTimeouts === 6);
  const at = model.pieces.map((p) => p.at);
  for (let i = 3; i < at.length; i++) {
    const ratio = (at[i] - at[i - 1]) / (at[i - 1] - at[i - 2]);
    expect(ratio).toBeGreaterThan(1.95);
    expect(ratio).toBeLessThan(2.05);
  }
  dead = false;
  model.runToEnd();
  expect(model.received).toBe(1_000);
  // Karn: the ACK of a retransmission gives no sample, so the back-off stays …
  expect(model.sender.rtt.backoff).toBeGreaterThan(0);
  model.write(1_000);
  model.runToEnd();
  expect(model.sender.rtt.backoff).toBe(0); // … until one does
});

test('with timestamps even a retransmission gives a sample (RFC 7323 §4)', () => {
  let dead = true;
  const model = new Model({ timestamps: true, sender: { tailLossProbe: false }, fate: () => dead });
  model.write(1_000);
  model.run(() => model.stats.tcpTimeouts === 3);
  dead = false;
  model.runToEnd();
  expect(model.sender.rtt.backoff).toBe(0);
  expect(model.sender.rtt.latest).toBeLessThan(25 * MS);
});

test('limited transmit: the first two duplicate ACKs release one new segment each (RFC 3042)', () => {
  const model = new Model({ sack: false, timestamps: false, sender: { initialWindow: 4 }, fate: () => true });
  model.write(20_000);
  expect(model.pieces.length).toBe(4);
  for (const [acks, offset] of [
    [1, 4_000],
    [2, 5_000],
  ]) {
    model.ack(0);
    model.pump();
    expect(model.pieces.length).toBe(4 + acks);
    expect(model.pieces[3 + acks].offset).toBe(offset);
    expect(model.sender.recovery.state).toBe(CA_DISORDER);
  }
  model.ack(0);
  model.pump();
  expect(retransmitted(model)).toEqual([0]); // the third: fast retransmit (RFC 5681 §3.2)
  expect(model.stats.tcpRenoRecovery).toBe(1);
});

test('NewReno repairs one loss per round trip from partial ACKs (RFC 6582 §3.2)', () => {
  const model = new Model({
    sack: false,
    timestamps: false,
    delay: 20 * MS,
    fate: (p) => [60_000, 63_000, 66_000].includes(p.offset) && !p.retransmission,
  });
  model.write(250_000);
  model.runToEnd();
  expect(retransmitted(model)).toEqual([60_000, 63_000, 66_000]);
  expect(model.stats.tcpTimeouts).toBe(0);
  expect(model.stats.tcpRenoRecovery).toBe(1);
});

test('data-bearing segments and window updates are no duplicate ACKs (RFC 5681 §2)', () => {
  const model = new Model({ sack: false, fate: () => true });
  model.write(10_000);
  for (let i = 0; i < 5; i++) {
    model.ack(0, [], (s) => {
      s.length = 10;
    });
    model.ack(0, [], (s) => {
      s.windowScaled = 50_000 + i;
    });
  }
  model.pump();
  expect(retransmitted(model)).toEqual([]);
});

test('RFC 6675 deems lost what has three segments SACKed above it (RFC 6675 §4)', () => {
  const model = new Model({ sender: { lossDetection: 'sack', tailLossProbe: false }, fate: () => true });
  model.write(10_000);
  model.ack(0, [[1_000, 2_000]]);
  model.ack(0, [[1_000, 3_000]]);
  model.pump();
  expect(retransmitted(model)).toEqual([]);
  model.ack(0, [[1_000, 4_000]]);
  model.pump();
  expect(retransmitted(model)).toEqual([0]);
});

test('ECE reduces cwnd once per window, and CWR says so (RFC 3168 §6.1.2)', () => {
  const model = new Model({
    ecn: true,
    delay: 20 * MS,
    sender: { congestion: 'reno' },
    fate: (p) => (p.offset >= 50_000 && p.offset < 60_000 ? 'ce' : false),
  });
  let reductions = 0;
  let ssthresh = Infinity;
  model.onStep = () => {
    if (model.sender.congestion.ssthresh !== ssthresh) reductions++;
    ssthresh = model.sender.congestion.ssthresh;
  };
  model.write(200_000);
  model.runToEnd();
  expect(reductions).toBe(1);
  expect(model.pieces.some((p) => p.cwr && !p.retransmission)).toBe(true);
  expect(retransmitted(model)).toEqual([]);
});

test('an optimistic receiver that acknowledges early still gets every byte checked off (no record is left)', () => {
  const model = new Model({ fate: () => true });
  model.write(10_000);
  model.ack(10_000, [[2_000, 4_000]]);
  expect(model.sender.flight.count).toBe(0);
  expect(model.sender.flight.flags(0) & REC_SACKED).toBe(0);
  expect(model.timers.at(RTO)).toBe(Infinity);
});
