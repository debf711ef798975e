import { expect, test } from 'vitest';
import type { UdpSocket } from '../../src/udp/udp-socket.ts';
import { SECOND } from '../../src/world.ts';
import type { BenchHost } from '../support/bench-host.ts';
import { benchHost, frame, ipPacket, udpDatagram } from '../support/bench-host.ts';
import { sameBytes } from '../support/check.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const MORE = 0x2000;

/** [from, end) of `whole` as a fragment; more follow unless it ends the datagram. */
const piece = (whole: Uint8Array, from: number, end: number, id = 7, more = end < whole.length): Uint8Array =>
  frame(ipPacket({ protocol: 17, id, fragment: (more ? MORE : 0) | (from >> 3), payload: whole.subarray(from, end) }));

const listen = (host: BenchHost): UdpSocket => {
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  return socket;
};
const payload = (length: number, salt = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + salt) & 255);
const datagram = (length: number, salt = 1): Uint8Array => udpDatagram(5, 9, payload(length, salt));

function shuffle<T>(items: T[], seed: number): T[] {
  const entropy = new SeededEntropy(seed);
  for (let i = items.length - 1; i > 0; i--) {
    const k = (entropy.int32() >>> 0) % (i + 1);
    [items[i], items[k]] = [items[k], items[i]];
  }
  return items;
}

test('fragments make the datagram in any order, cut anywhere, repeated or not (RFC 791 §3.2, RFC 1122 §3.3.2; FRAG1)', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const host = benchHost();
    const socket = listen(host);
    const whole = datagram(1 + pick(9000), seed);
    const frames: Uint8Array[] = [];
    for (let at = 0; at < whole.length; ) {
      const end = Math.min(whole.length, at + 8 * (1 + pick(180)));
      frames.push(piece(whole, at, end));
      if (pick(4) === 0) frames.push(piece(whole, at, end));
      at = end;
    }
    host.inject(...shuffle(frames, seed));
    sameBytes(socket.receive()?.data, whole.subarray(8), () => `seed ${seed}`);
    expect(socket.receive()).toBe(null);
  }
});

test('the largest datagram of all, 65,515 bytes of payload, comes together (FRAG2, FRAG5, FRAG6)', () => {
  const host = benchHost();
  const socket = listen(host);
  const whole = datagram(65507);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += 1480) frames.push(piece(whole, at, Math.min(whole.length, at + 1480)));
  host.inject(...frames.reverse());
  expect(socket.receive()?.length).toBe(65507);
  host.net.close();
  expect(host.stack.memory.used).toBe(0);
});

test('trap: an overlap that is not an exact copy drops the whole datagram, and what is still to come of it (RFC 5722 §4)', () => {
  const whole = datagram(3000);
  for (const [from, end] of [
    [8, 24],
    [0, 808],
    [792, 1600],
    [796 & ~7, 1608],
    [0, 1600],
  ]) {
    const host = benchHost();
    const socket = listen(host);
    host.inject(piece(whole, 0, 800), piece(whole, 1600, whole.length), piece(whole, from, end));
    expect(host.stack.stats.dropFragmentOverlap, `${from}-${end}`).toBe(1);
    host.inject(piece(whole, 800, 1600), piece(whole, 0, 800));
    expect(socket.receive(), `${from}-${end}`).toBe(null);
    expect(host.stack.stats.ipReasmFails).toBe(1);
    expect(host.stack.fragments.bytes).toBe(0);
    // After its time another datagram may use the id.
    host.net.run(61 * SECOND);
    host.inject(piece(whole, 0, 800), piece(whole, 800, whole.length));
    expect(socket.receive()?.data).toEqual(whole.subarray(8));
  }
});

test('a fragment that covers two others exactly is no copy of either (RFC 5722 §4)', () => {
  const whole = datagram(3000);
  const host = benchHost();
  host.inject(piece(whole, 0, 800), piece(whole, 800, 1600), piece(whole, 0, 1600));
  expect(host.stack.stats.dropFragmentOverlap).toBe(1);
  const part = benchHost();
  part.inject(piece(whole, 0, 1600), piece(whole, 0, 800));
  expect(part.stack.stats.dropFragmentOverlap).toBe(1);
});

test('trap: fragments whose length is not a multiple of eight are dropped, with a parameter problem (RFC 791 §3.2)', () => {
  const host = benchHost();
  const whole = datagram(3000);
  expect(host.inject(piece(whole, 0, 801))).toEqual(['10.9.0.2 > 10.9.0.1 icmp pointer indicates the error 556']);
  // About a later fragment nothing is said (RFC 1122 §3.2.2).
  expect(host.inject(piece(whole, 800, 1601))).toEqual([]);
  expect(host.stack.stats.dropFragmentInvalid).toBe(2);
  expect(host.stack.fragments.size).toBe(0);
});

test('more than 65,535 bytes in total is dropped (the ping of death)', () => {
  const host = benchHost();
  const tail = frame(ipPacket({ protocol: 17, fragment: 8189, payload: new Uint8Array(100) }));
  expect(host.inject(tail)).toEqual([]);
  expect(host.stack.stats.dropFragmentInvalid).toBe(1);
  expect(host.stack.fragments.size).toBe(0);
});

test('a second, different end, and bytes behind the end, spoil the datagram', () => {
  const whole = datagram(3000);
  const host = benchHost();
  const socket = listen(host);
  host.inject(piece(whole, 800, 1600, 7, false), piece(whole, 1600, 2400), piece(whole, 0, 800));
  expect(socket.receive()).toBe(null);
  expect(host.stack.stats.dropFragmentInvalid + host.stack.stats.dropFragmentOverlap).toBeGreaterThan(0);
  // The same when the end comes after what lies behind it.
  const late = benchHost();
  const other = listen(late);
  late.inject(piece(whole, 1600, 2400), piece(whole, 800, 1600, 7, false), piece(whole, 0, 800));
  expect(late.stack.stats.dropFragmentInvalid).toBe(1);
  expect(other.receive()).toBe(null);
});

test('tiny fragments of eight bytes are put together, since RFC 791 allows them', () => {
  const host = benchHost();
  const socket = listen(host);
  const whole = datagram(200);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += 8) frames.push(piece(whole, at, Math.min(whole.length, at + 8)));
  host.inject(...shuffle(frames, 3));
  expect(socket.receive()?.data).toEqual(whole.subarray(8));
});

test('after 60 s an unfinished datagram is given up, with time exceeded if fragment zero came (RFC 1122 §3.3.2; FRAG3, FRAG4)', () => {
  const whole = datagram(3000);
  const first = benchHost();
  first.inject(piece(whole, 0, 800));
  first.net.run(59 * SECOND);
  expect(first.sent()).toEqual([]);
  first.net.run(2 * SECOND);
  expect(first.sent()).toEqual(['10.9.0.2 > 10.9.0.1 icmp fragment reassembly time exceeded 556']);
  const other = benchHost();
  other.inject(piece(whole, 800, 1600));
  other.net.run(61 * SECOND);
  expect(other.sent()).toEqual([]);
  for (const { stack } of [first, other]) {
    expect(stack.stats.ipReasmTimeouts).toBe(1);
    expect(stack.fragments.bytes + stack.fragments.size).toBe(0);
  }
});

test('datagrams differ by source, destination, protocol and id; nothing mixes', () => {
  const host = benchHost();
  const socket = listen(host);
  const wholes = Array.from({ length: 40 }, (_, i) => datagram(2000, i));
  const frames = wholes.flatMap((whole, i) => [piece(whole, 0, 1000, i), piece(whole, 1000, whole.length, i)]);
  host.inject(...shuffle(frames, 9));
  const got = new Set<string>();
  for (let d = socket.receive(); d !== null; d = socket.receive()) got.add(d.data.join());
  expect(got).toEqual(new Set(wholes.map((whole) => whole.subarray(8).join())));
});

test('memory for fragments is bounded: the oldest datagrams go first', () => {
  const host = benchHost({ stack: { reassembly: { limit: 256 * 1024 } } });
  const socket = listen(host);
  for (let id = 0; id < 1000; id++) {
    host.inject(piece(datagram(3000, id), 1600, 2400, id));
    expect(host.stack.fragments.bytes).toBeLessThanOrEqual(256 * 1024);
  }
  expect(host.stack.fragments.size).toBeLessThanOrEqual(256);
  expect(host.stack.stats.dropFragmentMemory).toBeGreaterThan(700);
  const whole = datagram(3000, 5);
  host.inject(piece(whole, 0, 800, 2000), piece(whole, 800, whole.length, 2000));
  expect(socket.receive()?.data).toEqual(whole.subarray(8));
});
