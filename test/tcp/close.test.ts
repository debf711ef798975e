import { expect, test } from 'vitest';
import { ECONNRESET, EPIPE } from '../../src/errno.ts';
import { SECOND } from '../../src/world.ts';
import { ACK, Dialogue, FIN, PSH, RST, SYN, timestamps } from './raw-peer.ts';
import { connected, expectNothingLeft, pattern } from './support.ts';

/** A dialogue whose user has closed, its FIN sent and not yet acknowledged. */
function closing(): Dialogue {
  const d = new Dialogue();
  d.connection.end();
  expect(d.one()).toMatchObject({ flags: 'F.', seq: d.ack, ack: d.seq });
  expect(d.state).toBe('FIN-WAIT-1');
  return d;
}

test('we close first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT — RFC 9293 §3.6 figure 12', () => {
  const d = closing();
  d.ack++;
  d.say();
  expect(d.state).toBe('FIN-WAIT-2');
  d.silent();
  d.say({ flags: FIN | ACK });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq + 1 });
  expect(d.state).toBe('TIME-WAIT');
  expect(d.user.closed).toBe(true);
  expect(d.stack.tcp.timeWait.size).toBe(1);
  d.wait(61 * SECOND);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('the peer closes first: CLOSE-WAIT, LAST-ACK, CLOSED — RFC 9293 §3.6 figure 12', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq + 1 });
  expect(d.state).toBe('CLOSE-WAIT');
  expect(d.user.ended).toBe(true);
  d.seq++;
  d.connection.end();
  expect(d.one()).toMatchObject({ flags: 'F.', seq: d.ack });
  expect(d.state).toBe('LAST-ACK');
  d.ack++;
  d.say();
  expect(d.state).toBe('CLOSED');
  expect(d.user.closed).toBe(true);
  expect(d.user.error).toBe(0);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('both close at once: CLOSING, TIME-WAIT — RFC 9293 §3.6 figure 13', () => {
  const d = closing();
  d.say({ flags: FIN | ACK });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack + 1, ack: d.seq + 1 });
  expect(d.state).toBe('CLOSING');
  d.seq++;
  d.ack++;
  d.say();
  expect(d.state).toBe('TIME-WAIT');
  d.silent();
  d.wait(61 * SECOND);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('FIN that also acknowledges ours: FIN-WAIT-1 straight to TIME-WAIT — RFC 9293 §3.3.2 note 2', () => {
  const d = closing();
  d.ack++;
  d.say({ flags: FIN | ACK });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq + 1 });
  expect(d.state).toBe('TIME-WAIT');
});

test('two stacks that close at the same moment leave nothing behind', () => {
  const { net, client, server, a, b, baseline } = connected();
  client.connection.end();
  server.connection.end();
  a.flush();
  b.flush();
  net.run(SECOND);
  expect([client.state, server.state]).toEqual(['TIME-WAIT', 'TIME-WAIT']);
  net.run(61 * SECOND);
  expectNothingLeft(a, baseline);
  expectNothingLeft(b, baseline);
});

test('after our FIN the peer may go on sending: half-close (MAY-1)', () => {
  const d = closing();
  d.ack++;
  d.say();
  for (let i = 0; i < 5; i++) {
    d.say({ flags: ACK | PSH, data: pattern(i * 100, 100) });
    d.seq += 100;
  }
  expect(d.user.received).toBe(500);
  expect(d.state).toBe('FIN-WAIT-2');
});

test('data and FIN in one segment: the data is read, then the end', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK | PSH, data: pattern(0, 100) });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq + 101 });
  expect(d.user.received).toBe(100);
  expect(d.user.ended).toBe(true);
  expect(d.state).toBe('CLOSE-WAIT');
});

test('FIN that overtakes data waits for it', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK, seq: d.seq + 100, data: pattern(100, 50) });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq });
  expect(d.state).toBe('ESTABLISHED');
  d.say({ data: pattern(0, 100) });
  expect(d.one()).toMatchObject({ ack: d.seq + 151 });
  expect(d.state).toBe('CLOSE-WAIT');
  expect(d.user.received).toBe(150);
});

test('a bare FIN that overtakes data waits for it', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK, seq: d.seq + 100 });
  expect(d.one()).toMatchObject({ ack: d.seq });
  d.say({ data: pattern(0, 100) });
  expect(d.one()).toMatchObject({ ack: d.seq + 101 });
  expect(d.state).toBe('CLOSE-WAIT');
});

test('a FIN behind bytes that did not fit the window does not count until it comes again', () => {
  const d = new Dialogue({ server: { recvBuffer: 1000 } });
  d.user.paused = true;
  d.say({ flags: FIN | ACK, data: pattern(0, 1400) });
  expect(d.take().at(-1)).toMatchObject({ ack: d.seq + 1000, window: 0 });
  expect(d.state).toBe('ESTABLISHED');
  d.user.resume();
  d.take();
  expect(d.user.ended).toBe(false);
  d.say({ flags: FIN | ACK, seq: d.seq + 1000, data: pattern(1000, 400) });
  expect(d.take().at(-1)?.ack).toBe(d.seq + 1401);
  expect(d.user.received).toBe(1400);
  expect(d.state).toBe('CLOSE-WAIT');
});

test('a FIN sent again is acknowledged again, and the user hears of it once', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK });
  d.one();
  d.say({ flags: FIN | ACK });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq + 1 });
  expect(d.state).toBe('CLOSE-WAIT');
});

test('behind its FIN the peer has nothing to say — RFC 9293 §3.10.7.4, seventh', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK });
  d.one();
  d.seq++;
  d.say({ data: 'more' });
  expect(d.user.received).toBe(0);
  expect(d.connection.readable).toBe(0);
  expect(d.state).toBe('CLOSE-WAIT');
});

test('after the peer’s FIN we may still send: CLOSE-WAIT', () => {
  const d = new Dialogue();
  d.say({ flags: FIN | ACK });
  d.one();
  d.seq++;
  d.user.send(1000);
  expect(d.one()).toMatchObject({ flags: 'P.', seq: d.ack });
  expect(d.connection.write(new Uint8Array(1), 0, 1)).toBe(1);
  d.connection.end();
  expect(d.connection.write(new Uint8Array(1), 0, 1)).toBe(EPIPE);
});

for (const [name, prepare] of [
  ['ESTABLISHED', () => new Dialogue()],
  ['FIN-WAIT-1', closing],
  [
    'FIN-WAIT-2',
    () => {
      const d = closing();
      d.ack++;
      d.say();
      return d;
    },
  ],
  [
    'CLOSE-WAIT',
    () => {
      const d = new Dialogue();
      d.say({ flags: FIN | ACK });
      d.seq++;
      d.one();
      return d;
    },
  ],
] as [string, () => Dialogue][]) {
  test(`a reset with the expected number ends ${name} with ECONNRESET — RFC 9293 §3.10.7.4, second`, () => {
    const d = prepare();
    expect(d.state).toBe(name);
    d.say({ flags: RST, ack: 0 });
    expect(d.user.error).toBe(ECONNRESET);
    expect(d.user.closed).toBe(true);
    d.silent();
    expect(d.stack.tcp.demux.flows.size).toBe(0);
    expect(d.stack.stats.tcpIllegalTransitions).toBe(0);
  });

  test(`abort in ${name} sends a reset the peer will take, and leaves nothing (M12)`, () => {
    const d = prepare();
    const seq = d.connection.sender.sndNxt >>> 0;
    d.connection.abort();
    expect(d.one()).toMatchObject({ flags: 'R.', seq });
    expect(d.stack.tcp.demux.flows.size).toBe(0);
    expect(d.stack.stats.tcpIllegalTransitions).toBe(0);
  });
}

for (const name of ['CLOSING', 'LAST-ACK']) {
  test(`a reset in ${name} just ends it — RFC 9293 §3.10.7.4, second`, () => {
    const d = name === 'CLOSING' ? closing() : new Dialogue();
    d.say({ flags: FIN | ACK });
    d.seq++;
    d.take();
    if (name === 'LAST-ACK') d.connection.end();
    d.take();
    expect(d.state).toBe(name);
    d.say({ flags: RST, ack: 0 });
    expect(d.state).toBe('CLOSED');
    expect(d.user.error).toBe(0);
    expect(d.user.closed).toBe(true);
  });
}

test('what was received before a reset can still be read', () => {
  const d = new Dialogue();
  d.user.paused = true;
  d.say({ data: pattern(0, 300) });
  d.take();
  d.seq += 300;
  d.say({ flags: RST, ack: 0 });
  expect(d.user.error).toBe(ECONNRESET);
  expect(d.connection.readable).toBe(300);
  const before = d.stack.memory.used;
  d.user.resume();
  expect(d.user.received).toBe(300);
  expect(d.stack.memory.used).toBeLessThan(before);
});

test('release with unread data resets the connection — RFC 9293 §3.6.1, RFC 2525 §2.17 (S3)', () => {
  const d = new Dialogue();
  d.user.paused = true;
  d.say({ data: pattern(0, 10) });
  d.take();
  d.connection.release();
  expect(d.one().flags).toBe('R.');
  expect(d.stack.stats.tcpAbortOnData).toBe(1);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('data that arrives after release resets the connection — RFC 2525 §2.17', () => {
  const d = new Dialogue();
  d.connection.release();
  expect(d.one().flags).toBe('F.');
  d.ack++;
  d.say();
  d.say({ data: 'late' });
  expect(d.one().flags).toBe('R.');
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});

test('a released connection does not wait for ever in FIN-WAIT-2', () => {
  const d = new Dialogue();
  d.connection.release();
  d.one();
  d.ack++;
  d.say();
  expect(d.state).toBe('FIN-WAIT-2');
  d.wait(59 * SECOND);
  expect(d.stack.tcp.demux.flows.size).toBe(1);
  d.wait(2 * SECOND);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
  d.silent();
});

test('a connection whose user only half-closed waits in FIN-WAIT-2 as long as it takes', () => {
  const d = closing();
  d.ack++;
  d.say();
  d.wait(3600 * SECOND);
  expect(d.state).toBe('FIN-WAIT-2');
});

test('what is written goes before the FIN, and the FIN again until it is acknowledged', () => {
  const d = new Dialogue();
  d.user.send(500, true);
  const sent = d.take();
  expect(sent.at(-1)?.flags).toContain('F');
  expect(sent.reduce((sum, s) => sum + s.data.length, 0)).toBe(500);
  d.say({ ack: d.ack + 500 });
  d.take();
  d.wait(3 * SECOND);
  const again = d.take();
  expect(again.length).toBeGreaterThan(0);
  expect(again[0]).toMatchObject({ seq: d.ack + 500 });
  expect(again[0].flags).toContain('F');
  d.say({ ack: d.ack + 501 });
  expect(d.state).toBe('FIN-WAIT-2');
});

// ── TIME-WAIT ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function timeWaiting(options: ConstructorParameters<typeof Dialogue>[0] = {}): Dialogue {
  const d = new Dialogue(options);
  const ts = options.ackOptions;
  d.connection.end();
  d.take();
  d.ack++;
  d.say({ flags: FIN | ACK, options: ts });
  d.seq++;
  d.one();
  expect(d.state).toBe('TIME-WAIT');
  return d;
}

test('TIME-WAIT: a FIN again is acknowledged and starts 2 MSL anew — RFC 9293 §3.10.7.4, eighth (M13)', () => {
  const d = timeWaiting();
  d.wait(50 * SECOND);
  d.say({ flags: FIN | ACK, seq: d.seq - 1 });
  expect(d.one()).toMatchObject({ flags: '.', seq: d.ack, ack: d.seq });
  d.wait(50 * SECOND);
  expect(d.stack.tcp.timeWait.size).toBe(1);
  d.wait(11 * SECOND);
  expect(d.stack.tcp.timeWait.size).toBe(0);
});

test('TIME-WAIT: a reset does not end it — RFC 1337', () => {
  const d = timeWaiting();
  d.say({ flags: RST });
  d.say({ flags: RST | ACK });
  d.silent();
  expect(d.stack.tcp.timeWait.size).toBe(1);
});

test('TIME-WAIT: stray data is answered, but not for ever', () => {
  const d = timeWaiting();
  for (let i = 0; i < 10; i++) d.say({ seq: d.seq - 50, data: 'old' });
  expect(d.take().map((s) => s.flags)).toEqual(['.']);
});

test('TIME-WAIT: a SYN with a newer sequence number opens a new incarnation, with an ISN beyond the old — RFC 9293 §3.6.1 (MAY-2)', () => {
  const d = timeWaiting();
  d.say({ flags: SYN, seq: d.seq + 100_000, ack: 0 });
  const synAck = d.one();
  expect(synAck.flags).toBe('S.');
  expect((synAck.seq - d.ack) | 0).toBeGreaterThan(0);
  expect(d.stack.tcp.timeWait.size).toBe(0);
  expect(d.stack.stats.tcpTimeWaitReused).toBe(1);
});

test('TIME-WAIT: an old SYN is answered with an ACK and ends nothing', () => {
  const d = timeWaiting();
  d.say({ flags: SYN, seq: d.seq - 100, ack: 0 });
  expect(d.one()).toMatchObject({ flags: '.', ack: d.seq });
  expect(d.stack.tcp.timeWait.size).toBe(1);
});

test('TIME-WAIT: with timestamps a SYN is new when its clock is, whatever its number — RFC 6191 (S4)', () => {
  const options = { synOptions: timestamps(1000, 0), ackOptions: timestamps(1001, 0) };
  const d = timeWaiting(options);
  d.say({ flags: SYN, seq: d.seq - 5000, ack: 0, options: timestamps(900, 0) });
  expect(d.one().flags).toBe('.');
  d.say({ flags: SYN, seq: d.seq - 5000, ack: 0, options: timestamps(2000, 0) });
  expect(d.one().flags).toBe('S.');
});

test('TIME-WAIT: a SYN that nobody would take does not end it', () => {
  const d = timeWaiting();
  for (const listener of d.stack.tcp.listeners()) listener.close();
  d.say({ flags: SYN, seq: d.seq + 100_000, ack: 0 });
  expect(d.one().flags).toBe('.');
  expect(d.stack.tcp.timeWait.size).toBe(1);
});

test('TIME-WAIT is bounded: what does not fit is closed at once and counted', () => {
  const { net, a, b } = connected({ stack: { tcp: { timeWaitMax: 3 } } });
  let closed = 0;
  for (let i = 0; i < 8; i++) {
    const c = a.tcp.connect({ remote: b.tcp.connections()[0].local, remotePort: 80 });
    if (typeof c === 'number') throw new Error('connect');
    net.run(SECOND);
    c.end();
    c.owner = { onEvents: (events) => (closed += events & 64 ? 1 : 0) };
    net.run(SECOND);
    for (const s of b.tcp.connections()) if (s.endReceived) s.end();
    net.run(SECOND);
  }
  expect(closed).toBe(8);
  expect(a.tcp.timeWait.size).toBe(3);
  expect(a.stats.tcpTimeWaitOverflow).toBe(5);
});

test('closing the stack resets every connection', () => {
  const d = new Dialogue();
  d.stack.tcp.close();
  expect(d.one().flags).toBe('R.');
  expect(d.user.closed).toBe(true);
  expect(d.stack.tcp.demux.flows.size).toBe(0);
});
