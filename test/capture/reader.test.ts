import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CapturedFrame, LINKTYPE_RAW, nanosOf } from '../../src/capture/frame.ts';
import { interfaceDescription, interfaceStatistics, packet, sectionHeader } from '../../src/capture/pcapng.ts';
import { CaptureReader, readCapture } from '../../src/capture/reader.ts';
import { hex, text } from './frames.ts';

const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const TIME = 1_700_000_000_123_456_789n;

function readAll(bytes: Uint8Array, step = bytes.length || 1): { frames: CapturedFrame[]; problem: string | null } {
  const reader = new CaptureReader();
  const frames: CapturedFrame[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    reader.push(bytes.subarray(at, at + step));
    for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  }
  return { frames, problem: reader.finish() };
}

describe('pcapng', () => {
  const session = join(
    sectionHeader('tapstack 0.1', 'a test'),
    interfaceDescription({ name: 'tap0', description: 'the link', mac: hex('020000000001') }),
    interfaceDescription({ name: 'tap1', linkType: LINKTYPE_RAW, snapLength: 96 }),
    packet(0, TIME, 'in', text('..hello..'), 2, 5),
    packet(1, TIME + 1n, 'out', text('cut'), 0, 3, 1500, 'why — because'),
    packet(0, 0n, null, text('four'), 0, 4),
    interfaceStatistics(0, TIME, 3, 1),
  );

  test('what is written is what is read: bytes, time to the nanosecond, direction, interface, comment (§4.3)', () => {
    const { frames, problem } = readAll(session);
    expect(problem).toBeNull();
    const common = { linkType: 1, comment: null };
    expect(frames).toEqual([
      { ...common, time: TIME, bytes: text('hello'), wireLength: 5, direction: 'in', interfaceName: 'tap0' },
      {
        time: TIME + 1n,
        bytes: text('cut'),
        wireLength: 1500,
        linkType: LINKTYPE_RAW,
        direction: 'out',
        interfaceName: 'tap1',
        comment: 'why — because',
      },
      { ...common, time: 0n, bytes: text('four'), wireLength: 4, direction: null, interfaceName: 'tap0' },
    ]);
  });

  test('every block is a multiple of four and says its length at both ends (§3.1)', () => {
    const dv = new DataView(session.buffer);
    let at = 0;
    let blocks = 0;
    for (; at < session.length; blocks++) {
      const length = dv.getUint32(at + 4, true);
      expect(length % 4).toBe(0);
      expect(dv.getUint32(at + length - 4, true)).toBe(length);
      at += length;
    }
    expect([at, blocks]).toEqual([session.length, 7]);
  });

  test('frames come out the same however the bytes come in', () => {
    const whole = readAll(session).frames;
    for (const step of [1, 3, 7, 64]) expect(readAll(session, step)).toEqual({ frames: whole, problem: null });
  });

  test('the other byte order, time stamps of other units, an offset, and a second section', () => {
    const bigEndian = hex(`
      0a0d0d0a 0000001c 1a2b3c4d 00010000 ffffffffffffffff 0000001c
      00000001 00000028 0001 0000 00000000 0009 0001 8a000000 000e 0008 0000000000000064 00000028
      00000006 00000024 00000000 00000000 00000600 00000002 00000002 abcd0000 00000024`);
    const { frames, problem } = readAll(join(bigEndian, session));
    expect(problem).toBeNull();
    expect(frames.length).toBe(4);
    // 0x600 units of 2^-10 s are 1.5 s, plus 100 s.
    expect(frames[0]).toMatchObject({ time: 101_500_000_000n, bytes: hex('abcd'), interfaceName: null });
  });

  test('simple packets have the length of the wire or of the snap length', () => {
    const simple = hex('03000000 14000000 08000000 31323334 14000000');
    const file = join(sectionHeader('x'), interfaceDescription({ name: 'a', snapLength: 4 }), simple);
    expect(readAll(file).frames[0]).toMatchObject({ bytes: text('1234'), wireLength: 8, time: 0n });
  });

  test('a microsecond clock keeps its fraction', () => {
    expect(nanosOf(1_700_000_000_123_456)).toBe(1_700_000_000_123_456_000n);
    expect(nanosOf(0.5)).toBe(500n);
  });
});

describe('pcap', () => {
  const header = (magic: string, little: boolean): string =>
    little
      ? `${magic} 0200 0400 00000000 00000000 ffff0000 01000000`
      : `${magic} 0002 0004 00000000 00000000 0000ffff 00000001`;

  test.each([
    [
      'little-endian, microseconds',
      `${header('d4c3b2a1', true)} 01000000 02000000 02000000 03000000 abcd`,
      1_000_002_000n,
    ],
    [
      'little-endian, nanoseconds',
      `${header('4d3cb2a1', true)} 01000000 02000000 02000000 03000000 abcd`,
      1_000_000_002n,
    ],
    [
      'big-endian, microseconds',
      `${header('a1b2c3d4', false)} 00000001 00000002 00000002 00000003 abcd`,
      1_000_002_000n,
    ],
    [
      'big-endian, nanoseconds',
      `${header('a1b23c4d', false)} 00000001 00000002 00000002 00000003 abcd`,
      1_000_000_002n,
    ],
    [
      "Kuznetsov's longer records",
      `${header('34cdb2a1', true)} 01000000 02000000 02000000 03000000 0100000008000000 abcd`,
      1_000_002_000n,
    ],
  ])('%s', (_, bytes, time) => {
    const { frames, problem } = readAll(hex(bytes), 5);
    expect(problem).toBeNull();
    expect(frames).toMatchObject([{ time, bytes: hex('abcd'), wireLength: 3, linkType: 1, direction: null }]);
  });
});

describe('what is no capture, or a damaged one, is told', () => {
  const ok = join(sectionHeader('x'), interfaceDescription({ name: 'a' }), packet(0, 1n, 'in', text('abcd'), 0, 4));

  test.each([
    ['nothing', new Uint8Array(0), 'the capture is empty'],
    ['text', text('hello, world'), 'it begins with 0x68656c6c, which is neither pcap nor pcapng'],
    ['three bytes', hex('0a0d0d'), 'shorter than the header'],
    ['half a record', ok.slice(0, -7), 'breaks off inside its last record'],
    [
      'a block of impossible length',
      join(ok, hex('06000000 ffffffff 00000000')),
      'a pcapng block claims 4294967295 bytes',
    ],
    [
      'an interface never described',
      join(sectionHeader('x'), packet(3, 1n, null, text('a'), 0, 1)),
      'a packet of interface 3',
    ],
    [
      'a pcap record of 4 GB',
      hex('d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000 00000000 00000000 ffffffff ffffffff'),
      'a record claims 4294967295 bytes',
    ],
  ])('%s', (_, bytes, problem) => {
    expect(readAll(bytes).problem).toContain(problem);
  });

  test('frames in front of the damage are still read', async () => {
    const frames: CapturedFrame[] = [];
    await expect(async () => {
      for await (const frame of readCapture([ok, hex('06000000 ffffffff 00000000')])) frames.push(frame);
    }).rejects.toThrow('a pcapng block claims');
    expect(frames.length).toBe(1);
  });

  test('no bytes make the reader throw', () => {
    const start = fc.constantFrom(ok, hex('d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000'), new Uint8Array(0));
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        start,
        fc.array(change, { maxLength: 5 }),
        fc.uint8Array({ maxLength: 80 }),
        (bytes, changes, tail) => {
          const damaged = join(bytes, tail);
          for (const [at, value] of changes) if (damaged.length > 0) damaged[at % damaged.length] = value;
          readAll(damaged, 11);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
