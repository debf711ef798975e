// What routers have told about path MTUs — RFC 1191.
//
// Reports come here only after their transport has checked that the quoted packet is one of its own (RFC 5927 §7.2).
//
// Invariant: no entry is below MIN_PMTU, and none outlives AGE.

import type { Address } from '../wire/address.ts';

// RFC 1191 §3 has 68; below 552 nothing honest is left (Linux's min_pmtu), and tiny ones are an attack on our throughput.
export const MIN_PMTU = 552;
const AGE = 600_000_000; // RFC 1191 §6.3: 10 minutes
const LIMIT = 1024;
/** RFC 1191 §7.1 */
const PLATEAUS = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 552];

/** The MTU to try when a router says that `length` bytes were too many but not how many fit (RFC 1191 §5). */
export const plateauBelow = (length: number): number => PLATEAUS.find((plateau) => plateau < length) ?? MIN_PMTU;

interface Entry {
  mtu: number;
  expires: number;
}

export class Pmtu {
  /** Changes whenever a path may have another MTU than before. */
  generation = 0;
  readonly #entries = new Map<number, Entry>();
  #nextExpiry = Infinity;

  /** Largest packet known to reach `remote`; 65535 when nothing is known. */
  get(remote: Address): number {
    return this.#entries.get(remote.w3)?.mtu ?? 65535;
  }

  /** A router reported `mtu` on the way to `remote`. True when that is news: it never raises what is known (RFC 1191 §3). */
  update(remote: Address, mtu: number, now: number): boolean {
    const lowered = Math.max(mtu, MIN_PMTU);
    const known = this.#entries.get(remote.w3);
    if (known !== undefined && known.mtu <= lowered) return false;
    if (known === undefined && this.#entries.size >= LIMIT) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
    this.#entries.set(remote.w3, { mtu: lowered, expires: now + AGE });
    this.#nextExpiry = Math.min(this.#nextExpiry, now + AGE);
    this.generation++;
    return true;
  }

  /** Forget what is too old, so that a larger MTU is tried again (RFC 1191 §6.3). */
  expire(now: number): void {
    if (now < this.#nextExpiry) return;
    this.#nextExpiry = Infinity;
    for (const [remote, entry] of this.#entries) {
      if (entry.expires <= now) this.#entries.delete(remote);
      else this.#nextExpiry = Math.min(this.#nextExpiry, entry.expires);
    }
    this.generation++;
  }

  /** When `expire` may have work, µs. */
  get nextExpiry(): number {
    return this.#nextExpiry;
  }
}
