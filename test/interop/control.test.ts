// The commands that ask a running stack, against a running stack.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { NeighborView, RouteView, SocketView, StackView } from '../../src/control/views.ts';
import { filesIn, HOST, STACK, TAP, useHost } from '../support/interop.ts';
import type { Result } from '../support/netns.ts';

const host = useHost({ programs: ['ping', 'nc', 'curl'], args: ['--service', 'http,echo,discard'] });

async function tapstack(...args: string[]): Promise<Result> {
  return host.netns.tapstack(args, { timeout: 30_000 });
}

async function json<T>(...args: string[]): Promise<T> {
  const { status, stdout, stderr } = await tapstack(...args, '--json');
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  if (host.netns !== undefined) await host.netns.run('ping', ['-c', '1', '-W', '2', STACK]);
});

test('the control socket is its owner’s alone', () => {
  const directory = join(host.netns.directory, 'tapstack');
  const [socket] = filesIn(directory);
  expect(socket).toMatch(new RegExp(`^${TAP}@\\d+\\.sock$`));
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(join(directory, socket)).mode & 0o777).toBe(0o600);
});

test('list names the stack, its process and what it serves', async () => {
  const [stack, ...more] = await json<StackView[]>('list');
  expect(more).toEqual([]);
  expect(stack).toMatchObject({
    tap: TAP,
    addresses: [`${STACK}/24`],
    mtu: 1500,
    services: ['http', 'echo', 'discard'],
  });
  expect(stack.pid).toBe(host.stack.child.pid);
  expect((await tapstack('list')).stdout).toMatch(/^Stack.*\ntap0 +10\.9\.0\.2\/24 /);
});

test('arp lists, adds and deletes', async () => {
  const find = async (address: string): Promise<NeighborView | undefined> =>
    (await json<NeighborView[]>('arp')).find((entry) => entry.address === address);
  expect(await find(HOST)).toMatchObject({ state: expect.stringMatching(/reachable|stale|delay/) });
  expect((await tapstack('arp', 'add', '10.9.0.7', '02:00:00:00:00:07')).status).toBe(0);
  expect(await find('10.9.0.7')).toMatchObject({ mac: '02:00:00:00:00:07', state: 'permanent' });
  expect((await tapstack('arp')).stdout).toMatch(/10\.9\.0\.7 +02:00:00:00:00:07 +permanent/);
  expect((await tapstack('arp', 'delete', '10.9.0.7')).status).toBe(0);
  expect(await find('10.9.0.7')).toBeUndefined();
  const again = await tapstack('arp', 'delete', '10.9.0.7');
  expect(again.status).toBe(1);
  expect(again.stderr).toContain('10.9.0.7');
});

test('route lists, adds and deletes', async () => {
  const list = (): Promise<RouteView[]> => json<RouteView[]>('route');
  expect(await list()).toContainEqual(expect.objectContaining({ destination: '10.9.0.0/24', gateway: null }));
  expect((await tapstack('route', 'add', '192.168.0.0/16', '--via', HOST, '--metric', '5')).status).toBe(0);
  expect(await list()).toContainEqual(
    expect.objectContaining({ destination: '192.168.0.0/16', gateway: HOST, metric: 5 }),
  );
  expect((await tapstack('route')).stdout).toMatch(/192\.168\.0\.0\/16 +10\.9\.0\.1/);
  const unreachable = await tapstack('route', 'add', '172.16.0.0/12', '--via', '10.77.0.1');
  expect(unreachable.status).toBe(1);
  expect(unreachable.stderr).toContain('10.77.0.1');
  expect((await tapstack('route', 'delete', '192.168.0.0/16')).status).toBe(0);
  expect((await list()).some(({ destination }) => destination === '192.168.0.0/16')).toBe(false);
  expect((await tapstack('route', 'delete', '192.168.0.0/16')).status).toBe(1);
});

test('ss shows listeners and connections with their state', async () => {
  const client = host.netns.spawn('nc', [STACK, '7']);
  client.write('hello\n');
  await client.output(/hello/);
  const sockets = await json<SocketView[]>('ss', '-i');
  expect(sockets).toContainEqual(
    expect.objectContaining({ protocol: 'tcp', state: 'LISTEN', local: expect.stringMatching(/:80$/) }),
  );
  expect(sockets).toContainEqual(expect.objectContaining({ protocol: 'udp', local: expect.stringMatching(/:7$/) }));
  const connection = sockets.find(({ state }) => state === 'ESTABLISHED');
  expect(connection).toMatchObject({
    local: `${STACK}:7`,
    peer: expect.stringContaining(`${HOST}:`),
    receiveQueue: 0,
    sendQueue: 0,
  });
  expect(connection?.info).toMatchObject({ cwnd: expect.any(Number), mss: expect.any(Number) });
  const { stdout } = await tapstack('ss', '-t', '-i');
  expect(stdout).toMatch(/ESTABLISHED +0 +0 +10\.9\.0\.2:7 +10\.9\.0\.1:\d+\n\t .*cwnd:\d+/);
  expect((await tapstack('ss', '-t', '-l')).stdout).not.toContain('ESTABLISHED');
  client.kill();
  await client.finish(5_000);
});

test('stats counts what happened', async () => {
  const before = await json<Record<string, number>>('stats');
  await host.netns.run('ping', ['-c', '3', '-i', '0.2', '-W', '2', STACK]);
  const after = await json<Record<string, number>>('stats');
  expect(after.icmpInMsgs - before.icmpInMsgs).toBeGreaterThanOrEqual(3);
  const { stdout } = await tapstack('stats');
  expect(stdout).toMatch(/^ICMP:\n(.*\n)* {2}icmpInMsgs +\d+/m);
  expect(stdout).not.toMatch(/ 0$/m);
  expect((await tapstack('stats', '--all')).stdout).toMatch(/ 0$/m);
});

test('ping reports as ping(8) does', async () => {
  const { status, stdout } = await tapstack('ping', '-c', '3', '-i', '0.1', HOST);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^PING 10\.9\.0\.1 56\(84\) bytes of data\.\n/);
  expect(stdout.match(/^64 bytes from 10\.9\.0\.1: icmp_seq=\d ttl=64 time=[\d.]+ ms$/gm)).toHaveLength(3);
  expect(stdout).toMatch(/3 packets transmitted, 3 received, 0% packet loss\nrtt min\/avg\/max\/mdev = [\d./]+ ms\n$/);
});

test('ping sends what must be fragmented, and routes are recorded', async () => {
  expect((await tapstack('ping', '-c', '1', '-s', '20000', HOST)).stdout).toContain('20008 bytes from');
  expect((await tapstack('ping', '-c', '1', '-R', HOST)).stdout).toMatch(/RR:.*10\.9\.0\.1/s);
});

test('ping ends with 1 when nobody answers', async () => {
  const { status, stdout } = await tapstack('ping', '-c', '2', '-i', '0.1', '-W', '0.5', '10.9.0.77');
  expect(status).toBe(1);
  expect(stdout).toContain('2 packets transmitted, 0 received');
  expect(stdout).toContain('100% packet loss');
});

test('ping stops at Ctrl-C with its statistics', async () => {
  const { commandLine } = await import('../support/netns.ts');
  const ping = host.netns.spawn(process.execPath, [...commandLine(), 'ping', '-i', '0.1', HOST]);
  await ping.output(/icmp_seq=2/);
  ping.kill('SIGINT');
  const { status, stdout } = await ping.finish(5_000);
  expect(status).toBe(0);
  expect(stdout).toMatch(/\d+ packets transmitted, \d+ received/);
});

test('ping to a network without route says so', async () => {
  const { status, stdout } = await tapstack('ping', '-c', '1', '172.31.0.1');
  expect(status).toBe(1);
  expect(stdout).toContain('ENETUNREACH');
});

for (const method of ['udp', 'icmp', 'tcp']) {
  test(`traceroute by ${method} reaches the host in one hop`, async () => {
    const { status, stdout } = await tapstack('traceroute', '-M', method, '-q', '2', HOST);
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/^ 1 {2}10\.9\.0\.1 {2}[\d.]+ ms {2}[\d.]+ ms$/m);
  });
}

test('dump prints frames as they pass', async () => {
  const { commandLine } = await import('../support/netns.ts');
  const dump = host.netns.spawn(process.execPath, [...commandLine(), 'dump', '-c', '2', 'icmp']);
  const pinging = host.netns.spawn('ping', ['-c', '20', '-i', '0.2', '-W', '1', STACK]);
  const { status, stdout, stderr } = await dump.finish(20_000);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/IP 10\.9\.0\.1 > 10\.9\.0\.2: ICMP echo request/);
  expect(stdout).toMatch(/IP 10\.9\.0\.2 > 10\.9\.0\.1: ICMP echo reply/);
  pinging.kill();
  await pinging.finish(5_000);
});
