// Entropy from a seed: mulberry32. The same seed gives the same bits, on every machine.

import type { Entropy } from '../world.ts';

export class SeededEntropy implements Entropy {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  int32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) | 0;
  }

  fill(target: Uint8Array): void {
    for (let i = 0; i < target.length; i++) target[i] = this.int32();
  }
}
