import { expect, test } from 'vitest';
import { EADDRNOTAVAIL, EMSGSIZE, ENETDOWN, ENETUNREACH } from '../../src/errno.ts';
import { Ring } from '../../src/mem/ring.ts';
import type { Path } from '../../src/net/path.ts';
import type { Stack } from '../../src/stack.ts';
import { formatIpv4 } from '../../src/wire/address.ts';
import * as checksum from '../../src/wire/checksum.ts';
import { SECOND } from '../../src/world.ts';
import { address, benchHost, ip, PEER_MAC, TestLink } from '../support/bench-host.ts';
import { holds, same, sameBytes } from '../support/check.ts';
import { SeededEntropy, twoStacks } from '../support/two-stacks.ts';

const pathTo = (stack: Stack, to: string, from?: string): Path => {
  const path = stack.paths.resolve(address(to), from === undefined ? null : address(from));
  if (typeof path === 'number') throw new Error(`no path to ${to}: ${path}`);
  return path;
};
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 13) & 255);

/** Put the fragments of one datagram back together, checking each header. */
function join(frames: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(65535);
  let total = 0;
  for (const frame of frames) {
    const dv = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const header = (frame[14] & 15) * 4;
    same(checksum.verify(dv, 14, header), true, () => 'header checksum');
    same(dv.getUint16(16), frame.length - 14, () => 'total length');
    const field = dv.getUint16(20);
    const from = (field & 0x1fff) * 8;
    const length = frame.length - 14 - header;
    if ((field & 0x2000) !== 0) same(length % 8, 0, () => 'a multiple of eight');
    else total = from + length;
    whole.set(frame.subarray(14 + header), from);
  }
  return whole.subarray(0, total);
}

test('what does not fit is cut into fragments that make the whole again, at any MTU (RFC 791 §3.2; FRAG9)', () => {
  for (const mtu of [68, 296, 576, 1500, 9000]) {
    const host = benchHost({ mtu });
    const socket = host.stack.udp.open();
    for (const length of [mtu - 28, mtu - 27, 2 * mtu, 20_000, 65_507]) {
      expect(socket.send(bytes(length), 0, length, address('10.9.0.1'), 9)).toBe(length);
      host.stack.flush();
      const frames = host.frames();
      for (const frame of frames) holds(frame.length <= mtu + 14, () => `${frame.length} bytes at MTU ${mtu}`);
      if (length <= mtu - 28) expect(frames.length).toBe(1);
      else expect(frames.length).toBeGreaterThan(1);
      expect(new Set(frames.map((f) => (f[18] << 8) | f[19])).size, 'one id').toBe(1);
      const whole = join(frames);
      sameBytes(whole.subarray(8), bytes(length), () => `${length} bytes, MTU ${mtu}`);
      const dv = new DataView(whole.buffer, 0, whole.length);
      const pseudo = checksum.pseudoV4(ip('10.9.0.2'), ip('10.9.0.1'), 17, whole.length);
      expect(checksum.verify(dv, 0, whole.length, pseudo)).toBe(true);
    }
  }
});

test('trap: fragments still point at their bytes while later packets join the batch', () => {
  const host = benchHost({ mtu: 576 });
  const socket = host.stack.udp.open();
  const lengths = [3000, 10, 65_507, 400, 65_507, 65_507, 1, 30_000, 65_507, 65_507, 65_507, 65_507, 65_507, 5];
  for (const length of lengths) expect(socket.send(bytes(length), 0, length, address('10.9.0.1'), 9)).toBe(length);
  host.stack.flush();
  const datagrams = new Map<number, Uint8Array[]>();
  for (const frame of host.frames()) {
    const id = (frame[18] << 8) | frame[19];
    datagrams.set(id, [...(datagrams.get(id) ?? []), frame]);
  }
  expect([...datagrams.values()].map((frames) => join(frames).length - 8)).toEqual(lengths);
  for (const frames of datagrams.values()) {
    const whole = join(frames).subarray(8);
    sameBytes(whole, bytes(whole.length), () => 'a datagram');
  }
});

test('fragments find room for their headers however full the batch is', () => {
  for (let filler = 1000; filler <= 2000; filler += 40) {
    const host = benchHost({ mtu: 9000 });
    const socket = host.stack.udp.open();
    const lengths = [...new Array<number>(51).fill(8900), filler, 65_507, 100, 65_507];
    for (const length of lengths) socket.send(bytes(length), 0, length, address('10.9.0.1'), 9);
    host.stack.flush();
    const datagrams = new Map<number, Uint8Array[]>();
    for (const frame of host.frames()) {
      const id = (frame[18] << 8) | frame[19];
      datagrams.set(id, [...(datagrams.get(id) ?? []), frame]);
    }
    const joined = [...datagrams.values()].map((frames) => join(frames).slice(8));
    same(joined.map((whole) => whole.length).join(), lengths.join(), () => `filler ${filler}`);
    for (const whole of joined) sameBytes(whole, bytes(whole.length), () => `filler ${filler}`);
    host.net.close();
  }
});

test('with DF what does not fit is refused with EMSGSIZE, and nothing is sent (RFC 1191 §6.1; FRAG7)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.dontFragment = true;
  expect(socket.send(bytes(1472), 0, 1472, address('10.9.0.1'), 9)).toBe(1472);
  expect(socket.send(bytes(1473), 0, 1473, address('10.9.0.1'), 9)).toBe(EMSGSIZE);
  host.stack.flush();
  const frames = host.frames();
  expect(frames.length).toBe(1);
  expect(frames[0][20] & 0x40).toBe(0x40);
});

test('ring payload leaves by reference, wrapped or not, and fragmented when it must be', () => {
  const host = benchHost();
  const path = pathTo(host.stack, '10.9.0.1');
  path.dontFragment = false;
  const ring = new Ring(host.stack.memory);
  ring.reserve(4096, 0, 0);
  for (const [position, length] of [
    [100, 1000],
    [4000, 1000], // wraps
    [2 ** 31 - 500, 1000], // and so do positions
    [3000, 4000], // needs fragments
  ]) {
    ring.write(position | 0, bytes(length), 0, length);
    const { tx } = path.nic;
    const off = tx.begin(path, 8);
    tx.dv.setFloat64(off, 0);
    tx.ring(ring, position | 0, length);
    expect(tx.commit(99, -1, 0)).toBe(0);
    host.stack.flush();
    expect(join(host.frames()).subarray(8)).toEqual(bytes(length));
  }
});

test('ids of datagrams that may be fragmented do not repeat while an earlier one may live (RFC 6864 §4.2)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  const ids: number[] = [];
  for (let i = 0; i < 60_000; i++) {
    socket.send(bytes(1), 0, 1, address('10.9.0.1'), 9);
    if (i % 200 === 199) {
      host.stack.flush();
      for (const frame of host.frames()) ids.push((frame[18] << 8) | frame[19]);
    }
  }
  expect(new Set(ids).size).toBe(60_000);
});

test('a packet that was begun and abandoned leaves no trace', () => {
  const host = benchHost();
  const path = pathTo(host.stack, '10.9.0.1');
  const { tx } = path.nic;
  tx.begin(path, 8);
  tx.begin(path, 8); // begun twice: the first is forgotten
  tx.abandon();
  tx.abandon();
  expect(tx.commit(99, -1, 0)).toBe(0);
  host.stack.flush();
  expect(host.sent()).toEqual([]);
});

test('what a full device refuses is kept in order, offered again, bounded, and the overflow counted', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  host.link.room = 10;
  const numbered = (i: number): Uint8Array => Uint8Array.of(i >> 8, i & 255);
  for (let i = 0; i < 1500; i++) {
    socket.send(numbered(i), 0, 2, address('10.9.0.1'), 9);
    if (i % 64 === 0) host.stack.flush();
  }
  host.stack.flush();
  const tx = host.nic.tx;
  expect(tx.backlog.length).toBe(1024);
  expect(host.stack.stats.ifOutDiscards).toBe(1500 - 10 - 1024);
  expect(host.stack.nextDeadline()).toBeLessThanOrEqual(host.net.clock.now + 1000);
  const order: number[] = [];
  const collect = (): void => {
    for (const frame of host.frames()) order.push((frame[42] << 8) | frame[43]);
  };
  collect();
  for (let round = 0; round < 40; round++) {
    host.link.room = 50;
    host.net.run(1000);
    collect();
  }
  expect(order).toEqual(Array.from({ length: 1034 }, (_, i) => i));
  expect([tx.backlog.length, tx.backlogBytes]).toEqual([0, 0]);
});

test('a NIC that is down sends and receives nothing, and its routes are passed over', () => {
  const host = benchHost();
  const path = pathTo(host.stack, '10.9.0.1');
  // One packet refused by the device, one in the batch: neither is sent when the interface comes back.
  host.link.room = 0;
  for (let i = 0; i < 2; i++) {
    path.nic.tx.begin(path, 8);
    path.nic.tx.commit(99, -1, 0);
    if (i === 0) host.stack.flush();
  }
  host.nic.up = false;
  host.stack.flush();
  host.link.room = Infinity;
  expect(host.nic.counters).toMatchObject({ outFrames: 0, outDiscards: 2 });
  path.nic.tx.begin(path, 8);
  expect(path.nic.tx.commit(99, -1, 0)).toBe(ENETDOWN);
  expect(host.stack.paths.resolve(address('10.9.0.1'))).toBe(ENETUNREACH);
  expect(host.nic.tx.backlog.length).toBe(0);
  host.nic.up = true;
  host.net.run(SECOND);
  expect(host.sent()).toEqual([]);
  expect(typeof host.stack.paths.resolve(address('10.9.0.1'))).toBe('object');
});

test('routing: longest prefix, then metric; the source fits the next hop; what is not ours cannot be a source (RFC 1122 §3.3.1, §3.3.4.3; IP5, IP6, ROUTE1, ROUTE3, ROUTE7, ROUTE9, UDP12, M44)', () => {
  const host = benchHost();
  const { stack, nic } = host;
  nic.addAddress(ip('10.8.0.2'), 16, { acd: 'off' });
  const second = stack.addNic(new TestLink(), { mac: 0x020000000003 });
  second.addAddress(ip('172.16.0.2'), 12, { acd: 'off' });
  const add = (
    to: string,
    prefix: number,
    gateway: string,
    metric: number,
    via = nic,
    source: string | null = null,
  ): void =>
    stack.routes.add({
      destination: ip(to),
      prefix,
      gateway: ip(gateway),
      nic: via,
      source: source === null ? null : ip(source),
      metric,
      origin: 'static',
    });
  add('0.0.0.0', 0, '10.9.0.1', 10);
  add('0.0.0.0', 0, '10.8.0.1', 5);
  add('192.0.2.0', 24, '172.16.0.1', 0, second);
  add('192.0.2.128', 25, '10.9.0.7', 0);
  add('198.51.100.0', 24, '10.9.0.1', 0, nic, '10.8.0.2');
  const way = (to: string): string => {
    const path = pathTo(stack, to);
    return `${formatIpv4(path.nextHop)} from ${path.local}`;
  };
  expect(way('10.9.0.5')).toBe('10.9.0.5 from 10.9.0.2');
  expect(way('10.8.200.5')).toBe('10.8.200.5 from 10.8.0.2');
  expect(way('8.8.8.8')).toBe('10.8.0.1 from 10.8.0.2');
  expect(way('192.0.2.1')).toBe('172.16.0.1 from 172.16.0.2');
  expect(way('192.0.2.129')).toBe('10.9.0.7 from 10.9.0.2');
  expect(way('198.51.100.1')).toBe('10.9.0.1 from 10.8.0.2');
  expect(stack.paths.resolve(address('8.8.8.8'), address('10.9.0.3'))).toBe(EADDRNOTAVAIL);
  expect(pathTo(stack, '8.8.8.8', '10.9.0.2').local.toString()).toBe('10.9.0.2');
  expect(stack.paths.resolve(address('0.0.0.0'))).toBe(ENETUNREACH);
  expect(() => add('192.0.2.1', 24, '10.9.0.1', 0)).toThrow('use 192.0.2.0/24');
  // Removing the better default route leaves the other, and a path finds it.
  const path = pathTo(stack, '8.8.8.8', '10.9.0.2');
  stack.routes.remove((route) => route.metric === 5);
  expect(path.refresh()).toBe(0);
  expect(formatIpv4(path.nextHop)).toBe('10.9.0.1');
  stack.removeNic(second);
  expect(way('192.0.2.1')).toBe('10.9.0.1 from 10.9.0.2');
});

test('longest-prefix lookup agrees with trying every route, for any table', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const { stack, nic } = benchHost();
    stack.routes.remove(() => true);
    const model: { destination: number; prefix: number; metric: number; gateway: number }[] = [];
    for (let i = 0; i < 60; i++) {
      const prefix = pick(33);
      const mask = prefix === 0 ? 0 : -1 << (32 - prefix);
      const destination = entropy.int32() & 0x0f0f00ff & mask;
      const route = { destination, prefix, metric: pick(3), gateway: ip('10.9.0.1') + pick(4) };
      stack.routes.add({ ...route, nic, source: null, origin: 'static' });
      model.push(route);
    }
    for (let i = 0; i < 200; i++) {
      const to = entropy.int32() & 0x0f0f00ff;
      const found = stack.routes.lookup(to, null, 0);
      const fits = model.filter((r) => ((to ^ r.destination) & (r.prefix === 0 ? 0 : -1 << (32 - r.prefix))) === 0);
      const prefix = Math.max(-1, ...fits.map((r) => r.prefix));
      const metric = Math.min(...fits.filter((r) => r.prefix === prefix).map((r) => r.metric));
      same(`${found?.prefix ?? -1} ${found?.metric ?? Infinity}`, `${prefix} ${metric}`, () => `seed ${seed}`);
    }
  }
});

test('a gateway that does not answer is passed over while there is another (RFC 1122 §3.3.1.4; ROUTE4, ROUTE5)', () => {
  const host = benchHost({ peerKnown: false });
  const { stack, nic } = host;
  nic.neighbors.pin(ip('10.9.0.9'), PEER_MAC);
  for (const [gateway, metric] of [
    ['10.9.0.1', 0],
    ['10.9.0.9', 10],
  ] as const)
    stack.routes.add({ destination: 0, prefix: 0, gateway: ip(gateway), nic, source: null, metric, origin: 'static' });
  const socket = stack.udp.open();
  socket.connect(address('192.0.2.1'), 9);
  socket.send(bytes(1), 0, 1);
  host.net.run(6 * SECOND);
  expect(host.sent().filter((line) => line.includes('udp'))).toEqual([]);
  socket.error = 0;
  expect(socket.send(bytes(1), 0, 1)).toBe(1);
  host.net.settle();
  expect(host.sent().filter((line) => line.includes('udp')).length).toBe(1);
});

test('addresses come and go with their routes; a second one of the subnet takes the route over', () => {
  const host = benchHost();
  host.nic.addAddress(ip('10.9.0.3'), 24, { acd: 'off' });
  expect(host.nic.removeAddress(ip('10.9.0.2'))).toBe(true);
  expect(pathTo(host.stack, '10.9.0.1').local.toString()).toBe('10.9.0.3');
  host.nic.removeAddress(ip('10.9.0.3'));
  expect(host.stack.paths.resolve(address('10.9.0.1'))).toBe(ENETUNREACH);
});

test('onWork is called once for any amount of work between two flushes', () => {
  const { a, b } = twoStacks();
  let calls = 0;
  a.stack.flush();
  a.stack.onWork = () => calls++;
  const socket = a.stack.udp.open();
  for (let i = 0; i < 100; i++) socket.send(bytes(1), 0, 1, b.address, 9);
  expect(calls).toBe(1);
  expect(a.stack.nextDeadline()).toBeLessThanOrEqual(a.stack.world.now);
  a.stack.flush();
  socket.send(bytes(1), 0, 1, b.address, 9);
  expect(calls).toBe(2);
});
