// Who a segment is for — RFC 9293 §3.10.7, §3.9.1.1: an exact four-tuple before a listener, a bound address before any address.
//
// Invariant: a four-tuple names one endpoint: a connection, an entry of some listener's SYN queue, or one in TIME-WAIT.

import { EADDRINUSE } from '../errno.ts';
import type { Flow } from '../mem/flow-table.ts';
import { FlowTable } from '../mem/flow-table.ts';
import type { Packet } from '../net/packet.ts';
import type { Address } from '../wire/address.ts';
import type { Entropy } from '../world.ts';
import type { Segment } from './segment.ts';

export interface Endpoint extends Flow {
  /** A state of states.ts. */
  readonly state: number;
  /** A segment with this four-tuple. It may not keep `segment` or `packet`. */
  receive(segment: Segment, packet: Packet, now: number): void;
}

export interface Listening {
  /** Unspecified: any of our addresses. */
  readonly local: Address;
  readonly port: number;
}

export class Demux<L extends Listening> {
  readonly flows: FlowTable<Endpoint>;
  readonly #listeners = new Map<number, L[]>();

  constructor(entropy: Entropy) {
    this.flows = new FlowTable<Endpoint>(entropy);
  }

  find(local: Address, localPort: number, remote: Address, remotePort: number): Endpoint | null {
    return this.flows.find(local, localPort, remote, remotePort);
  }

  /** The listener for a SYN to `local`:`port`: one bound to that very address, else one bound to any (MUST-43). */
  listener(local: Address, port: number): L | null {
    const list = this.#listeners.get(port);
    if (list === undefined) return null;
    let any: L | null = null;
    for (const listener of list) {
      if (listener.local.equals(local)) return listener;
      if (listener.local.isUnspecified) any = listener;
    }
    return any;
  }

  /** True when nobody listens on `port` at an address that overlaps `local`. Different addresses share a port (MUST-42). */
  canListen(local: Address, port: number): boolean {
    const list = this.#listeners.get(port);
    if (list === undefined) return true;
    return !list.some(({ local: other }) => other.isUnspecified || local.isUnspecified || other.equals(local));
  }

  /** 0, or a negative errno. */
  addListener(listener: L): number {
    if (!this.canListen(listener.local, listener.port)) return EADDRINUSE;
    const list = this.#listeners.get(listener.port);
    if (list === undefined) this.#listeners.set(listener.port, [listener]);
    else list.push(listener);
    return 0;
  }

  removeListener(listener: L): void {
    const list = this.#listeners.get(listener.port);
    if (list === undefined) return;
    const left = list.filter((other) => other !== listener);
    if (left.length === 0) this.#listeners.delete(listener.port);
    else this.#listeners.set(listener.port, left);
  }

  listeners(): L[] {
    return [...this.#listeners.values()].flat();
  }
}
