// Round-trip time and retransmission timeout — RFC 6298, RFC 7323 §4, and a windowed minimum for RACK, HyStart++ and BBR.
//
// Everything is in µs. Who measures decides what is a valid sample (Karn's algorithm, RFC 6298 §3); this only keeps the books.
//
// Invariant: minRto <= rto <= maxRto.

export interface RttOptions {
  initialRto: number;
  minRto: number;
  maxRto: number;
  /** Added to every time-out but the first, beyond the back-off (FreeBSD: rexmit_slop). Default 0. */
  slop?: number;
}

/** How long a minimum is believed, µs: as Linux's tcp_min_rtt_wlen. */
const MIN_WINDOW = 300_000_000;

export class Rtt {
  /** 0 until the first sample. */
  srtt = 0;
  rttvar = 0;
  /** The latest sample. */
  latest = 0;
  /** Without back-off. */
  rto: number;
  /** How often the timer has fired since something new was acknowledged. */
  backoff = 0;
  /** Smallest recent sample; Infinity until the first. */
  min = Infinity;
  // The smoothed deviation, and its largest value in this round.
  #deviation = 0;
  #largest = 0;
  #minAt = 0;
  // The smallest of the current half window, which takes over when `min` expires: so the minimum is never older than its window
  // and never forgets everything at once.
  #next = Infinity;
  #nextAt = 0;
  readonly #minRto: number;
  readonly #maxRto: number;
  readonly #slop: number;

  constructor(options: RttOptions) {
    this.#minRto = options.minRto;
    this.#maxRto = options.maxRto;
    this.#slop = options.slop ?? 0;
    this.rto = Math.min(options.initialRto, options.maxRto); // RFC 6298 §2.1
  }

  get hasSample(): boolean {
    return this.srtt > 0;
  }

  /** What the timer is set to now: doubled for each expiry (RFC 6298 §5.5, MUST-19), bounded (§2.5). */
  get backedOff(): number {
    if (this.backoff === 0) return this.rto;
    const base = this.hasSample ? this.rto - this.#slop : this.rto;
    return Math.min(base * 2 ** Math.min(this.backoff, 32) + this.#slop, this.#maxRto);
  }

  /**
   * A valid sample for SRTT and RTO.
   * @param roundEnds the first of a new round trip
   */
  sample(rtt: number, roundEnds: boolean): void {
    // A coarse clock can measure nothing at all; a zero RTT would make every timer fire at once.
    const r = Math.max(rtt, 1);
    this.latest = r;
    if (this.srtt === 0) {
      this.srtt = r; // RFC 6298 §2.2
      this.rttvar = r / 2;
      this.#deviation = r / 2;
      this.#largest = r / 2;
    } else {
      const error = r - this.srtt;
      this.srtt += error / 8; // RFC 6298 §2.3, alpha
      let change = Math.abs(error) - this.#deviation;
      // A falling RTT is not a reason to wait longer: its deviation counts for an eighth.
      if (error < 0 && change > 0) change /= 8;
      this.#deviation += change / 4; // beta
      // With a sample per ACK the variance would forget everything within a fraction of a round trip (RFC 7323 §4.2). So RTTVAR
      // is the largest deviation of the round, and falls by a quarter of the difference once per round. As in Linux.
      if (this.#deviation > this.#largest) this.#largest = this.#deviation;
      if (this.#largest > this.rttvar) this.rttvar = this.#largest;
      if (roundEnds) {
        if (this.#largest < this.rttvar) this.rttvar -= (this.rttvar - this.#largest) / 4;
        this.#largest = 0;
      }
    }
    // RFC 6298 §2.3: RTO = SRTT + max(G, 4 * RTTVAR). The floor goes under the variance, as in Linux, so that the timer
    // never comes down to the RTT itself on a long steady path. RFC 6298 §2.4 asks for 1 s in all; 200 ms is what Linux
    // does, delayed ACKs stay below it, and F-RTO undoes the rare timeout that was wrong.
    this.rto = Math.min(this.srtt + Math.max(this.#minRto, 4 * this.rttvar) + this.#slop, this.#maxRto);
  }

  /** The windowed minimum, from samples that belong to one transmission beyond doubt. */
  sampleMin(rtt: number, now: number): void {
    const r = Math.max(rtt, 1);
    if (r <= this.min) {
      this.min = r;
      this.#minAt = now;
      this.#next = Infinity;
      return;
    }
    if (r <= this.#next || now - this.#nextAt > MIN_WINDOW) {
      this.#next = r;
      this.#nextAt = now;
    }
    if (now - this.#minAt > MIN_WINDOW) {
      this.min = this.#next;
      this.#minAt = this.#nextAt;
      this.#next = Infinity;
    }
  }

  /** RFC 6298 §5.7: the SYN was retransmitted and no sample taken: fall back to 3 s for the data. */
  afterSynLoss(): void {
    if (this.srtt === 0) this.rto = Math.min(3_000_000, this.#maxRto);
  }
}
