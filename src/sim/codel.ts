// CoDel, controlled delay — RFC 8289 §5, as a judge: for each frame at the head of the queue it says whether to drop it.
//
// RFC 8289 §5.5 writes the control loop as one dequeue routine with a loop inside. Here the loop is the caller's: it asks again for each
// next frame, and the state below says where in the routine it is.
//
// Invariant: while `dropping`, `count` > 0 and the k-th drop of the state comes interval / sqrt(k) after the one before.

const MTU = 1514; // RFC 8289 §5.1: a queue of less than one full frame is never bad

export class CoDel {
  readonly target: number;
  readonly interval: number;
  dropping = false;
  count = 0;
  #lastCount = 0;
  #firstAbove = 0;
  #dropNext = 0;

  /** Both µs. */
  constructor(target: number, interval: number) {
    this.target = target;
    this.interval = interval;
  }

  /** The queue has run empty. */
  empty(): void {
    this.#firstAbove = 0;
    this.dropping = false;
  }

  /** Judge a frame that has waited for `sojourn` µs, with `backlog` bytes behind it. */
  drops(sojourn: number, backlog: number, now: number): boolean {
    const isBad = this.#isAboveForLong(sojourn, backlog, now);
    if (this.dropping) {
      if (!isBad) {
        this.dropping = false;
        return false;
      }
      if (now < this.#dropNext) return false;
      this.count++;
      this.#dropNext = this.#controlLaw(this.#dropNext);
      return true;
    }
    if (!isBad) return false;
    this.dropping = true;
    // RFC 8289 §5.5: a drop state entered soon after the last one resumes near the rate that controlled the queue then.
    const delta = this.count - this.#lastCount;
    this.count = delta > 1 && now - this.#dropNext < 16 * this.interval ? delta : 1;
    this.#dropNext = this.#controlLaw(now);
    this.#lastCount = this.count;
    return true;
  }

  /** RFC 8289 §5.6: the delay has been above target for a whole interval. */
  #isAboveForLong(sojourn: number, backlog: number, now: number): boolean {
    if (sojourn < this.target || backlog <= MTU) {
      this.#firstAbove = 0;
      return false;
    }
    if (this.#firstAbove === 0) {
      this.#firstAbove = now + this.interval;
      return false;
    }
    return now >= this.#firstAbove;
  }

  #controlLaw(from: number): number {
    return from + this.interval / Math.sqrt(this.count);
  }
}
