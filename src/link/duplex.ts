// Any Duplex of Ethernet frames as a link: 'data' delivers one frame per chunk, write() sends one. tuntap2's Tap is such a Duplex, and so
// are a pair of passthroughs or a framed socket.
//
// Frames wait in a bounded queue each way. When the one towards the stack is full, the Duplex is paused; what a Duplex that ignores that
// still delivers is dropped and counted. When the Duplex says stop, frames wait up to the bound, and then `send` refuses, as a full device.
//
// Invariant: neither queue holds more than `limit` frames; `wake` is never called from inside `send` or `receive`.

import type { Duplex } from 'node:stream';
import { type FrameBatch, MAX_FRAME, VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Link } from './link.ts';

export interface DuplexLinkOptions {
  /** Largest IP packet the other side takes, default 1500. */
  mtu?: number;
  /** Frames that may wait in each direction, default 1024. */
  limit?: number;
}

const MIN_FRAME = 14; // an Ethernet header

export class DuplexLink implements Link {
  readonly duplex: Duplex;
  readonly mtu: number;
  readonly offload = 0;
  /** Called once when the Duplex has failed or ended: no frame will come or go any more. */
  onError: ((error: Error) => void) | null = null;
  /** Frames dropped because the stack did not keep up and the Duplex did not pause. */
  dropped = 0;
  /** Chunks that were no Ethernet frame. */
  malformed = 0;
  /** Times the Duplex was paused. */
  pauses = 0;
  /** Times `send` had to refuse. */
  refusals = 0;
  readonly #in: FrameFifo;
  readonly #out: FrameFifo;
  #blocked = false; // write() returned false and 'drain' has not come
  #refused = false;
  #paused = false;
  #wake: (() => void) | null = null;
  #wakePending = false;
  #closed = false;

  constructor(duplex: Duplex, options: DuplexLinkOptions = {}) {
    const { mtu = 1500, limit = 1024 } = options;
    if (typeof duplex?.write !== 'function' || typeof duplex.on !== 'function')
      throw new TypeError('DuplexLink needs a stream.Duplex of Ethernet frames');
    if (duplex.readableEncoding) throw new TypeError('DuplexLink needs bytes: do not call setEncoding() on the Duplex');
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65535)
      throw new RangeError(`DuplexLink: mtu ${mtu} is not from 68 to 65535`);
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`DuplexLink: limit ${limit} is not 1 or more`);
    this.duplex = duplex;
    this.mtu = mtu;
    this.#in = new FrameFifo(limit);
    this.#out = new FrameFifo(limit);
    duplex.on('data', this.#onData);
    duplex.on('drain', this.#onDrain);
    duplex.on('error', this.#onFailure);
    duplex.on('end', this.#onEnd);
    duplex.on('close', this.#onEnd);
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    for (let frame = this.#in.first; frame !== undefined; frame = this.#in.first) {
      if (!rx.push(frame)) {
        if (rx.count > 0) break;
        this.dropped++; // it would not fit an empty batch either
      }
      this.#in.shift();
    }
    if (this.#paused && this.#in.count <= this.#in.limit >> 1) {
      this.#paused = false;
      // resume() delivers in a later tick, not from here.
      this.duplex.resume();
    }
    if (this.#in.count > 0) setImmediate(() => this.#wake?.());
    return rx.count;
  }

  send(tx: FrameBatch): number {
    // An unplugged cable swallows what is sent into it.
    if (this.#closed || this.duplex.writableEnded || this.duplex.destroyed) return tx.count;
    for (let i = 0; i < tx.count; i++) {
      if (this.#out.count === this.#out.limit) {
        this.refusals++;
        this.#refused = true;
        return i;
      }
      const frame = Buffer.allocUnsafe(tx.frameLength(i)); // the Duplex may keep it
      tx.gather(i, frame, 0);
      if (this.#blocked) this.#out.push(frame);
      else this.#blocked = !this.duplex.write(frame);
    }
    return tx.count;
  }

  watch(wake: (() => void) | null): void {
    this.#wake = wake;
    if (this.#in.count > 0) this.#wakeSoon();
  }

  /** Destroys the Duplex. */
  close(): void {
    if (this.#closed) return;
    this.#detach();
    this.duplex.on('error', () => {}); // nobody is left whom a late error would concern
    this.duplex.destroy();
  }

  readonly #onData = (chunk: unknown): void => {
    if (!(chunk instanceof Uint8Array) || chunk.length < MIN_FRAME || chunk.length > MAX_FRAME - VNET_LENGTH) {
      this.malformed++;
      return;
    }
    if (!this.#in.push(chunk)) {
      this.dropped++;
      return;
    }
    if (this.#in.count === this.#in.limit && !this.#paused) {
      this.#paused = true;
      this.pauses++;
      this.duplex.pause();
    }
    this.#wakeSoon();
  };

  readonly #onDrain = (): void => {
    this.#blocked = false;
    for (let frame = this.#out.first; frame !== undefined && !this.#blocked; frame = this.#out.first) {
      this.#out.shift();
      this.#blocked = !this.duplex.write(frame);
    }
    if (!this.#refused || this.#blocked) return;
    this.#refused = false;
    this.#wakeSoon();
  };

  readonly #onFailure = (error: Error): void => {
    if (this.#closed) return;
    this.#detach();
    this.duplex.on('error', () => {}); // the first one has been reported
    this.onError?.(error);
  };

  readonly #onEnd = (): void => {
    this.#onFailure(Object.assign(new Error('the Duplex of Ethernet frames has ended'), { code: 'ERR_LINK_ENDED' }));
  };

  /** Frames that come in one tick cause one call. */
  #wakeSoon(): void {
    if (this.#wakePending || this.#wake === null) return;
    this.#wakePending = true;
    queueMicrotask(() => {
      this.#wakePending = false;
      this.#wake?.();
    });
  }

  #detach(): void {
    this.#closed = true;
    this.#wake = null;
    this.#in.clear();
    this.#out.clear();
    this.duplex.off('data', this.#onData);
    this.duplex.off('drain', this.#onDrain);
    this.duplex.off('error', this.#onFailure);
    this.duplex.off('end', this.#onEnd);
    this.duplex.off('close', this.#onEnd);
  }
}

/** First in, first out, of at most `limit` frames. */
class FrameFifo {
  readonly limit: number;
  count = 0;
  #head = 0;
  readonly #frames: (Uint8Array | undefined)[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get first(): Uint8Array | undefined {
    return this.count === 0 ? undefined : this.#frames[this.#head];
  }

  push(frame: Uint8Array): boolean {
    if (this.count === this.limit) return false;
    this.#frames[(this.#head + this.count) % this.limit] = frame;
    this.count++;
    return true;
  }

  shift(): void {
    this.#frames[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.limit;
    this.count--;
  }

  clear(): void {
    while (this.count > 0) this.shift();
  }
}
