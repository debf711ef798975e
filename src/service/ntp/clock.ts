// The clock an NTP server serves: what it says, how finely, and what is known about how far it may be off.

import { clockState as hostClockState } from '../../link/host.ts';
import { native } from '../../link/native.ts';
import {
  LEAP_DELETE,
  LEAP_INSERT,
  LEAP_NONE,
  LEAP_UNSYNCHRONISED,
  parseReferenceId,
  STRATUM_UNSYNCHRONISED,
} from './packet.ts';

/** Nanoseconds since 1970. */
export type WallClock = () => bigint;

/** What the kernel tells about the discipline of its clock (adjtimex(2)), as far as it matters here. */
export interface ClockState {
  readonly synchronized: boolean;
  /** TIME_INS is 1, TIME_DEL is 2: a leap second at the end of this day. */
  readonly state: number;
  /** Seconds; contains half the round trip to the source, and all dispersion. */
  readonly maxError: number;
}

/** The header fields that describe the clock. */
export interface SystemVariables {
  leap: number;
  stratum: number;
  /** Seconds. */
  rootDelay: number;
  rootDispersion: number;
  referenceId: number;
}

export interface ClockOptions {
  /** The state of the clock; by default the kernel's. */
  clock?: (() => ClockState) | undefined;
  /** The stratum to claim, whatever the kernel says: then the clock counts as synchronised. */
  stratum?: number | undefined;
  /** The stratum to claim while the kernel says that nobody keeps its clock; by default that is told as it is. */
  unsynchronisedStratum?: number | undefined;
  /** Four ASCII characters or an IPv4 address. */
  refid?: string | undefined;
  rootDelay?: number | undefined;
  rootDispersion?: number | undefined;
  leap?: number | undefined;
}

/**
 * The kernel knows whether its clock is kept and how far off it may be, but not through how many servers its time came. A stratum
 * too high costs us clients, one too low makes others believe more than is true: so it is high unless configured.
 */
export const DEFAULT_STRATUM = 10;
const LOCAL_CLOCK = '127.127.1.1'; // what ntpd and chronyd put for "this host's own clock"
const LOCAL_DISPERSION = 0.01;

export function systemVariables(options: ClockOptions, state: ClockState | null): SystemVariables {
  const claimed = options.stratum ?? (state?.synchronized ? DEFAULT_STRATUM : options.unsynchronisedStratum);
  if (claimed === undefined) {
    // RFC 5905 §7.3: leap 3 and stratum 16 say "do not set your clock by me".
    return {
      leap: LEAP_UNSYNCHRONISED,
      stratum: STRATUM_UNSYNCHRONISED,
      rootDelay: 0,
      rootDispersion: Math.min(state?.maxError ?? 16, 16),
      referenceId: parseReferenceId('INIT'),
    };
  }
  const kernelLeap = state?.state === 1 ? LEAP_INSERT : state?.state === 2 ? LEAP_DELETE : LEAP_NONE;
  const kept = state?.synchronized ? state.maxError : LOCAL_DISPERSION;
  return {
    leap: options.leap ?? kernelLeap,
    stratum: claimed,
    rootDelay: options.rootDelay ?? 0,
    rootDispersion: options.rootDispersion ?? kept,
    referenceId: parseReferenceId(options.refid ?? (claimed === 1 ? 'LOCL' : LOCAL_CLOCK)),
  };
}

export function checkClockOptions(options: ClockOptions, where: string): void {
  const { leap, refid } = options;
  for (const stratum of [options.stratum, options.unsynchronisedStratum]) {
    if (stratum !== undefined && !(Number.isInteger(stratum) && stratum >= 1 && stratum <= 15)) {
      throw new RangeError(`${where}: a stratum is a whole number from 1 to 15, not ${stratum}`);
    }
  }
  if (leap !== undefined && !(Number.isInteger(leap) && leap >= 0 && leap <= 3)) {
    throw new RangeError(`${where}: leap is 0, 1, 2 or 3, not ${leap}`);
  }
  if (refid !== undefined) parseReferenceId(refid);
}

/** The host's clock state through the addon; null when the addon is not there. */
export function kernelState(): ClockState | null {
  return addonBuilt() ? hostClockState() : null;
}

/** The host's clock: by the addon to the nanosecond, else derived from what JavaScript has. */
export function hostClock(): WallClock {
  if (!addonBuilt()) return derivedClock();
  const addon = native();
  return () => addon.realtime();
}

let built: boolean | undefined;
function addonBuilt(): boolean {
  if (built !== undefined) return built;
  try {
    native();
    built = true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_TAPSTACK_NOT_BUILT') throw error;
    built = false;
  }
  return built;
}

const MS = 1_000_000n;

/**
 * Date.now() has whole milliseconds, process.hrtime nanoseconds but no date. Watching Date.now() step gives the offset between
 * them; both run at the same disciplined rate. When they disagree the clock has been set, and the offset is taken again.
 */
export function derivedClock(
  date: () => number = Date.now,
  monotonic: () => bigint = () => process.hrtime.bigint(),
): WallClock {
  let offset = calibrate(date, monotonic);
  return () => {
    const now = monotonic() + offset;
    const away = now - BigInt(date()) * MS; // in [0, 1 ms) when all is well
    if (away > -MS && away < 2n * MS) return now;
    offset = calibrate(date, monotonic);
    return monotonic() + offset;
  };
}

function calibrate(date: () => number, monotonic: () => bigint): bigint {
  let best: bigint | null = null;
  for (let edge = 0; edge < 3; edge++) {
    const start = date();
    let now = start;
    for (let spins = 0; now === start && spins < 1_000_000; spins++) now = date();
    // An edge is never seen early, only late: the largest offset is the truest.
    const offset = BigInt(now) * MS - monotonic();
    if (best === null || offset > best) best = offset;
  }
  return best as bigint;
}

/** RFC 5905 §7.3: log2 of the time it takes to read the clock, or of its step, whichever is longer. */
export function measurePrecision(now: WallClock): number {
  let least = 1_000_000_000n;
  let last = now();
  for (let reading = 0, steps = 0; steps < 100 && reading < 100_000; reading++) {
    const next = now();
    const step = next - last;
    if (step > 0n) {
      steps++;
      if (step < least) least = step;
    }
    if (reading > 1000 && steps > 0) break; // a coarse clock: one step tells
    last = next;
  }
  return Math.max(-32, Math.ceil(Math.log2(Number(least) / 1e9)));
}

const LONGEST_WAIT = 10_000_000_000n; // ns

/** When a frame was read, if the network says so and it makes sense; else `now`. */
export function arrival(receivedAt: bigint | number | undefined, now: bigint): bigint {
  if (receivedAt === undefined) return now;
  const at = typeof receivedAt === 'bigint' ? receivedAt : BigInt(Math.round(receivedAt * 1e6));
  const waited = now - at;
  return waited >= 0n && waited < LONGEST_WAIT ? at : now; // otherwise the clock was set meanwhile
}
