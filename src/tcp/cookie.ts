// SYN cookies — RFC 4987 §3.6: when the SYN queue is full, the ISN itself remembers the SYN.
//
//   ISN = F(tuple) + client ISN + (minute << 24) + ((G(tuple, minute) + MSS index) mod 2^24)
//
// Where the client sent timestamps, the low six bits of our TSval carry its window scale, SACK-permitted and ECN, and come back in its ACK;
// without timestamps there is no room for them and the connection does without.
//
// Invariant: `open` accepts only what `bake` made for the same tuple and client ISN within the last two minutes.

import type { Address } from '../wire/address.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd } from '../wire/seq.ts';
import type { OptionFields } from '../wire/tcp-options.ts';
import { SECOND } from '../world.ts';
import type { Agreement } from './handshake.ts';
import type { IsnGenerator } from './isn.ts';
import { TWEAK_COOKIE, TWEAK_COOKIE_TIME } from './isn.ts';

const PERIOD = 64 * SECOND;
const PERIODS = 2;
const DATA_MASK = 0xffffff;
const OPTION_BITS = 6;
const OPTION_MASK = (1 << OPTION_BITS) - 1;
const NO_SCALE = 15;
const SACK_BIT = 16;
const ECN_BIT = 32;

/** MSS values a cookie can name: the common ones, ascending. */
const MSS_TABLE = [48, 216, 536, 1220, 1300, 1440, 1460, 8960];

const minuteOf = (now: number): number => Math.floor(now / PERIOD);

/** The ISN for a SYN,ACK that leaves nothing behind. */
export function bake(
  hash: IsnGenerator,
  local: Address,
  localPort: number,
  remote: Address,
  remotePort: number,
  irs: Seq,
  mss: number,
  now: number,
): Seq {
  const minute = minuteOf(now);
  let index = 0;
  while (index + 1 < MSS_TABLE.length && MSS_TABLE[index + 1] <= mss) index++;
  const stamp = hash.hash(TWEAK_COOKIE_TIME, minute, local, localPort, remote, remotePort);
  const base = hash.hash(TWEAK_COOKIE, 0, local, localPort, remote, remotePort);
  return (base + irs + (minute << 24) + ((stamp + index) & DATA_MASK)) | 0;
}

/** The MSS a returning cookie names, or 0 when it is not one of ours or too old. */
export function open(
  hash: IsnGenerator,
  local: Address,
  localPort: number,
  remote: Address,
  remotePort: number,
  irs: Seq,
  iss: Seq,
  now: number,
): number {
  const minute = minuteOf(now);
  const base = hash.hash(TWEAK_COOKIE, 0, local, localPort, remote, remotePort);
  const rest = (iss - base - irs) | 0;
  const age = (minute - (rest >>> 24)) & 0xff;
  if (age >= PERIODS) return 0;
  const stamp = hash.hash(TWEAK_COOKIE_TIME, minute - age, local, localPort, remote, remotePort);
  const index = (rest - stamp) & DATA_MASK;
  return index < MSS_TABLE.length ? MSS_TABLE[index] : 0;
}

/** TSval for a cookie's SYN,ACK: at most `tsVal`, with what was agreed in its low bits. */
export function encodeOptions(tsVal: number, agreement: Agreement): number {
  const scale = agreement.windowScaling ? agreement.sndShift : NO_SCALE;
  const bits = scale | (agreement.sackPermitted ? SACK_BIT : 0) | (agreement.ecn ? ECN_BIT : 0);
  const value = (tsVal & ~OPTION_MASK) | bits;
  // RFC 7323 §5.3: our clock must not seem to run ahead, or later segments would look old.
  return ((tsVal - value) | 0) < 0 ? seqAdd(value, -OPTION_MASK - 1) : value;
}

/** What the client's SYN offered, read back from the timestamp it echoes into `options`. */
export function decodeOptions(tsEcr: number, options: OptionFields): void {
  const scale = tsEcr & 15;
  options.windowScale = scale === NO_SCALE ? -1 : scale;
  options.sackPermitted = (tsEcr & SACK_BIT) !== 0;
}

/** Whether our SYN,ACK agreed to ECN (RFC 3168 §6.1.1), read back from the same place. */
export const decodeEcn = (tsEcr: number): boolean => (tsEcr & ECN_BIT) !== 0;
