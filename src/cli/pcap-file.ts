// `up --pcap FILE`: every frame of a stack as pcapng, written as it passes.
//
// A disk that cannot keep up costs frames of the recording, never of the network: what was left out is counted in the file's statistics.

import { createWriteStream, type WriteStream } from 'node:fs';
import type { CapturedFrame } from '../capture/frame.ts';
import { interfaceDescription, interfaceStatistics, packet, sectionHeader } from '../capture/pcapng.ts';

const MAX_BUFFERED = 64 * 1024 * 1024;

export class PcapFile {
  readonly path: string;
  readonly #stream: WriteStream;
  #recorded = 0;
  #dropped = 0;
  #last = 0n;

  private constructor(path: string, stream: WriteStream) {
    this.path = path;
    this.#stream = stream;
  }

  /** @throws Error when the file cannot be written */
  static async create(path: string, interfaceName: string, onError: (error: Error) => void): Promise<PcapFile> {
    const stream = createWriteStream(path);
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject);
      stream.once('open', () => {
        stream.off('error', reject);
        resolve();
      });
    });
    stream.on('error', (error) => onError(new Error(`cannot write ${path}: ${error.message}`)));
    stream.write(sectionHeader('tapstack'));
    stream.write(interfaceDescription({ name: interfaceName }));
    return new PcapFile(path, stream);
  }

  /** The frame's bytes are copied before this returns. */
  readonly write = (frame: CapturedFrame): void => {
    this.#last = frame.time;
    if (this.#stream.writableLength > MAX_BUFFERED || !this.#stream.writable) {
      this.#dropped++;
      return;
    }
    this.#recorded++;
    const { bytes, time, direction, wireLength } = frame;
    this.#stream.write(packet(0, time, direction, bytes, 0, bytes.length, wireLength));
  };

  close(): Promise<void> {
    if (this.#stream.destroyed) return Promise.resolve();
    this.#stream.write(interfaceStatistics(0, this.#last, this.#recorded + this.#dropped, this.#dropped));
    return new Promise((resolve) => {
      this.#stream.once('close', resolve);
      this.#stream.end();
    });
  }
}
