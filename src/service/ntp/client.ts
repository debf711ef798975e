// An NTP client — RFC 5905 §8 (the on-wire protocol) and its packet tests, asked for one measurement.
//
//   T1 ──────▶ T2        offset = ((T2 − T1) + (T3 − T4)) / 2
//   T4 ◀────── T3        delay  =  (T4 − T1) − (T3 − T2)
//
// Invariant: only an answer that returns our transmit timestamp is believed, and that timestamp is a random number: it cannot be
// guessed by who does not see our packets, and tells nothing about our clock to who does (draft-ietf-ntp-data-minimization).

import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import debug from 'debug';
import type { DatagramSocket, DgramApi, RemoteInfo } from '../api.ts';
import { arrival, hostClock, measurePrecision, type WallClock } from './clock.ts';
import * as ntp from './packet.ts';
import { fromShort, type Timestamp, toUnix } from './timestamp.ts';

const log = debug('tapstack:ntp');

export interface NtpQueryOptions {
  dgram: DgramApi;
  port?: number | undefined;
  /** Milliseconds to wait for each answer. */
  timeout?: number | undefined;
  /** Exchanges; the one with the least delay is taken (RFC 5905 §10). */
  samples?: number | undefined;
  /** Milliseconds between exchanges. */
  interval?: number | undefined;
  version?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Nanoseconds since 1970. */
  now?: WallClock | undefined;
}

export interface NtpSample {
  /** Seconds to add to our clock to have the server's. */
  offset: number;
  /** Seconds on the way, there and back. */
  delay: number;
}

export interface NtpResult extends NtpSample {
  address: string;
  /** Seconds: what reading two clocks and their drift add to the error (RFC 5905 §8). */
  dispersion: number;
  /** Seconds: how much the offsets of the samples differ; 0 for one sample. */
  jitter: number;
  /** Seconds by which our clock may be off if it follows (RFC 5905 §11.2). */
  rootDistance: number;
  leap: number;
  version: number;
  stratum: number;
  refid: string;
  /** Seconds. */
  rootDelay: number;
  rootDispersion: number;
  precision: number;
  /** When the server's clock was last set. */
  reference: Date;
  /** The server's time at T3. */
  time: Date;
  samples: NtpSample[];
}

export type NtpErrorCode =
  | 'ERR_NTP_TIMEOUT'
  | 'ERR_NTP_KISS'
  | 'ERR_NTP_UNSYNCHRONIZED'
  | 'ERR_NTP_INVALID'
  | 'ERR_NTP_AUTHENTICATION';

export class NtpError extends Error {
  readonly code: NtpErrorCode;
  readonly address: string;
  /** The four letters of a kiss-o'-death: RATE, DENY, RSTR … */
  readonly kiss: string | null;

  constructor(code: NtpErrorCode, message: string, address: string, kiss: string | null = null) {
    super(message);
    this.name = 'NtpError';
    this.code = code;
    this.address = address;
    this.kiss = kiss;
  }
}

const MAX_DISTANCE = 16; // MAXDISP, RFC 5905 §7.2
const FREQUENCY_TOLERANCE = 15e-6;

/** Ask `host` for the time. @throws NtpError when it does not answer, refuses, or is not to be believed. */
export async function ntpQuery(host: string, options: NtpQueryOptions): Promise<NtpResult> {
  const { samples: count = 1, interval = 2_000, version = 4, timeout = 5_000 } = options;
  const port = ntpPort(options.port);
  if (!Number.isInteger(count) || count < 1 || count > 64) throw new RangeError('ntpQuery: samples is 1 to 64');
  if (!Number.isInteger(version) || version < 1 || version > 4) throw new RangeError('ntpQuery: version is 1 to 4');
  if (!(timeout > 0)) throw new RangeError('ntpQuery: timeout is a positive number of milliseconds');
  const now = options.now ?? hostClock();
  const precision = 2 ** measurePrecision(now);
  const socket = options.dgram.createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' });
  try {
    const exchanges: Exchange[] = [];
    let failure: unknown = null;
    for (let i = 0; i < count; i++) {
      if (i > 0) await sleep(interval, undefined, { signal: options.signal });
      try {
        exchanges.push(
          await exchange(socket, host, { port, version, timeout, now, precision, signal: options.signal }),
        );
      } catch (error) {
        if (!(error instanceof NtpError) || error.code !== 'ERR_NTP_TIMEOUT') throw error; // RFC 5905 §7.4: a kiss is to be obeyed
        failure = error;
      }
    }
    if (exchanges.length === 0) throw failure;
    return summarise(exchanges, precision);
  } finally {
    socket.close();
  }
}

function ntpPort(port: number | undefined): number {
  if (port === undefined) return 123;
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new RangeError('ntpQuery: port is 1 to 65535');
  return port;
}

interface Exchange extends NtpSample {
  address: string;
  packet: ntp.Packet;
  dispersion: number;
  arrived: bigint;
}

interface ExchangeOptions {
  port: number;
  version: number;
  timeout: number;
  now: WallClock;
  precision: number;
  signal: AbortSignal | undefined;
}

function exchange(socket: DatagramSocket, host: string, options: ExchangeOptions): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const { now, signal } = options;
    const nonce = randomTimestamp();
    let ignored = '';
    let sentAt = 0n;
    const settle = (action: () => void): void => {
      clearTimeout(timer);
      socket.removeListener('message', receive);
      socket.removeListener('error', fail);
      signal?.removeEventListener('abort', abort);
      action();
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const abort = (): void => fail(signal?.reason instanceof Error ? signal.reason : new Error('ntpQuery: aborted'));
    const timer = setTimeout(() => {
      const why = ignored === '' ? '' : ` (what came was ignored: ${ignored})`;
      const text = `no answer from ${host}:${options.port} within ${options.timeout} ms${why}`;
      settle(() => reject(new NtpError('ERR_NTP_TIMEOUT', text, host)));
    }, options.timeout);
    const receive = (message: Uint8Array, from: RemoteInfo): void => {
      const arrived = arrival(from.receivedAt, now());
      const packet = ntp.decode(message);
      const suspicion = suspect(packet, nonce, from, options.port);
      if (suspicion !== null || packet === null) {
        // Anybody can send us anything: it must not end the wait for the true answer.
        ignored = suspicion ?? '';
        log('from %s:%d: %s', from.address, from.port, ignored);
        return;
      }
      const error = refuse(packet, from.address);
      if (error !== null) fail(error);
      else settle(() => resolve(measure(packet, from.address, sentAt, arrived, options.precision)));
    };
    socket.on('message', receive);
    socket.on('error', fail);
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort);
    const request = question(options.version, nonce);
    sentAt = now();
    socket.send(request, options.port, host, (error) => {
      if (error) fail(error);
    });
  });
}

function question(version: number, nonce: Timestamp): Uint8Array {
  return ntp.encode({
    leap: 0,
    version,
    mode: version === 1 ? ntp.MODE_RESERVED : ntp.MODE_CLIENT, // RFC 1059 had no modes
    stratum: 0,
    poll: 0,
    precision: 0,
    rootDelay: 0,
    rootDispersion: 0,
    referenceId: 0,
    reference: 0n,
    origin: 0n,
    receive: 0n,
    transmit: nonce,
  });
}

function randomTimestamp(): Timestamp {
  const random = randomBytes(8).readBigUInt64BE();
  return random === 0n ? 1n : random;
}

/** Why this may not be the server's answer at all (RFC 5905 §8: the duplicate and bogus packet tests); null if it is. */
function suspect(packet: ntp.Decoded | null, nonce: Timestamp, from: RemoteInfo, port: number): string | null {
  if (packet === null) return 'not an NTP packet';
  if (from.port !== port) return `it came from port ${from.port}`;
  if (packet.mode !== ntp.MODE_SERVER) return `mode ${packet.mode} is not an answer`;
  if (packet.origin !== nonce) return 'its origin timestamp is not the one sent'; // TEST2
  return null;
}

/** Why the server's answer is of no use; null when it is of use. */
function refuse(packet: ntp.Decoded, address: string): NtpError | null {
  const error = (code: NtpErrorCode, text: string, kiss: string | null = null): NtpError =>
    new NtpError(code, `${address}: ${text}`, address, kiss);
  if (packet.macLength === 4) return error('ERR_NTP_AUTHENTICATION', 'answered by a crypto-NAK');
  if (packet.stratum === ntp.STRATUM_KISS && packet.referenceId !== 0 && packet.leap === ntp.LEAP_UNSYNCHRONISED) {
    const kiss = ntp.formatReferenceId(packet.referenceId, 0);
    // INIT and STEP are a server's way to say that it has no time yet (RFC 5905 §7.4, figure 13).
    if (kiss === 'INIT' || kiss === 'STEP') return error('ERR_NTP_UNSYNCHRONIZED', `not synchronised (${kiss})`);
    const meaning = KISSES.get(kiss) ?? 'it wants no more requests';
    return error('ERR_NTP_KISS', `kiss-o'-death ${kiss}: ${meaning}`, kiss);
  }
  if (packet.leap === ntp.LEAP_UNSYNCHRONISED || packet.stratum === 0 || packet.stratum >= ntp.STRATUM_UNSYNCHRONISED) {
    return error('ERR_NTP_UNSYNCHRONIZED', 'not synchronised'); // TEST6
  }
  if (packet.transmit === 0n || packet.receive === 0n) return error('ERR_NTP_INVALID', 'a timestamp is missing'); // TEST3
  if (fromShort(packet.rootDelay) / 2 + fromShort(packet.rootDispersion) >= MAX_DISTANCE) {
    return error('ERR_NTP_INVALID', `root distance of ${MAX_DISTANCE} s or more`); // TEST7
  }
  // Differences of timestamps are right across the change of era (RFC 5905 §6).
  if (BigInt.asIntN(64, packet.transmit - packet.receive) < 0n) {
    return error('ERR_NTP_INVALID', 'answered before it was asked');
  }
  if (packet.reference !== 0n && BigInt.asIntN(64, packet.transmit - packet.reference) < 0n) {
    return error('ERR_NTP_INVALID', 'its clock will have been set in the future'); // TEST7
  }
  return null;
}

const KISSES: ReadonlyMap<string, string> = new Map([
  ['RATE', 'asked too often'],
  ['DENY', 'access denied'],
  ['RSTR', 'access denied by policy'],
]);

function measure(packet: ntp.Packet, address: string, t1: bigint, t4: bigint, precision: number): Exchange {
  const t2 = toUnix(packet.receive, t1);
  const t3 = toUnix(packet.transmit, t1);
  const offset = Number(t2 - t1 + (t3 - t4)) / 2e9;
  // RFC 5905 §8: a delay less than the precision is the precision.
  const delay = Math.max(Number(t4 - t1 - (t3 - t2)) / 1e9, precision);
  const elapsed = Math.max(0, Number(t4 - t1) / 1e9);
  return {
    address,
    packet,
    offset,
    delay,
    dispersion: 2 ** packet.precision + precision + FREQUENCY_TOLERANCE * elapsed,
    arrived: t4,
  };
}

function summarise(exchanges: Exchange[], precision: number): NtpResult {
  const best = exchanges.reduce((a, b) => (b.delay < a.delay ? b : a));
  const { packet } = best;
  const squares = exchanges.reduce((sum, { offset }) => sum + (offset - best.offset) ** 2, 0);
  const jitter = exchanges.length > 1 ? Math.max(precision, Math.sqrt(squares / (exchanges.length - 1))) : 0;
  const rootDelay = fromShort(packet.rootDelay);
  const rootDispersion = fromShort(packet.rootDispersion);
  return {
    address: best.address,
    offset: best.offset,
    delay: best.delay,
    dispersion: best.dispersion,
    jitter,
    rootDistance: (rootDelay + best.delay) / 2 + rootDispersion + best.dispersion + jitter,
    leap: packet.leap,
    version: packet.version,
    stratum: packet.stratum,
    refid: ntp.formatReferenceId(packet.referenceId, packet.stratum),
    rootDelay,
    rootDispersion,
    precision: 2 ** packet.precision,
    reference: new Date(Number(toUnix(packet.reference, best.arrived) / 1_000_000n)),
    time: new Date(Number(toUnix(packet.transmit, best.arrived) / 1_000_000n)),
    samples: exchanges.map(({ offset, delay }) => ({ offset, delay })),
  };
}
