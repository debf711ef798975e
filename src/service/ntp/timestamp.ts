// NTP time — RFC 5905 §6. 64 bits: seconds since 1900-01-01 modulo 2³², and fractions of 2⁻³² s. Eras last 136 years; era 1 begins
// on 2036-02-07. Host time is nanoseconds since 1970 as a bigint.
//
// Invariant: converting back gives the instant nearest the pivot, and is exact to a nanosecond.

const SECONDS_1900_TO_1970 = 2_208_988_800n;
const NS = 1_000_000_000n;
const ERA = 1n << 32n;

export type Timestamp = bigint;

/** The timestamp of an instant, in whatever era it falls. */
export function fromUnix(ns: bigint): Timestamp {
  // Rounded to nearest, so that the way back is exact: 2⁻³² s is a quarter of a nanosecond.
  return BigInt.asUintN(64, (((ns + SECONDS_1900_TO_1970 * NS) << 32n) + NS / 2n) / NS);
}

/** The instant with this timestamp that lies within 68 years of `pivot` (RFC 5905 §6: "the era … by other means"). */
export function toUnix(timestamp: Timestamp, pivot: bigint): bigint {
  const seconds = timestamp >> 32n;
  const ns = ((timestamp & (ERA - 1n)) * NS + (1n << 31n)) >> 32n;
  const base = (seconds - SECONDS_1900_TO_1970) * NS + ns;
  const period = ERA * NS;
  const eras = divideRounding(pivot - base, period);
  return base + eras * period;
}

function divideRounding(a: bigint, b: bigint): bigint {
  const half = b / 2n;
  const shifted = a + half;
  const quotient = shifted / b;
  return shifted % b < 0n ? quotient - 1n : quotient;
}

/** The short format: 16.16 seconds, for root delay and dispersion. Rounded up: an error bound is not to shrink. */
export function toShort(seconds: number): number {
  return Math.min(0xffff_ffff, Math.ceil(Math.max(0, seconds) * 65536));
}

export const fromShort = (short: number): number => short / 65536;
