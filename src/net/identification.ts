// The IPv4 identification field — RFC 6864.
//
// Fragments of different datagrams must not be taken for pieces of one, so among datagrams with the same source, destination and protocol
// an id must not repeat while an earlier one may live (§4.2). One counter per bucket of a keyed hash does that, and outsiders who see one
// counter learn nothing of another (RFC 7739's lesson from IPv6).

import { KeyedHash } from '../mem/keyed-hash.ts';
import type { Ipv4 } from '../wire/address.ts';
import type { Entropy } from '../world.ts';

const BUCKETS = 2048;

export class Identification {
  readonly #hash: KeyedHash;
  readonly #counters = new Uint16Array(BUCKETS);
  #atomic = 0;

  constructor(entropy: Entropy) {
    this.#hash = new KeyedHash(entropy);
    for (let i = 0; i < BUCKETS; i++) this.#counters[i] = entropy.int32();
  }

  /** For a datagram that may be fragmented. */
  next(src: Ipv4, dst: Ipv4, protocol: number): number {
    const bucket = this.#hash.of3(src, dst, protocol) & (BUCKETS - 1);
    this.#counters[bucket]++;
    return this.#counters[bucket];
  }

  /** For an atomic datagram any value will do (RFC 6864 §4.1); counting helps whoever reads a capture. */
  atomic(): number {
    this.#atomic = (this.#atomic + 1) & 0xffff;
    return this.#atomic;
  }
}
