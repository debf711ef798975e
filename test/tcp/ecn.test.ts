// ECN — RFC 3168 §6.1: negotiation, echo, reaction, and what never carries a codepoint.

import { describe, expect, test } from 'vitest';
import type { ConnectionOptions } from '../../src/tcp/options.ts';
import { ACK, CWR, ECE, mss, PSH, RawPeer, SYN, sackOk, timestamps } from './raw-peer.ts';
import { User } from './support.ts';

const MSS = 1000;
const CE = 3;
const ECT0 = 2;
/** RFC 9768's third flag, in the byte before. */
const AE = 0x100;

/** A connection opened by the peer with an ECN-setup SYN. */
function accepted(options: ConnectionOptions = {}, flags = SYN | ECE | CWR, synOptions = [...mss(MSS), ...sackOk()]) {
  const peer = new RawPeer();
  const listener = peer.listen(options);
  peer.send({ flags, seq: 1000, options: synOptions });
  const synAck = peer.one();
  peer.send({ flags: ACK, seq: 1001, ack: synAck.seq + 1 });
  const connection = listener.accept();
  if (connection === null) throw new Error('not accepted');
  const user = new User(connection);
  user.paused = true;
  return { peer, synAck, user, iss: synAck.seq };
}

describe('negotiation', () => {
  test('an ECN-setup SYN is answered with an ECN-setup SYN,ACK: ECE alone, and not ECT (RFC 3168 §6.1.1; S8)', () => {
    const { synAck, user } = accepted();
    expect(synAck.flags).toBe('S.E');
    expect(synAck.tos & 3).toBe(0);
    expect(user.connection.info().ecn).toBe(true);
  });

  test('a SYN with ECE or CWR alone is answered without (RFC 3168 §6.1.1)', () => {
    for (const flags of [SYN, SYN | ECE, SYN | CWR]) {
      const { synAck, user } = accepted({}, flags);
      expect(synAck.flags).toBe('S.');
      expect(user.connection.info().ecn).toBe(false);
    }
  });

  test('AccECN is refused cleanly: AE, CWR and ECE are answered as an RFC 3168 host does (RFC 9768 §3.1.3)', () => {
    const { synAck, user } = accepted({}, SYN | ECE | CWR | AE);
    expect(synAck.flags).toBe('S.E');
    expect(user.connection.info().ecn).toBe(true);
  });

  test('ecn "off" answers without', () => {
    expect(accepted({ ecn: 'off' }).synAck.flags).toBe('S.');
  });

  test('a SYN that is ECT itself comes through somebody who rewrites the field: no ECN (RFC 3168 §6.1.1)', () => {
    const peer = new RawPeer();
    peer.listen();
    peer.send({ flags: SYN | ECE | CWR, seq: 1000, tos: ECT0 });
    expect(peer.one().flags).toBe('S.');
  });

  test('ecn "on" offers with ECE and CWR; the others do not (RFC 3168 §6.1.1)', () => {
    for (const [ecn, flags] of [
      ['on', 'SEW'],
      ['passive', 'S'],
      ['off', 'S'],
    ] as const) {
      const peer = new RawPeer();
      peer.connect({ ecn });
      expect(peer.one().flags).toBe(flags);
    }
  });

  test('only ECE without CWR in the SYN,ACK agrees; both are our own flags reflected (RFC 3168 §6.1.1)', () => {
    for (const [ecn, flags, agreed] of [
      ['on', ECE, true],
      ['on', ECE | CWR, false],
      ['on', 0, false],
      ['passive', ECE, false],
    ] as const) {
      const peer = new RawPeer();
      const user = peer.connect({ ecn });
      peer.send({ flags: SYN | ACK | flags, seq: 5000, ack: peer.one().seq + 1, options: mss(MSS) });
      expect(user.connected).toBe(true);
      expect(user.connection.info().ecn).toBe(agreed);
    }
  });

  test('a SYN that got no answer is repeated without the flags (RFC 3168 §6.1.1.1)', () => {
    const peer = new RawPeer();
    peer.connect({ ecn: 'on' });
    expect(peer.one().flags).toBe('SEW');
    peer.wait(1_100_000);
    expect(peer.one().flags).toBe('S');
  });

  test('two SYNs that cross agree when both offer (RFC 3168 §6.1.1, RFC 9293 §3.5)', () => {
    const peer = new RawPeer();
    const user = peer.connect({ ecn: 'on' });
    const { seq } = peer.one();
    peer.send({ flags: SYN | ECE | CWR, seq: 5000, options: mss(MSS) });
    expect(peer.one().flags).toBe('S.E');
    peer.send({ flags: SYN | ACK | ECE, seq: 5000, ack: seq + 1 });
    expect(user.connection.info().ecn).toBe(true);
  });

  test('a SYN cookie remembers it in the timestamp, and without one does without (RFC 4987 §3.6, RFC 3168 §6.1.1)', () => {
    for (const withTimestamps of [true, false]) {
      const peer = new RawPeer({ tcp: { synCookies: 'always' } });
      const listener = peer.listen();
      const options = withTimestamps ? [...mss(MSS), ...timestamps(7, 0)] : mss(MSS);
      peer.send({ flags: SYN | ECE | CWR, seq: 1000, options });
      const synAck = peer.one();
      expect(synAck.flags).toBe(withTimestamps ? 'S.E' : 'S.');
      const echo = withTimestamps ? timestamps(8, synAck.tsVal) : [];
      peer.send({ flags: ACK, seq: 1001, ack: synAck.seq + 1, options: echo });
      expect(listener.accept()?.info().ecn).toBe(withTimestamps);
    }
  });

  test('an unknown mode is refused with what there is', () => {
    expect(() => new RawPeer({ tcp: { ecn: 'yes' as 'on' } })).toThrow(/ecn: yes is not one of on, passive, off/);
  });
});

describe('the sender', () => {
  test('marks new data ECT(0), keeps the other six bits, and never marks an ACK or a FIN (RFC 3168 §6.1.4, §6.1.5)', () => {
    const { peer, user, iss } = accepted({ tos: 0x28 });
    user.send(500);
    expect(peer.one()).toMatchObject({ tos: 0x28 | ECT0, flags: 'P.' });
    peer.send({ flags: ACK | PSH, seq: 1001, ack: iss + 501, data: 'hello' });
    expect(peer.one()).toMatchObject({ tos: 0x28, flags: '.' });
    user.connection.end();
    expect(peer.one()).toMatchObject({ tos: 0x28, flags: 'F.' });
  });

  test('marks nothing without agreement', () => {
    const { peer, user } = accepted({}, SYN);
    user.send(500);
    expect(peer.one().tos).toBe(0);
  });

  test('never marks a retransmission (RFC 3168 §6.1.5)', () => {
    const { peer, user } = accepted({ tailLossProbe: false });
    user.send(500);
    expect(peer.one().tos).toBe(ECT0);
    peer.wait(3_000_000);
    for (const again of peer.take()) expect(again).toMatchObject({ tos: 0 });
  });

  test('never marks a window probe, nor sets CWR on one (RFC 3168 §6.1.6)', () => {
    const { peer, user, iss } = accepted();
    user.send(10 * MSS);
    peer.take();
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 1 + 10 * MSS, window: 0 });
    user.send(500);
    peer.wait(1_000_000);
    const [probe] = peer.take();
    expect(probe.data).toHaveLength(1);
    expect(probe).toMatchObject({ tos: 0, flags: 'P.' });
    // The probe was new data without CWR: its ACK may echo still, and that is nothing new.
    const { ssthresh } = user.connection.info();
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 2 + 10 * MSS });
    expect(user.connection.info().ssthresh).toBe(ssthresh);
    expect(peer.take()[0]).toMatchObject({ tos: ECT0, flags: 'P.W' });
  });

  test('reduces cwnd once per window, and says so with CWR on the first new data (RFC 3168 §6.1.2)', () => {
    const { peer, user, iss } = accepted({ noDelay: true });
    user.send(10 * MSS);
    const sent = peer.take().reduce((sum, seen) => sum + seen.data.length, 0);
    expect(sent).toBe(10 * MSS);
    const { cwnd } = user.connection.info();
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 1 + 2 * MSS });
    const first = user.connection.info();
    expect(first.ssthresh).toBeLessThan(cwnd);
    expect(first.ssthresh).toBeGreaterThan(cwnd / 2);
    expect(first.caState).toBe('cwr');
    // The rest of the window echoes on: nothing new.
    for (let i = 4; i <= 10; i += 2) peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 1 + i * MSS });
    expect(user.connection.info().ssthresh).toBe(first.ssthresh);
    user.send(2 * MSS);
    const after = peer.take().filter((seen) => seen.data.length > 0);
    expect(after.map((seen) => seen.flags.includes('W'))).toEqual(after.map((_, i) => i === 0));
    expect(after[0].data).toHaveLength(MSS);
    // ECE until CWR has arrived is old news; after it, it is a new mark.
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 1 + 10 * MSS });
    expect(user.connection.info().ssthresh).toBe(first.ssthresh);
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 1 + 12 * MSS });
    expect(user.connection.info().ssthresh).toBeLessThan(first.ssthresh);
  });

  test('an echo on the ACK of everything reduces too, once (RFC 3168 §6.1.2)', () => {
    const { peer, user, iss } = accepted();
    user.send(500);
    peer.take();
    const { cwnd } = user.connection.info();
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 501 });
    const reduced = user.connection.info().cwnd;
    expect(reduced).toBeLessThan(cwnd);
    peer.send({ flags: ACK | ECE | PSH, seq: 1001, ack: iss + 501, data: 'x' });
    expect(user.connection.info().cwnd).toBe(reduced);
    peer.take();
    user.send(100);
    expect(peer.one().flags).toBe('P.W');
  });

  test('a reduction after a timeout is announced with CWR as well (RFC 3168 §6.1.2)', () => {
    const { peer, user, iss } = accepted({ tailLossProbe: false });
    user.send(500);
    peer.take();
    peer.wait(1_100_000);
    expect(peer.take()[0].flags).toBe('P.');
    peer.send({ flags: ACK, seq: 1001, ack: iss + 501 });
    user.send(100);
    expect(peer.one().flags).toBe('P.W');
  });

  test('ECE means nothing without agreement', () => {
    const { peer, user, iss } = accepted({}, SYN);
    user.send(500);
    peer.take();
    const { cwnd } = user.connection.info();
    peer.send({ flags: ACK | ECE, seq: 1001, ack: iss + 501 });
    expect(user.connection.info().cwnd).toBeGreaterThanOrEqual(cwnd);
  });
});

describe('the receiver', () => {
  test('echoes CE in every ACK and in data until CWR comes (RFC 3168 §6.1.3)', () => {
    const { peer, user, iss } = accepted();
    const data = (seq: number, tos: number, flags = 0) =>
      peer.send({ flags: ACK | PSH | flags, seq, ack: iss + 1, data: 'ab', tos });
    data(1001, ECT0);
    expect(peer.one().flags).toBe('.');
    data(1003, CE);
    expect(peer.one().flags).toBe('.E');
    data(1005, ECT0);
    expect(peer.one().flags).toBe('.E');
    user.send(10);
    expect(peer.one().flags).toBe('P.E');
    data(1007, ECT0, CWR);
    expect(peer.take().at(-1)?.flags).toBe('.');
    data(1009, CE, CWR);
    expect(peer.take().at(-1)?.flags).toBe('.E');
  });

  test('a mark ends the wait of a delayed ACK: the sender may have no more than one segment to send', () => {
    const { peer, user, iss } = accepted();
    user.connection.quickAck = false;
    peer.send({ flags: ACK | PSH, seq: 1001, ack: iss + 1, data: 'ab', tos: ECT0 });
    peer.silent();
    peer.send({ flags: ACK | PSH, seq: 1003, ack: iss + 1, data: 'ab', tos: CE });
    expect(peer.one().flags).toBe('.E');
  });

  test('marks on what is out of window do not count (RFC 3168 §6.1.5)', () => {
    const { peer, iss } = accepted();
    peer.send({ flags: ACK | PSH, seq: 1001 + 1_000_000, ack: iss + 1, data: 'ab', tos: CE });
    expect(peer.one().flags).toBe('.');
  });

  test('without agreement marks are not echoed', () => {
    const { peer, iss } = accepted({}, SYN);
    peer.send({ flags: ACK | PSH, seq: 1001, ack: iss + 1, data: 'ab', tos: CE });
    expect(peer.one().flags).toBe('.');
  });

  test('TIME-WAIT answers without ECE (RFC 3168 §6.1.3 is about connections)', () => {
    const { peer, user, iss } = accepted();
    peer.send({ flags: ACK | PSH, seq: 1001, ack: iss + 1, data: 'ab', tos: CE });
    expect(peer.one().flags).toBe('.E');
    user.connection.end();
    peer.take();
    peer.send({ flags: ACK | 1, seq: 1003, ack: iss + 2 });
    expect(peer.one().flags).toBe('.E');
    expect(user.state).toBe('TIME-WAIT');
    peer.send({ flags: ACK | 1, seq: 1003, ack: iss + 2 });
    expect(peer.one().flags).toBe('.');
  });
});
