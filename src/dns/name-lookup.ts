// Names to addresses by DNS, as getaddrinfo(3) does it: a file of hosts first, then the servers, with the search list of resolv.conf(5).

import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { Lookup } from '../node/context.ts';
import { Failure, lookupError } from './errors.ts';
import type { HostsFile } from './hosts-file.ts';
import { canonical } from './message.ts';
import type { Queries } from './queries.ts';

export interface SearchSettings {
  readonly search: readonly string[];
  readonly ndots: number;
}

/** The names to be tried for `name`, in order. */
export function candidates(name: string, { search, ndots }: SearchSettings): string[] {
  if (name.endsWith('.')) return [name];
  const extended = search.map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...extended] : [...extended, name];
}

export function createNameLookup(queries: Queries, hosts: HostsFile | null, settings: SearchSettings): Lookup {
  const find = async (name: string, family: 4 | 6): Promise<string[]> => {
    const known = (await hosts?.addresses(name)) ?? [];
    const ours = known.filter((address) => isIP(address) === family);
    if (ours.length > 0) return ours;
    // RFC 6761 §6.4: nobody needs to be asked about these.
    if (/(^|\.)invalid$/.test(canonical(name))) throw new Failure('ENOTFOUND');
    let nothing = new Failure('ENOTFOUND');
    let trouble: Failure | null = null;
    for (const candidate of candidates(name, settings)) {
      try {
        return await queries.addresses(candidate, family);
      } catch (reason) {
        if (!(reason instanceof Failure) || reason.code === 'ECANCELLED') throw reason;
        // A name that exists without such an address tells more than one that does not exist.
        if (reason.code === 'ENODATA') nothing = reason;
        else if (reason.code !== 'ENOTFOUND' && reason.code !== 'EBADNAME') trouble ??= reason;
        // Silence would be the same for the next candidate; a failure of one domain's servers need not be.
        if (reason.code === 'ETIMEOUT' || reason.code === 'ECONNREFUSED') break;
      }
    }
    throw trouble ?? nothing;
  };

  return (hostname, options, callback) => {
    const family = options.family === 6 || options.family === 'IPv6' ? 6 : 4;
    // What a callback throws is an uncaught exception, as with Node, and no rejection.
    find(hostname, family).then(
      (addresses) => {
        const found: LookupAddress[] = addresses.map((address) => ({ address, family }));
        if (options.all) process.nextTick(callback, null, found);
        else process.nextTick(callback, null, found[0].address, family);
      },
      (reason: unknown) => process.nextTick(callback, lookupError(reason, 'getaddrinfo', hostname), '', 0),
    );
  };
}
