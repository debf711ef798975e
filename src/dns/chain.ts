// From a response to what was asked for: through its aliases (RFC 1034 §3.6.2), or to the reason why there is nothing.
//
// Only records that belong to the question count; whatever else a server put into its answer is not looked at (RFC 5452 §6).

import type { Answer, DecodedPacket } from 'dns-packet';
import { canonical, NXDOMAIN, type QueryType, rcodeOf } from './message.ts';

export interface Chain {
  readonly records: readonly Answer[];
  /** The name at the end of the aliases. */
  readonly target: string;
  /** Seconds until the first of the records passed expires; of the SOA when there is nothing. */
  readonly ttl: number;
  readonly missing: 'ENODATA' | 'ENOTFOUND' | null;
  /** The server says no more about `target`: somebody has to be asked about it. */
  readonly isDangling: boolean;
  /** The aliases lead back to where they began. */
  readonly isLoop: boolean;
}

// RFC 2181 §8: a TTL with its highest bit set counts as zero.
const ttlOf = (ttl: number | undefined): number => (ttl === undefined || ttl > 0x7fffffff ? 0 : ttl);

const isInternet = (record: Answer): boolean => 'class' in record && record.class === 'IN';

export function follow(packet: DecodedPacket, name: string, type: QueryType): Chain {
  const answers = (packet.answers ?? []).filter(isInternet);
  const authorities = (packet.authorities ?? []).filter(isInternet);
  const aliases = new Map<string, { target: string; ttl: number }>();
  for (const record of answers) {
    if (record.type === 'CNAME')
      aliases.set(canonical(record.name), { target: canonical(record.data), ttl: ttlOf(record.ttl) });
  }
  let target = canonical(name);
  let ttl = Infinity;
  const passed = new Set<string>();
  if (type !== 'CNAME' && type !== 'ANY') {
    for (let alias = aliases.get(target); alias !== undefined; alias = aliases.get(target)) {
      if (passed.has(target)) return { records: [], target, ttl: 0, missing: null, isDangling: false, isLoop: true };
      passed.add(target);
      target = alias.target;
      ttl = Math.min(ttl, alias.ttl);
    }
  }
  const records = answers
    .filter((record) => canonical(record.name) === target && (record.type === type || type === 'ANY'))
    .map((record) => ({ ...record, ttl: Math.min(ttl, ttlOf('ttl' in record ? record.ttl : 0)) }));
  if (records.length > 0) {
    const least = Math.min(...records.map((record) => record.ttl));
    return { records, target, ttl: least, missing: null, isDangling: false, isLoop: false };
  }
  // RFC 2308 §5: a negative answer lives as long as its SOA record, but not longer than that one's MINIMUM says.
  const soa = authorities.find((record) => record.type === 'SOA');
  const negative = soa?.type === 'SOA' ? Math.min(ttlOf(soa.ttl), soa.data.minimum ?? 0, ttl) : 0;
  const missing = rcodeOf(packet) === NXDOMAIN ? 'ENOTFOUND' : 'ENODATA';
  const isDangling = passed.size > 0 && missing === 'ENODATA' && soa === undefined;
  return { records: [], target, ttl: isDangling ? ttl : negative, missing, isDangling, isLoop: false };
}
