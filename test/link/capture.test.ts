import { describe, expect, test } from 'vitest';
import { dissect } from '../../src/capture/dissect.ts';
import type { Direction } from '../../src/capture/frame.ts';
import { layerOf } from '../../src/capture/layers.ts';
import { CaptureLink } from '../../src/link/capture.ts';
import type { Link } from '../../src/link/link.ts';
import { ADDR1, ADDR2, FrameBatch, LEN1, LEN2, LENGTH, VNET_LENGTH } from '../../src/mem/frame-batch.ts';
import { Memory } from '../../src/mem/memory.ts';
import { Ring } from '../../src/mem/ring.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as vnet from '../../src/wire/vnet.ts';
import type { World } from '../../src/world.ts';
import { A, B, tcpFrame, text, udpFrame, viewOf } from '../capture/frames.ts';

const world: World = {
  now: 0,
  wallClock: () => 1_700_000_000_000_000,
  entropy: { int32: () => 0, fill: () => {} },
};

/** A link that takes at most `room` frames and has `waiting` to give. */
function linkOf(room: number, waiting: readonly Uint8Array[] = []): Link {
  return {
    mtu: 1500,
    offload: 0,
    receive(rx) {
      rx.clear();
      for (const frame of waiting) rx.push(frame);
      return rx.count;
    },
    send: (tx) => Math.min(room, tx.count),
  };
}

interface Seen {
  bytes: Uint8Array;
  direction: Direction;
  micros: number;
}

function captured(inner: Link): { link: CaptureLink; seen: Seen[]; stop: () => void } {
  const link = new CaptureLink(inner, world);
  const seen: Seen[] = [];
  const stop = link.observe((bytes, off, length, direction, micros) => {
    seen.push({ bytes: bytes.slice(off, off + length), direction, micros });
  });
  return { link, seen, stop };
}

const memory = new Memory();
const newBatch = (): FrameBatch => new FrameBatch(memory, 256 * 1024, 8);
const verdict = (frame: Uint8Array): string => layerOf(dissect(frame), 'tcp')?.checksum.verdict ?? 'no TCP';

/** A batch with one frame whose checksum is left to the device; cut into `gsoSize` when that is not 0. */
function partial(payload: number, gsoSize: number, batch = newBatch()): FrameBatch {
  const frame = tcpFrame({ payload: new Uint8Array(payload).map((_, i) => i * 31), flags: 0x18 });
  viewOf(frame).setUint16(50, checksum.pseudoV4(A, B, 6, 20 + payload));
  batch.push(frame);
  const header = (batch.desc[0] & 0xffffff) - VNET_LENGTH;
  vnet.set(batch.dv, header, vnet.NEEDS_CSUM, gsoSize ? vnet.GSO_TCPV4 : vnet.GSO_NONE, 54, gsoSize, 34, 16);
  return batch;
}

describe('observers of a link', () => {
  test('see every frame both ways, with its direction and the time of the wall clock', () => {
    const frames = [udpFrame(1, 2, text('one')), udpFrame(3, 4, text('two'))];
    const { link, seen } = captured(linkOf(8, [frames[0]]));
    const rx = newBatch();
    expect(link.receive(rx)).toBe(1);
    const tx = newBatch();
    tx.push(frames[1]);
    expect(link.send(tx)).toBe(1);
    const micros = 1_700_000_000_000_000;
    expect(seen).toEqual([
      { bytes: frames[0], direction: 'in', micros },
      { bytes: frames[1], direction: 'out', micros },
    ]);
  });

  test('do not see what the device refused', () => {
    const { link, seen } = captured(linkOf(1));
    const tx = newBatch();
    tx.push(udpFrame(1, 2, text('goes')));
    tx.push(udpFrame(1, 2, text('stays')));
    expect(link.send(tx)).toBe(1);
    expect(seen.length).toBe(1);
  });

  test('see a frame whose payload lies in two extents whole', () => {
    const ring = new Ring(memory);
    ring.reserve(4096, 0, 0);
    const payload = new Uint8Array(301).map((_, i) => i);
    ring.write(4000, payload, 0, 301); // 96 bytes, then round the corner
    const whole = udpFrame(1, 2, payload);
    const tx = newBatch();
    tx.push(whole.subarray(0, 42));
    tx.desc[ADDR1] = ring.address(4000);
    tx.desc[LEN1] = 96;
    tx.desc[ADDR2] = ring.address(4096);
    tx.desc[LEN2] = 205;
    expect(tx.desc[LENGTH]).toBe(42);
    const { link, seen } = captured(linkOf(8));
    link.send(tx);
    expect(seen.map((frame) => frame.bytes)).toEqual([whole]);
  });

  test('see partial checksums completed, and the device still gets them partial', () => {
    const tx = partial(101, 0);
    const before = tx.bytes.slice(0, 400);
    const { link, seen } = captured(linkOf(8));
    link.send(tx);
    expect(seen.map((frame) => verdict(frame.bytes))).toEqual(['good']);
    expect(tx.bytes.slice(0, 400)).toEqual(before);
  });

  test('see super-segments cut to gso_size, each piece with a good checksum', () => {
    const { link, seen } = captured(linkOf(8));
    link.send(partial(64_000, 1448));
    expect(seen.length).toBe(45);
    expect(seen.every((frame) => verdict(frame.bytes) === 'good')).toBe(true);
    const lengths = seen.map((frame) => layerOf(dissect(frame.bytes), 'tcp')?.payloadLength ?? 0);
    expect(lengths.reduce((a, b) => a + b)).toBe(64_000);
    expect(Math.max(...lengths)).toBe(1448);
  });

  test('see a frame as it came when its virtio header contradicts it', () => {
    const tx = newBatch();
    const frame = udpFrame(1, 2, text('abc'));
    tx.push(frame);
    vnet.set(tx.dv, (tx.desc[0] & 0xffffff) - VNET_LENGTH, vnet.NEEDS_CSUM, vnet.GSO_TCPV4, 54, 1000, 2000, 16);
    const { link, seen } = captured(linkOf(8));
    link.send(tx);
    expect(seen.map(({ bytes }) => bytes)).toEqual([frame]);
  });

  test('come and go while frames are being shown', () => {
    const link = new CaptureLink(linkOf(8), world);
    const calls: string[] = [];
    const stopFirst = link.observe(() => {
      calls.push('first');
      stopFirst();
      link.observe(() => calls.push('late'));
    });
    link.observe(() => calls.push('second'));
    const tx = newBatch();
    tx.push(udpFrame(1, 2, text('a')));
    link.send(tx);
    link.send(tx);
    expect(calls).toEqual(['first', 'second', 'second', 'late']);
  });
});

test('the decorated link is the link it decorates', () => {
  let woken: unknown = null;
  let closed = 0;
  const wake = (): void => {};
  const inner: Link = {
    ...linkOf(0),
    mac: 5,
    arp: false,
    watch: (callback) => {
      woken = callback;
    },
    close: () => {
      closed++;
    },
  };
  const link = new CaptureLink(inner, world);
  expect([link.mtu, link.offload, link.mac, link.arp]).toEqual([1500, 0, 5, false]);
  link.watch?.(wake);
  expect(woken).toBe(wake);
  link.close();
  expect(closed).toBe(1);
  expect(new CaptureLink(linkOf(0), world).watch).toBeUndefined();
});
