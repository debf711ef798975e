import { expect, test } from 'vitest';
import type { Stats } from '../../src/stats.ts';
import { Address } from '../../src/wire/address.ts';
import type { BenchHost } from '../support/bench-host.ts';
import {
  BROADCAST_MAC,
  benchHost,
  frame,
  icmpMessage,
  ip,
  ipPacket,
  OUR_MAC,
  PEER_MAC,
  udpDatagram,
} from '../support/bench-host.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

const echo = (fields: Parameters<typeof ipPacket>[0] = {}): Uint8Array =>
  ipPacket({ payload: icmpMessage(8, 0, 0x00010001), ...fields });
const REPLY = '10.9.0.2 > 10.9.0.1 icmp echo reply 8';

/** Inject one frame that must be dropped in silence, and say which counter moved. */
function dropped(host: BenchHost, bytes: Uint8Array): string {
  const before: Record<string, number> = { ...host.stack.stats };
  expect(host.inject(bytes)).toEqual([]);
  const after: Stats & Record<string, number> = host.stack.stats as Stats & Record<string, number>;
  const moved = Object.keys(before).filter((name) => name.startsWith('drop') && after[name] !== before[name]);
  expect(moved.length, `one frame, one drop counter: ${moved}`).toBe(1);
  return moved[0];
}

const withByte = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const changed = bytes.slice();
  changed[at] = value;
  return changed;
};

test('a frame for another MAC, of an unknown type or too short is dropped and counted', () => {
  const host = benchHost();
  expect(dropped(host, frame(echo(), 0x020000000077))).toBe('dropNotForUs');
  expect(dropped(host, frame(echo(), OUR_MAC, PEER_MAC, 0x86dd))).toBe('dropUnknownEtherType');
  expect(dropped(host, new Uint8Array(13))).toBe('dropShortFrame');
  expect(host.inject(frame(echo()))).toEqual([REPLY]);
});

test('a tagged frame is dropped by an untagged NIC, and a NIC in a VLAN takes and sends only its own', () => {
  const tag = (vlan: number): Uint8Array => {
    const plain = frame(echo());
    return Uint8Array.from([...plain.subarray(0, 12), 0x81, 0, vlan >> 8, vlan & 255, ...plain.subarray(12)]);
  };
  const untagged = benchHost();
  expect(dropped(untagged, tag(5))).toBe('dropNotForUs');
  expect(untagged.inject(tag(0))).toEqual([REPLY]); // IEEE 802.1Q: VLAN 0 is a priority only
  const tagged = benchHost({ nic: { vlan: 5 } });
  expect(dropped(tagged, frame(echo()))).toBe('dropNotForUs');
  expect(dropped(tagged, tag(6))).toBe('dropNotForUs');
  expect(tagged.inject(tag(5))).toEqual([`vlan 5 ${REPLY}`]);
});

test('trap: payload that looks like Ethernet padding is kept, and padding is not payload (RFC 894; ARP6)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  const payload = new Uint8Array([1, 0, 0, 0]);
  const padded = new Uint8Array(60);
  padded.set(frame(ipPacket({ protocol: 17, payload: udpDatagram(5, 9, payload) })));
  padded.fill(0xff, 14 + 20 + 12);
  host.inject(padded);
  expect(socket.receive()?.data).toEqual(payload);
  // An echo request has no length of its own: what comes back shows where the packet was taken to end.
  padded.set(frame(ipPacket({ payload: icmpMessage(8, 0, 1, payload) })));
  expect(host.inject(padded)).toEqual(['10.9.0.2 > 10.9.0.1 icmp echo reply 12']);
});

test('trap: IHL below five, a total length beyond the frame or below the header, and other versions are dropped (RFC 1122 §3.2.1.1)', () => {
  const host = benchHost();
  expect(dropped(host, frame(withByte(echo(), 0, 0x44)))).toBe('dropMalformedIp');
  expect(dropped(host, frame(withByte(echo(), 0, 0x4f)))).toBe('dropMalformedIp');
  expect(dropped(host, frame(withByte(echo(), 3, 200)))).toBe('dropMalformedIp');
  expect(dropped(host, frame(withByte(echo(), 3, 19)))).toBe('dropMalformedIp');
  expect(dropped(host, frame(withByte(echo(), 0, 0x65)))).toBe('dropIpVersion');
  expect(dropped(host, frame(echo().subarray(0, 19)))).toBe('dropMalformedIp');
});

test('a bad header checksum is dropped in silence (RFC 1122 §3.2.1.2)', () => {
  const host = benchHost();
  expect(dropped(host, frame(withByte(echo(), 8, 63)))).toBe('dropIpChecksum');
});

test('sources no host can have are dropped (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7; IP4, UDP11)', () => {
  const host = benchHost();
  for (const src of [
    '0.0.0.0',
    '0.1.2.3',
    '127.0.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '10.9.0.255',
    '10.9.0.0',
  ]) {
    expect(dropped(host, frame(echo({ src }))), src).toBe('dropMartianSource');
  }
});

test('trap: a packet from our own address that comes from outside is dropped (LAND)', () => {
  const host = benchHost();
  expect(dropped(host, frame(echo({ src: '10.9.0.2' })))).toBe('dropMartianSource');
});

test('destinations that are nobody, loopback or somebody else are dropped (RFC 1122 §3.2.1.3; IP3, IP8, IP9)', () => {
  const host = benchHost();
  expect(dropped(host, frame(echo({ dst: '127.0.0.1' })))).toBe('dropMartianDestination');
  expect(dropped(host, frame(echo({ dst: '0.0.0.0' })))).toBe('dropMartianDestination');
  expect(dropped(host, frame(echo({ dst: '10.9.0.3' })))).toBe('dropForwardingOff');
  expect(dropped(host, frame(echo({ dst: '224.0.0.9' })))).toBe('dropNotForUs');
});

test('a unicast packet in a broadcast frame is dropped (RFC 1122 §3.3.6; ARP8, CAST3)', () => {
  const host = benchHost();
  expect(dropped(host, frame(echo(), BROADCAST_MAC))).toBe('dropMartianDestination');
});

test('directed, old-style and limited broadcasts and 224.0.0.1 reach a socket; a /31 has no broadcast (RFC 3021 §2.2; CAST1, CAST5)', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  for (const dst of ['10.9.0.255', '10.9.0.0', '255.255.255.255', '224.0.0.1']) {
    const payload = udpDatagram(5, 9, new Uint8Array(3), '10.9.0.1', dst);
    host.inject(frame(ipPacket({ protocol: 17, dst, payload }), BROADCAST_MAC));
    expect(socket.receive()?.local.toString(), dst).toBe(dst);
  }
  const point = benchHost({ prefix: 31, peerKnown: false });
  point.nic.neighbors.pin(ip('10.9.0.3'), PEER_MAC);
  expect(point.inject(frame(echo({ src: '10.9.0.3' })))).toEqual(['10.9.0.2 > 10.9.0.3 icmp echo reply 8']);
});

test('an unknown protocol is answered with protocol unreachable (RFC 1122 §3.2.2.1; ICMP8, ICMP11)', () => {
  const host = benchHost();
  const sent = host.inject(frame(ipPacket({ protocol: 99, payload: new Uint8Array(20) })));
  expect(sent).toEqual(['10.9.0.2 > 10.9.0.1 icmp protocol unreachable 48']);
  expect(host.stack.stats.dropUnknownProtocol).toBe(1);
});

test('unknown options are ignored (RFC 1122 §3.2.1.8 (M50); IP15, IP18)', () => {
  const host = benchHost();
  const options = Uint8Array.from([0x5e, 4, 9, 9, 136, 4, 0, 1, 1, 1, 0, 0]); // 136: stream identifier
  expect(host.inject(frame(echo({ options })))).toEqual([REPLY]);
});

test('a malformed option is answered with a parameter problem that points at it (RFC 1122 §3.2.1.8; ICMP19)', () => {
  const cases: [number[], number][] = [
    [[0x5e, 0, 0, 0], 21], // length 0: trap, a walker that does not advance
    [[0x5e, 1, 0, 0], 21],
    [[0x5e, 9, 0, 0], 21],
    [[1, 1, 1, 0x5e], 23], // no room for a length
    [[7, 7, 5, 0, 0, 0, 0, 0], 22], // record route, pointer between addresses
    [[7, 2, 0, 0], 21],
    [[68, 8, 5, 2, 0, 0, 0, 0], 22], // timestamp of an unknown flag
    [[7, 3, 4, 7, 3, 4, 0, 0], 23], // twice
  ];
  for (const [options, pointer] of cases) {
    const host = benchHost();
    host.link.incoming.push(frame(echo({ options: Uint8Array.from(options) })));
    host.net.settle();
    const [answer, ...more] = host.frames();
    expect(more, `${options}`).toEqual([]);
    expect([answer[34], answer[35], answer[38]], `${options}`).toEqual([12, 0, pointer]);
    expect(host.stack.stats.dropIpOption).toBe(1);
  }
});

test('source-routed packets are dropped unless they are allowed (RFC 1122 §3.3.5; IP19)', () => {
  const route = (pointer: number): Uint8Array => Uint8Array.from([131, 7, pointer, 10, 9, 0, 77, 0]);
  expect(dropped(benchHost(), frame(echo({ options: route(8) })))).toBe('dropSourceRoute');
  const willing = benchHost({ stack: { acceptSourceRoute: true } });
  // The recorded route goes back reversed (RFC 1122 §3.2.2.6): first to its last hop.
  willing.nic.neighbors.pin(ip('10.9.0.77'), PEER_MAC);
  willing.link.incoming.push(frame(echo({ options: route(8) })));
  willing.net.settle();
  const [reply] = willing.frames();
  expect([...reply.subarray(30, 34)]).toEqual([10, 9, 0, 77]);
  expect([...reply.subarray(34, 41)]).toEqual([131, 7, 4, 10, 9, 0, 1]);
  // Not yet at its end: we do not forward.
  expect(willing.inject(frame(echo({ options: route(4) })))).toEqual([
    '10.9.0.2 > 10.9.0.1 icmp source route failed 44',
  ]);
});

test('record route and timestamp of an echo request come back with us in them (RFC 1122 §3.2.2.6, ping -R; ICMP24)', () => {
  const host = benchHost();
  const route = Uint8Array.from([7, 11, 8, 10, 9, 0, 1, 0, 0, 0, 0, 0]);
  host.link.incoming.push(frame(echo({ options: route })));
  const stamp = Uint8Array.from([68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  host.link.incoming.push(frame(echo({ options: stamp })));
  host.net.settle();
  const [one, two] = host.frames();
  expect([...one.subarray(34, 46)]).toEqual([7, 11, 12, 10, 9, 0, 1, 10, 9, 0, 2, 0]);
  expect([...two.subarray(34, 42)]).toEqual([68, 12, 13, 1, 10, 9, 0, 2]);
  const millis = new DataView(two.buffer).getUint32(42);
  expect(millis).toBe(1000); // the virtual clock starts one second after midnight UT
});

test('no byte from the wire throws, and every frame is accounted for', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const host = benchHost({ peerKnown: false });
    host.stack.udp.open().bind(null, 9);
    const seeds = [
      frame(echo()),
      frame(ipPacket({ protocol: 17, payload: udpDatagram(5, 9, new Uint8Array(30)) })),
      frame(ipPacket({ protocol: 6, payload: new Uint8Array(40).fill(0x50) })),
      frame(ipPacket({ protocol: 2, payload: new Uint8Array(8), dst: '224.0.0.1' }), 0x01005e000001),
      frame(echo({ options: Uint8Array.from([7, 11, 8, 10, 9, 0, 1, 0, 0, 0, 0, 0]) })),
      frame(ipPacket({ payload: icmpMessage(3, 1, 0, echo()) })),
      frame(ipPacket({ payload: icmpMessage(5, 1, ip('10.9.0.9'), echo()) })),
    ];
    for (let i = 0; i < 300; i++) {
      const bytes = seeds[pick(seeds.length)].slice();
      for (let n = pick(4); n >= 0; n--) bytes[14 + pick(bytes.length - 14)] = pick(256);
      // Half of them get a right header checksum, or few would get past it.
      if (pick(2) === 0) {
        const header = Math.max(20, Math.min((bytes[14] & 15) * 4, bytes.length - 14));
        let sum = 0;
        bytes[24] = 0;
        bytes[25] = 0;
        for (let at = 14; at + 1 < 14 + header; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
        bytes[24] = (~sum >> 8) & 255;
        bytes[25] = ~sum & 255;
      }
      host.link.incoming.push(bytes.subarray(0, bytes.length - pick(3)));
    }
    host.net.settle();
    expect(host.stack.stats.ifInFrames).toBe(300);
    host.net.run(200_000_000);
    host.net.close();
    expect(host.stack.memory.used, `seed ${seed}`).toBe(0);
  }
});

test('received bytes are not kept: what a socket holds survives the reuse of the receive buffer', () => {
  const host = benchHost();
  const socket = host.stack.udp.open();
  socket.bind(null, 9);
  for (let i = 0; i < 50; i++)
    host.inject(frame(ipPacket({ protocol: 17, payload: udpDatagram(5, 9, new Uint8Array(100).fill(i)) })));
  for (let i = 0; i < 50; i++) expect(socket.receive()?.data).toEqual(new Uint8Array(100).fill(i));
  expect(socket.receive()).toBe(null);
});

test('addresses must be ones a host can have; the error says why', () => {
  const host = benchHost();
  const add = (text: string, prefix: number) => () => host.nic.addAddress(ip(text), prefix);
  expect(add('10.9.1.0', 24)).toThrow('network address');
  expect(add('10.9.1.255', 24)).toThrow('broadcast address');
  expect(add('224.1.1.1', 24)).toThrow('not an address a host can have');
  expect(add('127.0.0.2', 8)).toThrow('loopback');
  expect(add('10.9.1.1', 33)).toThrow('prefix');
  expect(add('10.9.0.2', 24)).toThrow('has it already');
  expect(add('10.9.1.0', 31)).not.toThrow();
  expect(add('10.9.2.1', 32)).not.toThrow();
  expect(host.stack.canBind(Address.v4(ip('10.9.2.1')))).toBe(true);
});
