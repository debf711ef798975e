// Questions as programs ask them: a method and a name, or an address to be named. Promises of Node's values, or Failures.

import { isIPv4 } from 'node:net';
import { domainToASCII } from 'node:url';
import type { Answer } from 'dns-packet';
import { Failure } from './errors.ts';
import type { HostsFile } from './hosts-file.ts';
import { RECORD_KINDS, type ResolveMethod } from './records.ts';
import type { StubResolver } from './stub-resolver.ts';

/** A name as it is asked for: what is not ASCII in the form of RFC 5891. */
const toAscii = (name: string): string => (/[^\0-\x7f]/.test(name) ? domainToASCII(name) || name : name);

export class Queries {
  readonly stub: StubResolver;
  readonly #hosts: HostsFile | null;

  constructor(stub: StubResolver, hosts: HostsFile | null) {
    this.stub = stub;
    this.#hosts = hosts;
  }

  /** What `dns.resolve…()` gives: an array, for SOA an object. */
  async resolve(method: ResolveMethod, name: string, withTtl: boolean): Promise<unknown> {
    const { type, convert } = RECORD_KINDS[method];
    const records = await this.stub.query(toAscii(name), type);
    const values = records.map((record) => convert(record, withTtl)).filter((value) => value !== undefined);
    if (values.length === 0) throw new Failure('ENODATA');
    return method === 'resolveSoa' ? values[0] : values;
  }

  /** Addresses of one family. */
  async addresses(name: string, family: 4 | 6): Promise<string[]> {
    const records = await this.stub.query(toAscii(name), family === 4 ? 'A' : 'AAAA');
    return records.map((record: Answer) => (record.type === 'A' || record.type === 'AAAA' ? record.data : ''));
  }

  /** Names of `address`, which is one. */
  async reverse(address: string): Promise<string[]> {
    const known = (await this.#hosts?.names(address)) ?? [];
    if (known.length > 0) return [...known];
    return (await this.resolve('resolvePtr', reverseName(address), false)) as string[];
  }
}

/** The name that stands for an address: RFC 1035 §3.5, RFC 3596 §2.5. */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  return `${[...groupsOf(address).join('')].reverse().join('.')}.ip6.arpa`;
}

/** The eight groups of an IPv6 address, four digits each. */
function groupsOf(address: string): string[] {
  const bare = address
    .replace(/%.*$/, '')
    .toLowerCase()
    // The last two groups may be written as an IPv4 address.
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
      const [a, b, c, d] = bytes.map(Number);
      return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
    });
  const [head, tail] = bare.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
  return groups.map((group: string) => group.padStart(4, '0'));
}
