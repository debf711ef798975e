// Slows down whoever guesses passwords: each failure doubles the wait before that address's next try, and time heals.
//
// Tries of one address that has failed are let through one per wait, so that many connections guess no faster than one.
//
// Invariant: bounded memory. The address that failed longest ago is forgotten first.

const CAPACITY = 4096;

interface Failures {
  count: number;
  last: number;
  /** No try before this. */
  until: number;
}

export interface ThrottleOptions {
  /** Milliseconds after the first failure; doubles with each, up to `longest`. 0 turns it off. */
  first?: number | undefined;
  longest?: number | undefined;
  /** Milliseconds without a failure after which one failure is forgiven. */
  forgive?: number | undefined;
  /** A clock in milliseconds. */
  now?: (() => number) | undefined;
}

export class Throttle {
  readonly #first: number;
  readonly #longest: number;
  readonly #forgive: number;
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();

  constructor(options: ThrottleOptions = {}) {
    this.#first = options.first ?? 1_000;
    this.#longest = options.longest ?? 16_000;
    this.#forgive = options.forgive ?? 60_000;
    this.#now = options.now ?? Date.now;
  }

  /** 0: go ahead, the turn is yours. Otherwise ask again after so many milliseconds. */
  enter(address: string): number {
    const failures = this.#failures.get(address);
    if (failures === undefined) return 0;
    const now = this.#now();
    const count = this.#remaining(failures, now);
    if (count <= 0) {
      this.#failures.delete(address);
      return 0;
    }
    if (failures.until > now) return failures.until - now;
    failures.until = now + this.#penalty(count);
    return 0;
  }

  /** A try has failed: how many milliseconds to let the peer wait for that news. */
  failed(address: string): number {
    const now = this.#now();
    const failures = this.#failures.get(address);
    const count = (failures ? Math.max(0, this.#remaining(failures, now)) : 0) + 1;
    const penalty = this.#penalty(count);
    this.#failures.delete(address); // and back in at the young end
    if (this.#failures.size >= CAPACITY) this.#failures.delete(this.#failures.keys().next().value as string);
    this.#failures.set(address, { count, last: now, until: now + penalty });
    return penalty;
  }

  #penalty(count: number): number {
    return Math.min(this.#longest, this.#first * 2 ** Math.min(count - 1, 30));
  }

  #remaining(failures: Failures, now: number): number {
    return failures.count - Math.floor((now - failures.last) / this.#forgive);
  }
}
