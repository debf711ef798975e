// A user of one end of a TCP connection, for simulations: it writes a pattern, checks every byte of what it reads, and remembers the end.
//
// Invariant: `received` bytes have arrived exactly once and in order, or `fault` says where not.

import type { SocketOwner } from '../socket.ts';
import { EV_CLOSED, EV_CONNECTED, EV_END, EV_ERROR, EV_READABLE, EV_WRITABLE } from '../socket.ts';
import type { TcpConnection } from '../tcp/connection.ts';

const CHUNK = 64 * 1024;

/** Byte `i` of stream `id`: no shift, repetition or mix-up of streams goes unnoticed. */
const patternAt = (id: number, i: number): number => (i * 31 + (i >> 8) * 7 + (i >> 16) + id * 97) & 255;

export interface PeerOptions {
  /** Bytes to send before the end of the stream. */
  length: number;
  /** Which pattern to send, and which to expect. */
  sends: number;
  expects: number;
  /** Most bytes to read at one time, and then a pause of so many ms; without it everything is read as it comes. */
  reads?: { bytes: number; every: number };
  /** Have `action` called in `delay` ms. */
  after: (delay: number, action: () => void) => void;
}

export class Peer implements SocketOwner {
  readonly connection: TcpConnection;
  readonly options: PeerOptions;
  received = 0;
  sent = 0;
  ended = false;
  closed = false;
  connected = false;
  aborted = false;
  /** Negative errno, 0 for none. */
  error = 0;
  /** What was wrong with what arrived; empty when nothing. */
  fault = '';
  #isResting = false;
  readonly #chunk: Uint8Array;
  readonly #out: Uint8Array;

  constructor(connection: TcpConnection, options: PeerOptions) {
    this.connection = connection;
    this.options = options;
    connection.owner = this;
    this.#chunk = new Uint8Array(Math.min(CHUNK, options.reads?.bytes ?? CHUNK));
    this.#out = new Uint8Array(Math.min(CHUNK, Math.max(1, options.length)));
  }

  onEvents(events: number): void {
    if (events & EV_CONNECTED) {
      this.connected = true;
      this.write();
    }
    if (events & EV_READABLE) this.#read();
    if (events & EV_WRITABLE) this.write();
    if (events & EV_END) this.#read();
    if (events & EV_ERROR) this.error = this.connection.error;
    if (events & EV_CLOSED) {
      this.closed = true;
      if (this.error === 0) this.#read();
    }
  }

  /** Offer the rest of what is to be sent, and the end behind it. */
  write(): void {
    const { length, sends } = this.options;
    while (this.sent < length) {
      // No more than will be taken; when that is nothing, one byte, so that we hear of room.
      const count = Math.min(this.#out.length, length - this.sent, Math.max(1, this.connection.writable));
      for (let i = 0; i < count; i++) this.#out[i] = patternAt(sends, this.sent + i);
      const taken = this.connection.write(this.#out, 0, count);
      if (taken < 0) return;
      this.sent += taken;
      if (taken < count) return;
    }
    this.connection.end();
  }

  /** Give up: the other end hears a reset. */
  abort(): void {
    this.aborted = true;
    this.connection.abort();
  }

  /** Everything has been sent and received, or an error says why not. */
  get isDone(): boolean {
    return this.aborted || this.error !== 0 || (this.ended && this.sent === this.options.length);
  }

  #read(): void {
    if (this.#isResting || this.aborted) return;
    const { reads, after } = this.options;
    for (;;) {
      const count = this.connection.read(this.#chunk, 0, this.#chunk.length);
      if (count <= 0) break;
      this.#check(count);
      if (reads !== undefined) {
        this.#isResting = true;
        after(reads.every, () => {
          this.#isResting = false;
          this.#read();
        });
        return;
      }
    }
    if (this.connection.endReceived && this.connection.readable === 0) this.ended = true;
  }

  #check(count: number): void {
    const { expects } = this.options;
    for (let i = 0; i < count; i++) {
      const want = patternAt(expects, this.received + i);
      if (this.#chunk[i] === want || this.fault !== '') continue;
      this.fault = `byte ${this.received + i} is ${this.#chunk[i]}, not ${want}`;
    }
    this.received += count;
  }
}
