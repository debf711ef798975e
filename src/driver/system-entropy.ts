// Unpredictable bits from the operating system, fetched a pool at a time because one call costs more than a thousand words.

import { randomFillSync } from 'node:crypto';
import type { Entropy } from '../world.ts';

export class SystemEntropy implements Entropy {
  readonly #pool = new Int32Array(1024);
  #left = 0;

  int32(): number {
    if (this.#left === 0) {
      randomFillSync(this.#pool);
      this.#left = this.#pool.length;
    }
    const value = this.#pool[--this.#left];
    // What has been handed out must not be found in memory later.
    this.#pool[this.#left] = 0;
    return value;
  }

  fill(target: Uint8Array): void {
    randomFillSync(target);
  }
}
