import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIpv4 } from '../../src/wire/address.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as options from '../../src/wire/ipv4-options.ts';
import { GuardedView } from './guarded.ts';

const OFF = 2;
const ip = (text: string): number => parseIpv4(text) as number;

function header(...values: number[]): GuardedView {
  const length = 20 + ((values.length + 3) & ~3);
  const bytes = new Uint8Array(OFF + length + 4).fill(7);
  const dv = new GuardedView(bytes.buffer).guard(OFF, OFF + length);
  ipv4.set(dv, OFF, length, 0, length, 0, 0, 64, 17, 1, 2);
  bytes.fill(0, OFF + 20, OFF + length);
  bytes.set(values, OFF + 20);
  return dv;
}

function walk(dv: DataView) {
  const cursor = new options.OptionCursor().start(dv, OFF);
  const seen: string[] = [];
  while (cursor.next()) seen.push(`${options.optionName(cursor.type)}@${cursor.off - OFF}+${cursor.length}`);
  return { seen, pointer: cursor.pointer };
}

describe('the walk', () => {
  test('visits options in order, passes over NOP and stops at EOL (RFC 791 §3.1)', () => {
    const dv = header(1, 148, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0, 200, 3, 9, 0, 68, 12);
    expect(walk(dv)).toEqual({ seen: ['RA@21+4', 'RR@26+7', 'unknown-200@33+3'], pointer: 0 });
    expect(walk(header())).toEqual({ seen: [], pointer: 0 });
  });

  test('a length below two or past the header is malformed, and the pointer tells where (RFC 1122 §3.2.1.8)', () => {
    expect(walk(header(7, 0, 4, 0))).toEqual({ seen: [], pointer: 21 });
    expect(walk(header(7, 1, 4, 0))).toEqual({ seen: [], pointer: 21 });
    expect(walk(header(148, 4, 0, 0, 7, 5, 4, 0))).toEqual({ seen: ['RA@20+4'], pointer: 25 });
    expect(walk(header(1, 1, 1, 7))).toEqual({ seen: [], pointer: 23 });
  });

  test('always ends within the header', () => {
    const octet = fc.oneof(fc.constantFrom(0, 1, 2, 3, 7, 68, 131, 148), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(octet, { maxLength: 40 }), (values) => {
        const dv = header(...values);
        const cursor = new options.OptionCursor().start(dv, OFF);
        let steps = 0;
        let last = 0;
        while (cursor.next()) {
          expect(++steps).toBeLessThanOrEqual(20);
          expect(cursor.off).toBeGreaterThan(last);
          last = cursor.off;
          const { off, length } = cursor;
          // A valid option can be recorded in without leaving the header.
          if (cursor.type === options.RECORD_ROUTE && options.routeIsValid(dv, off, length)) {
            options.routeRecord(dv, off, length, 5);
          } else if (cursor.type === options.TIMESTAMP && options.timestampIsValid(dv, off, length)) {
            options.timestampRecord(dv, off, length, 5, 6);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('record route', () => {
  test('takes addresses until it is full (RFC 791 §3.1)', () => {
    const dv = header(...new Array(16).fill(0));
    expect(options.setRecordRoute(dv, OFF + 20, 3)).toBe(16);
    const option = OFF + 20;
    for (const text of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) {
      expect(options.routeIsValid(dv, option, 15)).toBe(true);
      expect(options.routeRecord(dv, option, 15, ip(text))).toBe(true);
    }
    expect(options.routeIsFull(dv, option, 15)).toBe(true);
    expect(options.routeRecord(dv, option, 15, 1)).toBe(false);
    expect([3, 7, 11].map((at) => dv.getInt32(option + at))).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(ip));
    expect(walk(dv).seen).toEqual(['RR@20+15']);
  });

  test('a pointer between addresses or a length of none is not valid', () => {
    const dv = header(7, 11, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(options.routeIsValid(dv, OFF + 20, 11)).toBe(false);
    dv.setUint8(OFF + 22, 0);
    expect(options.routeIsValid(dv, OFF + 20, 11)).toBe(false);
    dv.setUint8(OFF + 22, 4);
    expect(options.routeIsValid(dv, OFF + 20, 10)).toBe(false);
    expect(options.routeIsValid(dv, OFF + 20, 11)).toBe(true);
  });
});

describe('timestamp', () => {
  const record = (flag: number, slots: number, times: number): { dv: DataView; results: boolean[] } => {
    const dv = header(...new Array(36).fill(0));
    options.setTimestamp(dv, OFF + 20, flag, slots);
    const length = dv.getUint8(OFF + 21);
    const results: boolean[] = [];
    for (let i = 0; i < times; i++)
      results.push(options.timestampRecord(dv, OFF + 20, length, ip('10.0.0.9'), 1000 + i));
    return { dv, results };
  };

  test('times alone (RFC 791 §3.1, flag 0)', () => {
    const { dv, results } = record(options.TIMESTAMP_ONLY, 2, 2);
    expect(results).toEqual([true, true]);
    expect([dv.getUint32(OFF + 24), dv.getUint32(OFF + 28)]).toEqual([1000, 1001]);
  });

  test('addresses with times (flag 1), then the overflow counts to 15 and the packet is in error', () => {
    const { dv, results } = record(options.TIMESTAMP_AND_ADDRESS, 2, 18);
    expect([dv.getInt32(OFF + 24), dv.getUint32(OFF + 28)]).toEqual([ip('10.0.0.9'), 1000]);
    expect(options.timestampOverflow(dv, OFF + 20)).toBe(15);
    expect(results.indexOf(false)).toBe(17);
  });

  test('only at the address it names (flag 3)', () => {
    const dv = header(...new Array(20).fill(0));
    options.setTimestamp(dv, OFF + 20, options.TIMESTAMP_PRESPECIFIED, 2);
    dv.setInt32(OFF + 24, ip('10.0.0.1'));
    dv.setInt32(OFF + 32, ip('10.0.0.9'));
    options.timestampRecord(dv, OFF + 20, 20, ip('10.0.0.9'), 5);
    expect(options.pointer(dv, OFF + 20)).toBe(5);
    options.timestampRecord(dv, OFF + 20, 20, ip('10.0.0.1'), 6);
    options.timestampRecord(dv, OFF + 20, 20, ip('10.0.0.9'), 7);
    expect([dv.getUint32(OFF + 28), dv.getUint32(OFF + 36)]).toEqual([6, 7]);
  });
});

test('options with the copied flag go into every fragment (RFC 791 §3.1)', () => {
  expect([options.LOOSE_SOURCE_ROUTE, options.STRICT_SOURCE_ROUTE, options.ROUTER_ALERT].every(options.isCopied)).toBe(
    true,
  );
  expect([options.RECORD_ROUTE, options.TIMESTAMP, options.NOP].some(options.isCopied)).toBe(false);
});
