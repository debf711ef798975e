import { expect, test } from 'vitest';
import { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE } from '../../src/errno.ts';
import type { IcmpSocket } from '../../src/net/icmp-socket.ts';
import { EV_READABLE } from '../../src/socket.ts';
import { SECOND } from '../../src/world.ts';
import type { BenchHost } from '../support/bench-host.ts';
import {
  address,
  BROADCAST_MAC,
  benchHost,
  frame,
  icmpMessage,
  ip,
  ipPacket,
  PEER_MAC,
  udpDatagram,
} from '../support/bench-host.ts';
import { twoStacks } from '../support/two-stacks.ts';

const closed = (fields: Parameters<typeof ipPacket>[0] = {}): Uint8Array =>
  ipPacket({ protocol: 17, payload: udpDatagram(5, 9, new Uint8Array(8), fields.src, fields.dst), ...fields });
const UNREACHABLE = '10.9.0.2 > 10.9.0.1 icmp port unreachable 44';
/** An error from `from` about `quoted`. */
const complaint = (type: number, code: number, rest: number, quoted: Uint8Array, from = '10.9.0.1'): Uint8Array =>
  frame(ipPacket({ src: from, payload: icmpMessage(type, code, rest, quoted) }));

test('an error quotes the packet as far as 576 bytes allow (RFC 1812 §4.3.2.3), with TOS 0xc0 (§4.3.2.5; ICMP2)', () => {
  const host = benchHost();
  const big = ipPacket({ protocol: 17, payload: udpDatagram(5, 9, new Uint8Array(1000).fill(3)) });
  host.link.incoming.push(frame(big));
  host.net.settle();
  const [answer] = host.frames();
  expect(answer.length - 14).toBe(576);
  expect(answer[15]).toBe(0xc0);
  expect(answer.subarray(14 + 28)).toEqual(big.subarray(0, 548));
});

test('no error is sent about an error, a broadcast, a multicast, a later fragment or a source that is no host (RFC 1122 §3.2.2; ICMP4, ICMP5, ICMP6, ICMP7)', () => {
  const host = benchHost();
  const silent = [
    frame(ipPacket({ payload: icmpMessage(3, 3, 0, closed({ src: '10.9.0.2', dst: '10.9.0.1' })) })),
    frame(closed({ dst: '10.9.0.255' }), BROADCAST_MAC),
    frame(closed({ dst: '255.255.255.255' }), BROADCAST_MAC),
    frame(closed({ dst: '224.0.0.1' }), 0x01005e000001),
    frame(closed({ src: '0.0.0.0', dst: '10.9.0.255' }), BROADCAST_MAC),
    frame(ipPacket({ protocol: 99, fragment: 1, payload: new Uint8Array(8) })),
    frame(ipPacket({ payload: icmpMessage(77, 0, 0) })),
  ];
  for (const bytes of silent) expect(host.inject(bytes)).toEqual([]);
  host.net.run(70 * SECOND);
  expect(host.sent()).toEqual([]);
  expect(host.inject(frame(closed()))).toEqual([UNREACHABLE]);
});

test('errors are rate limited for one destination and for all together (RFC 1812 §4.3.2.8)', () => {
  const host = benchHost();
  const flood = Array.from({ length: 200 }, () => frame(closed()));
  expect(host.inject(...flood).length).toBe(32);
  expect(host.stack.stats.icmpOutRateLimited).toBe(168);
  host.net.run(SECOND / 10);
  expect(host.inject(...flood).length).toBe(10);
  host.net.run(10 * SECOND);
  for (let i = 3; i < 250; i++) host.nic.neighbors.pin(ip(`10.9.0.${i}`), PEER_MAC);
  const many = Array.from({ length: 240 }, (_, i) => frame(closed({ src: `10.9.0.${3 + i}` })));
  expect(host.inject(...many).length).toBe(50);
  // Echo is an answer to a question, and not limited: ping -f loses nothing.
  const pings = Array.from({ length: 500 }, (_, i) => frame(ipPacket({ payload: icmpMessage(8, 0, i) })));
  let replies = 0;
  for (let i = 0; i < 500; i += 100) replies += host.inject(...pings.slice(i, i + 100)).length;
  expect(replies).toBe(500);
});

test('echo to a broadcast is not answered, unless asked for (RFC 1122 §3.2.2.6; ICMP26)', () => {
  const ping = frame(ipPacket({ dst: '10.9.0.255', payload: icmpMessage(8, 0, 1) }), BROADCAST_MAC);
  expect(benchHost().inject(ping)).toEqual([]);
  const willing = benchHost({ stack: { icmp: { respondToBroadcast: true } } });
  expect(willing.inject(ping)).toEqual(['10.9.0.2 > 10.9.0.1 icmp echo reply 8']);
});

test('an echo reply keeps the TOS of the request (RFC 1812 §4.3.3.6 for what hosts may do as well)', () => {
  const host = benchHost();
  host.link.incoming.push(frame(ipPacket({ tos: 0x10, payload: icmpMessage(8, 0, 1) })));
  host.net.settle();
  expect(host.frames()[0][15]).toBe(0x10);
});

test('a bad checksum or a message too short for its type is dropped and counted', () => {
  const host = benchHost();
  const message = icmpMessage(8, 0, 1, new Uint8Array(8));
  message[9] ^= 1;
  host.inject(frame(ipPacket({ payload: message })));
  expect(host.stack.stats.dropIcmpChecksum).toBe(1);
  host.inject(frame(ipPacket({ payload: new Uint8Array([0xff, 0xff, 0, 0]) })));
  expect(host.stack.stats.dropMalformedIcmp).toBe(1);
});

test('a timestamp request is answered in milliseconds since midnight UT (RFC 1122 §3.2.2.8)', () => {
  const host = benchHost();
  host.link.incoming.push(
    frame(ipPacket({ payload: icmpMessage(13, 0, 0x00050006, new Uint8Array(12).fill(1, 0, 4)) })),
  );
  host.net.settle();
  const dv = new DataView(host.frames()[0].buffer);
  expect([dv.getUint8(34), dv.getUint32(38), dv.getUint32(42)]).toEqual([14, 0x00050006, 0x01010101]);
  expect([dv.getUint32(46), dv.getUint32(50)]).toEqual([1000, 1000]);
});

test('an address mask request is answered only when asked for (RFC 1122 §3.2.2.9)', () => {
  const request = frame(ipPacket({ payload: icmpMessage(17, 0, 1, new Uint8Array(4)) }));
  expect(benchHost().inject(request)).toEqual([]);
  const agent = benchHost({ stack: { icmp: { respondToAddressMask: true } } });
  agent.link.incoming.push(request);
  agent.net.settle();
  expect([...agent.frames()[0].subarray(42, 46)]).toEqual([255, 255, 255, 0]);
});

test('source quench changes nothing (RFC 6633, (M55); ICMP16)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.connect(address('10.9.0.1'), 9);
  const quoted = ipPacket({
    src: '10.9.0.2',
    dst: '10.9.0.1',
    protocol: 17,
    payload: udpDatagram(socket.localPort, 9, new Uint8Array(4)),
  });
  expect(host.inject(complaint(4, 0, 0, quoted))).toEqual([]);
  expect(socket.takeError()).toBe(null);
});

function behindGateway(): BenchHost {
  const host = benchHost();
  const { routes } = host.stack;
  routes.add({
    destination: 0,
    prefix: 0,
    gateway: ip('10.9.0.1'),
    nic: host.nic,
    source: null,
    metric: 0,
    origin: 'static',
  });
  return host;
}
const via = (host: BenchHost, to: string): number =>
  host.stack.routes.lookup(ip(to), null, host.net.clock.now)?.gateway ?? 0;

test('a redirect is believed only from the gateway in use, to a neighbour, about a packet of ours (RFC 1122 §3.2.2.2; ICMP14, ICMP15)', () => {
  const ours = ipPacket({
    src: '10.9.0.2',
    dst: '192.0.2.1',
    protocol: 17,
    payload: udpDatagram(5, 9, new Uint8Array(8)),
  });
  const theirs = ipPacket({
    src: '10.9.0.3',
    dst: '192.0.2.1',
    protocol: 17,
    payload: udpDatagram(5, 9, new Uint8Array(8)),
  });
  const gate = ip('10.9.0.1');
  const refused: [string, number, Uint8Array][] = [
    ['10.9.0.9', ip('10.9.0.7'), ours], // not the gateway
    ['10.9.0.1', ip('172.16.0.1'), ours], // not on the link
    ['10.9.0.1', ip('10.9.0.2'), ours], // ourselves
    ['10.9.0.1', ip('10.9.0.255'), ours], // a broadcast
    ['10.9.0.1', ip('10.9.0.7'), theirs], // not our packet
    ['10.9.0.1', ip('10.9.0.7'), ipPacket({ src: '10.9.0.2', dst: '10.9.0.50', payload: new Uint8Array(8) })], // no gateway involved
  ];
  for (const [from, to, quoted] of refused) {
    const host = behindGateway();
    host.inject(complaint(5, 1, to, quoted, from));
    expect(via(host, '192.0.2.1')).toBe(gate);
    expect(host.stack.routes.list().some((route) => route.origin === 'redirect')).toBe(false);
  }
  const host = behindGateway();
  const path = host.stack.paths.resolve(address('192.0.2.1'));
  if (typeof path === 'number') throw new Error('no path');
  host.inject(complaint(5, 1, ip('10.9.0.7'), ours));
  expect(via(host, '192.0.2.1')).toBe(ip('10.9.0.7'));
  expect(via(host, '192.0.2.2')).toBe(gate);
  expect(path.fresh).toBe(false);
  expect(path.refresh()).toBe(0);
  expect(path.nextHop).toBe(ip('10.9.0.7'));
  host.net.run(301 * SECOND);
  expect(path.fresh).toBe(false);
  path.refresh();
  expect(path.nextHop).toBe(gate);
  const stubborn = benchHost({ stack: { icmp: { acceptRedirects: false } } });
  stubborn.stack.routes.add({
    destination: 0,
    prefix: 0,
    gateway: gate,
    nic: stubborn.nic,
    source: null,
    metric: 0,
    origin: 'static',
  });
  stubborn.inject(complaint(5, 1, ip('10.9.0.7'), ours));
  expect(via(stubborn, '192.0.2.1')).toBe(gate);
});

test('errors reach the echo socket whose request they quote: who, what, which request (ICMP3, ICMP17)', () => {
  const host = behindGateway();
  const ping = host.stack.icmp.open() as IcmpSocket;
  const other = host.stack.icmp.open() as IcmpSocket;
  const events: number[] = [];
  ping.owner = { onEvents: (bits) => events.push(bits) };
  ping.sendEcho(address('192.0.2.1'), 5, new Uint8Array(20), { ttl: 1 });
  host.net.settle();
  const [sent] = host.frames();
  expect(sent[22]).toBe(1);
  host.inject(complaint(11, 0, 0, sent.slice(14, 14 + 28)));
  expect(ping.receive()).toMatchObject({ kind: 'error', seq: 5, type: 11, code: 0, errno: EHOSTUNREACH });
  expect(other.receive()).toBe(null);
  expect(events).toEqual([EV_READABLE]);
  // Quotes that are too short, or of a reply, reach nobody.
  host.inject(complaint(11, 0, 0, sent.slice(14, 14 + 27)), complaint(11, 0, 0, sent.slice(14, 14 + 28).with(20, 0)));
  expect(ping.receive()).toBe(null);
});

test('an error about a packet we cannot have sent is ignored (RFC 5927 §4)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.connect(address('10.9.0.1'), 9);
  const payload = udpDatagram(socket.localPort, 9, new Uint8Array(4));
  host.inject(complaint(3, 3, 0, ipPacket({ src: '10.9.0.77', dst: '10.9.0.1', protocol: 17, payload })));
  host.inject(complaint(3, 3, 0, ipPacket({ src: '10.9.0.2', dst: '10.9.0.5', protocol: 17, payload })));
  host.inject(complaint(3, 3, 0, ipPacket({ src: '10.9.0.2', dst: '10.9.0.1', protocol: 17, payload, fragment: 3 })));
  expect(socket.takeError()).toBe(null);
  host.inject(complaint(3, 3, 0, ipPacket({ src: '10.9.0.2', dst: '10.9.0.1', protocol: 17, payload })));
  expect(socket.takeError()).toMatchObject({ errno: ECONNREFUSED, type: 3, code: 3, remotePort: 9 });
});

test('"fragmentation needed" lowers the path MTU, by plateaus when no MTU is named, never below 552, and for ten minutes (RFC 1191; ICMP31)', () => {
  for (const [mtu, expected] of [
    [1400, 1400],
    [0, 1492],
    [1500, 1492], // a router that refuses 1500 bytes cannot mean 1500
    [300, 552],
    [40, 1492],
  ]) {
    const host = behindGateway();
    const ping = host.stack.icmp.open() as IcmpSocket;
    const path = host.stack.paths.resolve(address('192.0.2.1'));
    if (typeof path === 'number') throw new Error('no path');
    expect(ping.sendEcho(address('192.0.2.1'), 1, new Uint8Array(1472), { dontFragment: true })).toBe(0);
    host.net.settle();
    const quoted = host.frames()[0].slice(14, 14 + 28);
    expect(quoted[6] & 0x40).toBe(0x40);
    host.inject(complaint(3, 4, mtu, quoted));
    expect(path.mtu, `${mtu}`).toBe(expected);
    expect(ping.receive()).toMatchObject({ type: 3, code: 4, errno: EMSGSIZE });
    expect(ping.sendEcho(address('192.0.2.1'), 2, new Uint8Array(1472), { dontFragment: true })).toBe(EMSGSIZE);
    host.net.run(601 * SECOND);
    expect(path.mtu).toBe(1500);
    host.net.close();
  }
});

test('a router can only lower a path MTU, and nobody who knows of no packet of ours can do even that', () => {
  const host = behindGateway();
  const quoted = ipPacket({
    src: '10.9.0.2',
    dst: '192.0.2.1',
    payload: icmpMessage(8, 0, 0x12340001, new Uint8Array(8)),
  });
  host.inject(complaint(3, 4, 600, quoted));
  expect(host.stack.pmtu.get(address('192.0.2.1'))).toBe(65535);
  expect(host.stack.pmtu.update(address('192.0.2.1'), 1000, 0)).toBe(true);
  expect(host.stack.pmtu.update(address('192.0.2.1'), 1200, 0)).toBe(false);
  expect(host.stack.pmtu.get(address('192.0.2.1'))).toBe(1000);
});

test('ping -R between two stacks records both ends (ICMP22, ICMP23)', () => {
  const { a, b, net } = twoStacks();
  const ping = a.stack.icmp.open() as IcmpSocket;
  ping.sendEcho(b.address, 1, new Uint8Array(8), { recordRoute: true });
  net.run(SECOND);
  expect(ping.receive()?.route.map(String)).toEqual(['10.9.0.1', '10.9.0.2']);
});

test('echo sockets have identifiers of their own, and close() ends one', () => {
  const host = benchHost();
  const ids = new Set(Array.from({ length: 100 }, () => (host.stack.icmp.open() as IcmpSocket).id));
  expect(ids.size).toBe(100);
  const one = host.stack.icmp.open() as IcmpSocket;
  one.sendEcho(address('10.9.0.1'), 1, new Uint8Array(0));
  one.close();
  host.inject(frame(ipPacket({ payload: icmpMessage(0, 0, (one.id << 16) | 1) })));
  expect(one.receive()).toBe(null);
  expect(one.sendEcho(address('10.9.0.1'), 1, new Uint8Array(0))).toBeLessThan(0);
});
