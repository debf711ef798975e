// Congestion control — RFC 5681, RFC 9438, RFC 9406, draft-ietf-ccwg-bbr.

import { describe, expect, test } from 'vitest';
import type { CongestionControl } from '../../../src/tcp/congestion/congestion.ts';
import { AckSample, congestionFactory, registerCongestion } from '../../../src/tcp/congestion/congestion.ts';
import { Cubic } from '../../../src/tcp/congestion/cubic.ts';
import { HyStart } from '../../../src/tcp/congestion/hystart.ts';
import { NewReno, restartWindow } from '../../../src/tcp/congestion/newreno.ts';
import { Model, MS } from './model.ts';

const MSS = 1_000;

/** An ACK of `acked` bytes on a path with room to grow. */
function ack(s: AckSample, now: number, acked: number, rtt = 100 * MS): AckSample {
  s.now = now;
  s.mss = MSS;
  s.acked = acked;
  s.srtt = rtt;
  s.rtt = rtt;
  s.minRtt = rtt;
  s.cwndLimited = s.mayGrow = true;
  s.sndUna = (s.sndUna + acked) | 0;
  return s;
}

/** One round trip in which all of cwnd is acknowledged. */
function round(cc: CongestionControl, s: AckSample, now: number, rtt = 100 * MS): void {
  const segments = Math.floor(cc.cwnd / MSS);
  s.sndNxt = (s.sndUna + segments * MSS) | 0;
  for (let i = 0; i < segments; i++) cc.onAck(ack(s, now + (i * rtt) / segments, MSS, rtt));
}

describe('NewReno', () => {
  test('doubles in slow start, adds one segment per round in congestion avoidance (RFC 5681 §3.1)', () => {
    const cc = new NewReno(MSS, 10 * MSS);
    const s = new AckSample();
    round(cc, s, 0);
    expect(cc.cwnd).toBe(20 * MSS);
    cc.ssthresh = 20 * MSS;
    for (let i = 0; i < 10; i++) round(cc, s, i);
    expect(cc.cwnd).toBe(30 * MSS);
  });

  test('a stretch ACK counts for all it acknowledges (RFC 3465)', () => {
    const cc = new NewReno(MSS, 10 * MSS);
    cc.onAck(ack(new AckSample(), 0, 10 * MSS));
    expect(cc.cwnd).toBe(20 * MSS);
  });

  test('halves what was in flight, never below two segments; a timeout leaves one (RFC 5681 §3.1 (4), M19)', () => {
    const cc = new NewReno(MSS, 40 * MSS);
    cc.onLoss(40 * MSS, 0);
    expect(cc.ssthresh).toBe(20 * MSS);
    cc.onTimeout(3 * MSS, true, 0);
    expect([cc.ssthresh, cc.cwnd]).toEqual([2 * MSS, MSS]);
    cc.ssthresh = 9 * MSS;
    cc.onTimeout(3 * MSS, false, 0);
    expect(cc.ssthresh).toBe(9 * MSS); // held while the same segment times out again
  });

  test('undo restores cwnd and ssthresh (RFC 4015)', () => {
    const cc = new NewReno(MSS, 40 * MSS);
    cc.onTimeout(40 * MSS, true, 0);
    cc.undo(0);
    expect([cc.ssthresh, cc.cwnd]).toEqual([Infinity, 40 * MSS]);
  });

  test('an idle time halves cwnd once per RTO, down to the initial window (RFC 5681 §4.1, RFC 2861)', () => {
    expect(restartWindow(160, 10, 0.5, 1)).toBe(160);
    expect(restartWindow(160, 10, 1, 1)).toBe(80);
    expect(restartWindow(160, 10, 3.5, 1)).toBe(20);
    expect(restartWindow(160, 10, 100, 1)).toBe(10);
    expect(restartWindow(4, 10, 100, 1)).toBe(4);
  });
});

describe('CUBIC', () => {
  test('follows W(t) = C (t - K)^3 + W_max (RFC 9438 §4.2, §4.4)', () => {
    const cc = new Cubic(MSS, 400 * MSS);
    const s = new AckSample();
    cc.ssthresh = 400 * MSS;
    cc.onLoss(400 * MSS, 0);
    expect(cc.ssthresh).toBe(280 * MSS); // beta = 0.7
    cc.cwnd = cc.ssthresh;
    const k = Math.cbrt((400 - 280) / 0.4);
    const rtt = 100 * MS;
    for (let t = 1_000_000; t < 1_000_000 + 2 * k * 1e6; t += rtt) {
      round(cc, s, t, rtt);
      const at = (t + rtt - 1_000_000) / 1e6;
      const curve = 0.4 * (at - k) ** 3 + 400;
      // Reno's window is below the curve nearly everywhere here; cwnd runs towards where the curve is one RTT later.
      expect(Math.abs(cc.cwnd / MSS - curve) / curve, `t = ${at}`).toBeLessThan(0.03);
    }
    expect(cc.cwnd / MSS).toBeGreaterThan(500);
  });

  test('is never slower than Reno with the same beta: the friendly region (RFC 9438 §4.3)', () => {
    const cc = new Cubic(MSS, 20 * MSS);
    const s = new AckSample();
    cc.ssthresh = 20 * MSS;
    cc.onLoss(20 * MSS, 0);
    cc.cwnd = cc.ssthresh;
    const rtt = 5 * MS; // so short that the cubic curve hardly moves
    let west = cc.cwnd / MSS;
    for (let i = 0; i < 40; i++) {
      const before = cc.cwnd / MSS;
      round(cc, s, 1_000_000 + i * rtt, rtt);
      west += ((west >= 20 ? 1 : (3 * 0.3) / 1.7) * Math.floor(before)) / before;
    }
    expect(cc.cwnd / MSS).toBeGreaterThan(west * 0.95);
  });

  test('fast convergence lowers W_max when a loss comes below the last one (RFC 9438 §4.7)', () => {
    const s = new AckSample();
    const plateau = (first: number, second: number): number => {
      const cc = new Cubic(MSS, first * MSS);
      cc.ssthresh = first * MSS;
      cc.onLoss(first * MSS, 0);
      cc.cwnd = second * MSS;
      cc.onLoss(second * MSS, 0);
      cc.cwnd = cc.ssthresh;
      // The curve is flat at W_max: where growth per round is smallest.
      let smallest = Infinity;
      let at = 0;
      for (let i = 0; i < 150; i++) {
        const before = cc.cwnd;
        round(cc, s, 1_000_000 + i * 100 * MS);
        if (cc.cwnd - before < smallest) {
          smallest = cc.cwnd - before;
          at = cc.cwnd;
        }
      }
      return at / MSS;
    };
    expect(plateau(300, 400)).toBeGreaterThan(380);
    expect(plateau(400, 300)).toBeLessThan(275); // 300 * 0.85 = 255
  });

  test('time without sending does not count as time to grow (RFC 9438 §5.8)', () => {
    const s = new AckSample();
    const grown = (idle: number, tell: boolean): number => {
      const cc = new Cubic(MSS, 10 * MSS);
      cc.ssthresh = 100 * MSS;
      cc.cwnd = 100 * MSS;
      cc.onLoss(100 * MSS, 0);
      cc.cwnd = cc.ssthresh;
      for (let i = 0; i < 5; i++) round(cc, s, 1_000_000 + i * 100 * MS);
      if (tell) cc.onIdle(idle, idle * 2, 1_500_000 + idle);
      for (let i = 0; i < 5; i++) round(cc, s, 1_500_000 + idle + i * 100 * MS);
      return cc.cwnd;
    };
    expect(Math.abs(grown(20_000_000, true) - grown(0, false))).toBeLessThan(3 * MSS);
  });

  test('undo brings back the curve too (RFC 9438 §4.9)', () => {
    const run = (spurious: boolean): number => {
      const cc = new Cubic(MSS, 100 * MSS);
      const s = new AckSample();
      cc.ssthresh = 100 * MSS;
      cc.onLoss(100 * MSS, 0);
      cc.cwnd = cc.ssthresh;
      for (let i = 0; i < 20; i++) {
        round(cc, s, 1_000_000 + i * 100 * MS);
        if (spurious && i === 10) {
          cc.onTimeout(cc.cwnd, true, 0);
          cc.undo(0);
        }
      }
      return cc.cwnd;
    };
    expect(run(true)).toBe(run(false));
  });

  test('no loss that RACK finds takes more than three tenths (RFC 9438 §4.6), over a real transfer', () => {
    const model = new Model({ delay: 20 * MS, rate: 2_000_000, queue: 60_000 });
    let before = 0;
    let smallest = 1;
    let last = Infinity;
    model.onStep = () => {
      const { ssthresh, cwnd } = model.sender.congestion;
      if (ssthresh < last && last !== Infinity) smallest = Math.min(smallest, ssthresh / before);
      last = ssthresh;
      before = cwnd;
    };
    model.check = false;
    model.write(8_000_000);
    model.runToEnd();
    expect(model.stats.tcpSackRecovery).toBeGreaterThan(1);
    expect(smallest).toBeGreaterThan(0.65);
    expect(model.stats.tcpTimeouts).toBe(0);
  });
});

describe('HyStart++', () => {
  const slowStart = (rtts: number[]): HyStart => {
    const h = new HyStart();
    const s = new AckSample();
    for (const rtt of rtts) {
      for (let i = 0; i < 20; i++) {
        s.sndNxt = (s.sndUna + 21 * MSS) | 0;
        h.onAck(ack(s, 0, MSS, rtt * MS));
      }
    }
    return h;
  };

  test('a rise of an eighth of the RTT enters conservative slow start, which grows four times slower (RFC 9406 §4.2)', () => {
    expect(slowStart([80, 80, 80]).inCss).toBe(false);
    const h = slowStart([80, 80, 92]);
    expect(h.inCss).toBe(true);
    expect([h.growth(8 * MSS), new HyStart().growth(8 * MSS)]).toEqual([2 * MSS, 8 * MSS]);
  });

  test('a rise below 4 ms is noise, one of 16 ms always counts (RFC 9406 §4.2: MIN_RTT_THRESH, MAX_RTT_THRESH)', () => {
    expect(slowStart([8, 8, 11]).inCss).toBe(false);
    expect(slowStart([8, 8, 13]).inCss).toBe(true);
    expect(slowStart([400, 400, 417]).inCss).toBe(true);
  });

  test('five rounds of it end slow start; a falling RTT takes it back (RFC 9406 §4.2)', () => {
    expect(slowStart([80, 80, 92, 92, 92, 92]).done).toBe(false);
    expect(slowStart([80, 80, 92, 92, 92, 92, 92, 92]).done).toBe(true);
    expect(slowStart([80, 80, 92, 85, 85]).inCss).toBe(false);
  });

  test('slow start is left before a deep queue overflows (RFC 9406 §3)', () => {
    const model = new Model({
      delay: 50 * MS,
      rate: 2_000_000,
      queue: 3_000_000,
      sender: { sendBufferMax: 16 * 1024 * 1024 },
    });
    model.check = false;
    model.write(6_000_000);
    model.runToEnd();
    expect(model.drops).toBe(0);
    expect(model.sender.congestion.ssthresh).toBeLessThan(Infinity);
  });
});

describe('BBR', () => {
  const run = (options: ConstructorParameters<typeof Model>[0], size: number): [Model, number] => {
    const model = new Model({ sender: { congestion: 'bbr' }, ...options });
    model.check = false;
    const from = model.now;
    model.write(size);
    model.runToEnd();
    return [model, (size * 1e6) / (model.now - from)];
  };

  test('fills the link and keeps its queue short', () => {
    const [model, rate] = run({ delay: 20 * MS, rate: 2_000_000, queue: 400_000 }, 10_000_000);
    expect(rate).toBeGreaterThan(0.85 * 2_000_000);
    expect(model.sender.rtt.srtt).toBeLessThan(70 * MS); // a full queue would be 240 ms
  });

  test('is hardly slowed by one lost segment in a hundred', () => {
    const [, rate] = run({ delay: 20 * MS, rate: 2_000_000, fate: (_p, m) => m.pick(100) === 0 }, 10_000_000);
    expect(rate).toBeGreaterThan(0.7 * 2_000_000);
  });

  test('looks for a shorter RTT after five seconds without one, with a small window', () => {
    const model = new Model({ delay: 20 * MS, rate: 500_000, queue: 200_000, sender: { congestion: 'bbr' } });
    model.check = false;
    let smallest = Infinity;
    model.onStep = () => {
      if (model.now > 3_000_000) smallest = Math.min(smallest, model.sender.congestion.cwnd);
    };
    model.write(7_500_000);
    model.run(() => model.now > 14_000_000);
    expect(smallest).toBeLessThan(0.6 * 500_000 * 0.04 + 5_000);
  });
});

describe('the choice of a controller', () => {
  test('an unknown name says which are known', () => {
    expect(() => congestionFactory('vegas')).toThrow(/"vegas" is not known; known are cubic, reno, bbr/);
  });

  test('one can be written by the user, by name or as a factory', () => {
    class Fixed extends NewReno {
      override onAck(): void {}
    }
    registerCongestion('fixed', (mss, window) => new Fixed(mss, window));
    for (const congestion of ['fixed', (mss: number, window: number) => new Fixed(mss, window)]) {
      const model = new Model({ sender: { congestion } });
      model.write(100_000);
      model.runToEnd();
      expect(model.sender.congestion.cwnd).toBe(10_000);
      expect(model.received).toBe(100_000);
    }
  });
});
