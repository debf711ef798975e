// Was it lost at all? — Eifel detection (RFC 3522), D-SACK detection (RFC 3708). F-RTO (RFC 5682) is in recovery.ts.
//
// Remembers the retransmissions since a reduction of cwnd. The reduction is undone when the first ACK of new data echoes a timestamp
// older than the first retransmission, or when every byte retransmitted has been reported as a duplicate.
//
// Invariant: `outstanding` is the bytes retransmitted since `begin`, less those reported as duplicates.

import type { Seq } from '../wire/seq.ts';
import { seqGt } from '../wire/seq.ts';
import type { Segment } from './segment.ts';

export class Undo {
  active = false;
  #marker: Seq = 0;
  #outstanding = 0;
  #retransmitted = false;
  #duplicates = false;
  #stamp = 0;

  /** cwnd is being reduced; SND.UNA is `una`. */
  begin(una: Seq): void {
    this.active = true;
    this.#marker = una;
    this.#outstanding = 0;
    this.#retransmitted = false;
    this.#duplicates = false;
  }

  end(): void {
    this.active = false;
  }

  onRetransmit(length: number, tsVal: number): void {
    if (!this.active) return;
    // RFC 3522 §3.2 (1): the timestamp of the first retransmission.
    if (!this.#retransmitted) this.#stamp = tsVal;
    this.#retransmitted = true;
    this.#outstanding += length;
  }

  onDsack(start: Seq, end: Seq): void {
    if (!this.active || !this.#retransmitted || !seqGt(end, this.#marker)) return;
    this.#duplicates = true;
    this.#outstanding = Math.max(0, this.#outstanding - ((end - start) | 0));
  }

  /** RFC 3708 §3: every retransmission arrived a second time. */
  get allDuplicates(): boolean {
    return this.active && this.#duplicates && this.#outstanding === 0;
  }

  /** RFC 3522 §3.2 (4): the ACK, which advances SND.UNA, was elicited by something sent before the first retransmission. */
  predates(segment: Segment): boolean {
    return this.active && this.#retransmitted && segment.hasTimestamp && ((segment.tsEcr - this.#stamp) | 0) < 0;
  }
}
