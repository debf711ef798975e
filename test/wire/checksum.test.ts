import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import * as checksum from '../../src/wire/checksum.ts';

/** RFC 1071 §1 word for word: 16-bit words, end-around carry, an odd byte padded with zero. */
function naive(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i++) {
    sum += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

// Many ff and 00, where carries and the two zeros of one's complement are.
const octets = (max: number) =>
  fc
    .array(fc.oneof(fc.constantFrom(0, 255), fc.integer({ min: 0, max: 255 })), { maxLength: max })
    .map((values) => new Uint8Array(values));

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

describe('sum', () => {
  test('equals the definition of RFC 1071 §1 for any bytes, alignment and initial value', () => {
    fc.assert(
      fc.property(
        octets(200),
        fc.integer({ min: 0, max: 7 }),
        fc.integer({ min: 0, max: 0xffff }),
        (bytes, shift, initial) => {
          const padded = new Uint8Array(shift + bytes.length + 5).fill(0xa5);
          padded.set(bytes, shift);
          expect(checksum.sum(viewOf(padded), shift, bytes.length, initial)).toBe(naive(bytes, initial));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('computes the example of RFC 1071 §3', () => {
    const bytes = new Uint8Array([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(checksum.sum(viewOf(bytes), 0, 8)).toBe(0xddf2);
    expect(checksum.finish(0xddf2)).toBe(0x220d);
  });

  test('does not lose carries over the largest super-segment of all ones', () => {
    const bytes = new Uint8Array(65536 + 54).fill(0xff);
    expect(checksum.sum(viewOf(bytes), 0, bytes.length)).toBe(0xffff);
    bytes[0] = 0xfe;
    expect(checksum.sum(viewOf(bytes), 0, bytes.length)).toBe(0xfeff);
  });

  test('an odd last byte is padded on the right', () => {
    expect(checksum.sum(viewOf(new Uint8Array([0x12, 0x34, 0x56])), 0, 3)).toBe(0x1234 + 0x5600);
  });
});

test('extents of any length, odd ones too, join to the sum of the whole (RFC 1071 §2 (B))', () => {
  fc.assert(
    fc.property(fc.array(octets(40), { maxLength: 6 }), (extents) => {
      const whole = new Uint8Array(extents.reduce((n, extent) => n + extent.length, 0));
      let position = 0;
      let total = 0;
      for (const extent of extents) {
        whole.set(extent, position);
        total = checksum.join(total, checksum.sum(viewOf(extent), 0, extent.length), position);
        position += extent.length;
      }
      expect(total).toBe(checksum.sum(viewOf(whole), 0, whole.length));
    }),
  );
});

test('bytes with their checksum in place verify, and no longer when any bit flips', () => {
  fc.assert(
    fc.property(octets(60), fc.nat(), fc.integer({ min: 0, max: 7 }), (data, at, bit) => {
      const bytes = new Uint8Array(2 + data.length);
      bytes.set(data, 2);
      const dv = viewOf(bytes);
      dv.setUint16(0, checksum.finish(checksum.sum(dv, 0, bytes.length)));
      expect(checksum.verify(dv, 0, bytes.length)).toBe(true);
      bytes[at % bytes.length] ^= 1 << bit;
      expect(checksum.verify(dv, 0, bytes.length)).toBe(false);
    }),
  );
});

describe('incremental update', () => {
  test('gives what computing anew gives, for any change of one word (RFC 1624 §3)', () => {
    fc.assert(
      fc.property(
        octets(40),
        fc.integer({ min: 0, max: 19 }),
        fc.integer({ min: 0, max: 0xffff }),
        (data, word, after) => {
          const bytes = new Uint8Array(40);
          bytes.set(data);
          bytes[0] = 0x45; // a header is never all zero
          const dv = viewOf(bytes);
          const old = checksum.finish(checksum.sum(dv, 0, 40));
          const before = dv.getUint16(word * 2);
          if (word === 0) return;
          dv.setUint16(word * 2, after);
          expect(checksum.update16(old, before, after)).toBe(checksum.finish(checksum.sum(dv, 0, 40)));
        },
      ),
    );
  });

  test('the example of RFC 1624 §4 yields 0x0000, not 0xffff', () => {
    expect(checksum.update16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  test('a 32-bit field is two words', () => {
    const bytes = new Uint8Array(20).map((_, i) => i * 37);
    const dv = viewOf(bytes);
    const old = checksum.finish(checksum.sum(dv, 0, 20));
    const before = dv.getInt32(12);
    dv.setInt32(12, 0xc0a80001 | 0);
    expect(checksum.update32(old, before, 0xc0a80001 | 0)).toBe(checksum.finish(checksum.sum(dv, 0, 20)));
  });
});

describe('pseudo-headers', () => {
  test('IPv4: addresses, protocol and length (RFC 9293 §3.1)', () => {
    const bytes = new Uint8Array([192, 168, 0, 10, 192, 168, 0, 250, 0, 6, 0xfe, 0xdc]);
    const [src, dst] = ['192.168.0.10', '192.168.0.250'].map((text) => parseIpv4(text) as number);
    expect(checksum.pseudoV4(src, dst, 6, 0xfedc)).toBe(naive(bytes));
    expect(checksum.pseudo(Address.v4(src), Address.v4(dst), 6, 0xfedc)).toBe(naive(bytes));
  });

  test('IPv6: sixteen octets each, 32-bit length (RFC 8200 §8.1)', () => {
    const address = (...w: number[]) => {
      const a = new Address();
      [a.w0, a.w1, a.w2, a.w3] = w.map((x) => x | 0);
      return a;
    };
    const src = address(0xfe800000, 0, 0xfffffffe, 0xffffffff);
    const dst = address(0xff020000, 0, 0, 1);
    const bytes = new Uint8Array(40);
    const dv = viewOf(bytes);
    [src.w0, src.w1, src.w2, src.w3, dst.w0, dst.w1, dst.w2, dst.w3, 70_000, 58].forEach((w, i) => {
      dv.setInt32(4 * i, w);
    });
    expect(checksum.pseudo(src, dst, 58, 70_000)).toBe(naive(bytes));
  });

  test('a UDP checksum that comes out zero is sent as all ones (RFC 768)', () => {
    expect(checksum.finish(0xffff)).toBe(0);
    expect(checksum.finishUdp(0xffff)).toBe(0xffff);
    expect(checksum.finishUdp(0x1234)).toBe(0xedcb);
  });
});
