// Who has something to do: filled during a batch, emptied at its end, every time anew.
//
// `array.length = 0` gives the array's storage back, and the next push takes new: 165 bytes for every packet of a busy connection
// (bench/core.ts allocation). This keeps the storage, and forgets the entries as they are taken, so that nothing is kept alive by it.
//
// Invariant: entries [0, count) that have not been taken are in the order they were pushed.

/** Storage for more than this is given back: one large batch should not weigh forever. */
const KEPT = 4096;

export class Worklist<T> {
  count = 0;
  #entries: (T | null)[] = [];

  push(entry: T): void {
    this.#entries[this.count++] = entry;
  }

  /** Entry `i`, which is forgotten; null when it was taken before. */
  take(i: number): T | null {
    const entry = this.#entries[i];
    this.#entries[i] = null;
    return entry;
  }

  /** Start over; whatever was not taken is dropped. */
  clear(): void {
    if (this.#entries.length > KEPT) this.#entries = [];
    else for (let i = 0; i < this.count; i++) this.#entries[i] = null;
    this.count = 0;
  }
}
