import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dissect } from '../../src/capture/dissect.ts';
import { compileFilter, FilterError } from '../../src/capture/filter.ts';
import { A, arpFrame, B, ethernetFrame, framed, hex, icmpFrame, tcpFrame, text, udpFrame } from './frames.ts';

const tagged = ethernetFrame(0x8100, hex(`0005 0806 ${Buffer.from(arpFrame(1, A, B).slice(14)).toString('hex')}`));
const frames = {
  syn: tcpFrame({ flags: 2, srcPort: 40000, dstPort: 110 }),
  synAck: tcpFrame({ flags: 0x12, srcPort: 40000, dstPort: 110, back: true }),
  web: tcpFrame({ srcPort: 40001, dstPort: 80, payload: text('x'.repeat(1000)) }),
  dns: udpFrame(5353, 53, text('query')),
  ping: icmpFrame(8, 0, 0, text('abc')),
  pong: icmpFrame(0, 0, 0, text('abc'), { src: B, dst: A }),
  arp: arpFrame(1, A, B),
  vlan: tagged,
  other: udpFrame(9, 9, text('x'), { src: 0xc0a80105 | 0, dst: 0xc0a80206 | 0 }),
  six: ethernetFrame(
    0x86dd,
    hex(`60000000 0008 11ff ${'fe80000000000000 0000000000000001'.repeat(2)} 0035 1000 0008 0000`),
  ),
};

const options = { portOf: (name: string) => (name === 'pop3' ? 110 : name === 'domain' ? 53 : null) };

/** The frames a filter lets through, by name. */
function passed(filter: string): string {
  const compiled = compileFilter(filter, options);
  return Object.entries(frames)
    .filter(([name, bytes]) => {
      const frame = framed(bytes, { direction: name === 'pong' || name === 'synAck' ? 'out' : 'in' });
      return compiled({ frame, layers: dissect(bytes) });
    })
    .map(([name]) => name)
    .join(' ');
}

describe('primitives', () => {
  test.each([
    ['', 'syn synAck web dns ping pong arp vlan other six'],
    ['tcp', 'syn synAck web'],
    ['udp', 'dns other six'],
    ['icmp', 'ping pong'],
    ['arp', 'arp vlan'],
    ['ip', 'syn synAck web dns ping pong other'],
    ['ip6', 'six'],
    ['port 110', 'syn synAck'],
    ['port pop3', 'syn synAck'],
    ['tcp port 53', ''],
    ['udp port domain', 'dns six'],
    ['dst port 110', 'syn'],
    ['src port 110', 'synAck'],
    ['portrange 80-110', 'syn synAck web'],
    ['host 192.168.1.5', 'other'],
    ['src host 10.9.0.2', 'synAck pong'],
    ['src 10.9.0.2', 'synAck pong'],
    ['dst host 10.9.0.2', 'syn web dns ping arp vlan'],
    ['src or dst host 10.9.0.2', 'syn synAck web dns ping pong arp vlan'],
    ['10.9.0.2', 'syn synAck web dns ping pong arp vlan'],
    ['arp host 10.9.0.2', 'arp vlan'],
    ['host fe80::1', 'six'],
    ['net 192.168.0.0/16', 'other'],
    ['net 192.168', 'other'],
    ['src net 192.168.2.0/24', ''],
    ['dst net 192.168.2.0/24', 'other'],
    ['src and dst net 192.168.0.0/16', 'other'],
    ['ether dst ff:ff:ff:ff:ff:ff', 'arp'],
    ['ether src 02:00:00:00:00:01 and udp', 'dns other six'],
    ['broadcast', 'arp'],
    ['multicast', 'arp'],
    ['vlan', 'vlan'],
    ['vlan 5', 'vlan'],
    ['vlan 6', ''],
    ['greater 1000', 'web'],
    ['less 42', 'arp'],
    ['inbound and tcp', 'syn web'],
    ['outbound', 'synAck pong'],
  ])('%s', (filter, expected) => {
    expect(passed(filter)).toBe(expected);
  });
});

describe('arithmetic over header bytes', () => {
  test.each([
    ['tcp[tcpflags] & (tcp-syn|tcp-fin) != 0', 'syn synAck'],
    ['tcp[tcpflags] == tcp-syn', 'syn'],
    ['tcp[13] & 18 = 18', 'synAck'],
    ['(tcp[13] & 2) != 0', 'syn synAck'],
    ['(tcp[13] & 2 != 0 or udp) and not host 192.168.1.5', 'syn synAck dns six'],
    ['icmp[icmptype] = icmp-echo', 'ping'],
    ['tcp[2:2] = 80', 'web'],
    ['ip[8] < 65 and icmp', 'ping pong'],
    ['ether[12:2] = 0x0806', 'arp'],
    ['len > 1000', 'web'],
    ['ip[2:2] >> 8 = 4', 'web'],
    ['ip[9000] = 0', ''],
  ])('%s', (filter, expected) => {
    expect(passed(filter)).toBe(expected);
  });
});

describe('joining', () => {
  test.each([
    ['tcp and port 80', 'web'],
    ['tcp && ! port 80', 'syn synAck'],
    ['icmp or arp', 'ping pong arp vlan'],
    ['not ip', 'arp vlan six'],
    ['not (tcp or udp)', 'ping pong arp vlan'],
    ['!icmp and host 10.9.0.1 and !tcp', 'dns arp vlan'],
    // A bare value takes the qualifiers before it.
    ['port 80 or 53', 'web dns six'],
    ['tcp dst port 80 or 110', 'syn web'],
    ['host 192.168.1.5 or 10.9.0.77', 'other'],
    // Equal precedence, from the left: (tcp or udp) and port 53.
    ['tcp or udp and port 53', 'dns six'],
    ['udp and port 53 or icmp', 'dns ping pong six'],
  ])('%s', (filter, expected) => {
    expect(passed(filter)).toBe(expected);
  });
});

describe('mistakes are told in one line', () => {
  test.each([
    ['tpc port 80', '"tpc" is not a condition'],
    ['port', 'it ends where the port should follow'],
    ['port 70000', '"70000" is not a port'],
    ['port gopherx', '"gopherx" is not a port'],
    ['host 10.9.0.300', '"10.9.0.300" is not an address'],
    ['host 10.9.0.0/24', 'say net 10.9.0.0/24'],
    ['net 10.9.0.0/33', '"10.9.0.0/33" is not a network'],
    ['(tcp', 'a "(" is not closed'],
    ['tcp udp', '"udp" is one word too many'],
    ['tcp and', 'it ends where'],
    ['portrange 80', 'is not a range'],
    ['ether host 10.9.0.1', 'is not a hardware address'],
    ['tcp[13', 'is not closed'],
    ['tcp[1:3] = 0', '1, 2 or 4 bytes'],
    ['tcp[13] & 2', 'it ends where a comparison'],
    ['less many', '"many" is not a length'],
  ])('%s', (filter, message) => {
    expect(() => compileFilter(filter, options)).toThrow(FilterError);
    expect(() => compileFilter(filter, options)).toThrow(message);
  });

  test('no words make the compiler fail in any other way, or run on', () => {
    const word = fc.constantFrom(
      'tcp',
      'port',
      '80',
      '(',
      ')',
      'and',
      'or',
      'not',
      '[',
      ']',
      '&',
      '=',
      'host',
      'src',
      '1.2.3.4',
      'len',
      '!',
      'net',
      'vlan',
      '<<',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        try {
          compileFilter(words.join(' '), options);
        } catch (error) {
          expect(error).toBeInstanceOf(FilterError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
