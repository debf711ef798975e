// TIME-WAIT — RFC 9293 §3.6.1, §3.10.7.4; RFC 1337; RFC 6191.
//
// A connection that has closed is remembered for 2 MSL so that its stray segments cannot hurt the next one. All that takes is a few
// numbers, so a small entry replaces the connection in the demultiplexer.
//
// Invariant: entries are linked in order of their deadline; they all wait equally long, so a new or restarted one goes to the end.

import type { Packet } from '../net/packet.ts';
import type { Stats } from '../stats.ts';
import type { TimerWheel } from '../time/wheel.ts';
import { Timer } from '../time/wheel.ts';
import type { Address } from '../wire/address.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqGt, seqLeq, seqLt } from '../wire/seq.ts';
import type { Endpoint } from './demux.ts';
import type { Segment } from './segment.ts';
import { ACK, FIN, RST, SYN } from './segment.ts';
import { TIME_WAIT } from './states.ts';

/** What a connection leaves behind. */
export interface Remains {
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  readonly sndNxt: Seq;
  readonly rcvNxt: Seq;
  /** Window field of its last segment, and what it means. */
  readonly window: number;
  readonly rcvWnd: number;
  readonly usesTimestamps: boolean;
  readonly tsRecent: number;
  readonly tsOffset: number;
}

/** What the table needs of TCP. */
export interface TimeWaitHost {
  readonly wheel: TimerWheel;
  readonly stats: Stats;
  /** The entry is over: forget its four-tuple. */
  forget(entry: TimeWaitEntry): void;
  /** Answer `packet` with an ACK on behalf of `entry`. */
  acknowledge(entry: TimeWaitEntry, packet: Packet, now: number): void;
  /** True when a SYN like this one would find a listener. */
  isWanted(segment: Segment, packet: Packet): boolean;
  /** `segment` opens a new incarnation, whose ISN must be beyond `entry.sndNxt`. */
  reopen(entry: TimeWaitEntry, segment: Segment, packet: Packet, now: number): void;
}

export class TimeWaitEntry implements Endpoint {
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  readonly state = TIME_WAIT;
  readonly sndNxt: Seq;
  readonly rcvNxt: Seq;
  readonly window: number;
  readonly rcvWnd: number;
  readonly usesTimestamps: boolean;
  tsRecent: number;
  readonly tsOffset: number;
  deadline = 0;
  lastAnswer = -Infinity;
  next: TimeWaitEntry | null = null;
  previous: TimeWaitEntry | null = null;
  readonly #table: TimeWaitTable;

  constructor(table: TimeWaitTable, remains: Remains) {
    this.#table = table;
    this.local = remains.local;
    this.localPort = remains.localPort;
    this.remote = remains.remote;
    this.remotePort = remains.remotePort;
    this.sndNxt = remains.sndNxt;
    this.rcvNxt = remains.rcvNxt;
    this.window = remains.window;
    this.rcvWnd = remains.rcvWnd;
    this.usesTimestamps = remains.usesTimestamps;
    this.tsRecent = remains.tsRecent;
    this.tsOffset = remains.tsOffset;
  }

  receive(segment: Segment, packet: Packet, now: number): void {
    this.#table.receive(this, segment, packet, now);
  }
}

export class TimeWaitTable extends Timer {
  /** Entries. */
  size = 0;
  readonly #host: TimeWaitHost;
  /** 2 MSL, µs. */
  readonly #duration: number;
  readonly #limit: number;
  readonly #answerInterval: number;
  #head: TimeWaitEntry | null = null;
  #tail: TimeWaitEntry | null = null;

  /** @param answerInterval least time between two answers to what is out of window (RFC 5961 §7) */
  constructor(host: TimeWaitHost, duration: number, limit: number, answerInterval: number) {
    super();
    this.#host = host;
    this.#duration = duration;
    this.#limit = limit;
    this.#answerInterval = answerInterval;
  }

  /** Remember `remains` for 2 MSL (MUST-13). Null when the table is full or 2 MSL is 0: then the connection is simply gone. */
  add(remains: Remains, now: number): TimeWaitEntry | null {
    if (this.#duration <= 0) return null;
    if (this.size >= this.#limit) {
      this.#host.stats.tcpTimeWaitOverflow++;
      return null;
    }
    const entry = new TimeWaitEntry(this, remains);
    this.size++;
    this.#host.stats.tcpTimeWait++;
    this.#append(entry, now);
    return entry;
  }

  /** SEGMENT ARRIVES in TIME-WAIT: RFC 9293 §3.10.7.4. */
  receive(entry: TimeWaitEntry, segment: Segment, packet: Packet, now: number): void {
    const { flags } = segment;
    // RFC 1337 §3 (fix 1): a RST does not end TIME-WAIT, or old duplicates could assassinate it.
    if ((flags & RST) !== 0) return;
    const isOld = entry.usesTimestamps && segment.hasTimestamp && ((segment.tsVal - entry.tsRecent) | 0) < 0; // PAWS
    const opens = (flags & (SYN | ACK)) === SYN && !isOld && this.#isNewer(entry, segment);
    if (opens && this.#host.isWanted(segment, packet)) {
      // RFC 9293 §3.10.7.4 (MAY-2), RFC 6191 §2 (SHLD-4)
      this.remove(entry);
      this.#host.stats.tcpTimeWaitReused++;
      this.#host.reopen(entry, segment, packet, now);
      return;
    }
    const right = seqAdd(entry.rcvNxt, entry.rcvWnd);
    const inWindow = seqLeq(entry.rcvNxt, segment.seq) && seqLeq(segment.seq, right);
    if (!isOld && (flags & FIN) !== 0 && seqAdd(segment.seq, segment.seqLength) === entry.rcvNxt) {
      // RFC 9293 §3.10.7.4, eighth: the FIN again, our ACK was lost. Acknowledge it and restart the 2 MSL.
      this.#unlink(entry);
      this.#append(entry, now);
      this.#host.acknowledge(entry, packet, now);
      return;
    }
    // RFC 9293 §3.10.7.4: the ACK of our ACK tells us nothing, and what has no ACK at all is dropped ("fifth"). An ACK from beyond the FIN
    // claims text that cannot be: Linux and FreeBSD say where we are.
    const isLastAck = segment.seqLength === 0 && segment.seq === entry.rcvNxt;
    if (!isOld && inWindow && (flags & SYN) === 0 && (isLastAck || (flags & ACK) === 0)) return;
    if (now - entry.lastAnswer < this.#answerInterval) return;
    entry.lastAnswer = now;
    this.#host.acknowledge(entry, packet, now);
  }

  /** True for a SYN that cannot belong to the old incarnation. */
  #isNewer(entry: TimeWaitEntry, segment: Segment): boolean {
    if (entry.usesTimestamps && segment.hasTimestamp) {
      const age = (segment.tsVal - entry.tsRecent) | 0;
      if (age !== 0) return age > 0; // RFC 6191 §2
    }
    return seqGt(segment.seq, entry.rcvNxt);
  }

  remove(entry: TimeWaitEntry): void {
    this.#unlink(entry);
    this.size--;
    this.#host.forget(entry);
  }

  /** Drop everything: the stack is closing. */
  clear(): void {
    while (this.#head !== null) this.remove(this.#head);
    this.#host.wheel.remove(this);
  }

  override onTimer(now: number): void {
    while (this.#head !== null && this.#head.deadline <= now) this.remove(this.#head);
    if (this.#head !== null) this.#host.wheel.arm(this, this.#head.deadline);
  }

  #append(entry: TimeWaitEntry, now: number): void {
    entry.deadline = now + this.#duration;
    entry.previous = this.#tail;
    entry.next = null;
    if (this.#tail !== null) this.#tail.next = entry;
    else this.#head = entry;
    this.#tail = entry;
    if (this.deadline === Infinity) this.#host.wheel.arm(this, entry.deadline);
  }

  #unlink(entry: TimeWaitEntry): void {
    const { previous, next } = entry;
    if (previous !== null) previous.next = next;
    else this.#head = next;
    if (next !== null) next.previous = previous;
    else this.#tail = previous;
    entry.previous = null;
    entry.next = null;
  }
}

/** An ISN for a new incarnation, beyond everything the old one may have sent (RFC 9293 §3.10.7.4, MAY-2). */
export const isnAfter = (isn: Seq, entry: TimeWaitEntry): Seq =>
  seqLt(isn, seqAdd(entry.sndNxt, 65536)) ? seqAdd(entry.sndNxt, 65536) : isn;
