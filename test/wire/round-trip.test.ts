// Every codec: what is written is what is read, and what is read stays inside the bytes it was given.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAC_BROADCAST, parseMac } from '../../src/wire/address.ts';
import * as arp from '../../src/wire/arp.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as icmp from '../../src/wire/icmpv4.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as udp from '../../src/wire/udp.ts';
import * as vnet from '../../src/wire/vnet.ts';
import { GuardedView } from './guarded.ts';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
const mac = fc.integer({ min: 0, max: MAC_BROADCAST });

const OFF = 6; // nothing may depend on alignment
const view = (length: number): GuardedView => {
  const bytes = new Uint8Array(OFF + length + 6).fill(0xa5);
  return new GuardedView(bytes.buffer).guard(OFF, OFF + length);
};

describe('fields written are the fields read', () => {
  test('virtio-net (VIRTIO 1.2 §5.1.6)', () => {
    const type = fc.constantFrom(0, 1, 3, 4, 5);
    fc.assert(
      fc.property(u8, type, fc.boolean(), u16, u16, u16, u16, (flags, gso, ecn, length, size, start, field) => {
        const dv = view(vnet.LENGTH);
        vnet.set(dv, OFF, flags, gso | (ecn ? vnet.GSO_ECN : 0), length, size, start, field);
        expect([vnet.flags(dv, OFF), vnet.gsoType(dv, OFF), vnet.hasEcn(dv, OFF)]).toEqual([flags, gso, ecn]);
        expect([vnet.headerLength(dv, OFF), vnet.gsoSize(dv, OFF)]).toEqual([length, size]);
        expect([vnet.csumStart(dv, OFF), vnet.csumOffset(dv, OFF), vnet.numBuffers(dv, OFF)]).toEqual([
          start,
          field,
          0,
        ]);
        vnet.clear(dv, OFF);
        expect(vnet.check(dv, OFF, 0)).toBe(true);
      }),
    );
  });

  test('virtio-net is little-endian', () => {
    const dv = view(vnet.LENGTH);
    vnet.set(dv, OFF, 1, 1, 0x0102, 0x0304, 0x0506, 0x0708);
    expect([...new Uint8Array(dv.buffer, OFF, 12)]).toEqual([1, 1, 2, 1, 4, 3, 6, 5, 8, 7, 0, 0]);
  });

  test('Ethernet, untagged and in a VLAN (IEEE 802.1Q §9.6)', () => {
    fc.assert(
      fc.property(
        mac,
        mac,
        fc.integer({ min: 0x0600, max: 0xffff }),
        fc.integer({ min: 0, max: 4095 }),
        u8,
        (d, s, type, vlan, p) => {
          fc.pre(type !== ethernet.TYPE_VLAN && type !== ethernet.TYPE_SERVICE_VLAN);
          const dv = view(ethernet.TAGGED_HEADER);
          ethernet.set(dv, OFF, d, s, type);
          expect(ethernet.check(dv, OFF, OFF + 14)).toBe(14);
          expect([ethernet.dst(dv, OFF), ethernet.src(dv, OFF), ethernet.etherType(dv, OFF)]).toEqual([d, s, type]);
          expect(ethernet.vlanId(dv, OFF)).toBe(-1);
          ethernet.setTagged(dv, OFF, d, s, type, vlan, p & 7);
          expect(ethernet.check(dv, OFF, OFF + 18)).toBe(18);
          expect(ethernet.check(dv, OFF, OFF + 17)).toBe(0);
          expect([ethernet.dst(dv, OFF), ethernet.src(dv, OFF), ethernet.etherType(dv, OFF)]).toEqual([d, s, type]);
          expect([ethernet.vlanId(dv, OFF), ethernet.vlanPriority(dv, OFF)]).toEqual([vlan, p & 7]);
        },
      ),
    );
  });

  test('group addresses are those with the low bit of the first octet (IEEE 802.3 §3.2.3, RFC 1112 §6.4)', () => {
    const parse = (text: string) => parseMac(text) as number;
    expect(ethernet.isGroup(MAC_BROADCAST)).toBe(true);
    expect(ethernet.isGroup(parse('01:00:5e:00:00:01'))).toBe(true);
    expect(ethernet.isGroup(parse('02:00:00:00:00:01'))).toBe(false);
    expect(ethernet.isGroup(parse('fe:ff:ff:ff:ff:ff'))).toBe(false);
    expect(ethernet.multicastMac(0xe0800001 | 0)).toBe(parse('01:00:5e:00:00:01'));
    expect(ethernet.multicastMac(0xefffffff | 0)).toBe(parse('01:00:5e:7f:ff:ff'));
  });

  test('ARP (RFC 826)', () => {
    fc.assert(
      fc.property(u16, mac, i32, mac, i32, (op, sha, spa, tha, tpa) => {
        const dv = view(arp.LENGTH);
        arp.set(dv, OFF, op, sha, spa, tha, tpa);
        expect(arp.check(dv, OFF, OFF + arp.LENGTH)).toBe(arp.LENGTH);
        expect([arp.op(dv, OFF), arp.senderMac(dv, OFF), arp.senderIp(dv, OFF)]).toEqual([op, sha, spa]);
        expect([arp.targetMac(dv, OFF), arp.targetIp(dv, OFF)]).toEqual([tha, tpa]);
      }),
    );
  });

  test('IPv4 (RFC 791 §3.1)', () => {
    const length = fc.integer({ min: 5, max: 15 }).map((words) => words * 4);
    fc.assert(
      fc.property(
        length,
        u8,
        fc.integer({ min: 0, max: 40 }),
        u16,
        u16,
        u8,
        u8,
        i32,
        i32,
        (n, tos, data, id, frag, ttl, proto, src, dst) => {
          const dv = view(n + data);
          ipv4.set(dv, OFF, n, tos, n + data, id, frag, ttl, proto, src, dst);
          ipv4.updateChecksum(dv, OFF);
          expect(ipv4.check(dv, OFF, OFF + n + data)).toBe(n);
          expect(ipv4.check(dv, OFF, OFF + n + data - 1)).toBe(0);
          expect(ipv4.checksumIsValid(dv, OFF)).toBe(true);
          expect([ipv4.tos(dv, OFF), ipv4.totalLength(dv, OFF), ipv4.id(dv, OFF)]).toEqual([tos, n + data, id]);
          expect([ipv4.ttl(dv, OFF), ipv4.protocol(dv, OFF), ipv4.src(dv, OFF), ipv4.dst(dv, OFF)]).toEqual([
            ttl,
            proto,
            src,
            dst,
          ]);
          expect(ipv4.fragment(dv, OFF)).toBe(frag);
          expect(ipv4.dontFragment(dv, OFF)).toBe((frag & ipv4.DONT_FRAGMENT) !== 0);
          expect(ipv4.moreFragments(dv, OFF)).toBe((frag & ipv4.MORE_FRAGMENTS) !== 0);
          expect(ipv4.fragmentOffset(dv, OFF)).toBe((frag % 0x2000) * 8);
          expect((ipv4.dscp(dv, OFF) << 2) | ipv4.ecn(dv, OFF)).toBe(tos);
        },
      ),
    );
  });

  test('UDP (RFC 768)', () => {
    fc.assert(
      fc.property(u16, u16, fc.integer({ min: 8, max: 60 }), u16, (src, dst, length, sum) => {
        const dv = view(60);
        udp.set(dv, OFF, src, dst, length, 0);
        udp.setChecksum(dv, OFF, sum);
        expect(udp.check(dv, OFF, OFF + length)).toBe(udp.HEADER);
        expect(udp.check(dv, OFF, OFF + length - 1)).toBe(0);
        expect([udp.srcPort(dv, OFF), udp.dstPort(dv, OFF), udp.length(dv, OFF), udp.checksum(dv, OFF)]).toEqual([
          src,
          dst,
          length,
          sum,
        ]);
      }),
    );
  });

  test('TCP, reserved bits and urgent pointer included (RFC 9293 §3.1)', () => {
    const length = fc.integer({ min: 5, max: 15 }).map((words) => words * 4);
    fc.assert(
      fc.property(
        u16,
        u16,
        i32,
        i32,
        length,
        u8,
        u16,
        u16,
        u16,
        (src, dst, seq, ack, n, flags, window, sum, urgent) => {
          const dv = view(n);
          tcp.set(dv, OFF, src, dst, seq, ack, n, flags | 0x300, window);
          tcp.setChecksum(dv, OFF, sum);
          tcp.setUrgentPointer(dv, OFF, urgent);
          expect(tcp.check(dv, OFF, OFF + n)).toBe(n);
          expect([tcp.srcPort(dv, OFF), tcp.dstPort(dv, OFF), tcp.seq(dv, OFF), tcp.ack(dv, OFF)]).toEqual([
            src,
            dst,
            seq,
            ack,
          ]);
          expect([tcp.flags(dv, OFF), tcp.reserved(dv, OFF), tcp.window(dv, OFF)]).toEqual([flags, 3, window]);
          expect([tcp.checksum(dv, OFF), tcp.urgentPointer(dv, OFF)]).toEqual([sum, urgent]);
          tcp.setPorts(dv, OFF, dst, src);
          expect([tcp.srcPort(dv, OFF), tcp.dstPort(dv, OFF)]).toEqual([dst, src]);
        },
      ),
    );
  });

  test('ICMP: each type with the fields of its own (RFC 792, RFC 950, RFC 1191)', () => {
    fc.assert(
      fc.property(u8, u16, u16, u32, u32, u32, i32, (code, id, seq, originate, receive, transmit, word) => {
        const dv = view(icmp.TIMESTAMP_LENGTH);
        for (const type of [icmp.ECHO, icmp.ECHO_REPLY, icmp.TIMESTAMP, icmp.TIMESTAMP_REPLY]) {
          icmp.setQuery(dv, OFF, type, id, seq);
          icmp.setTimestamps(dv, OFF, originate, receive, transmit);
          expect([icmp.type(dv, OFF), icmp.code(dv, OFF), icmp.id(dv, OFF), icmp.seq(dv, OFF)]).toEqual([
            type,
            0,
            id,
            seq,
          ]);
          expect([icmp.originate(dv, OFF), icmp.receive(dv, OFF), icmp.transmit(dv, OFF)]).toEqual([
            originate,
            receive,
            transmit,
          ]);
        }
        icmp.setQuery(dv, OFF, icmp.ADDRESS_MASK_REPLY, id, seq);
        icmp.setAddressMask(dv, OFF, word);
        expect([icmp.id(dv, OFF), icmp.addressMask(dv, OFF)]).toEqual([id, word]);
        icmp.set(dv, OFF, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, seq);
        expect(icmp.mtu(dv, OFF)).toBe(seq);
        icmp.set(dv, OFF, icmp.PARAMETER_PROBLEM, 0, icmp.restOfPointer(code));
        expect(icmp.pointer(dv, OFF)).toBe(code);
        icmp.set(dv, OFF, icmp.REDIRECT, code, word);
        expect([icmp.code(dv, OFF), icmp.gateway(dv, OFF), icmp.checksum(dv, OFF)]).toEqual([code, word, 0]);
      }),
    );
  });
});

describe('what `check` refuses', () => {
  test('a TCP data offset below five or past the end (RFC 9293 §3.1)', () => {
    const dv = view(24);
    for (let words = 0; words < 16; words++) {
      dv.setUint8(OFF + 12, words << 4);
      expect(tcp.check(dv, OFF, OFF + 24), `offset ${words}`).toBe(words === 5 || words === 6 ? words * 4 : 0);
    }
  });

  test('an IPv4 header with another version, IHL below five, or a total length that does not hold it (RFC 1812 §5.2.2)', () => {
    const dv = view(40);
    const whole = () => ipv4.set(dv, OFF, 20, 0, 40, 0, 0, 64, 6, 1, 2);
    const refused = (change: () => void) => {
      whole();
      expect(ipv4.check(dv, OFF, OFF + 40)).toBe(20);
      change();
      expect(ipv4.check(dv, OFF, OFF + 40)).toBe(0);
    };
    refused(() => dv.setUint8(OFF, 0x65));
    refused(() => dv.setUint8(OFF, 0x44));
    refused(() => dv.setUint8(OFF, 0x4f)); // 60 bytes of header in a packet of 40
    refused(() => dv.setUint16(OFF + 2, 19));
    refused(() => dv.setUint16(OFF + 2, 41));
  });

  test('a UDP length below eight (RFC 1122 §4.1.3, length < 8)', () => {
    const dv = view(20);
    udp.set(dv, OFF, 1, 2, 7, 0);
    expect(udp.check(dv, OFF, OFF + 20)).toBe(0);
  });

  test('ARP for anything but IPv4 over Ethernet (RFC 826)', () => {
    const dv = view(28);
    for (const [at, value] of [
      [1, 6],
      [3, 1],
      [4, 8],
      [5, 16],
    ]) {
      arp.set(dv, OFF, arp.REQUEST, 1, 2, 3, 4);
      dv.setUint8(OFF + at, value);
      expect(arp.check(dv, OFF, OFF + 28), `byte ${at}`).toBe(0);
    }
  });

  test('an ICMP message shorter than its type, but not one of unknown type (RFC 1122 §3.2.2)', () => {
    const dv = view(20);
    const checked = (type: number, length: number) => {
      icmp.set(dv, OFF, type, 0, 0);
      return icmp.check(dv, OFF, OFF + length);
    };
    expect([checked(icmp.ECHO, 8), checked(icmp.ECHO, 7)]).toEqual([8, 0]);
    expect([checked(icmp.TIMESTAMP, 20), checked(icmp.TIMESTAMP, 19)]).toEqual([20, 0]);
    expect([checked(icmp.ADDRESS_MASK, 12), checked(icmp.ADDRESS_MASK, 11)]).toEqual([12, 0]);
    expect(checked(200, 8)).toBe(8);
  });

  test('a virtio-net header with a checksum outside its frame or a GSO type without a size', () => {
    const dv = view(12);
    const checked = (flags: number, type: number, size: number, start: number, field: number, length: number) => {
      vnet.set(dv, OFF, flags, type, 0, size, start, field);
      return vnet.check(dv, OFF, length);
    };
    expect(checked(vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 34, 16, 52)).toBe(true);
    expect(checked(vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 34, 16, 51)).toBe(false);
    expect(checked(0, vnet.GSO_TCPV4, 1448, 0, 0, 52)).toBe(true);
    expect(checked(0, vnet.GSO_TCPV4, 0, 0, 0, 52)).toBe(false);
    expect(checked(0, 2, 1448, 0, 0, 52)).toBe(false);
  });
});

test('no bytes make a check throw, or lead an accessor out of the range that was checked', () => {
  // Biased to what headers begin with, so that checks pass often enough to matter.
  const octet = fc.oneof(u8, fc.constantFrom(0x45, 0x46, 0x4f, 0x50, 0x81, 0, 8, 13, 17, 20, 28));
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 70 }), (values) => {
      const dv = view(values.length);
      values.forEach((value, i) => {
        dv.setUint8(OFF + i, value);
      });
      const end = OFF + values.length;
      const read = (length: number, module: object, names: readonly string[]): void => {
        if (length === 0) return;
        for (const name of names) {
          const accessor = (module as Record<string, unknown>)[name];
          if (typeof accessor !== 'function') throw new Error(`no accessor ${name}`);
          expect(Number.isInteger(Number(accessor(dv, OFF))), name).toBe(true);
        }
      };
      read(ethernet.check(dv, OFF, end), ethernet, ['dst', 'src', 'etherType', 'vlanId', 'headerLength']);
      read(arp.check(dv, OFF, end), arp, ['op', 'senderMac', 'senderIp', 'targetMac', 'targetIp']);
      read(ipv4.check(dv, OFF, end), ipv4, [
        'tos',
        'id',
        'fragmentOffset',
        'ttl',
        'protocol',
        'src',
        'dst',
        'checksumIsValid',
      ]);
      read(udp.check(dv, OFF, end), udp, ['srcPort', 'dstPort', 'length', 'checksum']);
      read(tcp.check(dv, OFF, end), tcp, [
        'srcPort',
        'dstPort',
        'seq',
        'ack',
        'flags',
        'window',
        'checksum',
        'urgentPointer',
      ]);
      const message = icmp.check(dv, OFF, end);
      read(message, icmp, ['type', 'code', 'id', 'seq', 'mtu', 'pointer', 'gateway']);
      if (message === icmp.TIMESTAMP_LENGTH) read(message, icmp, ['originate', 'receive', 'transmit']);
      if (message === icmp.MASK_LENGTH) read(message, icmp, ['addressMask']);
    }),
    { numRuns: 2000 },
  );
});

test('every ICMP type and code of the course has its name (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7)', () => {
  expect([0, 3, 4, 5, 8, 11, 12, 13, 14, 17, 18].map(icmp.typeName)).toEqual([
    'echo reply',
    'destination unreachable',
    'source quench',
    'redirect',
    'echo request',
    'time exceeded',
    'parameter problem',
    'timestamp request',
    'timestamp reply',
    'address mask request',
    'address mask reply',
  ]);
  for (let code = 0; code <= 15; code++) expect(icmp.codeName(3, code)).not.toContain('code');
  expect(icmp.codeName(3, 99)).toBe('destination unreachable code 99');
  expect(icmp.codeName(11, 1)).toBe('fragment reassembly time exceeded');
  expect([3, 4, 5, 11, 12].every(icmp.isError)).toBe(true);
  expect([0, 8, 13, 14, 17, 18].some(icmp.isError)).toBe(false);
});
