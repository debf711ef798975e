// The link to ourselves: what is sent is received — RFC 1122 §3.2.1.3 (g).
//
// It belongs to the stack, which empties it during its own flush, so no driver has to watch it.

import type { FrameBatch } from '../mem/frame-batch.ts';
import { FrameQueue } from './frame-queue.ts';
import type { Link } from './link.ts';
import { OFFLOAD_ALL } from './link.ts';

const LIMIT = 16 * 1024 * 1024;

export class Loopback implements Link {
  readonly mtu = 65535;
  readonly offload = OFFLOAD_ALL;
  readonly arp = false;
  readonly #queue = new FrameQueue(LIMIT);

  get pending(): number {
    return this.#queue.count;
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    return this.#queue.pull(rx);
  }

  send(tx: FrameBatch): number {
    let n = 0;
    while (n < tx.count && this.#queue.push(tx, n)) n++;
    return n;
  }

  close(): void {
    this.#queue.clear();
  }
}
