// Every coin a simulation tosses comes from one seed, through generators that are forked by name.
//
// Invariant: what a generator yields depends on the seed and its names alone. A link added or a host more changes no other part's luck.

import { SeededEntropy } from './seeded-entropy.ts';

const UNIT = 0x1_0000_0000;

export class Random extends SeededEntropy {
  readonly #seed: number;

  constructor(seed: number) {
    super(scramble(seed));
    this.#seed = seed | 0;
  }

  /** A whole number from 0 up to, but not including, `limit`. */
  below(limit: number): number {
    return Math.floor(((this.int32() >>> 0) / UNIT) * limit);
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** Tosses no coin for 0, so that a fault nobody asked for costs nothing. */
  chance(probability: number): boolean {
    return probability > 0 && this.int32() >>> 0 < probability * UNIT;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)];
  }

  /** A generator of its own for `name`. */
  fork(name: string): Random {
    let hash = this.#seed ^ 0x811c9dc5;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193); // FNV-1a
    return new Random(scramble(hash));
  }
}

/** Neighbouring seeds must not give similar runs: the finaliser of MurmurHash3. */
function scramble(seed: number): number {
  let h = seed | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
