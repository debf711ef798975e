// Loss recovery — RFC 8985 (RACK-TLP), RFC 6675 and RFC 6582 where RACK does not apply, RFC 5682 (F-RTO).
//
// Says what an ACK or a timeout means: which records are lost (marked on the scoreboard), whether recovery begins or ends, whether a
// reduction was a mistake. It never sends and never touches cwnd: it returns VERDICT_* bits, and the sender acts on them.
//
//   OPEN ── something SACKed, duplicate ACK ──> DISORDER ── loss ──> RECOVERY ── SND.UNA >= highSeq ──> OPEN
//   OPEN, DISORDER ── ECE, TLP repaired a loss ──> CWR ── SND.UNA >= highSeq ──> OPEN
//   any ── RTO ──> LOSS ── SND.UNA >= highSeq, or spurious ──> OPEN
//
// Invariant: in OPEN nothing is SACKed or lost; `highSeq` is SND.NXT as it was when CWR, RECOVERY or LOSS began.

import type { Stats } from '../stats.ts';
import type { Seq } from '../wire/seq.ts';
import { seqGeq, seqGt, seqLeq, seqLt } from '../wire/seq.ts';
import type { AckDigest } from './ack-digest.ts';
import type { InFlight } from './in-flight.ts';
import { REC_RETRANS, REC_SACKED } from './in-flight.ts';
import type { Rack } from './rack.ts';
import type { Segment } from './segment.ts';
import { Undo } from './undo.ts';

/** As Linux's tcpi_ca_state. */
export const CA_OPEN = 0;
export const CA_DISORDER = 1;
export const CA_CWR = 2;
export const CA_RECOVERY = 3;
export const CA_LOSS = 4;
export const CA_NAMES = ['open', 'disorder', 'cwr', 'recovery', 'loss'];

/** Fast recovery begins: reduce, unless a reduction was under way. */
export const VERDICT_ENTER = 1;
/** CWR or RECOVERY is over: cwnd becomes ssthresh. */
export const VERDICT_EXIT = 2;
/** LOSS is over. */
export const VERDICT_LOSS_EXIT = 4;
/** The last reduction was a mistake. */
export const VERDICT_UNDO = 8;
/** A loss was found and repaired by a tail loss probe: reduce, as for ECE. */
export const VERDICT_CWR = 16;
/** More was deemed lost. */
export const VERDICT_LOST = 32;
/** The peer has discarded data it had SACKed: time out soon. */
export const VERDICT_RENEGED = 64;

const DUP_THRESH = 3;

export type LossDetection = 'rack' | 'sack';

export class Recovery {
  state = CA_OPEN;
  highSeq: Seq = 0;
  readonly undo = new Undo();
  dupAcks = 0;
  /** When to look again for losses by time (RFC 8985 §6.2 step 5), µs from now; 0: no need. */
  reoWait = 0;
  /** F-RTO waits for the answer to new data: keep retransmissions back (RFC 5682 §2.1 step 2b). */
  holdRetransmissions = false;

  // TLP — RFC 8985 §7
  tlpActive = false;
  tlpEndSeq: Seq = 0;
  #tlpIsRetransmission = false;

  #frto = false;
  /** RFC 6582 §3.2: nothing up to here starts another fast retransmit. */
  #recover: Seq = 0;
  #recoverValid = false;
  readonly #flight: InFlight;
  readonly #rack: Rack;
  readonly #stats: Stats;
  readonly #detection: LossDetection;

  constructor(flight: InFlight, rack: Rack, stats: Stats, detection: LossDetection) {
    this.#flight = flight;
    this.#rack = rack;
    this.#stats = stats;
    this.#detection = detection;
  }

  /**
   * @param duplicate the ACK is a duplicate in the sense of RFC 5681 §2
   * @param unsent there is new data that F-RTO may send
   */
  onAck(
    digest: AckDigest,
    segment: Segment,
    sndNxt: Seq,
    mss: number,
    sack: boolean,
    duplicate: boolean,
    unsent: boolean,
    srtt: number,
    minRtt: number,
  ): number {
    const una = digest.advanced > 0 ? digest.ack : digest.priorUna;
    let verdict = 0;
    if (digest.dsack) {
      this.#stats.tcpDsackRecv++;
      this.undo.onDsack(digest.dsackStart, digest.dsackEnd);
    }
    if (!sack) this.#infer(digest, duplicate, mss);
    if (this.tlpActive) verdict |= this.#onTlpAck(digest, duplicate, una);
    if (this.undo.active) verdict |= this.#tryUndo(digest, segment);
    if (this.state === CA_LOSS) verdict |= this.#onAckInLoss(digest, duplicate, unsent, una, sndNxt);
    if (this.state >= CA_CWR && seqGeq(una, this.highSeq)) verdict |= this.#complete();
    this.#rack.onAck(digest.dsack, una, sndNxt);
    if (sack && this.#isReneging()) verdict |= VERDICT_RENEGED;

    const lost = this.#flight.lost;
    this.#detect(digest, una, mss, sack, srtt, minRtt);
    if (this.#flight.lost > lost) verdict |= VERDICT_LOST;

    if (this.state < CA_RECOVERY) {
      if (this.#flight.lost > lost) verdict |= this.#enter(una, sndNxt, sack);
      else if (this.state !== CA_CWR) this.state = this.#isDubious() ? CA_DISORDER : CA_OPEN;
    }
    return verdict;
  }

  /** The REO timer: look again. */
  onReorderingTimer(una: Seq, sndNxt: Seq, now: number): number {
    const lost = this.#flight.lost;
    this.reoWait = this.#rack.detect(this.#flight, now);
    this.#countLostRetransmits();
    if (this.#flight.lost === lost) return 0;
    return VERDICT_LOST | (this.state < CA_RECOVERY ? this.#enter(una, sndNxt, true) : 0);
  }

  /**
   * The retransmission timer has expired (RFC 6298 §5.4; RFC 8985 §6.3).
   * @param again it had expired before, with nothing acknowledged since
   * @returns true when ssthresh is to be reduced
   */
  onTimeout(una: Seq, sndNxt: Seq, again: boolean, sack: boolean, now: number): boolean {
    const flight = this.#flight;
    const isNew = this.state < CA_RECOVERY;
    const reneged = sack && this.#isReneging();
    const reduce = this.state <= CA_DISORDER || seqGeq(una, this.highSeq) || (this.state === CA_LOSS && !again);
    if (reduce) this.undo.begin(una, this.#flight.retrans);
    if (reneged) this.#stats.tcpSackReneging++;
    flight.inferred = 0;
    this.dupAcks = 0;
    this.tlpActive = false;
    this.reoWait = 0;
    for (let i = 0; i < flight.count; i++) {
      const slot = flight.at(i);
      // RFC 2018 §8: after a timeout the receiver may have discarded what it SACKed. It is kept unless the head itself shows it.
      if ((flight.flags(slot) & REC_SACKED) !== 0 && !reneged) continue;
      if (i > 0 && !reneged && !this.#rack.timedOut(flight.sentAt(slot), now)) continue;
      flight.markLost(slot);
    }
    this.state = CA_LOSS;
    this.highSeq = sndNxt;
    this.#recover = sndNxt; // RFC 6582 §3.2 step 6
    this.#recoverValid = true;
    this.#frto = (isNew || again) && !reneged; // RFC 5682 §2.1 step 1
    this.holdRetransmissions = false;
    return reduce;
  }

  /** ECE was received (RFC 3168 §6.1.2), or a probe repaired a loss: once per window. False when a reduction is under way. */
  enterCwr(una: Seq, sndNxt: Seq): boolean {
    if (this.state >= CA_CWR || una === sndNxt) return false;
    this.undo.end();
    this.state = CA_CWR;
    this.highSeq = sndNxt;
    return true;
  }

  /** May a tail loss probe be scheduled? (RFC 8985 §7.2) */
  get mayProbe(): boolean {
    return (this.state === CA_OPEN || this.state === CA_CWR) && this.#flight.sacked === 0 && this.#flight.lost === 0;
  }

  /** A tail loss probe has been sent; SND.NXT is `end` (RFC 8985 §7.3). */
  onProbeSent(end: Seq, isRetransmission: boolean): void {
    this.tlpActive = true;
    this.tlpEndSeq = end;
    this.#tlpIsRetransmission = isRetransmission;
  }

  /** F-RTO found no new data to send after all: go on conventionally (RFC 5682 §2.1 step 2a). */
  abandonFrto(): void {
    this.#frto = false;
    this.holdRetransmissions = false;
  }

  get frto(): boolean {
    return this.#frto;
  }

  #isDubious(): boolean {
    return this.#flight.sacked > 0 || this.#flight.lost > 0 || this.dupAcks > 0;
  }

  #isReneging(): boolean {
    const first = this.#flight.first;
    return first >= 0 && (this.#flight.flags(first) & REC_SACKED) !== 0;
  }

  #enter(una: Seq, sndNxt: Seq, sack: boolean): number {
    const reducing = this.state === CA_CWR;
    this.state = CA_RECOVERY;
    this.highSeq = sndNxt;
    this.#recover = sndNxt;
    this.#recoverValid = true;
    if (sack) this.#stats.tcpSackRecovery++;
    else this.#stats.tcpRenoRecovery++;
    if (reducing) return 0;
    this.undo.begin(una, this.#flight.retrans);
    return VERDICT_ENTER;
  }

  #complete(): number {
    const verdict = this.state === CA_LOSS ? VERDICT_LOSS_EXIT : VERDICT_EXIT;
    if (this.state !== CA_CWR) this.#rack.onRecoveryExit();
    this.state = CA_OPEN;
    this.#frto = false;
    this.holdRetransmissions = false;
    this.dupAcks = 0;
    this.#flight.inferred = 0;
    // `undo` stays: the D-SACKs for the last retransmissions arrive after they were acknowledged.
    return verdict;
  }

  // Without SACK each duplicate ACK says that one segment has left the network (RFC 5681 §3.2, RFC 6937 §3).
  #infer(digest: AckDigest, duplicate: boolean, mss: number): void {
    const flight = this.#flight;
    if (digest.advanced > 0) {
      this.dupAcks = 0;
      // One of the segments acknowledged is the one that was missing; the others had been inferred before.
      const inferred = Math.max(0, digest.advanced - mss);
      digest.delivered = Math.max(0, digest.delivered - Math.min(flight.inferred, inferred));
      flight.inferred = Math.max(0, flight.inferred - inferred);
    } else if (duplicate) {
      this.dupAcks++;
      const more = Math.min(mss, Math.max(0, flight.total - flight.lost - flight.inferred - mss));
      flight.inferred += more;
      digest.delivered += more;
    }
    // `inferred` never reaches into what is known to be lost or no longer there.
    flight.inferred = Math.max(0, Math.min(flight.inferred, flight.total - flight.lost));
  }

  #onTlpAck(digest: AckDigest, duplicate: boolean, una: Seq): number {
    // RFC 8985 §7.4.2
    if (seqLt(una, this.tlpEndSeq)) return 0;
    if (!this.#tlpIsRetransmission) {
      this.tlpActive = false;
      return 0;
    }
    if (digest.dsack && digest.dsackEnd === this.tlpEndSeq) {
      this.tlpActive = false;
      return 0;
    }
    if (seqGt(una, this.tlpEndSeq)) {
      this.tlpActive = false;
      this.#stats.tcpLossProbeRecovery++;
      return VERDICT_CWR;
    }
    if (duplicate && !digest.hasBlocks) this.tlpActive = false;
    return 0;
  }

  #tryUndo(digest: AckDigest, segment: Segment): number {
    if (this.state >= CA_RECOVERY && digest.advanced > 0 && this.undo.predates(segment)) {
      if (this.state === CA_LOSS) this.#stats.tcpSpuriousRtos++;
      else this.#stats.tcpFullUndo++;
    } else if (this.undo.allDuplicates) this.#stats.tcpDsackUndo++;
    else return 0;
    return this.#revert();
  }

  #revert(): number {
    this.undo.end();
    this.#flight.unmarkAllLost();
    if (this.state >= CA_RECOVERY) this.#rack.onRecoveryExit();
    this.#frto = false;
    this.holdRetransmissions = false;
    this.state = CA_OPEN; // or DISORDER, as onAck finds
    return VERDICT_UNDO;
  }

  // F-RTO, SACK-enhanced — RFC 5682 §3.1 (§2.1 without SACK).
  #onAckInLoss(digest: AckDigest, duplicate: boolean, unsent: boolean, una: Seq, sndNxt: Seq): number {
    if (!this.#frto) return 0;
    if (digest.originalDelivered) {
      // Step 3b: something never retransmitted has arrived: not everything was lost, so the timeout was early.
      this.#stats.tcpSpuriousRtos++;
      return this.#revert();
    }
    if (seqGt(sndNxt, this.highSeq)) {
      if (digest.sacked > 0 || duplicate) this.abandonFrto(); // step 3a
    } else if (digest.advanced > 0 && seqLt(una, this.highSeq)) {
      // Step 2b: see what happens to new data first.
      this.highSeq = sndNxt;
      this.#recover = sndNxt;
      if (unsent) this.holdRetransmissions = true;
      else this.abandonFrto();
    } else if (duplicate) this.abandonFrto(); // step 2a
    return 0;
  }

  #detect(digest: AckDigest, una: Seq, mss: number, sack: boolean, srtt: number, minRtt: number): void {
    const flight = this.#flight;
    if (flight.count === 0) {
      this.reoWait = 0;
      return;
    }
    if (!sack) {
      this.#detectReno(digest, una, mss);
      return;
    }
    const rack = this.#rack;
    if (this.#detection === 'sack') {
      if (digest.sacked > 0) this.#detectSack(digest.highSacked, mss);
      return;
    }
    const sackedSegments = Math.max(flight.sackedRecords, Math.floor(flight.sacked / mss));
    rack.updateWindow(this.state >= CA_RECOVERY, sackedSegments, minRtt, srtt);
    if (!rack.advanced && this.reoWait === 0) return;
    this.reoWait = rack.detect(flight, digest.now);
    this.#countLostRetransmits();
  }

  #countLostRetransmits(): void {
    this.#stats.tcpLostRetransmit += this.#rack.lostRetransmits;
    this.#rack.lostRetransmits = 0;
  }

  // NewReno — RFC 6582 §3.2.
  #detectReno(digest: AckDigest, una: Seq, mss: number): void {
    const flight = this.#flight;
    if (flight.lost > 0) return;
    const starts =
      this.state < CA_RECOVERY && this.dupAcks >= DUP_THRESH && (!this.#recoverValid || seqGt(una, this.#recover));
    const partial = this.state === CA_RECOVERY && digest.advanced > 0;
    if (!starts && !partial) return;
    const first = flight.first;
    if ((flight.flags(first) & REC_RETRANS) !== 0) return;
    if (flight.length(first) > mss) flight.split(0, (flight.start(first) + mss) | 0);
    flight.markLost(first);
    flight.inferred = Math.max(0, Math.min(flight.inferred, flight.total - flight.lost));
  }

  // RFC 6675 §4 IsLost(): more than (DupThresh - 1) * SMSS bytes SACKed above it, or DupThresh separate SACKed ranges.
  #detectSack(highSacked: Seq, mss: number): void {
    const flight = this.#flight;
    let above = 0;
    let ranges = 0;
    let inRange = false;
    for (let i = flight.indexOf((highSacked - 1) | 0); i >= 0; i--) {
      const slot = flight.at(i);
      const flags = flight.flags(slot);
      if ((flags & REC_SACKED) !== 0) {
        above += flight.length(slot);
        if (!inRange) ranges++;
        inRange = true;
        continue;
      }
      inRange = false;
      if (above <= (DUP_THRESH - 1) * mss && ranges < DUP_THRESH) continue;
      if ((flags & REC_RETRANS) === 0 && seqLeq(flight.end(slot), highSacked)) flight.markLost(slot);
    }
  }
}
