// Where a node meets a cable.

import type { Link } from '../link/link.ts';
import type { FrameBatch } from '../mem/frame-batch.ts';
import type { Mac } from '../wire/address.ts';
import type { Channel } from './channel.ts';

/** Anything with ports: hosts, routers, switches. */
export interface SimNode {
  readonly name: string;
  /** A port to plug the next cable into. @throws Error when there is none left */
  freePort(): Port;
}

/** Sees the frames of a port. `fate` says what became of one that was sent, when that is known at once and not good. */
export type Tap = (frame: Uint8Array, direction: 'in' | 'out', fate: string | null) => void;

export class Port {
  node: SimNode;
  /** Like `client.eth0`. */
  readonly name: string;
  readonly mac: Mac;
  /** The way out; null while nothing is plugged in. */
  channel: Channel | null = null;
  tap: Tap | null = null;
  readonly #receive: (frame: Uint8Array, port: Port) => void;

  constructor(node: SimNode, name: string, mac: Mac, receive: (frame: Uint8Array, port: Port) => void) {
    this.node = node;
    this.name = name;
    this.mac = mac;
    this.#receive = receive;
  }

  /** Put `frame` on the cable, whose it is from now on. */
  send(frame: Uint8Array): void {
    // Copied before it is sent: boxes on the way may change it.
    const copy = this.tap === null ? null : frame.slice();
    const fate = this.channel === null ? 'not plugged in' : this.channel.send(frame);
    if (copy !== null) this.tap?.(copy, 'out', fate);
  }

  /** A frame has arrived; it is ours. */
  deliver(frame: Uint8Array): void {
    this.tap?.(frame, 'in', null);
    this.#receive(frame, this);
  }
}

/** The link of a simulated host's stack: an Ethernet without any offload. */
export class PortLink implements Link {
  readonly mtu: number;
  readonly offload = 0;
  readonly port: Port;
  #frames: Uint8Array[] = [];
  #wake: (() => void) | null = null;

  constructor(node: SimNode, name: string, mac: Mac, mtu: number) {
    this.mtu = mtu;
    this.port = new Port(node, name, mac, (frame) => this.#arrived(frame));
  }

  get mac(): Mac {
    return this.port.mac;
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    let taken = 0;
    while (taken < this.#frames.length && rx.push(this.#frames[taken])) taken++;
    if (taken > 0) this.#frames = this.#frames.slice(taken);
    return taken;
  }

  send(tx: FrameBatch): number {
    for (let i = 0; i < tx.count; i++) {
      const frame = new Uint8Array(tx.frameLength(i));
      tx.gather(i, frame, 0);
      this.port.send(frame);
    }
    return tx.count;
  }

  watch(wake: (() => void) | null): void {
    this.#wake = wake;
    if (wake !== null && this.#frames.length > 0) wake();
  }

  close(): void {
    this.#wake = null;
    this.#frames = [];
    this.port.channel = null;
  }

  #arrived(frame: Uint8Array): void {
    this.#frames.push(frame);
    this.#wake?.();
  }
}
