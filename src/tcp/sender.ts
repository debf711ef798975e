// The TCP sender — RFC 9293 §3.3.1 (SND.*), §3.7.4, §3.8.
//
// PUBLIC SURFACE ONLY for the moment; the bodies follow.

import type { Memory } from '../mem/memory.ts';
import type { Ring } from '../mem/ring.ts';
import type { Stats } from '../stats.ts';
import type { Seq } from '../wire/seq.ts';
import type { World } from '../world.ts';
import type { Segment } from './segment.ts';
import type { Timers } from './timers.ts';

// What `onAck` tells the connection.
/** SND.UNA moved. */
export const ACK_NEW = 1;
/** Our SYN is acknowledged by this segment. */
export const ACK_SYN = 2;
/** Our FIN is acknowledged by this segment. */
export const ACK_FIN = 4;
/** The send buffer has room after a `write` found it full: post EV_WRITABLE. */
export const ACK_WRITABLE = 8;
/** Everything written is acknowledged: post EV_DRAINED. */
export const ACK_DRAINED = 16;
/** A duplicate acknowledgment (RFC 5681 §2). */
export const ACK_DUPLICATE = 32;
/** SND.WND was updated (RFC 9293 §3.10.7.4). */
export const ACK_WINDOW = 64;

// What `onTimer` tells the connection. In every case mark the connection dirty afterwards: `next` may have something.
/** R1 was reached: tell IP that the path may be bad (RFC 9293 §3.8.3, M20). */
export const TIMEOUT_R1 = 1;
/** R2 was reached: abort with ETIMEDOUT (M20, M23). */
export const TIMEOUT_R2 = 2;

export interface SenderOptions {
  /** 'cubic' (default), 'reno', 'bbr', or a factory of the caller's own. */
  congestion?: string;
  /** Nagle off (RFC 9293 §3.7.4, M17). */
  noDelay?: boolean;
  /** A fixed send buffer in bytes. Without it the buffer is tuned up to `sendBufferMax`. */
  sendBuffer?: number;
  sendBufferMax?: number;
  /** Initial window in segments (RFC 6928). */
  initialWindow?: number;
  /** µs */
  initialRto?: number;
  minRto?: number;
  maxRto?: number;
  /** R2 for data, µs (M21). */
  userTimeout?: number;
  /** R2 for SYN, µs (M23: at least 3 minutes). */
  synTimeout?: number;
  pacing?: 'auto' | 'on' | 'off';
}

export interface SenderParts {
  memory: Memory;
  world: World;
  stats: Stats;
  timers: Timers;
  options: SenderOptions;
}

/** A segment the sender proposes. The connection adds ACK, window and options, sends it, and calls `sent`. */
export class Outgoing {
  seq: Seq = 0;
  /** Payload bytes: `sender.ring` at position `dataSeq`, `length` bytes. More than `gsoSize` makes it a super-segment. */
  length = 0;
  /** Ring position of the first payload byte: `seq`, or `seq + 1` behind a SYN. */
  dataSeq: Seq = 0;
  syn = false;
  fin = false;
  push = false;
  /** It was sent before. */
  retransmission = false;
  /** Pass to Tx.commit: the MSS when `length` exceeds it, else 0. */
  gsoSize = 0;
  /** Set CWR (RFC 3168 §6.1.2); set ECT in the IP header (new data only, §6.1.5). */
  cwr = false;
  ect = false;
}

export declare class Sender {
  readonly ring: Ring;
  readonly out: Outgoing;
  iss: Seq;
  sndUna: Seq;
  sndNxt: Seq;
  /** Scaled. */
  sndWnd: number;
  sndWl1: Seq;
  sndWl2: Seq;
  /** The peer's window scale; `Segment.windowScaled` has it applied already. */
  sndWndShift: number;
  /** Payload bytes per segment, options already subtracted. Read it; change it with `setMss`. */
  readonly mss: number;
  /** Set after negotiation. */
  sackPermitted: boolean;
  timestamps: boolean;
  ecn: boolean;
  /** Offset of this connection's timestamp clock: TSval is `tsVal(now)`, milliseconds. */
  tsOffset: number;
  noDelay: boolean;
  userTimeout: number;
  /** Bytes `write` would take now. */
  readonly writable: number;
  /** Bytes written and not yet acknowledged. */
  readonly unacknowledged: number;
  /** end() was called. */
  readonly ended: boolean;
  /** Everything written, and the FIN if there is one, has been sent at least once. */
  readonly allSent: boolean;
  constructor(parts: SenderParts);
  /** Our SYN becomes the first thing to send (with ACK when the connection adds it). */
  start(iss: Seq): void;
  /** For a connection made from a SYN-cache entry or cookie: the SYN was sent at `synSentAt` (-1: unknown) and is acknowledged. */
  resume(iss: Seq, synSentAt: number, retransmitted: boolean): void;
  /** The handshake is done: initial window. Call after `setMss`, `sackPermitted`, `timestamps`. Data written earlier goes from now on. */
  established(now: number): void;
  /** The MSS changed; on a decrease (PMTU) what is in flight and too large is sent again, smaller. */
  setMss(mss: number): void;
  /** Take bytes into the send buffer. How many were taken; 0 when it is full. `more`: the caller is about to write again, hold a partial segment. */
  write(source: Uint8Array, start: number, length: number, more?: boolean): number;
  /** Half-close: FIN after what is written. */
  end(): void;
  /** TSval for a segment sent at `now`. */
  tsVal(now: number): number;
  /** Take SND.WND from `segment` without regard to WL1/WL2: for the segment that completes the handshake. */
  setWindow(segment: Segment): void;
  /** An acceptable ACK (SND.UNA =< SEG.ACK =< SND.NXT; older is tolerated for its SACK blocks). ACK_* bits. */
  onAck(segment: Segment, now: number): number;
  /** Fill `out` with what may go now. False when nothing may. */
  next(now: number): boolean;
  /** The proposal in `out` has been committed. */
  sent(now: number): void;
  /** RTO TLP REO PACE PERSIST fired. TIMEOUT_* bits. */
  onTimer(kind: number, now: number): number;
  /** Forget everything and give the memory back. */
  close(): void;
}
