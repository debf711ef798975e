// What a connection does when nothing comes: keep-alive, time-outs, ICMP errors, path MTU.
import { expect, test } from 'vitest';
import { ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT } from '../../src/errno.ts';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import { SECOND } from '../../src/world.ts';
import { ACK, Dialogue, mss, RawPeer, SYN } from './raw-peer.ts';
import { pattern } from './support.ts';

const HOUR = 3600 * SECOND;

/** An ICMP "destination unreachable" from `from` that quotes a segment of the stack's with sequence number `seq`. */
function unreachable(peer: RawPeer, code: number, seq: number, mtu = 0, from = '10.9.0.2'): Uint8Array {
  const frame = new Uint8Array(14 + 20 + 8 + 28);
  const dv = new DataView(frame.buffer);
  const us = parseIpv4('10.9.0.1') as number;
  const them = parseIpv4('10.9.0.2') as number;
  ethernet.set(dv, 0, 0x0200000000aa, 0x0200000000bb, ethernet.TYPE_IPV4);
  ipv4.set(dv, 14, 20, 0, 56, 1, 0, 64, ipv4.PROTOCOL_ICMP, parseIpv4(from) as number, us);
  ipv4.updateChecksum(dv, 14);
  dv.setUint8(34, 3);
  dv.setUint8(35, code);
  dv.setUint16(40, mtu);
  ipv4.set(dv, 42, 20, 0, 1500, 1, ipv4.DONT_FRAGMENT, 64, ipv4.PROTOCOL_TCP, us, them);
  ipv4.updateChecksum(dv, 42);
  dv.setUint16(62, peer.stackPort);
  dv.setUint16(64, peer.port);
  dv.setInt32(66, seq | 0);
  dv.setUint16(36, checksum.finish(checksum.sum(dv, 34, 36)));
  return frame;
}

test('keep-alive is off unless asked for, and then waits two hours — RFC 9293 §3.8.4 (M24, M25, M28)', () => {
  const off = new Dialogue();
  off.wait(30 * HOUR);
  off.silent();
  const d = new Dialogue();
  d.connection.setKeepAlive(true);
  d.wait(2 * HOUR - SECOND);
  d.silent();
  d.wait(2 * SECOND);
  // S12: an old number without data.
  const probe = d.one();
  expect(probe).toMatchObject({ flags: '.', seq: d.ack - 1, ack: d.seq });
  expect(probe.data.length).toBe(0);
});

test('an answered probe starts the idle time anew; one lost probe kills nothing; all lost end it with ETIMEDOUT and a reset (M27, M29, S12)', () => {
  const d = new Dialogue();
  d.connection.setKeepAlive(true, 10 * SECOND, SECOND, 3);
  d.wait(10 * SECOND);
  d.one();
  d.wait(SECOND);
  d.one();
  d.say();
  d.silent();
  d.wait(9 * SECOND);
  d.silent();
  d.wait(SECOND);
  expect(d.take().length).toBe(1);
  d.wait(2 * SECOND);
  expect(d.take().length).toBe(2);
  expect(d.state).toBe('ESTABLISHED');
  d.wait(SECOND);
  expect(d.one().flags).toBe('R.');
  expect(d.user.error).toBe(ETIMEDOUT);
});

test('keep-alive probes only when idle: not while data is in flight (M26)', () => {
  const d = new Dialogue();
  d.connection.setKeepAlive(true, 2 * SECOND, SECOND, 3);
  d.user.send(100);
  d.take();
  d.wait(20 * SECOND);
  expect(d.take().every((s) => s.data.length > 0)).toBe(true);
  expect(d.stack.stats.tcpKeepAlive).toBe(0);
});

test('the peer’s keep-alive is answered, with a garbage octet or without — RFC 9293 §3.8.4 (MAY-6)', () => {
  const d = new Dialogue();
  d.say({ seq: d.seq - 1 });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  d.wait(SECOND);
  d.say({ seq: d.seq - 1, data: pattern(0, 1) });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  expect(d.connection.readable).toBe(0);
});

test('data nobody acknowledges ends the connection at R2, not before 100 s — RFC 9293 §3.8.3 (M20, S11)', () => {
  const d = new Dialogue();
  d.user.send(100);
  const start = d.net.clock.now;
  while (!d.user.closed && d.net.clock.now < start + 2 * HOUR) d.wait(10 * SECOND);
  expect(d.user.error).toBe(ETIMEDOUT);
  expect(d.net.clock.now - start).toBeGreaterThan(100 * SECOND);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('at R1 IP is told to doubt the next hop — RFC 9293 §3.8.3 (M20, S10)', () => {
  const d = new Dialogue();
  const { stats } = d.stack;
  const asked = stats.arpOutRequests;
  d.user.send(100);
  d.wait(20 * SECOND); // less than an entry is believed without confirmation
  expect(stats.arpOutRequests).toBeGreaterThan(asked);
  expect(d.state).toBe('ESTABLISHED');
});

test('the user sets R2 — RFC 9293 §3.10.2 (M21), RFC 5482', () => {
  const d = new Dialogue();
  d.connection.userTimeout = 5 * SECOND;
  d.user.send(100);
  d.wait(4 * SECOND);
  expect(d.user.closed).toBe(false);
  d.wait(3 * SECOND);
  expect(d.user.error).toBe(ETIMEDOUT);
});

test('a zero window whose probes are answered keeps the connection open for ever — RFC 9293 §3.8.6.1 (M37)', () => {
  const d = new Dialogue();
  d.user.send(100);
  d.take();
  d.say({ ack: d.ack + 100, window: 0 });
  d.ack += 100;
  d.user.send(100);
  for (let i = 0; i < 40; i++) {
    d.wait(60 * SECOND);
    if (d.take().length > 0) d.say({ window: 0 });
  }
  expect(d.state).toBe('ESTABLISHED');
  d.say({ window: 1000 });
  d.take();
  d.say({ ack: d.connection.sender.sndNxt, window: 1000 });
  d.take();
  expect(d.connection.sender.allSent).toBe(true);
});

test('a soft ICMP error is remembered, never fatal, and explains the time-out — RFC 9293 §3.9.2.2 (M47, M54, M56, S25)', () => {
  const d = new Dialogue();
  d.connection.userTimeout = 5 * SECOND;
  d.user.send(100);
  d.take();
  d.sendFrame(unreachable(d, 1, d.ack));
  expect(d.state).toBe('ESTABLISHED');
  expect(d.connection.softError).toBe(EHOSTUNREACH);
  d.wait(10 * SECOND);
  expect(d.user.error).toBe(EHOSTUNREACH);
});

test('a hard ICMP error ends a connection that is opening, and only that — RFC 5927 §5.2 (M54, S26)', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  peer.sendFrame(unreachable(peer, 3, syn.seq + 5)); // not in flight
  expect(user.state).toBe('SYN-SENT');
  peer.sendFrame(unreachable(peer, 1, syn.seq)); // soft: M56
  expect(user.state).toBe('SYN-SENT');
  peer.sendFrame(unreachable(peer, 3, syn.seq));
  expect(user.error).toBe(ECONNREFUSED);

  const d = new Dialogue();
  d.user.send(10);
  d.take();
  d.sendFrame(unreachable(d, 3, d.ack));
  expect(d.state).toBe('ESTABLISHED');
});

test('a hard ICMP error about a SYN,ACK ends the SYN queue entry, if it quotes it', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500 });
  const synAck = peer.one();
  peer.sendFrame(unreachable(peer, 3, synAck.seq + 1));
  expect(listener.embryos).toBe(1);
  peer.sendFrame(unreachable(peer, 3, synAck.seq));
  expect(listener.embryos).toBe(0);
});

test('fragmentation needed: the segments go again, smaller — RFC 1191 §6.5, RFC 5927 §7.2', () => {
  const d = new Dialogue();
  d.user.send(2920);
  expect(d.take().map((s) => s.data.length)).toEqual([2920]);
  d.sendFrame(unreachable(d, 4, d.ack + 100_000, 1000)); // quotes nothing in flight: ignored
  expect(d.connection.sender.mss).toBe(1460);
  d.sendFrame(unreachable(d, 4, d.ack, 1000));
  expect(d.connection.sender.mss).toBe(960);
  expect(d.connection.info().pathMtu).toBe(1000);
  d.wait(SECOND);
  const again = d.take();
  expect(again[0].seq).toBe(d.ack);
  d.say({ ack: d.ack + 2920 });
  expect(d.connection.unacknowledged).toBe(0);
});

test('source quench and errors about strangers change nothing (M55)', () => {
  const d = new Dialogue();
  d.user.send(100);
  d.take();
  const quench = unreachable(d, 0, d.ack);
  quench[34] = 4;
  const dv = new DataView(quench.buffer);
  dv.setUint16(36, 0);
  dv.setUint16(36, checksum.finish(checksum.sum(dv, 34, 36)));
  d.sendFrame(quench);
  d.port = 9;
  d.sendFrame(unreachable(d, 3, d.ack));
  expect(d.connection.softError).toBe(0);
  expect(d.state).toBe('ESTABLISHED');
});

test('TTL and type of service are the user’s to set (M48, M49)', () => {
  const peer = new RawPeer();
  const user = peer.connect({ ttl: 9, tos: 0x10 });
  user.connection.ttl = 5;
  expect(user.connection.path.ttl).toBe(5);
  expect(user.connection.tos).toBe(0x10);
});

test('every segment has a right checksum and goes out with the MSS the peer can take (M2)', () => {
  const d = new Dialogue({ synOptions: mss(700) });
  d.user.send(5000);
  const seen = d.take();
  expect(seen.reduce((sum, s) => sum + s.data.length, 0)).toBe(5000);
  d.say({ ack: d.ack + 5000 });
  expect(d.connection.unacknowledged).toBe(0);
  expect(Address.parse('10.9.0.2')?.equals(d.connection.remote)).toBe(true);
  expect(tcp.MIN_HEADER).toBe(20);
  expect(ACK).toBe(tcp.ACK);
});
