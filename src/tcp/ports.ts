// Ephemeral ports — RFC 6056 §3.3.4 (double-hash port selection).
//
// Connections to one destination get ascending ports from a place only we can compute, so ports are not reused soon and an outsider
// cannot guess the next one, nor count our connections to others.

import type { Address } from '../wire/address.ts';
import type { Entropy } from '../world.ts';
import type { IsnGenerator } from './isn.ts';
import { TWEAK_PORT } from './isn.ts';

/** RFC 6335 §6: the dynamic range. Linux uses 32768–60999. */
export const FIRST_PORT = 49152;
export const LAST_PORT = 65535;

const COUNTERS = 256;

export class EphemeralPorts {
  readonly first: number;
  readonly last: number;
  readonly #hash: IsnGenerator;
  readonly #entropy: Entropy;
  readonly #counters = new Int32Array(COUNTERS);

  /** @throws RangeError when [first, last] is not a range of ports */
  constructor(first: number, last: number, hash: IsnGenerator, entropy: Entropy) {
    if (!(Number.isInteger(first) && Number.isInteger(last) && first >= 1 && last <= 65535 && first <= last))
      throw new RangeError(
        `ephemeral port range ${first}-${last}: give two ports from 1 to 65535, the lower one first`,
      );
    this.first = first;
    this.last = last;
    this.#hash = hash;
    this.#entropy = entropy;
    for (let i = 0; i < COUNTERS; i++) this.#counters[i] = entropy.int32();
  }

  /** A port for a connection to `remote`, for which `isFree` holds; 0 when there is none. */
  choose(local: Address, remote: Address, remotePort: number, isFree: (port: number) => boolean): number {
    const offset = this.#hash.hash(TWEAK_PORT, 0, local, 0, remote, remotePort);
    const counter = this.#hash.hash(TWEAK_PORT, 1, local, 0, remote, remotePort) & (COUNTERS - 1);
    const count = this.last - this.first + 1;
    for (let i = 0; i < count; i++) {
      const port = this.first + (((offset + this.#counters[counter]) >>> 0) % count);
      this.#counters[counter] = (this.#counters[counter] + 1) | 0;
      if (isFree(port)) return port;
    }
    return 0;
  }

  /** A port to listen on, for which `isFree` holds; 0 when there is none. */
  chooseAny(isFree: (port: number) => boolean): number {
    const count = this.last - this.first + 1;
    const start = (this.#entropy.int32() >>> 0) % count;
    for (let i = 0; i < count; i++) {
      const port = this.first + ((start + i) % count);
      if (isFree(port)) return port;
    }
    return 0;
  }
}
