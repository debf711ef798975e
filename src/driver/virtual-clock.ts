// Time that passes only when nothing is left to do: for simulations and tests.
//
// Stacks that share one virtual clock run in one process; whenever the event loop has gone round without anybody asking for the time,
// the clock jumps to the next timer. Timers that are due together fire in the order they were set, so a run repeats itself.
//
// It cannot see work that happens outside the event loop (files, threads): time may jump while that is under way.

import type { Clock, ClockTimer } from './clock.ts';

// Rounds of the event loop without activity before time jumps: promises and streams need a few to hand work on.
const QUIET_ROUNDS = 4;

class VirtualTimer implements ClockTimer {
  readonly clock: VirtualClock;
  readonly callback: () => void;
  readonly delay: number;
  at: number;
  order: number;

  constructor(clock: VirtualClock, callback: () => void, delay: number) {
    this.clock = clock;
    this.callback = callback;
    this.delay = delay;
    this.at = Infinity;
    this.order = 0;
  }

  refresh(): this {
    this.clock.start(this);
    return this;
  }

  close(): this {
    this.clock.stop(this);
    return this;
  }
}

export class VirtualClock implements Clock {
  readonly #epoch: number;
  readonly #timers = new Set<VirtualTimer>();
  #now = 0;
  #order = 0;
  #holds = 0;
  #active = false;
  #quiet = 0;
  #round: NodeJS.Immediate | null = null;

  /** @param epoch wall-clock time at the start, µs since 1970 */
  constructor(epoch = 1_700_000_000_000_000) {
    this.#epoch = epoch;
  }

  now(): number {
    this.#active = true;
    return this.#now;
  }

  wallClock(): number {
    return this.#epoch + this.#now;
  }

  timer(callback: () => void, delay: number): ClockTimer {
    return new VirtualTimer(this, callback, delay).refresh();
  }

  start(timer: VirtualTimer): void {
    timer.at = this.#now + timer.delay * 1000;
    timer.order = this.#order++;
    this.#timers.add(timer);
    this.#schedule();
  }

  stop(timer: VirtualTimer): void {
    this.#timers.delete(timer);
  }

  hold(): void {
    this.#holds++;
    this.#round?.ref();
    this.#schedule();
  }

  release(): void {
    if (--this.#holds === 0) this.#round?.unref();
  }

  #schedule(): void {
    if (this.#round !== null || this.#timers.size === 0) return;
    this.#round = setImmediate(() => this.#turn());
    if (this.#holds === 0) this.#round.unref();
  }

  #turn(): void {
    this.#round = null;
    if (this.#active) this.#quiet = 0;
    this.#active = false;
    if (++this.#quiet > QUIET_ROUNDS) {
      this.#quiet = 0;
      this.#jump();
    }
    this.#schedule();
  }

  #jump(): void {
    let next: VirtualTimer | null = null;
    for (const timer of this.#timers) {
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer;
    }
    if (next === null) return;
    this.#timers.delete(next);
    if (next.at > this.#now) this.#now = next.at;
    next.callback();
  }
}
