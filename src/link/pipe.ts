// Two links joined back to back in memory: a cable between two stacks.

import type { FrameBatch } from '../mem/frame-batch.ts';
import { FrameQueue } from './frame-queue.ts';
import type { Link } from './link.ts';
import { OFFLOAD_ALL } from './link.ts';

export interface PipeOptions {
  /** Default 1500. */
  mtu?: number;
  /** OFFLOAD_* bits; by default everything, because the other end understands virtio headers. 0 makes a plain Ethernet. */
  offload?: number;
  /** Bytes that may wait in each direction: a power of two, default 8 MB. What does not fit is refused, as a full device does. */
  limit?: number;
}

export class PipeEnd implements Link {
  readonly mtu: number;
  readonly offload: number;
  readonly #limit: number;
  readonly #queue: FrameQueue;
  #peer: PipeEnd | null = null;
  #wake: (() => void) | null = null;
  #closed = false;

  constructor(options: PipeOptions = {}) {
    this.mtu = options.mtu ?? 1500;
    this.offload = options.offload ?? OFFLOAD_ALL;
    this.#limit = options.limit ?? 8 * 1024 * 1024;
    if (this.#limit < 128 * 1024 || (this.#limit & (this.#limit - 1)) !== 0)
      throw new RangeError(`pipe: limit ${this.#limit} must be a power of two of at least 131072`);
    this.#queue = new FrameQueue(this.#limit);
  }

  /** Join the two ends. */
  attach(peer: PipeEnd): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  /** Frames waiting to be received here. */
  get pending(): number {
    return this.#queue.count;
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    return this.#queue.pull(rx);
  }

  send(tx: FrameBatch): number {
    const peer = this.#peer;
    // An unplugged cable swallows what is sent into it.
    if (peer === null || peer.#closed || this.#closed) return tx.count;
    const wasEmpty = peer.#queue.count === 0;
    let n = 0;
    while (n < tx.count && peer.#queue.push(tx, n)) n++;
    if (wasEmpty && n > 0) peer.#wake?.();
    return n;
  }

  watch(wake: (() => void) | null): void {
    this.#wake = wake;
    if (wake !== null && this.#queue.count > 0) wake();
  }

  close(): void {
    this.#closed = true;
    this.#wake = null;
    this.#queue.clear();
  }
}

/** The two ends of a new pipe. */
export function pipe(options: PipeOptions = {}): [PipeEnd, PipeEnd] {
  const a = new PipeEnd(options);
  const b = new PipeEnd(options);
  a.attach(b);
  return [a, b];
}
