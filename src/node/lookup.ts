// Names to addresses: literals, `localhost` (RFC 6761 §6.3), the hosts the stack was given, and otherwise a resolver in the shape of
// `dns.lookup`, by default the host system's.
//
// Answers come in a later tick, and only of families the stack speaks.

import type { LookupAddress, LookupOptions } from 'node:dns';
import { lookup as hostLookup } from 'node:dns';
import { isIP } from 'node:net';
import type { Lookup, LookupCallback } from './context.ts';

const EAI_NONAME = 'ENOTFOUND';

export interface LookupSettings {
  /** Names and their addresses, before any resolver is asked. */
  readonly hosts?: Readonly<Record<string, string | readonly string[]>>;
  /** Asked for every other name. */
  readonly lookup?: Lookup;
}

export function createLookup(settings: LookupSettings): Lookup {
  const hosts = new Map<string, readonly string[]>();
  for (const [name, value] of Object.entries(settings.hosts ?? {})) {
    hosts.set(name.toLowerCase(), typeof value === 'string' ? [value] : value);
  }
  const resolve = settings.lookup ?? (hostLookup as Lookup);
  return (hostname, options, callback) => {
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0);
    const literal = isIP(hostname);
    if (literal !== 0) answer([hostname], 0, options, hostname, callback);
    else if (hosts.has(name)) answer(hosts.get(name) ?? [], family, options, hostname, callback);
    else if (name === 'localhost' || name.endsWith('.localhost'))
      answer(['127.0.0.1'], family, options, hostname, callback);
    else resolve(hostname, { ...options, family: family === 6 ? 6 : 4 }, callback);
  };
}

function answer(
  addresses: readonly string[],
  family: number,
  options: LookupOptions,
  hostname: string,
  callback: LookupCallback,
): void {
  const found: LookupAddress[] = addresses
    .map((address) => ({ address, family: isIP(address) }))
    .filter((entry) => family === 0 || entry.family === family);
  process.nextTick(() => {
    if (found.length === 0) {
      const error = new Error(`getaddrinfo ${EAI_NONAME} ${hostname}`);
      callback(Object.assign(error, { errno: -3008, code: EAI_NONAME, syscall: 'getaddrinfo', hostname }), '', 0);
    } else if (options.all) callback(null, found);
    else callback(null, found[0].address, found[0].family);
  });
}
