// pcapng blocks, written — draft-ietf-opsawg-pcapng §3, §4.
//
// Pure functions: fields in, the bytes of one block out. A file is a section header, an interface description per interface (numbered in
// order from 0), then packets. Little-endian; timestamps are nanoseconds (if_tsresol 9).
//
//   block:  type 4 | total length 4 | body | options | total length 4       everything padded to a multiple of four

import type { Direction } from './frame.ts';
import { LINKTYPE_ETHERNET } from './frame.ts';

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_OBSOLETE_PACKET = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_STATISTICS = 5;
export const BLOCK_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
export const SHB_HARDWARE = 2;
export const SHB_OS = 3;
export const SHB_USERAPPL = 4;
export const IF_NAME = 2;
export const IF_DESCRIPTION = 3;
export const IF_MACADDR = 6;
export const IF_TSRESOL = 9;
export const IF_TSOFFSET = 14;
export const EPB_FLAGS = 2;
export const ISB_IFRECV = 4;
export const ISB_IFDROP = 5;

/** Direction bits of epb_flags (§4.3.1). */
export const FLAG_INBOUND = 1;
export const FLAG_OUTBOUND = 2;

const NANOSECONDS = 9;
const MAX_COMMENT = 0xfff0;

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

const utf8 = new TextEncoder();
const text = (code: number, value: string): Option => ({ code, value: utf8.encode(value).subarray(0, MAX_COMMENT) });
const padded = (length: number): number => (length + 3) & ~3;

function block(type: number, body: number, options: readonly Option[]): DataView {
  let length = 12 + padded(body);
  for (const option of options) length += 4 + padded(option.value.length);
  if (options.length > 0) length += 4;
  const bytes = new Uint8Array(length);
  const dv = new DataView(bytes.buffer);
  dv.setUint32(0, type, true);
  dv.setUint32(4, length, true);
  let at = 8 + padded(body);
  for (const { code, value } of options) {
    dv.setUint16(at, code, true);
    dv.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  dv.setUint32(length - 4, length, true);
  return dv;
}

const bytesOf = (dv: DataView): Uint8Array => new Uint8Array(dv.buffer);

/** Begin a section (§4.1). `application` names what wrote it. */
export function sectionHeader(application: string, comment?: string): Uint8Array {
  const options = [text(SHB_USERAPPL, application)];
  if (comment !== undefined) options.unshift(text(OPTION_COMMENT, comment));
  const dv = block(BLOCK_SECTION, 16, options);
  dv.setUint32(8, BYTE_ORDER_MAGIC, true);
  dv.setUint16(12, 1, true);
  dv.setUint16(14, 0, true);
  dv.setBigInt64(16, -1n, true); // length of the section: not known
  return bytesOf(dv);
}

export interface InterfaceDescription {
  readonly name: string;
  readonly description?: string;
  readonly linkType?: number;
  /** Most bytes kept of a frame; 0: no limit. */
  readonly snapLength?: number;
  /** Six bytes. */
  readonly mac?: Uint8Array;
}

/** Describe the next interface of the section (§4.2). */
export function interfaceDescription(of: InterfaceDescription): Uint8Array {
  const options = [text(IF_NAME, of.name)];
  if (of.description !== undefined) options.push(text(IF_DESCRIPTION, of.description));
  if (of.mac !== undefined) options.push({ code: IF_MACADDR, value: of.mac });
  options.push({ code: IF_TSRESOL, value: new Uint8Array([NANOSECONDS]) });
  const dv = block(BLOCK_INTERFACE, 8, options);
  dv.setUint16(8, of.linkType ?? LINKTYPE_ETHERNET, true);
  dv.setUint32(12, of.snapLength ?? 0, true);
  return bytesOf(dv);
}

function setTime(dv: DataView, off: number, nanos: bigint): void {
  dv.setUint32(off, Number((nanos >> 32n) & 0xffffffffn), true);
  dv.setUint32(off + 4, Number(nanos & 0xffffffffn), true);
}

/** One packet (§4.3): `length` bytes at `off` of `bytes`, which were `wireLength` long on the wire. */
export function packet(
  interfaceId: number,
  nanos: bigint,
  direction: Direction | null,
  bytes: Uint8Array,
  off: number,
  length: number,
  wireLength = length,
  comment?: string,
): Uint8Array {
  const options: Option[] = [];
  if (comment !== undefined) options.push(text(OPTION_COMMENT, comment));
  if (direction !== null) {
    options.push({ code: EPB_FLAGS, value: direction === 'in' ? INBOUND_VALUE : OUTBOUND_VALUE });
  }
  const dv = block(BLOCK_PACKET, 20 + length, options);
  dv.setUint32(8, interfaceId, true);
  setTime(dv, 12, nanos);
  dv.setUint32(20, length, true);
  dv.setUint32(24, wireLength, true);
  const target = bytesOf(dv);
  target.set(bytes.subarray(off, off + length), 28);
  return target;
}

const INBOUND_VALUE = new Uint8Array([FLAG_INBOUND, 0, 0, 0]);
const OUTBOUND_VALUE = new Uint8Array([FLAG_OUTBOUND, 0, 0, 0]);

/** What an interface has seen and what the capture missed of it (§4.6). */
export function interfaceStatistics(interfaceId: number, nanos: bigint, received: number, dropped: number): Uint8Array {
  const counter = (code: number, count: number): Option => {
    const value = new Uint8Array(8);
    new DataView(value.buffer).setBigUint64(0, BigInt(count), true);
    return { code, value };
  };
  const dv = block(BLOCK_STATISTICS, 12, [counter(ISB_IFRECV, received), counter(ISB_IFDROP, dropped)]);
  dv.setUint32(8, interfaceId, true);
  setTime(dv, 12, nanos);
  return bytesOf(dv);
}
