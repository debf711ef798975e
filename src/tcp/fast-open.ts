// TCP Fast Open — RFC 7413: data in the SYN for those who have shown before that their address is theirs.
//
//   first   SYN, request      ──►   SYN,ACK, cookie      the client keeps the cookie by the server's address
//   later   SYN, cookie, data ──►   SYN,ACK of both      the server's user has the data one round trip earlier
//
// Invariant: the client's cache holds at most LIMIT servers; a cookie is valid for the address it was made for, on the day it was made and
// on the next.

import type { Address } from '../wire/address.ts';
import { FAST_OPEN, find } from '../wire/tcp-options.ts';
import { SECOND } from '../world.ts';
import type { IsnGenerator } from './isn.ts';
import { TWEAK_FAST_OPEN } from './isn.ts';

export const COOKIE_LENGTH = 8;
/** The option without a cookie: "give me one" (RFC 7413 §4.1.1). */
export const COOKIE_REQUEST = new Uint8Array(0);
/** RFC 7413 §4.1.2: a server changes its key now and then. Ours is the day. */
const EPOCH = 86_400 * SECOND;
const LIMIT = 1024;
/** After so many SYNs with data in a row that got no answer, somebody on the way does not like them (RFC 7413 §4.1.3.1, §7.1). */
const TOLERATED_LOSSES = 2;
const BLOCK_TIME = 60 * SECOND;
const MAX_BLOCK_DOUBLINGS = 10;

/** What a client knows of a server. */
interface Known {
  cookie: Uint8Array;
  /** The MSS the server named (RFC 7413 §4.1.3: so that the next SYN's data fits). */
  mss: number;
  losses: number;
  blockedUntil: number;
}

export class FastOpen {
  readonly #hash: IsnGenerator;
  readonly #servers = new Map<string, Known>();

  constructor(hash: IsnGenerator) {
    this.#hash = hash;
  }

  // ── Server ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The cookie for a client at `remote` that speaks to us at `local` (RFC 7413 §4.1.2). */
  cookie(local: Address, remote: Address, now: number): Uint8Array {
    return this.#make(local, remote, Math.floor(now / EPOCH));
  }

  /** Is the option at `option` the cookie of today, or of yesterday, for `remote`? */
  isValid(dv: DataView, option: number, local: Address, remote: Address, now: number): boolean {
    if (dv.getUint8(option + 1) !== 2 + COOKIE_LENGTH) return false;
    const epoch = Math.floor(now / EPOCH);
    return (
      this.#matches(dv, option + 2, local, remote, epoch) || this.#matches(dv, option + 2, local, remote, epoch - 1)
    );
  }

  #matches(dv: DataView, at: number, local: Address, remote: Address, epoch: number): boolean {
    const difference =
      (dv.getInt32(at) ^ this.#half(local, remote, 2 * epoch)) |
      (dv.getInt32(at + 4) ^ this.#half(local, remote, 2 * epoch + 1));
    return difference === 0;
  }

  #make(local: Address, remote: Address, epoch: number): Uint8Array {
    const cookie = new Uint8Array(COOKIE_LENGTH);
    const dv = new DataView(cookie.buffer);
    dv.setInt32(0, this.#half(local, remote, 2 * epoch));
    dv.setInt32(4, this.#half(local, remote, 2 * epoch + 1));
    return cookie;
  }

  #half(local: Address, remote: Address, extra: number): number {
    return this.#hash.hash(TWEAK_FAST_OPEN, extra, local, 0, remote, 0);
  }

  // ── Client ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Servers whose cookies we hold. */
  get size(): number {
    return this.#servers.size;
  }

  /** What is known of `remote`; null when a cookie has to be asked for. Its `blockedUntil` may lie ahead. */
  recall(remote: Address): Readonly<Known> | null {
    return this.#servers.get(remote.toString()) ?? null;
  }

  /** `remote` has sent a cookie (RFC 7413 §4.1.3). The one not renewed for longest makes room. */
  remember(remote: Address, cookie: Uint8Array, mss: number): void {
    const key = remote.toString();
    this.#servers.delete(key);
    if (this.#servers.size >= LIMIT) {
      const [oldest] = this.#servers.keys();
      this.#servers.delete(oldest);
    }
    this.#servers.set(key, { cookie, mss, losses: 0, blockedUntil: 0 });
  }

  /** A SYN with data to `remote` was answered. */
  succeeded(remote: Address): void {
    const known = this.#servers.get(remote.toString());
    if (known !== undefined) known.losses = 0;
  }

  /** A SYN with data to `remote` got no answer: after a few of those do without for a while, and each time for longer. */
  lost(remote: Address, now: number): void {
    const known = this.#servers.get(remote.toString());
    if (known === undefined) return;
    known.losses++;
    if (known.losses < TOLERATED_LOSSES) return;
    known.blockedUntil = now + BLOCK_TIME * 2 ** Math.min(known.losses - TOLERATED_LOSSES, MAX_BLOCK_DOUBLINGS);
  }
}

/** Offset of a well-formed fast-open option in the header at `off`, or -1. */
export function findOption(dv: DataView, off: number, end: number): number {
  const option = find(dv, off, end, FAST_OPEN);
  if (option < 0) return -1;
  const length = dv.getUint8(option + 1) - 2;
  return length === 0 || (length >= 4 && length <= 16 && (length & 1) === 0) ? option : -1;
}
