// Pacing: when the next segment may leave — RFC 9438 §5.9 and RFC 9406 §4 assume it, draft-ietf-ccwg-bbr §5.6.2 needs it.
//
// A virtual clock of departures: each segment moves the next departure by its length over the rate. Being late (a batch, a timer tick)
// is made good, but never by more than one burst, so an idle connection starts with a burst and not with a window.
//
// Invariant: nextAt >= now - burst time whenever something is sent.

export type PacingMode = 'auto' | 'on' | 'off';

/** 'auto' paces from this RTT on: below it the event loop's own granularity is coarser than the gaps between segments. */
const AUTO_MIN_RTT = 5_000;
const BURST_SEGMENTS = 10; // as many as an initial window (RFC 6928)
const BURST_TIME = 2_000; // µs of sending that a late wake-up may make good
const QUANTUM_TIME = 1_000; // µs of sending that one super-segment may hold, as Linux's TSO autosizing
const MIN_QUANTUM_SEGMENTS = 2;

export class Pacing {
  mode: PacingMode;
  /** Bytes per second; 0 while nothing is paced. */
  rate = 0;
  #nextAt = 0;

  constructor(mode: PacingMode) {
    this.mode = mode;
  }

  /**
   * Take the controller's rate, or derive one: cwnd per SRTT, twice that in slow start, 1.2 times in congestion avoidance
   * (Linux's factors: enough headroom that pacing is never what limits growth).
   */
  update(controllerRate: number, cwnd: number, ssthresh: number, srtt: number, minRtt: number): void {
    if (this.mode === 'off') this.rate = 0;
    else if (controllerRate > 0) this.rate = controllerRate;
    else if (srtt === 0 || (this.mode === 'auto' && minRtt < AUTO_MIN_RTT)) this.rate = 0;
    else this.rate = ((cwnd < ssthresh / 2 ? 2 : 1.2) * cwnd * 1e6) / srtt;
  }

  /** 0 when a segment may leave now, else the time at which it may. */
  holdUntil(now: number): number {
    return this.rate === 0 || this.#nextAt <= now ? 0 : this.#nextAt;
  }

  /** Most bytes one super-segment may hold. */
  quantum(mss: number): number {
    if (this.rate === 0) return Infinity;
    return Math.max(MIN_QUANTUM_SEGMENTS * mss, (this.rate * QUANTUM_TIME) / 1e6);
  }

  onSent(length: number, mss: number, now: number): void {
    if (this.rate === 0) {
      this.#nextAt = now;
      return;
    }
    const burst = Math.max((BURST_SEGMENTS * mss * 1e6) / this.rate, BURST_TIME);
    this.#nextAt = Math.max(this.#nextAt, now - burst) + (length * 1e6) / this.rate;
  }
}
