import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as gso from '../../src/wire/gso.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as udp from '../../src/wire/udp.ts';
import * as vnet from '../../src/wire/vnet.ts';

const OFF = vnet.LENGTH;
const SRC = 0x0a090001;
const DST = 0x0a090002;

interface Frame {
  dv: DataView;
  bytes: Uint8Array;
  length: number;
}

function newFrame(length: number): Frame {
  const bytes = new Uint8Array(OFF + length);
  return { dv: new DataView(bytes.buffer), bytes, length };
}

/** A TCP super-segment as the stack hands it to a device: partial checksum, total length of the whole. */
function tcpFrame(payload: number, gsoSize: number, flags: number, optionBytes = 12, id = 0xfffe, seq = -2): Frame {
  const header = 20 + optionBytes;
  const frame = newFrame(14 + 20 + header + payload);
  const { dv, bytes } = frame;
  ethernet.set(dv, OFF, 0x020000000002, 0x020000000001, ethernet.TYPE_IPV4);
  ipv4.set(dv, OFF + 14, 20, 0, 20 + header + payload, id, ipv4.DONT_FRAGMENT, 64, 6, SRC, DST);
  ipv4.updateChecksum(dv, OFF + 14);
  tcp.set(dv, OFF + 34, 4000, 80, seq, 77, header, flags, 512);
  bytes.fill(1, OFF + 54, OFF + 34 + header);
  for (let i = 0; i < payload; i++) bytes[OFF + 34 + header + i] = (i * 7919) >> 3;
  tcp.setChecksum(dv, OFF + 34, checksum.pseudoV4(SRC, DST, 6, header + payload));
  vnet.set(dv, 0, vnet.NEEDS_CSUM, gsoSize ? vnet.GSO_TCPV4 : vnet.GSO_NONE, 34 + header, gsoSize, 34, 16);
  return frame;
}

function cut(frame: Frame): Uint8Array[] | null {
  const pieces: Uint8Array[] = [];
  const target = new Uint8Array(70_000);
  const done = gso.cut(
    new gso.Cutter(),
    frame.dv,
    frame.bytes,
    OFF,
    frame.length,
    new DataView(target.buffer),
    target,
    3,
    (length) => pieces.push(target.slice(3, 3 + length)),
  );
  return done ? pieces : null;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function transportIsValid(bytes: Uint8Array, protocol: number): boolean {
  const dv = view(bytes);
  const length = bytes.length - 34;
  return checksum.verify(dv, 34, length, checksum.pseudoV4(ipv4.src(dv, 14), ipv4.dst(dv, 14), protocol, length));
}

describe('a TCP super-segment', () => {
  test('becomes segments that carry its bytes in order, each with good checksums (VIRTIO 1.2 §5.1.6.2)', () => {
    const size = fc.oneof(fc.constant(1), fc.integer({ min: 40, max: 1500 }));
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5000 }),
        size,
        fc.constantFrom(0, 4, 12, 40),
        (wanted, gsoSize, options) => {
          const payload = gsoSize === 1 ? wanted % 50 : wanted;
          const frame = tcpFrame(payload, gsoSize, tcp.ACK | tcp.PSH, options);
          const pieces = cut(frame) as Uint8Array[];
          const header = 54 + options;
          expect(pieces.length).toBe(Math.max(1, Math.ceil(payload / gsoSize)));
          let at = 0;
          pieces.forEach((piece, i) => {
            const dv = view(piece);
            const data = piece.length - header;
            expect(data).toBe(i === pieces.length - 1 ? payload - at : gsoSize);
            expect(tcp.seq(dv, 34)).toBe((-2 + at) | 0);
            expect(ipv4.id(dv, 14)).toBe((0xfffe + i) & 0xffff);
            expect(ipv4.totalLength(dv, 14)).toBe(piece.length - 14);
            expect(ipv4.checksumIsValid(dv, 14)).toBe(true);
            expect(transportIsValid(piece, 6)).toBe(true);
            expect(
              Buffer.compare(piece.subarray(header), frame.bytes.subarray(OFF + header + at, OFF + header + at + data)),
            ).toBe(0);
            at += data;
          });
          expect(at).toBe(payload);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('keeps FIN and PSH for the last segment and CWR for the first (RFC 3168 §6.1.2)', () => {
    const flags = (cut(tcpFrame(250, 100, 0xff & ~tcp.SYN & ~tcp.RST)) as Uint8Array[]).map((p) =>
      tcp.flags(view(p), 34),
    );
    const common = tcp.ACK | tcp.URG | tcp.ECE;
    expect(flags).toEqual([common | tcp.CWR, common, common | tcp.FIN | tcp.PSH]);
  });

  test('of 65,535 bytes of IP packet is cut whole', () => {
    const pieces = cut(tcpFrame(65535 - 52, 1448, tcp.ACK)) as Uint8Array[];
    expect(pieces.length).toBe(46);
    expect(pieces.reduce((n, piece) => n + piece.length - 66, 0)).toBe(65535 - 52);
  });

  test('over IPv6 has its payload length and pseudo-header of RFC 8200 §8.1', () => {
    const payload = 2500;
    const frame = newFrame(14 + 40 + 20 + payload);
    const { dv, bytes } = frame;
    ethernet.set(dv, OFF, 2, 4, ethernet.TYPE_IPV6);
    dv.setUint32(OFF + 14, 0x60000000);
    dv.setUint16(OFF + 18, 20 + payload);
    dv.setUint16(OFF + 20, 0x0640);
    for (let i = 0; i < 32; i++) bytes[OFF + 22 + i] = 0xf0 + i;
    tcp.set(dv, OFF + 54, 1, 2, 3, 4, 20, tcp.ACK, 5);
    for (let i = 0; i < payload; i++) bytes[OFF + 74 + i] = i;
    vnet.set(dv, 0, vnet.NEEDS_CSUM, vnet.GSO_TCPV6, 74, 1000, 54, 16);
    const pieces = cut(frame) as Uint8Array[];
    expect(pieces.map((piece) => piece.length - 74)).toEqual([1000, 1000, 500]);
    for (const piece of pieces) {
      const v = view(piece);
      const length = piece.length - 54;
      expect(v.getUint16(18)).toBe(length);
      expect(checksum.verify(v, 54, length, checksum.sum(v, 22, 32, 6 + length))).toBe(true);
    }
  });
});

test('a run of UDP datagrams becomes datagrams with lengths and checksums of their own', () => {
  const frame = newFrame(14 + 20 + 8 + 250);
  const { dv, bytes } = frame;
  ethernet.set(dv, OFF, 2, 4, ethernet.TYPE_IPV4);
  ipv4.set(dv, OFF + 14, 20, 0, 278, 1, 0, 64, 17, SRC, DST);
  udp.set(dv, OFF + 34, 53, 54, 258, 0);
  for (let i = 0; i < 250; i++) bytes[OFF + 42 + i] = i;
  vnet.set(dv, 0, vnet.NEEDS_CSUM, vnet.GSO_UDP_L4, 42, 100, 34, 6);
  const pieces = cut(frame) as Uint8Array[];
  expect(pieces.map((piece) => udp.length(view(piece), 34))).toEqual([108, 108, 58]);
  for (const piece of pieces) expect(transportIsValid(piece, 17)).toBe(true);
});

describe('what cannot be cut is refused', () => {
  const spoil = (change: (frame: Frame) => void): Uint8Array[] | null => {
    const frame = tcpFrame(3000, 1000, tcp.ACK);
    change(frame);
    return cut(frame);
  };

  test('because the virtio header asks for nothing, or for what its frame is not', () => {
    expect(spoil(() => {})).toHaveLength(3);
    expect(spoil(({ dv }) => vnet.clear(dv, 0))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint8(1, vnet.GSO_TCPV6))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint8(1, vnet.GSO_UDP))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint16(4, 0, true))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint16(OFF + 12, ethernet.TYPE_ARP))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint8(OFF + 14, 0x44))).toBeNull();
    expect(spoil(({ dv }) => dv.setUint8(OFF + 46, 0x40))).toBeNull();
  });

  test('and no bytes make it throw', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: OFF + 20, maxLength: 140 }),
        fc.integer({ min: 0, max: 5 }),
        (random, type) => {
          const bytes = random.slice();
          bytes[1] = type;
          if (type & 1) bytes.set([8, 0, 0x45], OFF + 12);
          const frame = { bytes, dv: view(bytes), length: bytes.length - OFF };
          cut(frame);
          gso.completeChecksum(frame.dv, OFF, frame.length);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a partial checksum', () => {
  test('is completed over the frame, and no longer asked for', () => {
    const frame = tcpFrame(101, 0, tcp.ACK);
    expect(gso.completeChecksum(frame.dv, OFF, frame.length)).toBe(true);
    expect(transportIsValid(frame.bytes.subarray(OFF), 6)).toBe(true);
    expect(vnet.flags(frame.dv, 0)).toBe(0);
    const before = frame.bytes.slice();
    gso.completeChecksum(frame.dv, OFF, frame.length);
    expect(frame.bytes).toEqual(before);
  });

  test('outside the frame is left alone', () => {
    const frame = tcpFrame(10, 0, tcp.ACK);
    frame.dv.setUint16(6, frame.length - 10, true);
    const before = frame.bytes.slice();
    expect(gso.completeChecksum(frame.dv, OFF, frame.length)).toBe(false);
    expect(frame.bytes).toEqual(before);
  });
});

test('only UDP sends a computed zero as all ones (RFC 768); for TCP that is the other zero of RFC 1624 §3', () => {
  for (const [protocol, csumOffset, field] of [
    ['tcp', tcp.CHECKSUM_OFFSET, 0],
    ['udp', udp.CHECKSUM_OFFSET, 0xffff],
  ] as const) {
    const { dv, length } = newFrame(14 + 20 + 20);
    dv.setUint16(OFF + 34 + 18, 0xffff); // all that is summed
    vnet.set(dv, 0, vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 0, 34, csumOffset);
    expect(gso.completeChecksum(dv, OFF, length)).toBe(true);
    expect(dv.getUint16(OFF + 34 + csumOffset), protocol).toBe(field);
  }
});

test('a cut TCP segment whose sum is all ones carries zero', () => {
  const frame = tcpFrame(20, 10, tcp.ACK);
  const cutter = new gso.Cutter();
  expect(cutter.begin(frame.dv, OFF, frame.length)).toBe(true);
  const target = new DataView(new ArrayBuffer(128));
  cutter.header(0, target, 0);
  const headerSum = checksum.sum(target, cutter.transport, cutter.headerLength - cutter.transport);
  cutter.finish(target, 0, 0xffff - headerSum);
  expect(target.getUint16(cutter.checksumField)).toBe(0);
});
