// What RFC 9293 asks of TCP, where no other test says it.

import { expect, test } from 'vitest';
import { ECONNRESET } from '../../src/errno.ts';
import { ACK, Dialogue, mss, RawPeer, RST, SYN, wscale } from './raw-peer.ts';
import { connected, pattern } from './support.ts';

test('the RTO of a new connection is one second — RFC 6298 §2.1', () => {
  const peer = new RawPeer();
  peer.connect();
  expect(peer.one().flags).toBe('S');
  peer.wait(990_000);
  peer.silent();
  peer.wait(20_000);
  expect(peer.one().flags).toBe('S');
});

test('a passive OPEN leaves connections on the same port as they are — RFC 9293 §3.9.1.1 (M41)', () => {
  const peer = new RawPeer();
  const user = peer.connect({ localPort: 80 });
  const syn = peer.one();
  peer.send({ flags: SYN | ACK, seq: 100, ack: syn.seq + 1 });
  peer.take();
  const listener = peer.listen();
  peer.send({ flags: ACK, seq: 101, ack: syn.seq + 1, data: pattern(0, 3) });
  expect(user.received).toBe(3);
  expect(user.state).toBe('ESTABLISHED');
  expect(listener.accept()).toBe(null);
});

test('the address IP chose stays for the whole connection — RFC 9293 §3.9.1.1 (M44, M45)', () => {
  const pair = connected();
  const local = `${pair.client.connection.local}`;
  expect(local).toBe('10.9.0.1');
  pair.a.nics[1].addAddress(0x0a090009, 24, { acd: 'off' });
  pair.client.send(10_000, true);
  pair.net.run(1_000_000);
  expect(pair.server.received).toBe(10_000);
  expect(`${pair.client.connection.local}`).toBe(local);
});

test('MSS is on SYN segments only, and follows each interface’s MTU — RFC 9293 §3.7.1 (M65, S6)', () => {
  for (const mtu of [1500, 9000]) {
    const peer = new RawPeer({}, mtu);
    const user = peer.connect();
    const syn = peer.one();
    expect(syn.mss).toBe(mtu - 40);
    peer.send({ flags: SYN | ACK, seq: 100, ack: syn.seq + 1, options: mss(1460) });
    user.send(5000, true);
    const rest = peer.take();
    expect(rest.length).toBeGreaterThan(1);
    expect(rest.map((s) => s.mss)).toEqual(rest.map(() => 0));
  }
});

test('what fills the header behind the options is no-operation or zero, and the length covers it — RFC 9293 §3.1 (M69)', () => {
  const d = new Dialogue({ synOptions: [...mss(1460), ...wscale(7), 4, 2] });
  expect(d.synAck).toMatchObject({ mss: 1460, sackPermitted: true, hasTimestamp: false });
  expect(d.synAck.windowScale).toBeGreaterThanOrEqual(0);
});

test('a reset may carry data, which nobody reads — RFC 9293 §3.5.2 (S2)', () => {
  const d = new Dialogue();
  d.say({ flags: RST | ACK, data: 'why' });
  expect(d.user.error).toBe(ECONNRESET);
  expect(d.user.received).toBe(0);
  d.silent();
});

test('type of service may change during a connection and goes out as it is — RFC 9293 §3.9.1.9 (S21, S22)', () => {
  const pair = connected();
  for (const tos of [0xb8, 0x20]) {
    pair.client.connection.tos = tos;
    expect(pair.client.connection.path.tos).toBe(tos);
  }
});
