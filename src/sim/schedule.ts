// What will happen, in order: a binary heap of events by time, and by the order they were made in within one moment.
//
// Invariant: `now` never goes back; events of one moment happen in the order they were scheduled.

export class SimEvent {
  /** µs */
  readonly at: number;
  readonly order: number;
  action: (() => void) | null;

  constructor(at: number, order: number, action: () => void) {
    this.at = at;
    this.order = order;
    this.action = action;
  }

  /** Let it not happen. */
  cancel(): void {
    this.action = null;
  }
}

const isBefore = (a: SimEvent, b: SimEvent): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class Schedule {
  /** Simulated time, µs. */
  now: number;
  readonly #heap: SimEvent[] = [];
  #order = 0;

  constructor(start: number) {
    this.now = start;
  }

  /** Have `action` called at `at` µs, or now when that is past. */
  add(at: number, action: () => void): SimEvent {
    const event = new SimEvent(Math.max(Math.ceil(at), this.now), this.#order++, action);
    const heap = this.#heap;
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(heap[parent], event)) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = event;
    return event;
  }

  /** When the next event happens, µs; Infinity for never. */
  next(): number {
    while (this.#heap.length > 0 && this.#heap[0].action === null) this.#pop();
    return this.#heap.length > 0 ? this.#heap[0].at : Infinity;
  }

  /** Let the next event happen, and time with it. False when there is none. */
  fire(): boolean {
    if (this.next() === Infinity) return false;
    const event = this.#pop();
    this.now = event.at;
    const { action } = event;
    event.action = null;
    action?.();
    return true;
  }

  /** Time passes without an event, up to `at`. */
  pass(at: number): void {
    if (at > this.now) this.now = at;
  }

  clear(): void {
    this.#heap.length = 0;
  }

  #pop(): SimEvent {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop() as SimEvent;
    if (heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return top;
  }
}
