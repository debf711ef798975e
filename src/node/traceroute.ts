// The way packets take: probes with growing TTL, and who complains that it ran out — RFC 792, RFC 1393's introduction.
//
// Three kinds of probe, as filters let different ones through: UDP to ports nobody listens on, ICMP echo requests, and TCP SYNs. The
// probes of one hop travel together; the next hop waits for their answers or their time-out.

import type { ClockTimer } from '../driver/clock.ts';
import type { IcmpError } from '../net/icmp-error.ts';
import { EV_CONNECTED, EV_ERROR } from '../socket.ts';
import { Address } from '../wire/address.ts';
import * as icmp from '../wire/icmpv4.ts';
import { abortError, errnoException, invalidArgValue, outOfRange } from './errors.ts';
import { markOf } from './reports.ts';
import type { HandleContext } from './tcp-handle.ts';
import { validateAbortSignal, validateInteger, validateNumber } from './validate.ts';

export interface TracerouteOptions {
  /** What to probe with, default 'udp'. */
  method?: 'udp' | 'icmp' | 'tcp';
  /** Default 30. */
  maxHops?: number;
  /** Probes per hop, default 3. */
  queries?: number;
  /** Milliseconds to wait for the answers of one hop, default 2000. */
  timeout?: number;
  /** UDP: port of the first probe, default 33434, one more for each that follows. TCP: port of all, default 80. */
  port?: number;
  /** Default 1. */
  firstHop?: number;
  signal?: AbortSignal;
}

export interface Probe {
  /** Who answered; null when nobody did in time. */
  from: string | null;
  /** Milliseconds. */
  rtt: number | null;
  /** traceroute's mark for an error that ends the way: !H, !N, !P, !X, !F …; empty otherwise. */
  mark: string;
}

export interface Hop {
  hop: number;
  probes: Probe[];
  /** The destination itself answered. */
  reached: boolean;
}

export interface TracerouteResult {
  host: string;
  address: string;
  reached: boolean;
  hops: Hop[];
}

type Settings = Required<Omit<TracerouteOptions, 'signal'>>;

function checkOptions(options: TracerouteOptions): Settings {
  const { method = 'udp', maxHops = 30, queries = 3, timeout = 2000, firstHop = 1 } = options;
  if (method !== 'udp' && method !== 'icmp' && method !== 'tcp')
    throw invalidArgValue('options.method', method, "must be 'udp', 'icmp' or 'tcp'");
  const port = options.port ?? (method === 'tcp' ? 80 : 33434);
  validateInteger(maxHops, 'options.maxHops', 1, 255);
  validateInteger(queries, 'options.queries', 1, 100);
  validateInteger(firstHop, 'options.firstHop', 1, maxHops);
  validateInteger(port, 'options.port', 1, 65535);
  validateNumber(timeout, 'options.timeout');
  if (!(timeout > 0 && timeout <= 2147483647)) throw outOfRange('options.timeout', '> 0 && <= 2147483647', timeout);
  return { method, maxHops, queries, timeout, port, firstHop };
}

/** One probe on its way. */
interface Flight {
  readonly sentAt: number;
  /** Tells an ICMP error about this probe from others. */
  matches(error: IcmpError): boolean;
  done: boolean;
  result: Probe;
  reached: boolean;
  /** An answer that says there is no way on. */
  final: boolean;
  release(): void;
}

const UDP = 17;
const TCP = 6;
const ICMP = 1;
const PAYLOAD = Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i); // 60-byte packets, as traceroute(8) sends

export class Traceroute implements AsyncIterable<Hop>, PromiseLike<TracerouteResult> {
  readonly host: string;
  readonly #context: HandleContext;
  readonly #resolve: () => Promise<Address>;
  readonly #settings: Settings;
  readonly #signal: AbortSignal | undefined;
  #remote = new Address();
  #probe = 0;
  #flights: Flight[] = [];
  #answered: (() => void) | null = null;
  #started = false;
  #result: Promise<TracerouteResult> | null = null;

  constructor(context: HandleContext, host: string, resolve: () => Promise<Address>, options: TracerouteOptions = {}) {
    this.host = host;
    this.#context = context;
    this.#resolve = resolve;
    this.#settings = checkOptions(options);
    if (options.signal !== undefined) validateAbortSignal(options.signal, 'options.signal');
    this.#signal = options.signal;
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting a traceroute is what it is for
  then<A = TracerouteResult, B = never>(
    fulfilled?: ((result: TracerouteResult) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#collect();
    return this.#result.then(fulfilled, rejected);
  }

  async #collect(): Promise<TracerouteResult> {
    const hops: Hop[] = [];
    for await (const hop of this) hops.push(hop);
    const reached = hops.at(-1)?.reached ?? false;
    return { host: this.host, address: this.#remote.toString(), reached, hops };
  }

  /** One hop after the other, as they answer. A traceroute can be iterated once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Hop, void, undefined> {
    if (this.#started) throw new Error('this traceroute has been started already: make another one');
    this.#started = true;
    if (this.#signal?.aborted) throw abortError(this.#signal.reason);
    const { driver, core } = this.#context;
    const observe = (error: IcmpError): void => this.#onError(error);
    const abort = (): void => this.#answered?.();
    driver.hold();
    core.icmp.observers.add(observe);
    this.#signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#remote = await this.#resolve();
      const { firstHop, maxHops } = this.#settings;
      for (let hop = firstHop; hop <= maxHops; hop++) {
        await this.#probeHop(hop);
        if (this.#signal?.aborted) return;
        const flights = this.#flights;
        const reached = flights.some((flight) => flight.reached);
        yield { hop, probes: flights.map((flight) => flight.result), reached };
        if (reached || flights.some((flight) => flight.final)) return;
      }
    } finally {
      this.#releaseAll();
      core.icmp.observers.delete(observe);
      this.#signal?.removeEventListener('abort', abort);
      driver.release();
    }
  }

  async #probeHop(ttl: number): Promise<void> {
    const { queries, timeout, method } = this.#settings;
    const { driver } = this.#context;
    this.#releaseAll();
    driver.enter();
    for (let i = 0; i < queries; i++) {
      if (method === 'udp') this.#sendUdp(ttl);
      else if (method === 'icmp') this.#sendEcho(ttl);
      else this.#sendSyn(ttl);
    }
    let timer: ClockTimer | null = null;
    await new Promise<void>((resolve) => {
      this.#answered = resolve;
      timer = driver.clock.timer(resolve, timeout);
      this.#settleIfDone();
    });
    this.#answered = null;
    (timer as ClockTimer | null)?.close();
  }

  #launch(matches: Flight['matches'], release: () => void): Flight {
    const flight: Flight = {
      sentAt: this.#context.core.world.now,
      matches,
      done: false,
      result: { from: null, rtt: null, mark: '' },
      reached: false,
      final: false,
      release,
    };
    this.#flights.push(flight);
    return flight;
  }

  #sendUdp(ttl: number): void {
    const port = Math.min(65535, this.#settings.port + this.#probe++);
    const socket = this.#context.core.udp.open();
    socket.ttl = ttl;
    const bound = socket.bind(null, 0);
    if (bound < 0) throw errnoException(bound, 'bind');
    const flight = this.#launch(
      ({ protocol, dv, off }) =>
        protocol === UDP && dv.getUint16(off) === socket.localPort && dv.getUint16(off + 2) === port,
      () => socket.close(),
    );
    // Somebody does listen there: an answer is an answer.
    socket.owner = {
      onEvents: () => {
        const datagram = socket.receive();
        if (datagram?.remote.equals(this.#remote)) this.#arrive(flight, datagram.remote, datagram.receivedAt);
      },
    };
    this.#onSent(flight, socket.send(PAYLOAD, 0, PAYLOAD.length, this.#remote, port));
  }

  #sendEcho(ttl: number): void {
    const socket = this.#context.core.icmp.open();
    if (typeof socket === 'number') throw errnoException(socket, 'socket');
    const seq = ++this.#probe & 0xffff;
    const flight = this.#launch(
      ({ protocol, dv, off }) =>
        protocol === ICMP && icmp.type(dv, off) === icmp.ECHO && icmp.id(dv, off) === socket.id,
      () => socket.close(),
    );
    socket.owner = {
      onEvents: () => {
        const report = socket.receive();
        if (report?.kind === 'reply' && report.seq === seq) this.#arrive(flight, report.from, report.receivedAt);
      },
    };
    this.#onSent(flight, socket.sendEcho(this.#remote, seq, PAYLOAD, { ttl }));
  }

  #sendSyn(ttl: number): void {
    const { core } = this.#context;
    const connection = core.tcp.connect({ remote: this.#remote, remotePort: this.#settings.port, ttl });
    if (typeof connection === 'number') {
      this.#onSent(
        this.#launch(
          () => false,
          () => {},
        ),
        connection,
      );
      return;
    }
    const { localPort, remotePort } = connection;
    const flight = this.#launch(
      ({ protocol, dv, off }) =>
        protocol === TCP && dv.getUint16(off) === localPort && dv.getUint16(off + 2) === remotePort,
      () => {
        connection.owner = null;
        // An open port sees a connection that ends at once, rather than one that breaks.
        connection.release();
      },
    );
    // Open or refused: the destination has spoken.
    connection.owner = {
      onEvents: (events) => {
        if ((events & (EV_CONNECTED | EV_ERROR)) !== 0 && !flight.done)
          this.#arrive(flight, this.#remote, core.world.now);
      },
    };
  }

  /** A probe that could not leave says so in its mark. */
  #onSent(flight: Flight, result: number): void {
    if (result >= 0) return;
    flight.done = true;
    flight.final = true;
    flight.result.mark = '!N';
  }

  /** The destination has answered. */
  #arrive(flight: Flight, from: Address, at: number): void {
    if (flight.done) return;
    flight.reached = true;
    this.#complete(flight, from, at, '');
  }

  /** Called from within the core: notes what was said and leaves the rest to a later tick. */
  #onError(error: IcmpError): void {
    if (!error.remote.equals(this.#remote)) return;
    const flight = this.#flights.find((one) => !one.done && one.matches(error));
    if (flight === undefined) return;
    flight.reached = error.from.equals(this.#remote);
    flight.final = error.type === icmp.DESTINATION_UNREACHABLE;
    this.#complete(flight, error.from, this.#context.core.world.now, markOf(error.type, error.code));
  }

  #complete(flight: Flight, from: Address, at: number, mark: string): void {
    flight.done = true;
    flight.result = { from: from.toString(), rtt: (at - flight.sentAt) / 1000, mark };
    this.#settleIfDone();
  }

  #settleIfDone(): void {
    if (this.#flights.every((flight) => flight.done)) this.#answered?.();
  }

  #releaseAll(): void {
    this.#context.driver.enter();
    for (const flight of this.#flights) flight.release();
    this.#flights = [];
  }
}
