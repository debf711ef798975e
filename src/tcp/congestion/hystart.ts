// HyStart++ — RFC 9406: leave slow start when the round-trip time rises, before the queue overflows.
//
// In standard slow start (SS) each round's smallest RTT is compared with the round before. A rise enters conservative slow start (CSS),
// which grows four times slower; five rounds of that end slow start, unless the RTT falls back, which says the rise was noise.
//
// Invariant: all of this only before the first loss, while ssthresh is infinite (RFC 9406 §4.3).

import type { AckSample } from './congestion.ts';

const MIN_RTT_THRESH = 4_000;
const MAX_RTT_THRESH = 16_000;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

export class HyStart {
  inCss = false;
  /** Slow start is over: set ssthresh to cwnd. */
  done = false;
  #windowEnd = 0;
  #started = false;
  #lastRoundMin = Infinity;
  #roundMin = Infinity;
  #samples = 0;
  #baseline = Infinity;
  #cssRounds = 0;

  /** How many of `acked` bytes slow start may add to cwnd (RFC 9406 §4.2). */
  growth(acked: number): number {
    return this.inCss ? Math.floor(acked / CSS_GROWTH_DIVISOR) : acked;
  }

  onAck(sample: AckSample): void {
    if (this.done) return;
    if (!this.#started) {
      this.#started = true;
      this.#windowEnd = sample.sndNxt;
    }
    if (sample.rtt >= 0) this.#measure(sample);
    // The ACK that reaches the window's end is the last of its round.
    if (((sample.sndUna - this.#windowEnd) | 0) >= 0) this.#endRound(sample.sndNxt);
  }

  #measure(sample: AckSample): void {
    if (sample.rtt < this.#roundMin) this.#roundMin = sample.rtt;
    // RFC 9406 counts ACKs, of two segments each. A peer that coalesces (GRO) sends fewer and says as much with each.
    this.#samples += Math.max(1, Math.floor(sample.acked / (2 * sample.mss)));
    if (this.#samples < N_RTT_SAMPLE) return;
    if (this.inCss) {
      if (this.#roundMin < this.#baseline) {
        this.inCss = false;
        this.#baseline = Infinity;
      }
    } else if (this.#lastRoundMin !== Infinity) {
      const threshold = Math.max(MIN_RTT_THRESH, Math.min(this.#lastRoundMin / MIN_RTT_DIVISOR, MAX_RTT_THRESH));
      if (this.#roundMin >= this.#lastRoundMin + threshold) {
        this.inCss = true;
        this.#baseline = this.#roundMin;
        this.#cssRounds = 0;
      }
    }
  }

  #endRound(sndNxt: number): void {
    this.#windowEnd = sndNxt;
    this.#lastRoundMin = this.#roundMin;
    this.#roundMin = Infinity;
    this.#samples = 0;
    if (!this.inCss) return;
    this.#cssRounds++;
    if (this.#cssRounds >= CSS_ROUNDS) this.done = true;
  }
}
