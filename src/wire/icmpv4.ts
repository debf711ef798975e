// ICMP messages — RFC 792, address mask RFC 950, next-hop MTU RFC 1191, codes of RFC 1122 §3.2.2.1 and RFC 1812 §5.2.7.
//
// Received bytes must pass `check` once; after that the accessors that belong to the message's type are in bounds.
//
//   type 1 | code 1 | checksum 2 | rest of header 4 | errors: the packet complained about; queries: data

import type { Ipv4 } from './address.ts';

export const HEADER = 8;
export const TIMESTAMP_LENGTH = 20;
export const MASK_LENGTH = 12;
export const CHECKSUM_OFFSET = 2;

export const ECHO_REPLY = 0;
export const DESTINATION_UNREACHABLE = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO = 8;
export const ROUTER_ADVERTISEMENT = 9;
export const ROUTER_SOLICITATION = 10;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;
export const TIMESTAMP = 13;
export const TIMESTAMP_REPLY = 14;
export const ADDRESS_MASK = 17;
export const ADDRESS_MASK_REPLY = 18;

// Codes of DESTINATION_UNREACHABLE
export const NET_UNREACHABLE = 0;
export const HOST_UNREACHABLE = 1;
export const PROTOCOL_UNREACHABLE = 2;
export const PORT_UNREACHABLE = 3;
export const FRAGMENTATION_NEEDED = 4;
export const SOURCE_ROUTE_FAILED = 5;
export const NET_UNKNOWN = 6;
export const HOST_UNKNOWN = 7;
export const HOST_ISOLATED = 8;
export const NET_PROHIBITED = 9;
export const HOST_PROHIBITED = 10;
export const NET_UNREACHABLE_TOS = 11;
export const HOST_UNREACHABLE_TOS = 12;
export const ADMINISTRATIVELY_PROHIBITED = 13;
export const PRECEDENCE_VIOLATION = 14;
export const PRECEDENCE_CUTOFF = 15;
// Codes of TIME_EXCEEDED
export const TTL_EXCEEDED = 0;
export const REASSEMBLY_EXCEEDED = 1;
// Codes of REDIRECT
export const REDIRECT_NET = 0;
export const REDIRECT_HOST = 1;
export const REDIRECT_NET_TOS = 2;
export const REDIRECT_HOST_TOS = 3;
// Codes of PARAMETER_PROBLEM
export const POINTER_INDICATES = 0;
export const OPTION_MISSING = 1;
export const BAD_LENGTH = 2;

export const type = (dv: DataView, off: number): number => dv.getUint8(off);
export const code = (dv: DataView, off: number): number => dv.getUint8(off + 1);
export const checksum = (dv: DataView, off: number): number => dv.getUint16(off + 2);
/** The four bytes whose meaning depends on the type. */
export const rest = (dv: DataView, off: number): number => dv.getInt32(off + 4);
/** Echo, timestamp and address mask: identifier and sequence number. */
export const id = (dv: DataView, off: number): number => dv.getUint16(off + 4);
export const seq = (dv: DataView, off: number): number => dv.getUint16(off + 6);
/** Destination unreachable, code 4: MTU of the next hop, 0 from routers older than RFC 1191. */
export const mtu = (dv: DataView, off: number): number => dv.getUint16(off + 6);
/** Parameter problem, code 0: the octet of the quoted header where the error was found. */
export const pointer = (dv: DataView, off: number): number => dv.getUint8(off + 4);
/** Redirect: the router to use instead. */
export const gateway = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 4);
/** Timestamp and reply: milliseconds since midnight UT; the high bit marks any other unit. Unsigned. */
export const originate = (dv: DataView, off: number): number => dv.getUint32(off + 8);
export const receive = (dv: DataView, off: number): number => dv.getUint32(off + 12);
export const transmit = (dv: DataView, off: number): number => dv.getUint32(off + 16);
export const addressMask = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 8);

/** True for messages that report a problem with a packet: never answered with another (RFC 1122 §3.2.2). */
export const isError = (type: number): boolean =>
  type === DESTINATION_UNREACHABLE ||
  type === SOURCE_QUENCH ||
  type === REDIRECT ||
  type === TIME_EXCEEDED ||
  type === PARAMETER_PROBLEM;

/**
 * Bytes of fixed header of the message at `off` — what is quoted or echoed begins behind them — or 0 if [off, end) is too
 * short for its type. An unknown type passes with HEADER: RFC 1122 §3.2.2 wants it ignored, not called malformed.
 */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < HEADER) return 0;
  const length = fixedLength(type(dv, off));
  return off + length <= end ? length : 0;
}

function fixedLength(type: number): number {
  if (type === TIMESTAMP || type === TIMESTAMP_REPLY) return TIMESTAMP_LENGTH;
  if (type === ADDRESS_MASK || type === ADDRESS_MASK_REPLY) return MASK_LENGTH;
  return HEADER;
}

/** Write type, code and the rest of the header; the checksum is left zero. */
export function set(dv: DataView, off: number, type: number, code: number, rest: number): void {
  dv.setUint8(off, type);
  dv.setUint8(off + 1, code);
  dv.setUint16(off + 2, 0);
  dv.setInt32(off + 4, rest);
}

/** A query or its reply (ECHO, TIMESTAMP, ADDRESS_MASK …) with identifier and sequence number. */
export const setQuery = (dv: DataView, off: number, type: number, id: number, seq: number): void =>
  set(dv, off, type, 0, (id << 16) | seq);

export function setTimestamps(dv: DataView, off: number, originate: number, receive: number, transmit: number): void {
  dv.setUint32(off + 8, originate);
  dv.setUint32(off + 12, receive);
  dv.setUint32(off + 16, transmit);
}

export const setAddressMask = (dv: DataView, off: number, mask: Ipv4): void => dv.setInt32(off + 8, mask);
export const setChecksum = (dv: DataView, off: number, checksum: number): void => dv.setUint16(off + 2, checksum);

/** `rest` of a parameter problem that points at octet `pointer`. */
export const restOfPointer = (pointer: number): number => pointer << 24;

const TYPE_NAMES: Record<number, string> = {
  [ECHO_REPLY]: 'echo reply',
  [DESTINATION_UNREACHABLE]: 'destination unreachable',
  [SOURCE_QUENCH]: 'source quench',
  [REDIRECT]: 'redirect',
  [ECHO]: 'echo request',
  [ROUTER_ADVERTISEMENT]: 'router advertisement',
  [ROUTER_SOLICITATION]: 'router solicitation',
  [TIME_EXCEEDED]: 'time exceeded',
  [PARAMETER_PROBLEM]: 'parameter problem',
  [TIMESTAMP]: 'timestamp request',
  [TIMESTAMP_REPLY]: 'timestamp reply',
  [ADDRESS_MASK]: 'address mask request',
  [ADDRESS_MASK_REPLY]: 'address mask reply',
};

const CODE_NAMES: Record<number, readonly string[]> = {
  [DESTINATION_UNREACHABLE]: [
    'net unreachable',
    'host unreachable',
    'protocol unreachable',
    'port unreachable',
    'fragmentation needed',
    'source route failed',
    'destination net unknown',
    'destination host unknown',
    'source host isolated',
    'net administratively prohibited',
    'host administratively prohibited',
    'net unreachable for TOS',
    'host unreachable for TOS',
    'communication administratively prohibited',
    'host precedence violation',
    'precedence cutoff',
  ],
  [REDIRECT]: ['redirect for net', 'redirect for host', 'redirect for TOS and net', 'redirect for TOS and host'],
  [TIME_EXCEEDED]: ['time to live exceeded in transit', 'fragment reassembly time exceeded'],
  [PARAMETER_PROBLEM]: ['pointer indicates the error', 'required option missing', 'bad length'],
};

export const typeName = (type: number): string => TYPE_NAMES[type] ?? `type ${type}`;
/** The code in words; for types that have one code only, the name of the type. */
export const codeName = (type: number, code: number): string =>
  CODE_NAMES[type]?.[code] ?? (code === 0 ? typeName(type) : `${typeName(type)} code ${code}`);
