// Initial sequence numbers — RFC 9293 §3.4.1, RFC 6528: ISN = M + F(4-tuple, secret).
//
// M is a clock that ticks every 4 µs and F is SipHash-2-4 under a key nobody outside knows, so an off-path attacker cannot guess the
// next ISN of somebody else's connection, while two incarnations of one connection still get ascending numbers. Timestamp offsets
// (RFC 7323 §7.1) and SYN cookies (RFC 4987 §3.6) use the same function with a different tweak.

import type { Address } from '../wire/address.ts';
import type { Seq } from '../wire/seq.ts';
import type { Entropy } from '../world.ts';

/** Tweaks: one secret serves several independent functions. */
const TWEAK_ISN = 0;
const TWEAK_TIMESTAMP = 1;
export const TWEAK_COOKIE = 2;
export const TWEAK_COOKIE_TIME = 3;
export const TWEAK_PORT = 4;
export const TWEAK_FAST_OPEN = 5;

export class IsnGenerator {
  // The key's four words; v0..v3 of SipHash as pairs of int32 while hashing.
  readonly #k0: number;
  readonly #k1: number;
  readonly #k2: number;
  readonly #k3: number;
  #a0 = 0;
  #a1 = 0;
  #b0 = 0;
  #b1 = 0;
  #c0 = 0;
  #c1 = 0;
  #d0 = 0;
  #d1 = 0;

  constructor(entropy: Entropy) {
    this.#k0 = entropy.int32();
    this.#k1 = entropy.int32();
    this.#k2 = entropy.int32();
    this.#k3 = entropy.int32();
  }

  /** ISN for a connection that opens at `now` (µs). */
  isn(local: Address, localPort: number, remote: Address, remotePort: number, now: number): Seq {
    // RFC 9293 §3.4.1 (MUST-8, MUST-9, SHLD-1)
    return (Math.floor(now / 4) + this.hash(TWEAK_ISN, 0, local, localPort, remote, remotePort)) | 0;
  }

  /** What to add to the millisecond clock for this pair of hosts (RFC 7323 §7.1); by address, so that RFC 6191 still works. */
  timestampOffset(local: Address, remote: Address): number {
    return this.hash(TWEAK_TIMESTAMP, 0, local, 0, remote, 0);
  }

  /** SipHash-2-4 of the 4-tuple, folded to an int32. `tweak` and `extra` separate the uses. */
  hash(tweak: number, extra: number, local: Address, localPort: number, remote: Address, remotePort: number): number {
    // v0..v3 = key ^ "somepseudorandomlygeneratedbytes"
    this.#a0 = this.#k0 ^ 0x70736575;
    this.#a1 = this.#k1 ^ 0x736f6d65;
    this.#b0 = this.#k2 ^ 0x6e646f6d;
    this.#b1 = this.#k3 ^ 0x646f7261;
    this.#c0 = this.#k0 ^ 0x6e657261;
    this.#c1 = this.#k1 ^ 0x6c796765;
    this.#d0 = this.#k2 ^ 0x79746573;
    this.#d1 = this.#k3 ^ 0x74656462;
    this.#compress(local.w0, local.w1);
    this.#compress(local.w2, local.w3);
    this.#compress(remote.w0, remote.w1);
    this.#compress(remote.w2, remote.w3);
    this.#compress((localPort << 16) | remotePort, extra);
    this.#compress(tweak, 44 << 24); // the last block carries the message length in its top byte
    this.#c0 ^= 0xff;
    for (let i = 0; i < 4; i++) this.#round();
    return this.#a0 ^ this.#b0 ^ this.#c0 ^ this.#d0 ^ this.#a1 ^ this.#b1 ^ this.#c1 ^ this.#d1;
  }

  /** Absorb one 64-bit word: low half, high half. */
  #compress(low: number, high: number): void {
    this.#d0 ^= low;
    this.#d1 ^= high;
    this.#round();
    this.#round();
    this.#a0 ^= low;
    this.#a1 ^= high;
  }

  /** One SipRound; each variable is two int32 halves, `0` low and `1` high. */
  #round(): void {
    let a0 = this.#a0;
    let a1 = this.#a1;
    let b0 = this.#b0;
    let b1 = this.#b1;
    let c0 = this.#c0;
    let c1 = this.#c1;
    let d0 = this.#d0;
    let d1 = this.#d1;
    let t = 0;
    // a += b; b = rotl(b, 13) ^ a; a = rotl(a, 32)
    t = (a0 >>> 0) + (b0 >>> 0);
    a0 = t | 0;
    a1 = (a1 + b1 + (t > 0xffffffff ? 1 : 0)) | 0;
    t = (b1 << 13) | (b0 >>> 19);
    b0 = ((b0 << 13) | (b1 >>> 19)) ^ a0;
    b1 = t ^ a1;
    t = a0;
    a0 = a1;
    a1 = t;
    // c += d; d = rotl(d, 16) ^ c
    t = (c0 >>> 0) + (d0 >>> 0);
    c0 = t | 0;
    c1 = (c1 + d1 + (t > 0xffffffff ? 1 : 0)) | 0;
    t = (d1 << 16) | (d0 >>> 16);
    d0 = ((d0 << 16) | (d1 >>> 16)) ^ c0;
    d1 = t ^ c1;
    // a += d; d = rotl(d, 21) ^ a
    t = (a0 >>> 0) + (d0 >>> 0);
    a0 = t | 0;
    a1 = (a1 + d1 + (t > 0xffffffff ? 1 : 0)) | 0;
    t = (d1 << 21) | (d0 >>> 11);
    d0 = ((d0 << 21) | (d1 >>> 11)) ^ a0;
    d1 = t ^ a1;
    // c += b; b = rotl(b, 17) ^ c; c = rotl(c, 32)
    t = (c0 >>> 0) + (b0 >>> 0);
    c0 = t | 0;
    c1 = (c1 + b1 + (t > 0xffffffff ? 1 : 0)) | 0;
    t = (b1 << 17) | (b0 >>> 15);
    b0 = ((b0 << 17) | (b1 >>> 15)) ^ c0;
    b1 = t ^ c1;
    t = c0;
    c0 = c1;
    c1 = t;
    this.#a0 = a0;
    this.#a1 = a1;
    this.#b0 = b0;
    this.#b1 = b1;
    this.#c0 = c0;
    this.#c1 = c1;
    this.#d0 = d0;
    this.#d1 = d1;
  }
}
