// What RFC 1122 asks of a host, where no other test says it.

import { expect, test } from 'vitest';
import { EINVAL, ENETUNREACH } from '../../src/errno.ts';
import {
  address,
  benchHost,
  describe as describeFrame,
  frame,
  icmpMessage,
  ip,
  ipPacket,
  udpDatagram,
} from '../support/bench-host.ts';
import { twoStacks } from '../support/two-stacks.ts';

const udp = (fields: Parameters<typeof ipPacket>[0] = {}): Uint8Array =>
  frame(ipPacket({ protocol: 17, payload: udpDatagram(5, 9, Uint8Array.of(1, 2, 3)), ...fields }));

function pair() {
  const { a, b, net } = twoStacks();
  const server = b.stack.udp.open();
  expect(server.bind(null, 9)).toBe(0);
  return { a, b, net, server, client: a.stack.udp.open() };
}

test('addresses of 127/8 never appear on a wire, as source or destination (RFC 1122 §3.2.1.3 (g); IP7)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  expect(socket.bind(address('127.0.0.1'), 0)).toBe(0);
  expect(socket.send(Uint8Array.of(1), 0, 1, address('10.9.0.1'), 9)).toBe(ENETUNREACH);
  expect(socket.send(Uint8Array.of(1), 0, 1, address('127.0.0.1'), 9)).toBe(1);
  host.net.settle();
  expect(host.sent()).toEqual([]);
});

test('TOS and TTL are the sender’s to set and the receiver’s to see (RFC 1122 §3.2.1.6, §4.1.4; IP10, IP11, IP14, UDP13)', () => {
  const { b, net, server, client } = pair();
  client.tos = 0x28;
  client.ttl = 7;
  client.send(Uint8Array.of(1), 0, 1, b.address, 9);
  net.run(1000);
  expect(server.receive()).toMatchObject({ tos: 0x28, ttl: 7 });
});

test('nothing is sent with a TTL of zero, which keeps a multicast on the host (RFC 1122 §3.2.1.7; IP12)', () => {
  const host = benchHost({ mtu: 576 });
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  socket.join(address('224.1.1.1'));
  host.stack.flush();
  host.frames();
  socket.ttl = 0;
  expect(socket.send(Uint8Array.of(1), 0, 1, address('10.9.0.1'), 9)).toBe(EINVAL);
  socket.multicastTtl = 0;
  for (const length of [1, 2000]) {
    expect(socket.send(new Uint8Array(length), 0, length, address('224.1.1.1'), 9)).toBe(length);
    host.net.settle();
    expect(host.frames().filter((f) => describeFrame(f).includes('udp'))).toEqual([]);
    expect(socket.receive()?.length).toBe(length);
  }
});

test('a packet that arrives with a TTL of one or zero is delivered (RFC 1122 §3.2.1.7; IP13)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  host.inject(udp({ ttl: 1 }), udp({ ttl: 0 }));
  expect([socket.receive()?.ttl, socket.receive()?.ttl]).toEqual([1, 0]);
});

test('IP options go out as given and come up as received, in fragments too (RFC 1122 §3.2.1.8, §4.1.3.2; IP16, IP17, UDP2, UDP3)', () => {
  const { b, net, server, client } = pair();
  expect(client.setIpOptions(Uint8Array.of(0x94, 4, 0, 0, 1, 0x5e, 4))).toBe(EINVAL); // longer than the header
  expect(client.setIpOptions(Uint8Array.of(0x94, 4, 0, 0, 1, 0x5e, 2))).toBe(0);
  for (const length of [3, 4000]) {
    client.send(new Uint8Array(length), 0, length, b.address, 9);
    net.run(1000);
    const datagram = server.receive();
    expect(datagram?.length).toBe(length);
    expect(datagram?.ipOptions).toEqual(Uint8Array.of(0x94, 4, 0, 0, 1, 0x5e, 2, 0));
  }
  expect(client.setIpOptions(null)).toBe(0);
  client.send(new Uint8Array(1), 0, 1, b.address, 9);
  net.run(1000);
  expect(server.receive()?.ipOptions).toBe(null);
});

test('source routes are not sent, two in one header not received, and more than 40 bytes of options are none (RFC 1122 §3.2.1.8; IP20)', () => {
  const { client } = pair();
  expect(client.setIpOptions(Uint8Array.of(131, 7, 4, 10, 9, 0, 9))).toBe(EINVAL);
  expect(client.setIpOptions(new Uint8Array(41).fill(1))).toBe(EINVAL);
  expect(client.setIpOptions(new Uint8Array(40).fill(1))).toBe(0);
  const host = benchHost({ stack: { acceptSourceRoute: true } });
  const options = Uint8Array.of(131, 7, 8, 10, 9, 0, 7, 131, 7, 8, 10, 9, 0, 7, 0, 0);
  expect(host.inject(udp({ options }))).toEqual(['10.9.0.2 > 10.9.0.1 icmp pointer indicates the error 55']);
});

test('one fragment marked with Congestion Experienced marks the datagram (RFC 3168 §5.3; IP21)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const whole = udpDatagram(5, 9, new Uint8Array(24));
  const piece = (from: number, to: number, more: number, tos: number): Uint8Array =>
    frame(ipPacket({ protocol: 17, payload: whole.subarray(from, to), fragment: more | (from >> 3), tos }));
  host.inject(piece(0, 16, 0x2000, 2), piece(16, 32, 0, 3));
  expect(socket.receive()?.tos).toBe(3);
  host.inject(piece(0, 16, 0x2000, 2), piece(16, 32, 0, 2));
  expect(socket.receive()?.tos).toBe(2);
});

test('an unknown ICMP type and an information request are dropped silently (RFC 1122 §3.2.2, §3.2.2.7; ICMP1, ICMP27)', () => {
  const host = benchHost();
  for (const type of [1, 15, 40, 255]) {
    expect(host.inject(frame(ipPacket({ payload: icmpMessage(type, 0, 0, new Uint8Array(8)) }))), `${type}`).toEqual(
      [],
    );
  }
});

test('parameter problem about a datagram of ours reaches its socket (RFC 1122 §3.2.2.5; ICMP18)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.send(Uint8Array.of(1), 0, 1, address('10.9.0.1'), 77);
  host.stack.flush();
  const [sent] = host.frames();
  host.inject(frame(ipPacket({ payload: icmpMessage(12, 0, 0x14000000, sent.subarray(14)) })));
  expect(socket.takeError()).toMatchObject({ type: 12, code: 0, remotePort: 77 });
});

test('a host sends no redirects: what is not for it is dropped, wherever the way leads (RFC 1122 §3.2.2.2; ICMP13)', () => {
  const host = benchHost();
  host.nic.neighbors.pin(ip('10.9.0.5'), 0x020000000005);
  expect(host.inject(udp({ dst: '10.9.0.5' }))).toEqual([]);
});

test('an echo with a completed source route is answered along it, reversed (RFC 1122 §3.2.2.6; ICMP25)', () => {
  const host = benchHost({ stack: { acceptSourceRoute: true } });
  host.nic.neighbors.pin(ip('10.9.0.77'), 0x020000000077);
  const options = Uint8Array.of(131, 11, 12, 10, 9, 0, 66, 10, 9, 0, 77, 0);
  host.link.incoming.push(frame(ipPacket({ payload: icmpMessage(8, 0, 1), options })));
  host.net.settle();
  const [reply] = host.frames();
  expect([...reply.subarray(30, 34)]).toEqual([10, 9, 0, 77]);
  expect([...reply.subarray(34, 45)]).toEqual([131, 11, 4, 10, 9, 0, 66, 10, 9, 0, 1]);
});

test('a connected socket knows which of our addresses it sends from (RFC 1122 §4.1.3.5; UDP10)', () => {
  const { a, b, client } = pair();
  expect(client.connect(b.address, 9)).toBe(0);
  expect(`${client.local}`).toBe(`${a.address}`);
});
