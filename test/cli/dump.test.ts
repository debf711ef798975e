import { execFile } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { CapturedFrame } from '../../src/capture/frame.ts';
import { readCapture } from '../../src/capture/reader.ts';
import { isoTime, type PrintOptions, parseFilter, printFrames } from '../../src/cli/dump.ts';
import { commandLine } from '../support/netns.ts';

const SESSION = fileURLToPath(new URL('../fixtures/pop3-session-2000.pcap', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'tapstack-dump-'));
afterAll(() => rmSync(directory, { recursive: true }));

const session = (): AsyncIterable<CapturedFrame> => readCapture(createReadStream(SESSION));

async function print(options: PrintOptions, source = session()): Promise<string[]> {
  let text = '';
  await printFrames(source, options, {
    write: (chunk) => {
      text += chunk;
      return true;
    },
  });
  return text.trimEnd().split('\n');
}

describe('printFrames', () => {
  test('prints a line per frame', async () => {
    const lines = await print({ noTime: true });
    expect(lines.length).toBe(18);
    expect(lines[2]).toBe('IP 192.168.0.10.1927 > 192.168.0.250.110: Flags [.], ack 1, win 17520, length 0');
  });

  test('reports frame 10 of the session, and only it, as having a bad checksum', async () => {
    const bad = (await print({ noTime: true })).flatMap((line, i) => (line.includes('[bad') ? [i + 3] : []));
    expect(bad).toEqual([10]);
  });

  test('puts the time of day in front, to the microsecond', async () => {
    expect((await print({}))[0]).toMatch(/^\d\d:\d\d:15\.375600 IP /);
  });

  test('stops after so many frames that passed the filter', async () => {
    const filter = parseFilter(['src', 'port', 'pop3', 'and', 'greater', '61']);
    const lines = await print({ noTime: true, count: 2, filter });
    expect(lines.length).toBe(2);
    expect(lines.every((line) => line.startsWith('IP 192.168.0.250.110 >'))).toBe(true);
  });

  test('decodes in full, and in hexadecimal', async () => {
    const lines = await print({ verbose: true, hex: true, count: 1 });
    expect(lines[1]).toBe('  Frame 1, 62 bytes, 2000-10-12T09:19:15.375600000Z');
    expect(lines).toContain('    Sequence number:       3662573346');
    expect(lines.at(-1)).toBe('  0x0030:  4000 6f64 0000 0204 05b4 0101 0402       @.od..........');
  });

  test('prints JSON, one object per line, with every layer', async () => {
    const objects = (await print({ json: true })).map((line) => JSON.parse(line));
    expect(objects.length).toBe(18);
    expect(objects[7]).toMatchObject({
      number: 8,
      time: '2000-10-12T09:19:15.427100000Z',
      length: 68,
      layers: [
        { layer: 'ethernet' },
        { layer: 'ipv4', src: '192.168.0.10' },
        { layer: 'tcp', checksum: { value: 36688, verdict: 'bad', expected: 38062 } },
        { layer: 'data', hint: 'POP3: PASS epikoi' },
      ],
    });
  });

  test('waits for a slow reader', async () => {
    let waiting: (() => void) | null = null;
    let written = 0;
    const done = printFrames(
      session(),
      { count: 2 },
      {
        write: () => {
          written++;
          return false;
        },
        once: (_, listener) => {
          waiting = listener;
        },
      },
    );
    for (let drained = 0; drained < 2; drained++) {
      while (waiting === null) await new Promise((resolve) => setImmediate(resolve));
      expect(written).toBe(drained + 1);
      const drain: () => void = waiting;
      waiting = null;
      drain();
    }
    expect(await done).toBe(2);
  });
});

test('times are told to the nanosecond', () => {
  expect(isoTime(0n)).toBe('1970-01-01T00:00:00.000000000Z');
  expect(isoTime(1_700_000_000_123_456_789n)).toBe('2023-11-14T22:13:20.123456789Z');
});

describe('the command', () => {
  const tapstack = (...args: string[]): Promise<{ status: number; out: string; error: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [...commandLine(), 'dump', ...args], (error, out, stderr) => {
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, out, error: stderr });
      });
    });

  test('filters a file, writes pcapng, and reads that again', async () => {
    const copy = join(directory, 'copy.pcapng');
    const filter = 'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0';
    const written = await tapstack('-r', SESSION, '-w', copy, filter);
    expect(written).toEqual({ status: 0, out: '', error: `4 frames written to ${copy}\n` });
    const read = await tapstack(copy, '-t', '-S');
    expect(
      read.out
        .trimEnd()
        .split('\n')
        .map((line) => /Flags \[(.*?)\]/.exec(line)?.[1]),
    ).toEqual(['S', 'S.', 'F.', 'F.']);
    expect(read.out).toContain('seq 3662573346');
  });

  test('ends with 2 and one line when asked wrongly, with 1 when the file is none', async () => {
    const [filter, count, missing, none] = await Promise.all([
      tapstack(SESSION, 'prot', '110'),
      tapstack(SESSION, '-c', '0'),
      tapstack('/nowhere/a.pcap'),
      tapstack('-r', fileURLToPath(import.meta.url)),
    ]);
    expect(filter).toEqual({ status: 2, out: '', error: 'tapstack: dump: filter: "prot" is not a condition\n' });
    expect([count.status, count.error.split('\n').length]).toEqual([2, 2]);
    expect([missing.status, missing.error]).toEqual([
      1,
      expect.stringMatching(/^tapstack: dump: \/nowhere\/a\.pcap: ENOENT.*\n$/),
    ]);
    expect([none.status, none.error]).toEqual([1, expect.stringContaining('which is neither pcap nor pcapng')]);
  });
});
