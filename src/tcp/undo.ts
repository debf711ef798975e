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

  /**
   * cwnd is being reduced; SND.UNA is `una`. What was retransmitted before (by a probe, or in a recovery that was undone) and is still on
   * its way, `retransmitting` bytes, counts as of this recovery: its ACK proves nothing spurious, however old the timestamp it echoes.
   */
  begin(una: Seq, retransmitting: number): void {
    this.active = true;
    this.#marker = una;
    this.#outstanding = retransmitting;
    this.#retransmitted = retransmitting > 0;
    this.#duplicates = false;
  }

  end(): void {
    this.active = false;
  }

  /** @param others bytes of other retransmissions on their way */
  onRetransmit(length: number, tsVal: number, others: number): void {
    // RFC 3522 §3.2 (1): the timestamp of the first retransmission.
    if (this.active ? !this.#retransmitted : others === 0) this.#stamp = tsVal;
    if (!this.active) return;
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
