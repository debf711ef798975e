// What one ACK says — RFC 9293 §3.10.7.4, RFC 2018 §5, RFC 2883 §4.
//
// Applies the cumulative acknowledgment and the SACK blocks to the scoreboard, tells RACK and the rate estimator about each record delivered,
// and sums up the rest for recovery and congestion control. One per connection, refilled for every ACK.
//
// A SACK block of the previous ACK is not walked again: only what a block adds is. So the cost of an ACK is what it newly says, not
// how much the peer holds.

import type { Seq } from '../wire/seq.ts';
import { seqGeq, seqGt, seqLeq, seqLt, seqMin } from '../wire/seq.ts';
import type { DeliveryRate } from './delivery-rate.ts';
import type { InFlight } from './in-flight.ts';
import { REC_EVER_RETRANS, REC_SACKED } from './in-flight.ts';
import type { Rack } from './rack.ts';
import type { Segment } from './segment.ts';

export class AckDigest {
  now = 0;
  priorUna: Seq = 0;
  ack: Seq = 0;
  /** Bytes by which SND.UNA advanced. */
  advanced = 0;
  /** Bytes delivered for the first time: acknowledged or SACKed. */
  delivered = 0;
  /** Bytes SACKed for the first time. */
  sacked = 0;
  /** Data that was never retransmitted and lies below `recoveryPoint` was delivered (F-RTO, RFC 5682 §2.1 step 3b). */
  originalDelivered = false;
  /** Retransmitted data was cumulatively acknowledged. */
  retransmittedAcked = false;
  /** The ACK reports a duplicate (D-SACK): [dsackStart, dsackEnd). */
  dsack = false;
  dsackStart: Seq = 0;
  dsackEnd: Seq = 0;
  /** The ACK carries SACK blocks other than a D-SACK. */
  hasBlocks = false;
  /** When the oldest and the newest record delivered were sent, of those never retransmitted; -1: none. */
  oldestSentAt = -1;
  newestSentAt = -1;
  /** As `oldestSentAt`, of SACKed records. */
  sackedSentAt = -1;
  /** Highest sequence number SACKed since the scoreboard was empty. */
  highSacked: Seq = 0;

  readonly #flight: InFlight;
  readonly #rate: DeliveryRate;
  readonly #rack: Rack;
  // Blocks of the previous ACK.
  readonly #seen = new Int32Array(8);
  #seenCount = 0;

  constructor(flight: InFlight, rate: DeliveryRate, rack: Rack) {
    this.#flight = flight;
    this.#rate = rate;
    this.#rack = rack;
  }

  /**
   * Digest the ACK in `segment`.
   * @param sack SACK was negotiated; without it blocks are noise
   * @param recoveryPoint SND.NXT when the present recovery began
   */
  digest(segment: Segment, una: Seq, nxt: Seq, sack: boolean, recoveryPoint: Seq, now: number): void {
    this.now = now;
    this.priorUna = una;
    this.ack = segment.ack;
    this.advanced = 0;
    this.delivered = 0;
    this.sacked = 0;
    this.originalDelivered = false;
    this.retransmittedAcked = false;
    this.dsack = false;
    this.hasBlocks = false;
    this.oldestSentAt = -1;
    this.newestSentAt = -1;
    this.sackedSentAt = -1;
    this.#rate.begin();
    this.#rack.begin(segment);
    if (seqGt(segment.ack, una)) this.#cumulative(segment.ack, recoveryPoint);
    if (!sack) return;
    if (segment.sackCount > 0) this.#blocks(segment, nxt, recoveryPoint);
    else this.#seenCount = 0;
  }

  /** The peer reneged, or everything was marked lost: its blocks must be gone through again. */
  forgetBlocks(): void {
    this.#seenCount = 0;
  }

  #cumulative(ack: Seq, recoveryPoint: Seq): void {
    const flight = this.#flight;
    this.advanced = (ack - this.priorUna) | 0;
    while (flight.count > 0) {
      const slot = flight.at(0);
      const end = flight.end(slot);
      const whole = seqLeq(end, ack);
      if (!whole && seqLeq(ack, flight.start(slot))) break;
      const upTo = whole ? end : ack;
      const flags = flight.flags(slot);
      if ((flags & REC_SACKED) === 0) {
        this.#deliver(slot, (upTo - flight.start(slot)) | 0, upTo, flags, recoveryPoint, true);
        if ((flags & REC_EVER_RETRANS) === 0) {
          const sentAt = flight.sentAt(slot);
          if (this.oldestSentAt < 0) this.oldestSentAt = sentAt;
        }
      }
      if ((flags & REC_EVER_RETRANS) !== 0) this.retransmittedAcked = true;
      if (whole) flight.popFirst();
      else {
        flight.trimFirst(ack);
        break;
      }
    }
    // What waited at the receiver behind a retransmission measures the repair, not the path (Karn, RFC 6298 §3).
    if (this.retransmittedAcked) this.oldestSentAt = this.newestSentAt = -1;
    if (flight.sacked === 0) this.highSacked = ack;
  }

  #blocks(segment: Segment, nxt: Seq, recoveryPoint: Seq): void {
    const { sack, sackCount, ack } = segment;
    let first = 0;
    const left = sack[0];
    const right = sack[1];
    // RFC 2883 §4: the first block is a D-SACK when it lies below SEG.ACK, or inside the second block.
    const belowAck = seqLeq(right, ack);
    if (
      seqLt(left, right) &&
      (belowAck || (sackCount > 1 && seqLeq(sack[2], left) && seqLeq(right, sack[3]))) &&
      seqLeq(right, nxt)
    ) {
      this.dsack = true;
      this.dsackStart = left;
      this.dsackEnd = right;
      first = 1;
    }
    const una = seqGt(ack, this.priorUna) ? ack : this.priorUna;
    for (let i = first; i < sackCount; i++) {
      let l = sack[2 * i];
      const r = sack[2 * i + 1];
      // RFC 2018 §4: blocks lie above SEG.ACK; what was never sent cannot have arrived. Anything else is stale or forged.
      if (!seqLt(l, r) || seqGt(r, nxt) || seqLeq(r, una)) continue;
      this.hasBlocks = true;
      if (seqLt(l, una)) l = una;
      this.#addOnly(l, r, recoveryPoint);
    }
    this.#remember(segment, first);
  }

  /** Mark [from, end) SACKed, save what the previous ACK's blocks covered. */
  #addOnly(from: Seq, end: Seq, recoveryPoint: Seq): void {
    const seen = this.#seen;
    while (seqLt(from, end)) {
      let stop = end;
      let covered = false;
      for (let i = 0; i < this.#seenCount; i++) {
        const l = seen[2 * i];
        const r = seen[2 * i + 1];
        if (seqLeq(l, from) && seqLt(from, r)) {
          from = r;
          covered = true;
          break;
        }
        if (seqGt(l, from)) stop = seqMin(stop, l);
      }
      if (covered) continue;
      this.#mark(from, stop, recoveryPoint);
      from = stop;
    }
  }

  #mark(from: Seq, end: Seq, recoveryPoint: Seq): void {
    const flight = this.#flight;
    let i = flight.indexOf(from);
    for (; i < flight.count; i++) {
      let slot = flight.at(i);
      const start = flight.start(slot);
      if (seqGeq(start, end)) return;
      if ((flight.flags(slot) & REC_SACKED) !== 0) continue;
      if (seqLt(start, from)) {
        if (!flight.mayCut()) continue;
        flight.split(i, from);
        i++;
        slot = flight.at(i);
      }
      if (seqGt(flight.end(slot), end)) {
        if (!flight.mayCut()) return;
        flight.split(i, end);
      }
      const flags = flight.flags(slot);
      const length = flight.length(slot);
      const upTo = flight.end(slot);
      this.#deliver(slot, length, upTo, flags, recoveryPoint, false);
      if ((flags & REC_EVER_RETRANS) === 0 && this.sackedSentAt < 0) this.sackedSentAt = flight.sentAt(slot);
      if (flight.sacked === 0 || seqGt(upTo, this.highSacked)) this.highSacked = upTo;
      flight.markSacked(slot);
      this.sacked += length;
    }
  }

  #deliver(slot: number, length: number, end: Seq, flags: number, recoveryPoint: Seq, cumulative: boolean): void {
    this.delivered += length;
    this.#rate.onDelivered(this.#flight, slot, length, this.now);
    this.#rack.onDelivered(this.#flight.sentAt(slot), end, (flags & REC_EVER_RETRANS) !== 0, cumulative, this.now);
    if ((flags & REC_EVER_RETRANS) !== 0) return;
    if (seqLeq(end, recoveryPoint)) this.originalDelivered = true;
    const sentAt = this.#flight.sentAt(slot);
    if (sentAt > this.newestSentAt) this.newestSentAt = sentAt;
  }

  #remember(segment: Segment, first: number): void {
    this.#seenCount = segment.sackCount - first;
    for (let i = 0; i < this.#seenCount * 2; i++) this.#seen[i] = segment.sack[first * 2 + i];
  }
}
