// Examples are read first and copied most: each runs here, as its own first lines say. Those that need a TAP are in test/interop.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

async function run(name: string, timeout = 15_000): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${name}`], { cwd: ROOT });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const status = await new Promise<number | null>((done) => child.once('close', done));
  clearTimeout(timer);
  return { status, stdout, stderr };
}

test('two stacks on a pipe ping and echo, and the process ends by itself', async () => {
  const { status, stdout, stderr } = await run('two-stacks-on-a-pipe.ts');
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^3 of 3 echoes came back, the fastest in \d+\.\d\d ms\nechoed: hello over the cable\nthat took \d+ TCP segments out and \d+ in\n$/,
  );
  expect(status).toBe(0);
});

test('the NTP client learns an offset of next to nothing', async () => {
  const { status, stdout, stderr } = await run('ntp-client.ts');
  expect(stderr).toBe('');
  const match = /^stratum 3, offset (-?\d+\.\d+) ms, delay (-?\d+\.\d+) ms\n$/.exec(stdout);
  expect(match, stdout).not.toBeNull();
  expect(Math.abs(Number(match?.[1]))).toBeLessThan(50);
  expect(status).toBe(0);
});

test('two stacks in two processes talk over a WebSocket', async () => {
  const { status, stdout, stderr } = await run('two-stacks-over-websocket.ts', 55_000);
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^3 of 3 echoes came back\nalice says: hello 10\.9\.0\.2\nwebsocket has left after \d{2} frames\n$/,
  );
  expect(status).toBe(0);
}, 60_000);

test('every example says how to run it, and the one of twenty lines has no more', () => {
  const names = readdirSync(`${ROOT}/examples`).filter((name) => name.endsWith('.ts'));
  expect(names.length).toBeGreaterThanOrEqual(6);
  for (const name of names) {
    const text = readFileSync(`${ROOT}/examples/${name}`, 'utf8');
    expect(text, name).toContain(`npx tsx examples/${name}`);
  }
  const lines = readFileSync(`${ROOT}/examples/twenty-line-server.ts`, 'utf8').trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(20);
});
