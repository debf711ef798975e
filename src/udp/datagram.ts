// A received datagram, waiting in or taken from a socket.
//
// The records are reused: what `receive()` returned is valid until the next `receive()` of that socket.

import type { Ring } from '../mem/ring.ts';
import type { Nic } from '../net/nic.ts';
import { Address } from '../wire/address.ts';

export class Datagram {
  /** Who sent it. */
  readonly remote = new Address();
  remotePort = 0;
  /** The address it was sent to, which may be a broadcast or a group (IP_PKTINFO's ipi_addr). */
  readonly local = new Address();
  localPort = 0;
  /** The interface it came in on. */
  nic: Nic;
  /** Payload bytes. */
  length = 0;
  ttl = 0;
  tos = 0;
  /** IP options as they came, padding included (RFC 1122 §4.1.3.2); null when there were none. */
  ipOptions: Uint8Array | null = null;
  /** world.now when its frame was received, µs. */
  receivedAt = 0;
  /** The same instant in µs since 1970, for NTP. */
  wallClock = 0;
  /** Where the payload lies in the ring. */
  position = 0;
  readonly #ring: Ring;

  constructor(nic: Nic, ring: Ring) {
    this.nic = nic;
    this.#ring = ring;
  }

  /** Copy the payload into `target` from `start` on; what does not fit is left out. Returns the bytes copied. */
  copy(target: Uint8Array, start = 0): number {
    const length = Math.min(this.length, target.length - start);
    if (length > 0) this.#ring.read(this.position, target, start, length);
    return length;
  }

  /** A fresh copy of the payload. */
  get data(): Uint8Array {
    const data = new Uint8Array(this.length);
    this.copy(data);
    return data;
  }
}
