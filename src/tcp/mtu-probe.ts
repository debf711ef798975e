// Packetization-layer path MTU discovery — RFC 4821, RFC 8899 — against black holes: paths that swallow what is too large and say nothing.
//
//   ceiling ──┐                       the MSS the interface, the peer and ICMP leave (RFC 1191)
//             │  high ──┐             the largest size that may still get through
//             │         │  probe      one segment, larger than the others
//   limit ────┴─────────┴──────────   what gets through
//
// Nothing happens while all is well. When full-sized segments time out again and again the limit drops to a size that nearly every path
// carries; then probes look for what the path does carry, the ceiling first, because it may have been an outage.
//
// Invariant: limit <= high <= ceiling while a search is on; `limit` is Infinity otherwise, and nothing is probed.

import type { Seq } from '../wire/seq.ts';
import { SECOND } from '../world.ts';

/** RFC 4821 §7.2 (search_low), as Linux's tcp_base_mss; halved as long as nothing gets through, but not below MIN. */
const BASE = 1024;
const MIN = 512;
/** RFC 4821 §7.3: stop when so little is left to be won. */
const CLOSE_ENOUGH = 8;
/** RFC 4821 §7.7, RFC 8899 §5.1.1 (PMTU_RAISE_TIMER) */
const RAISE_INTERVAL = 600 * SECOND;

export class MtuProbe {
  /** Payload bytes per segment that the path is taken to carry; Infinity while there is no doubt. */
  limit = Infinity;
  /** The MSS without regard to what we find. */
  ceiling = Infinity;
  /** Size of the probe in flight, 0 for none, and where it lies. */
  inFlight = 0;
  start: Seq = 0;
  end: Seq = 0;
  #high = 0;
  #triedCeiling = false;
  #nextAt = 0;

  /** Segments of `mss` bytes have timed out again and again: true when smaller ones are worth trying. */
  onBlackHole(mss: number): boolean {
    let lower = BASE;
    while (lower >= mss) lower >>= 1;
    if (lower < MIN) return false;
    this.limit = lower;
    this.#high = this.ceiling;
    this.#triedCeiling = false;
    this.#nextAt = 0;
    this.inFlight = 0;
    return true;
  }

  /** Size of the segment to probe with now, 0 for none. */
  wanted(now: number): number {
    if (this.limit === Infinity || this.inFlight > 0 || now < this.#nextAt) return 0;
    const high = Math.min(this.#high, this.ceiling);
    if (high - this.limit < CLOSE_ENOUGH) {
      this.#high = this.ceiling;
      this.#triedCeiling = false;
      this.#nextAt = now + RAISE_INTERVAL;
      return 0;
    }
    return this.#triedCeiling ? (this.limit + high + 1) >> 1 : high;
  }

  onSent(start: Seq, end: Seq, size: number): void {
    this.start = start;
    this.end = end;
    this.inFlight = size;
  }

  /** The probe has arrived (RFC 4821 §7.6.1). */
  onArrived(): void {
    this.limit = this.inFlight;
    this.inFlight = 0;
    if (this.limit >= this.ceiling) this.limit = Infinity;
  }

  /** The probe alone was lost (RFC 4821 §7.6.2), or timed out with everything else (§7.6.4). */
  onLost(): void {
    this.#high = this.inFlight - 1;
    this.#triedCeiling = true;
    this.inFlight = 0;
  }
}
