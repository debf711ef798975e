// Addresses of name servers as `dns.setServers()` takes them: "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353".

import { isIP, isIPv6 } from 'node:net';

export interface ServerAddress {
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;

/** Null when `text` is no such address. */
export function parseServer(text: string): ServerAddress | null {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const match = /^\[([^\]]*)\](?::(\d+))?$/.exec(text) ?? /^([^:]+):(\d+)$/.exec(text);
  if (match === null) return null;
  const [, address, digits] = match;
  const port = digits === undefined ? DNS_PORT : Number(digits);
  if (isIP(address) === 0 || port > 0xffff) return null;
  return { address, port: port || DNS_PORT };
}

export function formatServer({ address, port }: ServerAddress): string {
  if (port === DNS_PORT) return address;
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
