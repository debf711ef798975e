import { expect, test } from 'vitest';
import { EHOSTUNREACH } from '../../src/errno.ts';
import type { IcmpSocket } from '../../src/net/icmp-socket.ts';
import { DELAY, PERMANENT, PROBE, REACHABLE, STALE } from '../../src/net/neighbor.ts';
import * as arp from '../../src/wire/arp.ts';
import { SECOND } from '../../src/world.ts';
import {
  address,
  arpFrame,
  BROADCAST_MAC,
  benchHost,
  frame,
  icmpMessage,
  ip,
  ipPacket,
  OUR_MAC,
  PEER_MAC,
} from '../support/bench-host.ts';
import { twoStacks } from '../support/two-stacks.ts';

const unknown = { peerKnown: false };
const ask = (host: ReturnType<typeof benchHost>, to = '10.9.0.1'): IcmpSocket => {
  const ping = host.stack.icmp.open() as IcmpSocket;
  expect(ping.sendEcho(address(to), 1, new Uint8Array(4))).toBe(0);
  host.stack.flush();
  return ping;
};

test('a request for our address is answered to its sender only, and the sender is learnt (RFC 826)', () => {
  const host = benchHost(unknown);
  expect(host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' }))).toEqual(['arp 10.9.0.2 is here']);
  expect(host.nic.neighbors.find(ip('10.9.0.1'))).toMatchObject({ mac: PEER_MAC, state: STALE });
});

test('there is no reply for addresses that are not ours, and none is learnt from such requests (RFC 826)', () => {
  const host = benchHost(unknown);
  expect(host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.3' }))).toEqual([]);
  expect(host.inject(arpFrame({ sender: '10.9.0.1', target: '127.0.0.1' }))).toEqual([]);
  expect(host.nic.neighbors.size).toBe(0);
});

test('a probe with no sender address is answered and teaches nothing (RFC 5227 §2.1.1, arping -D)', () => {
  const host = benchHost(unknown);
  expect(host.inject(arpFrame({ sender: '0.0.0.0', target: '10.9.0.2' }))).toEqual(['arp 10.9.0.2 is here']);
  expect(host.nic.neighbors.size).toBe(0);
});

test('an entry we have is updated by whatever its owner says, for us or not (RFC 826 merge; ARP10)', () => {
  const host = benchHost(unknown);
  host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' }));
  host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.1', senderMac: 0x020000000099 }));
  expect(host.nic.neighbors.find(ip('10.9.0.1'))).toMatchObject({ mac: 0x020000000099, state: STALE });
});

test('malformed ARP, foreign hardware, broadcast senders and other operations are dropped and counted', () => {
  const host = benchHost(unknown);
  const good = arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' });
  const changed = (at: number, value: number): Uint8Array => good.with(at, value);
  const bad = [
    good.subarray(0, 14 + 27), // one byte short
    changed(14 + 1, 6), // hardware type 6
    changed(14 + 2, 0x86), // not IPv4
    changed(14 + 4, 8), // hardware length
    changed(14 + 5, 16),
    changed(14 + 7, 9), // operation
    arpFrame({ sender: '10.9.0.1', target: '10.9.0.2', senderMac: BROADCAST_MAC }),
    arpFrame({ sender: '224.0.0.1', target: '10.9.0.2' }),
    arpFrame({ sender: '255.255.255.255', target: '10.9.0.2' }),
  ];
  expect(host.inject(...bad)).toEqual([]);
  expect(host.stack.stats.dropMalformedArp).toBe(bad.length);
  expect(host.nic.neighbors.size).toBe(0);
});

test('a static entry is never overwritten by what the wire says', () => {
  const host = benchHost();
  host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2', senderMac: 0x020000000099 }));
  expect(host.nic.neighbors.find(ip('10.9.0.1'))).toMatchObject({ mac: PEER_MAC, state: PERMANENT });
});

test('packets wait for the answer, in order and copied, and leave as soon as it comes (RFC 1122 §2.3.2.2; ARP4, ARP5, ARP9)', () => {
  const host = benchHost(unknown);
  const ping = ask(host);
  for (let seq = 2; seq <= 4; seq++) ping.sendEcho(address('10.9.0.1'), seq, new Uint8Array(4));
  host.net.settle();
  expect(host.sent()).toEqual(['arp who-has 10.9.0.1 tell 10.9.0.2']);
  const reply = arpFrame({ op: arp.REPLY, sender: '10.9.0.1', target: '10.9.0.2', targetMac: OUR_MAC, to: OUR_MAC });
  host.link.incoming.push(reply);
  host.net.settle();
  const frames = host.frames();
  expect(frames.map((f) => f[14 + 20 + 7])).toEqual([1, 2, 3, 4]);
  expect(frames.every((f) => f[5] === 1)).toBe(true);
  expect(host.nic.neighbors.find(ip('10.9.0.1'))?.state).toBe(REACHABLE);
  expect(host.nic.neighbors.queuedBytes).toBe(0);
});

test('a destination is asked for at most once per second, backing off, whatever is sent to it (RFC 1122 §2.3.2.1; ARP2, ROUTE6)', () => {
  const host = benchHost(unknown);
  const ping = ask(host);
  const asked: number[] = [];
  const start = host.net.clock.now;
  for (let i = 0; i < 600; i++) {
    host.net.run(SECOND / 20);
    ping.sendEcho(address('10.9.0.1'), i, new Uint8Array(1));
    for (const line of host.sent()) if (line.startsWith('arp who-has 10.9.0.1')) asked.push(host.net.clock.now - start);
  }
  expect(asked.length).toBeGreaterThan(5);
  for (let i = 1; i < asked.length; i++) expect(asked[i] - asked[i - 1]).toBeGreaterThanOrEqual(0.95 * SECOND);
});

test('when nobody answers, the sockets whose packets waited hear EHOSTUNREACH (RFC 1122 §2.3.2.2)', () => {
  const host = benchHost(unknown);
  const ping = ask(host);
  host.net.run(10 * SECOND);
  expect(host.sent()).toEqual(new Array(3).fill('arp who-has 10.9.0.1 tell 10.9.0.2'));
  const report = ping.receive();
  expect(report).toMatchObject({ kind: 'error', seq: 1, type: 3, code: 1, errno: EHOSTUNREACH });
  expect(report?.from.toString()).toBe('10.9.0.2');
  expect(host.stack.stats.neighborFailures).toBe(1);
  // And again, at once while it is known to be out of reach.
  ping.sendEcho(address('10.9.0.1'), 2, new Uint8Array(1));
  host.net.run(10 * SECOND);
  expect(ping.receive()).toMatchObject({ seq: 2, errno: EHOSTUNREACH });
});

test('the queue of an unresolved neighbour is bounded, and keeps the latest packets', () => {
  const host = benchHost(unknown);
  const ping = ask(host);
  for (let seq = 2; seq <= 300; seq++) {
    ping.sendEcho(address('10.9.0.1'), seq, new Uint8Array(1));
    if (seq % 50 === 0) host.stack.flush();
  }
  expect(host.nic.neighbors.find(ip('10.9.0.1'))?.queue.length).toBe(128);
  host.inject(arpFrame({ op: arp.REPLY, sender: '10.9.0.1', target: '10.9.0.2', to: OUR_MAC }));
  expect(host.stack.stats.dropNeighborQueueFull).toBe(300 - 128);
  expect(host.nic.neighbors.queuedBytes).toBe(0);
});

test('a reachable entry goes stale, is used at once, then asked for by unicast, and fails without answers (RFC 4861 §7.3)', () => {
  const host = benchHost(unknown);
  const ping = ask(host);
  host.inject(arpFrame({ op: arp.REPLY, sender: '10.9.0.1', target: '10.9.0.2', to: OUR_MAC }));
  const neighbor = host.nic.neighbors.find(ip('10.9.0.1'));
  expect(neighbor?.state).toBe(REACHABLE);
  host.net.run(46 * SECOND); // at most 1.5 × 30 s
  expect(neighbor?.state).toBe(STALE);
  ping.sendEcho(address('10.9.0.1'), 2, new Uint8Array(1));
  host.net.settle();
  expect(host.sent()).toEqual(['10.9.0.2 > 10.9.0.1 icmp echo request 9']);
  expect(neighbor?.state).toBe(DELAY);
  host.net.run(5 * SECOND + 1);
  expect(neighbor?.state).toBe(PROBE);
  expect(host.sent()).toEqual(['arp who-has 10.9.0.1 tell 10.9.0.2 unicast']);
  host.net.run(30 * SECOND);
  expect(host.sent()).toEqual(new Array(2).fill('arp who-has 10.9.0.1 tell 10.9.0.2 unicast'));
  expect(host.nic.neighbors.find(ip('10.9.0.1'))).toBe(null);
});

test('progress of a transport confirms the neighbour, so that it is not asked for (RFC 4861 §7.3.1)', () => {
  const host = benchHost(unknown);
  host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' }));
  const path = host.stack.paths.resolve(address('10.9.0.1'));
  if (typeof path === 'number') throw new Error('no path');
  const neighbor = host.nic.neighbors.find(ip('10.9.0.1'));
  const ping = ask(host);
  path.neighbor = neighbor;
  expect(neighbor?.state).toBe(DELAY);
  for (let i = 0; i < 100; i++) {
    path.confirm();
    host.net.run(SECOND);
    ping.sendEcho(address('10.9.0.1'), i, new Uint8Array(1));
  }
  host.net.settle();
  expect(neighbor?.state).toBe(REACHABLE);
  expect(host.sent().filter((line) => line.startsWith('arp'))).toEqual([]);
});

test('the table is bounded: what leads nowhere goes first, static entries never', () => {
  const host = benchHost({ nic: { neighborLimit: 16 } });
  for (let i = 10; i < 250; i++) {
    host.inject(arpFrame({ sender: `10.9.0.${i}`, target: '10.9.0.2', senderMac: PEER_MAC + i }));
    host.net.run(1000);
  }
  expect(host.nic.neighbors.size).toBe(16);
  expect(host.nic.neighbors.find(ip('10.9.0.1'))?.state).toBe(PERMANENT);
  expect(host.nic.neighbors.find(ip('10.9.0.249'))).not.toBe(null);
  expect(host.nic.neighbors.find(ip('10.9.0.11'))).toBe(null);
});

test('an entry nobody uses is forgotten (RFC 1122 §2.3.2.1; ARP1)', () => {
  const host = benchHost(unknown);
  host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' }));
  host.net.run(601 * SECOND);
  expect(host.nic.neighbors.size).toBe(0);
});

test('an address that is added is announced (RFC 5227 §2.3), and again when the interface comes up', () => {
  const host = benchHost({ acd: 'announce' });
  host.net.run(3 * SECOND);
  expect(host.sent()).toEqual(new Array(2).fill('arp who-has 10.9.0.2 tell 10.9.0.2'));
  host.nic.up = false;
  expect(host.inject(frame(ipPacket({ payload: icmpMessage(8, 0, 1) })))).toEqual([]);
  host.nic.up = true;
  host.net.run(3 * SECOND);
  expect(host.sent()).toEqual(new Array(2).fill('arp who-has 10.9.0.2 tell 10.9.0.2'));
});

test('an address that is probed is not used before three probes and two seconds of silence (RFC 5227 §2.1.1)', () => {
  const host = benchHost({ acd: 'probe' });
  const own = host.nic.addresses[0];
  host.net.run(3 * SECOND);
  expect(own.usable).toBe(false);
  expect(host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' })).includes('arp 10.9.0.2 is here')).toBe(
    false,
  );
  host.net.run(7 * SECOND);
  expect(own.usable).toBe(true);
  expect(host.sent().filter((l) => l.endsWith('tell 0.0.0.0')).length).toBeGreaterThanOrEqual(1);
  expect(host.inject(arpFrame({ sender: '10.9.0.1', target: '10.9.0.2' }))).toEqual(['arp 10.9.0.2 is here']);
});

test('a probed address that somebody has, or probes as well, is not used (RFC 5227 §2.1.1)', () => {
  for (const [sender, target] of [
    ['10.9.0.2', '10.9.0.2'],
    ['10.9.0.2', '10.9.0.1'],
    ['0.0.0.0', '10.9.0.2'],
  ]) {
    const host = benchHost({ acd: 'probe' });
    const own = host.nic.addresses[0];
    host.net.run(SECOND);
    const heard: number[] = [];
    own.owner = { onEvents: (events) => heard.push(events) };
    host.inject(arpFrame({ sender, target, senderMac: 0x020000000055 }));
    host.net.run(8 * SECOND);
    expect(own.usable).toBe(false);
    expect(own.conflictMac).toBe(0x020000000055);
    expect(heard.length).toBe(1);
    // It tries again, and gets it when the other is gone.
    host.net.run(20 * SECOND);
    expect(own.usable).toBe(true);
  }
});

test('an address in use is defended once in ten seconds, and kept (RFC 5227 §2.4 (c))', () => {
  const host = benchHost();
  const claim = arpFrame({ sender: '10.9.0.2', target: '10.9.0.2', senderMac: 0x020000000055 });
  expect(host.inject(claim)).toEqual(['arp who-has 10.9.0.2 tell 10.9.0.2']);
  expect(host.inject(claim, claim, claim)).toEqual([]);
  host.net.run(11 * SECOND);
  expect(host.inject(claim)).toEqual(['arp who-has 10.9.0.2 tell 10.9.0.2']);
  expect(host.nic.addresses[0].usable).toBe(true);
  expect(host.stack.stats.arpConflicts).toBe(5);
});

test('with defence "yield" the second conflict within ten seconds ends its use (RFC 5227 §2.4 (b))', () => {
  const host = benchHost({ defence: 'yield' });
  const claim = arpFrame({ sender: '10.9.0.2', target: '10.9.0.2', senderMac: 0x020000000055 });
  host.inject(claim, claim);
  expect(host.nic.addresses[0].usable).toBe(false);
  expect(host.stack.isLocalAddress(ip('10.9.0.2'))).toBe(false);
  expect(host.stack.paths.resolve(address('10.9.0.1'))).toBeLessThan(0);
});

test('our own frames that come back are no conflict', () => {
  const host = benchHost();
  host.inject(arpFrame({ sender: '10.9.0.2', target: '10.9.0.2', senderMac: OUR_MAC }));
  expect(host.stack.stats.arpConflicts).toBe(0);
});

test('two stacks find each other once and stay found', () => {
  const { a, b, net } = twoStacks();
  const ping = a.stack.icmp.open() as IcmpSocket;
  let replies = 0;
  for (let seq = 1; seq <= 100; seq++) {
    ping.sendEcho(b.address, seq, new Uint8Array(10));
    net.run(SECOND / 10);
    if (ping.receive()?.kind === 'reply') replies++;
  }
  expect(replies).toBe(100);
  expect(a.stack.stats.arpOutRequests + b.stack.stats.arpOutRequests).toBeLessThanOrEqual(2);
});
