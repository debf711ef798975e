// Runs a script: injects its packets, makes its calls, and holds what the stack sends against what it expects.
//
// An event happens at its time or, when the one before took longer, as soon as it is over. An expected packet is waited for until its time
// plus the tolerance. Nothing ever goes back: what the stack sent and the script did not look at is compared with the next expectation.

import type { TcpConnection } from '../../tcp/connection.ts';
import * as states from '../../tcp/states.ts';
import { TIME_EXCEEDED } from '../../wire/icmpv4.ts';
import { seqAdd, seqGt } from '../../wire/seq.ts';
import type { CallEvent, CodeEvent, CommandEvent, Event, PacketEvent, Script, When } from './ast.ts';
import { ScriptError, Unsupported } from './ast.ts';
import type { Attempt, Kernel } from './calls.ts';
import { prepare, SERVER_PORT } from './calls.ts';
import { Flow } from './flow.ts';
import { Host } from './host.ts';
import type { LivePacket, LiveTcp } from './live.ts';
import { buildIcmp, buildTcp, buildUdp } from './live.ts';
import type { MatchOptions } from './match.ts';
import { compare, join, split } from './match.ts';
import { hasStandard, parseScript } from './parser.ts';
import { printLive, printTime } from './printer.ts';
import { Profile } from './profile.ts';
import type { Value } from './python.ts';
import { AssertionFailed, runPython } from './python.ts';
import { runCommand } from './shell.ts';
import { roundUp } from './socket-options.ts';
import type { Fd } from './sockets.ts';
import { BLOCKED, type TcpFd } from './sockets.ts';
import { CODE_NAMES, ERRNO, errnoText } from './symbols.ts';
import { stateNumber, tcpInfo } from './tcp-info.ts';
import { numberOf } from './values.ts';

export interface RunOptions {
  /** How far a packet or the end of a call may be off its time, µs. Default 4000, or what the script's header says. */
  tolerance?: number;
  /** Compare windows and window scales exactly. */
  windows?: boolean;
  /** Of the stack's randomness. */
  seed?: number;
}

export interface Report {
  readonly outcome: 'passed' | 'failed' | 'unsupported';
  /** Why not: one line. */
  readonly reason: string;
  /** The same at length: expected, actual, line and time. Empty unless failed. */
  readonly details: string;
  /** What happened, as a script. */
  readonly trace: readonly string[];
  /** What the script's code printed. */
  readonly printed: readonly string[];
}

class Mismatch extends Error {
  override name = 'Mismatch';
  readonly details: string;

  constructor(message: string, details = '') {
    super(message);
    this.details = details;
  }
}

interface Pending {
  readonly event: CallEvent;
  readonly attempt: Attempt;
  /** When it should return. */
  readonly end: number;
}

const DEFAULT_TOLERANCE = 4000;
/** `*` waits this long: longer than any timer of TCP but keep-alive. */
const PATIENCE = 4 * 3600 * 1_000_000;
const FIRST_PEER_PORT = 40_000;
const SYN = 0x02;
const ECE = 0x40;
const RST = 0x04;
const ACK = 0x10;

/** Run a script given as text. */
export function runScript(source: string, options: RunOptions = {}): Report {
  const report = runVariant(source, options, false);
  if (report.outcome === 'passed' || !hasStandard(source)) return report;
  const standard = runVariant(source, options, true);
  return standard.outcome === 'passed' ? standard : report;
}

function runVariant(source: string, options: RunOptions, standard: boolean): Report {
  let script: Script;
  try {
    script = parseScript(source, standard);
  } catch (error) {
    return verdict(error, [], [], []);
  }
  return new Run(script, options).report();
}

function verdict(
  error: unknown,
  doubts: readonly string[],
  trace: readonly string[],
  printed: readonly string[],
): Report {
  const base = { trace, printed };
  if (error === null) return { outcome: 'passed', reason: '', details: '', ...base };
  if (error instanceof Unsupported) return { outcome: 'unsupported', reason: error.message, details: '', ...base };
  const isExpected = error instanceof Mismatch || error instanceof ScriptError || error instanceof AssertionFailed;
  if (!isExpected) {
    // A setting the stack refuses, or a fault of its own: of this script, not of the run of all.
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof RangeError) return { outcome: 'unsupported', reason: message, details: '', ...base };
    const stack = error instanceof Error ? (error.stack ?? '') : '';
    return { outcome: 'failed', reason: `internal error: ${message}`, details: stack.replace(/^/gm, '  '), ...base };
  }
  if (doubts.length > 0 && !(error instanceof ScriptError))
    return { outcome: 'unsupported', reason: `${doubts.join(', ')} (then: ${error.message})`, details: '', ...base };
  const details = error instanceof Mismatch ? error.details : '';
  return { outcome: 'failed', reason: error.message, details, ...base };
}

class Run implements Kernel {
  readonly profile = new Profile();
  readonly fds = new Map<number, Fd>();
  current: TcpFd | null = null;
  readonly #script: Script;
  readonly #options: RunOptions;
  readonly #trace: string[] = [];
  readonly #printed: string[] = [];
  readonly #names = new Map<string, Value>(CODE_NAMES);
  #host: Host | null = null;
  #match: MatchOptions = { windows: false, tsTick: 0, tolerance: DEFAULT_TOLERANCE, finRepeats: false };
  #tolerance = DEFAULT_TOLERANCE;
  #flow = new Flow(SERVER_PORT, FIRST_PEER_PORT);
  #peerPorts = FIRST_PEER_PORT;
  #pending: Pending | null = null;
  #wakeAt = Infinity;
  /** Time of the event before, as later relative ones count. */
  #base = 0;
  #start = 0;
  /** Where in the trace time was last. */
  #position: Event | null = null;

  constructor(script: Script, options: RunOptions) {
    this.#script = script;
    this.#options = options;
  }

  report(): Report {
    let error: unknown = null;
    try {
      this.#configure();
      for (const event of this.#script.events) {
        this.#position = event;
        this.#run(event);
      }
      if (this.#pending !== null) this.#finishPending();
    } catch (thrown) {
      error = this.#located(thrown);
    }
    this.#host?.stack.close();
    return verdict(error, this.profile.doubts, this.#trace, this.#printed);
  }

  /** Say where it happened. */
  #located(error: unknown): unknown {
    if (!(error instanceof Mismatch || error instanceof AssertionFailed) || this.#position === null) return error;
    const { line, text } = this.#position;
    const where = `line ${line}, at ${printTime(this.now)}: ${error.message}`;
    const details = error instanceof Mismatch && error.details !== '' ? error.details : `  script:   ${text}`;
    return new Mismatch(where, details);
  }

  #configure(): void {
    const { options } = this.#script;
    const version = options.get('ip_version');
    if (version === 'ipv6' || version === 'ipv4-mapped-ipv6') throw new Unsupported(`IPv6 (--ip_version=${version})`);
    const number = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
    this.#tolerance = this.#options.tolerance ?? number('tolerance_usecs', DEFAULT_TOLERANCE);
    this.profile.mtu = number('mtu', 1500);
    for (const event of this.#script.events)
      if (event.kind === 'command' && /\b(net\.inet\.|kern\.ipc)/.test(event.command)) this.profile.useFreebsd();
    this.#match = {
      windows: this.#options.windows === true || options.has('windows'),
      tsTick: number('tcp_ts_tick_usecs', 0),
      tolerance: this.#tolerance,
      finRepeats: this.profile.dialect === 'freebsd',
    };
    for (const [name, value] of options) this.#trace.push(`--${name}${value === '' ? '' : `=${value}`}`);
  }

  // ── Kernel ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  get host(): Host {
    this.#host ??= new Host(
      this.profile,
      this.#options.seed ?? 1,
      this.#script.options.get('local_ip'),
      this.#script.options.get('remote_ip'),
    );
    return this.#host;
  }

  get now(): number {
    return this.#host === null ? this.#start : this.#host.now;
  }

  opened(connection: TcpConnection): void {
    this.#flow = new Flow(connection.localPort, connection.remotePort);
  }

  useDatagrams(localPort: number, remotePort: number): void {
    this.#flow = new Flow(localPort, remotePort === 0 ? FIRST_PEER_PORT : remotePort);
  }

  wakeAt(time: number): void {
    this.#wakeAt = Math.min(this.#wakeAt, time);
  }

  info(fd: TcpFd): Map<string, Value> {
    const isBsd = this.profile.dialect === 'freebsd';
    if (fd.connection !== null) {
      const info = tcpInfo(fd.connection, isBsd, this.host.stack.world.now);
      return info;
    }
    const state = fd.listener === null ? states.CLOSED : states.LISTEN;
    return new Map<string, Value>([['tcpi_state', stateNumber(state, isBsd)]]);
  }

  // ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** When `when` is, on the script's scale. */
  #timeOf(when: When | null): number {
    if (when === null || when.any) return this.#base;
    return when.relative ? this.#base + when.at : when.at;
  }

  #endOf(when: When): number {
    const end = when.end ?? 0;
    return when.relative ? this.#base + end : end;
  }

  /** Let time pass, and a call that blocks return when it can. */
  #advance(time: number, isOver: () => boolean = () => false): void {
    const { host } = this;
    for (;;) {
      this.#tryPending();
      const until = Math.min(time, Math.max(this.#wakeAt, host.now));
      let tried = false;
      host.runUntil(until, () => {
        if (this.#pending !== null && tried) this.#tryPending();
        tried = true;
        this.#widen();
        return isOver();
      });
      if (isOver() || until >= time) break;
      this.#wakeAt = Infinity;
    }
    this.#tryPending();
  }

  #settle(): void {
    this.host.settle();
    this.#widen();
    this.#tryPending();
  }

  /** FreeBSD judges segments by the room it has, which may be more than an unscaled window field can say. */
  #widen(): void {
    if (this.profile.dialect !== 'freebsd') return;
    for (const { receiver, sender, state } of this.host.stack.tcp.connections()) {
      if (state < states.SYN_RECEIVED || receiver.shift > 0) continue;
      const space = roundUp(this.profile.receiveSpace, sender.mss) - receiver.readable;
      const edge = seqAdd(receiver.rcvNxt, Math.max(space, 0));
      if (seqGt(edge, receiver.rcvAdv)) receiver.rcvAdv = edge;
    }
  }

  // ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #run(event: Event): void {
    if (event.kind === 'command') {
      this.#command(event);
      return;
    }
    if (event.kind === 'packet' && !event.inbound) {
      this.#expect(event);
      return;
    }
    const time = this.#timeOf(event.when);
    const end = event.when !== null && event.when.end !== null ? this.#endOf(event.when) : -1;
    this.#advance(time);
    this.#base = event.when?.any === true ? this.now : time;
    if (event.kind === 'packet') this.#inject(event);
    else if (event.kind === 'code') this.#code(event);
    else this.#call(event, end);
  }

  #command(event: CommandEvent): void {
    const time = this.#timeOf(event.when);
    this.#base = time;
    if (this.#host !== null) this.#advance(time);
    else this.#start = time;
    const status = runCommand(event.command, {
      profile: this.profile,
      sockets: () => this.host.sockets(this.profile),
      sleep: (micros) => {
        this.#base += micros;
        if (this.#host !== null) this.#advance(this.#base);
      },
    });
    // Settings made while the host is running hold for what is opened from now on.
    if (this.#host !== null) Object.assign(this.#host.stack.tcp.options, definedOf(this.profile.tcp));
    this.#record(event.when, event.text);
    if (status !== 0) throw new Mismatch(`the command ended with status ${status}`, `  script:   ${event.text}`);
  }

  #code(event: CodeEvent): void {
    this.#record(event.when, event.text.replace(/\s*\n\s*/g, ' '));
    if (this.current !== null) for (const [name, value] of this.info(this.current)) this.#names.set(name, value);
    runPython(event.code, this.#names, event.line, (text) => this.#printed.push(text));
  }

  #inject(event: PacketEvent): void {
    const spec = event.packet;
    const { host } = this;
    if (spec.protocol === 'tcp') {
      if ((spec.flags & (SYN | ACK | RST)) === SYN) this.#peerOpens();
      const isEct = spec.ip.ecn !== null && spec.ip.ecn !== 0;
      if (isEct && (spec.flags & (SYN | ECE)) === (SYN | ECE) && this.profile.dialect === 'freebsd')
        this.profile.doubt('ECN asked for by an ECT SYN, which Linux and we decline (RFC 3168 §6.1.1)');
      if ((spec.options ?? []).some((option) => option.kind === 'FO' || option.kind === 'FOEXP'))
        this.profile.doubt('TCP Fast Open');
      if (this.profile.dialect === 'linux' && this.#overfills(spec.seq ?? 0, spec.length))
        this.profile.doubt(
          'text across the edge of the window, which Linux takes or drops where RFC 9293 §3.10.7.4 trims',
        );
    }
    if (spec.protocol === 'icmp' && spec.type === TIME_EXCEEDED && this.profile.dialect === 'freebsd')
      this.profile.doubt('Time Exceeded, which ends a connection attempt at FreeBSD and must not (RFC 1122 §4.2.3.9)');
    this.#record(event.when, event.text);
    if (spec.protocol === 'tcp') host.inject(buildTcp(spec, this.#flow, host.ends));
    else if (spec.protocol === 'udp') host.inject(buildUdp(spec, this.#flow, host.ends));
    else host.inject(buildIcmp(spec, this.#flow, host.ends));
    this.#settle();
  }

  /** Text that begins in the window offered and ends beyond: how large a window is, is not the script's to say. */
  #overfills(seq: number, length: number): boolean {
    const receiver = this.current?.connection?.receiver;
    if (receiver === undefined || length === 0) return false;
    return seqGt(receiver.rcvAdv, seq | 0) && seqGt(seqAdd(seq | 0, length), receiver.rcvAdv);
  }

  /** The script's peer sends a SYN: for the connection there is, or, when that is over, from a new port. */
  #peerOpens(): void {
    const { host } = this;
    const flow = this.#flow;
    const own = host.stack.tcp
      .endpoints()
      .find((e) => e.localPort === flow.localPort && e.remotePort === flow.remotePort && e.state !== states.LISTEN);
    if (own !== undefined) {
      if (own.state === states.TIME_WAIT) flow.expectsIsn = true;
      return;
    }
    const [listener] = host.stack.tcp.listeners().slice(-1);
    const localPort = listener?.port ?? flow.localPort;
    if (flow.expectsIsn) {
      flow.localPort = localPort;
      return;
    }
    this.#peerPorts++;
    this.#flow = new Flow(localPort, this.#peerPorts);
  }

  // ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #call(event: CallEvent, end: number): void {
    if (this.#pending !== null) this.#finishPending();
    this.#wakeAt = Infinity;
    const attempt = prepare(this, event);
    const result = attempt();
    this.#settle();
    if (result !== BLOCKED) {
      this.#returned(event, result, end);
      return;
    }
    if (end < 0) {
      // It may be that settling was all it waited for.
      const again = attempt();
      if (again === BLOCKED) throw new Mismatch(`${event.name} blocks; the script expects it to return at once`);
      this.#returned(event, again, end);
      return;
    }
    this.#pending = { event, attempt, end };
    this.#tryPending();
  }

  #tryPending(): void {
    const pending = this.#pending;
    if (pending === null) return;
    const result = pending.attempt();
    if (result === BLOCKED) return;
    this.#pending = null;
    this.host.settle();
    const position = this.#position;
    this.#position = pending.event;
    this.#returned(pending.event, result, pending.end);
    this.#position = position;
  }

  /** The script goes on to something that needs the call to have returned. */
  #finishPending(): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#advance(Math.max(pending.end, this.now) + this.#tolerance + 1, () => this.#pending === null);
    if (this.#pending === null) return;
    this.#position = pending.event;
    throw new Mismatch(
      `${pending.event.name} still blocks; the script expects it to return at ${printTime(pending.end)}`,
    );
  }

  #returned(event: CallEvent, result: ReturnType<Attempt>, end: number): void {
    if (typeof result === 'symbol') return;
    const value = typeof result === 'number' ? result : result.value;
    const actual = value < 0 ? `-1 ${errnoText(-value)}` : String(value);
    const [call] = event.text.split(/\)\s*=/, 1);
    this.#record(event.when, `${call}) = ${actual}`);
    if (end >= 0 && Math.abs(this.now - end) > this.#tolerance)
      throw this.#differ(`${event.name} returned at ${printTime(this.now)}, not at ${printTime(end)}`, event, actual);
    if (event.result.kind !== 'any') {
      const expected = numberOf(event.result);
      const errno = event.errno === null ? 0 : (ERRNO.get(event.errno) ?? 0);
      const same = value < 0 ? expected < 0 && (errno === 0 || errno === -value) : expected === value;
      if (!same)
        throw this.#differ(
          `${event.name} returned ${actual}, not ${expected}${event.errno === null ? '' : ` ${event.errno}`}`,
          event,
          actual,
        );
    }
    if (typeof result !== 'number') throw this.#differ(`${event.name}: ${result.difference}`, event, actual);
  }

  #differ(message: string, event: Event, actual: string): Mismatch {
    return new Mismatch(message, `  expected: ${event.text}\n  actual:   ${actual}`);
  }

  // ── Packets of the stack ─────────────────────────────────────────────────────────────────────────────────────────────────

  #expect(event: PacketEvent): void {
    const { host } = this;
    const { when } = event;
    const from = this.#timeOf(when);
    const until = when !== null && when.until !== null ? (when.relative ? this.#base + when.until : when.until) : from;
    const isAny = when?.any === true;
    const patience = isAny ? this.now + PATIENCE : Math.max(until, this.now) + this.#tolerance + 1;
    const live = this.#collect(event, patience);
    if (live === null)
      throw new Mismatch(
        'the stack sent nothing',
        `  expected: ${event.text}\n  actual:   nothing until ${printTime(this.now)}`,
      );
    const at = host.timeOf(live);
    const difference = compare(event.packet, live, this.#flow, this.#match);
    const text = printLive(live, this.#flow);
    this.#record(null, text, at);
    const details = `  expected: ${event.text}\n  actual:   ${text}`;
    if (difference !== null) throw new Mismatch(difference, details);
    if (!isAny && (at < from - this.#tolerance || at > until + this.#tolerance)) {
      const span = from === until ? printTime(from) : `${printTime(from)} to ${printTime(until)}`;
      throw new Mismatch(`sent at ${printTime(at)}, expected at ${span}`, details);
    }
    this.#base = isAny || from !== until ? at : from;
  }

  /** The next packet of the flow, as long as the script wants it: joined from several, or cut from a super-segment. */
  #collect(event: PacketEvent, patience: number): LivePacket | null {
    const first = this.#next(patience);
    const spec = event.packet;
    if (first === null || first.protocol !== 'tcp' || spec.protocol !== 'tcp') return first;
    let live: LiveTcp = first;
    while (live.length > 0 && live.length < spec.length) {
      const next = this.#next(patience);
      if (next === null) break;
      const joined = next.protocol === 'tcp' ? join(live, next) : null;
      if (joined === null) {
        this.host.sent.unshift(next);
        break;
      }
      live = joined;
    }
    if (live.length > spec.length && spec.length > 0 && live.gsoSize > 0 && spec.length % live.gsoSize === 0) {
      const [part, rest] = split(live, spec.length);
      this.host.sent.unshift(rest);
      live = part;
    }
    return live;
  }

  #next(patience: number): LivePacket | null {
    const { host } = this;
    for (;;) {
      if (host.sent.length === 0) this.#advance(patience, () => host.sent.length > 0);
      const packet = host.sent.shift();
      if (packet === undefined) return null;
      // What belongs to an earlier connection is not the script's business.
      if (packet.protocol !== 'tcp' || this.#isOurs(packet)) return packet;
      this.#record(null, `// of another connection: ${printLive(packet, null)}`, host.timeOf(packet));
    }
  }

  #isOurs(packet: LiveTcp): boolean {
    const flow = this.#flow;
    return packet.srcPort === flow.localPort && packet.dstPort === flow.remotePort;
  }

  // ── The trace ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #record(when: When | null, text: string, at = this.now): void {
    const end = when?.end == null ? '' : `...${printTime(at)}`;
    const start = when?.end == null ? at : this.#timeOf(when);
    this.#trace.push(`${printTime(start)}${end} ${text}`);
  }
}

/** Without what is undefined. */
const definedOf = <T extends object>(options: T): Partial<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
