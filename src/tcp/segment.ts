// A received segment, parsed — RFC 9293 §3.1, §3.3.1 (SEG.*).
//
// One scratch object per stack, refilled for every segment: its fields are good until `input` returns and nobody keeps it.
// Option fields are flat, so that the sender and the receiver read them without knowing the wire.

import type { Seq } from '../wire/seq.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

export class Segment {
  srcPort = 0;
  dstPort = 0;
  /** SEG.SEQ */
  seq: Seq = 0;
  /** SEG.ACK; only meaningful with ACK set in `flags`. */
  ack: Seq = 0;
  flags = 0;
  /** The window field as it stands in the header. */
  window = 0;
  /** SEG.WND: the window field shifted by the peer's scale (RFC 7323 §2.3); never shifted on a SYN; unsigned, so up to 2^30 (M1, REC-1). */
  windowScaled = 0;
  /** The urgent pointer, relative to `seq`; only meaningful with URG set. */
  urgentPointer = 0;
  /** Payload bytes. */
  length = 0;
  /** SEG.LEN: payload bytes plus one each for SYN and FIN. */
  seqLength = 0;

  /** Where the payload is: offset in `bytes`. */
  payload = 0;
  bytes: Uint8Array = EMPTY;

  /** MSS option, 0 when absent (RFC 9293 §3.7.1). */
  mss = 0;
  /** Window scale option, -1 when absent (RFC 7323 §2). */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamp = false;
  tsVal = 0;
  tsEcr = 0;
  /** SACK blocks (RFC 2018 §3): `sack[2i]` is the left edge of block i, `sack[2i + 1]` its right edge. */
  sackCount = 0;
  sack = new Int32Array(8);

  /** Cut size of a received super-segment (virtio gso_size), 0 for an ordinary segment. */
  gsoSize = 0;
  /** How many segments the peer sent as this one: 1 unless it is a super-segment. */
  count = 1;
  /** The IP header said Congestion Experienced (RFC 3168 §5). */
  congestionExperienced = false;
}

const EMPTY = new Uint8Array(0);
