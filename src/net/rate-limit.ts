// Token buckets for messages nobody asked for — RFC 1812 §4.3.2.8, RFC 1122 §3.2.2.
//
// One bucket for all destinations and one for each: a peer that provokes errors uses up its own allowance first. The per-destination
// buckets are a fixed table indexed by a keyed hash; a collision shares an allowance, which only errs to the quiet side.

import { KeyedHash } from '../mem/keyed-hash.ts';
import type { Ipv4 } from '../wire/address.ts';
import type { World } from '../world.ts';
import { SECOND } from '../world.ts';

const SLOTS = 256;

export interface RateLimits {
  /** Messages per second to all destinations, and how many may go at once. Default 1000 and 50, as Linux. */
  rate: number;
  burst: number;
  /** The same for one destination. Default 100 and 32: a whole traceroute's probes are answered. */
  destinationRate: number;
  destinationBurst: number;
}

export const DEFAULT_LIMITS: RateLimits = { rate: 1000, burst: 50, destinationRate: 100, destinationBurst: 32 };

export class RateLimiter {
  readonly #world: World;
  readonly #limits: RateLimits;
  readonly #hash: KeyedHash;
  #tokens: number;
  #filledAt: number;
  readonly #slotTokens: Float64Array;
  readonly #slotFilledAt: Float64Array;

  constructor(world: World, limits: Partial<RateLimits> = {}) {
    this.#world = world;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#hash = new KeyedHash(world.entropy);
    this.#tokens = this.#limits.burst;
    this.#filledAt = world.now;
    this.#slotTokens = new Float64Array(SLOTS).fill(this.#limits.destinationBurst);
    this.#slotFilledAt = new Float64Array(SLOTS).fill(world.now);
  }

  /** True, and one token less, when a message may go to `destination` now. */
  take(destination: Ipv4): boolean {
    const { now } = this.#world;
    const { rate, burst, destinationRate, destinationBurst } = this.#limits;
    const slot = this.#hash.of3(destination, 0, 0) & (SLOTS - 1);
    const sinceSlot = (now - this.#slotFilledAt[slot]) / SECOND;
    const own = Math.min(destinationBurst, this.#slotTokens[slot] + sinceSlot * destinationRate);
    const all = Math.min(burst, this.#tokens + ((now - this.#filledAt) / SECOND) * rate);
    const allowed = own >= 1 && all >= 1;
    this.#slotTokens[slot] = allowed ? own - 1 : own;
    this.#slotFilledAt[slot] = now;
    this.#tokens = allowed ? all - 1 : all;
    this.#filledAt = now;
    return allowed;
  }
}
