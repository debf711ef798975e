// Echo requests as a program wants them — RFC 792, RFC 1122 §3.2.2.6.
//
// `stack.ping(host)` is awaited for the summary, or iterated for what happens while it happens. It starts when either is asked for.

import type { ClockTimer } from '../driver/clock.ts';
import type { EchoReport, IcmpSocket } from '../net/icmp-socket.ts';
import type { SocketOwner } from '../socket.ts';
import type { Address } from '../wire/address.ts';
import { abortError, codeOf, errnoException, outOfRange } from './errors.ts';
import { describeError } from './reports.ts';
import type { HandleContext } from './tcp-handle.ts';
import { validateAbortSignal, validateInteger, validateNumber } from './validate.ts';

export interface PingOptions {
  /** Requests to send, default 4; Infinity goes on until aborted or the iteration ends. */
  count?: number;
  /** Milliseconds from one request to the next, default 1000. */
  interval?: number;
  /** Milliseconds to wait for an answer, default 2000. */
  timeout?: number;
  /** Payload bytes, default 56. */
  size?: number;
  ttl?: number;
  tos?: number;
  dontFragment?: boolean;
  /** Have every hop record its address. */
  recordRoute?: boolean;
  /** Stop early; what has been counted so far is the result. */
  signal?: AbortSignal;
}

export interface PingReply {
  type: 'reply';
  seq: number;
  from: string;
  /** Bytes of ICMP message: payload and header. */
  bytes: number;
  ttl: number;
  /** Round trip in milliseconds. */
  rtt: number;
  duplicate: boolean;
  /** Addresses recorded on the way. */
  route: string[];
}

export type PingItem =
  | { type: 'sent'; seq: number }
  | PingReply
  | { type: 'error'; seq: number; from: string; message: string; code: string }
  | { type: 'timeout'; seq: number };

export interface PingSummary {
  host: string;
  address: string;
  sent: number;
  received: number;
  duplicates: number;
  errors: number;
  /** Share of requests nobody answered, 0 … 1. */
  loss: number;
  /** Milliseconds; null when nothing came back. */
  rtt: { min: number; avg: number; max: number; mdev: number } | null;
  replies: PingReply[];
}

interface Outstanding {
  readonly sentAt: number;
  /** Nothing is waited for any more. */
  settled: boolean;
  replied: boolean;
  timer: ClockTimer | null;
}

const MAX_PAYLOAD = 65507;
// Requests older than this many are forgotten: their answers no longer count as duplicates.
const WINDOW = 1024;

function checkOptions(options: PingOptions): Required<Omit<PingOptions, 'signal'>> {
  const { count = 4, interval = 1000, timeout = 2000, size = 56, ttl = 64, tos = 0 } = options;
  if (count !== Infinity) validateInteger(count, 'options.count', 1, Number.MAX_SAFE_INTEGER);
  for (const [name, value] of Object.entries({ interval, timeout })) {
    validateNumber(value, `options.${name}`);
    if (!(value >= 0 && value <= 2147483647)) throw outOfRange(`options.${name}`, '>= 0 && <= 2147483647', value);
  }
  validateInteger(size, 'options.size', 0, MAX_PAYLOAD);
  validateInteger(ttl, 'options.ttl', 1, 255);
  validateInteger(tos, 'options.tos', 0, 255);
  const { dontFragment = false, recordRoute = false } = options;
  return { count, interval, timeout, size, ttl, tos, dontFragment, recordRoute };
}

export class Ping implements AsyncIterable<PingItem>, PromiseLike<PingSummary>, SocketOwner {
  readonly host: string;
  readonly #context: HandleContext;
  readonly #resolve: () => Promise<Address>;
  readonly #options: Required<Omit<PingOptions, 'signal'>>;
  readonly #signal: AbortSignal | undefined;
  readonly #payload: Uint8Array;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #items: PingItem[] = [];
  #waiting: (() => void) | null = null;
  #socket: IcmpSocket | null = null;
  #remote: Address | null = null;
  #timer: ClockTimer | null = null;
  #sent = 0;
  #open = 0;
  #stopped = false;
  #summary: Promise<PingSummary> | null = null;

  constructor(context: HandleContext, host: string, resolve: () => Promise<Address>, options: PingOptions = {}) {
    this.host = host;
    this.#context = context;
    this.#resolve = resolve;
    this.#options = checkOptions(options);
    if (options.signal !== undefined) validateAbortSignal(options.signal, 'options.signal');
    this.#signal = options.signal;
    this.#payload = Uint8Array.from({ length: this.#options.size }, (_, i) => i);
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting a ping is what it is for
  then<A = PingSummary, B = never>(
    fulfilled?: ((summary: PingSummary) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#summary ??= this.#summarize();
    return this.#summary.then(fulfilled, rejected);
  }

  async #summarize(): Promise<PingSummary> {
    const replies: PingReply[] = [];
    let errors = 0;
    for await (const item of this) {
      if (item.type === 'reply') replies.push(item);
      else if (item.type === 'error') errors++;
    }
    const received = replies.filter((reply) => !reply.duplicate).length;
    const sent = this.#sent;
    return {
      host: this.host,
      address: String(this.#remote),
      sent,
      received,
      duplicates: replies.length - received,
      errors,
      loss: sent === 0 ? 0 : (sent - received) / sent,
      rtt: statistics(replies.map((reply) => reply.rtt)),
      replies,
    };
  }

  /** What happens, as it happens. Leaving the loop ends the ping. A ping can be iterated once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<PingItem, void, undefined> {
    if (this.#socket !== null || this.#stopped) throw new Error('this ping has been started already: make another one');
    if (this.#signal?.aborted) throw abortError(this.#signal.reason);
    const { driver, core } = this.#context;
    driver.hold();
    const abort = (): void => this.#stop();
    this.#signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#remote = await this.#resolve();
      const socket = core.icmp.open();
      if (typeof socket === 'number') throw errnoException(socket, 'ping');
      this.#socket = socket;
      socket.owner = this;
      this.#send();
      for (;;) {
        for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) yield item;
        if (this.#stopped || (this.#sent === this.#options.count && this.#open === 0)) return;
        await new Promise<void>((resolve) => {
          this.#waiting = resolve;
        });
      }
    } finally {
      this.#signal?.removeEventListener('abort', abort);
      this.#stop();
      this.#socket?.close();
      driver.release();
    }
  }

  onEvents(): void {
    const socket = this.#socket;
    if (socket === null) return;
    for (let report = socket.receive(); report !== null; report = socket.receive()) this.#onReport(report);
  }

  #send(): void {
    this.#timer = null;
    if (this.#stopped || this.#socket === null || this.#remote === null) return;
    const { interval, timeout, count } = this.#options;
    const { driver, core } = this.#context;
    const seq = ++this.#sent;
    driver.enter();
    const entry: Outstanding = { sentAt: core.world.now, settled: false, replied: false, timer: null };
    this.#outstanding.set(seq & 0xffff, entry);
    this.#outstanding.delete((seq - WINDOW) & 0xffff);
    this.#open++;
    this.#push({ type: 'sent', seq });
    const errno = this.#socket.sendEcho(this.#remote, seq & 0xffff, this.#payload, this.#options);
    if (errno < 0) {
      this.#settle(entry);
      this.#push({ type: 'error', seq, from: 'local', message: `local error: ${codeOf(errno)}`, code: codeOf(errno) });
    } else {
      entry.timer = driver.clock.timer(() => {
        this.#settle(entry);
        this.#push({ type: 'timeout', seq });
      }, timeout);
    }
    if (seq < count) this.#timer = driver.clock.timer(() => this.#send(), interval);
  }

  #onReport(report: EchoReport): void {
    // The sequence number on the wire has 16 bits; ours goes on counting.
    const seq = this.#sent - ((this.#sent - report.seq) & 0xffff);
    const entry = this.#outstanding.get(report.seq);
    if (entry === undefined) return;
    const from = report.from.toString();
    if (report.kind === 'error') {
      this.#settle(entry);
      const message = describeError(report.type, report.code, report.mtu);
      this.#push({ type: 'error', seq, from, message, code: codeOf(report.errno) });
      return;
    }
    if (Buffer.compare(report.payload, this.#payload) !== 0) {
      this.#push({ type: 'error', seq, from, message: 'Wrong data in the reply', code: 'EBADMSG' });
      return;
    }
    const duplicate = entry.replied;
    entry.replied = true;
    this.#settle(entry);
    this.#push({
      type: 'reply',
      seq,
      from,
      bytes: report.payload.length + 8,
      ttl: report.ttl,
      rtt: (report.receivedAt - entry.sentAt) / 1000,
      duplicate,
      route: report.route.map(String),
    });
  }

  #settle(entry: Outstanding): void {
    entry.timer?.close();
    entry.timer = null;
    if (entry.settled) return;
    entry.settled = true;
    this.#open--;
  }

  #push(item: PingItem): void {
    this.#items.push(item);
    this.#notify();
  }

  #notify(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
  }

  #stop(): void {
    this.#stopped = true;
    this.#timer?.close();
    for (const entry of this.#outstanding.values()) entry.timer?.close();
    this.#notify();
  }
}

function statistics(rtts: number[]): PingSummary['rtt'] {
  if (rtts.length === 0) return null;
  const avg = rtts.reduce((sum, rtt) => sum + rtt, 0) / rtts.length;
  const mdev = Math.sqrt(rtts.reduce((sum, rtt) => sum + (rtt - avg) ** 2, 0) / rtts.length);
  return { min: Math.min(...rtts), avg, max: Math.max(...rtts), mdev };
}
