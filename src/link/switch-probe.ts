// The frame by which a switch finds out that it hears itself: to a group address nobody listens to, of an EtherType for experiments.
//
//   dst 6 = cf:00:00:00:00:00 | src 6 = the switch | type 2 = 0x88b5 (IEEE 802, local experimental 1) | magic 8 | port 4 | zeros
//
// Invariant: a frame made here passes `check`.

import type { Mac } from '../wire/address.ts';
import * as ethernet from '../wire/ethernet.ts';

export const LENGTH = ethernet.MIN_FRAME;
const GROUP: Mac = 0xcf00_0000_0000;
const TYPE = 0x88b5;
const MAGIC_HIGH = 0x74617073; // "tapstack"
const MAGIC_LOW = 0x7461636b;

export function write(dv: DataView, off: number, from: Mac, port: number): void {
  for (let i = 0; i < LENGTH; i += 4) dv.setUint32(off + i, 0);
  ethernet.set(dv, off, GROUP, from, TYPE);
  dv.setUint32(off + 14, MAGIC_HIGH);
  dv.setUint32(off + 18, MAGIC_LOW);
  dv.setUint32(off + 22, port);
}

/** True when [off, end) holds a probe, of whatever switch. */
export const check = (dv: DataView, off: number, end: number): boolean =>
  end - off >= 26 &&
  ethernet.dst(dv, off) === GROUP &&
  dv.getUint16(off + 12) === TYPE &&
  dv.getUint32(off + 14) === MAGIC_HIGH &&
  dv.getUint32(off + 18) === MAGIC_LOW;

export const sender = ethernet.src;
export const port = (dv: DataView, off: number): number => dv.getUint32(off + 22);
