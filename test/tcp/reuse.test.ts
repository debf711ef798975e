// A new connection in the place of one in TIME-WAIT: active opens — RFC 6191 §2, RFC 1337, RFC 7323 §5.8.

import { describe, expect, test } from 'vitest';
import { EADDRINUSE, EADDRNOTAVAIL } from '../../src/errno.ts';
import type { TcpOptions } from '../../src/tcp/options.ts';
import { seqDiff } from '../../src/wire/seq.ts';
import { ACK, FIN, mss, RawPeer, RST, SYN, timestamps } from './raw-peer.ts';

const PORT = 50_000;

/** A connection that the stack opened from PORT and closed first: it is in TIME-WAIT. */
function closedActively(withTimestamps = true, tcp: TcpOptions = {}, bytes = 0) {
  const peer = new RawPeer({ tcp });
  const user = peer.connect({ localPort: PORT, timestamps: withTimestamps });
  const syn = peer.one();
  const stamp = (n: number): number[] => (withTimestamps ? timestamps(n, syn.tsVal) : []);
  peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1, options: [...mss(1000), ...stamp(1)] });
  user.send(bytes);
  for (let end = syn.seq + 1; end < syn.seq + 1 + bytes; ) {
    for (const seen of peer.take()) end = syn.seq + seqDiff(seen.seq, syn.seq) + seen.data.length;
    peer.send({ flags: ACK, seq: 9001, ack: end, options: stamp(2) });
  }
  user.connection.end();
  const fin = peer.take().at(-1);
  peer.send({ flags: ACK | FIN, seq: 9001, ack: syn.seq + 2 + bytes, options: stamp(2) });
  peer.take();
  expect(user.state).toBe('TIME-WAIT');
  return { peer, syn, lastTsVal: fin?.tsVal ?? 0 };
}

const reopen = (peer: RawPeer, timestampsOn = true) =>
  peer.stack.tcp.connect({ remote: peer.address, remotePort: peer.port, localPort: PORT, timestamps: timestampsOn });

describe('an active open', () => {
  test('takes the place of a TIME-WAIT after a second: ISN and timestamp beyond the old ones (RFC 6191 §2)', () => {
    const { peer, syn, lastTsVal } = closedActively();
    peer.wait(1_100_000);
    expect(typeof reopen(peer)).toBe('object');
    const again = peer.one();
    expect(again.flags).toBe('S');
    expect(seqDiff(again.seq, syn.seq + 2)).toBeGreaterThan(65_535 - 1);
    expect(seqDiff(again.tsVal, lastTsVal)).toBeGreaterThan(0);
    expect(peer.stack.tcp.timeWait.size).toBe(0);
    expect(peer.stack.stats.tcpTimeWaitReused).toBe(1);
  });

  test('whose connection sent faster than the ISN clock ticks, beyond what that one sent (RFC 9293 §3.4.1, RFC 6528 §3)', () => {
    const bytes = 600_000;
    const { peer, syn } = closedActively(true, {}, bytes);
    peer.wait(1_100_000);
    reopen(peer);
    expect(seqDiff(peer.one().seq, syn.seq + 2 + bytes)).toBeGreaterThan(65_535 - 1);
  });

  test('not within that second: a peer whose clock is coarse could not tell the two apart (RFC 7323 §5.8)', () => {
    const { peer } = closedActively();
    peer.wait(900_000);
    expect(reopen(peer)).toBe(EADDRINUSE);
  });

  test('not without timestamps, in the old one or the new one (RFC 6191 §2)', () => {
    const plain = closedActively(false).peer;
    plain.wait(2_000_000);
    expect(reopen(plain)).toBe(EADDRINUSE);
    const { peer } = closedActively();
    peer.wait(2_000_000);
    expect(reopen(peer, false)).toBe(EADDRINUSE);
  });

  test('chooses such a port only when no other is left', () => {
    const { peer } = closedActively(true, { firstPort: PORT, lastPort: PORT + 1 });
    peer.wait(2_000_000);
    const open = () => peer.stack.tcp.connect({ remote: peer.address, remotePort: peer.port });
    const [first, second, third] = [open(), open(), open()];
    expect(first).toMatchObject({ localPort: PORT + 1 });
    expect(second).toMatchObject({ localPort: PORT });
    expect(third).toBe(EADDRNOTAVAIL);
  });

  test('a RST does not end the TIME-WAIT it would have to wait for (RFC 1337 §3, fix 1)', () => {
    const { peer } = closedActively();
    peer.send({ flags: RST, seq: 9002 });
    expect(peer.stack.tcp.timeWait.size).toBe(1);
  });
});
