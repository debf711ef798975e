// Proportional Rate Reduction — RFC 9937 (was RFC 6937).
//
// During fast recovery it sets cwnd on every ACK, so that sending is clocked by what is delivered and ends at ssthresh.
//
// Invariant: by the end of a round without further loss, `out` is about ssthresh / recoverFlight of `delivered`.

export class Prr {
  #delivered = 0;
  #out = 0;
  #recoverFlight = 0;

  /** Recovery begins with `flight` bytes in flight, the lost ones included. */
  begin(flight: number): void {
    this.#delivered = 0;
    this.#out = 0;
    this.#recoverFlight = Math.max(1, flight);
  }

  onSent(length: number): void {
    this.#out += length;
  }

  /**
   * cwnd after an ACK.
   * @param delivered bytes this ACK delivered
   * @param safe SND.UNA advanced and no further loss was found (RFC 9937 §6.2 "safeACK")
   */
  onAck(delivered: number, safe: boolean, pipe: number, ssthresh: number, mss: number): number {
    this.#delivered += delivered;
    let count: number;
    if (pipe > ssthresh) {
      count = Math.ceil((this.#delivered * ssthresh) / this.#recoverFlight) - this.#out;
    } else {
      // Conservative reduction bound, or slow start reduction bound while the retransmissions get through.
      let limit = Math.max(this.#delivered - this.#out, delivered);
      if (safe) limit += mss;
      count = Math.min(ssthresh - pipe, limit);
    }
    if (this.#out === 0 && count < mss) count = mss; // RFC 9937 §6.2: force a fast retransmit upon entering recovery
    return pipe + Math.max(0, count);
  }
}
