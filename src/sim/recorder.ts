// What a simulation's ports saw, as the bytes of a pcapng file: one interface per port, named after it; what became of a frame is its comment.
//
// Invariant: at most `limit` bytes of packets are kept, the latest ones.

import { nanosOf } from '../capture/frame.ts';
import { interfaceDescription, packet, sectionHeader } from '../capture/pcapng.ts';
import type { Port } from './port.ts';
import type { Schedule } from './schedule.ts';

export class Recorder {
  /** Packets left out at the beginning, because there were too many. */
  dropped = 0;
  readonly #schedule: Schedule;
  readonly #epoch: number;
  readonly #limit: number;
  readonly #title: string;
  readonly #interfaces: Uint8Array[] = [];
  #packets: Uint8Array[] = [];
  #first = 0;
  #bytes = 0;

  /** @param epoch µs since 1970 at simulated time 0 */
  constructor(schedule: Schedule, epoch: number, limit: number, title: string) {
    this.#schedule = schedule;
    this.#epoch = epoch;
    this.#limit = limit;
    this.#title = title;
  }

  get packets(): number {
    return this.#packets.length - this.#first;
  }

  /** Record what passes `port` from now on. */
  watch(port: Port): void {
    const id = this.#interfaces.length;
    this.#interfaces.push(interfaceDescription({ name: port.name, mac: octets(port.mac) }));
    port.tap = (frame, direction, fate) => {
      const nanos = nanosOf(this.#epoch + this.#schedule.now);
      this.#keep(packet(id, nanos, direction, frame, 0, frame.length, frame.length, fate ?? undefined));
    };
  }

  /** The whole file. */
  bytes(): Uint8Array {
    const parts = [
      sectionHeader('tapstack sim', this.#title),
      ...this.#interfaces,
      ...this.#packets.slice(this.#first),
    ];
    const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      file.set(part, at);
      at += part.length;
    }
    return file;
  }

  #keep(block: Uint8Array): void {
    this.#packets.push(block);
    this.#bytes += block.length;
    while (this.#bytes > this.#limit) {
      this.#bytes -= this.#packets[this.#first].length;
      this.#packets[this.#first++] = EMPTY;
      this.dropped++;
    }
    if (this.#first > 4096 && this.#first * 2 > this.#packets.length) {
      this.#packets = this.#packets.slice(this.#first);
      this.#first = 0;
    }
  }
}

const EMPTY = new Uint8Array(0);

function octets(mac: number): Uint8Array {
  const bytes = new Uint8Array(6);
  for (let i = 5; i >= 0; i--) {
    bytes[i] = mac % 256;
    mac = Math.floor(mac / 256);
  }
  return bytes;
}
