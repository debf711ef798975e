// How often we answer strangers — RFC 5961 §7, RFC 9293 §3.10.7.1.
//
// Invariant: in any second at most `rate` + `burst` answers leave.

import type { Entropy } from '../world.ts';
import { SECOND } from '../world.ts';

/** So many per second on average, and a burst on top. */
export class TokenBucket {
  readonly #rate: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt = -Infinity;

  constructor(rate: number, burst: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
  }

  take(now: number): boolean {
    if (now > this.#filledAt) {
      const gained = ((now - this.#filledAt) * this.#rate) / SECOND;
      this.#tokens = Math.min(this.#burst, this.#tokens + gained);
      this.#filledAt = now;
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/**
 * The stack's budget for challenge ACKs. Each second has a budget of its own that nobody outside can know: with a fixed one an
 * attacker counts what is left of it on his connection to learn whether his guess hit somebody else's (CVE-2016-5696).
 */
export class ChallengeBudget {
  readonly #limit: number;
  readonly #entropy: Entropy;
  #secondEnds = -Infinity;
  #left = 0;

  constructor(limit: number, entropy: Entropy) {
    this.#limit = limit;
    this.#entropy = entropy;
  }

  take(now: number): boolean {
    if (now >= this.#secondEnds) {
      const half = Math.ceil(this.#limit / 2);
      this.#secondEnds = now + SECOND;
      this.#left = half + ((this.#entropy.int32() >>> 0) % Math.max(1, this.#limit));
    }
    if (this.#left <= 0) return false;
    this.#left--;
    return true;
  }
}
