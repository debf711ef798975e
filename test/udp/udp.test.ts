import { expect, test } from 'vitest';
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EBADF,
  ECONNREFUSED,
  EDESTADDRREQ,
  EHOSTUNREACH,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
} from '../../src/errno.ts';
import { EV_CLOSED, EV_ERROR, EV_READABLE } from '../../src/socket.ts';
import type { UdpSocket } from '../../src/udp/udp-socket.ts';
import { SECOND } from '../../src/world.ts';
import {
  address,
  BROADCAST_MAC,
  benchHost,
  frame,
  ip,
  ipPacket,
  type TestLink,
  udpDatagram,
} from '../support/bench-host.ts';
import { same, sameBytes } from '../support/check.ts';
import { SeededEntropy, twoStacks } from '../support/two-stacks.ts';

const bytes = (length: number, salt = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 13 + salt) & 255);
const arriving = (payload: Uint8Array, srcPort = 5, dstPort = 9, src = '10.9.0.1', dst = '10.9.0.2'): Uint8Array =>
  frame(ipPacket({ src, dst, protocol: 17, payload: udpDatagram(srcPort, dstPort, payload, src, dst) }));

function pair(offload?: number) {
  const { a, b, net } = twoStacks({ offload });
  const server = b.stack.udp.open();
  expect(server.bind(null, 123)).toBe(0);
  return { a, b, net, server, client: a.stack.udp.open() };
}

test('datagrams of any length arrive whole, with who sent them, where to and when (UDP8)', () => {
  for (const offload of [undefined, 0]) {
    const { a, b, net, server, client } = pair(offload);
    client.ttl = 33;
    client.tos = 0xb8;
    for (const length of [0, 1, 2, 1471, 1472, 1473, 9000, 65_507]) {
      expect(client.send(bytes(length), 0, length, b.address, 123)).toBe(length);
      net.run(1000);
      const datagram = server.receive();
      sameBytes(datagram?.data, bytes(length), () => `${length} bytes`);
      expect(datagram).toMatchObject({ length, remotePort: client.localPort, localPort: 123, ttl: 33, tos: 0xb8 });
      expect([`${datagram?.remote}`, `${datagram?.local}`]).toEqual([`${a.address}`, `${b.address}`]);
      expect(net.clock.now - (datagram?.receivedAt ?? 0)).toBeLessThanOrEqual(1000);
      expect((datagram?.wallClock ?? 0) - (datagram?.receivedAt ?? 0)).toBe(net.clock.epoch);
      // And back, to where it came from.
      expect(server.send(bytes(3), 1, 2, datagram?.remote, datagram?.remotePort)).toBe(2);
      net.run(1000);
      expect(client.receive()?.data).toEqual(bytes(3).subarray(1));
    }
    expect(client.send(bytes(1), 0, 65_508, b.address, 123)).toBe(EMSGSIZE);
  }
});

test('a wrong checksum is dropped and counted, a zero one accepted (RFC 1122 §4.1.3.4), and ours is always there (UDP5, UDP6, UDP7)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const good = arriving(bytes(5));
  host.inject(good.with(43, good[43] ^ 1));
  expect(host.stack.stats.dropUdpChecksum).toBe(1);
  host.inject(good.with(40, 0).with(41, 0));
  expect(socket.receive()?.length).toBe(5);
  // A payload whose sum comes out as zero is sent as all ones.
  let zero = 0;
  for (let i = 0; i < 65536 && zero === 0; i++) {
    socket.send(Uint8Array.of(i >> 8, i & 255), 0, 2, address('10.9.0.1'), 9);
    if (i % 128 !== 127) continue;
    host.stack.flush();
    for (const sent of host.frames()) {
      same((sent[40] | sent[41]) === 0, false, () => 'no checksum');
      if ((sent[40] & sent[41]) === 255) zero++;
    }
  }
  expect(zero).toBe(1);
});

test('a length below eight or beyond the packet is dropped; bytes behind it are not payload (UDP14)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const datagram = (length: number): Uint8Array => {
    const payload = udpDatagram(5, 9, bytes(10));
    payload[5] = length;
    payload[6] = 0;
    payload[7] = 0;
    return frame(ipPacket({ protocol: 17, payload }));
  };
  host.inject(datagram(7), datagram(19), frame(ipPacket({ protocol: 17, payload: new Uint8Array(7) })));
  expect(host.stack.stats.dropMalformedUdp).toBe(3);
  host.inject(datagram(12));
  expect(socket.receive()?.data).toEqual(bytes(4));
});

test('a closed port is answered with port unreachable, but not to a broadcast (RFC 1122 §4.1.3.1)', () => {
  const host = benchHost();
  expect(host.inject(arriving(bytes(4), 5, 77))).toEqual(['10.9.0.2 > 10.9.0.1 icmp port unreachable 40']);
  const broadcast = frame(
    ipPacket({ dst: '10.9.0.255', protocol: 17, payload: udpDatagram(5, 77, bytes(4), '10.9.0.1', '10.9.0.255') }),
    BROADCAST_MAC,
  );
  expect(host.inject(broadcast)).toEqual([]);
  expect(host.stack.stats.dropUdpNoPort).toBe(2);
});

test('port unreachable is ECONNREFUSED on a connected socket, once, and a report on an unconnected one (RFC 1122 §4.1.3.3; ICMP12, UDP4)', () => {
  const { b, net, client } = pair();
  const heard: number[] = [];
  client.owner = { onEvents: (events) => heard.push(events) };
  client.connect(b.address, 9999);
  client.send(bytes(1), 0, 1);
  net.run(1000);
  expect(heard).toEqual([EV_ERROR]);
  expect(client.send(bytes(1), 0, 1)).toBe(ECONNREFUSED);
  expect(client.send(bytes(1), 0, 1)).toBe(1);
  const other = client; // disconnect, and errors no longer stick
  net.run(1000);
  while (other.takeError() !== null) {}
  other.error = 0;
  expect(other.disconnect()).toBe(0);
  other.send(bytes(1), 0, 1, b.address, 9999);
  net.run(1000);
  expect(other.error).toBe(0);
  const report = other.takeError();
  expect(report).toMatchObject({ errno: ECONNREFUSED, type: 3, code: 3, remotePort: 9999 });
  expect(`${report?.from}`).toBe('10.9.0.2');
  expect(other.takeError()).toBe(null);
});

test('a host that does not answer ARP is EHOSTUNREACH', () => {
  const { net, client } = pair();
  client.connect(address('10.9.0.77'), 9);
  client.send(bytes(1), 0, 1);
  net.run(10 * SECOND);
  expect(client.takeError()).toMatchObject({ errno: EHOSTUNREACH });
});

test('a connected socket hears its peer only, and its port stays free for others', () => {
  const { a, b, net, server, client } = pair();
  client.bind(null, 4000);
  expect(client.connect(b.address, 123)).toBe(0);
  expect(client.connect(b.address, 123)).toBe(EISCONN);
  expect(client.send(bytes(1), 0, 1, b.address, 123)).toBe(EISCONN);
  const stranger = b.stack.udp.open();
  stranger.send(bytes(1), 0, 1, a.address, 4000);
  net.run(1000);
  expect(client.receive()).toBe(null);
  expect(stranger.takeError()).toMatchObject({ errno: ECONNREFUSED });
  server.send(bytes(1), 0, 1, a.address, 4000);
  net.run(1000);
  expect(client.receive()?.remotePort).toBe(123);
  expect(client.disconnect()).toBe(0);
  expect(client.disconnect()).toBe(ENOTCONN);
  stranger.send(bytes(1), 0, 1, a.address, 4000);
  net.run(1000);
  expect(client.receive()).not.toBe(null);
});

test('binding: EADDRINUSE where addresses overlap, unless both share; EADDRNOTAVAIL for what is not ours; EINVAL twice (UDP9)', () => {
  const { stack } = benchHost();
  const open = (local: string | null, port: number, reuseAddr = false): number =>
    stack.udp.open().bind(local === null ? null : address(local), port, { reuseAddr });
  expect(open('10.9.0.2', 53)).toBe(0);
  expect(open('127.0.0.1', 53)).toBe(0);
  expect(open(null, 53)).toBe(EADDRINUSE);
  expect(open('10.9.0.2', 53)).toBe(EADDRINUSE);
  expect(open('10.9.0.2', 53, true)).toBe(EADDRINUSE);
  expect(open(null, 54, true)).toBe(0);
  expect(open('10.9.0.2', 54, true)).toBe(0);
  expect(open('10.9.0.3', 55)).toBe(EADDRNOTAVAIL);
  expect(open('224.0.0.251', 5353)).toBe(0);
  expect(open('10.9.0.255', 67)).toBe(0);
  const socket = stack.udp.open();
  expect(socket.bind(null, 65_536)).toBe(EINVAL);
  expect(socket.bind(null, 0)).toBe(0);
  expect(socket.bind(null, 0)).toBe(EINVAL);
});

test('port 0 gives a free random port of the dynamic range, until there is none (RFC 6056 §3.3.2)', () => {
  const { stack } = benchHost({ stack: { udp: { firstPort: 50_000, lastPort: 50_099 } } });
  const ports = Array.from({ length: 100 }, () => {
    const socket = stack.udp.open();
    expect(socket.bind(null, 0)).toBe(0);
    return socket.localPort;
  });
  expect(new Set(ports).size).toBe(100);
  expect(Math.min(...ports)).toBe(50_000);
  const sorted = [...ports].sort((x, y) => x - y);
  expect(ports).not.toEqual(sorted);
  expect(stack.udp.open().bind(null, 0)).toBe(EADDRINUSE);
});

test('a datagram goes to the socket of its very address before one for any address', () => {
  const host = benchHost();
  host.nic.addAddress(ip('10.9.0.3'), 24, { acd: 'off' });
  const any = host.stack.udp.open();
  const one = host.stack.udp.open();
  any.bind(null, 9, { reuseAddr: true });
  one.bind(address('10.9.0.3'), 9, { reuseAddr: true });
  host.inject(arriving(bytes(1)), arriving(bytes(2), 5, 9, '10.9.0.1', '10.9.0.3'));
  expect([any.pendingCount, one.pendingCount]).toEqual([1, 1]);
  expect(one.receive()?.length).toBe(2);
  // The source address can be chosen (RFC 1122 §4.1.3.5).
  any.send(bytes(1), 0, 1, address('10.9.0.1'), 5, address('10.9.0.3'));
  host.stack.flush();
  expect(host.sent()).toEqual(['10.9.0.3 > 10.9.0.1 udp 9 > 5 9']);
  expect(any.send(bytes(1), 0, 1, address('10.9.0.1'), 5, address('10.9.0.99'))).toBe(EADDRNOTAVAIL);
});

test('broadcasting needs permission (EACCES), reaches every sharer, ourselves too, and leaves as a broadcast frame (CAST2)', () => {
  const { a, b, net, server } = pair();
  const sharers = [b.stack.udp.open(), b.stack.udp.open()];
  for (const socket of sharers) expect(socket.bind(null, 4444, { reuseAddr: true })).toBe(0);
  const sender = a.stack.udp.open();
  const own = a.stack.udp.open();
  own.bind(null, 4444);
  for (const to of ['10.9.0.255', '255.255.255.255']) {
    expect(sender.send(bytes(4), 0, 4, address(to), 4444)).toBe(sender.broadcast ? 4 : EACCES);
    sender.broadcast = true;
    expect(sender.send(bytes(4), 0, 4, address(to), 4444)).toBe(4);
    net.run(1000);
    for (const socket of [...sharers, own]) {
      const datagram = socket.receive();
      expect(`${datagram?.local} ${datagram?.length} ${datagram?.remote}`).toBe(`${to} 4 10.9.0.1`);
      while (socket.receive() !== null) {}
    }
  }
  expect(server.receive()).toBe(null);
  const { link, ...host } = benchHost();
  const socket = host.stack.udp.open();
  socket.broadcast = true;
  socket.send(bytes(1), 0, 1, address('10.9.0.255'), 1);
  host.stack.flush();
  expect([...link.outgoing[0].subarray(0, 6)]).toEqual([255, 255, 255, 255, 255, 255]);
});

test('the receive buffer is bounded, drops are counted, and what was kept is in order', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  socket.recvBufferSize = 10_000;
  for (let i = 0; i < 100; i++) host.inject(arriving(bytes(1000, i)));
  expect(socket.pendingCount).toBe(9);
  expect(socket.pending).toBeLessThanOrEqual(10_000);
  expect([socket.drops, host.stack.stats.dropUdpBufferFull, host.stack.stats.udpRcvbufErrors]).toEqual([91, 91, 91]);
  for (let i = 0; i < 9; i++) expect(socket.receive()?.data).toEqual(bytes(1000, i));
  expect(socket.receive()).toBe(null);
  for (let i = 0; i < 500; i++) host.inject(arriving(bytes(0)));
  expect(socket.pendingCount).toBe(Math.floor(10_000 / 64));
});

test('the datagram taken last stays whole while others come in', () => {
  const host = benchHost({ mtu: 9000 });
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  host.inject(arriving(bytes(3000, 1)));
  const held = socket.receive();
  for (let salt = 2; salt < 6; salt++) {
    host.inject(arriving(bytes(3000, salt)));
    expect(held?.data).toEqual(bytes(3000, 1));
  }
  for (let salt = 2; salt < 6; salt++) expect(socket.receive()?.data).toEqual(bytes(3000, salt));
});

test('any mix of sending, receiving and holding on to the last datagram gives every byte back, as a plain queue would', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const { b, net, server, client } = pair();
    server.recvBufferSize = 100_000;
    const model: Uint8Array[] = [];
    let held: { data: () => Uint8Array; wanted: Uint8Array } | null = null;
    for (let step = 0; step < 200; step++) {
      if (pick(2) === 0) {
        const payload = bytes(pick(pick(5) === 0 ? 9000 : 300), step);
        client.send(payload, 0, payload.length, b.address, 123);
        net.run(100);
        if (server.drops === 0) model.push(payload);
      } else {
        if (held !== null) sameBytes(held.data(), held.wanted, () => `seed ${seed}: the held datagram changed`);
        const datagram = server.receive();
        const wanted = model.shift();
        same(datagram === null, wanted === undefined, () => `seed ${seed} step ${step}`);
        if (wanted !== undefined) sameBytes(datagram?.data, wanted, () => `seed ${seed} step ${step}`);
        held = datagram === null || wanted === undefined ? null : { data: () => datagram.data, wanted };
      }
      if (server.drops > 0) throw new Error(`seed ${seed}: the test fills the buffer`);
    }
    net.close();
  }
});

test('multicast: joining hears a group, leaving does not, TTL is one, and our own members hear us (RFC 1112 §6, §7; CAST4)', () => {
  const { a, b, net } = twoStacks();
  const group = address('239.1.2.3');
  const listen = (stack: typeof a.stack): UdpSocket => {
    const socket = stack.udp.open();
    socket.bind(null, 7777, { reuseAddr: true });
    return socket;
  };
  const [here, there, deaf] = [listen(a.stack), listen(b.stack), listen(b.stack)];
  expect(there.join(group)).toBe(0);
  expect(there.join(group)).toBe(EADDRINUSE);
  expect(here.join(group)).toBe(0);
  expect(here.join(address('10.9.0.2'))).toBe(EINVAL);
  deaf.join(address('239.9.9.9'));
  net.run(3 * SECOND);
  const sender = a.stack.udp.open();
  expect(sender.send(bytes(5), 0, 5, group, 7777)).toBe(5);
  net.run(1000);
  expect(there.receive()).toMatchObject({ length: 5, ttl: 1 });
  expect(here.receive()?.length).toBe(5);
  expect(deaf.receive()).toBe(null);
  sender.multicastLoop = false;
  expect(there.leave(group)).toBe(0);
  expect(there.leave(group)).toBe(EADDRNOTAVAIL);
  sender.send(bytes(5), 0, 5, group, 7777);
  net.run(1000);
  expect([there.receive(), here.receive()]).toEqual([null, null]);
});

test('a super-datagram from the device is taken apart into its datagrams (VIRTIO 1.2 §5.1.6.4.2)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const wire = arriving(bytes(2500));
  const link = host.nic.link as TestLink;
  link.receive = (rx) => {
    rx.clear();
    if (link.incoming.length === 0) return 0;
    rx.push(link.incoming.shift() as Uint8Array);
    const off = (rx.desc[0] & 0xffffff) - 12;
    rx.dv.setUint8(off, 1);
    rx.dv.setUint8(off + 1, 5);
    rx.dv.setUint16(off + 4, 1000, true);
    return 1;
  };
  host.inject(wire);
  expect([socket.receive()?.data, socket.receive()?.data, socket.receive()?.data]).toEqual([
    bytes(2500).subarray(0, 1000),
    bytes(2500).subarray(1000, 2000),
    bytes(2500).subarray(2000),
  ]);
  expect(socket.receive()).toBe(null);
});

test('misuse has an errno, and a closed socket gives everything back and says so once', () => {
  const { a, b, net, client, server } = pair();
  expect(client.send(bytes(1), 0, 1)).toBe(EDESTADDRREQ);
  expect(client.send(bytes(1), 0, 1, b.address, 0)).toBe(EINVAL);
  expect(client.connect(b.address, 0)).toBe(EINVAL);
  client.send(bytes(1), 0, 1, b.address, 123);
  net.run(1000);
  const heard: number[] = [];
  server.owner = { onEvents: (events) => heard.push(events) };
  server.close();
  server.close();
  net.run(1000);
  expect(heard).toEqual([EV_CLOSED]);
  expect(server.send(bytes(1), 0, 1, a.address, 1)).toBe(EBADF);
  expect(server.bind(null, 1)).toBe(EBADF);
  const again = b.stack.udp.open();
  expect(again.bind(null, 123)).toBe(0);
  net.close();
  expect(a.stack.memory.used + b.stack.memory.used).toBe(0);
});

test('an owner hears once per batch, however many datagrams came', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const heard: number[] = [];
  socket.owner = { onEvents: (events) => heard.push(events) };
  host.inject(...Array.from({ length: 20 }, (_, i) => arriving(bytes(i))));
  expect(heard).toEqual([EV_READABLE]);
  expect(socket.pendingCount).toBe(20);
});
