import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIpv4, maskOf, parseIpv4 } from '../../src/wire/address.ts';
import * as cidr from '../../src/wire/cidr.ts';

const parse = (text: string, prefix?: number) => cidr.parseCidr(text, prefix);
const format = (text: string) => {
  const parsed = cidr.parseCidr(text);
  return parsed === null ? null : cidr.formatCidr(parsed);
};
const of = (text: string): cidr.Cidr => {
  const parsed = cidr.parseCidr(text);
  if (parsed === null) throw new Error(`${text} does not parse`);
  return parsed;
};
const dotted = (value: number | null) => (value === null ? null : formatIpv4(value));

describe('notation', () => {
  test('prefix length, netmask, wildcard, hexadecimal and a mask behind a space all mean the same', () => {
    for (const text of [
      '10.9.0.2/24',
      '10.9.0.2/255.255.255.0',
      '10.9.0.2/0.0.0.255',
      '10.9.0.2/0xffffff00',
      '10.9.0.2/0x000000ff',
      '10.9.0.2 255.255.255.0',
      '10.9.0.2 24',
      '  10.9.0.2 / 24 ',
      '0x0a090002/24',
    ]) {
      expect(format(text), text).toBe('10.9.0.2/24');
    }
  });

  test('every prefix length survives every notation', () => {
    for (let prefix = 0; prefix <= 32; prefix++) {
      const mask = maskOf(prefix);
      expect(cidr.prefixOf(mask)).toBe(prefix);
      expect(parse(`1.2.3.4/${prefix}`)?.prefix).toBe(prefix);
      expect(parse(`1.2.3.4/${formatIpv4(mask)}`)?.prefix).toBe(prefix);
      // 0.0.0.0 and 255.255.255.255 are read as netmasks.
      if (prefix > 0 && prefix < 32) expect(parse(`1.2.3.4/${formatIpv4(~mask)}`)?.prefix).toBe(prefix);
    }
  });

  test('a mask with holes, numbers out of range and other nonsense are refused', () => {
    for (const text of [
      '',
      '/24',
      '10.9.0.2/',
      '10.9.0.2/33',
      '10.9.0.2/-1',
      '10.9.0.2/255.0.255.0',
      '10.9.0.2/255.255.255.256',
      '10.9.0/24',
      '10.9.0.256/24',
      '10.9.0.02/24',
      '10.9.0.2/24/8',
      '10.9.0.2/24 x',
      '10.9.0.2/0xffff',
      'ten/24',
    ]) {
      expect(format(text), text).toBeNull();
    }
    expect(cidr.prefixOf(0b101)).toBeNull();
  });

  test('without a mask the default counts, if there is one', () => {
    expect(parse('10.9.0.2')).toBeNull();
    expect(parse('10.9.0.2', 24)?.prefix).toBe(24);
  });
});

describe('a network', () => {
  const describeNetwork = (text: string) => {
    const c = of(text);
    return [cidr.networkOf(c), cidr.hostMinOf(c), cidr.hostMaxOf(c), cidr.broadcastOf(c)].map(dotted);
  };

  test('has network, first host, last host and broadcast', () => {
    expect(describeNetwork('192.168.0.10/24')).toEqual([
      '192.168.0.0',
      '192.168.0.1',
      '192.168.0.254',
      '192.168.0.255',
    ]);
    expect(describeNetwork('10.200.3.4/11')).toEqual(['10.192.0.0', '10.192.0.1', '10.223.255.254', '10.223.255.255']);
    expect(cidr.hostsOf(of('192.168.0.10/24'))).toBe(254);
  });

  test('/31 has two hosts and no broadcast (RFC 3021 §2)', () => {
    expect(describeNetwork('10.0.0.5/31')).toEqual(['10.0.0.4', '10.0.0.4', '10.0.0.5', null]);
    expect(cidr.hostsOf(of('10.0.0.5/31'))).toBe(2);
  });

  test('/32 is one host', () => {
    expect(describeNetwork('10.0.0.5/32')).toEqual(['10.0.0.5', '10.0.0.5', '10.0.0.5', null]);
    expect(cidr.hostsOf(of('10.0.0.5/32'))).toBe(1);
  });

  test('/0 is everything', () => {
    expect(describeNetwork('10.0.0.5/0')).toEqual(['0.0.0.0', '0.0.0.1', '255.255.255.254', '255.255.255.255']);
    expect(cidr.hostsOf(of('10.0.0.5/0'))).toBe(2 ** 32 - 2);
    expect(cidr.contains(of('0.0.0.0/0'), -1)).toBe(true);
  });

  test('contains exactly the addresses between its first and last', () => {
    const c = of('172.20.16.0/20');
    for (const [address, inside] of [
      ['172.20.15.255', false],
      ['172.20.16.0', true],
      ['172.20.31.255', true],
      ['172.20.32.0', false],
    ] as const) {
      expect(cidr.contains(c, parseIpv4(address) as number), address).toBe(inside);
    }
    expect(cidr.overlaps(c, of('172.16.0.0/12'))).toBe(true);
    expect(cidr.overlaps(of('172.16.0.0/12'), c)).toBe(true);
    expect(cidr.overlaps(c, of('172.20.32.0/20'))).toBe(false);
  });
});

test('classes A to E (RFC 791 §3.2, RFC 1112 §4)', () => {
  const classes = ['0.0.0.0', '127.255.255.255', '128.0.0.0', '191.255.255.255', '192.0.0.0', '223.255.255.255'];
  expect(
    [...classes, '224.0.0.0', '239.255.255.255', '240.0.0.0', '255.255.255.255']
      .map((a) => cidr.classOf(of(`${a}/32`).address))
      .join(''),
  ).toBe('AABBCCDDEE');
  expect(['A', 'B', 'C', 'D', 'E'].map((name) => cidr.classPrefix(name as cidr.AddressClass))).toEqual([
    8,
    16,
    24,
    null,
    null,
  ]);
});

test('special blocks are named (RFC 6890 §2.2.2)', () => {
  for (const [text, name] of [
    ['10.1.2.3/24', 'private, RFC 1918'],
    ['172.31.0.0/16', 'private, RFC 1918'],
    ['172.32.0.0/16', null],
    ['127.0.0.1/8', 'loopback, RFC 1122'],
    ['169.254.9.9/16', 'link-local, RFC 3927'],
    ['224.0.0.1/32', 'multicast on the local network, RFC 5771'],
    ['225.1.1.1/32', 'multicast, RFC 1112'],
    ['255.255.255.255/32', 'limited broadcast, RFC 919'],
    ['8.8.8.8/24', null],
    ['10.0.0.0/7', null],
  ] as const) {
    expect(cidr.specialUse(of(text)), text).toBe(name);
  }
});

describe('ranges and subnets', () => {
  test('a range becomes the fewest blocks that cover exactly it', () => {
    const blocks = (a: string, b: string) =>
      cidr.blocksOfRange(parseIpv4(a) as number, parseIpv4(b) as number).map(cidr.formatCidr);
    expect(blocks('10.0.0.1', '10.0.0.6')).toEqual(['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32']);
    expect(blocks('0.0.0.0', '255.255.255.255')).toEqual(['0.0.0.0/0']);
    expect(blocks('255.255.255.255', '255.255.255.255')).toEqual(['255.255.255.255/32']);
    expect(blocks('127.255.255.255', '128.0.0.0')).toEqual(['127.255.255.255/32', '128.0.0.0/32']);
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(u32, u32, (a, b) => {
        const [first, last] = a < b ? [a, b] : [b, a];
        let at = first;
        for (const block of cidr.blocksOfRange(first | 0, last | 0)) {
          expect(cidr.networkOf(block) >>> 0).toBe(at);
          at = (cidr.lastOf(block) >>> 0) + 1;
        }
        expect(at).toBe(last + 1);
      }),
    );
  });

  test('a network is split by wanted hosts, largest first, and the rest is told', () => {
    const result = cidr.split(of('192.168.0.0/24'), [50, 20, 10]);
    expect(result?.subnets.map(cidr.formatCidr)).toEqual(['192.168.0.0/26', '192.168.0.64/27', '192.168.0.96/28']);
    expect(result?.unused.map(cidr.formatCidr)).toEqual(['192.168.0.112/28', '192.168.0.128/25']);
    expect(cidr.split(of('192.168.0.0/24'), [10, 50])?.subnets.map(cidr.formatCidr)).toEqual([
      '192.168.0.64/28',
      '192.168.0.0/26',
    ]);
    expect(cidr.split(of('192.168.0.0/24'), [200, 100])).toBeNull();
  });
});
