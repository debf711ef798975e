// Lines of octets out of a stream, one at a time, when asked: what is not asked for stays in the stream and holds the peer back.
//
// Invariant: no more is held than one chunk of the stream plus `limit` octets, whatever the peer sends.

import type { Readable } from 'node:stream';

const LF = 0x0a;
const CR = 0x0d;
const NUL = 0x00;
const EMPTY = Buffer.alloc(0);

export class LineReader {
  /** The last line was longer than its limit; what `next` returned is not it, the line is gone. */
  overlong = false;

  readonly #source: Readable;
  #held: Buffer = EMPTY;
  #ended = false;
  #wake: (() => void) | null = null;
  readonly #onReadable = (): void => this.#wake?.();
  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake?.();
  };

  constructor(source: Readable) {
    this.#source = source;
    source.on('readable', this.#onReadable);
    source.on('end', this.#onEnd);
    source.on('close', this.#onEnd);
  }

  /** Is a whole line here already, without waiting? */
  hasLine(): boolean {
    if (this.#held.indexOf(LF) >= 0) return true;
    if (this.#held.length === 0) this.#held = (this.#source.read() as Buffer | null) ?? EMPTY;
    return this.#held.indexOf(LF) >= 0;
  }

  /** The next line without its CRLF (a lone LF ends a line too), or null when the stream has ended. */
  async next(limit: number): Promise<Buffer | null> {
    this.overlong = false;
    for (;;) {
      const end = this.#held.indexOf(LF);
      if (end >= 0) {
        const line = this.#held.subarray(0, end);
        this.#held = this.#held.subarray(end + 1);
        if (line.length > limit) this.overlong = true;
        return this.overlong ? EMPTY : trim(line);
      }
      if (this.#held.length > limit) {
        this.overlong = true; // forget it, and what follows up to the LF
        this.#held = EMPTY;
      }
      const chunk = this.#source.read() as Buffer | null;
      if (chunk !== null) {
        this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
        continue;
      }
      if (this.#ended || this.#source.destroyed) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }

  /** Let go of the stream and throw away what was read ahead of the last line. */
  detach(): void {
    this.#source.removeListener('readable', this.#onReadable);
    this.#source.removeListener('end', this.#onEnd);
    this.#source.removeListener('close', this.#onEnd);
    while (this.#source.read() !== null) {
      // thrown away
    }
    this.#held = EMPTY;
  }
}

/**
 * Without the CR, and without NULs in front: a NUL is a no-op on a network virtual terminal (RFC 854), and clients that count
 * a C string's terminator in their line put one at the start of the next.
 */
function trim(line: Buffer): Buffer {
  let start = 0;
  let end = line.length;
  // RFC 854: a telnet that is handed CR LF sends CR NUL for the CR, and then its own CR LF.
  while (end > 0 && (line[end - 1] === CR || line[end - 1] === NUL)) end--;
  while (start < end && line[start] === NUL) start++;
  return line.subarray(start, end);
}
