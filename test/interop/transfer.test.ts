// Bulk: a gigabyte each way, many connections at once, peers that die and links that fail. Not one byte may be wrong.

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { SocketView } from '../../src/control/views.ts';
import { fillPattern } from '../../src/service/http.ts';
import { STACK, TAP, useHost } from '../support/interop.ts';
import { ROOT } from '../support/netns.ts';

const GIGABYTE = 1_000_000_000;
const host = useHost({ programs: ['curl', 'nft'], args: ['--service', 'http,echo'] });
const shell = (line: string, timeout = 110_000) => host.netns.shell(line, { timeout });
const file = (name: string): string => join(host.netns.directory, name);

/** SHA-256 of the first `length` bytes that /bytes/N serves. */
function patternHash(length: number): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(1 << 20);
  for (let at = 0; at < length; at += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, length - at));
    fillPattern(part, at);
    hash.update(part);
  }
  return hash.digest('hex');
}

const connections = async (): Promise<SocketView[]> => {
  const { status, stdout, stderr } = await host.netns.tapstack(['ss', '--tcp', '--json']);
  expect(status, stderr).toBe(0);
  return (JSON.parse(stdout) as SocketView[]).filter(({ state }) => state !== 'LISTEN' && state !== 'TIME-WAIT');
};

async function eventually(what: string, check: () => Promise<boolean>, timeout = 20_000): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

let gigabyteHash: string;
beforeAll(() => {
  if (host.netns !== undefined) gigabyteHash = patternHash(GIGABYTE);
});

test('1 GB from the stack arrives with its sha256', { timeout: 240_000 }, async () => {
  const { status, stdout, stderr } = await shell(
    `set -o pipefail; curl -sS --max-time 200 http://${STACK}/bytes/${GIGABYTE} | sha256sum`,
    220_000,
  );
  expect(status, stderr).toBe(0);
  expect(stdout.slice(0, 64)).toBe(gigabyteHash);
});

test('1 GB to the stack arrives with its sha256', { timeout: 240_000 }, async () => {
  const { status, stdout, stderr } = await shell(
    `curl -sS --max-time 200 -H 'Expect:' -T <(${process.execPath} --import ${ROOT}/node_modules/tsx/dist/esm/index.mjs ${ROOT}/test/support/pattern.ts ${GIGABYTE}) http://${STACK}/sink`,
    220_000,
  );
  expect(status, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ length: GIGABYTE, sha256: gigabyteHash });
});

test('500 connections at once each get their own bytes back', async () => {
  const { status, stdout, stderr } = await host.netns.run(
    process.execPath,
    [join(ROOT, 'test/support/parallel-echo.mjs'), STACK, '500', '20000'],
    { timeout: 90_000 },
  );
  expect(status, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ most: 500, tally: { ok: 500 } });
  await eventually('every connection is gone', async () => (await connections()).length === 0);
});

test('a peer killed mid-transfer is forgotten, and others are served (RFC 9293 §3.10.7.4)', async () => {
  const victim = host.netns.spawn('curl', [
    '-sS',
    '--limit-rate',
    '200k',
    '-o',
    file('part'),
    `http://${STACK}/bytes/500000000`,
  ]);
  await eventually(
    'the transfer runs',
    async () => (statSync(file('part'), { throwIfNoEntry: false })?.size ?? 0) > 10_000,
  );
  expect(await connections()).toHaveLength(1);
  victim.kill('SIGKILL');
  await victim.finish(5_000);
  await eventually('the connection is gone', async () => (await connections()).length === 0);
  const { status } = await shell(`curl -sS --max-time 10 -o /dev/null http://${STACK}/`);
  expect(status).toBe(0);
});

test('a transfer survives the interface going down and up', async () => {
  const length = 200_000_000;
  const curl = host.netns.spawn('curl', [
    '-sS',
    '--max-time',
    '90',
    '--limit-rate',
    '60M',
    '-o',
    file('flap'),
    `http://${STACK}/bytes/${length}`,
  ]);
  const size = (): number => statSync(file('flap'), { throwIfNoEntry: false })?.size ?? 0;
  await eventually('the transfer runs', async () => size() > 1_000_000);
  host.netns.ip('link', 'set', TAP, 'down');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const before = size();
  expect(before).toBeLessThan(length);
  host.netns.ip('link', 'set', TAP, 'up');
  const { status, stderr } = await curl.finish(100_000);
  expect(status, stderr).toBe(0);
  const { stdout } = await shell(`sha256sum <${file('flap')}`);
  expect(stdout.slice(0, 64)).toBe(patternHash(length));
});

test('with 5 % of the frames lost each way every byte arrives', { timeout: 240_000 }, async () => {
  const length = 20_000_000;
  const lossy = `
    table netdev loss {
      chain in { type filter hook ingress device "${TAP}" priority 0; numgen random mod 100 < 5 counter drop; }
      chain out { type filter hook egress device "${TAP}" priority 0; numgen random mod 100 < 5 counter drop; }
    }`;
  const load = await host.netns.run('nft', ['-f', '-'], { input: lossy });
  expect(load.status, load.stderr).toBe(0);
  try {
    const down = await shell(
      `set -o pipefail; curl -sS --max-time 100 http://${STACK}/bytes/${length} | sha256sum`,
      105_000,
    );
    expect(down.status, down.stderr).toBe(0);
    expect(down.stdout.slice(0, 64)).toBe(patternHash(length));
    const up = await shell(
      `curl -sS --max-time 100 -H 'Expect:' -T <(${process.execPath} --import ${ROOT}/node_modules/tsx/dist/esm/index.mjs ${ROOT}/test/support/pattern.ts ${length}) http://${STACK}/sink`,
      105_000,
    );
    expect(up.status, up.stderr).toBe(0);
    expect(JSON.parse(up.stdout)).toEqual({ length, sha256: patternHash(length) });
    const rules = await host.netns.run('nft', ['-j', 'list', 'table', 'netdev', 'loss']);
    const dropped = [...rules.stdout.matchAll(/"packets": (\d+)/g)].map(([, packets]) => Number(packets));
    expect(dropped).toHaveLength(2);
    for (const packets of dropped) expect(packets, 'the loss was real').toBeGreaterThan(10);
  } finally {
    await host.netns.run('nft', ['delete', 'table', 'netdev', 'loss']);
  }
});
