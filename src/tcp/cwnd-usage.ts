// How much of cwnd is used: whether it, or the application, or the peer's window is what limits — RFC 9438 §5.8, RFC 7661 §4.
//
// Counts in rounds: one round ends when what was sent at its start has been acknowledged. What is asked of "lately" covers the present round and
// the one before, since at a round's start nothing has been sent in it yet.

import type { Seq } from '../wire/seq.ts';
import { seqGeq } from '../wire/seq.ts';

export class CwndUsage {
  #roundEnd: Seq = 0;
  #peak = 0;
  #priorPeak = 0;
  #held = false;
  #priorHeld = false;

  start(una: Seq): void {
    this.#roundEnd = una;
  }

  /** `pipe` bytes are in flight after a transmission. */
  onSent(pipe: number): void {
    if (pipe > this.#peak) this.#peak = pipe;
  }

  /** cwnd kept something from being sent. */
  onHeld(): void {
    this.#held = true;
  }

  onAck(una: Seq, nxt: Seq, pipe: number): void {
    if (!seqGeq(una, this.#roundEnd)) return;
    this.#roundEnd = nxt;
    this.#priorPeak = this.#peak;
    this.#priorHeld = this.#held;
    this.#peak = pipe;
    this.#held = false;
  }

  /** Most bytes in flight lately: FlightSize without what limited transmit added after the loss (RFC 5681 §3.2 step 2). */
  get peak(): number {
    return Math.max(this.#peak, this.#priorPeak);
  }

  /** In slow start half of cwnd must have been used (cwnd may double before it is), else cwnd must have held something back. */
  isLimiting(cwnd: number, ssthresh: number): boolean {
    if (this.#held || this.#priorHeld) return true;
    return cwnd < ssthresh && cwnd < 2 * this.peak;
  }
}
