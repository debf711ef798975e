// A stored message as POP3 sends it — RFC 1939 §3: lines end in CRLF, and one that starts with "." gets another in front.
//
// Works on octets, so UTF-8, 8-bit and even NUL pass untouched. A CR without LF is left as it is; an LF without CR becomes CRLF;
// a last line without an end gets one. Dots added here are not part of a message's size (RFC 1939 §11).
//
// Invariant: what `push` has produced so far, undone line by line, is what it was given.

import type { FileHandle } from 'node:fs/promises';

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
export const CHUNK = 64 * 1024;

export class WireText {
  /** Octets of the message so far, as LIST counts them: CRLF for every line end, added dots left out. */
  octets = 0;
  /** True once TOP's quota is used up: nothing more comes out. */
  done = false;

  #last = LF; // what precedes the next octet; a message starts at the start of a line
  #inHeader = true;
  #bodyLines: number;

  /** `bodyLines`: lines of the body to let through after the header (TOP); Infinity for all. */
  constructor(bodyLines: number = Number.POSITIVE_INFINITY) {
    this.#bodyLines = bodyLines;
  }

  /** Encode `source` to the front of `target`, which must hold twice as much; how many octets that made. */
  push(source: Uint8Array, length: number, target: Uint8Array): number {
    let last = this.#last;
    let out = 0;
    let dots = 0;
    for (let i = 0; i < length && !this.done; i++) {
      const octet = source[i];
      if (octet === LF) {
        const emptyLine = last === LF || (last === CR && this.#crStartsLine);
        if (last !== CR) target[out++] = CR;
        target[out++] = LF;
        this.#endLine(emptyLine);
      } else {
        if (last === LF) {
          this.#crStartsLine = octet === CR;
          if (octet === DOT) {
            target[out++] = DOT;
            dots++;
          }
        } else if (last === CR) {
          this.#crStartsLine = false;
        }
        target[out++] = octet;
      }
      last = octet;
    }
    this.#last = last;
    this.octets += out - dots;
    return out;
  }

  #crStartsLine = false; // the CR just seen is the first octet of its line

  #endLine(empty: boolean): void {
    if (!this.#inHeader) this.#bodyLines--;
    else if (empty) this.#inHeader = false;
    if (!this.#inHeader && this.#bodyLines <= 0) this.done = true;
  }

  /** Ends the last line if it has no end: how many octets that put at the front of `target`. */
  finish(target: Uint8Array): number {
    if (this.#last === LF) return 0;
    let out = 0;
    if (this.#last !== CR) target[out++] = CR;
    target[out++] = LF;
    this.#last = LF;
    this.octets += out;
    return out;
  }
}

/** How many octets LIST must announce for this file (RFC 1939 §11). Reads it once, in pieces. */
export async function countOctets(file: FileHandle): Promise<number> {
  const chunk = Buffer.allocUnsafe(CHUNK);
  let octets = 0;
  let last = LF;
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK, position);
    if (bytesRead === 0) break;
    octets += bytesRead;
    for (let at = chunk.indexOf(LF); at >= 0 && at < bytesRead; at = chunk.indexOf(LF, at + 1)) {
      if ((at === 0 ? last : chunk[at - 1]) !== CR) octets++;
    }
    last = chunk[bytesRead - 1];
    position += bytesRead;
  }
  if (last === CR) return octets + 1;
  return last === LF ? octets : octets + 2;
}
