// A connection's timers — RFC 9293 §3.8.1, RFC 6298, RFC 8985, RFC 1122 §4.2.3.
//
// A table of deadlines by kind over one entry of the timing wheel. Moving a deadline back or clearing it costs one store: the entry
// is armed for the earliest deadline it has heard of, and looks the table over when it comes up.
//
// Invariant: while any deadline is finite, the wheel entry is armed for no later than the earliest of them.

import type { TimerWheel } from '../time/wheel.ts';
import { Timer } from '../time/wheel.ts';

/** The sender's. */
export const RTO = 0; // retransmission, RFC 6298
export const TLP = 1; // tail loss probe, RFC 8985 §7
export const REO = 2; // reordering settled, RFC 8985 §6.2
export const PACE = 3; // the next paced transmission
export const PERSIST = 4; // zero-window probe and sender SWS override, RFC 9293 §3.8.6.1
/** The protocol machine's. */
export const DELACK = 5; // delayed acknowledgment, RFC 9293 §3.8.6.3
export const KEEPALIVE = 6; // RFC 9293 §3.8.4
export const FINWAIT2 = 7; // a released connection waits for the peer's FIN
export const TIMER_KINDS = 8;

export const TIMER_NAMES = ['rto', 'tlp', 'reo', 'pace', 'persist', 'delack', 'keepalive', 'finwait2'];

/** Whoever hears of it when a deadline has passed; its `kind` is cleared by then and may be set again. */
export interface TimerOwner {
  onTimeout(kind: number, now: number): void;
}

export class Timers extends Timer {
  readonly #wheel: TimerWheel;
  readonly #owner: TimerOwner;
  // A literal, because V8 keeps it as plain doubles: 80 bytes, where a Float64Array costs 200.
  readonly #deadlines = [Infinity, Infinity, Infinity, Infinity, Infinity, Infinity, Infinity, Infinity];

  constructor(wheel: TimerWheel, owner: TimerOwner) {
    super();
    this.#wheel = wheel;
    this.#owner = owner;
  }

  /** Have `kind` fire at `at` (µs), instead of at any earlier arrangement of that kind. */
  set(kind: number, at: number): void {
    this.#deadlines[kind] = at;
    if (at < this.deadline) this.#wheel.arm(this, at);
  }

  clear(kind: number): void {
    this.#deadlines[kind] = Infinity;
  }

  /** When `kind` fires, µs; Infinity while it is not set. */
  at(kind: number): number {
    return this.#deadlines[kind];
  }

  isSet(kind: number): boolean {
    return this.#deadlines[kind] !== Infinity;
  }

  /** Clear every kind and leave the wheel: the connection is going. */
  stop(): void {
    this.#deadlines.fill(Infinity);
    this.#wheel.remove(this);
  }

  override onTimer(now: number): void {
    const deadlines = this.#deadlines;
    // One pass: a kind that is set anew for a moment already past waits for the wheel, so a pass is bounded.
    for (let kind = 0; kind < TIMER_KINDS; kind++) {
      if (deadlines[kind] > now) continue;
      deadlines[kind] = Infinity;
      this.#owner.onTimeout(kind, now);
    }
    let earliest = Infinity;
    for (let kind = 0; kind < TIMER_KINDS; kind++) if (deadlines[kind] < earliest) earliest = deadlines[kind];
    if (earliest < this.deadline) this.#wheel.arm(this, earliest);
  }
}
