// HalfSipHash-1-3 over int32 words — Aumasson & Bernstein; the variant Linux uses for its 32-bit hash tables.
//
// Hash tables whose keys come from the network need a hash that outsiders cannot steer, or a peer chooses its ports so that every
// flow lands in one bucket. The key is random per stack.

import type { Address } from '../wire/address.ts';
import type { Entropy } from '../world.ts';

export class KeyedHash {
  readonly #k0: number;
  readonly #k1: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;
  #words = 0;

  constructor(entropy: Entropy) {
    this.#k0 = entropy.int32();
    this.#k1 = entropy.int32();
  }

  /** Hash of a few words, e.g. (source, destination, protocol). */
  of3(a: number, b: number, c: number): number {
    this.#start();
    this.#absorb(a);
    this.#absorb(b);
    this.#absorb(c);
    return this.#finish();
  }

  /** Hash of one end of the network and the other. IPv4 costs three words, anything else nine. */
  ofFlow(local: Address, localPort: number, remote: Address, remotePort: number): number {
    this.#start();
    if ((local.w2 ^ 0xffff) !== 0 || (local.w0 | local.w1) !== 0 || (remote.w2 ^ 0xffff) !== 0) {
      this.#absorb(local.w0);
      this.#absorb(local.w1);
      this.#absorb(local.w2);
      this.#absorb(remote.w0);
      this.#absorb(remote.w1);
      this.#absorb(remote.w2);
    }
    this.#absorb(local.w3);
    this.#absorb(remote.w3);
    this.#absorb((localPort << 16) | remotePort);
    return this.#finish();
  }

  #start(): void {
    this.#v0 = this.#k0;
    this.#v1 = this.#k1;
    this.#v2 = 0x6c796765 ^ this.#k0;
    this.#v3 = 0x74656462 ^ this.#k1;
    this.#words = 0;
  }

  #absorb(word: number): void {
    this.#v3 ^= word;
    this.#round();
    this.#v0 ^= word;
    this.#words++;
  }

  #finish(): number {
    this.#absorb((this.#words << 26) | 0); // the message length, as the specification pads
    this.#v2 ^= 0xff;
    this.#round();
    this.#round();
    this.#round();
    return this.#v1 ^ this.#v3;
  }

  #round(): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    v0 = (v0 + v1) | 0;
    v1 = (v1 << 5) | (v1 >>> 27);
    v1 ^= v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = (v3 << 8) | (v3 >>> 24);
    v3 ^= v2;
    v0 = (v0 + v3) | 0;
    v3 = (v3 << 7) | (v3 >>> 25);
    v3 ^= v0;
    v2 = (v2 + v1) | 0;
    v1 = (v1 << 13) | (v1 >>> 19);
    v1 ^= v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}
