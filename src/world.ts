// What the core knows of the world outside: the time and a source of randomness, both handed in.

/** Source of unpredictable (or, in a simulation, seeded) bits. */
export interface Entropy {
  /** A uniformly distributed int32. */
  int32(): number;
  /** Fill `target` with random bytes. */
  fill(target: Uint8Array): void;
}

export interface World {
  /**
   * Microseconds since an arbitrary origin, monotonic. The driver sets it once per batch, so that every frame of the batch
   * was "received now" and RTT samples, RACK and timers agree.
   */
  now: number;
  /** Microseconds since 1970-01-01T00:00:00Z at `now`, for ICMP timestamps and captures. Not monotonic. */
  wallClock(): number;
  readonly entropy: Entropy;
}

export const MILLISECOND = 1_000;
export const SECOND = 1_000_000;
