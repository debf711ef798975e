import { expect, test } from 'vitest';
import type { ChannelOptions } from '../../src/sim/channel.ts';
import { Channel, checkChannel } from '../../src/sim/channel.ts';
import { holdsIpv4, viewOf } from '../../src/sim/ecn.ts';
import { ipFrame } from '../../src/sim/icmp-reply.ts';
import { Port, type SimNode } from '../../src/sim/port.ts';
import { Random } from '../../src/sim/random.ts';
import { Schedule } from '../../src/sim/schedule.ts';
import * as icmpv4 from '../../src/wire/icmpv4.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';

const node: SimNode = {
  name: 'node',
  freePort: () => {
    throw new Error('no port');
  },
};

interface Arrival {
  readonly n: number;
  readonly at: number;
}

/** A channel, and what comes out of it. */
function make(options: ChannelOptions, seed = 1) {
  const schedule = new Schedule(0);
  const arrivals: Arrival[] = [];
  const frames: Uint8Array[] = [];
  const back: Uint8Array[] = [];
  const to = new Port(node, 'to', 2, (frame) => {
    frames.push(frame);
    arrivals.push({ n: viewOf(frame).getUint32(34), at: schedule.now });
  });
  const from = new Port(node, 'from', 1, (frame) => back.push(frame));
  const channel = new Channel(schedule, new Random(seed), from, to, options, true);
  return { schedule, channel, arrivals, frames, back };
}

/** Numbered frame of `length` bytes. */
function numbered(n: number, length = 1000, tos = 0): Uint8Array {
  const frame = ipFrame(0x0a000001, 0x0a000002, ipv4.PROTOCOL_UDP, 64, tos, length - 34);
  viewOf(frame).setUint32(34, n);
  return frame;
}

function send(options: ChannelOptions, count: number, every = 0, seed = 1) {
  const made = make(options, seed);
  for (let n = 0; n < count; n++) made.schedule.add(n * every, () => made.channel.send(numbered(n)));
  while (made.schedule.fire()) {}
  const { counters: c } = made.channel;
  const ends = c.delivered + c.lost + c.overflowed + c.codelDropped + c.tooBig + c.cut + c.filtered;
  expect(c.frames + c.duplicated).toBe(ends);
  return made;
}

const inOrder = (arrivals: readonly Arrival[]): boolean =>
  arrivals.every(({ n }, i) => i === 0 || n > arrivals[i - 1].n);

test('a rate lets frames through one after the other, to the microsecond and without drift', () => {
  const { arrivals } = send({ rate: 1e9, queue: 10_000_000 }, 1000);
  expect(arrivals.length).toBe(1000);
  // 1000 bytes at 1 Gbit/s are 8 µs.
  expect(arrivals[0].at).toBe(8);
  expect(arrivals[999].at).toBe(8000);
});

test('a drop-tail queue holds so many bytes, or so many frames, and drops the rest', () => {
  expect(send({ rate: 1e6, queue: 10_000 }, 50).arrivals.length).toBe(11); // one on the wire and ten behind it
  expect(send({ rate: 1e6, queue: { packets: 5 } }, 50).arrivals.map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5]);
});

test('CoDel leaves a queue alone that empties itself, and drops from one that stands, faster and faster (RFC 8289 §5)', () => {
  const codel = { rate: 8e6, queue: { bytes: 1e6, codel: true } };
  expect(send(codel, 100).channel.counters.codelDropped).toBeLessThanOrEqual(1); // a burst of 100 ms
  // 1.25 times the rate for 2 s: 1 ms per frame, one every 800 µs.
  const { channel, arrivals } = send(codel, 2500, 800);
  const { codelDropped } = channel.counters;
  expect(codelDropped).toBeGreaterThan(20);
  expect(inOrder(arrivals)).toBe(true);
  const lost = new Set(Array.from({ length: 2500 }, (_, n) => n));
  for (const { n } of arrivals) lost.delete(n);
  const times = [...lost].map((n) => n);
  const gaps = times.slice(1).map((n, i) => n - times[i]);
  expect(gaps[1]).toBeGreaterThan(gaps[gaps.length - 1]);
});

test('CoDel marks ECN-capable packets instead of dropping them (RFC 8289 §5.1, RFC 3168 §5)', () => {
  const made = make({ rate: 8e6, queue: { bytes: 1e6, codel: { ecn: true } } });
  for (let n = 0; n < 2500; n++) made.schedule.add(n * 800, () => made.channel.send(numbered(n, 1000, 2)));
  while (made.schedule.fire()) {}
  expect(made.channel.counters.codelDropped).toBe(0);
  const marked = made.frames.filter((frame) => ipv4.ecn(viewOf(frame), 14) === ipv4.ECN_CE);
  expect(marked.length).toBe(made.channel.counters.marked);
  expect(marked.length).toBeGreaterThan(20);
  for (const frame of marked) expect(ipv4.checksumIsValid(viewOf(frame), 14)).toBe(true);
});

test('delay and jitter hold frames back and keep their order', () => {
  const { arrivals } = send({ delay: 20, jitter: 5 }, 300, 100);
  expect(inOrder(arrivals)).toBe(true);
  for (const { n, at } of arrivals) {
    expect(at - n * 100).toBeGreaterThanOrEqual(20_000);
    expect(at - n * 100).toBeLessThanOrEqual(25_000);
  }
});

test('loss takes about its share, and the same frames for the same seed', () => {
  const first = send({ loss: 0.1 }, 2000, 10, 4);
  expect(first.channel.counters.lost).toBeGreaterThan(150);
  expect(first.channel.counters.lost).toBeLessThan(250);
  expect(send({ loss: 0.1 }, 2000, 10, 4).arrivals).toEqual(first.arrivals);
  expect(send({ loss: 0.1 }, 2000, 10, 5).arrivals).not.toEqual(first.arrivals);
});

test('bursts lose frames in a row, in between none (Gilbert, Elliott)', () => {
  const { channel, arrivals } = send({ burst: { begin: 0.01, end: 0.2 } }, 3000, 10);
  const { lost } = channel.counters;
  expect(lost).toBeGreaterThan(60);
  let runs = 0;
  for (let i = 1; i < arrivals.length; i++) if (arrivals[i].n - arrivals[i - 1].n > 1) runs++;
  expect(lost / runs).toBeGreaterThan(2.5);
  expect(lost / runs).toBeLessThan(10);
});

test('a script loses the frames it names', () => {
  const { arrivals } = send({ pass: (_frame, index) => index !== 2 && index !== 3 }, 6, 10);
  expect(arrivals.map(({ n }) => n)).toEqual([0, 1, 4, 5]);
});

test('duplicates arrive twice and late frames are overtaken, but none is lost by either', () => {
  const { channel, arrivals } = send({ duplicate: 0.1, reorder: 0.1, reorderBy: 3 }, 1000, 500);
  expect(channel.counters.duplicated).toBeGreaterThan(60);
  expect(channel.counters.reordered).toBeGreaterThan(60);
  expect(new Set(arrivals.map(({ n }) => n)).size).toBe(1000);
  expect(inOrder(arrivals)).toBe(false);
});

test('corruption flips one bit behind the Ethernet header', () => {
  const { frames, channel } = send({ corrupt: 1 }, 50, 10);
  expect(channel.counters.corrupted).toBe(50);
  for (const [n, frame] of frames.entries()) {
    const whole = numbered(n);
    let bits = 0;
    for (let i = 0; i < whole.length; i++) bits += (whole[i] ^ frame[i]).toString(2).replaceAll('0', '').length;
    expect(bits).toBe(1);
    expect(frame.subarray(0, 14)).toEqual(whole.subarray(0, 14));
  }
});

test('a packet that is too big vanishes, or its sender is told the MTU (RFC 1191 §4)', () => {
  const hole = send({ mtu: 900 }, 3, 10);
  expect(hole.arrivals.length).toBe(0);
  expect(hole.back.length).toBe(0);
  const honest = send({ mtu: 900, tooBig: 'icmp' }, 3, 10);
  expect(honest.arrivals.length).toBe(0);
  expect(honest.back.length).toBe(3);
  const dv = viewOf(honest.back[0]);
  expect(holdsIpv4(dv)).toBe(true);
  expect(ipv4.dst(dv, 14)).toBe(0x0a000001);
  expect(icmpv4.type(dv, 34)).toBe(icmpv4.DESTINATION_UNREACHABLE);
  expect(icmpv4.code(dv, 34)).toBe(icmpv4.FRAGMENTATION_NEEDED);
  expect(icmpv4.mtu(dv, 34)).toBe(900);
  expect(send({ mtu: 986, tooBig: 'icmp' }, 3, 10).arrivals.length).toBe(3);
});

test('a cut cable loses what is under way and what is sent, and nothing after it is mended', () => {
  const made = make({ delay: 10, rate: 8e6, queue: 1e6 });
  for (let n = 0; n < 100; n++) made.schedule.add(n * 1000, () => made.channel.send(numbered(n)));
  made.schedule.add(30_500, () => {
    made.channel.isUp = false;
  });
  made.schedule.add(50_500, () => {
    made.channel.isUp = true;
  });
  while (made.schedule.fire()) {}
  const ns = made.arrivals.map(({ n }) => n);
  expect(ns[0]).toBe(0);
  expect(ns).not.toContain(25); // was under way
  expect(ns).not.toContain(40);
  expect(ns).toContain(60);
  expect(made.channel.counters.cut).toBe(100 - ns.length);
});

test('options that cannot be are refused, and say which', () => {
  expect(() => checkChannel({ loss: 3 }, 'link a–b')).toThrow(
    'link a–b: loss is 3, but must be a probability from 0 to 1',
  );
  expect(() => checkChannel({ delay: -1 }, 'x')).toThrow(/delay is -1/);
  expect(() => checkChannel({ rate: 0 }, 'x')).toThrow(/rate is 0/);
  expect(() => checkChannel({ mtu: 20 }, 'x')).toThrow(/mtu is 20/);
  expect(() => checkChannel({ duplicate: Number.NaN }, 'x')).toThrow(/duplicate/);
});
