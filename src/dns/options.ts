// What `createStack({ dns })` takes. Everything is checked before anything is opened.

import { invalidAddress, invalidArgType, invalidArgValue } from '../node/errors.ts';
import { validateBoolean, validateInt32, validateObject, validateString } from '../node/validate.ts';
import { checkName } from './message.ts';
import { parseServer, type ServerAddress } from './server-address.ts';
import type { StubOptions } from './stub-resolver.ts';

export interface DnsOptions extends StubOptions {
  /** Name servers, in the order they are asked: "10.9.0.1", "10.9.0.1:5353", "[2001:db8::1]:53". */
  servers?: readonly string[];
  /** Domains in which `lookup` looks for names with fewer dots than `ndots`, as in resolv.conf(5). */
  search?: readonly string[];
  /** Default 1. */
  ndots?: number;
  /** A file in the format of hosts(5), consulted before any server. */
  hostsFile?: string;
}

const KEYS = new Set([
  'servers',
  'search',
  'ndots',
  'hostsFile',
  'timeout',
  'tries',
  'maxTimeout',
  'rotate',
  'cacheSize',
]);

/** @throws TypeError or RangeError that says which option is wrong, and how */
export function checkDnsOptions(options: DnsOptions | undefined, at: string): void {
  if (options === undefined) return;
  validateObject(options, at);
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key))
      throw invalidArgValue(`${at}.${key}`, Reflect.get(options, key), 'is not an option of a resolver');
  }
  const { servers, search, ndots, hostsFile, cacheSize } = options;
  if (servers !== undefined) checkServers(servers, `${at}.servers`);
  if (search !== undefined) {
    if (!Array.isArray(search)) throw invalidArgType(`${at}.search`, 'Array', search);
    for (const [i, domain] of search.entries()) checkDomain(domain, `${at}.search[${i}]`);
  }
  if (ndots !== undefined) validateInt32(ndots, `${at}.ndots`, 0);
  if (hostsFile !== undefined) validateString(hostsFile, `${at}.hostsFile`);
  if (cacheSize !== undefined) validateInt32(cacheSize, `${at}.cacheSize`, 0);
  checkStubOptions(options, at);
}

/** Those that `new dns.Resolver()` takes too. */
export function checkStubOptions({ timeout, tries, maxTimeout, rotate }: StubOptions, at: string): void {
  if (timeout !== undefined) validateInt32(timeout, `${at}.timeout`, -1);
  if (tries !== undefined) validateInt32(tries, `${at}.tries`, 1);
  if (maxTimeout !== undefined) validateInt32(maxTimeout, `${at}.maxTimeout`, 0);
  if (rotate !== undefined) validateBoolean(rotate, `${at}.rotate`);
}

/** @throws TypeError ERR_INVALID_ARG_TYPE, ERR_INVALID_IP_ADDRESS, as `dns.setServers()` does */
export function checkServers(servers: unknown, at: string): ServerAddress[] {
  if (!Array.isArray(servers)) throw invalidArgType(at, 'Array', servers);
  return servers.map((text: unknown, i) => {
    validateString(text, `${at}[${i}]`);
    const server = parseServer(text);
    if (server === null) throw invalidAddress(text);
    return server;
  });
}

function checkDomain(domain: unknown, at: string): void {
  validateString(domain, at);
  try {
    checkName(domain);
  } catch {
    throw invalidArgValue(at, domain, 'must be a domain name, like example.org');
  }
}
