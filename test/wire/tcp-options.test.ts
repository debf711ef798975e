import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Segment } from '../../src/tcp/segment.ts';
import * as options from '../../src/wire/tcp-options.ts';
import { GuardedView } from './guarded.ts';

const OFF = 3;

function bytesOf(...values: number[]): { dv: DataView; end: number } {
  const bytes = new Uint8Array(OFF + values.length + 8).fill(0x08); // what follows looks like an option
  bytes.set(values, OFF);
  return { dv: new GuardedView(bytes.buffer).guard(OFF, OFF + values.length), end: OFF + values.length };
}

function parse(...values: number[]) {
  const { dv, end } = bytesOf(...values);
  const into = new options.TcpOptions();
  const found = options.parse(dv, OFF, end, into);
  return { found, ...into, sack: [...into.sack.subarray(0, 2 * into.sackCount)] };
}

function written(write: (dv: DataView, off: number) => number): number[] {
  const dv = new DataView(new ArrayBuffer(64));
  const length = write(dv, 8);
  expect(length % 4).toBe(0);
  return [...new Uint8Array(dv.buffer, 8, length)];
}

describe('parse', () => {
  test('nothing is present in an empty list', () => {
    expect(parse()).toEqual({
      found: 0,
      mss: 0,
      windowScale: -1,
      sackPermitted: false,
      hasTimestamp: false,
      tsVal: 0,
      tsEcr: 0,
      sackCount: 0,
      sack: [],
    });
  });

  test('reads what the writers write, in any combination (RFC 9293 §3.2, M5)', () => {
    const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: -1, max: 14 }),
        fc.boolean(),
        fc.boolean(),
        i32,
        i32,
        (mss, scale, sackPermitted, timestamps, tsVal, tsEcr) => {
          const bytes = written((dv, off) =>
            options.setSyn(dv, off, mss, scale, sackPermitted, timestamps, tsVal, tsEcr),
          );
          const parsed = parse(...bytes);
          expect(parsed).toMatchObject({ found: 0, mss, windowScale: scale, sackPermitted, hasTimestamp: timestamps });
          if (timestamps) expect([parsed.tsVal, parsed.tsEcr]).toEqual([tsVal, tsEcr]);
          expect(bytes.length).toBeLessThanOrEqual(20);
        },
      ),
    );
  });

  test('one to four SACK blocks, alone or behind timestamps (RFC 2018 §3)', () => {
    for (let count = 1; count <= 4; count++) {
      const blocks = new Int32Array(8).map((_, i) => (i - 4) * 0x12345678);
      const expected = [...blocks.subarray(0, 2 * count)];
      const alone = written((dv, off) => options.setSack(dv, off, blocks, count));
      expect(alone.length).toBe(4 + 8 * count);
      expect(parse(...alone)).toMatchObject({ sackCount: count, sack: expected });
      if (count === 4) continue; // three fit behind timestamps
      const both = written((dv, off) => {
        const n = options.setTimestamps(dv, off, 7, 9);
        return n + options.setSack(dv, off + n, blocks, count);
      });
      expect(both.length).toBeLessThanOrEqual(40);
      expect(parse(...both)).toMatchObject({ tsVal: 7, tsEcr: 9, sackCount: count, sack: expected });
    }
    expect(written((dv, off) => options.setSack(dv, off, new Int32Array(0), 0))).toEqual([]);
  });

  test('the common NOP NOP TS layout and any other give the same fields (RFC 7323 Appendix A)', () => {
    const ts = [8, 10, 0xff, 0, 0, 1, 0x80, 0, 0, 2];
    for (const list of [[1, 1, ...ts], [...ts, 1, 1], [...ts, 0, 0], [1, ...ts, 1], ts]) {
      expect(parse(...list)).toMatchObject({
        found: 0,
        hasTimestamp: true,
        tsVal: 0xff000001 | 0,
        tsEcr: 0x80000002 | 0,
      });
    }
  });

  test('unknown options are skipped by their length, wherever they stand (M6, M64)', () => {
    expect(parse(253, 5, 2, 4, 0, 2, 4, 5, 0xb4)).toMatchObject({ found: options.FOUND_UNKNOWN, mss: 1460 });
  });

  test('an illegal length ends parsing and keeps what came before (M7)', () => {
    for (const bad of [[3, 0], [3, 1], [3, 4, 7], [8, 10, 0], [3], [254, 255]]) {
      const parsed = parse(2, 4, 5, 0xb4, ...bad);
      expect(parsed, `${bad}`).toMatchObject({ mss: 1460, windowScale: -1, hasTimestamp: false });
      expect(parsed.found & options.FOUND_MALFORMED, `${bad}`).toBeTruthy();
    }
  });

  test('a known option of the wrong length is ignored like an unknown one', () => {
    expect(parse(2, 3, 5, 4, 3, 1, 3, 4, 7, 7)).toMatchObject({
      found: options.FOUND_UNKNOWN,
      mss: 0,
      windowScale: -1,
    });
    expect(parse(5, 9, 1, 2, 3, 4, 5, 6, 7)).toMatchObject({ found: options.FOUND_UNKNOWN, sackCount: 0 });
    expect(parse(5, 2)).toMatchObject({ found: options.FOUND_UNKNOWN, sackCount: 0 });
  });

  test('nothing behind the end-of-list octet counts (M4)', () => {
    expect(parse(0, 2, 4, 5, 0xb4)).toMatchObject({ found: 0, mss: 0 });
  });

  test('a window scale above 14 is used as 14 (RFC 7323 §2.3)', () => {
    expect(parse(3, 3, 15).windowScale).toBe(14);
    expect(parse(3, 3, 255).windowScale).toBe(14);
    expect(parse(3, 3, 14).windowScale).toBe(14);
  });

  test('fills a received segment, and leaves nothing of the one before', () => {
    const segment = new Segment();
    const syn = bytesOf(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7);
    options.parse(syn.dv, OFF, syn.end, segment);
    expect(segment).toMatchObject({ mss: 1460, sackPermitted: true, hasTimestamp: true, tsVal: 1, windowScale: 7 });
    options.parse(syn.dv, OFF, OFF, segment);
    expect(segment).toMatchObject({ mss: 0, sackPermitted: false, hasTimestamp: false, tsVal: 0, windowScale: -1 });
  });
});

test('a SYN looks like one of Linux: mss, sackOK, TS, nop, wscale in 20 bytes', () => {
  expect(written((dv, off) => options.setSyn(dv, off, 1460, 7, true, true, 1, 0))).toEqual([
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
  ]);
  expect(written((dv, off) => options.setSyn(dv, off, 536, -1, false, false, 0, 0))).toEqual([2, 4, 2, 24]);
  expect(written((dv, off) => options.setSyn(dv, off, 1460, 7, true, false, 0, 0))).toEqual([
    2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7,
  ]);
});

describe('rare options are found by kind', () => {
  test('user timeout, in seconds or in minutes (RFC 5482 §2)', () => {
    for (const [seconds, read] of [
      [0, 0],
      [300, 300],
      [0x7fff, 0x7fff],
      [0x8000, 32760],
      [7200 * 60, 7200 * 60],
    ]) {
      const { dv, end } = bytesOf(...[1, 1, 1, 1], ...written((d, off) => options.setUserTimeout(d, off, seconds)));
      expect(options.parse(dv, OFF, end, new options.TcpOptions())).toBe(options.FOUND_USER_TIMEOUT);
      expect(options.userTimeout(dv, options.find(dv, OFF, end, options.USER_TIMEOUT))).toBe(read);
    }
  });

  test('a fast-open cookie of 0 or 4 to 16 bytes (RFC 7413 §4.1.1)', () => {
    for (const length of [0, 4, 6, 8, 16]) {
      const cookie = new Uint8Array(length).map((_, i) => i + 1);
      const { dv, end } = bytesOf(...written((d, off) => options.setFastOpen(d, off, cookie)));
      expect(options.parse(dv, OFF, end, new options.TcpOptions())).toBe(options.FOUND_FAST_OPEN);
      const at = options.find(dv, OFF, end, options.FAST_OPEN);
      expect([...cookie.keys()].map((i) => dv.getUint8(at + 2 + i))).toEqual([...cookie]);
    }
    expect(parse(34, 4, 1, 2).found).toBe(options.FOUND_UNKNOWN);
    expect(parse(34, 7, 1, 2, 3, 4, 5).found).toBe(options.FOUND_UNKNOWN);
  });

  test('what is not there is -1', () => {
    const { dv, end } = bytesOf(2, 4, 5, 0xb4, 0, 28, 4, 0, 1);
    expect(options.find(dv, OFF, end, options.USER_TIMEOUT)).toBe(-1);
    expect(options.find(dv, OFF, OFF, options.MSS)).toBe(-1);
  });
});

test('walks end, stay in bounds and agree, whatever the bytes (M7, M68)', () => {
  const octet = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10, 18, 28, 34), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 40 }), (values) => {
      const { dv, end } = bytesOf(...values);
      const found = options.parse(dv, OFF, end, new options.TcpOptions());
      const cursor = new options.OptionCursor().start(dv, OFF, end);
      let at = OFF;
      while (cursor.next()) {
        expect(cursor.off).toBe(at);
        expect(cursor.length).toBeGreaterThan(0);
        at += cursor.length;
        if (cursor.kind > options.NOP) expect(options.find(dv, OFF, end, cursor.kind)).toBeLessThanOrEqual(cursor.off);
      }
      expect(at).toBeLessThanOrEqual(end);
      expect(cursor.malformed).toBe((found & options.FOUND_MALFORMED) !== 0);
    }),
    { numRuns: 2000 },
  );
});
