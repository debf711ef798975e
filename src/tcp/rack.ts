// RACK: time-based loss detection — RFC 8985 §6.
//
// A segment is lost when one sent sufficiently later has been delivered. "Sufficiently" is the reordering window, which starts at
// nothing, opens when reordering is seen, and widens for each round in which a D-SACK says that a retransmission was needless.
//
// Invariant: (xmitTime, endSeq) is the latest transmission known to have been delivered.

import type { Seq } from '../wire/seq.ts';
import { seqGeq, seqGt, seqLt } from '../wire/seq.ts';
import type { InFlight } from './in-flight.ts';
import { REC_RETRANS } from './in-flight.ts';
import type { Segment } from './segment.ts';

const REO_WND_PERSIST = 16; // recoveries without D-SACK before the window is narrowed again (RFC 8985 §6.2 step 4)
const DUP_THRESH = 3;

export class Rack {
  /** RACK.xmit_ts, RACK.end_seq, RACK.rtt */
  xmitTime = -1;
  endSeq: Seq = 0;
  rtt = 0;
  /** Reordering was seen on this connection. */
  reorderingSeen = false;
  reoWndMult = 1;
  reoWnd = 0;
  /** The farthest that a segment was seen to arrive late, in bytes, for information. */
  reordering = 0;
  /** Lost retransmissions found (counted since the caller last took it). */
  lostRetransmits = 0;
  /** This ACK brought (xmitTime, endSeq) forward: only then can it reveal losses. */
  advanced = false;

  #persist = 0;
  #fack: Seq = 0;
  #fackValid = false;
  #dsackRound: Seq = 0;
  #dsackRoundValid = false;
  #tsOffset = 0;
  #minRtt = Infinity;
  #tsEcr = 0;
  #hasTs = false;

  /** Offset of the connection's timestamp clock, to tell the ACK of a retransmission from that of the original. */
  setTsOffset(offset: number): void {
    this.#tsOffset = offset;
  }

  setMinRtt(minRtt: number): void {
    this.#minRtt = minRtt;
  }

  begin(segment: Segment): void {
    this.advanced = false;
    this.#hasTs = segment.hasTimestamp;
    this.#tsEcr = segment.tsEcr;
  }

  /** Steps 2 and 3: the segment that ends at `end` and was last sent at `sentAt` has been delivered, in order or not. */
  onDelivered(sentAt: number, end: Seq, retransmitted: boolean, cumulative: boolean, now: number): void {
    // Step 3, detect data segment reordering: something below the highest delivered arrives, and it is not a retransmission.
    if (!this.#fackValid || seqGt(end, this.#fack)) {
      this.#fack = end;
      this.#fackValid = true;
    } else if (seqLt(end, this.#fack) && !retransmitted) {
      this.reorderingSeen = true;
      const extent = (this.#fack - end) | 0;
      if (extent > this.reordering) this.reordering = extent;
    }
    const rtt = now - sentAt;
    if (retransmitted) {
      // Step 2: is it the retransmission that was delivered, or the original? The timestamp says so, else a round trip
      // shorter than any seen does. The ACK of something out of order echoes what came before it (RFC 7323 §4.3 (C)).
      if (cumulative && this.#hasTs && ((this.#tsEcr - this.#stamp(sentAt)) | 0) < 0) return;
      if (rtt < this.#minRtt) return;
    }
    this.rtt = rtt;
    if (sentAt > this.xmitTime || (sentAt === this.xmitTime && seqGt(end, this.endSeq))) {
      this.xmitTime = sentAt;
      this.endSeq = end;
      this.advanced = true;
    }
  }

  /** Step 4, the part that D-SACKs drive: at most one step per round trip. */
  onAck(dsack: boolean, sndUna: Seq, sndNxt: Seq): void {
    if (this.#dsackRoundValid && seqGeq(sndUna, this.#dsackRound)) this.#dsackRoundValid = false;
    if (!dsack || this.#dsackRoundValid) return;
    this.#dsackRound = sndNxt;
    this.#dsackRoundValid = true;
    // Without this a path that reorders, and on which everything late was sent again first, would never be seen to reorder.
    this.reorderingSeen = true;
    this.reoWndMult++;
    this.#persist = REO_WND_PERSIST;
  }

  /** A recovery has ended. */
  onRecoveryExit(): void {
    this.#persist--;
    if (this.#persist <= 0) {
      this.#persist = 0;
      this.reoWndMult = 1;
    }
  }

  /** Step 4: the reordering window. */
  updateWindow(recovering: boolean, sackedSegments: number, minRtt: number, srtt: number): void {
    if (!this.reorderingSeen && (recovering || sackedSegments >= DUP_THRESH)) {
      this.reoWnd = 0;
      return;
    }
    if (minRtt === Infinity) minRtt = srtt;
    this.reoWnd = Math.min((this.reoWndMult * minRtt) / 4, srtt);
  }

  /**
   * Step 5: mark lost what was sent long enough before the latest delivered segment.
   * @returns how long until the next one would be, µs; 0 when none is waiting
   */
  detect(flight: InFlight, now: number): number {
    let wait = 0;
    for (let slot = flight.oldestSent; slot >= 0; ) {
      const next = flight.after(slot);
      const sentAt = flight.sentAt(slot);
      if (sentAt > this.xmitTime || (sentAt === this.xmitTime && seqGeq(flight.end(slot), this.endSeq))) break;
      // Sent in one batch with what was delivered: a retransmission may have left before it or after, so it says nothing.
      if (sentAt === this.xmitTime && (flight.flags(slot) & REC_RETRANS) !== 0) {
        slot = next;
        continue;
      }
      const remaining = sentAt + this.rtt + this.reoWnd - now;
      if (remaining <= 0) {
        if ((flight.flags(slot) & REC_RETRANS) !== 0) this.lostRetransmits++;
        flight.markLost(slot);
      } else if (remaining > wait) wait = remaining;
      slot = next;
    }
    return wait;
  }

  /** RFC 8985 §6.3: at a timeout, is this one due as well? */
  timedOut(sentAt: number, now: number): boolean {
    return sentAt + this.rtt + this.reoWnd <= now;
  }

  #stamp(at: number): number {
    return (Math.floor(at / 1000) + this.#tsOffset) | 0;
  }
}
