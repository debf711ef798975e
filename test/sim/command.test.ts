// The sim command as a user runs it: a seed again is the same file again.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { expect, onTestFinished, test, vi } from 'vitest';
import { register } from '../../src/cli/sim.ts';
import { commandLine } from '../support/netns.ts';

vi.setConfig({ testTimeout: 60_000 });

/** In this process: starting others takes longer than what they do. */
async function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  let stderr = '';
  const program = new Command().exitOverride().configureOutput({
    writeErr: (text) => {
      stderr += text;
    },
  });
  register(program);
  for (const command of program.commands) command.copyInheritedSettings(program);
  try {
    await program.parseAsync(['sim', ...args], { from: 'user' });
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { status: 1, stdout, stderr: error.message };
  } finally {
    write.mockRestore();
  }
}

const start = (...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [...commandLine(), 'sim', ...args], { encoding: 'utf8' }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'tapstack-sim-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

test('the same seed replays byte for byte, frames and report; another does not', async () => {
  const dir = directory();
  const record = async (seed: number, name: string) => {
    const { status, stdout } = await run('--seed', String(seed), '--hosts', '3', '--pcap', join(dir, name), '--trace');
    expect(status).toBe(0);
    return { stdout, hash: sha256(join(dir, name)) };
  };
  const first = await record(21, 'a');
  const again = await record(21, 'b');
  const other = await record(22, 'c');
  expect(again).toEqual(first);
  expect(other.hash).not.toBe(first.hash);
  expect(first.stdout).toMatch(/Flags \[S\], seq/);
  expect(first.stdout).toMatch(/seed 21: .*, 3 hosts\n/);
});

test('a program of the user runs by seed, and its failure is told with the seed and a recording', async () => {
  const dir = directory();
  const program = join(dir, 'scenario.mjs');
  writeFileSync(
    program,
    `export default async (net) => {
       const a = await net.host('a');
       const b = await net.host('b');
       net.link(a, b, { delay: 10 });
       const { received } = await a.ping(b.address, { count: 2 });
       if (net.seed === 4) throw new Error('this seed is unlucky');
       if (received !== 2) throw new Error('no answer');
     };`,
  );
  const fine = await run(program, '--seed', '3');
  expect(fine.stderr).toBe('');
  expect(fine).toMatchObject({ status: 0 });
  const pcap = join(dir, 'out.pcapng');
  const failed = await run(program, '--seed', '4', '--pcap', pcap);
  expect(failed.status).toBe(1);
  expect(failed.stderr).toMatch(/seed 4 failed after [\d.]+ ms: this seed is unlucky; recorded in .*out\.pcapng$/);
  expect(readFileSync(pcap).readUInt32LE(0)).toBe(0x0a0d0d0a);
});

test('many seeds are told in one line, from several processes too', async () => {
  expect((await run('--seeds', '3')).stdout).toBe('3 seeds, 0 failed\n');
  expect(await start('--seeds', '4', '--jobs', '2')).toBe('4 seeds, 0 failed\n');
});

test.each([
  [['--seed', 'x'], /--seed.*whole number/],
  [['--hosts', '1'], /2 to 9 hosts/],
  [['--seeds', '5', '--trace'], /--seeds is for random networks/],
  [['nowhere.mjs'], /nowhere\.mjs/],
])('tapstack sim %j is refused in words', async (args, says) => {
  const { status, stderr } = await run(...args);
  expect(status).toBeGreaterThan(0);
  expect(stderr).toMatch(says);
});
