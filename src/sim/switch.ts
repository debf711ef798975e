// A learning switch — IEEE 802.1D §7: it sends a frame where its address was last seen, and everywhere when it has not been.

import type { Mac } from '../wire/address.ts';
import * as ethernet from '../wire/ethernet.ts';
import { SECOND } from '../world.ts';
import { viewOf } from './ecn.ts';
import type { Network } from './network.ts';
import type { Port, SimNode } from './port.ts';

const AGE = 300 * SECOND; // IEEE 802.1D table 7-5

export class Switch implements SimNode {
  readonly name: string;
  readonly ports: Port[] = [];
  readonly #network: Network;
  readonly #table = new Map<Mac, { port: Port; seenAt: number }>();

  constructor(network: Network, name: string) {
    this.#network = network;
    this.name = name;
  }

  /** A switch has as many ports as cables are plugged in. There must be no loop of switches: it has no spanning tree. */
  freePort(): Port {
    const port = this.#network.port(this, `port${this.ports.length}`, (frame, from) => this.#receive(frame, from));
    this.ports.push(port);
    return port;
  }

  #receive(frame: Uint8Array, from: Port): void {
    if (frame.length < ethernet.HEADER) return;
    const dv = viewOf(frame);
    const src = ethernet.src(dv, 0);
    const dst = ethernet.dst(dv, 0);
    const { now } = this.#network;
    if (!ethernet.isGroup(src)) this.#table.set(src, { port: from, seenAt: now });
    const known = ethernet.isGroup(dst) ? undefined : this.#table.get(dst);
    if (known !== undefined && now - known.seenAt < AGE) {
      if (known.port !== from) known.port.send(frame);
      return;
    }
    for (const port of this.ports) if (port !== from) port.send(frame.slice());
  }
}
