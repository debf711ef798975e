// NTP packet — RFC 5905 §7.3.
//
//    0                   1                   2                   3
//   |LI | VN  |Mode |    Stratum     |     Poll      |   Precision   |
//   |  Root Delay · Root Dispersion · Reference ID        (4 each)   |
//   |  Reference · Origin · Receive · Transmit Timestamp  (8 each)   |
//   |  extension fields (RFC 7822)                 | MAC (key id, …)  |
//
// `decode` is the only way in: it returns null for what is no packet, and never throws.

import type { Timestamp } from './timestamp.ts';

export const HEADER = 48;
const MIN_EXTENSION = 16;
const KEY_ID = 4;
/** Key id alone (a crypto-NAK), DES (RFC 1305), MD5, SHA-1. */
const MAC_LENGTHS: ReadonlySet<number> = new Set([4, 12, 20, 24]);

export const LEAP_NONE = 0;
export const LEAP_INSERT = 1;
export const LEAP_DELETE = 2;
export const LEAP_UNSYNCHRONISED = 3;

export const MODE_RESERVED = 0;
export const MODE_ACTIVE = 1;
export const MODE_PASSIVE = 2;
export const MODE_CLIENT = 3;
export const MODE_SERVER = 4;

export const STRATUM_KISS = 0;
export const STRATUM_UNSYNCHRONISED = 16;

export interface Packet {
  leap: number;
  version: number;
  mode: number;
  /** As on the wire: 0 is a kiss-o'-death or unspecified. */
  stratum: number;
  /** log2 seconds. */
  poll: number;
  /** log2 seconds. */
  precision: number;
  /** Short format. */
  rootDelay: number;
  rootDispersion: number;
  referenceId: number;
  reference: Timestamp;
  origin: Timestamp;
  receive: Timestamp;
  transmit: Timestamp;
}

export interface Decoded extends Packet {
  /** Octets behind header and extension fields: 0 for none. */
  macLength: number;
}

export function decode(message: Uint8Array): Decoded | null {
  if (message.length < HEADER) return null;
  const dv = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const version = (dv.getUint8(0) >> 3) & 7;
  const macLength = measureMac(dv, version);
  if (macLength < 0) return null;
  return {
    leap: dv.getUint8(0) >> 6,
    version,
    mode: dv.getUint8(0) & 7,
    stratum: dv.getUint8(1),
    poll: dv.getInt8(2),
    precision: dv.getInt8(3),
    rootDelay: dv.getUint32(4),
    rootDispersion: dv.getUint32(8),
    referenceId: dv.getUint32(12),
    reference: dv.getBigUint64(16),
    origin: dv.getBigUint64(24),
    receive: dv.getBigUint64(32),
    transmit: dv.getBigUint64(40),
    macLength,
  };
}

/**
 * RFC 7822 §3: what remains is a MAC when it has the length of one, and otherwise starts with an extension field. -1: neither.
 * Only version 4 has extension fields.
 */
function measureMac(dv: DataView, version: number): number {
  let at = HEADER;
  for (;;) {
    const rest = dv.byteLength - at;
    if (rest === 0 || MAC_LENGTHS.has(rest)) return rest;
    if (version < 4 || rest < MIN_EXTENSION) return -1;
    const length = dv.getUint16(at + 2);
    if (length < MIN_EXTENSION || length % 4 !== 0 || length > rest) return -1;
    at += length;
  }
}

/** `cryptoNak`: four octets of zero behind the header (RFC 5905 §7.4 and §9.2): "your key is not known here". */
export function encode(packet: Packet, cryptoNak = false): Uint8Array {
  const message = new Uint8Array(HEADER + (cryptoNak ? KEY_ID : 0));
  const dv = new DataView(message.buffer);
  dv.setUint8(0, (packet.leap << 6) | (packet.version << 3) | packet.mode);
  dv.setUint8(1, packet.stratum);
  dv.setInt8(2, packet.poll);
  dv.setInt8(3, packet.precision);
  dv.setUint32(4, packet.rootDelay);
  dv.setUint32(8, packet.rootDispersion);
  dv.setUint32(12, packet.referenceId);
  dv.setBigUint64(16, packet.reference);
  dv.setBigUint64(24, packet.origin);
  dv.setBigUint64(32, packet.receive);
  dv.setBigUint64(40, packet.transmit);
  return message;
}

/** A reference id from four ASCII characters or less, or from a dotted quad (RFC 5905 §7.3). */
export function parseReferenceId(text: string): number {
  const quad = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const octets = quad ? quad.slice(1).map(Number) : [...text].map((c) => c.charCodeAt(0));
  const fits = quad ? octets.every((octet) => octet <= 255) : octets.every((octet) => octet > 0x20 && octet < 0x7f);
  if (!fits || octets.length === 0 || octets.length > 4) {
    throw new RangeError(`reference id ${JSON.stringify(text)}: give one to four ASCII characters or an IPv4 address`);
  }
  return octets.reduce((id, octet, i) => id + octet * 2 ** (24 - 8 * i), 0);
}

/** As people write it: ASCII for strata 0 and 1, an address (or a hash that looks like one) above. */
export function formatReferenceId(id: number, stratum: number): string {
  const octets = [id >>> 24, (id >>> 16) & 0xff, (id >>> 8) & 0xff, id & 0xff];
  if (stratum > 1) return octets.join('.');
  return octets
    .filter((octet) => octet !== 0)
    .map((octet) =>
      octet > 0x20 && octet < 0x7f ? String.fromCharCode(octet) : `\\x${octet.toString(16).padStart(2, '0')}`,
    )
    .join('');
}
