import { expect, test } from 'vitest';
import { ECONNREFUSED, EHOSTUNREACH, EINVAL, ENETUNREACH, ETIMEDOUT } from '../../src/errno.ts';
import { LISTEN } from '../../src/tcp/states.ts';
import { Address } from '../../src/wire/address.ts';
import { SECOND } from '../../src/world.ts';
import { twoStacks } from '../support/two-stacks.ts';
import { ACK, Dialogue, FIN, mss, PSH, RawPeer, RST, SYN, timestamps, wscale } from './raw-peer.ts';
import { connected, User } from './support.ts';

test('active open: SYN, SYN,ACK, ACK — RFC 9293 §3.5 figure 6', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  expect(syn).toMatchObject({ flags: 'S', ack: 0, mss: 1460, windowScale: 8, sackPermitted: true, hasTimestamp: true });
  expect(syn.tsEcr).toBe(0);
  expect(user.state).toBe('SYN-SENT');
  peer.send({ flags: SYN | ACK, seq: 500, ack: syn.seq + 1, options: mss(1000) });
  expect(peer.one()).toMatchObject({ flags: '.', seq: syn.seq + 1, ack: 501 });
  expect(user.state).toBe('ESTABLISHED');
  expect(user.connected).toBe(true);
});

test('passive open, and the owner of the listener sees nothing before the handshake is done', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  expect(listener.state).toBe(LISTEN);
  peer.send({ flags: SYN, seq: 500, options: mss(1460) });
  const synAck = peer.one();
  expect(synAck).toMatchObject({ flags: 'S.', ack: 501, mss: 1460 });
  expect(listener.accept()).toBeNull();
  expect(listener.embryos).toBe(1);
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1 });
  expect(listener.embryos).toBe(0);
  expect(listener.accept()).not.toBeNull();
  peer.silent();
});

test('simultaneous open — RFC 9293 §3.5 figure 7 (M10)', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  user.paused = true;
  const syn = peer.one();
  peer.send({ flags: SYN, seq: 900, options: mss(1460) });
  expect(peer.one()).toMatchObject({ flags: 'S.', seq: syn.seq, ack: 901 });
  expect(user.state).toBe('SYN-RECEIVED');
  peer.send({ flags: SYN | ACK, seq: 900, ack: syn.seq + 1, options: mss(1460) });
  expect(user.state).toBe('ESTABLISHED');
  expect(user.connected).toBe(true);
  peer.send({ flags: ACK | PSH, seq: 901, ack: syn.seq + 1, data: 'hi' });
  expect(peer.take().at(-1)).toMatchObject({ ack: 903 });
});

test('simultaneous open of two stacks — RFC 9293 §3.5 (M10)', () => {
  const { a, b, net } = twoStacks();
  const left = a.stack.tcp.connect({ remote: b.address, remotePort: 7001, localPort: 7000 });
  const right = b.stack.tcp.connect({ remote: a.address, remotePort: 7000, localPort: 7001 });
  if (typeof left === 'number' || typeof right === 'number') throw new Error('connect');
  const one = new User(left);
  const two = new User(right);
  // Neither has seen the other's SYN: both leave in this round.
  a.stack.flush();
  b.stack.flush();
  net.run(2 * SECOND);
  expect([one.state, two.state]).toEqual(['ESTABLISHED', 'ESTABLISHED']);
  expect(a.stack.tcp.demux.flows.size + b.stack.tcp.demux.flows.size).toBe(2);
});

test('a FIN on the SYN of a simultaneous open waits for its repetition, text is kept — RFC 9293 §3.10.7.3', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  user.endOnEnd = false;
  user.paused = true;
  const syn = peer.one();
  peer.send({ flags: SYN | FIN, seq: 900, data: 'abc' });
  expect(peer.take().at(-1)).toMatchObject({ flags: 'S.', seq: syn.seq, ack: 901 });
  expect(user.connection.readable).toBe(3);
  peer.send({ flags: ACK | FIN, seq: 904, ack: syn.seq + 1 });
  expect(peer.take().at(-1)).toMatchObject({ flags: '.', ack: 905 });
  expect(user.state).toBe('CLOSE-WAIT');
  expect(peer.stack.stats.tcpIllegalTransitions).toBe(0);
});

test('CLOSE in SYN-RECEIVED waits for ESTABLISHED when something was written — RFC 9293 §3.10.4', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  peer.send({ flags: SYN, seq: 900, options: mss(1000) });
  expect(peer.one()).toMatchObject({ flags: 'S.', ack: 901 });
  user.connection.write(new Uint8Array(100), 0, 100);
  user.connection.release();
  expect(peer.take()).toEqual([]);
  peer.send({ flags: ACK, seq: 901, ack: syn.seq + 1 });
  const fin = peer.one();
  expect(fin).toMatchObject({ seq: syn.seq + 1, ack: 901 });
  expect([fin.data.length, fin.flags.includes('F')]).toEqual([100, true]);
  expect(user.state).toBe('FIN-WAIT-1');
  expect(peer.stack.stats.tcpIllegalTransitions).toBe(0);
});

test('an option counts only when both sides sent it: no scale is applied to the peer’s window without ours — RFC 7323 §2.2', () => {
  const d = new Dialogue({ synOptions: [...mss(1460), ...wscale(7)], window: 100, server: { windowScaling: false } });
  expect(d.synAck.windowScale).toBe(-1);
  expect(d.connection.sender.sndWnd).toBe(100);
  const scaled = new Dialogue({ synOptions: [...mss(1460), ...wscale(7)], window: 100 });
  expect(scaled.synAck.windowScale).toBe(8);
  expect(scaled.connection.sender.sndWnd).toBe(12_800);
  const plain = new Dialogue({ synOptions: mss(1460) });
  expect(plain.synAck.windowScale).toBe(-1);
  expect(plain.synAck.sackPermitted).toBe(false);
  expect(plain.synAck.hasTimestamp).toBe(false);
  expect(plain.connection.receiver.shift).toBe(0);
});

test('the window of a SYN is never scaled — RFC 7323 §2.2', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, window: 1000, options: [...mss(1460), ...wscale(4)] });
  const synAck = peer.one();
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1, window: 1000 });
  expect(listener.accept()?.sender.sndWnd).toBe(16_000);
  const client = new RawPeer();
  const user = client.connect();
  client.send({
    flags: SYN | ACK,
    seq: 500,
    ack: client.one().seq + 1,
    window: 1000,
    options: [...mss(1460), ...wscale(4)],
  });
  expect(user.connection.sender.sndWnd).toBe(1000);
});

test('without an MSS option the peer takes 536 bytes — RFC 9293 §3.7.1 (M15)', () => {
  const d = new Dialogue({ synOptions: [] });
  expect(d.connection.sender.mss).toBe(536);
});

test('the MSS sent is the smaller of the peer’s and the path’s, less the options — RFC 9293 §3.7.1 (M16)', () => {
  expect(new Dialogue({ synOptions: mss(9000) }).connection.sender.mss).toBe(1460);
  expect(new Dialogue({ synOptions: mss(1000) }).connection.sender.mss).toBe(1000);
  const d = new Dialogue({ synOptions: [...mss(1460), ...timestamps(5, 0)], ackOptions: timestamps(6, 0) });
  expect(d.connection.sender.mss).toBe(1448);
  // An absurd MSS does not make us send a packet per byte.
  expect(new Dialogue({ synOptions: mss(1) }).connection.sender.mss).toBe(48);
});

test('an MSS option is always sent (M14, S5), and follows the interface’s MTU (M67)', () => {
  const peer = new RawPeer({}, 9000);
  peer.connect();
  expect(peer.one().mss).toBe(8960);
});

test('options of illegal length and unknown options are survived — RFC 9293 §3.1 (M6, M7)', () => {
  expect(new Dialogue({ synOptions: [99, 4, 1, 2, ...mss(700)] }).connection.sender.mss).toBe(700);
  expect(new Dialogue({ synOptions: [...mss(700), 8, 0, 0, 0] }).connection.sender.mss).toBe(700);
  expect(new Dialogue({ synOptions: [...mss(700), 3, 200] }).connection.sender.mss).toBe(700);
});

test('data on the handshake’s final ACK is not lost', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, options: mss(1460) });
  const synAck = peer.one();
  peer.send({ flags: ACK | PSH, seq: 501, ack: synAck.seq + 1, data: 'hello' });
  expect(peer.take().at(-1)).toMatchObject({ ack: 506 });
  const connection = listener.accept();
  expect(connection?.readable).toBe(5);
});

test('data and FIN on the handshake’s final ACK are not lost', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, options: mss(1460) });
  const synAck = peer.one();
  peer.send({ flags: ACK | PSH | FIN, seq: 501, ack: synAck.seq + 1, data: 'hello' });
  expect(peer.take().at(-1)).toMatchObject({ ack: 507 });
  const connection = listener.accept();
  expect(connection?.readable).toBe(5);
  expect(connection?.endReceived).toBe(true);
});

test('data that arrives before anybody accepts waits, and its owner hears of it', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, options: mss(1460) });
  const synAck = peer.one();
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1 });
  peer.send({ flags: ACK | PSH, seq: 501, ack: synAck.seq + 1, data: 'early' });
  peer.wait(SECOND);
  const connection = listener.accept();
  const heard: number[] = [];
  if (connection === null) throw new Error('nobody');
  connection.owner = { onEvents: (events) => heard.push(events & 2 ? connection.readable : 0) };
  peer.pull();
  expect(heard).toEqual([5]);
});

test('data on the SYN,ACK is taken — RFC 9293 §3.10.7.3', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  user.paused = true;
  const syn = peer.one();
  peer.send({ flags: SYN | ACK, seq: 500, ack: syn.seq + 1, data: 'abc' });
  expect(peer.one()).toMatchObject({ flags: '.', ack: 504 });
  expect(user.connection.readable).toBe(3);
});

test('data on a SYN may be sent again later and arrives once — RFC 9293 §3.10.7.2', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500, data: 'abc' });
  const synAck = peer.one();
  expect(synAck.ack).toBe(501);
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 1, data: 'abc' });
  expect(listener.accept()?.readable).toBe(3);
});

test('a reset that acknowledges our SYN refuses the connection; any other is ignored — RFC 9293 §3.10.7.3', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  peer.send({ flags: RST, seq: 0 });
  peer.send({ flags: RST | ACK, seq: 0, ack: syn.seq });
  peer.send({ flags: RST | ACK, seq: 0, ack: syn.seq + 2 });
  expect(user.state).toBe('SYN-SENT');
  peer.send({ flags: RST | ACK, seq: 0, ack: syn.seq + 1 });
  expect(user.error).toBe(ECONNREFUSED);
  expect(user.closed).toBe(true);
  peer.silent();
});

test('an ACK of something else in SYN-SENT is answered by <SEQ=SEG.ACK><CTL=RST> — RFC 9293 §3.10.7.3', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  peer.send({ flags: ACK, seq: 77, ack: syn.seq + 100 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: syn.seq + 100 });
  peer.send({ flags: SYN | ACK, seq: 77, ack: syn.seq });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: syn.seq });
  expect(user.state).toBe('SYN-SENT');
});

test('what was written while connecting goes with the handshake done, and so does the end', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const syn = peer.one();
  user.send(5);
  user.connection.end();
  peer.silent();
  peer.send({ flags: SYN | ACK, seq: 500, ack: syn.seq + 1, options: mss(1460) });
  const sent = peer.take();
  expect(sent.map((s) => s.data.length).reduce((x, y) => x + y)).toBe(5);
  expect(sent.at(-1)?.flags).toContain('F');
  expect(user.state).toBe('FIN-WAIT-1');
});

test('a SYN to nobody gets <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>, anything else <SEQ=SEG.ACK><CTL=RST>, a reset nothing — RFC 9293 §3.10.7.1', () => {
  const peer = new RawPeer();
  peer.stackPort = 81;
  peer.send({ flags: SYN, seq: 500, data: 'xyz' });
  expect(peer.one()).toMatchObject({ flags: 'R.', seq: 0, ack: 504 });
  peer.send({ flags: ACK, seq: 500, ack: 4242 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: 4242, ack: 0 });
  peer.send({ flags: FIN, seq: 500 });
  expect(peer.one()).toMatchObject({ flags: 'R.', seq: 0, ack: 501 });
  peer.send({ flags: RST, seq: 500 }, { flags: RST | ACK, seq: 1, ack: 2 });
  peer.silent();
});

test('resets to strangers are limited in rate', () => {
  const peer = new RawPeer({ tcp: { resets: 10 } });
  for (let i = 0; i < 50; i++) peer.send({ flags: SYN, seq: 500, dstPort: 100 + i });
  expect(peer.take().length).toBe(10);
});

test('in LISTEN: a reset is ignored, an ACK is reset, neither SYN nor ACK is dropped — RFC 9293 §3.10.7.2', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: RST, seq: 1 }, { flags: PSH, seq: 1, data: 'x' });
  peer.silent();
  peer.send({ flags: ACK, seq: 1, ack: 99 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: 99 });
  peer.send({ flags: SYN | ACK, seq: 1, ack: 99 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: 99 });
  expect(listener.embryos).toBe(0);
});

test('segments to broadcast or multicast, from nowhere or from ourselves (LAND), are dropped without an answer (M57, M63)', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  const before = peer.stack.stats.tcpOutSegs;
  for (const dst of ['10.9.0.255', '255.255.255.255', '224.0.0.1']) peer.send({ flags: SYN, seq: 1, dst });
  for (const src of ['0.0.0.0', '10.9.0.255', '255.255.255.255', '224.0.0.1', '127.0.0.1'])
    peer.send({ flags: SYN, seq: 1, src });
  peer.send({ flags: SYN, seq: 1, src: '10.9.0.1', srcPort: 80 });
  peer.send({ flags: SYN, seq: 1, srcPort: 0 });
  peer.sendFrame(peer.build({ flags: SYN, seq: 1 }).fill(0xff, 0, 6)); // our address, but to every station (RFC 1122 §3.3.6)
  peer.wait(SECOND);
  expect(peer.stack.stats.tcpOutSegs).toBe(before);
  expect(listener.embryos).toBe(0);
});

test('a damaged checksum drops the segment and is counted (M3)', () => {
  const peer = new RawPeer();
  peer.listen();
  const good = peer.build({ flags: SYN, seq: 1 });
  const received = peer.stack.stats.tcpInErrs;
  good[good.length - 4] ^= 1;
  peer.sendFrame(good);
  peer.silent();
  expect(peer.stack.stats.tcpInErrs).toBe(received + 1);
  expect(peer.stack.stats.dropTcpChecksum).toBe(1);
});

test('SYN is repeated with back-off for more than three minutes, then ETIMEDOUT (M18–M23)', () => {
  const peer = new RawPeer();
  const user = peer.connect();
  const start = peer.net.clock.now;
  let count = 0;
  while (!user.closed && peer.net.clock.now < start + 600 * SECOND) {
    peer.wait(SECOND);
    count += peer.take().length;
  }
  expect(user.error).toBe(ETIMEDOUT);
  expect(peer.net.clock.now - start).toBeGreaterThanOrEqual(180 * SECOND);
  expect(count).toBeGreaterThanOrEqual(7);
});

test('SYN,ACK is repeated with back-off, and the entry goes at R2', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500 });
  const first = peer.one();
  peer.wait(SECOND);
  expect(peer.one()).toMatchObject({ flags: 'S.', seq: first.seq, ack: 501 });
  peer.wait(2 * SECOND);
  expect(peer.take().length).toBe(1);
  peer.wait(400 * SECOND);
  expect(listener.embryos).toBe(0);
  expect(peer.stack.tcp.demux.flows.size).toBe(0);
});

test('SYN again gets the same SYN,ACK again', () => {
  const peer = new RawPeer();
  peer.listen();
  peer.send({ flags: SYN, seq: 500 });
  const first = peer.one();
  peer.send({ flags: SYN, seq: 500 });
  expect(peer.one()).toMatchObject({ flags: 'S.', seq: first.seq, ack: 501 });
});

test('a reset returns a passive SYN-RECEIVED to LISTEN without troubling the user (M11)', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500 });
  peer.one();
  peer.send({ flags: RST, seq: 400 }); // outside the window
  expect(listener.embryos).toBe(1);
  peer.send({ flags: RST, seq: 600 }); // inside: a guess, RFC 5961 §3.2
  expect(peer.one().flags).toBe('.');
  expect(listener.embryos).toBe(1);
  peer.send({ flags: RST, seq: 501 });
  expect(listener.embryos).toBe(0);
  expect(listener.accept()).toBeNull();
  expect(listener.state).toBe(LISTEN);
});

test('in SYN-RECEIVED an ACK of something else is reset — RFC 9293 §3.10.7.4', () => {
  const peer = new RawPeer();
  const listener = peer.listen();
  peer.send({ flags: SYN, seq: 500 });
  const synAck = peer.one();
  peer.send({ flags: ACK, seq: 501, ack: synAck.seq + 2 });
  expect(peer.one()).toMatchObject({ flags: 'R', seq: synAck.seq + 2 });
  expect(listener.embryos).toBe(1);
});

test('a user cannot connect to many, to nowhere or to port 0 (M46)', () => {
  const peer = new RawPeer();
  const { tcp } = peer.stack;
  const at = (text: string): Address => Address.parse(text) as Address;
  expect(tcp.connect({ remote: at('224.0.0.1'), remotePort: 1 })).toBe(EINVAL);
  expect(tcp.connect({ remote: at('255.255.255.255'), remotePort: 1 })).toBe(EINVAL);
  expect(tcp.connect({ remote: at('10.9.0.255'), remotePort: 1 })).toBe(EINVAL);
  expect(tcp.connect({ remote: at('10.9.0.2'), remotePort: 0 })).toBe(EINVAL);
  expect(tcp.connect({ remote: at('192.0.2.1'), remotePort: 1 })).toBe(ENETUNREACH);
  expect(tcp.demux.flows.size).toBe(0);
});

test('a neighbour that does not answer ARP ends the attempt with EHOSTUNREACH', () => {
  const peer = new RawPeer();
  const connection = peer.stack.tcp.connect({ remote: Address.parse('10.9.0.77') as Address, remotePort: 80 });
  if (typeof connection === 'number') throw new Error('connect');
  const user = new User(connection);
  peer.wait(20 * SECOND);
  expect(user.error).toBe(EHOSTUNREACH);
});

test('a connection to ourselves works over the loopback', () => {
  const peer = new RawPeer();
  const listener = peer.listen({ port: 7 });
  for (const to of ['127.0.0.1', '10.9.0.1', '0.0.0.0']) {
    const connection = peer.stack.tcp.connect({ remote: Address.parse(to) as Address, remotePort: 7 });
    if (typeof connection === 'number') throw new Error(`connect ${connection}`);
    const client = new User(connection);
    peer.pull();
    const accepted = listener.accept();
    if (accepted === null) throw new Error('nobody');
    const server = new User(accepted);
    client.send(200_000, true);
    peer.wait(SECOND);
    expect(server.received).toBe(200_000);
    expect(client.closed).toBe(true);
  }
});

test('two stacks agree on everything they both offer', () => {
  const { client, server } = connected();
  for (const user of [client, server])
    expect(user.connection.info()).toMatchObject({ sack: true, timestamps: true, windowScaling: true, mss: 1448 });
});
