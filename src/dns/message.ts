// DNS messages — RFC 1035 §4, EDNS(0) of RFC 6891. The bytes are the business of the `dns-packet` codec; what may pass for an answer is ours.
//
// Invariant: `answerTo` never throws, whatever the bytes.

import type { Answer, DecodedPacket, Packet, RecordType } from 'dns-packet';
import { decode, encode, RECURSION_DESIRED } from 'dns-packet';
import { Failure } from './errors.ts';

/** Record types one can ask for. */
export type QueryType = RecordType | 'ANY';

/** What DNS flag day 2020 settled on: it fits the smallest MTU of IPv6, so answers are never fragmented. */
const UDP_PAYLOAD = 1232;

export const NOERROR = 0;
export const FORMERR = 1;
export const SERVFAIL = 2;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;
export const BADVERS = 16;

export interface Query {
  readonly id: number;
  readonly name: string;
  readonly type: QueryType;
  readonly bytes: Buffer;
}

/** Names compare without regard to ASCII case (RFC 4343 §3), and one dot at the end says nothing. */
export const canonical = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(/(?<=.)\.$/, '');

/** @throws Failure EBADNAME when `name` cannot be put into a message: RFC 1035 §2.3.4 has labels of 63 octets and names of 255. */
export function checkName(name: string): void {
  const bare = name.replace(/\.$/, '');
  if (bare === '') return; // the root
  if (Buffer.byteLength(bare) > 253) throw new Failure('EBADNAME');
  for (const label of bare.split('.')) {
    const length = Buffer.byteLength(label);
    if (length === 0 || length > 63) throw new Failure('EBADNAME');
  }
}

/** A question, with EDNS(0) unless the server does not know it. */
export function question(id: number, name: string, type: QueryType, edns: boolean): Query {
  const additionals: Answer[] = [];
  if (edns) {
    additionals.push({
      type: 'OPT',
      name: '.',
      udpPayloadSize: UDP_PAYLOAD,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    });
  }
  const packet: Packet = {
    type: 'query',
    id,
    flags: RECURSION_DESIRED, // RFC 1123 §6.1.3.1: a stub resolver asks for recursion
    questions: [{ type: type as RecordType, name, class: 'IN' }],
    additionals,
  };
  return { id, name: canonical(name), type, bytes: encode(packet) };
}

/** The answer to `query` in `bytes`; null when it is none. */
export function answerTo(query: Query, bytes: Buffer): DecodedPacket | null {
  let packet: DecodedPacket;
  try {
    packet = decode(bytes);
  } catch {
    return null; // malformed
  }
  // RFC 5452 §9.1: the id and the question have to be those of the query; addresses and ports are seen to by the socket.
  if (packet.id !== query.id || !packet.flag_qr) return null;
  const asked = packet.questions ?? [];
  // RFC 6891 §7: a server that knows no EDNS may send nothing but the header with its FORMERR.
  if (asked.length === 0 && rcodeOf(packet) === FORMERR) return packet;
  if (asked.length !== 1) return null;
  const [{ name, type, class: qclass }] = asked;
  return canonical(name) === query.name && (type as string) === query.type && qclass === 'IN' ? packet : null;
}

/** The whole response code: its upper eight bits are in the OPT record (RFC 6891 §6.1.3). */
export function rcodeOf(packet: DecodedPacket): number {
  const low = (packet.flags ?? 0) & 0xf;
  const opt = (packet.additionals ?? []).find((record) => record.type === 'OPT');
  return opt?.type === 'OPT' ? (opt.extendedRcode << 4) | low : low;
}

/** True when `packet` carries an OPT record: its sender knows EDNS. */
export const hasEdns = (packet: DecodedPacket): boolean =>
  (packet.additionals ?? []).some((record) => record.type === 'OPT');
