// NewReno — RFC 5681 (slow start, congestion avoidance), RFC 6582; byte counting as in RFC 3465, because one ACK may cover a
// super-segment.
//
// Invariant: cwnd >= mss, ssthresh >= 2 * mss.

import type { AckSample, CongestionControl } from './congestion.ts';

export class NewReno implements CongestionControl {
  readonly name = 'reno';
  readonly ownsRecovery = false;
  cwnd: number;
  ssthresh = Infinity;
  pacingRate = 0;
  #mss: number;
  readonly #initial: number;
  /** Bytes acknowledged since cwnd last grew in congestion avoidance. */
  #counted = 0;
  #priorCwnd = 0;
  #priorSsthresh = Infinity;

  constructor(mss: number, initialWindow: number) {
    this.#mss = mss;
    this.#initial = initialWindow;
    this.cwnd = initialWindow;
  }

  onAck(sample: AckSample): void {
    if (sample.recovering || !sample.mayGrow) return;
    let acked = sample.acked;
    if (this.cwnd < this.ssthresh) {
      // RFC 5681 §3.1 (2); all bytes of a stretch ACK count, or a receiver that coalesces would slow us down.
      const grow = Math.min(acked, this.ssthresh - this.cwnd);
      this.cwnd += grow;
      acked -= grow;
    }
    if (acked === 0) return;
    // RFC 5681 §3.1: one SMSS for each cwnd of bytes acknowledged.
    this.#counted += acked;
    while (this.#counted >= this.cwnd) {
      this.#counted -= this.cwnd;
      this.cwnd += this.#mss;
    }
  }

  onLoss(flight: number, _now: number): void {
    this.#remember();
    // RFC 5681 §3.1 (4)
    this.ssthresh = Math.max(Math.floor(flight / 2), 2 * this.#mss);
    this.#counted = 0;
  }

  onTimeout(flight: number, first: boolean, now: number): void {
    // RFC 5681 §3.1: "when … the given segment has already been retransmitted by way of the retransmission timer at least
    // once, the value of ssthresh is held constant".
    if (first) this.onLoss(flight, now);
    this.cwnd = this.#mss;
    this.#counted = 0;
  }

  onEcnEcho(flight: number, now: number): void {
    this.onLoss(flight, now);
  }

  onIdle(idle: number, rto: number, _now: number): void {
    this.cwnd = restartWindow(this.cwnd, this.#initial, idle, rto);
    this.#counted = 0;
  }

  onRecoveryExit(_now: number): void {}

  undo(_now: number): void {
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd);
    this.ssthresh = this.#priorSsthresh;
  }

  setMss(mss: number): void {
    this.#mss = mss;
    this.cwnd = Math.max(this.cwnd, mss);
  }

  #remember(): void {
    this.#priorCwnd = this.cwnd;
    this.#priorSsthresh = this.ssthresh;
  }
}

/**
 * cwnd after `idle` µs: RFC 5681 §4.1 says min(IW, cwnd) after one RTO. It is halved for each RTO instead, down to that
 * (RFC 2861 §3.1, as Linux does): a short pause does not forget a long path.
 */
export function restartWindow(cwnd: number, initial: number, idle: number, rto: number): number {
  const restart = Math.min(initial, cwnd);
  for (let left = idle - rto; left >= 0 && cwnd > restart; left -= rto) cwnd = Math.floor(cwnd / 2);
  return Math.max(cwnd, restart);
}
