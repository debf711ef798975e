import { expect, test } from 'vitest';
import { EADDRINUSE, EADDRNOTAVAIL, EINVAL } from '../../src/errno.ts';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import { SECOND } from '../../src/world.ts';
import { ACK, mss, PSH, RawPeer, RST, SYN, sackOk, timestamps, wscale } from './raw-peer.ts';
import { connected, expectNothingLeft, pattern, User, userOf } from './support.ts';

const at = (text: string): Address => Address.parse(text) as Address;

/** Complete a handshake from `srcPort`; returns our next number and the stack's. */
function shake(
  peer: RawPeer,
  srcPort: number,
  options = mss(1460),
  ackOptions: number[] = [],
): { seq: number; ack: number } {
  peer.send({ flags: SYN, seq: 500, srcPort, options });
  const synAck = peer.one();
  expect(synAck.flags).toBe('S.');
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1, srcPort, options: ackOptions });
  return { seq: 501, ack: (synAck.seq + 1) >>> 0 };
}

test('a listener serves many connections at once, each with its own stream', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  const users: User[] = [];
  for (let i = 0; i < 50; i++) {
    const { seq, ack } = shake(peer, 40_000 + i);
    const user = userOf(listener.accept());
    if (user === null) throw new Error('nobody');
    users.push(user);
    peer.send({ flags: ACK | PSH, seq, ack, srcPort: 40_000 + i, data: pattern(0, i + 1) });
    peer.take();
  }
  expect(users.map((user) => user.received)).toEqual(users.map((_, i) => i + 1));
});

test('a full backlog: the final ACK counts as lost, and the connection opens once there is room', () => {
  const peer = new RawPeer();
  const listener = peer.listen({ backlog: 1 });
  peer.send({ flags: SYN, seq: 500, srcPort: 1001 }, { flags: SYN, seq: 600, srcPort: 1002 });
  const [one, two] = peer.take();
  peer.send({ flags: ACK, seq: 501, ack: one.seq + 1, srcPort: 1001 });
  peer.send({ flags: ACK | PSH, seq: 601, ack: two.seq + 1, srcPort: 1002, data: pattern(0, 5) });
  expect(listener.pending).toBe(1);
  expect(listener.embryos).toBe(1);
  expect(peer.stack.stats.tcpListenOverflows).toBe(1);
  // A new SYN waits as well.
  peer.send({ flags: SYN, seq: 700, srcPort: 1003 });
  peer.silent();
  expect(listener.accept()).not.toBeNull();
  peer.wait(SECOND);
  expect(peer.take().at(-1)).toMatchObject({ flags: 'S.', dstPort: 1002 });
  peer.send({ flags: ACK | PSH, seq: 601, ack: two.seq + 1, srcPort: 1002, data: pattern(0, 5) });
  expect(listener.accept()?.readable).toBe(5);
});

test('two stacks with more clients than backlog: all get through, none is refused', () => {
  const { net, a, b, listener } = connected({}, {}, { backlog: 4 });
  const remote = b.tcp.connections()[0].local;
  const users: User[] = [];
  for (let i = 0; i < 30; i++) {
    const c = a.tcp.connect({ remote, remotePort: 80 });
    if (typeof c === 'number') throw new Error('connect');
    users.push(new User(c));
  }
  let accepted = 0;
  // Whose ACK found the queue full gets in as soon as there is room: it does not wait for its back-off.
  for (let t = 0; t < 60 && accepted < 30; t++) {
    if (listener.accept() !== null) accepted++;
    net.run(SECOND / 10);
  }
  expect(accepted).toBe(30);
  expect(users.every((user) => user.connected && user.error === 0)).toBe(true);
});

test('a flood of SYNs meets a bounded queue and then cookies, and a client still gets in — RFC 4987 §3.6', () => {
  const peer = new RawPeer({ tcp: { synQueue: 64 } });
  const listener = peer.listen();
  for (let i = 0; i < 500; i++) peer.send({ flags: SYN, seq: i, srcPort: 2000 + i, options: mss(1460) });
  expect(listener.embryos).toBe(64);
  expect(peer.stack.stats.tcpSyncookiesSent).toBe(500 - 64);
  expect(peer.stack.tcp.demux.flows.size).toBe(64);
  peer.take();
  shake(peer, 60_000);
  const connection = listener.accept();
  expect(connection?.sender.mss).toBe(1460);
  expect(peer.stack.stats.tcpSyncookiesRecv).toBe(1);
});

test('a cookie with timestamps remembers window scale and SACK — RFC 4987 §3.6, RFC 7323', () => {
  const peer = new RawPeer({ tcp: { synCookies: 'always' } });
  const listener = peer.listen();
  const options = [...mss(1460), ...sackOk(), ...timestamps(100, 0), ...wscale(5)];
  peer.send({ flags: SYN, seq: 500, options });
  const synAck = peer.one();
  expect(synAck).toMatchObject({ windowScale: 8, sackPermitted: true, hasTimestamp: true, tsEcr: 100 });
  peer.send({
    flags: ACK | PSH,
    seq: 501,
    ack: synAck.seq + 1,
    window: 1000,
    options: timestamps(101, synAck.tsVal),
    data: pattern(0, 10),
  });
  const connection = listener.accept();
  expect(connection?.info()).toMatchObject({ sack: true, timestamps: true, sendScale: 5, receiveScale: 8 });
  expect(connection?.sender.sndWnd).toBe(32_000);
  expect(connection?.readable).toBe(10);
});

test('a cookie without timestamps does without scale and SACK', () => {
  const peer = new RawPeer({ tcp: { synCookies: 'always' } });
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, options: [...mss(1200), ...sackOk(), ...wscale(5)] });
  const synAck = peer.one();
  expect(synAck).toMatchObject({ windowScale: -1, sackPermitted: false });
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1, window: 1000 });
  const connection = listener.accept();
  expect(connection?.info()).toMatchObject({ sack: false, timestamps: false, sendScale: 0, receiveScale: 0 });
  expect(connection?.sender.sndWnd).toBe(1000);
});

test('a made-up ACK is reset, also while cookies are out', () => {
  const peer = new RawPeer({ tcp: { synCookies: 'always' } });
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, options: mss(1460) });
  const synAck = peer.one();
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 65 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: (synAck.seq + 65) >>> 0 });
  expect(peer.stack.stats.tcpSyncookiesFailed).toBe(1);
  expect(listener.accept()).toBeNull();
});

test('with cookies off a full SYN queue drops', () => {
  const peer = new RawPeer({ tcp: { synQueue: 2, synCookies: 'off' } });
  const listener = peer.listen();
  for (let i = 0; i < 5; i++) peer.send({ flags: SYN, seq: i, srcPort: 2000 + i });
  expect(peer.take().length).toBe(2);
  expect(listener.embryos).toBe(2);
  expect(peer.stack.stats.tcpListenDrops).toBe(3);
});

test('transfers work over connections born from cookies', () => {
  const { net, client, server, a, b, baseline } = connected({ stack: { tcp: { synCookies: 'always' } } });
  client.send(500_000, true);
  server.send(500_000, true);
  net.run(20 * SECOND, () => client.closed && server.closed);
  expect([client.received, server.received]).toEqual([500_000, 500_000]);
  net.run(100 * SECOND);
  expectNothingLeft(a, baseline);
  expectNothingLeft(b, baseline);
});

test('a listener on one address hears only that; different addresses share a port; the more specific wins — RFC 9293 §3.9.1.1 (M42, M43)', () => {
  const peer = new RawPeer();
  peer.nic.addAddress(parseIpv4('10.9.0.7') as number, 24, { acd: 'off' });
  const one = peer.listen({ local: at('10.9.0.1') });
  const seven = peer.listen({ local: at('10.9.0.7') });
  peer.send({ flags: SYN, seq: 1, dst: '10.9.0.7' });
  expect([one.embryos, seven.embryos]).toEqual([0, 1]);
  peer.send({ flags: SYN, seq: 1, dst: '10.9.0.1' });
  expect([one.embryos, seven.embryos]).toEqual([1, 1]);
  seven.close();
  peer.take();
  peer.send({ flags: SYN, seq: 1, dst: '10.9.0.7', srcPort: 7 });
  expect(peer.one().flags).toBe('R.');
});

test('a port that is taken gives EADDRINUSE, an address that is not ours EADDRNOTAVAIL, a port that is none EINVAL', () => {
  const peer = new RawPeer();
  const { tcp } = peer.stack;
  const first = peer.listen({ port: 80 });
  expect(tcp.listen({ port: 80 })).toBe(EADDRINUSE);
  expect(tcp.listen({ port: 80, local: at('10.9.0.1') })).toBe(EADDRINUSE);
  expect(tcp.listen({ port: 81, local: at('10.9.0.99') })).toBe(EADDRNOTAVAIL);
  expect(tcp.listen({ port: 70_000 })).toBe(EINVAL);
  const any = tcp.listen({ port: 0 });
  if (typeof any === 'number') throw new Error('listen');
  expect(any.port).toBeGreaterThanOrEqual(49_152);
  first.close();
  expect(typeof tcp.listen({ port: 80 })).toBe('object');
});

test('closing a listener resets what nobody accepted and forgets the SYN queue; accepted connections live on', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  shake(peer, 1001);
  const kept = listener.accept();
  shake(peer, 1002);
  peer.send({ flags: SYN, seq: 500, srcPort: 1003 });
  peer.take();
  listener.close();
  expect(peer.one()).toMatchObject({ flags: 'R.', dstPort: 1002 });
  expect(peer.stack.tcp.demux.flows.size).toBe(1);
  expect(kept?.state).toBe(4);
  peer.send({ flags: SYN, seq: 500, srcPort: 1004 });
  expect(peer.one().flags).toBe('R.');
});

test('a connection that is reset before it is accepted is still handed out, with its error and its data', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  const { seq, ack } = shake(peer, 1001);
  peer.send({ flags: ACK | PSH, seq, ack, srcPort: 1001, data: pattern(0, 7) });
  peer.take();
  peer.send({ flags: RST, seq: seq + 7, srcPort: 1001 });
  const user = userOf(listener.accept());
  peer.pull();
  expect(user?.received).toBe(7);
  expect(user?.error).toBeLessThan(0);
  expect(user?.closed).toBe(true);
});

test('options that cannot work are refused with their name', () => {
  expect(() => new RawPeer({ tcp: { ttl: 0 } })).toThrow(/ttl/);
  expect(() => new RawPeer({ tcp: { recvBufferMax: 1 } })).toThrow(/recvBufferMax/);
  expect(() => new RawPeer({ tcp: { firstPort: 9, lastPort: 3 } })).toThrow(/ephemeral/);
});
