// The contract of `tapstack up`: ready when it answers, gone without a trace, and never in anybody's way.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BASIC, filesIn, HOST, needs, STACK, TAP } from '../support/interop.ts';
import { interrupt, Netns } from '../support/netns.ts';

needs('ping', 'curl');

let netns: Netns;
beforeEach(() => {
  netns = new Netns();
});
afterEach(async () => {
  await netns?.destroy();
});

const links = (): { ifname: string; flags: string[]; mtu: number; address: string }[] =>
  JSON.parse(netns.ip('-j', 'link', 'show', 'dev', TAP));

describe('a life', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`it answers the moment it is ready and leaves nothing at ${signal}`, async () => {
      const stack = await netns.up(BASIC);
      const { status } = await netns.run('ping', ['-c', '1', '-W', '1', STACK]);
      expect(status).toBe(0);
      const end = await interrupt(stack, signal);
      expect(end.status, end.stderr).toBe(0);
      expect(end.stderr).toBe('');
      expect(netns.interfaces()).toEqual([]);
      expect(netns.ip('route', 'show')).toBe('');
      expect(filesIn(netns.directory)).toEqual([]);
    });
  }

  test('it ends in good time with connections open and data under way', async () => {
    const stack = await netns.up([...BASIC, '--service', 'http,chargen']);
    const reader = netns.spawn('curl', [
      '-sS',
      '--limit-rate',
      '100k',
      '-o',
      '/dev/null',
      `http://${STACK}/bytes/1000000000`,
    ]);
    const stuck = netns.spawn('bash', ['-c', `exec 3<>/dev/tcp/${STACK}/19; sleep 60`]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const began = Date.now();
    const end = await interrupt(stack);
    expect(end.status, end.stderr).toBe(0);
    expect(Date.now() - began).toBeLessThan(5_000);
    for (const client of [reader, stuck]) {
      client.kill('SIGKILL');
      await client.finish(5_000);
    }
    expect(netns.interfaces()).toEqual([]);
  });

  test('MAC and MTU are as asked', async () => {
    await netns.up([...BASIC, '--mac', '02:00:00:00:12:34', '--mtu', '9000']);
    expect(links()[0].mtu).toBe(9000);
    const { status } = await netns.run('ping', ['-c', '1', '-W', '2', '-M', 'do', '-s', '8972', STACK]);
    expect(status).toBe(0);
    expect(netns.ip('neigh', 'show', STACK)).toContain('02:00:00:00:12:34');
  });

  test('it is reached from behind a router when it has a gateway', async () => {
    netns.ip('addr', 'add', '172.20.0.1/24', 'dev', 'lo');
    await netns.up([...BASIC, '--gateway', HOST]);
    const { status, stdout } = await netns.run('ping', ['-c', '1', '-W', '2', '-I', '172.20.0.1', STACK]);
    expect(status, stdout).toBe(0);
  });

  test('without a gateway it cannot answer beyond its network', async () => {
    netns.ip('addr', 'add', '172.20.0.1/24', 'dev', 'lo');
    await netns.up(BASIC);
    const { status } = await netns.run('ping', ['-c', '1', '-W', '1', '-I', '172.20.0.1', STACK]);
    expect(status).toBe(1);
  });
});

describe('a TAP that exists', () => {
  test('is used as it is and left as it was', async () => {
    netns.ip('tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    netns.ip('addr', 'add', `${HOST}/24`, 'dev', TAP);
    netns.ip('link', 'set', TAP, 'up');
    const before = netns.ip('addr', 'show', 'dev', TAP);
    const stack = await netns.up(['--tap', TAP, '--address', `${STACK}/24`]);
    expect((await netns.run('ping', ['-c', '1', '-W', '2', STACK])).status).toBe(0);
    const end = await interrupt(stack);
    expect(end.status, end.stderr).toBe(0);
    const after = netns.ip('addr', 'show', 'dev', TAP);
    expect(after.match(/inet [\d./]+/)?.[0]).toBe(before.match(/inet [\d./]+/)?.[0]);
    expect(after).toMatch(/<[^>]*\bUP\b/);
    // And again, on the same interface.
    const second = await netns.up(['--tap', TAP, '--address', `${STACK}/24`]);
    expect((await netns.run('ping', ['-c', '1', '-W', '2', STACK])).status).toBe(0);
    expect((await interrupt(second)).status).toBe(0);
  });

  test('gets the address, MTU and state it was given taken away again', async () => {
    netns.ip('tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    const stack = await netns.up([...BASIC, '--mtu', '1400']);
    expect(links()[0].mtu).toBe(1400);
    expect((await netns.run('ping', ['-c', '1', '-W', '2', STACK])).status).toBe(0);
    expect((await interrupt(stack)).status).toBe(0);
    expect(links()[0].mtu).toBe(1500);
    expect(links()[0].flags).not.toContain('UP');
    expect(netns.ip('-4', 'addr', 'show', 'dev', TAP)).toBe('');
  });

  test('with another address is not changed', async () => {
    netns.ip('tuntap', 'add', 'dev', TAP, 'mode', 'tap');
    netns.ip('addr', 'add', '10.8.0.1/24', 'dev', TAP);
    const { status, stderr } = await netns.tapstack(['up', ...BASIC]);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `tapstack: ${TAP} has the address 10.8.0.1/24 already: leave out --host, or remove that address\n`,
    );
  });

  test('that another program holds is refused', async () => {
    await netns.up(BASIC);
    const { status, stderr } = await netns.tapstack(['up', '--tap', TAP, '--address', '10.9.0.3/24']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^tapstack: .*busy.*\n$/i);
  });
});

describe('what is in the way', () => {
  /** An interface `other` that has nothing to do with the stack, with its carrier on. */
  const addOther = (): void => {
    netns.ip('link', 'add', 'other', 'type', 'veth', 'peer', 'name', 'peer');
    netns.ip('link', 'set', 'peer', 'up');
  };

  test('an interface that is no TAP is refused', async () => {
    netns.ip('link', 'add', TAP, 'type', 'veth', 'peer', 'name', 'peer');
    const { status, stdout, stderr } = await netns.tapstack(['up', ...BASIC]);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toBe(`tapstack: interface ${TAP} exists and is not a TAP: choose another name for --tap\n`);
    expect(netns.interfaces().sort()).toEqual(['peer', TAP]);
  });

  test('a route that overlaps is refused', async () => {
    addOther();
    netns.ip('link', 'set', 'other', 'up');
    netns.ip('route', 'add', '10.0.0.0/8', 'dev', 'other');
    const { status, stderr } = await netns.tapstack(['up', ...BASIC]);
    expect(status).toBe(1);
    expect(stderr).toBe(
      "tapstack: 10.9.0.0/24 overlaps the host's route to 10.0.0.0/8 on other: choose another network for --address\n",
    );
    expect(netns.interfaces()).not.toContain(TAP);
  });

  test('an address of another interface in our network is refused', async () => {
    addOther();
    netns.ip('addr', 'add', '10.9.0.9/24', 'dev', 'other');
    netns.ip('link', 'set', 'other', 'up');
    const { status, stderr } = await netns.tapstack(['up', ...BASIC]);
    expect(status).toBe(1);
    expect(stderr).toContain('overlaps 10.9.0.9/24, the address of other');
  });

  test('the default route is no obstacle', async () => {
    addOther();
    netns.ip('addr', 'add', '192.168.77.2/24', 'dev', 'other');
    netns.ip('link', 'set', 'other', 'up');
    netns.ip('route', 'add', 'default', 'via', '192.168.77.1');
    const stack = await netns.up(BASIC);
    expect((await interrupt(stack)).status).toBe(0);
    expect(netns.ip('route', 'show')).toContain('default via 192.168.77.1');
  });

  test('an interface that is deleted under the stack ends it with a reason', async () => {
    const stack = await netns.up(BASIC);
    netns.ip('link', 'delete', TAP);
    const { status, stderr } = await stack.finish(10_000);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^tapstack: .*gone.*\n$/);
    expect(existsSync(join(netns.directory, 'tapstack'))).toBe(false);
  });
});
