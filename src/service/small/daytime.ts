// Daytime — RFC 867, and Time — RFC 868. Both answer a connection by the time and close, and a datagram by the time.
//
// The text is ISO 8601 in UTC: RFC 867 leaves the syntax open, and this one is read by people and programs alike.
// 26 octets for an empty datagram: with its headers the answer is less than twice the question.

import type { StreamSocket } from '../api.ts';
import type { SmallService } from './pair.ts';

const SECONDS_1900_TO_1970 = 2_208_988_800;

export function daytimeText(at: Date): string {
  return `${at.toISOString()}\r\n`;
}

/** Seconds since 1900-01-01 as 32 bits, most significant octet first (RFC 868; wraps in 2036). */
export function timeOctets(at: Date): Uint8Array {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setUint32(0, Math.floor(at.getTime() / 1000) + SECONDS_1900_TO_1970);
  return octets;
}

/** Write and close. What the peer sends is thrown away (RFC 867), so that closing does not reset the connection. */
function say(socket: StreamSocket, what: string | Uint8Array): void {
  socket.resume();
  socket.end(what);
}

export const daytime: SmallService = {
  name: 'daytime',
  port: 13,
  accept: (socket) => say(socket, daytimeText(new Date())),
  answer: () => Buffer.from(daytimeText(new Date()), 'latin1'),
};

export const time: SmallService = {
  name: 'time',
  port: 37,
  accept: (socket) => say(socket, timeOctets(new Date())),
  answer: () => timeOctets(new Date()),
};
