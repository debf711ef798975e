// The package as a user gets it: packed, installed in an empty folder with install scripts refused, and run by npx.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BASIC, filesIn, needs, STACK } from '../support/interop.ts';
import { Netns, ROOT, Running } from '../support/netns.ts';

const run = promisify(execFile);
const able = needs('ping', 'npm', 'make');

let folder: string;
let netns: Netns;

beforeAll(async () => {
  if (!able) return;
  folder = mkdtempSync(join(tmpdir(), 'tapstack-package-'));
  netns = new Netns();
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: ROOT,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{"name":"app","private":true,"type":"module"}');
  await run(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)],
    {
      cwd: app,
    },
  );
});

afterAll(async () => {
  await netns?.destroy();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const app = (): string => join(folder, 'app');

test('the tarball holds what runs and what builds the addon, and no more', async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--dry-run', '--ignore-scripts'], { cwd: ROOT });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining([
      'dist/cli/main.js',
      'dist/index.js',
      'dist/index.d.ts',
      'native/build/tapstack.node',
      'native/tap.c',
      'native/Makefile',
      'package.json',
      'README.md',
      'LICENSE',
    ]),
  );
  expect(paths.filter((path) => /^(src|test|bench|docs|scripts|node_modules)\//.test(path))).toEqual([]);
});

test('npx runs the installed command', async () => {
  const { stdout } = await run('npx', ['--no-install', 'tapstack', '--version'], { cwd: app() });
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

const npxUp = async (cwd: string): Promise<Running> => {
  const stack = new Running('ip', ['netns', 'exec', netns.name, 'npx', '--no-install', 'tapstack', 'up', ...BASIC], {
    cwd,
    env: { XDG_RUNTIME_DIR: netns.directory },
  });
  await stack.output(/^ready/m, 30_000);
  expect((await netns.run('ping', ['-c', '2', '-i', '0.2', '-W', '2', STACK])).status).toBe(0);
  return stack;
};

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`npx tapstack up serves from a checkout, and ${signal} to npx alone ends it with 0`, async () => {
    const stack = await npxUp(ROOT);
    stack.child.kill(signal);
    const { status, stderr } = await stack.finish(15_000);
    expect(status, stderr).toBe(0);
    expect(netns.interfaces()).toEqual([]);
  });
}

test('npx tapstack up serves from an installed package, and Ctrl-C leaves nothing', async () => {
  const stack = await npxUp(app());
  stack.kill('SIGINT'); // to the group, as a terminal does
  await stack.finish(15_000);
  expect(netns.interfaces()).toEqual([]);
  expect(filesIn(netns.directory)).toEqual([]);
});

test('npx tapstack up from an installed package goes with its npx', async () => {
  const stack = await npxUp(app());
  stack.child.kill('SIGTERM');
  await stack.finish(15_000);
  const deadline = Date.now() + 5_000;
  while (netns.interfaces().length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(netns.interfaces()).toEqual([]);
  expect(filesIn(netns.directory)).toEqual([]);
});

test('a bad flag ends npx with 2', async () => {
  await expect(run('npx', ['--no-install', 'tapstack', 'up', '--bogus'], { cwd: app() })).rejects.toMatchObject({
    code: 2,
  });
});

test('the addon can be rebuilt in place', async () => {
  const addon = join(app(), 'node_modules/tapstack/native/build/tapstack.node');
  rmSync(addon);
  await run('npx', ['--no-install', 'tapstack', 'build-addon'], { cwd: app() });
  expect(existsSync(addon)).toBe(true);
});

test('the library is imported by name, with its types', async () => {
  const { stdout } = await run(
    process.execPath,
    ['--input-type=module', '-e', "const m = await import('tapstack'); console.log(typeof m.createStack)"],
    { cwd: app() },
  );
  expect(stdout).toBe('function\n');
  expect(existsSync(join(app(), 'node_modules/tapstack/dist/index.d.ts'))).toBe(true);
});
