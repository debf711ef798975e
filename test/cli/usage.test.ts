// Asked wrongly: exit status 2 and one clear line. Nothing here needs root, because nothing gets as far as the host.

import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { SERVICES } from '../../src/cli/up.ts';
import { SERVICE_NAMES } from '../../src/service/index.ts';
import { commandLine } from '../support/netns.ts';

const run = (...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [...commandLine(), ...args], { encoding: 'utf8' }, (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

const UP = ['up', '--tap', 'tap0', '--address', '10.9.0.2/24'];

const MISUSES: [args: string[], says: RegExp][] = [
  [['up'], /--tap/],
  [['up', '--tap', 'tap0'], /--address/],
  [['up', '--address', '10.9.0.2/24'], /--tap/],
  [['up', '--tap', 'a-name-that-is-too-long', '--address', '10.9.0.2/24'], /15 characters/],
  [['up', '--tap', 'tap0', '--address', '10.9.0.2'], /prefix length/],
  [['up', '--tap', 'tap0', '--address', '10.9.0.300/24'], /prefix length/],
  [['up', '--tap', 'tap0', '--address', '10.9.0.255/24'], /broadcast/],
  [[...UP, '--host', 'nonsense'], /--host/],
  [[...UP, '--host', '10.9.0.2/24'], /same address/],
  [[...UP, '--host', '10.8.0.1/24'], /network/],
  [[...UP, '--gateway', '10.9.0'], /--gateway/],
  [[...UP, '--gateway', '10.8.0.1'], /network/],
  [[...UP, '--mac', '01:00:5e:00:00:01'], /group/],
  [[...UP, '--mac', 'x'], /--mac/],
  [[...UP, '--mtu', '67'], /--mtu/],
  [[...UP, '--mtu', 'big'], /--mtu/],
  [[...UP, '--service', 'smtp'], /pop3/],
  [[...UP, '--frobnicate'], /--frobnicate/],
  [[...UP, 'extra'], /argument/],
  [[...UP, '--pcap', '/nonexistent/frames.pcapng'], /\/nonexistent/],
  [[...UP, '--users', '/nonexistent/users'], /no users file/],
  [['frobnicate'], /frobnicate/],
  [['ping'], /host/],
  [['ping', '10.9.0.1', '--count', '0'], /--count/],
  [['route', 'add', '10.1.2.3/8', '--via', '10.9.0.1'], /10\.0\.0\.0\/8/],
  [['arp', 'add', '10.9.0.1', 'xx'], /hardware address/],
];

test.concurrent.each(MISUSES)('tapstack %j ends with 2 and one line', async (args, says) => {
  const { status, stdout, stderr } = await run(...args);
  expect(status).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^tapstack: [^\n]+\n$/);
  expect(stderr).toMatch(says);
});

test('--help and --version are answers, not errors', async () => {
  for (const args of [['--help'], ['up', '--help'], ['help', 'ping'], ['--version']]) {
    const { status, stdout, stderr } = await run(...args);
    expect(status, args.join(' ')).toBe(0);
    expect(stdout).not.toBe('');
    expect(stderr).toBe('');
  }
});

test('the services offered are the ones there are', () => {
  expect([...SERVICES]).toEqual([...SERVICE_NAMES]);
});

test('every command is listed in the help', async () => {
  const { stdout } = await run('--help');
  const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]*)\b.* {2}/gm)]
    .map(([, name]) => name)
    .filter((name) => name !== 'help');
  expect(commands).toEqual(
    expect.arrayContaining([
      'up',
      'ping',
      'traceroute',
      'arp',
      'route',
      'ss',
      'stats',
      'ipcalc',
      'services',
      'dump',
      'user',
    ]),
  );
});

test('without a stack the commands that ask one say how to start it', async () => {
  for (const args of [['ss'], ['arp'], ['route'], ['stats'], ['ping', '10.9.0.1']]) {
    const { status, stderr } = await run(...args, '--stack', 'none-of-this-name');
    expect(status, args.join(' ')).toBe(1);
    expect(stderr).toMatch(/^tapstack: no stack "none-of-this-name"/);
  }
});
