// The examples that make a TAP, with the programs their first lines name.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { missing, Netns, ROOT, type Running } from '../support/netns.ts';

const why = missing('nc', 'curl', 'socat');

describe.skipIf(why !== null)(`examples${why === null ? '' : `: ${why}`}`, () => {
  let netns: Netns;
  beforeEach(() => {
    netns = new Netns();
  });
  afterEach(() => netns.destroy());

  const start = async (name: string): Promise<Running> => {
    const running = netns.spawn(process.execPath, ['--import', 'tsx', `examples/${name}`], { cwd: ROOT });
    await running.output(/^ready/m, 30_000);
    return running;
  };

  test('the server of twenty lines answers nc in capitals', async () => {
    await start('twenty-line-server.ts');
    const { stdout } = await netns.shell('(echo hello; sleep 1) | nc -w 3 10.9.0.2 7777', { timeout: 15_000 });
    expect(stdout).toBe('You are 10.9.0.1, I am 10.9.0.2.\nHELLO\n');
  });

  test('the web server answers curl', async () => {
    await start('http-server.ts');
    const { stdout } = await netns.run('curl', ['-sS', 'http://10.9.0.2/path'], { timeout: 15_000 });
    expect(stdout).toBe('GET /path from 10.9.0.1, through no kernel socket\n');
  });

  test('the UDP server echoes', async () => {
    await start('udp-echo.ts');
    const { stdout } = await netns.shell('echo datagram | socat -t 2 - UDP4:10.9.0.2:7', { timeout: 15_000 });
    expect(stdout).toBe('datagram\n');
  });

  test('the inbox hands curl its first message, and Ctrl-C leaves no interface', async () => {
    const inbox = await start('pop3-inbox.ts');
    const { stdout } = await netns.run('curl', ['-sS', '-u', 'demo:demo', 'pop3://10.9.0.2/1'], { timeout: 15_000 });
    expect(stdout).toMatch(/^Subject: /im);
    inbox.kill('SIGINT');
    expect((await inbox.finish(10_000)).status).toBe(0);
    expect(netns.interfaces()).toEqual([]);
  });
});
