// SEGMENT ARRIVES — RFC 9293 §3.10.7.3 (SYN-SENT) and §3.10.7.4 (the others), with the checks of RFC 5961 and RFC 7323 §5 in place.
//
// One function per step of the RFC, in its order; each returns whether the next step is due. They mark what the connection owes its
// peer and its user, and send nothing.

import { ECONNREFUSED, ECONNRESET } from '../errno.ts';
import type { Stats } from '../stats.ts';
import { seqAdd, seqGt, seqLeq, seqLt } from '../wire/seq.ts';
import type { Receiver } from './receiver.ts';
import { ACCEPTABLE, GOT_FIN, PROBE } from './receiver.ts';
import type { Segment } from './segment.ts';
import { ACK, FIN, RST, SYN, URG } from './segment.ts';
import type { Sender } from './sender.ts';
import { ACK_FIN } from './sender.ts';
import * as states from './states.ts';

/** What the procedure needs of the connection. */
export interface Machine {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly stats: Stats;
  state: number;
  /** Largest SND.WND so far: MAX.SND.WND (RFC 5961 §5.2). */
  maxSndWnd: number;
  /** When an empty unacceptable segment was last answered, µs. */
  lastAnswer: number;
  /**
   * RFC 5961 §7: at most one answer in this time to empty segments out of window, so that two ends which find each other's ACKs
   * unacceptable do not answer for ever.
   */
  readonly answerInterval: number;
  /** In SYN-RECEIVED: the ACK owed answers a SYN, so it is the SYN,ACK. */
  synAckDue: boolean;
  /** The user has let go: text has nobody to go to. */
  readonly released: boolean;
  transition(event: number): void;
  /** Owe the peer a challenge ACK, if the budget allows (RFC 5961 §3.2). */
  challenge(now: number): void;
  /** Answer the segment with <SEQ=SEG.ACK><CTL=RST>. */
  refuse(segment: Segment): void;
  /** Both SYNs are acknowledged. */
  opened(segment: Segment, now: number): void;
  /** The SYN in SYN-SENT: RCV.NXT, IRS and the options. */
  accept(segment: Segment, now: number): void;
  /** The ACK bits from the sender (ACK_*). */
  onAckBits(bits: number): void;
  /** GOT_* bits from the receiver. */
  onText(bits: number): void;
  onUrgent(): void;
  /** The connection is over: `errno`, or 0 for an orderly end. */
  finish(errno: number): void;
  /** Everything is closed and acknowledged: wait 2 MSL. */
  timeWait(now: number): void;
  /** Text for a connection nobody reads any more. */
  abandon(): void;
}

export function arrives(machine: Machine, segment: Segment, now: number): void {
  if (machine.state === states.SYN_SENT) {
    synSent(machine, segment, now);
    return;
  }
  // RFC 9293 §3.10.7.4. "Third, check security" has no counterpart here.
  const verdict = checkSequence(machine, segment, now);
  if (verdict === DROP) return;
  if (!checkReset(machine, segment, now)) return;
  if (!checkSyn(machine, segment, now)) return;
  if (!checkAck(machine, segment, now)) return;
  checkUrgent(machine, segment);
  // A bare FIN needs no room. Some send it into a closed window, and would repeat it for ever (as Linux, we take it).
  const isBareFin = segment.length === 0 && (segment.flags & FIN) !== 0;
  if (verdict === PROBE && !isBareFin) {
    // The window is closed: the probe's text stays outside, and its sender wants to know how far we are (§3.8.6.1, MUST-36).
    machine.receiver.ackNow = true;
    return;
  }
  processText(machine, segment, now);
}

const DROP = -1;

/** First, check sequence number. DROP, ACCEPTABLE or PROBE. */
function checkSequence(machine: Machine, segment: Segment, now: number): number {
  const { receiver, stats } = machine;
  // RFC 7323 §5.3 R1
  if (receiver.pawsRejects(segment, now)) {
    stats.tcpPawsEstab++;
    stats.dropTcpUnacceptable++;
    answer(machine, segment, now);
    return DROP;
  }
  const verdict = isSynAckOfSimultaneousOpen(machine, segment) ? ACCEPTABLE : receiver.check(segment);
  if (verdict !== ACCEPTABLE && verdict !== PROBE) {
    stats.dropTcpUnacceptable++;
    // RFC 9293 §3.10.7.4: an unacceptable segment is answered with an ACK, unless it is a reset.
    if ((segment.flags & RST) === 0) answer(machine, segment, now);
    return DROP;
  }
  // RFC 7323 §5.3 R3
  if ((segment.flags & RST) === 0) receiver.noteTimestamp(segment, now);
  return verdict;
}

/**
 * The SYN,ACK of a peer that opened at the same time repeats a SYN we have seen: RCV.NXT is behind it already. RFC 9293 §3.5, figure 7,
 * means it to be taken, and answering it would only cost a round trip.
 */
function isSynAckOfSimultaneousOpen(machine: Machine, segment: Segment): boolean {
  return (
    machine.state === states.SYN_RECEIVED &&
    (segment.flags & (SYN | ACK | RST | FIN)) === (SYN | ACK) &&
    segment.seq === machine.receiver.irs &&
    seqGt(segment.ack, machine.sender.sndUna) &&
    seqLeq(segment.ack, machine.sender.sndNxt)
  );
}

/** Owe an ACK for a segment that was not acceptable. */
function answer(machine: Machine, segment: Segment, now: number): void {
  if (segment.length === 0 && (segment.flags & (SYN | FIN)) === 0) {
    if (now - machine.lastAnswer < machine.answerInterval) return;
    machine.lastAnswer = now;
  }
  // A SYN again: ours, or our SYN,ACK, has not arrived (RFC 9293 §3.5).
  if ((segment.flags & SYN) !== 0) machine.synAckDue = true;
  machine.receiver.reject(segment);
}

/** Second, check the RST bit. */
function checkReset(machine: Machine, segment: Segment, now: number): boolean {
  if ((segment.flags & RST) === 0) return true;
  // RFC 5961 §3.2: only the very next sequence number resets; elsewhere in the window it is a guess.
  if (segment.seq !== machine.receiver.rcvNxt) {
    machine.challenge(now);
    return false;
  }
  const { state } = machine;
  machine.transition(states.RCV_RST);
  if (state === states.SYN_RECEIVED) machine.finish(ECONNREFUSED);
  else machine.finish(state === states.CLOSING || state === states.LAST_ACK ? 0 : ECONNRESET);
  return false;
}

/** Fourth, check the SYN bit. */
function checkSyn(machine: Machine, segment: Segment, now: number): boolean {
  if ((segment.flags & SYN) === 0 || isSynAckOfSimultaneousOpen(machine, segment)) return true;
  // RFC 5961 §4.2: a SYN never resets; if the peer has restarted, its answer to our ACK will.
  machine.stats.tcpSynChallenge++;
  machine.challenge(now);
  return false;
}

/** Fifth, check the ACK field. */
function checkAck(machine: Machine, segment: Segment, now: number): boolean {
  if ((segment.flags & ACK) === 0) return false;
  const { sender, receiver } = machine;
  const { ack } = segment;

  if (machine.state === states.SYN_RECEIVED) {
    if (seqLeq(ack, sender.sndUna) || seqGt(ack, sender.sndNxt)) {
      machine.refuse(segment);
      return false;
    }
    machine.transition(states.RCV_ACK_OF_SYN);
    sender.setWindow(segment);
    const bits = sender.onAck(segment, now);
    machine.onAckBits(bits);
    machine.opened(segment, now);
    // With fast open our FIN may have gone before our SYN was acknowledged (RFC 7413 §4.2.2).
    if ((bits & ACK_FIN) !== 0) machine.transition(states.RCV_ACK_OF_FIN);
    return true;
  }
  // RFC 9293 §3.10.7.4: it acknowledges something not yet sent; RFC 5961 §5.2: or something too long ago.
  if (seqGt(ack, sender.sndNxt)) {
    if (segment.length > 0) receiver.ackNow = true;
    else machine.challenge(now);
    return false;
  }
  if (seqLt(ack, seqAdd(sender.sndUna, -machine.maxSndWnd))) {
    machine.challenge(now);
    return false;
  }
  const bits = sender.onAck(segment, now);
  if (sender.sndWnd > machine.maxSndWnd) machine.maxSndWnd = sender.sndWnd;
  machine.onAckBits(bits);
  if ((bits & ACK_FIN) === 0) return true;

  const { state } = machine;
  machine.transition(states.RCV_ACK_OF_FIN);
  if (state === states.CLOSING) {
    machine.timeWait(now);
    return false;
  }
  if (state === states.LAST_ACK) {
    machine.finish(0);
    return false;
  }
  return true;
}

/** Sixth, check the URG bit: data stays inline (RFC 6093), the user learns where it ends (MUST-30, MUST-32). */
function checkUrgent(machine: Machine, segment: Segment): void {
  if ((segment.flags & URG) === 0 || !states.canReceive(machine.state)) return;
  if (machine.receiver.urge(segment)) machine.onUrgent();
}

/** Seventh, process the segment text; eighth, check the FIN bit. */
function processText(machine: Machine, segment: Segment, now: number): void {
  if (segment.length === 0 && (segment.flags & FIN) === 0) return;
  const { receiver } = machine;
  // RFC 9293 §3.10.7.4: behind its FIN the peer has nothing more to say; what claims otherwise is ignored.
  if (!states.canReceive(machine.state)) return;
  if (machine.released && segment.length > 0 && seqGt(seqAdd(segment.seq, segment.length), receiver.rcvNxt)) {
    // RFC 2525 §2.17, RFC 9293 §3.6.1: nobody will ever read this, and the peer should know (SHLD-3).
    machine.abandon();
    return;
  }
  const got = receiver.text(segment, now);
  if (got !== 0) machine.onText(got);
  if ((got & GOT_FIN) === 0) return;
  const { state } = machine;
  machine.transition(states.RCV_FIN);
  if (state === states.FIN_WAIT_2) machine.timeWait(now);
}

/** RFC 9293 §3.10.7.3 */
function synSent(machine: Machine, segment: Segment, now: number): void {
  const { sender, receiver } = machine;
  const { flags, ack } = segment;
  // First, check the ACK bit.
  const hasAck = (flags & ACK) !== 0;
  if (hasAck && (seqLeq(ack, sender.iss) || seqGt(ack, sender.sndNxt))) {
    if ((flags & RST) === 0) machine.refuse(segment);
    return;
  }
  // Second, check the RST bit. RFC 5961 §3.2: acceptable if it acknowledges our SYN.
  if ((flags & RST) !== 0) {
    if (!hasAck) return;
    machine.transition(states.RCV_RST);
    machine.finish(ECONNREFUSED);
    return;
  }
  // Fourth, check the SYN bit. (Fifth: neither SYN nor RST: drop.)
  if ((flags & SYN) === 0) return;
  machine.accept(segment, now);
  if (!hasAck) {
    // Simultaneous open (MUST-10): <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>. Text that came along is kept; a FIN the peer will repeat.
    machine.transition(states.RCV_SYN);
    sender.setWindow(segment);
    machine.synAckDue = true;
    receiver.ackNow = true;
    segment.flags &= ~FIN;
    receiver.text(segment, now);
    return;
  }
  machine.transition(states.RCV_SYN_ACK);
  sender.setWindow(segment);
  machine.onAckBits(sender.onAck(segment, now));
  receiver.ackNow = true;
  machine.opened(segment, now);
  checkUrgent(machine, segment);
  processText(machine, segment, now);
}
