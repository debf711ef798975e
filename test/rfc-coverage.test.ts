import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { checklist, citations, coverage } from '../scripts/rfc-coverage.ts';

const result = coverage(fileURLToPath(new URL('..', import.meta.url)));
const named = (r: { id: string; text: string }): string => `${r.id}: ${r.text}`;

test('every MUST is implemented and tested, or has a reason', () => {
  expect(result.missing.filter((r) => r.level === 'MUST').map(named)).toEqual([]);
});

test('every SHOULD is implemented and tested, or has a reason', () => {
  expect(result.missing.filter((r) => r.level === 'SHOULD').map(named)).toEqual([]);
});

test('reasons are for requirements that exist', () => {
  expect(result.strayReasons).toEqual([]);
});

test('the checklist has all of RFC 9293 Appendix B', () => {
  const ids = new Set(result.requirements.map((r) => r.id));
  for (const [prefix, last] of [
    ['M', 69],
    ['S', 31],
    ['MAY-', 18],
  ] as const) {
    const absent = Array.from({ length: last }, (_, i) => `${prefix}${i + 1}`).filter((id) => !ids.has(id));
    // MAY-7 is RFC 793's PUSH of a whole buffer, withdrawn before publication.
    expect(absent.filter((id) => id !== 'MAY-7')).toEqual([]);
  }
});

test('citations are ids, the RFC’s own spelling of them, ranges, and sections', () => {
  const known = new Set(['M18', 'M19', 'M20', 'S3', 'MAY-2', 'IP4']);
  const { ids, clauses } = citations('RFC 9293 §3.6.1, §3.8 (MUST-18–20, SHLD-3, MAY-2; IP4), RFC 6298; M99', known);
  expect([...ids].sort()).toEqual(['IP4', 'M18', 'MAY-2', 'S3']);
  expect([...citations('(M18–M20)', known).ids]).toEqual(['M18', 'M19', 'M20']);
  expect([...clauses]).toEqual(['9293', '9293 §3.6.1', '9293 §3.8', '6298']);
});

test('a line of the checklist that is no requirement is told', () => {
  expect(() => checklist('## X\n- something else')).toThrow(/not a requirement/);
  expect(checklist('## X\n### Y\n- IP9 SHOULD (RFC 1122 §3.1): counted')).toMatchObject([
    { id: 'IP9', level: 'SHOULD', rfc: '1122', section: '3.1', text: 'counted', heading: 'X — Y' },
  ]);
});
