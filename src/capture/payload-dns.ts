// A DNS message in one line, in tcpdump's notation — RFC 1035 §4.1.

import { Address, formatIpv4 } from '../wire/address.ts';

const TYPES: Record<number, string> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  33: 'SRV',
  41: 'OPT',
  64: 'SVCB',
  65: 'HTTPS',
  255: 'ANY',
};
const RCODES = ['', 'FormErr', 'ServFail', 'NXDomain', 'NotImp', 'Refused'];
const MAX_POINTERS = 32;
const MAX_RECORDS = 8;

const typeName = (type: number): string => TYPES[type] ?? `Type${type}`;

/** `4660+ A? example.com. (29)` for a query, `4660 1/0/0 A 192.0.2.1 (45)` for an answer; null when it is no DNS message. */
export function dnsHint(message: Uint8Array): string | null {
  const dv = new DataView(message.buffer, message.byteOffset, message.length);
  if (message.length < 12) return null;
  const flags = dv.getUint16(2);
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => dv.getUint16(at));
  const isResponse = (flags & 0x8000) !== 0;
  let at = 12;
  const asked: string[] = [];
  for (let i = 0; i < Math.min(questions, MAX_RECORDS); i++) {
    const name = readName(message, at);
    if (name === null || name.next + 4 > message.length) return null;
    asked.push(`${typeName(dv.getUint16(name.next))}? ${name.text}`);
    at = name.next + 4;
  }
  const bits = isResponse
    ? `${flags & 0x0400 ? '*' : ''}${flags & 0x0080 ? '' : '-'}${flags & 0x0200 ? '|' : ''}`
    : `${flags & 0x0100 ? '+' : ''}`;
  const head = `${dv.getUint16(0)}${bits}`;
  if (!isResponse) return `${head} ${asked.join(', ')} (${message.length})`;
  const rcode = flags & 15;
  const records: string[] = [];
  for (let i = 0; i < Math.min(answers, MAX_RECORDS); i++) {
    const name = readName(message, at);
    if (name === null || name.next + 10 > message.length) break;
    const type = dv.getUint16(name.next);
    const data = name.next + 10;
    const length = dv.getUint16(name.next + 8);
    if (data + length > message.length) break;
    records.push(describeRecord(message, dv, type, data, length));
    at = data + length;
  }
  const status = rcode === 0 ? '' : ` ${RCODES[rcode] ?? `rcode ${rcode}`}`;
  const list = records.length > 0 ? ` ${records.join(', ')}` : '';
  return `${head}${status} ${answers}/${authorities}/${additionals}${list} (${message.length})`;
}

function describeRecord(message: Uint8Array, dv: DataView, type: number, at: number, length: number): string {
  const name = typeName(type);
  if (type === 1 && length === 4) return `A ${formatIpv4(dv.getInt32(at))}`;
  if (type === 28 && length === 16) {
    const address = new Address();
    address.w0 = dv.getInt32(at);
    address.w1 = dv.getInt32(at + 4);
    address.w2 = dv.getInt32(at + 8);
    address.w3 = dv.getInt32(at + 12);
    return `AAAA ${address}`;
  }
  if (type === 2 || type === 5 || type === 12) return `${name} ${readName(message, at)?.text ?? '[bad]'}`;
  if (type === 15 && length > 2) return `MX ${readName(message, at + 2)?.text ?? '[bad]'} ${dv.getUint16(at)}`;
  if (type === 33 && length > 6) return `SRV ${readName(message, at + 6)?.text ?? '[bad]'}:${dv.getUint16(at + 4)}`;
  return name;
}

/** The name at `at` and where the bytes behind it begin. Pointers must point backwards, so following them ends (RFC 1035 §4.1.4). */
function readName(message: Uint8Array, at: number): { text: string; next: number } | null {
  let text = '';
  let next = -1;
  let limit = at;
  for (let jumps = 0; jumps < MAX_POINTERS; ) {
    if (at >= message.length || text.length > 255) return null;
    const length = message[at];
    if (length === 0) return { text: text === '' ? '.' : text, next: next < 0 ? at + 1 : next };
    if (length >= 0xc0) {
      if (at + 1 >= message.length) return null;
      const target = ((length & 0x3f) << 8) | message[at + 1];
      if (next < 0) next = at + 2;
      if (target >= limit) return null;
      limit = target;
      at = target;
      jumps++;
      continue;
    }
    if (length > 63 || at + 1 + length > message.length) return null;
    for (let i = at + 1; i <= at + length; i++) {
      const byte = message[i];
      text += byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\${byte.toString().padStart(3, '0')}`;
    }
    text += '.';
    at += 1 + length;
  }
  return null;
}
