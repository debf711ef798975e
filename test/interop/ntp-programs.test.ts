// NTP between us and the programs that speak it, on the loopback of a namespace of its own: ntpdate insists on port 123.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { missing, Netns } from '../support/netns.ts';

const reason = missing('ntpdate', 'ntpdig', 'chronyd');
let netns: Netns;

beforeEach((context) => {
  if (reason !== null) context.skip(reason);
});

beforeAll(() => {
  if (reason === null) netns = new Netns();
});
afterAll(() => (reason === null ? netns.destroy() : undefined));

const source = (path: string): string => fileURLToPath(new URL(`../../src/service/ntp/${path}`, import.meta.url));

/** Run a program of ours in the namespace. */
function program(name: string, text: string): string[] {
  const path = join(netns.directory, name);
  writeFileSync(path, text);
  return [process.execPath, '--import', import.meta.resolve('tsx'), path];
}

describe('our server', () => {
  const start = async (options: string): Promise<{ stop(): Promise<void> }> => {
    const [command, ...args] = program(
      'server.mts',
      `import dgram from 'node:dgram';
import { createNtpServer } from ${JSON.stringify(source('server.ts'))};
createNtpServer({ dgram, ${options} }).listen({ host: '127.0.0.1' }, () => console.log('ready'));
`,
    );
    const running = netns.spawn(command as string, args);
    await running.output(/ready/);
    return {
      stop: async () => {
        running.kill('SIGTERM');
        await running.finish(10_000);
      },
    };
  };

  test('ntpdate -q, ntpdig and chronyd -Q take the time from it', async () => {
    const server = await start("stratum: 2, refid: '192.0.2.1'");
    try {
      const ntpdate = await netns.shell('ntpdate -q 127.0.0.1', { timeout: 60_000 });
      expect(ntpdate.status, ntpdate.stderr).toBe(0);
      expect(ntpdate.stdout + ntpdate.stderr).toMatch(/[+-]0\.0\d+ .*s2/);
      const ntpdig = await netns.shell('ntpdig --json 127.0.0.1', { timeout: 60_000 });
      expect(ntpdig.status, ntpdig.stderr).toBe(0);
      expect(Math.abs(JSON.parse(ntpdig.stdout).offset)).toBeLessThan(0.1);
      const conf = join(netns.directory, 'query.conf');
      writeFileSync(conf, `server 127.0.0.1 iburst\npidfile ${join(netns.directory, 'q.pid')}\n`);
      const chronyd = await netns.shell(`chronyd -Q -t 30 -U -f ${conf}`, { timeout: 60_000 });
      expect(chronyd.status, chronyd.stderr + chronyd.stdout).toBe(0);
      expect(chronyd.stdout + chronyd.stderr).toMatch(/System clock wrong by -?0\.0\d+ seconds/);
    } finally {
      await server.stop();
    }
  });

  test('a clock that nobody keeps is not believed by them', async () => {
    const server = await start('clock: () => ({ synchronized: false, state: 5, maxError: 16 })');
    try {
      const { status, stdout, stderr } = await netns.shell('ntpdate -q 127.0.0.1', { timeout: 60_000 });
      expect(status, stdout + stderr).not.toBe(0);
    } finally {
      await server.stop();
    }
  });
});

test('our client takes the time from chronyd', async () => {
  const conf = join(netns.directory, 'chrony.conf');
  writeFileSync(
    conf,
    `local stratum 5\nallow all\nport 1123\ncmdport 0\nbindcmdaddress /\npidfile ${join(netns.directory, 'chronyd.pid')}\n`,
  );
  // -x: it must not touch the clock of this machine.
  const chronyd = netns.spawn('bash', ['-c', `exec chronyd -x -d -U -f ${conf} 2>&1`]);
  try {
    await chronyd.output(/chronyd version/);
    const [command, ...args] = program(
      'client.mts',
      `import dgram from 'node:dgram';
import { ntpQuery } from ${JSON.stringify(source('client.ts'))};
console.log(JSON.stringify(await ntpQuery('127.0.0.1', { dgram, port: 1123, samples: 4, interval: 100 })));
`,
    );
    const client = netns.spawn(command as string, args);
    const { status } = await client.finish(30_000);
    expect(status, client.stderr).toBe(0);
    const result = JSON.parse(client.stdout);
    expect(result).toMatchObject({ stratum: 5, leap: 0, version: 4, refid: '127.127.1.1' });
    expect(Math.abs(result.offset)).toBeLessThan(0.005);
    expect(result.delay).toBeLessThan(0.05);
    expect(result.samples.length).toBe(4);
  } finally {
    chronyd.kill('SIGTERM');
    await chronyd.finish(10_000);
  }
});
