// What the two SYNs agree on — RFC 9293 §3.7.1 (MSS), RFC 7323 §2–3 (window scale, timestamps), RFC 2018 §2 (SACK-permitted).
//
// Invariant: an option is in use only when both sides sent it; a scale applies only when both offered one (RFC 7323 §2.2).

import type { Path } from '../net/path.ts';
import type { OptionFields } from '../wire/tcp-options.ts';
import { MAX_WINDOW_SCALE } from '../wire/tcp-options.ts';

/** RFC 9293 §3.7.1: what a peer that names no MSS takes (MUST-15). */
export const DEFAULT_MSS = 536;
const DEFAULT_MSS_V6 = 1220;
// A peer may name any MSS, and one of 1 would make us send 41 bytes for each of its own. 48 is Linux's floor.
const MIN_MSS = 48;
const IPV4_HEADERS = 40;
const IPV6_HEADERS = 60;
/** The timestamps option with its padding, on every segment once agreed. */
export const TIMESTAMPS_LENGTH = 12;

/** What we are willing to use. */
export interface Offer {
  readonly windowScaling: boolean;
  readonly sack: boolean;
  readonly timestamps: boolean;
  /** Upper bound for both directions' MSS, 0 for none (TCP_MAXSEG). */
  readonly maxSegment: number;
}

/** What came out of it. */
export class Agreement {
  /** The peer's MSS option, or the default. */
  peerMss = DEFAULT_MSS;
  /** Snd.Wind.Shift: how the windows we receive are scaled; 0 without agreement. */
  sndShift = 0;
  /** Rcv.Wind.Shift: how the windows we send are scaled; 0 without agreement. */
  rcvShift = 0;
  windowScaling = false;
  sackPermitted = false;
  timestamps = false;
  /** RFC 3168 §6.1.1; set by whoever sees the flags. */
  ecn = false;

  /** Combine the peer's SYN options with our `offer`; `shift` is the scale we would use. */
  settle(options: OptionFields, offer: Offer, shift: number, isV4: boolean): this {
    this.peerMss = options.mss > 0 ? Math.max(options.mss, MIN_MSS) : isV4 ? DEFAULT_MSS : DEFAULT_MSS_V6;
    this.windowScaling = offer.windowScaling && options.windowScale >= 0;
    // RFC 7323 §2.2: our own scale is void unless the peer offered one too.
    this.sndShift = this.windowScaling ? options.windowScale : 0;
    this.rcvShift = this.windowScaling ? shift : 0;
    this.sackPermitted = offer.sack && options.sackPermitted;
    this.timestamps = offer.timestamps && options.hasTimestamp;
    this.ecn = false;
    return this;
  }
}

/** The scale that lets a 16-bit field describe `maxBuffer` bytes (RFC 7323 §2.3: at most 14). */
export function windowShift(maxBuffer: number): number {
  let shift = 0;
  while (shift < MAX_WINDOW_SCALE && 0xffff * 2 ** shift < maxBuffer) shift++;
  return shift;
}

const headersOf = (path: Path): number => (path.remote.isV4 ? IPV4_HEADERS : IPV6_HEADERS);

/** The MSS option we send: what the interface carries, whatever the path does (RFC 9293 §3.7.1, SHLD-6, MUST-67, RFC 6691). */
export function offeredMss(path: Path, maxSegment: number): number {
  const mss = Math.min(0xffff, path.nic.mtu - headersOf(path));
  return maxSegment > 0 ? Math.min(mss, maxSegment) : mss;
}

/** Payload bytes we may put in one segment: Eff.snd.MSS less the options every segment carries (RFC 9293 §3.7.1, MUST-16). Segments are filled up to it (SHLD-28). */
export function effectiveMss(peerMss: number, path: Path, timestamps: boolean, maxSegment: number): number {
  let mss = Math.min(peerMss, path.mtu - headersOf(path));
  if (maxSegment > 0) mss = Math.min(mss, maxSegment);
  return Math.max(mss - (timestamps ? TIMESTAMPS_LENGTH : 0), 1);
}
