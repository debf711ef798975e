// Reading captures: pcap in every dialect (both byte orders, micro- and nanoseconds, Kuznetsov's longer record header) and pcapng.
//
// A streaming parser: `push` bytes as they come, take frames with `next` until it says null, ask `finish` at the end. Nothing throws: a
// file that is none, or breaks off, is told by `error`. Memory is bounded by the largest record, 16 MB.
//
// Invariant: the bytes in [#at, #end) of the buffer are what has been pushed and not yet parsed.

import type { CapturedFrame, Direction } from './frame.ts';
import {
  BLOCK_INTERFACE,
  BLOCK_OBSOLETE_PACKET,
  BLOCK_PACKET,
  BLOCK_SECTION,
  BLOCK_SIMPLE_PACKET,
  BYTE_ORDER_MAGIC,
  EPB_FLAGS,
  FLAG_INBOUND,
  FLAG_OUTBOUND,
  IF_NAME,
  IF_TSOFFSET,
  IF_TSRESOL,
  OPTION_COMMENT,
  OPTION_END,
} from './pcapng.ts';

const MAX_RECORD = 16 * 1024 * 1024;

const PCAP_MICROS = 0xa1b2c3d4;
const PCAP_NANOS = 0xa1b23c4d;
const PCAP_KUZNETSOV = 0xa1b2cd34;
const PCAP_HEADER = 24;

interface Interface {
  readonly linkType: number;
  readonly snapLength: number;
  readonly name: string | null;
  /** Time stamps are in units of 1 / `unitsPerSecond`. */
  readonly unitsPerSecond: bigint;
  /** Seconds to add. */
  readonly offset: bigint;
}

const UNKNOWN = 0;
const PCAP = 1;
const PCAPNG = 2;

const utf8 = new TextDecoder();

export class CaptureReader {
  /** Why nothing more can be read; null while all is well. */
  error: string | null = null;
  #buffer = new Uint8Array(64 * 1024);
  #dv = new DataView(this.#buffer.buffer);
  #at = 0;
  #end = 0;
  #format = UNKNOWN;
  #little = true;
  // pcap
  #recordHeader = 16;
  #nanosPerUnit = 1000n;
  #linkType = 0;
  // pcapng
  #interfaces: Interface[] = [];

  push(chunk: Uint8Array): void {
    const kept = this.#end - this.#at;
    if (this.#end + chunk.length > this.#buffer.length) {
      const needed = kept + chunk.length;
      if (needed > this.#buffer.length) {
        const larger = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
        larger.set(this.#buffer.subarray(this.#at, this.#end));
        this.#buffer = larger;
        this.#dv = new DataView(larger.buffer);
      } else {
        this.#buffer.copyWithin(0, this.#at, this.#end);
      }
      this.#at = 0;
      this.#end = kept;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole frame; null when more bytes are needed or after an error. */
  next(): CapturedFrame | null {
    while (this.error === null) {
      if (this.#format === UNKNOWN && !this.#recognise()) return null;
      const before = this.#at;
      const frame = this.#format === PCAP ? this.#record() : this.#block();
      if (frame !== null) return frame;
      if (this.#at === before) return null;
    }
    return null;
  }

  /** All bytes have been pushed and all frames taken: what is wrong with the capture, or null. */
  finish(): string | null {
    if (this.error !== null) return this.error;
    if (this.#format === UNKNOWN) {
      return this.#end === 0
        ? 'the capture is empty'
        : 'not a capture: shorter than the header of a pcap or pcapng file';
    }
    if (this.#at < this.#end)
      return `the capture breaks off inside its last record (${this.#end - this.#at} bytes of it)`;
    return null;
  }

  #available(length: number): boolean {
    return this.#end - this.#at >= length;
  }

  #recognise(): boolean {
    if (!this.#available(4)) return false;
    const magic = this.#dv.getUint32(this.#at);
    if (magic === BLOCK_SECTION) {
      this.#format = PCAPNG;
      return true;
    }
    for (const little of [false, true]) {
      const value = this.#dv.getUint32(this.#at, little);
      if (value !== PCAP_MICROS && value !== PCAP_NANOS && value !== PCAP_KUZNETSOV) continue;
      if (!this.#available(PCAP_HEADER)) return false;
      this.#little = little;
      this.#nanosPerUnit = value === PCAP_NANOS ? 1n : 1000n;
      this.#recordHeader = value === PCAP_KUZNETSOV ? 24 : 16;
      // The upper bits tell of a frame check sequence at the end of every frame.
      this.#linkType = this.#dv.getUint32(this.#at + 20, little) & 0xffff;
      this.#at += PCAP_HEADER;
      this.#format = PCAP;
      return true;
    }
    this.error = `not a capture: it begins with 0x${magic.toString(16).padStart(8, '0')}, which is neither pcap nor pcapng`;
    return false;
  }

  #record(): CapturedFrame | null {
    if (!this.#available(this.#recordHeader)) return null;
    const at = this.#at;
    const length = this.#dv.getUint32(at + 8, this.#little);
    if (length > MAX_RECORD) {
      this.error = `a record claims ${length} bytes: the capture is damaged`;
      return null;
    }
    if (!this.#available(this.#recordHeader + length)) return null;
    const seconds = BigInt(this.#dv.getUint32(at, this.#little));
    const fraction = BigInt(this.#dv.getUint32(at + 4, this.#little));
    this.#at += this.#recordHeader + length;
    return {
      time: seconds * 1_000_000_000n + fraction * this.#nanosPerUnit,
      bytes: this.#buffer.slice(at + this.#recordHeader, this.#at),
      wireLength: this.#dv.getUint32(at + 12, this.#little),
      linkType: this.#linkType,
      direction: null,
      interfaceName: null,
      comment: null,
    };
  }

  #block(): CapturedFrame | null {
    if (!this.#available(12)) return null;
    const at = this.#at;
    // A section header reads the same in both byte orders, and says which one follows.
    if (this.#dv.getUint32(at) === BLOCK_SECTION) {
      const magic = this.#dv.getUint32(at + 8, true);
      this.#little = magic === BYTE_ORDER_MAGIC;
      if (!this.#little && this.#dv.getUint32(at + 8) !== BYTE_ORDER_MAGIC) {
        this.error = 'a pcapng section without its byte-order magic: the capture is damaged';
        return null;
      }
    }
    const type = this.#dv.getUint32(at, this.#little);
    const length = this.#dv.getUint32(at + 4, this.#little);
    if (length < 12 || (length & 3) !== 0 || length > MAX_RECORD) {
      this.error = `a pcapng block claims ${length} bytes: the capture is damaged`;
      return null;
    }
    if (!this.#available(length)) return null;
    this.#at += length;
    const end = at + length - 4;
    if (type === BLOCK_SECTION) {
      this.#interfaces = [];
    } else if (type === BLOCK_INTERFACE && length >= 20) {
      this.#interfaces.push(this.#interface(at, end));
    } else if (type === BLOCK_PACKET && length >= 32) {
      return this.#packet(at, at + 28, end, this.#dv.getUint32(at + 8, this.#little));
    } else if (type === BLOCK_OBSOLETE_PACKET && length >= 32) {
      return this.#packet(at, at + 28, end, this.#dv.getUint16(at + 8, this.#little));
    } else if (type === BLOCK_SIMPLE_PACKET && length >= 16) {
      return this.#simplePacket(at, end);
    }
    return null;
  }

  /** Visit the options in [at, end). */
  #options(at: number, end: number, visit: (code: number, off: number, length: number) => void): void {
    while (at + 4 <= end) {
      const code = this.#dv.getUint16(at, this.#little);
      const length = this.#dv.getUint16(at + 2, this.#little);
      if (code === OPTION_END || at + 4 + length > end) return;
      visit(code, at + 4, length);
      at += 4 + ((length + 3) & ~3);
    }
  }

  #text(off: number, length: number): string {
    return utf8.decode(this.#buffer.subarray(off, off + length));
  }

  #interface(at: number, end: number): Interface {
    let name: string | null = null;
    let unitsPerSecond = 1_000_000n;
    let offset = 0n;
    this.#options(at + 16, end, (code, off, length) => {
      if (code === IF_NAME) name = this.#text(off, length);
      else if (code === IF_TSRESOL && length === 1) {
        const value = this.#buffer[off];
        unitsPerSecond = (value & 0x80 ? 2n : 10n) ** BigInt(value & 0x7f);
      } else if (code === IF_TSOFFSET && length === 8) {
        offset = this.#dv.getBigInt64(off, this.#little);
      }
    });
    return {
      linkType: this.#dv.getUint16(at + 8, this.#little),
      snapLength: this.#dv.getUint32(at + 12, this.#little),
      name,
      unitsPerSecond,
      offset,
    };
  }

  #packet(at: number, data: number, end: number, interfaceId: number): CapturedFrame | null {
    const from = this.#interfaces[interfaceId];
    const length = this.#dv.getUint32(at + 20, this.#little);
    if (from === undefined) {
      this.error = `a packet of interface ${interfaceId}, which the capture does not describe`;
      return null;
    }
    if (data + length > end) {
      this.error = `a packet of ${length} bytes in a shorter block: the capture is damaged`;
      return null;
    }
    let direction: Direction | null = null;
    let comment: string | null = null;
    this.#options(data + ((length + 3) & ~3), end, (code, off, size) => {
      if (code === OPTION_COMMENT) comment = this.#text(off, size);
      else if (code === EPB_FLAGS && size === 4) {
        const bits = this.#dv.getUint32(off, this.#little) & 3;
        direction = bits === FLAG_INBOUND ? 'in' : bits === FLAG_OUTBOUND ? 'out' : null;
      }
    });
    const high = BigInt(this.#dv.getUint32(at + 12, this.#little));
    const units = (high << 32n) | BigInt(this.#dv.getUint32(at + 16, this.#little));
    return {
      time: (units * 1_000_000_000n) / from.unitsPerSecond + from.offset * 1_000_000_000n,
      bytes: this.#buffer.slice(data, data + length),
      wireLength: this.#dv.getUint32(at + 24, this.#little),
      linkType: from.linkType,
      direction,
      interfaceName: from.name,
      comment,
    };
  }

  /** A packet of interface 0 with neither time nor captured length. */
  #simplePacket(at: number, end: number): CapturedFrame | null {
    const from = this.#interfaces[0];
    if (from === undefined) {
      this.error = 'a simple packet, but the capture describes no interface';
      return null;
    }
    const wireLength = this.#dv.getUint32(at + 8, this.#little);
    const room = Math.min(end - at - 12, from.snapLength || Number.MAX_SAFE_INTEGER);
    return {
      time: 0n,
      bytes: this.#buffer.slice(at + 12, at + 12 + Math.min(wireLength, room)),
      wireLength,
      linkType: from.linkType,
      direction: null,
      interfaceName: from.name,
      comment: null,
    };
  }
}

/**
 * The frames of a capture that comes in pieces.
 * @throws Error that says what is wrong when it is not a capture, is damaged or breaks off; what came before has been yielded
 */
export async function* readCapture(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<CapturedFrame> {
  const reader = new CaptureReader();
  for await (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== null; frame = reader.next()) yield frame;
    if (reader.error !== null) break;
  }
  const problem = reader.finish();
  if (problem !== null) throw new Error(problem);
}
