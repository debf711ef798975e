// The TCP sender — RFC 9293 §3.3.1 (SND.*), §3.7.4, §3.8.
//
// Composes the send buffer, the scoreboard, recovery and congestion control, and decides what may go now. It sends nothing itself:
// `next` proposes a segment, the connection dresses and commits it, `sent` records that.
//
//        SND.UNA                 SND.NXT                bufferEnd
//   ───────┴───────────────────────┴───────────────────────┴──────>  sequence space
//          │ records in `flight`   │ written, not yet sent │ FIN
//
// Invariant: SND.UNA <= SND.NXT <= bufferEnd + FIN; `flight` covers [SND.UNA, SND.NXT) and nothing else; while anything is in flight one of
// the RTO and TLP timers runs.

import type { Memory } from '../mem/memory.ts';
import type { Ring } from '../mem/ring.ts';
import type { Stats } from '../stats.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff, seqGt, seqLeq, seqLt } from '../wire/seq.ts';
import { SECOND } from '../world.ts';
import { AckDigest } from './ack-digest.ts';
import type { CongestionControl, CongestionFactory } from './congestion/congestion.ts';
import { AckSample, congestionFactory } from './congestion/congestion.ts';
import { CwndUsage } from './cwnd-usage.ts';
import { DeliveryRate } from './delivery-rate.ts';
import { InFlight, REC_EVER_RETRANS, REC_FIN, REC_LOST, REC_PUSH, REC_SACKED, REC_SYN } from './in-flight.ts';
import { MtuProbe } from './mtu-probe.ts';
import type { PacingMode } from './pacing.ts';
import { Pacing } from './pacing.ts';
import { Prr } from './prr.ts';
import { Rack } from './rack.ts';
import type { LossDetection } from './recovery.ts';
import {
  CA_CWR,
  CA_DISORDER,
  CA_LOSS,
  CA_OPEN,
  CA_RECOVERY,
  Recovery,
  VERDICT_CWR,
  VERDICT_ENTER,
  VERDICT_EXIT,
  VERDICT_LOSS_EXIT,
  VERDICT_LOST,
  VERDICT_RENEGED,
  VERDICT_UNDO,
} from './recovery.ts';
import { Rtt } from './rtt.ts';
import type { Segment } from './segment.ts';
import { ECE, FIN, SYN } from './segment.ts';
import { SendBuffer } from './send-buffer.ts';
import type { Timers } from './timers.ts';
import { PACE, PERSIST, REO, RTO, TLP } from './timers.ts';

// What `onAck` tells the connection.
/** SND.UNA moved. */
export const ACK_NEW = 1;
/** Our SYN is acknowledged by this segment. */
export const ACK_SYN = 2;
/** Our FIN is acknowledged by this segment. */
export const ACK_FIN = 4;
/** The send buffer has room after a `write` found it full: post EV_WRITABLE. */
export const ACK_WRITABLE = 8;
/** Everything written is acknowledged: post EV_DRAINED. */
export const ACK_DRAINED = 16;
/** A duplicate acknowledgment (RFC 5681 §2). */
export const ACK_DUPLICATE = 32;
/** SND.WND was updated (RFC 9293 §3.10.7.4). */
export const ACK_WINDOW = 64;

// What `onTimer` tells the connection. In every case ask `next` afterwards: it may have something.
/** R1 was reached: tell IP that the path may be bad (RFC 9293 §3.8.3, M20). */
export const TIMEOUT_R1 = 1;
/** R2 was reached: abort with ETIMEDOUT (M20, M23). */
export const TIMEOUT_R2 = 2;
/** A write found no memory, and no ACK will tell when to try again: post EV_WRITABLE. */
export const TIMEOUT_WRITABLE = 4;

export interface SenderOptions {
  /** 'cubic' (default), 'reno', 'bbr', a registered name, or a factory of the caller's own. */
  congestion?: string | CongestionFactory;
  /** Nagle off (RFC 9293 §3.7.4, M17). Default false. */
  noDelay?: boolean;
  /** A fixed send buffer in bytes. Without it the buffer follows cwnd up to `sendBufferMax`. */
  sendBuffer?: number;
  /** Default 4 MB. */
  sendBufferMax?: number;
  /** Initial window in segments (RFC 6928). Default 10. */
  initialWindow?: number;
  /** µs. Default 1 s (RFC 6298 §2.1). */
  initialRto?: number;
  /** µs. Default 200 ms, see rtt.ts; RFC 6298 §2.4 has 1 s. */
  minRto?: number;
  /** µs. Default 120 s (RFC 6298 §2.5: at least 60 s). */
  maxRto?: number;
  /** µs beyond the back-off of every time-out but the first. Default 0, see rtt.ts. */
  rtoSlop?: number;
  /** R2 for data, µs (M21, S11). Default 924.6 s, as Linux's 15 retransmissions. */
  userTimeout?: number;
  /** R2 for SYN, µs. Default 180 s (M22, M23). */
  synTimeout?: number;
  /** Default 'auto': on paths of 5 ms and more. */
  pacing?: PacingMode;
  /** 'rack' (default, RFC 8985) or 'sack' (RFC 6675). */
  lossDetection?: LossDetection;
  /** Tail loss probes (RFC 8985 §7). Default true. */
  tailLossProbe?: boolean;
  /** Shrink cwnd after an idle time (RFC 5681 §4.1). Default true; Linux: tcp_slow_start_after_idle. */
  idleRestart?: boolean;
  /** Find the MTU of a path that swallows large segments without a word (RFC 4821). Default true; Linux: tcp_mtu_probing = 1. */
  mtuProbing?: boolean;
}

export interface SenderParts {
  memory: Memory;
  stats: Stats;
  timers: Timers;
  options: SenderOptions;
}

/** A segment the sender proposes. The connection adds ACK, window and options, commits it, and calls `sent`. */
export class Outgoing {
  seq: Seq = 0;
  /** Payload bytes: `length` bytes of `sender.ring` at position `seq`. More than the MSS makes it a super-segment. */
  length = 0;
  syn = false;
  fin = false;
  push = false;
  /** It was sent before. */
  retransmission = false;
  /** For Tx.commit: the MSS when `length` exceeds it, else 0. */
  gsoSize = 0;
  /** Set CWR (RFC 3168 §6.1.2). */
  cwr = false;
  /** It is larger than the MSS, to see whether the path carries it (RFC 4821): one packet, gsoSize 0. */
  probe = false;
  /** Set ECT(0) in the IP header: new data only (RFC 3168 §6.1.5). */
  ect = false;
}

const DEFAULT_MSS = 536; // RFC 9293 §3.7.1 (M15)
const DEFAULT_R2 = 924_600_000;
const DEFAULT_SYN_R2 = 180 * SECOND;
const R1_RETRANSMISSIONS = 3; // RFC 9293 §3.8.3, S10
/** Payload of one super-segment: what fits an IPv4 packet behind the longest headers. */
const MAX_SUPER_SEGMENT = 65_535 - 60 - 60;
/** RFC 1122 §4.2.3.4: the sender's SWS override is 0.1 … 1.0 s. */
const SWS_OVERRIDE = 200_000;
/** How soon a writer that found no memory tries again. */
const MEMORY_RETRY = 100_000;
/** RFC 8985 §7.2: what a delayed ACK may add when one segment is in flight. */
const MAX_ACK_DELAY = 200_000;

/** Segments behind an MTU probe: as many as make it lost when they are SACKed (RFC 6675's DupThresh), and one. */
const MTU_PROBE_FOLLOWERS = 4;

const NEW = -1;

export class Sender {
  readonly out = new Outgoing();
  readonly buffer: SendBuffer;
  readonly flight = new InFlight();
  readonly rtt: Rtt;
  readonly rate = new DeliveryRate();
  readonly rack = new Rack();
  readonly recovery: Recovery;
  readonly pacing: Pacing;
  readonly mtuProbe = new MtuProbe();
  congestion: CongestionControl;

  iss: Seq = 0;
  sndUna: Seq = 0;
  sndNxt: Seq = 0;
  /** Scaled (RFC 7323 §2.3). Unsigned, as every window (M1). */
  sndWnd = 0;
  sndWl1: Seq = 0;
  sndWl2: Seq = 0;
  /** The peer's window scale, for information: `Segment.windowScaled` has it applied. */
  sndWndShift = 0;
  /** Payload bytes per segment, options already subtracted. Change it with `setMss`. */
  mss = DEFAULT_MSS;

  // Set by the connection after negotiation.
  sackPermitted = false;
  timestamps = false;
  ecn = false;

  noDelay: boolean;
  /** R2, µs (M21); 0 for the default. */
  userTimeout: number;
  synTimeout: number;
  ended = false;
  /** Bytes of data our first SYN may carry (RFC 7413). */
  synData = 0;
  /** Times the timer fired since something new was acknowledged. */
  retransmits = 0;
  /** Probes of a zero window since it was last open. */
  probes = 0;

  readonly #timers: Timers;
  readonly #stats: Stats;
  readonly #digest: AckDigest;
  readonly #sample = new AckSample();
  readonly #prr = new Prr();
  readonly #factory: CongestionFactory;
  readonly #initialWindow: number;
  readonly #tailLossProbe: boolean;
  readonly #idleRestart: boolean;
  readonly #mtuProbing: boolean;
  #tsOffset = 0;
  #synWasLost = false;
  #opened = false;
  #corked = false;
  /** SYN must go (again). */
  #synDue = false;
  /** Something must go whatever cwnd says: a tail loss probe, a zero-window probe, an SWS override. */
  #tlpDue = false;
  #probeDue = false;
  #overrideDue = false;
  /** What `out` proposes: the slot of a retransmission, or NEW. */
  #slot = NEW;
  #proposedProbe = false;
  #maxWnd = 0;
  /** End of the last segment shorter than the MSS (Minshall's Nagle). */
  #sndSml: Seq = 0;
  #cwrDue = false;
  /** A reduction is under way of which the peer has yet to learn, by the CWR that goes at or behind this: until then ECE says nothing new. */
  #cwrPending = false;
  #cwrPoint: Seq = 0;
  #lastSentAt = 0;
  /** When the first zero-window probe without an answer was sent (-1: none), and when SND.UNA last moved. */
  #unansweredSince = -1;
  #stalledSince = 0;
  readonly #usage = new CwndUsage();
  /** RTTVAR is settled once SND.UNA passes this. */
  #rttRound: Seq = 0;

  constructor(parts: SenderParts) {
    const o = parts.options;
    this.#timers = parts.timers;
    this.#stats = parts.stats;
    this.buffer = new SendBuffer(parts.memory, o.sendBuffer ?? 0, o.sendBufferMax ?? 4 * 1024 * 1024);
    this.rtt = new Rtt({
      initialRto: o.initialRto ?? SECOND,
      minRto: o.minRto ?? 200_000,
      maxRto: o.maxRto ?? 120 * SECOND,
      slop: o.rtoSlop ?? 0,
    });
    this.recovery = new Recovery(this.flight, this.rack, parts.stats, o.lossDetection ?? 'rack');
    this.#digest = new AckDigest(this.flight, this.rate, this.rack);
    this.pacing = new Pacing(o.pacing ?? 'auto');
    this.#factory = congestionFactory(o.congestion ?? 'cubic');
    this.#initialWindow = o.initialWindow ?? 10;
    this.congestion = this.#newController();
    this.noDelay = o.noDelay ?? false;
    this.userTimeout = o.userTimeout ?? 0;
    this.synTimeout = o.synTimeout ?? DEFAULT_SYN_R2;
    this.#tailLossProbe = o.tailLossProbe ?? true;
    this.#idleRestart = o.idleRestart ?? true;
    this.#mtuProbing = o.mtuProbing ?? true;
  }

  #newController(): CongestionControl {
    const { mss } = this;
    // RFC 6928 §2: min(10 * MSS, max(2 * MSS, 14600))
    const window = Math.min(this.#initialWindow * mss, Math.max(2 * mss, this.#initialWindow * 1460));
    const controller = this.#factory(mss, window);
    if (this.#synWasLost) controller.cwnd = Math.min(controller.cwnd, mss);
    return controller;
  }

  /** The payload's home, for Tx.ring. */
  get ring(): Ring {
    return this.buffer.ring;
  }

  /** Bytes `write` would take now. */
  get writable(): number {
    return this.ended ? 0 : this.buffer.writable;
  }

  /** Bytes written and not yet acknowledged. */
  get unacknowledged(): number {
    return this.buffer.length;
  }

  /** Everything written, and the FIN if there is one, has been sent at least once. */
  get allSent(): boolean {
    return this.sndNxt === this.#limit;
  }

  /** Our FIN has been sent. */
  get finSent(): boolean {
    return this.ended && this.#opened && this.sndNxt === seqAdd(this.buffer.end, 1);
  }

  get #isSynInFlight(): boolean {
    const { flight } = this;
    return flight.count > 0 && (flight.flags(flight.first) & REC_SYN) !== 0;
  }

  /** The end of what is to be sent, FIN included. */
  get #limit(): Seq {
    return this.ended ? seqAdd(this.buffer.end, 1) : this.buffer.end;
  }

  /** Offset of this connection's timestamp clock (RFC 7323 §5.4). */
  set tsOffset(offset: number) {
    this.#tsOffset = offset;
    this.rack.setTsOffset(offset);
  }

  get tsOffset(): number {
    return this.#tsOffset;
  }

  /** TSval of a segment sent at `now`: milliseconds (RFC 7323 §5.4: between 1 ms and 1 s per tick). */
  tsVal(now: number): number {
    return (Math.floor(now / 1000) + this.#tsOffset) | 0;
  }

  /** Our SYN becomes the first thing to send; with ACK when the connection adds it. */
  start(iss: Seq): void {
    this.#begin(iss);
    this.#synDue = true;
  }

  /**
   * For a connection made from a SYN-queue entry or a cookie: the SYN is sent and acknowledged.
   * @param synSentAt when it was sent, µs; -1 when unknown or ambiguous (Karn)
   * @param lost it had to be sent more than once
   */
  resume(iss: Seq, synSentAt: number, lost: boolean, now: number): void {
    this.#begin(iss);
    this.sndUna = this.sndNxt = seqAdd(iss, 1);
    this.#sndSml = this.sndUna;
    this.#usage.start(this.sndUna);
    if (synSentAt >= 0 && !lost) this.#sampleRtt(now - synSentAt, now);
    if (lost) this.#afterSynLoss();
  }

  #begin(iss: Seq): void {
    this.iss = iss;
    this.sndUna = this.sndNxt = iss;
    this.recovery.highSeq = iss;
    this.#digest.highSacked = iss;
    this.#sndSml = iss;
    this.#usage.start(seqAdd(iss, 1));
    this.#rttRound = iss;
    this.buffer.reset(seqAdd(iss, 1));
  }

  /** The handshake is done. Call it when `mss`, `sackPermitted`, `timestamps` and the window are known; what was written earlier goes now. */
  established(now: number): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#lastSentAt = now; // idle from here on
    // RFC 7413 §4.1.3.1: data of the SYN that the SYN,ACK does not cover was not taken; it goes again, and that is no sign of congestion.
    const { flight } = this;
    for (let i = 0; i < flight.count; i++) {
      const slot = flight.at(i);
      if ((flight.flags(slot) & REC_SYN) === 0) this.#markLostUnlessSacked(slot);
    }
    this.#updatePacing();
  }

  /** Send the SYN again: the peer has shown that it did not get it (simultaneous open, RFC 9293 §3.5). */
  resendSyn(): void {
    if (this.#isSynInFlight) this.#synDue = true;
  }

  /**
   * The MSS has changed. On a decrease (a smaller path MTU) whatever is in flight in larger segments cannot have arrived: it is
   * sent again, smaller, and that is no sign of congestion (RFC 1191 §6.5).
   */
  setMss(mss: number): void {
    this.mtuProbe.ceiling = mss;
    this.#useMss(Math.min(mss, this.mtuProbe.limit));
  }

  #useMss(mss: number): void {
    const old = this.mss;
    if (mss === old) return;
    this.mss = mss;
    if (!this.#opened) {
      this.congestion = this.#newController();
      return;
    }
    this.congestion.setMss(mss);
    if (mss > old) return;
    const { flight } = this;
    for (let i = 0; i < flight.count; i++) {
      const slot = flight.at(i);
      if (flight.length(slot) > mss && (flight.flags(slot) & REC_SYN) === 0) this.#markLostUnlessSacked(slot);
    }
  }

  /**
   * Take bytes into the send buffer.
   * @param more the caller is about to write again: hold a partial segment back meanwhile
   * @returns how many were taken; after fewer than `length`, ACK_WRITABLE follows
   */
  write(source: Uint8Array, start: number, length: number, more = false): number {
    if (this.ended) return 0;
    this.#corked = more;
    return this.buffer.write(source, start, length);
  }

  /** Half-close: FIN behind what is written. */
  end(): void {
    this.ended = true;
    this.#corked = false;
  }

  /** Take SND.WND from `segment` without regard to WL1 and WL2: for the segment that completes the handshake. */
  setWindow(segment: Segment): void {
    this.sndWnd = segment.windowScaled;
    this.sndWl1 = segment.seq;
    this.sndWl2 = segment.ack;
    if (this.sndWnd > this.#maxWnd) this.#maxWnd = this.sndWnd;
  }

  /** An ACK with SEG.ACK =< SND.NXT. One below SND.UNA changes nothing but what its SACK blocks say. */
  onAck(segment: Segment, now: number): number {
    const { flight, recovery, rtt, congestion, rate } = this;
    const { ack } = segment;
    const priorUna = this.sndUna;
    const priorPipe = flight.pipe;
    const priorWnd = this.sndWnd;
    let bits = 0;
    this.#unansweredSince = -1;

    const synInFlight = this.#isSynInFlight;
    const synLost = synInFlight && (flight.flags(flight.first) & REC_EVER_RETRANS) !== 0;
    if (synInFlight && seqGt(ack, priorUna)) {
      bits |= ACK_SYN;
      this.#synDue = false;
      this.setWindow(segment);
      bits |= ACK_WINDOW;
    } else if (this.#updateWindow(segment)) bits |= ACK_WINDOW;

    // RFC 5681 §2: a duplicate has nothing new in any field, while data is outstanding. ACKs of zero-window probes are none.
    const duplicate =
      ack === priorUna &&
      flight.count > 0 &&
      segment.length === 0 &&
      (segment.flags & (SYN | FIN)) === 0 &&
      segment.windowScaled === priorWnd &&
      priorWnd > 0;
    if (duplicate) bits |= ACK_DUPLICATE;

    const digest = this.#digest;
    this.rack.setMinRtt(rtt.min);
    digest.digest(segment, priorUna, this.sndNxt, this.sackPermitted, recovery.highSeq, now);
    if (digest.advanced > 0) bits |= this.#advance(ack, now);
    this.#takeRttSamples(digest, segment, now);
    if ((bits & ACK_SYN) !== 0 && synLost) this.#afterSynLoss();

    const priorLost = flight.lost;
    let verdict = recovery.onAck(
      digest,
      segment,
      this.sndNxt,
      this.mss,
      this.sackPermitted,
      duplicate,
      this.#mayOfferNew(),
      rtt.srtt,
      rtt.min,
    );
    const newlyLost = Math.max(0, flight.lost - priorLost);
    if (this.mtuProbe.inFlight > 0 && this.#judgeMtuProbe()) verdict &= ~(VERDICT_ENTER | VERDICT_LOST);
    rate.lost += newlyLost;
    if ((verdict & VERDICT_LOST) !== 0 && (verdict & VERDICT_ENTER) !== 0) this.#stats.tcpFastRetrans++;
    if ((verdict & VERDICT_UNDO) !== 0) {
      congestion.undo(now);
      rtt.backoff = 0;
      this.#cwrDue = this.#cwrPending = false;
    }
    if ((verdict & VERDICT_ENTER) !== 0) this.#beginReduction(now, false);
    if ((verdict & VERDICT_EXIT) !== 0) {
      if (!congestion.ownsRecovery) congestion.cwnd = Math.max(congestion.ssthresh, this.mss);
      congestion.onRecoveryExit(now);
    } else if ((verdict & VERDICT_LOSS_EXIT) !== 0) congestion.onRecoveryExit(now);
    if ((verdict & VERDICT_CWR) !== 0 && recovery.enterCwr(this.sndUna, this.sndNxt)) this.#beginReduction(now, false);
    // On a SYN,ACK the flag is the answer to our offer, and no echo (RFC 3168 §6.1.1).
    const ecnEcho = this.ecn && (segment.flags & (ECE | SYN)) === ECE;
    if (this.#cwrPending && seqGt(this.sndUna, this.#cwrPoint)) this.#cwrPending = false;
    if (ecnEcho && !this.#cwrPending) this.#onEcnEcho(now);
    if ((verdict & VERDICT_RENEGED) !== 0) this.#timers.set(RTO, now + Math.max(rtt.srtt / 16, 10_000));

    rate.finish(rtt.min, now);
    this.#control(digest, priorPipe, newlyLost, ecnEcho, verdict, now);

    if (digest.advanced > 0 || digest.delivered > 0) this.buffer.tune(congestion.cwnd);
    if (this.buffer.full && this.buffer.writable > 0 && this.buffer.writable * 3 >= this.buffer.limit) {
      this.buffer.full = false;
      bits |= ACK_WRITABLE;
    }
    if (priorWnd === 0 && this.sndWnd > 0) this.#reopened();
    if ((verdict & VERDICT_RENEGED) === 0) this.#armAfterAck(digest.advanced > 0, now);
    return bits;
  }

  /** Fill `out` with what may go now. False when nothing may. */
  next(now: number): boolean {
    const { out, flight } = this;
    out.length = 0;
    out.gsoSize = 0;
    out.syn = false;
    out.fin = false;
    out.push = false;
    out.cwr = false;
    out.probe = false;
    out.ect = false;
    out.retransmission = false;
    this.#slot = NEW;
    this.#proposedProbe = false;
    if (this.#synDue) return this.#proposeSyn();
    if (!this.#opened) return false;
    if (this.#probeDue) return this.#proposeWindowProbe();
    if (this.#tlpDue) return this.#proposeTlp(now);
    if (flight.firstLost >= 0 && !this.recovery.holdRetransmissions) return this.#proposeRetransmission(now);
    if (this.#proposeNew(now)) return true;
    if (flight.firstLost >= 0 && this.recovery.holdRetransmissions && this.sndNxt === this.recovery.highSeq) {
      this.recovery.abandonFrto();
      return this.#proposeRetransmission(now);
    }
    return false;
  }

  /** The proposal in `out` has been committed. The connection counts segments (tcpOutSegs, tcpRetransSegs); this counts reasons. */
  sent(now: number): void {
    const { out, flight, rate } = this;
    const sequenceLength = out.length + (out.syn ? 1 : 0) + (out.fin ? 1 : 0);
    const pipe = flight.pipe;
    if (this.#slot === NEW) {
      const end = seqAdd(out.seq, sequenceLength);
      const flags = (out.syn ? REC_SYN : 0) | (out.fin ? REC_FIN : 0) | (out.push ? REC_PUSH : 0);
      if (flight.count === 0) this.#stalledSince = now;
      let start = out.seq;
      if (out.syn && out.length > 0) {
        // The SYN may be acknowledged without its data, and is repeated without.
        start = seqAdd(start, 1);
        rate.onSend(flight, flight.push(out.seq, start, REC_SYN, now), pipe, 1, now);
      }
      const slot = flight.push(start, end, start === out.seq ? flags : 0, now);
      rate.onSend(flight, slot, pipe, sequenceLength, now);
      this.sndNxt = end;
      if (out.probe) this.mtuProbe.onSent(out.seq, end, out.length);
      if (out.length % this.mss !== 0) this.#sndSml = end;
      if (out.cwr) this.#cwrDue = false;
      else if (this.#cwrDue) this.#cwrPoint = end;
      if (this.#tlpDue) {
        this.#tlpDue = false;
        this.recovery.onProbeSent(this.sndNxt, false);
        this.#stats.tcpLossProbes++;
      }
    } else {
      const slot = this.#slot;
      const retransmitting = flight.retrans;
      flight.markRetransmitted(slot, now);
      rate.onSend(flight, slot, pipe, sequenceLength, now);
      this.recovery.undo.onRetransmit(sequenceLength, this.tsVal(now), retransmitting);
      if (this.recovery.state === CA_LOSS) this.#stats.tcpSlowStartRetrans++;
      if (this.#tlpDue) {
        this.#tlpDue = false;
        this.recovery.onProbeSent(this.sndNxt, true);
        this.#stats.tcpLossProbes++;
      }
    }
    if (this.#proposedProbe) {
      this.#probeDue = false;
      if (this.#unansweredSince < 0) this.#unansweredSince = now;
      this.#stats.tcpZeroWindowProbes++;
    }
    this.#synDue = false;
    this.#overrideDue = false;
    this.#lastSentAt = now;
    if (this.recovery.state === CA_RECOVERY || this.recovery.state === CA_CWR) this.#prr.onSent(sequenceLength);
    this.pacing.onSent(sequenceLength, this.mss, now);
    this.#usage.onSent(flight.pipe);
    this.#timers.clear(PERSIST);
    // RFC 6298 §5 wants a whole RTO for the retransmission too, or recovery would be cut short by the timer of what it repairs.
    if (out.retransmission && out.seq === this.sndUna) this.#timers.set(RTO, this.#nextTimeout(now));
    this.#armAfterSend(now);
  }

  /** RTO, TLP, REO, PACE or PERSIST fired. TIMEOUT_* bits. */
  onTimer(kind: number, now: number): number {
    switch (kind) {
      case RTO:
        return this.#onRto(now);
      case TLP:
        return this.#onTlp(now);
      case REO: {
        const lost = this.flight.lost;
        let verdict = this.recovery.onReorderingTimer(this.sndUna, this.sndNxt, now);
        this.rate.lost += this.flight.lost - lost;
        if (this.mtuProbe.inFlight > 0 && this.#judgeMtuProbe()) verdict = 0;
        if ((verdict & VERDICT_ENTER) !== 0) {
          this.#stats.tcpFastRetrans++;
          this.#beginReduction(now, false);
          this.#reduceNow();
        }
        if (this.recovery.reoWait > 0) this.#timers.set(REO, now + this.recovery.reoWait);
        return 0;
      }
      case PERSIST:
        return this.#onPersist(now);
      default:
        return 0; // PACE: `next` finds that it may
    }
  }

  /** Forget everything and give the memory back. */
  close(): void {
    this.flight.clear();
    this.buffer.close();
    this.sndNxt = this.sndUna;
    this.#opened = false;
    this.#synDue = false;
    for (const kind of [RTO, TLP, REO, PACE, PERSIST]) this.#timers.clear(kind);
  }

  // ── ACKs

  // RFC 9293 §3.10.7.4: SND.WL1 and SND.WL2 keep old segments from changing the window. The right edge may move left (S15, M34).
  #updateWindow(segment: Segment): boolean {
    const { seq, ack } = segment;
    if (seqLt(ack, this.sndUna)) return false;
    if (!seqLt(this.sndWl1, seq) && !(this.sndWl1 === seq && seqLeq(this.sndWl2, ack))) return false;
    const changed = segment.windowScaled !== this.sndWnd;
    this.setWindow(segment);
    return changed;
  }

  /** There is something new, and the peer's window has room for it. */
  #mayOfferNew(): boolean {
    return seqLt(this.sndNxt, this.#limit) && seqLt(this.sndNxt, seqAdd(this.sndUna, this.sndWnd));
  }

  #advance(ack: Seq, now: number): number {
    const { buffer } = this;
    let bits = ACK_NEW;
    this.sndUna = ack;
    this.retransmits = 0;
    this.#stalledSince = now;
    const before = buffer.length;
    buffer.release(seqGt(ack, buffer.end) ? buffer.end : ack);
    if (before > 0 && buffer.length === 0) bits |= ACK_DRAINED;
    if (this.ended && ack === seqAdd(buffer.end, 1)) bits |= ACK_FIN;
    return bits;
  }

  #takeRttSamples(digest: AckDigest, segment: Segment, now: number): void {
    const { rtt } = this;
    if (digest.newestSentAt >= 0) rtt.sampleMin(now - digest.newestSentAt, now);
    // RFC 7323 §4.2: the oldest segment an ACK covers, so that the RTO allows for delayed ACKs.
    const sentAt = digest.oldestSentAt >= 0 ? digest.oldestSentAt : digest.sackedSentAt;
    if (sentAt >= 0) this.#sampleRtt(now - sentAt, now);
    else if (digest.advanced > 0 && digest.retransmittedAcked && segment.hasTimestamp && segment.tsEcr !== 0) {
      // RFC 6298 §3, Karn's algorithm (M18): a retransmission gives no sample, unless its timestamp says which one was delivered.
      const ticks = (this.tsVal(now) - segment.tsEcr) | 0;
      if (ticks >= 0 && ticks < 300_000) this.#sampleRtt(Math.max(ticks * 1000, 1000), now);
    }
  }

  #sampleRtt(sample: number, now: number): void {
    if (!this.rtt.hasSample) this.rtt.sampleMin(sample, now);
    const roundEnds = seqGt(this.sndUna, this.#rttRound);
    if (roundEnds) this.#rttRound = this.sndNxt;
    this.rtt.sample(sample, roundEnds);
    this.rtt.backoff = 0; // RFC 6298 §5 (5.7): back-off ends with a valid sample
  }

  // RFC 5681 §3.1: after a lost SYN the initial window is one segment. RFC 6298 §5.7: and the RTO 3 s, if nothing was measured.
  #afterSynLoss(): void {
    this.rtt.afterSynLoss();
    this.rtt.backoff = 0;
    this.congestion.cwnd = Math.min(this.congestion.cwnd, this.mss);
    this.#synWasLost = true;
  }

  /** What was in flight when a loss was met: FlightSize, not more than cwnd allowed. */
  #flightSize(): number {
    return Math.min(this.congestion.cwnd, Math.max(this.#usage.peak, this.flight.pipe + this.flight.lost));
  }

  #beginReduction(now: number, ecn: boolean): void {
    const { flight, congestion } = this;
    this.#announceReduction();
    if (ecn) congestion.onEcnEcho(this.#flightSize(), now);
    else congestion.onLoss(this.#flightSize(), now);
    // RFC 9937 §6.2: what this ACK delivered counts as in flight when recovery began.
    this.#prr.begin(flight.total - flight.sacked - flight.inferred + this.#digest.delivered);
  }

  /** RFC 3168 §6.1.2: react to the peer's ECE, at most once per window of data. */
  #onEcnEcho(now: number): void {
    const { congestion, recovery } = this;
    if (recovery.enterCwr(this.sndUna, this.sndNxt)) this.#beginReduction(now, true);
    else if (recovery.state < CA_CWR) {
      // Nothing is in flight, so there is nothing to drain.
      this.#announceReduction();
      congestion.onEcnEcho(this.#flightSize(), now);
      if (!congestion.ownsRecovery)
        congestion.cwnd = Math.max(Math.min(congestion.cwnd, congestion.ssthresh), this.mss);
    }
  }

  /** RFC 3168 §6.1.2: whatever cwnd was reduced for, the first new data after it carries CWR. */
  #announceReduction(): void {
    if (!this.ecn) return;
    this.#cwrDue = this.#cwrPending = true;
    this.#cwrPoint = this.sndNxt;
  }

  #control(digest: AckDigest, priorPipe: number, lost: number, ecnEcho: boolean, verdict: number, now: number): void {
    const { flight, rtt, rate, congestion, recovery } = this;
    this.#usage.onAck(this.sndUna, this.sndNxt, flight.pipe);
    if (digest.delivered === 0 && lost === 0 && !ecnEcho && (verdict & (VERDICT_ENTER | VERDICT_CWR)) === 0) return;
    const s = this.#sample;
    const recovering = recovery.state === CA_RECOVERY || recovery.state === CA_CWR;
    s.now = now;
    s.mss = this.mss;
    s.sndUna = this.sndUna;
    s.sndNxt = this.sndNxt;
    s.acked = digest.delivered;
    s.lost = lost;
    s.priorPipe = priorPipe;
    s.pipe = flight.pipe;
    s.rtt = digest.newestSentAt < 0 ? -1 : now - digest.newestSentAt;
    s.srtt = rtt.srtt;
    s.minRtt = rtt.min;
    s.recovering = recovering;
    s.timedOut = recovery.state === CA_LOSS;
    // RFC 5681 §3.1: cwnd grows with ACKs that cumulatively acknowledge new data. A SACK alone lets the next segment go, no more.
    s.cwndLimited = digest.advanced > 0 && (s.timedOut || this.#usage.isLimiting(congestion.cwnd, congestion.ssthresh));
    // RFC 5681 §3.1 counts bytes cumulatively acknowledged; while the path reorders, SACKs are progress too, as in Linux.
    s.mayGrow = s.cwndLimited && (digest.advanced > 0 || this.rack.reorderingSeen);
    s.ecnEcho = ecnEcho;
    s.rate = rate.rate;
    s.rateInterval = rate.interval;
    s.rateAppLimited = rate.sampleAppLimited;
    s.delivered = rate.delivered;
    s.priorDelivered = rate.priorDelivered;
    s.lostTotal = rate.lost;
    s.priorLost = rate.priorLost;
    s.pipeAtSend = rate.pipeAtSend;
    if (!this.#opened) return; // the ACK of the SYN says nothing about the path's capacity
    congestion.onAck(s);
    if (recovering && !congestion.ownsRecovery) {
      const safe = digest.advanced > 0 && lost === 0;
      congestion.cwnd = this.#prr.onAck(digest.delivered, safe, flight.pipe, congestion.ssthresh, this.mss);
    }
    this.#updatePacing();
  }

  #updatePacing(): void {
    const { congestion, rtt } = this;
    this.pacing.update(congestion.pacingRate, congestion.cwnd, congestion.ssthresh, rtt.srtt, rtt.min);
  }

  /** What became of the MTU probe. True when its loss must not count as congestion: nothing else was lost (RFC 4821 §7.6.2). */
  #judgeMtuProbe(): boolean {
    const { flight, mtuProbe, recovery } = this;
    if (seqLeq(mtuProbe.end, this.sndUna)) {
      mtuProbe.onArrived();
      this.#stats.tcpMtupSuccess++;
      this.#useMss(Math.min(mtuProbe.ceiling, mtuProbe.limit));
      return false;
    }
    if (flight.lost === 0) return false;
    const slot = flight.at(flight.indexOf(seqLt(mtuProbe.start, this.sndUna) ? this.sndUna : mtuProbe.start));
    if ((flight.flags(slot) & REC_LOST) === 0) return false;
    const alone = flight.lost === flight.length(slot);
    mtuProbe.onLost();
    this.#stats.tcpMtupFail++;
    if (!alone || recovery.state !== CA_RECOVERY) return false;
    recovery.state = CA_DISORDER;
    recovery.undo.end();
    return true;
  }

  /** RFC 4821 §7.7: full-sized segments time out again and again, and ICMP says nothing. */
  #suspectBlackHole(): void {
    const { flight, mss, mtuProbe } = this;
    if (!this.#mtuProbing || this.retransmits < R1_RETRANSMISSIONS || flight.length(flight.first) < mss) return;
    if (mtuProbe.onBlackHole(mss)) this.#useMss(mtuProbe.limit);
  }

  #markLostUnlessSacked(slot: number): void {
    const { flight } = this;
    if ((flight.flags(slot) & REC_SACKED) === 0) flight.markLost(slot);
  }

  // The window was zero. What the peer has thrown away meanwhile goes first, without waiting for the backed-off timer.
  #reopened(): void {
    if (this.probes === 0) return;
    this.probes = 0;
    this.#probeDue = false;
    this.rtt.backoff = 0;
    const first = this.flight.first;
    if (first >= 0) this.#markLostUnlessSacked(first);
  }

  // ── What may go

  #proposeSyn(): boolean {
    const { out, flight } = this;
    out.seq = this.iss;
    out.syn = true;
    out.retransmission = flight.count > 0;
    this.#slot = out.retransmission ? flight.first : NEW;
    // RFC 7413 §4.1.3.1: a SYN that has to be repeated goes alone.
    if (!out.retransmission) out.length = Math.min(this.buffer.length, this.synData);
    return true;
  }

  #proposeRecord(slot: number): boolean {
    const { out, flight } = this;
    const flags = flight.flags(slot);
    out.seq = flight.start(slot);
    out.fin = (flags & REC_FIN) !== 0;
    out.length = flight.length(slot) - (out.fin ? 1 : 0);
    out.push = (flags & REC_PUSH) !== 0;
    out.retransmission = true;
    out.gsoSize = out.length > this.mss ? this.mss : 0;
    this.#slot = slot;
    return true;
  }

  #isPaced(now: number): boolean {
    const until = this.pacing.holdUntil(now);
    if (until === 0) return false;
    this.#timers.set(PACE, until);
    return true;
  }

  #proposeRetransmission(now: number): boolean {
    const { flight, mss, congestion } = this;
    const slot = flight.firstLost;
    const start = flight.start(slot);
    const length = flight.length(slot);
    if (this.sndWnd === 0 || this.#isPaced(now)) return false; // a zero window is probed instead
    const room = congestion.cwnd - flight.pipe;
    let most = Math.min(room, MAX_SUPER_SEGMENT, this.pacing.quantum(mss));
    most -= most % mss;
    if (most < mss) {
      if (room < Math.min(length, mss) && flight.pipe > 0) {
        this.#usage.onHeld();
        return false;
      }
      most = mss;
    }
    // S16: what fits below a shrunk right edge is retransmitted. The head always is.
    const window = seqDiff(seqAdd(this.sndUna, this.sndWnd), start);
    if (window <= 0) {
      if (start !== this.sndUna) return false;
      most = mss;
    } else if (length > window) most = Math.min(most, window < mss ? window : window - (window % mss));
    if (length > most) flight.split(start === this.sndUna ? 0 : flight.indexOf(start), seqAdd(start, most));
    return this.#proposeRecord(slot);
  }

  // RFC 9293 §3.8.6.1 (M35, M36): at least one octet of new data, or a retransmission, however small the window.
  #proposeWindowProbe(): boolean {
    const { flight, out } = this;
    this.#proposedProbe = true;
    if (flight.count > 0) {
      const slot = flight.first;
      if (flight.length(slot) > this.mss) flight.split(0, seqAdd(flight.start(slot), this.mss));
      return this.#proposeRecord(slot);
    }
    if (this.sndNxt === this.#limit) {
      this.#probeDue = false;
      this.#proposedProbe = false;
      return false;
    }
    out.seq = this.sndNxt;
    out.fin = this.sndNxt === this.buffer.end;
    out.length = out.fin ? 0 : 1;
    out.push = true;
    return true;
  }

  // RFC 8985 §7.3: new data if there is some and the window permits, else the last segment again; cwnd does not matter.
  #proposeTlp(now: number): boolean {
    const { flight, mss, out } = this;
    if (flight.count === 0 || this.recovery.tlpActive || !this.recovery.mayProbe) {
      this.#tlpDue = false;
      return this.#proposeNew(now);
    }
    const unsent = seqDiff(this.buffer.end, this.sndNxt);
    const window = seqDiff(seqAdd(this.sndUna, this.sndWnd), this.sndNxt);
    if (unsent > 0 && window >= Math.min(unsent, mss)) {
      out.seq = this.sndNxt;
      out.length = Math.min(unsent, mss);
      out.push = out.length === unsent;
      out.fin = out.push && this.ended && window > unsent;
      out.ect = this.ecn;
      out.cwr = this.#cwrDue;
      return true;
    }
    let slot = flight.last;
    const length = flight.length(slot);
    if (length > mss) {
      flight.split(flight.count - 1, seqAdd(flight.start(slot), length - (length % mss || mss)));
      slot = flight.last;
    }
    return this.#proposeRecord(slot);
  }

  #proposeNew(now: number): boolean {
    const { flight, mss, out, congestion } = this;
    const unsent = seqDiff(this.buffer.end, this.sndNxt);
    const finDue = this.ended && unsent >= 0;
    if (unsent <= 0 && !finDue) {
      if (flight.pipe < congestion.cwnd && flight.lost === 0) this.rate.markAppLimited(flight.pipe);
      if (this.buffer.full && flight.count === 0 && !this.#timers.isSet(PERSIST)) {
        this.#timers.set(PERSIST, now + MEMORY_RETRY);
      }
      return false;
    }
    if (flight.count === 0 && this.#lastSentAt > 0 && this.#idleRestart) {
      const idle = now - this.#lastSentAt;
      // RFC 5681 §4.1: no burst of a whole old window after an idle time.
      if (idle > this.rtt.rto) {
        congestion.onIdle(idle, this.rtt.rto, now);
        this.#updatePacing();
      }
    }
    const window = seqDiff(seqAdd(this.sndUna, this.sndWnd), this.sndNxt);
    const pipe = flight.pipe;
    let room = congestion.cwnd - pipe;
    if (pipe <= 0 && room < mss) room = mss;

    const size = this.mtuProbe.limit < Infinity ? this.#mtuProbeSize(unsent, window, now) : 0;
    if (size > 0) {
      // Held back until it fits into cwnd as one: RFC 4821 §7.5.
      if (room < size || this.#isPaced(now)) return false;
      out.seq = this.sndNxt;
      out.length = size;
      out.probe = true;
      out.ect = this.ecn;
      return true;
    }

    // The usable window is negative when the peer has moved its right edge left (M34): nothing new goes past it (S15).
    let length = Math.min(unsent, window, MAX_SUPER_SEGMENT);
    const wholeTail = length === unsent;
    const partial = length % mss;
    if (length < 0) length = 0;
    if (wholeTail && partial > 0 && !this.#mayPartial(finDue)) length -= partial;
    else if (!wholeTail && length >= mss) length -= partial;
    else if (!wholeTail && length > 0 && !this.#overrideDue && length * 2 < this.#maxWnd) length = 0; // RFC 1122 §4.2.3.4 (3), M38

    if (length === 0 && !(finDue && unsent === 0 && (window > 0 || this.#overrideDue))) {
      this.#heldByWindow(window < unsent || (finDue && window <= 0), now);
      return false;
    }
    const quantum = this.pacing.quantum(mss);
    if (length > room || length > quantum) {
      length = Math.min(length, room, quantum);
      length -= length % mss;
      if (length <= 0) {
        this.#usage.onHeld();
        return false;
      }
    }
    if (this.#cwrDue && length > mss) length = mss; // CWR is for one segment
    if (room < 1) {
      this.#usage.onHeld(); // a FIN by itself
      return false;
    }
    if (this.#isPaced(now)) return false;

    out.seq = this.sndNxt;
    out.length = length;
    // RFC 9293 §3.9.1.2 (M61, S27): one PSH, on the last of what is buffered.
    out.push = length === unsent && length > 0 && !this.#corked;
    out.fin = finDue && length === unsent && window > length;
    out.gsoSize = length > mss ? mss : 0;
    out.ect = this.ecn && length > 0;
    out.cwr = this.#cwrDue && length > 0;
    return true;
  }

  /** Size of an MTU probe that may go now, 0 for none: enough must follow it to tell its loss by SACKs (RFC 4821 §7.4). */
  #mtuProbeSize(unsent: number, window: number, now: number): number {
    const { recovery, flight, congestion, mss } = this;
    if (recovery.state !== CA_OPEN || flight.lost > 0 || !this.sackPermitted || this.#cwrDue) return 0;
    const size = this.mtuProbe.wanted(now);
    const enough = size + MTU_PROBE_FOLLOWERS * mss;
    return size > 0 && Math.min(unsent, window, congestion.cwnd) >= enough ? size : 0;
  }

  // RFC 9293 §3.7.4 (S7, M17), Nagle as Minshall modified it: hold a partial segment back while another partial one is unacknowledged.
  #mayPartial(finDue: boolean): boolean {
    if (finDue || this.#overrideDue) return true;
    if (this.#corked) return false;
    return this.noDelay || !seqGt(this.#sndSml, this.sndUna);
  }

  /** Nothing goes and nothing in flight will bring an ACK: a timer must (RFC 9293 §3.8.6.1, RFC 1122 §4.2.3.4). */
  #heldByWindow(byWindow: boolean, now: number): void {
    if (this.flight.count > 0 || this.#timers.at(PERSIST) !== Infinity) return;
    if (this.sndWnd === 0) {
      // S29: the first probe after one RTO; S30: then exponentially farther apart.
      this.#timers.set(PERSIST, now + this.rtt.backedOff);
    } else if (byWindow || this.#corked) this.#timers.set(PERSIST, now + SWS_OVERRIDE);
  }

  // ── Timers

  get #probeTimeout(): number {
    const { rtt, flight } = this;
    // RFC 8985 §7.2; 2 ms because the ACK of a segment just sent may sit in the same batch as the timer.
    if (!rtt.hasSample) return SECOND;
    const delay = 2 * rtt.srtt + (flight.total <= this.mss ? MAX_ACK_DELAY : 2_000);
    return delay;
  }

  #armAfterSend(now: number): void {
    const { recovery } = this;
    const timers = this.#timers;
    if (
      this.#tailLossProbe &&
      this.sackPermitted &&
      this.#opened &&
      !this.#isSynInFlight &&
      recovery.mayProbe &&
      !recovery.tlpActive &&
      this.sndWnd > 0
    ) {
      this.#armProbe(now);
      return;
    }
    timers.clear(TLP);
    if (timers.at(RTO) === Infinity) timers.set(RTO, now + this.rtt.backedOff); // RFC 6298 §5.1
  }

  #armProbe(now: number): void {
    // RFC 8985 §7.2: never later than the RTO would expire, and instead of it.
    const rto = this.#stalledSince + this.rtt.backedOff;
    this.#timers.set(TLP, Math.max(now, Math.min(now + this.#probeTimeout, rto)));
    this.#timers.clear(RTO);
  }

  #armAfterAck(advanced: boolean, now: number): void {
    const timers = this.#timers;
    const { flight, recovery, rtt } = this;
    if (flight.count === 0) {
      timers.clear(RTO); // RFC 6298 §5.2
      timers.clear(TLP);
      timers.clear(REO);
      return;
    }
    if (recovery.reoWait > 0) timers.set(REO, now + recovery.reoWait);
    else timers.clear(REO);
    const probing = timers.at(TLP) !== Infinity;
    if (!advanced && (!probing || recovery.mayProbe)) return;
    timers.clear(TLP);
    timers.set(RTO, now + rtt.backedOff); // RFC 6298 §5.3
    if (
      advanced &&
      this.#tailLossProbe &&
      this.sackPermitted &&
      this.#opened &&
      recovery.mayProbe &&
      !recovery.tlpActive
    ) {
      this.#armProbe(now);
    }
  }

  /** R2 in force: that for the SYN, or for data. */
  get #r2(): number {
    const { flight } = this;
    const isSyn = flight.count > 0 && (flight.flags(flight.first) & REC_SYN) !== 0;
    return isSyn ? this.synTimeout : this.userTimeout || DEFAULT_R2;
  }

  /** When the head is due again. R2 does not wait for a retransmission beyond it (RFC 9293 §3.8.3, MUST-20). */
  #nextTimeout(now: number): number {
    const next = now + this.rtt.backedOff;
    const end = this.#stalledSince + this.#r2;
    // A window that was closed for long leaves an old mark behind: then the timer decides.
    return end > now ? Math.min(next, end) : next;
  }

  #onRto(now: number): number {
    const { flight, rtt, recovery, congestion } = this;
    const timers = this.#timers;
    if (flight.count === 0) return 0;
    timers.clear(TLP);
    timers.clear(REO);
    this.#tlpDue = false;
    const first = flight.first;
    const syn = (flight.flags(first) & REC_SYN) !== 0;
    const r2 = this.#r2;
    if (this.sndWnd === 0 && !syn) {
      // The peer has closed its window on data in flight, or refused a probe: M37, it lives as long as it acknowledges;
      // S17, and what lies beyond its window is no reason to give up.
      if (this.#isUnanswered(r2, now)) return TIMEOUT_R2;
      this.probes++;
      this.#probeDue = true;
      rtt.backoff++;
      timers.set(RTO, now + rtt.backedOff);
      return 0;
    }
    if (now - this.#stalledSince >= r2) return TIMEOUT_R2;
    this.#stats.tcpTimeouts++;
    if (syn) this.#synDue = true;
    else {
      const again = this.retransmits > 0;
      const flightSize = this.#flightSize();
      const lost = flight.lost;
      const reduce = recovery.onTimeout(this.sndUna, this.sndNxt, again, this.sackPermitted, now);
      this.rate.lost += Math.max(0, flight.lost - lost);
      this.#digest.forgetBlocks();
      congestion.onTimeout(flightSize, reduce, now);
      this.#announceReduction();
      // What was sent too recently to be lost still counts as in flight; the retransmission goes besides.
      congestion.cwnd = Math.max(congestion.cwnd, flight.pipe + this.mss);
      this.#updatePacing();
    }
    this.retransmits++;
    rtt.backoff++; // RFC 6298 §5.5
    if (!syn) this.#suspectBlackHole();
    timers.set(RTO, this.#nextTimeout(now)); // RFC 6298 §5.6
    return this.retransmits === R1_RETRANSMISSIONS ? TIMEOUT_R1 : 0;
  }

  // M37: however long the window stays closed, only silence ends it.
  #isUnanswered(r2: number, now: number): boolean {
    return this.#unansweredSince >= 0 && now - this.#unansweredSince >= r2;
  }

  #onTlp(now: number): number {
    if (this.flight.count === 0) return 0;
    this.#tlpDue = !this.recovery.tlpActive && this.recovery.mayProbe;
    this.#timers.set(RTO, now + this.rtt.backedOff); // RFC 8985 §7.3
    return 0;
  }

  #onPersist(now: number): number {
    if (this.flight.count > 0) return 0;
    if (this.sndNxt === this.#limit) {
      if (!this.buffer.full) return 0;
      this.buffer.full = false;
      return TIMEOUT_WRITABLE;
    }
    if (this.sndWnd > 0) {
      this.#overrideDue = true; // RFC 1122 §4.2.3.4 (4), and M60: what is held back does not stay
      return 0;
    }
    if (this.#isUnanswered(this.userTimeout || DEFAULT_R2, now)) return TIMEOUT_R2;
    this.probes++;
    this.#probeDue = true;
    this.rtt.backoff++;
    return 0;
  }

  /** A loss was found without an ACK: let the fast retransmission go (RFC 9937 §6.2). */
  #reduceNow(): void {
    const { congestion, flight } = this;
    if (!congestion.ownsRecovery)
      congestion.cwnd = this.#prr.onAck(0, false, flight.pipe, congestion.ssthresh, this.mss);
    this.#updatePacing();
  }
}
