// What a payload is, in a few words: DNS, NTP and DHCP by their headers, the text protocols by their first line.
//
// A hint for the reader of a capture, by well-known port; never throws and never believes a length.

import { dnsHint } from './payload-dns.ts';

const TEXT_PORTS: Record<number, string> = {
  21: 'FTP',
  25: 'SMTP',
  79: 'FINGER',
  80: 'HTTP',
  110: 'POP3',
  119: 'NNTP',
  143: 'IMAP',
  194: 'IRC',
  587: 'SMTP',
  5060: 'SIP',
  6379: 'REDIS',
  6667: 'IRC',
  8000: 'HTTP',
  8080: 'HTTP',
};

const NTP_MODES = [
  'Reserved',
  'symmetric active',
  'symmetric passive',
  'Client',
  'Server',
  'Broadcast',
  'Control Message',
  'Private',
];
const DHCP_MESSAGES = ['', 'Discover', 'Offer', 'Request', 'Decline', 'ACK', 'NAK', 'Release', 'Inform'];
const MAX_LINE = 200;

/** The payload in words, or null when it is just bytes. */
export function hintOf(payload: Uint8Array, srcPort: number, dstPort: number, isTcp: boolean): string | null {
  const either = (port: number): boolean => srcPort === port || dstPort === port;
  if (either(53)) return dnsHint(isTcp ? payload.subarray(2) : payload);
  if (either(5353) && !isTcp) return dnsHint(payload);
  if (either(123) && !isTcp) return ntpHint(payload);
  if ((either(67) || either(68)) && !isTcp) return dhcpHint(payload);
  if (!isTcp) return null;
  const name = TEXT_PORTS[srcPort] ?? TEXT_PORTS[dstPort];
  const line = name === undefined ? null : firstLine(payload);
  return line === null ? null : `${name}: ${line}`;
}

/** The first line when the payload begins with text, or null. */
function firstLine(payload: Uint8Array): string | null {
  let line = '';
  for (let i = 0; i < Math.min(payload.length, MAX_LINE); i++) {
    const byte = payload[i];
    if (byte === 13 || byte === 10) break;
    if (byte !== 9 && (byte < 32 || byte > 126)) return null;
    line += byte === 9 ? ' ' : String.fromCharCode(byte);
  }
  return line === '' ? null : line;
}

function ntpHint(payload: Uint8Array): string | null {
  if (payload.length < 12) return null;
  const version = (payload[0] >> 3) & 7;
  const mode = payload[0] & 7;
  return version === 0 ? null : `NTPv${version}, ${NTP_MODES[mode]}, length ${payload.length}`;
}

function dhcpHint(payload: Uint8Array): string | null {
  const dv = new DataView(payload.buffer, payload.byteOffset, payload.length);
  if (payload.length < 240 || dv.getUint32(236) !== 0x63825363) return null;
  let message = '';
  for (let at = 240; at + 2 < payload.length && payload[at] !== 255; ) {
    if (payload[at] === 0) {
      at++;
      continue;
    }
    if (payload[at] === 53) message = ` ${DHCP_MESSAGES[payload[at + 2]] ?? payload[at + 2]}`;
    at += 2 + payload[at + 1];
  }
  const mac = [...payload.subarray(28, 34)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return `BOOTP/DHCP,${payload[0] === 2 ? ' Reply' : ' Request'}${message} from ${mac}, length ${payload.length}`;
}
