// `make run`: a demo host that a newcomer starts, tries and ends, as root or not.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { filesIn, needs } from '../support/interop.ts';
import { Netns, ROOT } from '../support/netns.ts';

const STACK = '10.9.0.2';
const TAP = 'tapstack0';

needs('ping', 'curl', 'ntpdate', 'make', 'unshare', 'nsenter', 'setpriv', 'script');

let netns: Netns;
beforeEach(() => {
  netns = new Netns();
});
afterEach(async () => {
  await netns?.destroy();
});

const demos = (): string[] => readdirSync(netns.directory).filter((name) => name.startsWith('tapstack-demo-'));

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`as root it serves POP3, NTP and echo in the present namespace, and ${signal} removes every trace`, async () => {
    const env = { TMPDIR: netns.directory };
    const make = netns.spawn('make', ['-C', ROOT, '--no-print-directory', 'run'], { env });
    await make.output(/^ready.*pop3 110\/tcp.*ntp 123\/udp.*echo 7\/tcp/m, 90_000);
    for (const hint of [`ping ${STACK}`, `telnet ${STACK} 110`, `pop3://${STACK}/`, `ntpdate -q ${STACK}`]) {
      expect(make.stdout).toContain(hint);
    }
    expect((await netns.run('ping', ['-c', '1', '-W', '5', STACK])).status).toBe(0);
    const mail = await netns.run('curl', ['-sS', '--user', 'demo:demo', `pop3://${STACK}/`]);
    expect(mail.status, mail.stderr).toBe(0);
    expect(mail.stdout).toMatch(/^1 \d+/);
    expect((await netns.run('ntpdate', ['-q', STACK], { timeout: 60_000 })).status).toBe(0);
    expect(demos()).toHaveLength(1);

    make.kill(signal);
    await make.finish(15_000);
    expect(netns.interfaces()).toEqual([]);
    expect(netns.ip('route', 'show')).toBe('');
    expect(filesIn(netns.directory)).toEqual([]);
    expect(execFileSync('ip', ['netns', 'pids', netns.name], { encoding: 'utf8' })).toBe('');
  });
}

/** As a user without CAP_NET_ADMIN. */
const UNPRIVILEGED = ['--bounding-set=-net_admin', '--inh-caps=-net_admin', 'bash', 'scripts/run.sh'];

test('without privileges it runs in a private namespace that can be entered', async () => {
  const run = netns.spawn('setpriv', UNPRIVILEGED, { cwd: ROOT, env: { TMPDIR: netns.directory } });
  await run.output(/^ready/m, 60_000);
  const [, pid] = await run.output(/nsenter --target (\d+)/);
  // The user's own namespace is untouched.
  expect(netns.interfaces()).toEqual([]);
  const enter = ['--target', pid, '--user', '--net', '--preserve-credentials'];
  const ping = await netns.run('nsenter', [...enter, 'ping', '-c', '1', '-W', '5', STACK]);
  expect(ping.status, ping.stdout + ping.stderr).toBe(0);
  const links = await netns.run('nsenter', [...enter, 'ip', '-br', 'link']);
  expect(links.stdout).toContain(TAP);
  run.kill('SIGINT');
  await run.finish(15_000);
  expect(filesIn(netns.directory)).toEqual([]);
});

test('without privileges but with a terminal it gives a shell to try things in', async () => {
  const command = ['setpriv', ...UNPRIVILEGED].join(' ');
  const run = netns.spawn('script', ['-qec', command, '/dev/null'], { cwd: ROOT, env: { TMPDIR: netns.directory } });
  await run.output(/tapstack\$ /, 60_000);
  expect(run.stdout).toMatch(/ready.*pop3/);
  run.write(`ping -c 1 -W 5 ${STACK} | tail -2 | head -1\n`);
  await run.output(/1 packets transmitted, 1 received/);
  run.write('exit\n');
  const { status } = await run.finish(15_000);
  expect(status).toBe(0);
  expect(filesIn(netns.directory)).toEqual([]);
});
