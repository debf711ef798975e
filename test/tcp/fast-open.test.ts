// TCP Fast Open — RFC 7413: cookies, data in the SYN, and every way back to the ordinary handshake.

import { describe, expect, test } from 'vitest';
import { ECONNRESET } from '../../src/errno.ts';
import type { TcpConnection } from '../../src/tcp/connection.ts';
import { FastOpen } from '../../src/tcp/fast-open.ts';
import { IsnGenerator } from '../../src/tcp/isn.ts';
import { Address } from '../../src/wire/address.ts';
import { FAST_OPEN } from '../../src/wire/tcp-options.ts';
import { SeededEntropy, twoStacks } from '../support/two-stacks.ts';
import { ACK, FIN, mss, PSH, RawPeer, RST, SYN } from './raw-peer.ts';
import { listen, User } from './support.ts';

const DAY = 86_400_000_000;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const fastOpen = (cookie: ArrayLike<number>): number[] => [FAST_OPEN, 2 + cookie.length, ...Array.from(cookie)];
const readAll = (connection: TcpConnection): string => {
  const bytes = new Uint8Array(4096);
  return text(bytes.subarray(0, connection.read(bytes, 0, bytes.length)));
};
const write = (connection: TcpConnection, data: string): number =>
  connection.write(new TextEncoder().encode(data), 0, data.length);

describe('cookies', () => {
  const hash = new IsnGenerator(new SeededEntropy(1));
  const server = new FastOpen(hash);
  const local = Address.parse('10.0.0.1') as Address;
  const remote = Address.parse('10.0.0.2') as Address;
  const at = (cookie: Uint8Array): DataView => new DataView(Uint8Array.from([FAST_OPEN, 10, ...cookie]).buffer);

  test('are good for the address they were made for, that day and the next (RFC 7413 §4.1.2)', () => {
    const cookie = at(server.cookie(local, remote, 5));
    expect(server.isValid(cookie, 0, local, remote, DAY - 1)).toBe(true);
    expect(server.isValid(cookie, 0, local, remote, 2 * DAY - 1)).toBe(true);
    expect(server.isValid(cookie, 0, local, remote, 2 * DAY)).toBe(false);
    expect(server.isValid(cookie, 0, local, Address.parse('10.0.0.3') as Address, 5)).toBe(false);
  });

  test('every bit counts, and so does the length', () => {
    const cookie = server.cookie(local, remote, 5);
    for (let bit = 0; bit < 64; bit++) {
      const forged = cookie.slice();
      forged[bit >> 3] ^= 1 << (bit & 7);
      expect(server.isValid(at(forged), 0, local, remote, 5)).toBe(false);
    }
    const short = at(cookie);
    short.setUint8(1, 8);
    expect(server.isValid(short, 0, local, remote, 5)).toBe(false);
  });

  test("the client's cache is bounded: the one not renewed for longest goes (RFC 7413 §4.1.3)", () => {
    const client = new FastOpen(hash);
    const cookie = new Uint8Array(8);
    for (let i = 0; i < 1025; i++) client.remember(new Address().setV4(0x0b000000 + i), cookie, 1460);
    expect(client.size).toBe(1024);
    expect(client.recall(new Address().setV4(0x0b000000))).toBeNull();
    expect(client.recall(new Address().setV4(0x0b000001))).not.toBeNull();
  });
});

/** The cookie the stack gives us, and the peer that asked for it. */
function withCookie(limit: boolean | number = true) {
  const peer = new RawPeer();
  const listener = peer.listen({ fastOpen: limit });
  peer.send({ flags: SYN, seq: 1, options: [...mss(1460), ...fastOpen([])], srcPort: 39_999 });
  const { cookie } = peer.one();
  expect(cookie).toHaveLength(8);
  peer.send({ flags: RST, seq: 2, srcPort: 39_999 });
  return { peer, listener, cookie: cookie as Uint8Array };
}

describe('the server', () => {
  test('gives a cookie to whoever asks, and opens as ever (RFC 7413 §4.2.2)', () => {
    const { peer } = withCookie();
    expect(peer.stack.stats.tcpFastOpenCookieReqd).toBe(1);
  });

  test('gives none where fast open is off', () => {
    const peer = new RawPeer();
    peer.listen();
    peer.send({ flags: SYN, seq: 1, options: [...mss(1460), ...fastOpen([])] });
    expect(peer.one().cookie).toBeNull();
  });

  test('hands data of the SYN to the user at once, and may answer before the handshake is done (RFC 7413 §4.2.2)', () => {
    const { peer, listener, cookie } = withCookie();
    peer.send({ flags: SYN, seq: 1000, options: [...mss(1460), ...fastOpen(cookie)], data: 'GET /' });
    const synAck = peer.one();
    expect(synAck).toMatchObject({ flags: 'S.', ack: 1006, cookie: null });
    const connection = listener.accept() as TcpConnection;
    expect(readAll(connection)).toBe('GET /');
    write(connection, 'hello');
    expect(peer.one()).toMatchObject({ flags: 'P.', seq: (synAck.seq + 1) >>> 0, ack: 1006 });
    peer.send({ flags: ACK, seq: 1006, ack: synAck.seq + 6 });
    expect(connection.info().state).toBe('ESTABLISHED');
    expect(listener.fastOpens).toBe(0);
    expect(listener.accept()).toBeNull();
    expect(peer.stack.stats).toMatchObject({ tcpFastOpenPassive: 1, tcpIllegalTransitions: 0 });
  });

  test('the answer and the FIN may be there before our SYN is acknowledged (RFC 7413 §4.2.2)', () => {
    const { peer, listener, cookie } = withCookie();
    peer.send({ flags: SYN, seq: 1000, options: [...mss(1460), ...fastOpen(cookie)], data: 'GET /' });
    const synAck = peer.one();
    const connection = listener.accept() as TcpConnection;
    readAll(connection);
    write(connection, 'bye');
    connection.release();
    expect(peer.take().map((s) => [s.flags, text(s.data)])).toEqual([['FP.', 'bye']]);
    peer.send({ flags: ACK, seq: 1006, ack: synAck.seq + 5 });
    expect(connection.info().state).toBe('FIN-WAIT-2');
    peer.send({ flags: ACK | FIN, seq: 1006, ack: synAck.seq + 5 });
    expect(connection.info().state).toBe('TIME-WAIT');
    expect(peer.stack.stats.tcpIllegalTransitions).toBe(0);
  });

  test('repeats the SYN,ACK without the data it has sent meanwhile (RFC 7413 §4.2.2, RFC 6298 §5)', () => {
    const { peer, listener, cookie } = withCookie();
    peer.send({ flags: SYN, seq: 1000, options: [...mss(1460), ...fastOpen(cookie)], data: 'GET /' });
    const synAck = peer.one();
    const connection = listener.accept() as TcpConnection;
    write(connection, 'hello');
    peer.take();
    peer.wait(1_100_000);
    expect(peer.take()[0]).toMatchObject({ flags: 'S.', seq: synAck.seq, ack: 1006 });
    // The SYN once more, without data: the client has not heard of us.
    peer.send({ flags: SYN, seq: 1000, options: mss(1460) });
    expect(peer.take()[0]).toMatchObject({ flags: 'S.', ack: 1006 });
  });

  test('acknowledges the SYN alone when the cookie is wrong, and sends the right one (RFC 7413 §4.2.2)', () => {
    const { peer, listener, cookie } = withCookie();
    const forged = cookie.map((byte) => byte ^ 1);
    peer.send({ flags: SYN, seq: 1000, options: [...mss(1460), ...fastOpen(forged)], data: 'GET /' });
    const synAck = peer.one();
    expect(synAck).toMatchObject({ flags: 'S.', ack: 1001 });
    expect(synAck.cookie).toEqual(cookie);
    expect(listener.accept()).toBeNull();
    peer.send({ flags: ACK | PSH, seq: 1001, ack: synAck.seq + 1, data: 'GET /' });
    expect(readAll(listener.accept() as TcpConnection)).toBe('GET /');
    expect(peer.stack.stats.tcpFastOpenPassiveFail).toBe(1);
  });

  test('limits how many may be unproven, and counts those that were reset for a while (RFC 7413 §5.1)', () => {
    const { peer, listener, cookie } = withCookie(2);
    const open = (srcPort: number): number => {
      peer.send({ flags: SYN, seq: 1000, srcPort, options: [...mss(1460), ...fastOpen(cookie)], data: 'x' });
      return peer.take().find((s) => s.dstPort === srcPort)?.ack ?? 0;
    };
    expect(open(41_001)).toBe(1002);
    expect(open(41_002)).toBe(1002);
    expect(open(41_003)).toBe(1001);
    expect(peer.stack.stats.tcpFastOpenListenOverflow).toBe(1);
    const connection = listener.accept() as TcpConnection;
    peer.send({ flags: RST, seq: 1002, srcPort: 41_001 });
    expect(connection.error).toBe(ECONNRESET);
    expect(open(41_004)).toBe(1001);
    peer.net.clock.now += 61_000_000;
    expect(open(41_005)).toBe(1002);
  });

  test('leaves nothing behind when nobody completes the handshake', () => {
    const { peer, listener, cookie } = withCookie();
    const { size } = peer.stack.tcp.demux.flows;
    peer.send({ flags: SYN, seq: 1000, options: [...mss(1460), ...fastOpen(cookie)], data: 'x' });
    const connection = listener.accept() as TcpConnection;
    readAll(connection);
    connection.release();
    peer.wait(300_000_000);
    expect(peer.stack.tcp.demux.flows.size).toBe(size);
    expect(connection.info().state).toBe('CLOSED');
  });
});

/** A stack that has been given `cookie` by the peer. */
function client(cookie: number[] = [1, 2, 3, 4, 5, 6, 7, 8], theirMss = 1000) {
  const peer = new RawPeer();
  const user = peer.connect({ fastOpen: true });
  const syn = peer.one();
  expect(syn.cookie).toHaveLength(0);
  expect(syn.data).toHaveLength(0);
  peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1, options: [...mss(theirMss), ...fastOpen(cookie)] });
  expect(peer.take().map((s) => s.flags)).toEqual(['.']);
  user.connection.abort();
  peer.take();
  return peer;
}

describe('the client', () => {
  test('asks for a cookie first, then sends it with data in the SYN (RFC 7413 §4.2.1)', () => {
    const peer = client();
    const user = peer.connect({ fastOpen: true });
    write(user.connection, 'GET /');
    const syn = peer.one();
    expect(syn).toMatchObject({ flags: 'S', cookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
    expect(text(syn.data)).toBe('GET /');
    peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 6, options: mss(1000) });
    expect(peer.one()).toMatchObject({ flags: '.', seq: (syn.seq + 6) >>> 0 });
    expect(user.connected).toBe(true);
    expect(user.connection.unacknowledged).toBe(0);
    expect(peer.stack.stats.tcpFastOpenActive).toBe(1);
  });

  test('fills the SYN to the MSS the server named last time, options counted (RFC 7413 §4.1.3, RFC 9293 §3.7.1)', () => {
    const peer = client([1, 2, 3, 4], 700);
    const user = peer.connect({ fastOpen: true });
    user.send(3000);
    const syn = peer.one();
    // MSS 4, SACK and timestamps 12, scale 4, cookie 6 padded to 8.
    expect(syn.data).toHaveLength(700 - 28);
    peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1 + syn.data.length, options: mss(700) });
    const rest = peer.take();
    expect(rest[0].seq).toBe((syn.seq + 1 + syn.data.length) >>> 0);
    expect(rest.reduce((sum, s) => sum + s.data.length, 0)).toBe(3000 - syn.data.length);
  });

  test('sends the data again at once when the SYN,ACK does not cover it (RFC 7413 §4.1.3.1)', () => {
    const peer = client();
    const user = peer.connect({ fastOpen: true });
    write(user.connection, 'GET /');
    const syn = peer.one();
    const { cwnd } = user.connection.info();
    peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1, options: [...mss(1000), ...fastOpen([9, 9, 9, 9])] });
    const again = peer.take().filter((s) => s.data.length > 0);
    expect(again.map((s) => [s.seq, text(s.data)])).toEqual([[(syn.seq + 1) >>> 0, 'GET /']]);
    expect(user.connection.info()).toMatchObject({ caState: 'open', ssthresh: Infinity });
    expect(user.connection.info().cwnd).toBeGreaterThanOrEqual(cwnd);
    expect(peer.stack.stats.tcpFastOpenActiveFail).toBe(1);
    peer.send({ flags: ACK, seq: 9001, ack: syn.seq + 6 });
    expect(user.connection.unacknowledged).toBe(0);
    // And the new cookie is the one to use.
    peer.connect({ fastOpen: true });
    expect(peer.take().at(-1)?.cookie).toEqual(Uint8Array.of(9, 9, 9, 9));
  });

  test('repeats a SYN that got no answer without data and without the option (RFC 7413 §4.1.3.1)', () => {
    const peer = client();
    const user = peer.connect({ fastOpen: true });
    write(user.connection, 'GET /');
    const syn = peer.one();
    peer.wait(1_100_000);
    const again = peer.one();
    expect(again).toMatchObject({ flags: 'S', seq: syn.seq, cookie: null });
    expect(again.data).toHaveLength(0);
    peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1, options: mss(1000) });
    expect(peer.take().map((s) => text(s.data))).toContain('GET /');
    expect(user.connected).toBe(true);
  });

  test('does without for a while where such SYNs get lost again and again (RFC 7413 §7.1)', () => {
    const peer = client();
    for (let i = 0; i < 2; i++) {
      const user = peer.connect({ fastOpen: true });
      write(user.connection, 'x');
      expect(peer.one().data).toHaveLength(1);
      peer.wait(1_100_000);
      user.connection.abort();
      peer.take();
    }
    const blocked = peer.connect({ fastOpen: true });
    write(blocked.connection, 'x');
    const plain = peer.one();
    expect(plain.cookie).toBeNull();
    expect(plain.data).toHaveLength(0);
    expect(peer.stack.stats.tcpFastOpenBlackhole).toBe(1);
    blocked.connection.abort();
    peer.take();
    peer.wait(61_000_000);
    write(peer.connect({ fastOpen: true }).connection, 'x');
    expect(peer.take()[0].data).toHaveLength(1);
  });

  test('a server that has no cookies to give is an ordinary server', () => {
    const peer = new RawPeer();
    const user = peer.connect({ fastOpen: true });
    const syn = peer.one();
    peer.send({ flags: SYN | ACK, seq: 9000, ack: syn.seq + 1, options: mss(1000) });
    expect(user.connected).toBe(true);
    expect(peer.stack.tcp.fastOpen.size).toBe(0);
  });
});

test('two stacks: the second connection saves a round trip, and every byte arrives (RFC 7413 §2)', () => {
  const { a, b, net } = twoStacks();
  const listener = listen(b.stack, { port: 80, fastOpen: true });
  for (const early of [false, true]) {
    const connection = a.stack.tcp.connect({ remote: b.address, remotePort: 80, fastOpen: true });
    if (typeof connection === 'number') throw new Error(`connect: ${connection}`);
    const user = new User(connection);
    user.send(100_000, true);
    let server: User | null = null;
    net.run(10_000_000, () => {
      const accepted = listener.accept();
      if (accepted !== null) server = new User(accepted);
      return server?.ended === true && server.received === 100_000;
    });
    expect((server as User | null)?.received).toBe(100_000);
    expect(b.stack.stats.tcpFastOpenPassive).toBe(early ? 1 : 0);
  }
  expect(a.stack.stats).toMatchObject({ tcpFastOpenActive: 1, tcpIllegalTransitions: 0 });
  expect(b.stack.stats.tcpIllegalTransitions).toBe(0);
});
