// CUBIC — RFC 9438, with HyStart++ (RFC 9406) in the initial slow start.
//
// The window is W_cubic(t) = C * (t - K)^3 + W_max, t since the epoch began, or Reno's where that is more. In segments and seconds, as
// the RFC has it: an ACK costs a few multiplications, and a cube root only when an epoch begins.
//
// Invariant: cwnd >= mss; between congestion events cwnd never falls.

import type { AckSample, CongestionControl } from './congestion.ts';
import { HyStart } from './hystart.ts';
import { restartWindow } from './newreno.ts';

const BETA = 0.7; // RFC 9438 §4.6
const C = 0.4; // RFC 9438 §5.1
const ALPHA = (3 * (1 - BETA)) / (1 + BETA); // RFC 9438 §4.3

export class Cubic implements CongestionControl {
  readonly name: string = 'cubic';
  readonly ownsRecovery = false;
  cwnd: number;
  ssthresh = Infinity;
  pacingRate = 0;
  readonly hystart = new HyStart();
  #mss: number;
  readonly #initial: number;

  // RFC 9438 §4.1.2, in segments.
  #wMax = 0;
  #k = 0; // seconds
  /** µs; 0 while no epoch runs. */
  #epochStart = 0;
  #wEst = 0;
  /** cwnd when the last congestion event was met. */
  #cwndPrior = 0;
  /** Fraction of a byte by which cwnd is behind. */
  #fraction = 0;
  /** The next epoch begins after a timeout (§4.8). */
  #afterTimeout = false;

  // To take it all back (§4.9).
  #undoCwnd = 0;
  #undoSsthresh = Infinity;
  #undoWMax = 0;
  #undoK = 0;
  #undoEpochStart = 0;
  #undoWEst = 0;
  #undoCwndPrior = 0;

  constructor(mss: number, initialWindow: number) {
    this.#mss = mss;
    this.#initial = initialWindow;
    this.cwnd = initialWindow;
  }

  onAck(sample: AckSample): void {
    if (sample.recovering) return;
    let acked = sample.acked;
    if (this.cwnd < this.ssthresh) {
      const initial = this.ssthresh === Infinity;
      if (initial) {
        this.hystart.onAck(sample);
        if (this.hystart.done) this.ssthresh = this.cwnd; // RFC 9406 §4.2
      }
      if (!sample.mayGrow) return;
      const wanted = initial ? this.hystart.growth(acked) : acked;
      const grow = Math.min(wanted, Math.max(0, this.ssthresh - this.cwnd));
      this.cwnd += grow;
      if (this.cwnd < this.ssthresh) return;
      acked -= grow;
    }
    // RFC 9438 §5.8: no growth while something else is the limit. The epoch's clock stops with it, see onIdle.
    if (!sample.mayGrow || acked <= 0) return;
    this.#avoid(acked, sample);
  }

  #avoid(acked: number, sample: AckSample): void {
    const mss = this.#mss;
    const cwnd = this.cwnd / mss;
    if (this.#epochStart === 0) this.#beginEpoch(cwnd, sample.now);
    const segments = acked / mss;
    const t = (sample.now - this.#epochStart) / 1e6;

    // RFC 9438 §4.3: what Reno would have, from what it would have at the start of the epoch.
    this.#wEst += ((this.#wEst >= this.#cwndPrior ? 1 : ALPHA) * segments) / cwnd;

    const d = t - this.#k;
    let next: number;
    if (C * d * d * d + this.#wMax < this.#wEst) {
      next = Math.max(cwnd, this.#wEst);
    } else {
      // RFC 9438 §4.4, §4.5: aim at where the curve is one RTT from now, at most half as much again.
      const ahead = d + sample.srtt / 1e6;
      const curve = C * ahead * ahead * ahead + this.#wMax;
      const target = Math.max(cwnd, Math.min(curve, 1.5 * cwnd));
      next = Math.min(target, cwnd + ((target - cwnd) / cwnd) * segments);
    }
    const bytes = next * mss + this.#fraction;
    const whole = Math.floor(bytes);
    this.#fraction = bytes - whole;
    this.cwnd = whole;
  }

  #beginEpoch(cwnd: number, now: number): void {
    this.#epochStart = now;
    // RFC 9438 §4.8: after a timeout, or from above W_max, the curve starts at its plateau.
    if (this.#afterTimeout || cwnd >= this.#wMax) {
      this.#k = 0;
      this.#wMax = cwnd;
    } else {
      this.#k = Math.cbrt((this.#wMax - cwnd) / C); // §4.2
    }
    this.#wEst = cwnd;
    this.#afterTimeout = false;
  }

  onLoss(flight: number, _now: number): void {
    this.#remember();
    const cwnd = this.cwnd / this.#mss;
    // RFC 9438 §4.7, fast convergence: a flow that meets congestion earlier each time makes room.
    this.#wMax = cwnd < this.#wMax ? cwnd * ((1 + BETA) / 2) : cwnd;
    this.#cwndPrior = cwnd;
    this.#epochStart = 0;
    this.#fraction = 0;
    this.ssthresh = Math.max(Math.floor(flight * BETA), 2 * this.#mss); // RFC 9438 §4.6
  }

  onTimeout(flight: number, first: boolean, now: number): void {
    if (first) this.onLoss(flight, now);
    this.cwnd = this.#mss; // RFC 9438 §4.8
    this.#epochStart = 0;
    this.#fraction = 0;
    this.#afterTimeout = true;
  }

  onEcnEcho(flight: number, now: number): void {
    this.onLoss(flight, now);
  }

  onIdle(idle: number, rto: number, now: number): void {
    this.cwnd = restartWindow(this.cwnd, this.#initial, idle, rto);
    // RFC 9438 §5.8: time without sending must not count as time to grow.
    if (this.#epochStart > 0) this.#epochStart = Math.min(this.#epochStart + idle, now);
    this.#fraction = 0;
  }

  onRecoveryExit(_now: number): void {}

  undo(_now: number): void {
    this.cwnd = Math.max(this.cwnd, this.#undoCwnd);
    this.ssthresh = this.#undoSsthresh;
    this.#wMax = this.#undoWMax;
    this.#k = this.#undoK;
    this.#epochStart = this.#undoEpochStart;
    this.#wEst = this.#undoWEst;
    this.#cwndPrior = this.#undoCwndPrior;
    this.#afterTimeout = false;
  }

  setMss(mss: number): void {
    // The curve is in segments; its windows in bytes stay what they are.
    const ratio = this.#mss / mss;
    this.#wMax *= ratio;
    this.#wEst *= ratio;
    this.#cwndPrior *= ratio;
    this.#mss = mss;
    this.cwnd = Math.max(this.cwnd, mss);
  }

  #remember(): void {
    this.#undoCwnd = this.cwnd;
    this.#undoSsthresh = this.ssthresh;
    this.#undoWMax = this.#wMax;
    this.#undoK = this.#k;
    this.#undoEpochStart = this.#epochStart;
    this.#undoWEst = this.#wEst;
    this.#undoCwndPrior = this.#cwndPrior;
  }
}
