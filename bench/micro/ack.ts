// What an ACK and a segment cost the sender, in ns: no network, no stack, only `onAck`, `next` and `sent`.
//
//   npx tsx bench/micro/ack.ts [--json]
//
// "clean": every ACK acknowledges two segments and releases two. "recovery": each window has a hole that is filled a round trip later,
// so that most ACKs carry SACK blocks. "window n": so many segments are in flight, each a record of its own.

import { Memory } from '../../src/mem/memory.ts';
import { Stats } from '../../src/stats.ts';
import { ACK, Segment } from '../../src/tcp/segment.ts';
import { Sender } from '../../src/tcp/sender.ts';
import { Timers } from '../../src/tcp/timers.ts';
import { TimerWheel } from '../../src/time/wheel.ts';

const MSS = 1448;

interface Result {
  name: string;
  nsPerAck: number;
  bytesPerAck: number;
}

function sender(segments: number, congestion: string): { sender: Sender; wheel: TimerWheel } {
  const wheel = new TimerWheel(0);
  const timers = new Timers(wheel, { onTimeout: () => {} });
  const s = new Sender({
    memory: new Memory(),
    stats: new Stats(),
    timers,
    options: { congestion, initialWindow: segments, pacing: 'off', sendBuffer: 1 << 24 },
  });
  s.sackPermitted = true;
  s.timestamps = true;
  s.setMss(MSS);
  s.resume(0, -1, false, 0);
  s.sndWnd = 1 << 28;
  s.established(0);
  return { sender: s, wheel };
}

function run(name: string, segments: number, hole: boolean, acks: number): Result {
  const { sender: s } = sender(segments, 'cubic');
  const chunk = new Uint8Array(2 * MSS);
  const segment = new Segment();
  segment.flags = ACK;
  segment.windowScaled = 1 << 28;
  segment.hasTimestamp = true;
  let now = 1_000_000;
  const fill = (): void => {
    // One segment at a time, as an ACK-clocked sender without super-segments would.
    while (s.unacknowledged < segments * MSS) {
      s.write(chunk, 0, MSS);
      while (s.next(now)) s.sent(now);
    }
  };
  fill();
  let una = 1;
  let high = 1;
  let missing = 0;
  const once = (): void => {
    now += 100;
    high += 2 * MSS;
    if (hole && missing === 0) {
      missing = segments;
      high += MSS;
    }
    if (missing > 0) {
      missing -= 2;
      if (missing <= 0) {
        missing = 0;
        una = high;
      }
    } else una = high;
    if (((s.sndNxt - high) | 0) < 4 * MSS) una = high = s.sndNxt;
    segment.ack = una;
    segment.tsEcr = s.tsVal(now - 50_000);
    segment.sackCount = high > una ? 1 : 0;
    segment.sack[0] = una + MSS;
    segment.sack[1] = high;
    s.onAck(segment, now);
    while (s.next(now)) s.sent(now);
    s.congestion.cwnd = segments * MSS;
    fill();
  };
  for (let i = 0; i < acks / 4; i++) once();
  const heap = process.memoryUsage().heapUsed;
  const from = process.hrtime.bigint();
  for (let i = 0; i < acks; i++) once();
  const ns = Number(process.hrtime.bigint() - from);
  const grown = process.memoryUsage().heapUsed - heap;
  return { name, nsPerAck: ns / acks, bytesPerAck: Math.max(0, grown) / acks };
}

const results = [
  run('clean, window 20', 20, false, 300_000),
  run('clean, window 1000', 1000, false, 300_000),
  run('recovery, window 20', 20, true, 300_000),
  run('recovery, window 1000', 1000, true, 300_000),
];
if (process.argv.includes('--json')) console.log(JSON.stringify(results));
else {
  for (const r of results) {
    console.log(
      `${r.name.padEnd(24)} ${r.nsPerAck.toFixed(0).padStart(6)} ns per ACK with two segments, ${r.bytesPerAck.toFixed(1)} bytes allocated`,
    );
  }
}
