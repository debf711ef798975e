// Delivery rate estimation — draft-cheng-iccrg-delivery-rate-estimation.
//
// Each record keeps what had been delivered when it was sent; when it is delivered itself, the difference over the longer of the send
// and ACK intervals is a bandwidth sample that neither ACK compression nor send bursts can inflate.

import type { InFlight } from './in-flight.ts';
import {
  DELIVERED,
  DELIVERED_TIME,
  FIRST_SENT_TIME,
  LOST_AT_SEND,
  PIPE_AT_SEND,
  REC_APP_LIMITED,
} from './in-flight.ts';

export class DeliveryRate {
  /** Bytes delivered in the connection's life. */
  delivered = 0;
  deliveredTime = 0;
  firstSentTime = 0;
  /** Bytes deemed lost in the connection's life. */
  lost = 0;
  /** While `delivered` is below this, samples only show how fast the application writes; 0: not limited. */
  appLimitedUntil = 0;

  // The sample of the current ACK.
  /** Bytes per second; 0 when the ACK gives no sample. */
  rate = 0;
  interval = 0;
  sampleDelivered = 0;
  sampleAppLimited = false;
  /** `delivered` when the sampled record was sent; -1 without a sample. */
  priorDelivered = -1;
  priorLost = 0;
  pipeAtSend = 0;
  #priorTime = 0;
  #sendElapsed = 0;
  #sentAt = 0;

  /** The record `slot` is being sent (again). `pipe` is without it. */
  onSend(flight: InFlight, slot: number, pipe: number, length: number, now: number): void {
    if (pipe <= 0) {
      this.firstSentTime = now;
      this.deliveredTime = now;
    }
    flight.setColumn(slot, DELIVERED, this.delivered);
    flight.setColumn(slot, DELIVERED_TIME, this.deliveredTime);
    flight.setColumn(slot, FIRST_SENT_TIME, this.firstSentTime);
    flight.setColumn(slot, LOST_AT_SEND, this.lost);
    flight.setColumn(slot, PIPE_AT_SEND, pipe + length);
    if (this.appLimitedUntil > 0) flight.addFlags(slot, REC_APP_LIMITED);
    else flight.removeFlags(slot, REC_APP_LIMITED);
  }

  begin(): void {
    this.priorDelivered = -1;
    this.rate = 0;
    this.interval = 0;
  }

  /** `length` bytes of `slot` were delivered. */
  onDelivered(flight: InFlight, slot: number, length: number, now: number): void {
    this.delivered += length;
    this.deliveredTime = now;
    const sentAt = flight.sentAt(slot);
    const delivered = flight.column(slot, DELIVERED);
    if (delivered < this.priorDelivered || (delivered === this.priorDelivered && sentAt < this.#sentAt)) return;
    this.priorDelivered = delivered;
    this.priorLost = flight.column(slot, LOST_AT_SEND);
    this.pipeAtSend = flight.column(slot, PIPE_AT_SEND);
    this.sampleAppLimited = (flight.flags(slot) & REC_APP_LIMITED) !== 0;
    this.#priorTime = flight.column(slot, DELIVERED_TIME);
    this.#sendElapsed = sentAt - flight.column(slot, FIRST_SENT_TIME);
    this.#sentAt = sentAt;
    this.firstSentTime = sentAt;
  }

  /** The ACK has been gone through: complete its sample. */
  finish(minRtt: number, now: number): void {
    if (this.appLimitedUntil > 0 && this.delivered > this.appLimitedUntil) this.appLimitedUntil = 0;
    if (this.priorDelivered < 0) return;
    this.sampleDelivered = this.delivered - this.priorDelivered;
    const interval = Math.max(this.#sendElapsed, now - this.#priorTime);
    // Shorter than the round trip: the ACK is of a retransmission's original, or of a burst; it says nothing.
    if (interval <= 0 || interval < minRtt) return;
    this.interval = interval;
    this.rate = (this.sampleDelivered * 1_000_000) / interval;
  }

  /** The application has nothing to send although it may: samples of what is in flight are a lower bound. */
  markAppLimited(pipe: number): void {
    this.appLimitedUntil = this.delivered + pipe || 1;
  }
}
