// Sequence numbers as people read them: counted from the start of each connection, as tcpdump does.
//
// Each direction has a base: the sequence number of its SYN, or one before the first byte seen. The first segment of a connection and every
// SYN are shown as they are. Bounded: the connection seen least recently is forgotten.

const CAPACITY = 10_000;

export interface Relative {
  readonly seq: number;
  readonly ack: number;
  /** Base of the SACK blocks this segment carries: where the other direction began. 0 when numbers are absolute. */
  readonly sackBase: number;
}

export class Streams {
  /** Key: endpoints in the direction of the first segment. `seq` counts that direction, `ack` the other. */
  readonly #bases = new Map<string, { seq: number; ack: number }>();

  /** The numbers of a segment from `from` to `to` ("address.port"), relative to what has been seen of its connection. */
  relative(from: string, to: string, seq: number, ack: number, isSyn: boolean): Relative {
    const forward = `${from}>${to}`;
    const backward = `${to}>${from}`;
    const reversed = this.#bases.has(backward);
    const key = reversed ? backward : forward;
    const bases = this.#bases.get(key);
    if (bases === undefined || isSyn) {
      const before = (ack - 1) >>> 0;
      this.#remember(key, reversed ? { seq: before, ack: seq } : { seq, ack: before });
      return { seq, ack, sackBase: 0 };
    }
    this.#remember(key, bases);
    const [own, peer] = reversed ? [bases.ack, bases.seq] : [bases.seq, bases.ack];
    return { seq: (seq - own) >>> 0, ack: (ack - peer) >>> 0, sackBase: peer };
  }

  #remember(key: string, bases: { seq: number; ack: number }): void {
    this.#bases.delete(key);
    this.#bases.set(key, bases);
    if (this.#bases.size <= CAPACITY) return;
    for (const oldest of this.#bases.keys()) {
      this.#bases.delete(oldest);
      break;
    }
  }
}
