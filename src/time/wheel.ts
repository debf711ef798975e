// Hierarchical timing wheel: five levels of 64 slots, ticks of 128 µs.
//
// A timer is an intrusive node, so arming allocates nothing. Re-arming is lazy: a timer moved to a later deadline stays in its slot,
// and is put where it belongs when that slot comes up. An RTO that every ACK pushes back therefore costs one store.
//
// A timer's level is the highest base-64 digit in which its tick differs from the current one, so everything on a lower level is due
// before anything on a higher one, and the first occupied slot of the lowest occupied level holds the earliest timer.
//
// Invariant: every queued timer's `queuedAt` is at most its `deadline`; bit s of `occupied[level]` says whether slot s has a timer.

const TICK = 128; // µs
const BITS = 6;
const SLOTS = 1 << BITS;
const LEVELS = 5;
const REBASE = 1 << 29; // ticks after which the origin moves up, so that ticks stay int32 (19 hours)
const MAX_TICKS = (1 << 30) - 1;

export abstract class Timer {
  /** When to fire, µs; Infinity while disarmed. */
  deadline = Infinity;
  /** Owned by the wheel. */
  queuedAt = Infinity;
  tick = 0;
  slot = -1;
  next: Timer | null = null;
  previous: Timer | null = null;

  /** Called once per arming, at or after `deadline`. May arm again. */
  abstract onTimer(now: number): void;
}

export class TimerWheel {
  /** Timers in slots, the disarmed that still wait to be dropped included. */
  queued = 0;
  #origin: number;
  #current = 0; // ticks since #origin, all slots before it are empty
  readonly #slots: (Timer | null)[] = new Array<Timer | null>(LEVELS * SLOTS).fill(null);
  readonly #occupied = new Int32Array(LEVELS * 2);

  constructor(now: number) {
    this.#origin = now;
  }

  /** Have `timer` fire at `deadline` (µs), instead of at any earlier arrangement. Infinity disarms. */
  arm(timer: Timer, deadline: number): void {
    timer.deadline = deadline;
    if (timer.slot >= 0) {
      if (timer.queuedAt <= deadline) return;
      this.#unlink(timer);
    }
    if (deadline !== Infinity) this.#insert(timer);
  }

  /** Disarm. The node stays in its slot until that comes up; use `remove` for a timer that is being destroyed. */
  cancel(timer: Timer): void {
    timer.deadline = Infinity;
  }

  /** Disarm and forget at once. */
  remove(timer: Timer): void {
    timer.deadline = Infinity;
    if (timer.slot >= 0) this.#unlink(timer);
  }

  /** Earliest time, µs, at which `advance` may have work; Infinity when nothing is queued. */
  nextDeadline(): number {
    for (let level = 0; level < LEVELS; level++) {
      const slot = this.#firstOccupied(level);
      if (slot < 0) continue;
      let earliest = Infinity;
      for (let t = this.#slots[level * SLOTS + slot]; t !== null; t = t.next) {
        if (t.queuedAt < earliest) earliest = t.queuedAt;
      }
      return earliest;
    }
    return Infinity;
  }

  /** Fire every timer due at `now`, in order of slot. */
  advance(now: number): void {
    const target = Math.min(Math.floor((now - this.#origin) / TICK), MAX_TICKS);
    if (target < this.#current) return;
    for (;;) {
      let level = 0;
      let slot = -1;
      for (; level < LEVELS; level++) {
        slot = this.#firstOccupied(level);
        if (slot >= 0) break;
      }
      if (slot < 0) break;
      const shift = level * BITS;
      // The slot's first tick: the current tick's digits above `level`, then `slot`, then zeros.
      const start = ((this.#current >> (shift + BITS)) << (shift + BITS)) | (slot << shift);
      if (start > target) break;
      if (start > this.#current) this.#current = start;
      if (!this.#runSlot(level * SLOTS + slot, level, slot, now)) break;
    }
    this.#current = target;
    if (target > REBASE) this.#rebase(now);
  }

  /** Empty one slot. False when all that is left in it is due later within the same tick. */
  #runSlot(index: number, level: number, slot: number, now: number): boolean {
    let list = this.#slots[index];
    this.#slots[index] = null;
    this.#occupied[level * 2 + (slot >> 5)] &= ~(1 << (slot & 31));
    let progress = false;
    const due: Timer[] = [];
    while (list !== null) {
      const timer = list;
      list = timer.next;
      timer.slot = -1;
      timer.next = null;
      timer.previous = null;
      this.queued--;
      if (timer.deadline <= now) due.push(timer);
      else if (timer.deadline !== Infinity) this.#insert(timer);
      if (timer.slot !== index) progress = true;
    }
    if (due.length > 1) due.sort((a, b) => a.deadline - b.deadline);
    for (const timer of due) {
      // An earlier callback of this batch may have cancelled it, moved it later, or queued it again.
      if (timer.deadline > now) continue;
      if (timer.slot >= 0) this.#unlink(timer);
      timer.deadline = Infinity;
      timer.onTimer(now);
    }
    return progress;
  }

  #insert(timer: Timer): void {
    let tick = Math.floor((timer.deadline - this.#origin) / TICK);
    if (tick < this.#current) tick = this.#current;
    if (tick > MAX_TICKS) tick = MAX_TICKS;
    timer.tick = tick;
    timer.queuedAt = timer.deadline;
    const differing = tick ^ this.#current;
    const level = differing === 0 ? 0 : Math.floor((31 - Math.clz32(differing)) / BITS);
    const slot = (tick >> (level * BITS)) & (SLOTS - 1);
    const index = level * SLOTS + slot;
    const head = this.#slots[index];
    timer.slot = index;
    timer.previous = null;
    timer.next = head;
    if (head !== null) head.previous = timer;
    this.#slots[index] = timer;
    this.#occupied[level * 2 + (slot >> 5)] |= 1 << (slot & 31);
    this.queued++;
  }

  #unlink(timer: Timer): void {
    const { slot, next, previous } = timer;
    if (next !== null) next.previous = previous;
    if (previous !== null) previous.next = next;
    else {
      this.#slots[slot] = next;
      if (next === null) {
        const level = slot >> BITS;
        const s = slot & (SLOTS - 1);
        this.#occupied[level * 2 + (s >> 5)] &= ~(1 << (s & 31));
      }
    }
    timer.slot = -1;
    timer.next = null;
    timer.previous = null;
    this.queued--;
  }

  /** Lowest occupied slot of `level`, or -1. Slots behind the current digit are always empty, so lowest is earliest. */
  #firstOccupied(level: number): number {
    const low = this.#occupied[level * 2];
    if (low !== 0) return 31 - Math.clz32(low & -low);
    const high = this.#occupied[level * 2 + 1];
    return high !== 0 ? 63 - Math.clz32(high & -high) : -1;
  }

  #rebase(now: number): void {
    const all: Timer[] = [];
    for (let i = 0; i < this.#slots.length; i++) {
      for (let t = this.#slots[i]; t !== null; t = t.next) all.push(t);
      this.#slots[i] = null;
    }
    this.#occupied.fill(0);
    this.queued = 0;
    this.#origin = now;
    this.#current = 0;
    for (const timer of all) {
      timer.slot = -1;
      timer.next = null;
      timer.previous = null;
      if (timer.deadline !== Infinity) this.#insert(timer);
    }
  }
}
