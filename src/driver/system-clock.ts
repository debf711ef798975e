// The clock of the machine: monotonic microseconds from the performance timer, wall-clock time that follows the host's steps.

import type { Clock, ClockTimer } from './clock.ts';

// A timer that holds the event loop is never meant to fire: as far away as Node allows, and repeated.
const FOREVER = 0x7fffffff;

export class SystemClock implements Clock {
  #wallOffset = performance.timeOrigin * 1000;
  #holds = 0;
  #anchor: NodeJS.Timeout | null = null;

  now(): number {
    return Math.floor(performance.now() * 1000);
  }

  /**
   * `Date.now()` follows the host's clock but counts milliseconds; the performance timer counts finer but never follows.
   * Each reading narrows the offset between the two, so the result is as fine as the one and as true as the other.
   */
  wallClock(): number {
    const now = this.now();
    const least = Date.now() * 1000;
    const reading = now + this.#wallOffset;
    if (reading < least) this.#wallOffset = least - now;
    else if (reading >= least + 1000) this.#wallOffset = least + 999 - now;
    return Math.floor(now + this.#wallOffset);
  }

  timer(callback: () => void, delay: number): ClockTimer {
    // Node rounds down: a timer that fires early would only be set again.
    return setTimeout(callback, Math.ceil(delay)).unref();
  }

  hold(): void {
    if (this.#holds++ > 0) return;
    if (this.#anchor === null) this.#anchor = setInterval(() => {}, FOREVER);
    else this.#anchor.ref();
  }

  release(): void {
    if (--this.#holds === 0) this.#anchor?.unref();
  }
}
