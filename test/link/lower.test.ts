import { describe, expect, test } from 'vitest';
import type { Link } from '../../src/link/link.ts';
import { OFFLOAD_CSUM, OFFLOAD_TSO_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from '../../src/link/link.ts';
import { LowerLink, lower } from '../../src/link/lower.ts';
import { ADDR1, FrameBatch, LEN1, LENGTH, STRIDE, VNET_LENGTH } from '../../src/mem/frame-batch.ts';
import { Memory, offsetOf, slabOf } from '../../src/mem/memory.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as udp from '../../src/wire/udp.ts';
import * as vnet from '../../src/wire/vnet.ts';

const ALL = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO;

const rng = (seed: number) => {
  let state = seed * 2654435761;
  return (below: number): number => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
};

/** A device that takes `room` frames and keeps what it took, virtio header included. */
class Device implements Link {
  readonly mtu = 1500;
  readonly offload: number;
  readonly taken: Uint8Array[] = [];
  room = Infinity;

  constructor(offload: number) {
    this.offload = offload;
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    return 0;
  }

  send(tx: FrameBatch): number {
    let i = 0;
    for (; i < tx.count && this.room > 0; i++, this.room--) {
      const frame = new Uint8Array(VNET_LENGTH + tx.frameLength(i));
      tx.gather(i, frame, 0, true);
      this.taken.push(frame);
    }
    return i;
  }
}

interface Spec {
  protocol: 'tcp' | 'udp';
  version: 4 | 6;
  payload: Uint8Array;
  gsoSize: number; // 0: one packet with a partial checksum
  flags?: number;
  options?: number; // bytes of TCP options
  tagged?: boolean;
  ecn?: boolean;
}

const SEQ = 0xfffffff0 | 0; // wraps within the first segment
const ID = 0xfffe;

/** The frame's headers, as `Tx.commit` makes them: partial checksum, virtio header. */
function headers(spec: Spec): { vnet: Uint8Array; bytes: Uint8Array } {
  const link = spec.tagged ? ethernet.TAGGED_HEADER : ethernet.HEADER;
  const network = spec.version === 4 ? 20 : 40;
  const options = spec.options ?? 0;
  const transport = spec.protocol === 'tcp' ? tcp.MIN_HEADER + options : udp.HEADER;
  const bytes = new Uint8Array(link + network + transport);
  const dv = new DataView(bytes.buffer);
  const etherType = spec.version === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  if (spec.tagged) ethernet.setTagged(dv, 0, 0x020000000001, 0x020000000002, etherType, 7, 0);
  else ethernet.set(dv, 0, 0x020000000001, 0x020000000002, etherType);
  const length = transport + spec.payload.length;
  const protocol = spec.protocol === 'tcp' ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
  let pseudo: number;
  if (spec.version === 4) {
    const src = 0x0a090002;
    const dst = 0x0a090001;
    ipv4.set(dv, link, 20, 0, 20 + length, ID, ipv4.DONT_FRAGMENT, 64, protocol, src, dst);
    ipv4.updateChecksum(dv, link);
    pseudo = checksum.pseudoV4(src, dst, protocol, length);
  } else {
    dv.setUint32(link, 0x60000000);
    dv.setUint16(link + 4, length);
    dv.setUint8(link + 6, protocol);
    dv.setUint8(link + 7, 64);
    for (let i = 0; i < 32; i++) dv.setUint8(link + 8 + i, 0x20 + i);
    pseudo = checksum.sum(dv, link + 8, 32, protocol + length);
  }
  const at = link + network;
  let csumOffset = udp.CHECKSUM_OFFSET;
  if (spec.protocol === 'tcp') {
    tcp.set(dv, at, 40000, 110, SEQ, 77, transport, spec.flags ?? tcp.ACK, 5000);
    for (let i = 0; i < options; i++) dv.setUint8(at + 20 + i, 1 + i);
    csumOffset = tcp.CHECKSUM_OFFSET;
  } else {
    udp.set(dv, at, 40000, 53, length, 0);
  }
  dv.setUint16(at + csumOffset, pseudo);
  const header = new Uint8Array(VNET_LENGTH);
  let type: number = vnet.GSO_NONE;
  if (spec.gsoSize > 0) {
    if (spec.protocol === 'udp') type = vnet.GSO_UDP_L4;
    else type = (spec.version === 4 ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6) | (spec.ecn ? vnet.GSO_ECN : 0);
  }
  vnet.set(new DataView(header.buffer), 0, vnet.NEEDS_CSUM, type, bytes.length, spec.gsoSize, at, csumOffset);
  return { vnet: header, bytes };
}

/** Append the frame with `copied` payload bytes behind its headers and the rest in two extents, the first `first` long. */
function append(tx: FrameBatch, spec: Spec, copied = 0, first = spec.payload.length - copied): void {
  const made = headers(spec);
  const off = tx.append(made.bytes.length + copied);
  expect(off).toBeGreaterThan(0);
  tx.bytes.set(made.vnet, off - VNET_LENGTH);
  tx.bytes.set(made.bytes, off);
  tx.bytes.set(spec.payload.subarray(0, copied), off + made.bytes.length);
  const at = (tx.count - 1) * STRIDE;
  let from = copied;
  for (const [slot, length] of [first, spec.payload.length - copied - first].entries()) {
    if (length === 0) continue;
    const block = memory.alloc(length + 8);
    blocks.push([block, length + 8]);
    const address = block + 1 + slot; // odd and even starts
    memory.bytes[slabOf(address)].set(spec.payload.subarray(from, from + length), offsetOf(address));
    tx.desc[at + ADDR1 + 2 * slot] = address;
    tx.desc[at + LEN1 + 2 * slot] = length;
    from += length;
  }
}

/** What came out, taken apart; fails on any checksum, length or id that is not right. */
function read(frame: Uint8Array, partial: boolean) {
  const dv = new DataView(frame.buffer, VNET_LENGTH);
  const header = new DataView(frame.buffer, 0, VNET_LENGTH);
  const end = frame.length - VNET_LENGTH;
  const ip = ethernet.headerLength(dv, 0);
  const isV4 = ethernet.etherType(dv, 0) === ethernet.TYPE_IPV4;
  const at = ip + (isV4 ? 20 : 40);
  const protocol = isV4 ? ipv4.protocol(dv, ip) : dv.getUint8(ip + 6);
  let pseudo: number;
  if (isV4) {
    expect(ipv4.totalLength(dv, ip)).toBe(end - ip);
    expect(ipv4.checksumIsValid(dv, ip)).toBe(true);
    pseudo = checksum.pseudoV4(ipv4.src(dv, ip), ipv4.dst(dv, ip), protocol, end - at);
  } else {
    expect(dv.getUint16(ip + 4)).toBe(end - ip - 40);
    pseudo = checksum.sum(dv, ip + 8, 32, protocol + end - at);
  }
  const isTcp = protocol === ipv4.PROTOCOL_TCP;
  const transport = isTcp ? tcp.headerLength(dv, at) : udp.HEADER;
  if (!isTcp) expect(udp.length(dv, at)).toBe(end - at);
  expect(vnet.gsoType(header, 0)).toBe(vnet.GSO_NONE);
  if (partial) {
    expect(vnet.flags(header, 0)).toBe(vnet.NEEDS_CSUM);
    expect(vnet.csumStart(header, 0)).toBe(at);
    expect(vnet.csumOffset(header, 0)).toBe(isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
    expect(dv.getUint16(at + vnet.csumOffset(header, 0))).toBe(pseudo);
  } else {
    expect(vnet.flags(header, 0)).toBe(0);
    expect(checksum.verify(dv, at, end - at, pseudo)).toBe(true);
  }
  return {
    id: isV4 ? ipv4.id(dv, ip) : 0,
    seq: isTcp ? tcp.seq(dv, at) : 0,
    flags: isTcp ? tcp.flags(dv, at) : 0,
    options: isTcp ? [...new Uint8Array(frame.buffer, VNET_LENGTH + at + 20, transport - 20)] : [],
    payload: frame.subarray(VNET_LENGTH + at + transport),
  };
}

const payloadOf = (length: number, pick: (below: number) => number): Uint8Array =>
  Uint8Array.from({ length }, () => pick(256));

const memory = new Memory();
const blocks: [address: number, length: number][] = [];
let open: { link: LowerLink; tx: FrameBatch } | null = null;

/** A fresh device and link over the one memory; what the last ones took is given back. */
const setup = (offload: number) => {
  open?.link.close();
  open?.tx.release();
  for (const [address, length] of blocks.splice(0)) memory.free(address, length);
  expect(memory.used, 'close() gives everything back').toBe(0);
  const device = new Device(offload);
  const link = new LowerLink(device, memory);
  const tx = new FrameBatch(memory, 1 << 19, 64);
  open = { link, tx };
  return { device, link, tx };
};

describe('a link that can do everything', () => {
  test('is not decorated', () => {
    const device = new Device(ALL);
    expect(lower(device, new Memory())).toBe(device);
  });
});

describe('the offloads a link has', () => {
  test('are used: the frame passes as it is', () => {
    const { device, link, tx } = setup(OFFLOAD_CSUM | OFFLOAD_TSO4);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(5000), gsoSize: 1460 });
    const before = new Uint8Array(VNET_LENGTH + tx.frameLength(0));
    tx.gather(0, before, 0, true);
    expect(link.send(tx)).toBe(1);
    expect(device.taken).toEqual([before]);
  });

  test('a super-segment with CWR is cut when the link knows no ECN (VIRTIO 1.2 §5.1.6.2)', () => {
    const { device, link, tx } = setup(OFFLOAD_CSUM | OFFLOAD_TSO4);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(3000), gsoSize: 1460, ecn: true });
    link.send(tx);
    expect(device.taken.length).toBe(3);
  });
});

describe('cutting', () => {
  test('FIN and PSH go with the last segment, CWR with the first (RFC 3168 §6.1.2), ids and sequence numbers count up', () => {
    const { device, link, tx } = setup(0);
    const flags = tcp.ACK | tcp.FIN | tcp.PSH | tcp.CWR;
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(250), gsoSize: 100, flags, ecn: true });
    expect(link.send(tx)).toBe(1);
    const pieces = device.taken.map((frame) => read(frame, false));
    expect(pieces.map((piece) => piece.flags)).toEqual([tcp.ACK | tcp.CWR, tcp.ACK, tcp.ACK | tcp.FIN | tcp.PSH]);
    expect(pieces.map((piece) => piece.seq)).toEqual([SEQ, SEQ + 100, SEQ + 200].map((seq) => seq | 0));
    expect(pieces.map((piece) => piece.id)).toEqual([0xfffe, 0xffff, 0]);
  });

  test('a frame without work keeps its place among those that are cut', () => {
    const { device, link, tx } = setup(0);
    const small: Spec = { protocol: 'udp', version: 4, payload: Uint8Array.of(1), gsoSize: 0 };
    append(tx, small);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(300), gsoSize: 100 });
    append(tx, small);
    expect(link.send(tx)).toBe(3);
    expect(device.taken.map((frame) => read(frame, false).payload.length)).toEqual([1, 100, 100, 100, 1]);
  });

  test('whatever the layout, the pieces are the original bytes and every checksum is right', () => {
    for (let seed = 1; seed <= 120; seed++) {
      const pick = rng(seed);
      const can = pick(2) === 0 ? 0 : OFFLOAD_CSUM;
      const { device, link, tx } = setup(can);
      const sent: Spec[] = [];
      for (let n = 1 + pick(4); n > 0; n--) {
        const protocol = pick(3) === 0 ? 'udp' : 'tcp';
        const gsoSize = pick(4) === 0 ? 0 : 1 + pick(1460);
        const payload = payloadOf(1 + pick(gsoSize === 0 ? 1460 : Math.min(20_000, gsoSize * 40)), pick);
        const spec: Spec = {
          protocol,
          version: pick(3) === 0 ? 6 : 4,
          payload,
          gsoSize,
          flags: tcp.ACK | pick(256),
          options: 4 * pick(11),
          tagged: pick(4) === 0,
        };
        const copied = pick(3) === 0 ? pick(payload.length + 1) : 0;
        append(tx, spec, copied, pick(payload.length - copied + 1));
        sent.push(spec);
      }
      expect(link.send(tx), `seed ${seed}`).toBe(sent.length);
      let at = 0;
      for (const spec of sent) {
        const size = spec.gsoSize === 0 ? spec.payload.length : spec.gsoSize;
        for (let start = 0; start < spec.payload.length; start += size) {
          const piece = read(device.taken[at++], can !== 0);
          expect(Buffer.compare(piece.payload, spec.payload.subarray(start, start + size)), `seed ${seed}`).toBe(0);
          if (spec.protocol === 'tcp') {
            expect(piece.seq, `seed ${seed}`).toBe((SEQ + start) | 0);
            expect(piece.options.length, `seed ${seed}`).toBe(spec.options);
          }
        }
      }
      expect(at, `seed ${seed}`).toBe(device.taken.length);
    }
  });

  test('a payload of more segments than fit in one batch goes in several', () => {
    const { device, link, tx } = setup(0);
    const payload = payloadOf(60_000, rng(9));
    append(tx, { protocol: 'tcp', version: 4, payload, gsoSize: 50 });
    expect(link.send(tx)).toBe(1);
    expect(device.taken.length).toBe(1200);
    expect(Buffer.concat(device.taken.map((frame) => read(frame, false).payload)).equals(payload)).toBe(true);
  });
});

describe('a link that is full', () => {
  test('no byte is lost, doubled or out of order, however few frames it takes at a time', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const pick = rng(seed);
      const { device, link } = setup(0);
      const empty = new FrameBatch(memory, 4096, 1);
      blocks.push([empty.region, empty.regionLength]);
      const frames: Uint8Array[] = [];
      for (let n = 2 + pick(5); n > 0; n--) frames.push(payloadOf(1 + pick(4000), pick));
      const expected = Buffer.concat(frames);
      const gsoSize = 1 + pick(1000);
      let next = 0;
      for (let round = 0; next < frames.length || device.room === 0; round++) {
        expect(round, `seed ${seed}: no progress`).toBeLessThan(20_000);
        device.room = pick(4);
        const tx = new FrameBatch(memory, 1 << 15, 8);
        for (let i = next; i < frames.length; i++) {
          append(tx, { protocol: 'tcp', version: 4, payload: frames[i], gsoSize }, 0, pick(frames[i].length + 1));
        }
        const accepted = link.send(tx);
        next += accepted;
        // Extents end with send(): what is still to go must have been copied.
        for (let i = 0; i < accepted; i++) {
          const at = i * STRIDE;
          for (const e of [at + ADDR1, at + ADDR1 + 2]) {
            if (tx.desc[e + 1] > 0) {
              const off = offsetOf(tx.desc[e]);
              memory.bytes[slabOf(tx.desc[e])].fill(0xee, off, off + tx.desc[e + 1]);
            }
          }
        }
        tx.bytes.fill(0xee, offsetOf(tx.region), offsetOf(tx.region) + tx.regionLength);
        tx.release();
      }
      device.room = Infinity;
      link.receive(empty); // sends whatever is still held
      const got = Buffer.concat(device.taken.map((frame) => read(frame, false).payload));
      expect(got.equals(expected), `seed ${seed}`).toBe(true);
    }
  });

  test('that takes nothing leaves the super-segment to the caller', () => {
    const { device, link, tx } = setup(0);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(300), gsoSize: 100 });
    device.room = 0;
    expect(link.send(tx)).toBe(0);
    device.room = 1;
    expect(link.send(tx)).toBe(1);
    expect(device.taken.length).toBe(1);
  });

  test('the rest of a super-segment of more segments than fit in one batch follows whole', () => {
    const { device, link, tx } = setup(0);
    const payload = payloadOf(60_000, rng(3));
    append(tx, { protocol: 'tcp', version: 4, payload, gsoSize: 40 });
    device.room = 1;
    expect(link.send(tx)).toBe(1);
    device.room = Infinity;
    tx.clear();
    expect(link.receive(tx)).toBe(0);
    expect(Buffer.concat(device.taken.map((frame) => read(frame, false).payload)).equals(payload)).toBe(true);
  });

  test('a checksum is completed once, though the frame is offered again', () => {
    const { device, link, tx } = setup(0);
    device.room = 0;
    append(tx, { protocol: 'tcp', version: 4, payload: Uint8Array.of(1, 2, 3), gsoSize: 0 });
    expect(link.send(tx)).toBe(0);
    device.room = 1;
    expect(link.send(tx)).toBe(1);
    expect(read(device.taken[0], false).payload).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe('checksums', () => {
  test('a UDP checksum that comes out as zero is sent as all ones (RFC 768)', () => {
    const { device, link, tx } = setup(0);
    // Choose the payload so that everything sums to 0xffff.
    const probe = headers({ protocol: 'udp', version: 4, payload: new Uint8Array(2), gsoSize: 0 });
    const rest = checksum.sum(new DataView(probe.bytes.buffer), 34, 8);
    const word = 0xffff - rest;
    append(tx, { protocol: 'udp', version: 4, payload: Uint8Array.of(word >> 8, word), gsoSize: 0 });
    link.send(tx);
    expect(new DataView(device.taken[0].buffer).getUint16(VNET_LENGTH + 40)).toBe(0xffff);
    read(device.taken[0], false);
  });
});

describe('a virtio header that lies', () => {
  test.each([
    ['a checksum behind the end of the headers', (dv: DataView) => dv.setUint16(6, 0xfff0, true)],
    ['no gso_size', (dv: DataView) => dv.setUint16(4, 0, true)],
    ['an unknown gso_type', (dv: DataView) => dv.setUint8(1, 9)],
    ['IP fragments, which Linux gave up', (dv: DataView) => dv.setUint8(1, vnet.GSO_UDP)],
    ['IPv6 on an IPv4 packet', (dv: DataView) => dv.setUint8(1, vnet.GSO_TCPV6)],
  ])('%s: the frame is dropped and counted, the others go', (_, spoil) => {
    const { device, link, tx } = setup(0);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(200), gsoSize: 100 });
    spoil(new DataView(tx.bytes.buffer, offsetOf(tx.desc[0]) - VNET_LENGTH, VNET_LENGTH));
    append(tx, { protocol: 'udp', version: 4, payload: Uint8Array.of(5), gsoSize: 0 });
    expect(link.send(tx)).toBe(2);
    expect(link.malformed).toBe(1);
    expect(device.taken.map((frame) => read(frame, false).payload.length)).toEqual([1]);
  });

  test('headers that reach into an extent are not read from there: the frame is dropped and counted', () => {
    const { device, link, tx } = setup(0);
    append(tx, { protocol: 'tcp', version: 4, payload: new Uint8Array(300), gsoSize: 100, options: 40 });
    tx.desc[LENGTH] -= 20;
    expect(link.send(tx)).toBe(1);
    expect(link.malformed).toBe(1);
    expect(device.taken).toEqual([]);
  });

  test('random headers never throw and never make a frame of more than what was sent', () => {
    for (let seed = 1; seed <= 1000; seed++) {
      const pick = rng(seed);
      const { device, link, tx } = setup(pick(32));
      const length = 14 + pick(200);
      const off = tx.append(length);
      for (let i = off - VNET_LENGTH; i < off + length; i++) tx.bytes[i] = pick(256);
      tx.bytes[off - VNET_LENGTH] = pick(4);
      tx.bytes[off - VNET_LENGTH + 1] = pick(6);
      tx.bytes[off + 12] = 8;
      tx.bytes[off + 13] = 0;
      tx.bytes[off + 14] = 0x45;
      expect(link.send(tx), `seed ${seed}`).toBe(1);
      for (const frame of device.taken) expect(frame.length).toBeLessThanOrEqual(VNET_LENGTH + tx.desc[LENGTH]);
    }
  });
});
