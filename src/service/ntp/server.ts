// An NTP server — RFC 5905 §9.2, for versions 1 to 4 of the protocol. Stateless but for the rate limit.
//
//   mode 3 (client), version 1 mode 0    answered by mode 4
//   mode 1 (symmetric active)            answered by mode 2, without becoming anybody's peer: Windows asks this way
//   modes 2 4 5 6 7                      never answered: they are answers themselves, or the control protocols amplifiers are made of
//
// Invariant: the answer is never longer than the question, and nothing that is an answer gets one.

import { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import debug from 'debug';
import type { DatagramSocket, DgramApi, RemoteInfo } from '../api.ts';
import {
  arrival,
  type ClockOptions,
  checkClockOptions,
  hostClock,
  kernelState,
  measurePrecision,
  type SystemVariables,
  systemVariables,
  type WallClock,
} from './clock.ts';
import { Limiter, type LimiterOptions } from './limiter.ts';
import * as ntp from './packet.ts';
import { fromUnix, toShort } from './timestamp.ts';

const log = debug('tapstack:ntp');

export const NTP_PORT = 123;

/** DENY and RSTR are told by a kiss-o'-death, rate limited like any; 'ignore' is silence. */
export type Access = 'allow' | 'deny' | 'restrict' | 'ignore';

export interface NtpServerOptions extends ClockOptions {
  dgram: DgramApi;
  limit?: LimiterOptions | undefined;
  access?: ((address: string) => Access) | undefined;
  /** Nanoseconds since 1970. */
  now?: WallClock | undefined;
  /** 'udp6' to serve IPv6. */
  type?: 'udp4' | 'udp6' | undefined;
}

const STATE_LIFETIME = 16_000_000_000n; // ns between two readings of the kernel's clock state
const FREQUENCY_TOLERANCE = 15e-6; // PHI, RFC 5905 §7.2
const MIN_RATE_POLL = 6; // what a client is told to slow down to, log2 s

export interface NtpCounters {
  received: number;
  answered: number;
  kissed: number;
  limited: number;
  malformed: number;
  ignored: number;
  failed: number;
}

/** Events: 'listening', 'error', 'close'. */
export class NtpServer extends EventEmitter {
  readonly counters: NtpCounters = {
    received: 0,
    answered: 0,
    kissed: 0,
    limited: 0,
    malformed: 0,
    ignored: 0,
    failed: 0,
  };
  readonly precision: number;

  readonly #options: NtpServerOptions;
  readonly #socket: DatagramSocket;
  readonly #now: WallClock;
  readonly #limiter: Limiter;
  #variables: SystemVariables;
  #readAt = 0n;
  #hostSynchronised = false;

  constructor(options: NtpServerOptions) {
    super();
    checkClockOptions(options, 'createNtpServer');
    this.#options = options;
    this.#now = options.now ?? hostClock();
    this.#limiter = new Limiter(options.limit);
    this.precision = measurePrecision(this.#now);
    this.#readAt = this.#now();
    this.#variables = this.#readVariables();
    this.#socket = options.dgram.createSocket({ type: options.type ?? 'udp4' });
    for (const event of ['listening', 'error', 'close']) {
      this.#socket.on(event, (...args: unknown[]) => void this.emit(event, ...args));
    }
    this.#socket.on('error', (error: Error) => log('socket: %s', error.message));
    this.#socket.on('message', (message: Uint8Array, from: RemoteInfo) => this.#receive(message, from));
  }

  listen(options: { port?: number; host?: string } = {}, callback?: () => void): this {
    const { port = NTP_PORT, host } = options;
    this.#socket.bind(host === undefined ? { port } : { port, address: host }, callback);
    return this;
  }

  address(): AddressInfo {
    return this.#socket.address();
  }

  close(callback?: () => void): this {
    this.#socket.close(callback);
    return this;
  }

  /** What is said about the clock now. */
  get variables(): Readonly<SystemVariables> {
    return this.#variables;
  }

  /** Does the host say that its clock is kept? */
  get hostSynchronised(): boolean {
    return this.#hostSynchronised;
  }

  #readVariables(): SystemVariables {
    const state = (this.#options.clock ?? kernelState)();
    this.#hostSynchronised = state?.synchronized ?? false;
    return systemVariables(this.#options, state);
  }

  #receive(message: Uint8Array, from: RemoteInfo): void {
    const read = this.#now();
    const receive = arrival(from.receivedAt, read);
    this.counters.received++;
    const request = ntp.decode(message);
    if (request === null || request.version < 1 || request.version > 4 || from.port === 0) {
      this.counters.malformed++;
      return;
    }
    const mode = answerMode(request);
    const access = this.#options.access?.(from.address) ?? 'allow';
    if (mode === 0 || access === 'ignore') {
      this.counters.ignored++;
      return;
    }
    const verdict = this.#limiter.judge(from.address, Number(read / 1_000_000n));
    if (verdict === 'drop') {
      this.counters.limited++;
      return;
    }
    if (read - this.#readAt > STATE_LIFETIME || read < this.#readAt) {
      this.#readAt = read;
      this.#variables = this.#readVariables();
    }
    const kiss = verdict === 'kiss' ? 'RATE' : access === 'deny' ? 'DENY' : access === 'restrict' ? 'RSTR' : null;
    // There are no keys here, and an answer without a MAC is a forgery to who asked with one: a crypto-NAK says why
    // (RFC 5905 §9.2). It is shorter than the MAC it answers.
    const cryptoNak = request.macLength > 4;
    const answer = kiss === null ? this.#answer(request, mode, receive) : this.#kiss(request, mode, kiss);
    if (kiss === null) this.counters.answered++;
    else this.counters.kissed++;
    answer.transmit = fromUnix(this.#now()); // as late as it can be told
    this.#socket.send(ntp.encode(answer, cryptoNak), from.port, from.address, (error) => {
      if (!error) return;
      this.counters.failed++;
      log('send to %s:%d: %s', from.address, from.port, error.message);
    });
  }

  #answer(request: ntp.Packet, mode: number, receive: bigint): ntp.Packet {
    const { leap, stratum, rootDelay, rootDispersion, referenceId } = this.#variables;
    const age = Number(receive - this.#readAt) / 1e9;
    const unsynchronised = stratum >= ntp.STRATUM_UNSYNCHRONISED;
    return {
      leap,
      version: request.version, // RFC 5905 §9.2: the answer has the version of the question
      mode,
      stratum: unsynchronised ? 0 : stratum, // RFC 5905 §7.3: stratum 16 is 0 on the wire
      poll: request.poll,
      precision: this.precision,
      rootDelay: toShort(rootDelay),
      rootDispersion: toShort(rootDispersion + FREQUENCY_TOLERANCE * Math.max(0, age)),
      referenceId,
      reference: unsynchronised ? 0n : fromUnix(this.#readAt),
      origin: request.transmit,
      receive: fromUnix(receive),
      transmit: 0n,
    };
  }

  /** RFC 5905 §7.4: stratum 0, leap 3, four letters instead of the reference id, and nothing a clock could be set by. */
  #kiss(request: ntp.Packet, mode: number, code: string): ntp.Packet {
    return {
      leap: ntp.LEAP_UNSYNCHRONISED,
      version: request.version,
      mode,
      stratum: ntp.STRATUM_KISS,
      poll: Math.max(request.poll, MIN_RATE_POLL),
      precision: this.precision,
      rootDelay: 0,
      rootDispersion: 0,
      referenceId: ntp.parseReferenceId(code),
      reference: 0n,
      origin: request.transmit,
      receive: request.transmit,
      transmit: 0n,
    };
  }
}

export function createNtpServer(options: NtpServerOptions): NtpServer {
  return new NtpServer(options);
}

function answerMode({ mode, version }: ntp.Packet): number {
  if (mode === ntp.MODE_CLIENT) return ntp.MODE_SERVER;
  if (mode === ntp.MODE_RESERVED && version === 1) return ntp.MODE_SERVER; // RFC 1059 had no mode field
  if (mode === ntp.MODE_ACTIVE) return ntp.MODE_PASSIVE;
  return 0;
}
