// What goes wrong with a frame on its way: lost, lost in a burst, lost by a script, damaged, doubled, or late.

import { HEADER } from '../wire/ethernet.ts';
import type { Random } from './random.ts';

export interface FaultOptions {
  /** Probability, 0 … 1, that a frame is lost. */
  loss?: number;
  /**
   * Loss in bursts, after Gilbert and Elliott: the probability per frame of a burst beginning, and of its ending. Within one a frame is lost with
   * probability `loss` (default 1).
   */
  burst?: { begin: number; end: number; loss?: number };
  /** A script: false loses the frame. `index` counts the frames of this direction from 0. */
  pass?: (frame: Uint8Array, index: number) => boolean;
  /** Probability that a frame arrives twice. */
  duplicate?: number;
  /** Probability that a frame is late by `reorderBy` ms (default 10), and so overtaken by others. */
  reorder?: number;
  reorderBy?: number;
  /** Probability that one bit behind the Ethernet header flips. */
  corrupt?: number;
}

export class Faults {
  options: FaultOptions;
  readonly #random: Random;
  #inBurst = false;
  #index = 0;

  constructor(random: Random, options: FaultOptions) {
    this.#random = random;
    this.options = options;
  }

  /** Decide about the next frame. */
  isLost(frame: Uint8Array): boolean {
    const { loss = 0, burst, pass } = this.options;
    const index = this.#index++;
    if (pass !== undefined && !pass(frame, index)) return true;
    if (burst !== undefined) {
      this.#inBurst = this.#inBurst ? !this.#random.chance(burst.end) : this.#random.chance(burst.begin);
      if (this.#inBurst && this.#random.chance(burst.loss ?? 1)) return true;
    }
    return this.#random.chance(loss);
  }

  /** Damage `frame`, perhaps. */
  corrupt(frame: Uint8Array): boolean {
    if (frame.length <= HEADER || !this.#random.chance(this.options.corrupt ?? 0)) return false;
    const bit = HEADER * 8 + this.#random.below((frame.length - HEADER) * 8);
    frame[bit >> 3] ^= 1 << (bit & 7);
    return true;
  }

  doubles(): boolean {
    return this.#random.chance(this.options.duplicate ?? 0);
  }

  /** Milliseconds this frame is late by; 0 for in time. */
  lateness(): number {
    return this.#random.chance(this.options.reorder ?? 0) ? (this.options.reorderBy ?? 10) : 0;
  }
}
