import { expect, test } from 'vitest';
import { DnsCache, type Outcome } from '../../src/dns/cache.ts';
import { a } from './server.ts';

const SECOND = 1_000_000;
const outcome = (ttl: number, missing: Outcome['missing'] = null): Outcome => ({
  records: missing === null ? [a('x.test', '192.0.2.1', ttl)] : [],
  missing,
  ttl,
});

test('an entry ages by the second and is gone when its TTL is over (RFC 1035 §3.2.1)', () => {
  const cache = new DnsCache(10);
  cache.put('k', outcome(60), 5 * SECOND);
  expect(cache.get('k', 5 * SECOND)?.records).toMatchObject([{ ttl: 60 }]);
  expect(cache.get('k', 44.5 * SECOND)?.records).toMatchObject([{ ttl: 21 }]);
  expect(cache.get('k', 65 * SECOND - 1)?.records).toMatchObject([{ ttl: 1 }]);
  expect(cache.get('k', 65 * SECOND)).toBeNull();
  expect(cache.size).toBe(0);
});

test('no answer is believed for more than a day, no lack of one for more than three hours (RFC 2308 §5)', () => {
  const cache = new DnsCache(10);
  cache.put('yes', outcome(10 ** 9), 0);
  cache.put('no', outcome(10 ** 9, 'ENOTFOUND'), 0);
  expect(cache.get('yes', 86_399 * SECOND)).not.toBeNull();
  expect(cache.get('yes', 86_400 * SECOND)).toBeNull();
  expect(cache.get('no', 10_799 * SECOND)).not.toBeNull();
  expect(cache.get('no', 10_800 * SECOND)).toBeNull();
});

test('it never holds more than its capacity, and what was used last stays', () => {
  const cache = new DnsCache(3);
  for (const key of ['a', 'b', 'c']) cache.put(key, outcome(60), 0);
  cache.get('a', 1);
  cache.put('d', outcome(60), 1);
  expect(['a', 'b', 'c', 'd'].filter((key) => cache.get(key, 2) !== null)).toEqual(['a', 'c', 'd']);
  for (let i = 0; i < 1000; i++) cache.put(`k${i}`, outcome(60), 3);
  expect(cache.size).toBe(3);
});

test('a TTL of zero, and a capacity of zero, keep nothing', () => {
  const cache = new DnsCache(3);
  cache.put('k', outcome(0), 0);
  const none = new DnsCache(0);
  none.put('k', outcome(60), 0);
  expect(cache.size + none.size).toBe(0);
});
