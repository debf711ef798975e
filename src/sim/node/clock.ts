// The clock Node programs see inside a simulation: it goes on only when nobody in the process has anything left to do.
//
// After user code has run, the event loop goes round a few times, until promises, ticks, immediates and streams have handed on what they
// had to; then time jumps to the next event. Events that run no user code (most frames) follow one another without such a pause.
//
// Invariant: what happens, and in which order, depends on the schedule alone, never on how long anything took. Work outside the event
// loop (files, threads, real sockets) is not seen: time may go on while it is under way.

import type { Clock, ClockTimer } from '../../driver/clock.ts';
import type { Driver } from '../../driver/event-loop.ts';
import type { Network } from '../network.ts';
import type { SimEvent } from '../schedule.ts';

/** Turns of the event loop without activity before time goes on. */
const QUIET_TURNS = 4;
/** Events between two turns of the event loop, so that a busy network starves nobody else in the process. */
const EVENTS_PER_TURN = 512;

class SimTimer implements ClockTimer {
  readonly #clock: SimClock;
  readonly #callback: () => void;
  readonly #delay: number;
  #event: SimEvent | null = null;

  constructor(clock: SimClock, callback: () => void, delay: number) {
    this.#clock = clock;
    this.#callback = callback;
    this.#delay = delay;
    this.refresh();
  }

  refresh(): this {
    this.#event?.cancel();
    this.#event = this.#clock.after(this.#delay, this.#callback);
    return this;
  }

  close(): this {
    this.#event?.cancel();
    this.#event = null;
    return this;
  }
}

/** Somebody who waits for a moment. */
interface Waiter {
  /** Asked whenever time is about to go on, and when nothing is left to happen: true when the wait is over. */
  readonly isOver: (isIdle: boolean) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class SimClock implements Clock {
  readonly #network: Network;
  readonly #drivers = new Set<Driver>();
  readonly #waiters = new Set<Waiter>();
  #holds = 0;
  #own = 0;
  #seen = 0;
  #quiet = 0;
  #isClosed = false;
  #turn: NodeJS.Immediate | null = null;

  constructor(network: Network) {
    this.#network = network;
  }

  now(): number {
    return this.#network.now;
  }

  wallClock(): number {
    return this.#network.wallClock();
  }

  timer(callback: () => void, delay: number): ClockTimer {
    return new SimTimer(this, callback, delay);
  }

  /** Call `callback` in `delay` ms; user code may be behind it. */
  after(delay: number, callback: () => void): SimEvent {
    const event = this.#network.after(delay, () => {
      this.touch();
      callback();
    });
    this.#schedule();
    return event;
  }

  hold(): void {
    this.#holds++;
    this.#schedule();
  }

  release(): void {
    this.#holds--;
    this.#schedule();
  }

  /** User code runs: let it finish. */
  touch(): void {
    this.#own++;
  }

  drive(driver: Driver): void {
    this.#drivers.add(driver);
    this.#schedule();
  }

  forget(driver: Driver): void {
    this.#drivers.delete(driver);
  }

  /** Until `isOver`. */
  wait(isOver: (isIdle: boolean) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.add({ isOver, resolve, reject });
      this.touch();
      this.#schedule();
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#turn = null;
    for (const { reject } of this.#waiters) reject(new Error('the simulation has been closed'));
    this.#waiters.clear();
  }

  /** The process lives as long as somebody waits for time to pass. */
  #schedule(): void {
    if (this.#isClosed) return;
    if (this.#turn === null) this.#turn = setImmediate(() => this.#go());
    if (this.#holds > 0 || this.#waiters.size > 0) this.#turn.ref();
    else this.#turn.unref();
  }

  get #activity(): number {
    let sum = this.#own;
    for (const driver of this.#drivers) sum += driver.activity;
    return sum;
  }

  get #isBusy(): boolean {
    for (const driver of this.#drivers) if (driver.isBusy) return true;
    return false;
  }

  #go(): void {
    this.#turn = null;
    const activity = this.#activity;
    if (activity !== this.#seen || this.#isBusy) {
      this.#seen = activity;
      this.#quiet = 0;
    }
    let isIdle = false;
    if (this.#quiet++ >= QUIET_TURNS) {
      try {
        isIdle = !this.#advance();
      } finally {
        if (!isIdle) this.#schedule();
      }
    }
    // With nothing left to happen there is nothing to come back for, until somebody does something.
    if (!isIdle) this.#schedule();
  }

  /** Let events happen until user code has run. False when there are none, and nobody is waiting. */
  #advance(): boolean {
    const network = this.#network;
    const before = this.#activity;
    for (let n = 0; n < EVENTS_PER_TURN; n++) {
      if (this.#askWaiters(network.schedule.next() === Infinity)) return true;
      if (network.schedule.next() === Infinity) return false;
      network.step();
      if (this.#activity !== before || this.#isBusy) return true;
    }
    return true;
  }

  #askWaiters(isIdle: boolean): boolean {
    let any = false;
    for (const waiter of [...this.#waiters]) {
      let isOver = false;
      try {
        isOver = waiter.isOver(isIdle);
      } catch (error) {
        this.#waiters.delete(waiter);
        waiter.reject(error instanceof Error ? error : new Error(String(error)));
        any = true;
        continue;
      }
      if (!isOver) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
      any = true;
    }
    if (any) this.touch();
    return any;
  }
}
