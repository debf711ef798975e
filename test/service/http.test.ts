import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import net from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fillPattern, parseRange, startHttp } from '../../src/service/http.ts';
import type { Listening } from '../../src/service/listen.ts';

const run = promisify(execFile);
let service: Listening;
let base = '';
beforeAll(async () => {
  service = await startHttp({ net, port: 0, host: '127.0.0.1', title: '<test>' });
  base = `http://127.0.0.1:${service.port}`;
});
afterAll(() => service.close());

function pattern(length: number, position = 0): Buffer {
  const all = Buffer.alloc(length);
  fillPattern(all, position);
  return all;
}

describe('the pattern', () => {
  test('an octet depends on its position alone, however the pieces are cut', () => {
    const whole = pattern(1000);
    for (let at = 0; at < 1000; at += 7) {
      for (const length of [1, 2, 3, 4, 5, 9, 13]) {
        expect(
          pattern(length, at).equals(whole.subarray(at, at + length)) || at + length > 1000,
          `${at}+${length}`,
        ).toBe(true);
      }
    }
  });

  test('shifted by a chunk it differs', () => {
    expect(pattern(65536, 65536).equals(pattern(65536))).toBe(false);
  });
});

describe('http', () => {
  test('/ is a page, with its title escaped', async () => {
    const response = await fetch(base);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('<h1>&#60;test&#62;</h1>');
  });

  test('/bytes/N streams exactly the pattern', async () => {
    for (const length of [0, 1, 65535, 65536, 65537, 5_000_003]) {
      const response = await fetch(`${base}/bytes/${length}`);
      expect(response.headers.get('content-length')).toBe(`${length}`);
      expect(Buffer.from(await response.arrayBuffer()).equals(pattern(length)), `${length}`).toBe(true);
    }
  });

  test('RFC 9110 §14.2: a single range is served as 206', async () => {
    const response = await fetch(`${base}/bytes/1000`, { headers: { range: 'bytes=7-17' } });
    expect([response.status, response.headers.get('content-range')]).toEqual([206, 'bytes 7-17/1000']);
    expect(Buffer.from(await response.arrayBuffer()).equals(pattern(11, 7))).toBe(true);
    expect((await fetch(`${base}/bytes/10`, { headers: { range: 'bytes=10-' } })).status).toBe(416);
    expect(parseRange('bytes=-5', 20)).toEqual([15, 20]);
    expect(parseRange('bytes=5-', 20)).toEqual([5, 20]);
    expect(parseRange('bytes=1-2,4-5', 20)).toBe(null);
    expect(parseRange('bytes=9-3', 20)).toBe(null);
  });

  test('a bad N, path or method is refused with a reason', async () => {
    for (const [path, method, status] of [
      ['/bytes/-1', 'GET', 400],
      ['/bytes/x', 'GET', 400],
      ['/bytes/9999999999999', 'GET', 400],
      ['/bytes/1', 'DELETE', 405],
      ['/sink', 'GET', 405],
      ['/none', 'GET', 404],
    ] as const) {
      const response = await fetch(base + path, { method });
      expect(response.status, `${method} ${path}`).toBe(status);
      expect((await response.text()).length).toBeGreaterThan(5);
    }
  });

  test('/sink tells length and SHA-256 of what it got', async () => {
    const body = pattern(3_000_001);
    for (const method of ['PUT', 'POST']) {
      const response = await fetch(`${base}/sink`, { method, body: new Uint8Array(body) });
      expect(await response.json()).toEqual({
        length: body.length,
        sha256: createHash('sha256').update(body).digest('hex'),
      });
    }
  });

  test('curl uploads (Expect: 100-continue) and keeps its connection for a second request', async () => {
    const { stdout } = await run('curl', [
      ...['-sS', '-T', '/bin/sh', `${base}/sink`, '--next', '-sS', '-w', '%{num_connects}', `${base}/bytes/0`],
    ]);
    expect(stdout).toMatch(/"sha256":"[0-9a-f]{64}"}\n0$/);
  });
});
