// One question to one server and the answer to it, over UDP or TCP of a stack.
//
// RFC 5452 §9.2: every question over UDP has a socket of its own, hence a port of its own that nobody can guess, connected to the server,
// so that the stack lets nothing through that comes from elsewhere, and tells of a port where nobody listens.
//
// Invariant: when the promise settles, socket and timer are gone.

import { isIPv6 } from 'node:net';
import type { DecodedPacket } from 'dns-packet';
import type { Clock } from '../driver/clock.ts';
import type { Dgram } from '../node/dgram.ts';
import type { Net } from '../node/net.ts';
import { Failure } from './errors.ts';
import { answerTo, type Query } from './message.ts';
import type { ServerAddress } from './server-address.ts';

/** What a resolver needs of the stack it is on. */
export interface DnsHost {
  readonly net: Pick<Net, 'connect'>;
  readonly dgram: Pick<Dgram, 'createSocket'>;
  readonly clock: Clock;
  /** 32 bits nobody can guess. */
  random(): number;
}

export interface ExchangeOptions {
  readonly server: ServerAddress;
  readonly query: Query;
  /** Milliseconds until the server counts as silent. */
  readonly timeout: number;
  /** Own address to ask from. */
  readonly local: string | undefined;
  readonly signal: AbortSignal;
}

/** Settles once; `cleanUp` runs before. */
function settling(
  host: DnsHost,
  { timeout, signal }: ExchangeOptions,
  start: (done: (outcome: DecodedPacket | Failure) => void) => () => void,
): Promise<DecodedPacket> {
  return new Promise((resolve, reject) => {
    let cleanUp: (() => void) | null = null;
    let isSettled = false;
    const done = (outcome: DecodedPacket | Failure): void => {
      if (isSettled) return;
      isSettled = true;
      timer.close();
      signal.removeEventListener('abort', abort);
      cleanUp?.();
      if (outcome instanceof Failure) reject(outcome);
      else resolve(outcome);
    };
    const abort = (): void => done(new Failure('ECANCELLED'));
    const timer = host.clock.timer(() => done(new Failure('ETIMEOUT')), timeout);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) {
      abort();
      return;
    }
    cleanUp = start(done);
    if (isSettled) cleanUp();
  });
}

export function askOverUdp(host: DnsHost, options: ExchangeOptions): Promise<DecodedPacket> {
  const { server, query, local } = options;
  return settling(host, options, (done) => {
    const socket = host.dgram.createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    // Unreachable, or nobody listens there: no need to wait for the timeout.
    const refused = (): void => done(new Failure('ECONNREFUSED'));
    let isClosed = false;
    socket.on('error', refused);
    socket.on('message', (bytes) => {
      // What is no answer to this question may be somebody's guess: the real one may still come (RFC 5452 §9.1).
      const packet = answerTo(query, bytes);
      if (packet !== null) done(packet);
    });
    socket.once('connect', () => {
      if (isClosed) return;
      socket.send(query.bytes, (error) => {
        if (error !== null) refused();
      });
    });
    socket.bind({ port: 0, address: local }, () => {
      if (!isClosed) socket.connect(server.port, server.address);
    });
    return () => {
      isClosed = true;
      socket.close();
    };
  });
}

export function askOverTcp(host: DnsHost, options: ExchangeOptions): Promise<DecodedPacket> {
  const { server, query, local } = options;
  return settling(host, options, (done) => {
    const socket = host.net.connect({ host: server.address, port: server.port, localAddress: local });
    let received = Buffer.alloc(0);
    socket.on('error', () => done(new Failure('ECONNREFUSED')));
    socket.on('close', () => done(new Failure('ESERVFAIL'))); // ended without an answer
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      // RFC 1035 §4.2.2: each message behind its length. RFC 7766 §7: answers may come in any order, so look at each.
      while (received.length >= 2) {
        const end = 2 + received.readUInt16BE(0);
        if (received.length < end) return;
        const packet = answerTo(query, received.subarray(2, end));
        received = received.subarray(end);
        if (packet === null) continue;
        socket.end();
        done(packet);
        return;
      }
    });
    // RFC 7766 §8: length and message in one write, hence one segment.
    const message = Buffer.alloc(2 + query.bytes.length);
    message.writeUInt16BE(query.bytes.length);
    query.bytes.copy(message, 2);
    socket.write(message);
    return () => socket.destroy();
  });
}
