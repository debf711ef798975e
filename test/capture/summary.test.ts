import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dissect } from '../../src/capture/dissect.ts';
import { LINKTYPE_NULL, LINKTYPE_RAW } from '../../src/capture/frame.ts';
import { layerOf } from '../../src/capture/layers.ts';
import { CaptureReader } from '../../src/capture/reader.ts';
import { Summary, type SummaryOptions } from '../../src/capture/summary.ts';
import * as checksum from '../../src/wire/checksum.ts';
import {
  A,
  arpFrame,
  B,
  ethernetFrame,
  hex,
  icmpFrame,
  ipFrame,
  quote,
  tcpFrame,
  text,
  udpFrame,
  viewOf,
} from './frames.ts';

const lines = (frames: Uint8Array[], options: SummaryOptions = {}): string[] => {
  const summary = new Summary(options);
  return frames.map((bytes) => summary.line(dissect(bytes), bytes.length));
};
const line = (frame: Uint8Array): string => lines([frame])[0];
const probe = udpFrame(5000, 33434, text('hello'));

describe('a frame in one line reads as tcpdump writes it', () => {
  test('ARP, probes and announcements told apart (RFC 826, RFC 5227 §1.1)', () => {
    expect(lines([arpFrame(1, A, B), arpFrame(2, A, B, 0x020000000002), arpFrame(1, A, B, 0x020000000002)])).toEqual([
      'ARP, Request who-has 10.9.0.2 tell 10.9.0.1, length 28',
      'ARP, Reply 10.9.0.1 is-at 02:00:00:00:00:01, length 28',
      'ARP, Request who-has 10.9.0.2 (02:00:00:00:00:02) tell 10.9.0.1, length 28',
    ]);
    expect(lines([arpFrame(1, 0, B), arpFrame(1, A, A)])).toEqual([
      'ARP, Probe 10.9.0.2, length 28',
      'ARP, Announcement 10.9.0.1, length 28',
    ]);
  });

  test('ICMP queries (RFC 792, RFC 950)', () => {
    expect(
      lines([
        icmpFrame(8, 0, 0x10002, text('x'.repeat(56))),
        icmpFrame(0, 0, 0x10002, text('x'.repeat(56))),
        icmpFrame(13, 0, 0x10002, hex('0036ee80 0036ee81 0036ee82')),
        icmpFrame(14, 0, 0x10002, hex('0036ee80 0036ee81 0036ee82')),
        icmpFrame(17, 0, 0x10002, hex('00000000')),
        icmpFrame(18, 0, 0x10002, hex('ffffff00')),
      ]),
    ).toEqual([
      'IP 10.9.0.1 > 10.9.0.2: ICMP echo request, id 1, seq 2, length 64',
      'IP 10.9.0.1 > 10.9.0.2: ICMP echo reply, id 1, seq 2, length 64',
      'IP 10.9.0.1 > 10.9.0.2: ICMP time stamp query id 1 seq 2, length 20',
      'IP 10.9.0.1 > 10.9.0.2: ICMP time stamp reply id 1 seq 2: org 01:00:00.000, recv 01:00:00.001, xmit 01:00:00.002, length 20',
      'IP 10.9.0.1 > 10.9.0.2: ICMP address mask request, length 12',
      'IP 10.9.0.1 > 10.9.0.2: ICMP address mask is 255.255.255.0, length 12',
    ]);
  });

  test('ICMP errors name what they complain about (RFC 792, RFC 1191)', () => {
    const error = (type: number, code: number, rest = 0): string =>
      line(icmpFrame(type, code, rest, quote(probe))).replace('IP 10.9.0.1 > 10.9.0.2: ICMP ', '');
    expect(error(3, 0)).toBe('net 10.9.0.2 unreachable, length 41');
    expect(error(3, 1)).toBe('host 10.9.0.2 unreachable, length 41');
    expect(error(3, 2)).toBe('10.9.0.2 protocol 17 unreachable, length 41');
    expect(error(3, 3)).toBe('10.9.0.2 udp port 33434 unreachable, length 41');
    expect(error(3, 4, 1400)).toBe('10.9.0.2 unreachable - need to frag (mtu 1400), length 41');
    expect(error(3, 13)).toBe('10.9.0.2 unreachable - communication administratively prohibited, length 41');
    expect(error(4, 0)).toBe('source quench, length 41');
    expect(error(5, 1, A)).toBe('redirect 10.9.0.2 to host 10.9.0.1, length 41');
    expect(error(11, 0)).toBe('time exceeded in-transit, length 41');
    expect(error(11, 1)).toBe('ip reassembly time exceeded, length 41');
    expect(error(12, 0, 20 << 24)).toBe('parameter problem - octet 20, length 41');
  });

  test('an error that quotes only eight octets of its packet still names the ports (RFC 792)', () => {
    const quoted = quote(tcpFrame({ dstPort: 81 }), 28);
    expect(line(icmpFrame(3, 3, 0, quoted))).toContain('10.9.0.2 tcp port 81 unreachable');
  });

  test('UDP, and what DNS and NTP say in it', () => {
    const name = '07 6578616d706c65 03 636f6d 00 0001 0001';
    expect(
      lines([
        udpFrame(1000, 2000, text('abc')),
        udpFrame(1000, 123, hex('23'.padEnd(96, '0'))),
        udpFrame(1000, 53, hex(`1234 0100 0001 0000 0000 0000 ${name}`)),
        udpFrame(53, 1000, hex(`1234 8180 0001 0001 0000 0000 ${name} c00c 0001 0001 0000003c 0004 c0000201`)),
        udpFrame(53, 1000, hex(`1234 8183 0001 0000 0000 0000 ${name}`)),
      ]),
    ).toEqual([
      'IP 10.9.0.1.1000 > 10.9.0.2.2000: UDP, length 3',
      'IP 10.9.0.1.1000 > 10.9.0.2.123: NTPv4, Client, length 48',
      'IP 10.9.0.1.1000 > 10.9.0.2.53: 4660+ A? example.com. (29)',
      'IP 10.9.0.1.53 > 10.9.0.2.1000: 4660 1/0/0 A 192.0.2.1 (45)',
      'IP 10.9.0.1.53 > 10.9.0.2.1000: 4660 NXDomain 0/0/0 (29)',
    ]);
  });

  test('a DNS name that points forwards or at itself is not followed (RFC 1035 §4.1.4)', () => {
    for (const name of ['c00c', 'c020', `c00e c00c`]) {
      const query = hex(`1234 0100 0001 0000 0000 0000 ${name} 0001 0001 ${'00'.repeat(20)}`);
      expect(line(udpFrame(1000, 53, query)), name).toBe(`IP 10.9.0.1.1000 > 10.9.0.2.53: UDP, length ${query.length}`);
    }
  });

  test('a TCP connection, counted from its SYNs', () => {
    const session = [
      tcpFrame({ flags: 2, seq: 4000000000, options: hex('020405b4 0402080a 00000001 00000000 01 030307') }),
      tcpFrame({ flags: 0x12, back: true, seq: 5000, ack: 4000000001, options: hex('020405b4 01010402') }),
      tcpFrame({ seq: 4000000001, ack: 5001 }),
      tcpFrame({ seq: 4000000001, ack: 5001, payload: text('USER x\r\n'), flags: 0x18 }),
      tcpFrame({ back: true, seq: 5001, ack: 4000000001, options: hex('0101050a ee6b2805 ee6b2809') }),
      tcpFrame({ flags: 0x11, seq: 4000000009, ack: 5001 }),
      tcpFrame({ flags: 0x14, seq: 4000000009, ack: 5001 }),
      tcpFrame({ flags: 0x30, seq: 4000000009, ack: 5001, urgent: 7, payload: text('x'), srcPort: 1, dstPort: 2 }),
    ];
    expect(lines(session)).toEqual([
      'IP 10.9.0.1.40000 > 10.9.0.2.110: Flags [S], seq 4000000000, win 64240, options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0',
      'IP 10.9.0.2.110 > 10.9.0.1.40000: Flags [S.], seq 5000, ack 4000000001, win 64240, options [mss 1460,nop,nop,sackOK], length 0',
      'IP 10.9.0.1.40000 > 10.9.0.2.110: Flags [.], ack 1, win 64240, length 0',
      'IP 10.9.0.1.40000 > 10.9.0.2.110: Flags [P.], seq 1:9, ack 1, win 64240, length 8: POP3: USER x',
      'IP 10.9.0.2.110 > 10.9.0.1.40000: Flags [.], ack 1, win 64240, options [nop,nop,sack 1 {5:9}], length 0',
      'IP 10.9.0.1.40000 > 10.9.0.2.110: Flags [F.], seq 9, ack 1, win 64240, length 0',
      'IP 10.9.0.1.40000 > 10.9.0.2.110: Flags [R.], seq 9, ack 1, win 64240, length 0',
      'IP 10.9.0.1.1 > 10.9.0.2.2: Flags [.U], seq 4000000009:4000000010, ack 5001, win 64240, urg 7, length 1',
    ]);
    expect(lines(session, { absolute: true })[3]).toContain('seq 4000000001:4000000009, ack 5001');
    expect(line(tcpFrame({ flags: 0 }))).toContain('Flags [none]');
    expect(line(tcpFrame({ flags: 0xc2 }))).toContain('Flags [SEW]');
  });

  test('sequence numbers beyond 2^32 are counted on', () => {
    const session = [tcpFrame({ flags: 2, seq: 0xffffffff }), tcpFrame({ seq: 0, ack: 1, payload: text('abc') })];
    expect(lines(session)[1]).toContain('seq 1:4');
  });

  test('fragments tell their place (RFC 791 §3.2)', () => {
    const whole = udpFrame(9, 10, text('x'.repeat(100))).slice(34);
    expect(
      lines([
        ipFrame(17, whole.slice(0, 64), { fragment: 0x2000, id: 77 }),
        ipFrame(17, whole.slice(64), { fragment: 8, id: 77 }),
      ]),
    ).toEqual([
      'IP 10.9.0.1.9 > 10.9.0.2.10: UDP, length 100, fragment id 77 64@0+',
      'IP 10.9.0.1 > 10.9.0.2: UDP, fragment id 77 44@64',
    ]);
  });

  test('VLAN tags, IGMP, IPv6 neighbours and strangers', () => {
    const tagged = hex(`2005 0806 ${Buffer.from(arpFrame(1, A, B).slice(14)).toString('hex')}`);
    expect(line(ethernetFrame(0x8100, tagged))).toBe(
      'vlan 5, p 1, ARP, Request who-has 10.9.0.2 tell 10.9.0.1, length 28',
    );
    expect(line(ipFrame(2, hex('1600 09ff e0000009')))).toBe('IP 10.9.0.1 > 10.9.0.2: igmp v2 report 224.0.0.9');
    expect(line(ethernetFrame(0x88cc, text('lldp')))).toBe('ethertype 0x88cc, length 4');
    expect(line(ipFrame(47, text('abcdefgh')))).toBe('IP 10.9.0.1 > 10.9.0.2: ip-proto-47 GRE 8');
    const solicitation = hex(
      '60000000 0018 3aff fe80000000000000 0000000000000001 ff02000000000000 00000001ff000002 8700 0000 00000000 fe80000000000000 0000000000000002',
    );
    const dv = viewOf(solicitation);
    dv.setUint16(42, checksum.finish(checksum.sum(dv, 40, 24, checksum.sum(dv, 8, 32, 58 + 24))));
    expect(line(ethernetFrame(0x86dd, solicitation))).toBe(
      'IP6 fe80::1 > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fe80::2, length 24',
    );
  });

  test('with the Ethernet header when asked for', () => {
    expect(lines([udpFrame(1, 2, text('abc'))], { link: true })).toEqual([
      '02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x0800, length 45: IP 10.9.0.1.1 > 10.9.0.2.2: UDP, length 3',
    ]);
  });

  test('the captured session of the year 2000, frame 10 with its bad checksum', () => {
    const reader = new CaptureReader();
    reader.push(readFileSync(new URL('../fixtures/pop3-session-2000.pcap', import.meta.url)));
    const summary = new Summary();
    const all: string[] = [];
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      all.push(summary.line(dissect(frame.bytes, frame.linkType, frame.wireLength), frame.wireLength));
    }
    expect(all.filter((text) => text.includes('bad'))).toEqual([
      'IP 192.168.0.10.1927 > 192.168.0.250.110: Flags [P.] [bad tcp cksum 0x8f50 -> 0x94ae!], seq 13:27, ack 91, win 17430, length 14: POP3: PASS epikoi',
    ]);
    expect(all[3]).toBe(
      'IP 192.168.0.250.110 > 192.168.0.10.1927: Flags [P.], seq 1:50, ack 1, win 32120, length 49: POP3: +OK POP3 gateway1.maison.mrs v7.64 server ready',
    );
    expect(all.at(-1)).toBe('IP 192.168.0.10.1927 > 192.168.0.250.110: Flags [.], ack 145, win 17377, length 0');
  });
});

describe('verdicts on checksums', () => {
  const spoiled = (frame: Uint8Array, at: number): Uint8Array => {
    frame[at] ^= 0x01;
    return frame;
  };

  test('every kind of bad one is reported, with what it should be', () => {
    expect(line(spoiled(udpFrame(1, 2, text('abc')), 44))).toMatch(
      /: \[bad udp cksum 0x\w{4} -> 0x\w{4}!\] UDP, length 3$/,
    );
    expect(line(spoiled(icmpFrame(8, 0, 0, text('abc')), 44))).toMatch(/\[bad icmp cksum 0x\w{4} -> 0x\w{4}!\]/);
    expect(line(spoiled(tcpFrame({ payload: text('abc') }), 56))).toMatch(/\[bad tcp cksum 0x\w{4} -> 0x\w{4}!\]/);
    expect(line(spoiled(tcpFrame({}), 22))).toMatch(/\[bad ip cksum 0x\w{4} -> 0x\w{4}!\]/); // TTL
  });

  test('what is told to be right is right', () => {
    const frame = tcpFrame({ payload: text('some bytes') });
    const good = viewOf(frame).getUint16(50);
    viewOf(frame).setUint16(50, good ^ 0x1234);
    expect(layerOf(dissect(frame), 'tcp')?.checksum).toEqual({ value: good ^ 0x1234, verdict: 'bad', expected: good });
  });

  test('one left to the device (virtio NEEDS_CSUM) is partial, not bad', () => {
    const frame = tcpFrame({ payload: text('abc') });
    viewOf(frame).setUint16(50, checksum.pseudoV4(A, B, 6, 23));
    expect(layerOf(dissect(frame), 'tcp')?.checksum.verdict).toBe('partial');
    expect(line(frame)).toContain('[tcp cksum partial]');
  });

  test('UDP without one has none (RFC 768), and pieces of packets prove nothing', () => {
    const frame = udpFrame(1, 2, text('abc'));
    viewOf(frame).setUint16(40, 0);
    expect(layerOf(dissect(frame), 'udp')?.checksum.verdict).toBe('absent');
    const cut = tcpFrame({ payload: text('abcdef') });
    expect(layerOf(dissect(cut.slice(0, 56), 1, cut.length), 'tcp')?.checksum.verdict).toBe('unchecked');
    expect(layerOf(dissect(ipFrame(17, probe.slice(34), { fragment: 0x2000 })), 'udp')?.checksum.verdict).toBe(
      'unchecked',
    );
  });
});

describe('odd frames', () => {
  test('are called malformed where a length contradicts the bytes', () => {
    const malformed = (frame: Uint8Array, at: number, value: number): string => {
      frame[at] = value;
      return layerOf(dissect(frame), 'malformed')?.what ?? 'well-formed';
    };
    expect(malformed(tcpFrame({}), 14, 0x44)).toBe('IPv4 header');
    expect(malformed(tcpFrame({}), 17, 41)).toBe('IPv4 total length 41 in 40 bytes');
    expect(malformed(tcpFrame({}), 46, 0x40)).toBe('TCP data offset 4');
    expect(malformed(tcpFrame({}), 46, 0x60)).toBe('TCP header of 24 bytes');
    expect(malformed(udpFrame(1, 2, text('abc')), 39, 12)).toBe('UDP length 12');
    expect(malformed(arpFrame(1, A, B), 18, 5)).toBe('ARP');
  });

  test('are truncated, not malformed, where the capture kept less', () => {
    const frame = tcpFrame({ payload: text('abcdef') });
    expect(dissect(frame.slice(0, 40), 1, frame.length).at(-1)).toMatchObject({
      layer: 'truncated',
      what: 'TCP header',
    });
    expect(line(frame)).toContain('length 6');
  });

  test('Ethernet padding is no payload (RFC 894)', () => {
    const frame = new Uint8Array(60);
    frame.set(tcpFrame({}));
    expect(layerOf(dissect(frame), 'tcp')?.payloadLength).toBe(0);
    expect(layerOf(dissect(frame), 'data')).toBeUndefined();
  });

  test('options of IP are spelled out (RFC 791 §3.1)', () => {
    const options = hex('070b08 0a000001 00000000 00');
    expect(layerOf(dissect(ipFrame(1, text('12345678'), { options })), 'ipv4')?.options).toEqual([
      'RR 10.0.0.1 ^0.0.0.0',
    ]);
    expect(layerOf(dissect(ipFrame(1, text('12345678'), { options: hex('07000000') })), 'ipv4')?.options).toEqual([
      'malformed at 21',
    ]);
  });

  test('other link types begin with the packet', () => {
    const packet = tcpFrame({}).slice(14);
    expect(layerOf(dissect(packet, LINKTYPE_RAW), 'tcp')).toBeDefined();
    expect(layerOf(dissect(new Uint8Array([2, 0, 0, 0, ...packet]), LINKTYPE_NULL), 'tcp')).toBeDefined();
    expect(dissect(packet, 250)).toMatchObject([{ layer: 'unknown', what: 'link type 250' }]);
  });

  test('no bytes make the dissector throw, and every layer lies within the frame', () => {
    const seeds = [
      tcpFrame({ options: hex('020405b4 0402080a 00000001 00000000 01 030307'), payload: text('USER x') }),
      udpFrame(
        53,
        1,
        hex(
          '1234 8180 0001 0001 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001 c00c 0001 0001 00 00 00 3c 0004 01020304',
        ),
      ),
      udpFrame(67, 68, text('x'.repeat(250))),
      icmpFrame(3, 3, 0, quote(probe)),
      arpFrame(1, A, B),
      ethernetFrame(0x86dd, hex(`60000000 0020 0040 ${'fe80'.repeat(16)} 3a00010400000000 8500 7bb8 00000000`)),
      ipFrame(1, text('12345678'), { options: hex('070b08 0a000001 00000000 00') }),
    ];
    const change = fc.tuple(fc.nat(120), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.array(change, { maxLength: 6 }), fc.nat(150), (seed, changes, keep) => {
        const bytes = seed.slice();
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const kept = bytes.slice(0, keep);
        const layers = dissect(kept, 1, keep % 2 ? seed.length : kept.length);
        for (const layer of layers) {
          expect(layer.off).toBeGreaterThanOrEqual(0);
          expect(layer.off + layer.length).toBeLessThanOrEqual(kept.length);
        }
        expect(lines([kept])[0]).not.toBe('');
      }),
      { numRuns: 3000 },
    );
  });
});
