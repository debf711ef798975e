import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { countOctets, WireText } from '../../src/service/pop3/wire-text.ts';

function encode(message: Buffer, cut: number, lines?: number): { wire: Buffer; octets: number } {
  const text = new WireText(lines);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += cut) {
    const piece = message.subarray(at, at + cut);
    const target = Buffer.alloc(piece.length * 2);
    parts.push(target.subarray(0, text.push(piece, piece.length, target)));
  }
  if (!text.done) {
    const target = Buffer.alloc(2);
    parts.push(target.subarray(0, text.finish(target)));
  }
  return { wire: Buffer.concat(parts), octets: text.octets };
}

/** The naive model: text with every line end normalised, then dots doubled. */
function model(message: string, lines = Number.POSITIVE_INFINITY): { wire: string; octets: number } {
  let normal = message.replace(/\r?\n/g, '\r\n');
  if (normal !== '' && !normal.endsWith('\r\n')) normal += normal.endsWith('\r') ? '\n' : '\r\n';
  if (lines !== Number.POSITIVE_INFINITY) {
    const split = normal === '' ? [] : normal.slice(0, -2).split('\r\n');
    const blank = split.indexOf('');
    const kept = blank < 0 ? split : split.slice(0, blank + 1 + lines);
    normal = kept.map((line) => `${line}\r\n`).join('');
  }
  return { wire: normal.replace(/(^|\r\n)\./g, '$1..'), octets: normal.length };
}

test('RFC 1939 §3: however a message is cut in pieces, its line ends become CRLF and its dots are doubled', () => {
  const alphabet = ['a', '.', '\r', '\n', '\r\n', '\n\n', '\xe9', '\0'];
  let state = 12345;
  const pick = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % n;
  };
  for (let round = 0; round < 3000; round++) {
    let message = '';
    for (let i = pick(14); i > 0; i--) message += alphabet[pick(alphabet.length)];
    const cut = 1 + pick(5);
    const lines = pick(2) ? pick(4) : Number.POSITIVE_INFINITY;
    const got = encode(Buffer.from(message, 'latin1'), cut, lines);
    const want = model(message, lines);
    expect(got.wire.toString('latin1'), JSON.stringify({ message, cut, lines })).toBe(want.wire);
    expect(got.octets, JSON.stringify({ message, cut, lines })).toBe(want.octets);
  }
});

test('RFC 1939 §11: counting a file agrees with what is sent, across chunk borders', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tapstack-test-'));
  const cases = [
    '',
    '\n',
    '\r',
    'a',
    'a\r',
    'a\r\n',
    `${'x'.repeat(65535)}\n`,
    `${'x'.repeat(65535)}\r\ny`,
    '.\n.\r\n'.repeat(30000),
  ];
  for (const message of cases) {
    await writeFile(join(dir, 'm'), message);
    const file = await open(join(dir, 'm'));
    expect(await countOctets(file), JSON.stringify(message.slice(0, 20))).toBe(
      encode(Buffer.from(message), 999).octets,
    );
    await file.close();
  }
  await rm(dir, { recursive: true });
});
