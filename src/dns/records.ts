// What Node makes of each type of record, and what it calls the asking.

import type { AnyRecord } from 'node:dns';
import type { Answer, TxtData } from 'dns-packet';
import type { QueryType } from './message.ts';

export interface RecordKind {
  /** `syscall` of errors. */
  readonly syscall: string;
  readonly type: QueryType;
  /** What the program is given for one record; undefined for records of other types. */
  readonly convert: (record: Answer, withTtl: boolean) => unknown;
}

const withTtl = (record: Answer, isWanted: boolean, address: string): unknown =>
  isWanted ? { address, ttl: 'ttl' in record ? (record.ttl ?? 0) : 0 } : address;

/** Character strings, which have no encoding (RFC 1035 §3.3): each byte is a character, as with Node. */
const texts = (data: TxtData): string[] =>
  (Array.isArray(data) ? data : [data]).map((part) => (typeof part === 'string' ? part : part.toString('latin1')));

/** Node has no dot at the end, and the root is empty. */
const bare = (name: string): string => (name === '.' ? '' : name);

const CONVERT: Partial<Record<QueryType, RecordKind['convert']>> = {
  A: (record, ttl) => (record.type === 'A' ? withTtl(record, ttl, record.data) : undefined),
  AAAA: (record, ttl) => (record.type === 'AAAA' ? withTtl(record, ttl, record.data) : undefined),
  CNAME: (record) => (record.type === 'CNAME' ? bare(record.data) : undefined),
  NS: (record) => (record.type === 'NS' ? bare(record.data) : undefined),
  PTR: (record) => (record.type === 'PTR' ? bare(record.data) : undefined),
  MX: (record) =>
    record.type === 'MX' ? { exchange: bare(record.data.exchange), priority: record.data.preference ?? 0 } : undefined,
  TXT: (record) => (record.type === 'TXT' ? texts(record.data) : undefined),
  SRV: (record) => {
    if (record.type !== 'SRV') return undefined;
    const { target, port, priority = 0, weight = 0 } = record.data;
    return { name: bare(target), port, priority, weight };
  },
  SOA: (record) => {
    if (record.type !== 'SOA') return undefined;
    const { mname, rname, serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0 } = record.data;
    return { nsname: bare(mname), hostmaster: bare(rname), serial, refresh, retry, expire, minttl: minimum };
  },
  CAA: (record) => {
    if (record.type !== 'CAA') return undefined;
    const { flags = 0, tag, value } = record.data;
    return { critical: flags, [tag]: value };
  },
  NAPTR: (record) => {
    if (record.type !== 'NAPTR') return undefined;
    const { flags, services, regexp, replacement, order, preference } = record.data;
    return { flags, service: services, regexp, replacement: bare(replacement), order, preference };
  },
  TLSA: (record) => {
    if (record.type !== 'TLSA') return undefined;
    const { usage, selector, matchingType, certificate } = record.data;
    const bytes = new Uint8Array(certificate).buffer;
    return { certUsage: usage, selector, match: matchingType, data: bytes };
  },
};

/** One element of what `resolveAny` gives: the record with its type. */
function any(record: Answer): AnyRecord | undefined {
  const { type } = record;
  const value = CONVERT[type as QueryType]?.(record, true);
  if (value === undefined) return undefined;
  if (type === 'TXT') return { type, entries: value as string[] };
  if (typeof value === 'string') return { type, value } as AnyRecord;
  return { ...(value as object), type } as AnyRecord;
}

const kind = (type: QueryType, suffix: string): RecordKind => ({
  syscall: `query${suffix}`,
  type,
  convert: CONVERT[type] as RecordKind['convert'],
});

/** By the name of the method that asks for them. */
export const RECORD_KINDS = {
  resolve4: kind('A', 'A'),
  resolve6: kind('AAAA', 'Aaaa'),
  resolveAny: { syscall: 'queryAny', type: 'ANY', convert: any } as RecordKind,
  resolveCaa: kind('CAA', 'Caa'),
  resolveCname: kind('CNAME', 'Cname'),
  resolveMx: kind('MX', 'Mx'),
  resolveNaptr: kind('NAPTR', 'Naptr'),
  resolveNs: kind('NS', 'Ns'),
  resolvePtr: kind('PTR', 'Ptr'),
  resolveSoa: kind('SOA', 'Soa'),
  resolveSrv: kind('SRV', 'Srv'),
  resolveTlsa: kind('TLSA', 'Tlsa'),
  resolveTxt: kind('TXT', 'Txt'),
};

export type ResolveMethod = keyof typeof RECORD_KINDS;

/** Methods by the `rrtype` of `resolve()`. */
export const METHOD_OF: Readonly<Record<string, ResolveMethod>> = {
  A: 'resolve4',
  AAAA: 'resolve6',
  ANY: 'resolveAny',
  CAA: 'resolveCaa',
  CNAME: 'resolveCname',
  MX: 'resolveMx',
  NAPTR: 'resolveNaptr',
  NS: 'resolveNs',
  PTR: 'resolvePtr',
  SOA: 'resolveSoa',
  SRV: 'resolveSrv',
  TLSA: 'resolveTlsa',
  TXT: 'resolveTxt',
};
