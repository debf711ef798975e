// One connection as the script numbers it, and as it is.
//
// The peer's sequence numbers are sent as they stand in the script. Ours are chosen by the stack, so the script's are shifted: the
// script's ISN, usually 0, stands for the real one. Timestamps are alike: the peer's are sent as written, ours are translated.
//
// Invariant: live = script + offset, modulo 2^32, once the first SYN was seen; before that the offset is 0.

import { seqAdd } from '../../wire/seq.ts';

export class Flow {
  localPort: number;
  remotePort: number;
  /** A SYN of ours that comes now begins a new numbering. */
  expectsIsn = true;
  #offset = 0;
  #tsOffset = 0;
  #hasTsOffset = false;
  /** Every timestamp of ours the script has named, and what it really was. */
  readonly #timestamps = new Map<number, number>();

  constructor(localPort: number, remotePort: number) {
    this.localPort = localPort;
    this.remotePort = remotePort;
  }

  /** The stack's SYN has the number `live`, which the script calls `script`. */
  begin(live: number, script: number): void {
    this.#offset = (live - script) | 0;
    this.expectsIsn = false;
    this.#hasTsOffset = false;
    this.#timestamps.clear();
  }

  /** A number of ours, as it is on the wire: int32. */
  liveSeq(script: number): number {
    return seqAdd(script | 0, this.#offset);
  }

  /** A number of ours, as the script would write it. */
  scriptSeq(live: number): number {
    return (live - this.#offset) >>> 0;
  }

  /** The script calls our timestamp `live` by the name `script`. */
  nameTimestamp(script: number, live: number): void {
    if (!this.#hasTsOffset) {
      this.#hasTsOffset = true;
      this.#tsOffset = (live - script) | 0;
    }
    this.#timestamps.set(script >>> 0, live);
  }

  /** The echo of a timestamp of ours. 0 stands for itself. */
  liveTimestamp(script: number): number {
    return this.#timestamps.get(script >>> 0) ?? (script === 0 ? 0 : (script + this.#tsOffset) | 0);
  }

  scriptTimestamp(live: number): number {
    return (live - this.#tsOffset) >>> 0;
  }
}
