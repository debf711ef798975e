// What a driver needs of time: to read it, to be woken by it, and to keep the process alive while it passes.
//
// The system clock is one; a virtual clock is another, under which a week of network goes by in a moment.

/** A timer as Node's are: it can be started anew, and given up. */
export interface ClockTimer {
  /** Start over with the same delay. */
  refresh(): unknown;
  /** Never fire. */
  close(): unknown;
}

export interface Clock {
  /** Microseconds since an arbitrary origin; never goes back. */
  now(): number;
  /** Microseconds since 1970-01-01T00:00:00Z; may be stepped. */
  wallClock(): number;
  /** Call `callback` once, `delay` milliseconds from now. The timer keeps no process alive. */
  timer(callback: () => void, delay: number): ClockTimer;
  /** Keep the process alive until as many calls of `release`. */
  hold(): void;
  release(): void;
}
