import { expect, test } from 'vitest';
import * as cookie from '../../src/tcp/cookie.ts';
import { Agreement } from '../../src/tcp/handshake.ts';
import { IsnGenerator } from '../../src/tcp/isn.ts';
import { ChallengeBudget, TokenBucket } from '../../src/tcp/limits.ts';
import { EphemeralPorts } from '../../src/tcp/ports.ts';
import { Address } from '../../src/wire/address.ts';
import { TcpOptions } from '../../src/wire/tcp-options.ts';
import type { Entropy } from '../../src/world.ts';
import { SECOND } from '../../src/world.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const A = Address.parse('10.9.0.1') as Address;
const B = Address.parse('10.9.0.2') as Address;

/** SipHash-2-4 as its paper writes it, over 64-bit integers. */
function sipHash(key: [bigint, bigint], message: Uint8Array): bigint {
  const M = (1n << 64n) - 1n;
  const rotl = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & M;
  let v0 = key[0] ^ 0x736f6d6570736575n;
  let v1 = key[1] ^ 0x646f72616e646f6dn;
  let v2 = key[0] ^ 0x6c7967656e657261n;
  let v3 = key[1] ^ 0x7465646279746573n;
  const round = (): void => {
    v0 = (v0 + v1) & M;
    v1 = rotl(v1, 13n) ^ v0;
    v0 = rotl(v0, 32n);
    v2 = (v2 + v3) & M;
    v3 = rotl(v3, 16n) ^ v2;
    v0 = (v0 + v3) & M;
    v3 = rotl(v3, 21n) ^ v0;
    v2 = (v2 + v1) & M;
    v1 = rotl(v1, 17n) ^ v2;
    v2 = rotl(v2, 32n);
  };
  const padded = new Uint8Array((Math.floor(message.length / 8) + 1) * 8);
  padded.set(message);
  padded[padded.length - 1] = message.length;
  const dv = new DataView(padded.buffer);
  for (let i = 0; i < padded.length; i += 8) {
    const m = dv.getBigUint64(i, true);
    v3 ^= m;
    round();
    round();
    v0 ^= m;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

test('the reference is SipHash-2-4: its paper’s test vector', () => {
  const key: [bigint, bigint] = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n];
  expect(
    sipHash(
      key,
      Uint8Array.from({ length: 15 }, (_, i) => i),
    ),
  ).toBe(0xa129ca6149be45e5n);
});

test('the keyed hash is SipHash-2-4 of tuple, extra and tweak, folded to 32 bits', () => {
  const words = [0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c];
  let i = 0;
  const entropy: Entropy = { int32: () => words[i++] | 0, fill: () => {} };
  const hash = new IsnGenerator(entropy);
  const message = new Uint8Array(44);
  const dv = new DataView(message.buffer);
  const parts = [A.w0, A.w1, A.w2, A.w3, B.w0, B.w1, B.w2, B.w3, (1234 << 16) | 80, 77, 3];
  for (const [at, part] of parts.entries()) dv.setInt32(4 * at, part, true);
  const full = sipHash([0x0706050403020100n, 0x0f0e0d0c0b0a0908n], message);
  const folded = Number((full ^ (full >> 32n)) & 0xffffffffn) | 0;
  expect(hash.hash(3, 77, A, 1234, B, 80)).toBe(folded);
});

test('ISNs follow a 4 µs clock for one tuple and are unrelated between tuples and secrets — RFC 6528 §3 (M8, M9, S1)', () => {
  const one = new IsnGenerator(new SeededEntropy(1));
  const two = new IsnGenerator(new SeededEntropy(2));
  const at = (now: number): number => one.isn(A, 1000, B, 80, now);
  expect((at(4_000_000) - at(0)) | 0).toBe(1_000_000);
  const others = new Set<number>();
  for (let port = 1; port <= 1000; port++) others.add(one.isn(A, port, B, 80, 0));
  expect(others.size).toBe(1000);
  expect(two.isn(A, 1000, B, 80, 0)).not.toBe(at(0));
});

test('a cookie names the MSS again within two periods, and nothing else opens — RFC 4987 §3.6', () => {
  const hash = new IsnGenerator(new SeededEntropy(3));
  const now = 5000 * SECOND;
  for (const [offered, named] of [
    [1460, 1460],
    [1459, 1440],
    [536, 536],
    [100, 48],
    [65_495, 8960],
  ]) {
    for (const irs of [0, 12_345, -1, 0x7fffffff]) {
      const iss = cookie.bake(hash, A, 80, B, 999, irs, offered, now);
      const open = (port: number, seq: number, ack: number, when: number): number =>
        cookie.open(hash, A, 80, B, port, seq, ack, when);
      expect(open(999, irs, iss, now)).toBe(named);
      expect(open(999, irs, iss, now + 64 * SECOND)).toBe(named);
      expect(open(999, irs, iss, now + 200 * SECOND)).toBe(0);
      expect(open(998, irs, iss, now)).toBe(0);
      expect(open(999, irs, (iss + 64) | 0, now)).toBe(0);
    }
  }
});

test('guessing cookies does not pay', () => {
  const hash = new IsnGenerator(new SeededEntropy(4));
  const guess = new SeededEntropy(5);
  let opened = 0;
  for (let i = 0; i < 100_000; i++) if (cookie.open(hash, A, 80, B, 999, 1, guess.int32(), SECOND) > 0) opened++;
  expect(opened).toBeLessThanOrEqual(2); // 2 · 8 of 2^32 per period
});

test('options survive in a timestamp’s low bits, which never runs ahead of our clock', () => {
  for (let shift = -1; shift <= 14; shift++) {
    for (const sackPermitted of [true, false]) {
      for (const clock of [0, 63, 64, 12_345, -1, 0x7fffffff, -0x80000000]) {
        const agreement = new Agreement();
        agreement.windowScaling = shift >= 0;
        agreement.sndShift = Math.max(0, shift);
        agreement.sackPermitted = sackPermitted;
        const value = cookie.encodeOptions(clock, agreement);
        expect((clock - value) | 0).toBeGreaterThanOrEqual(0);
        expect((clock - value) | 0).toBeLessThan(128);
        const read = new TcpOptions();
        cookie.decodeOptions(value, read);
        expect(read.windowScale).toBe(shift);
        expect(read.sackPermitted).toBe(sackPermitted);
      }
    }
  }
});

test('ephemeral ports stay in range, differ, skip the taken, and run out cleanly — RFC 6056 §3.3.4', () => {
  const entropy = new SeededEntropy(6);
  const ports = new EphemeralPorts(50_000, 50_099, new IsnGenerator(entropy), entropy);
  const taken = new Set<number>();
  for (let i = 0; i < 100; i++) {
    const port = ports.choose(A, B, 80, (p) => !taken.has(p));
    expect(port).toBeGreaterThanOrEqual(50_000);
    expect(port).toBeLessThanOrEqual(50_099);
    expect(taken.has(port)).toBe(false);
    taken.add(port);
  }
  expect(ports.choose(A, B, 80, (p) => !taken.has(p))).toBe(0);
  expect(ports.chooseAny((p) => p === 50_042)).toBe(50_042);
  expect(ports.chooseAny(() => false)).toBe(0);
  expect(() => new EphemeralPorts(50_000, 49_999, new IsnGenerator(entropy), entropy)).toThrow(RangeError);
});

test('the challenge budget differs from second to second, and never exceeds one and a half times the limit — CVE-2016-5696', () => {
  const budget = new ChallengeBudget(100, new SeededEntropy(7));
  const spent = new Set<number>();
  for (let second = 0; second < 50; second++) {
    let n = 0;
    while (budget.take(second * SECOND)) n++;
    expect(n).toBeGreaterThanOrEqual(50);
    expect(n).toBeLessThan(150);
    spent.add(n);
  }
  expect(spent.size).toBeGreaterThan(20);
});

test('a token bucket gives its burst, then its rate', () => {
  const bucket = new TokenBucket(10, 5);
  const take = (now: number): number => {
    let n = 0;
    while (bucket.take(now)) n++;
    return n;
  };
  expect(take(0)).toBe(5);
  expect(take(SECOND / 2)).toBe(5);
  expect(take(SECOND / 2)).toBe(0);
  expect(take(10 * SECOND)).toBe(5);
});
