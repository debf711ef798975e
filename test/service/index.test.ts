import dgram from 'node:dgram';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hashPassword, saveAccount } from '../../src/service/accounts.ts';
import type { Service, StackLike } from '../../src/service/api.ts';
import {
  isServiceName,
  SERVICE_NAMES,
  SERVICES,
  type ServiceName,
  type ServiceOptions,
  startService,
  startServices,
} from '../../src/service/index.ts';
import { ntpQuery } from '../../src/service/ntp/client.ts';
import { Pop3Client } from './pop3-client.ts';

const host: StackLike = { net, dgram };
const ANY = Object.fromEntries(SERVICE_NAMES.map((name) => [name, 0])) as Record<ServiceName, number>;
const local: ServiceOptions = { host: '127.0.0.1', ports: ANY };
const COST = { N: 16, r: 1, p: 1 };
let dir = '';
let running: Service[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tapstack-services-'));
});
afterEach(async () => {
  for (const service of running) await service.close();
  running = [];
  await rm(dir, { recursive: true });
});

async function pop3(options: ServiceOptions): Promise<{ port: number; notes: readonly string[] }> {
  const service = await startService('pop3', host, { ...local, ...options });
  running.push(service);
  return { port: service.endpoints[0].port, notes: service.notes };
}

async function count(port: number, name: string, password: string): Promise<string | null> {
  const client = await Pop3Client.connect(port);
  await client.line();
  const answer = await client.logIn(name, password);
  await client.ask('QUIT');
  return answer;
}

test('every service starts by its name, on both protocols where it has two, and closes again', async () => {
  running = await startServices(SERVICE_NAMES, host, { ...local, maildir: join(dir, 'mail') });
  expect(running.map((service) => service.name)).toEqual([...SERVICE_NAMES]);
  const endpoints = running.flatMap((service) => service.endpoints);
  expect(endpoints.every(({ address, port }) => address === '127.0.0.1' && port > 0)).toBe(true);
  for (const service of running) await service.close();
  running = [];
  for (const { protocol, port } of endpoints) {
    if (protocol !== 'tcp') continue;
    const error = await new Promise<NodeJS.ErrnoException>((done) => net.connect(port, '127.0.0.1').on('error', done));
    expect(error.code).toBe('ECONNREFUSED');
  }
  expect(SERVICES.pop3.port).toBe(110);
  expect(isServiceName('toString')).toBe(false);
});

test('when one cannot start none is left behind', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((done) => taken.once('listening', done));
  const { port } = taken.address() as net.AddressInfo;
  const spare = net.createServer().listen(0, '127.0.0.1');
  await new Promise((done) => spare.once('listening', done));
  const free = (spare.address() as net.AddressInfo).port;
  await new Promise((done) => spare.close(done));
  const attempt = startServices(['echo', 'http'], host, { ...local, ports: { echo: free, http: port } });
  await expect(attempt).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await expect(
    new Promise((done, fail) => net.connect(free, '127.0.0.1').on('connect', done).on('error', fail)),
  ).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  taken.close();
});

describe('pop3', () => {
  test('without users and maildir there is a demo account, whose mailbox goes with the service', async () => {
    const { port, notes } = await pop3({});
    expect(await count(port, 'demo', 'demo')).toMatch(/^\+OK Mailbox open, 5 messages/);
    const directory = /mail is in (.*)$/m.exec(notes.join('\n'))?.[1] as string;
    expect((await stat(directory)).isDirectory()).toBe(true);
    for (const service of running.splice(0)) await service.close();
    await expect(stat(directory)).rejects.toThrow('ENOENT');
  });

  test('a maildir that is absent becomes the mailbox of the only account', async () => {
    const maildir = join(dir, 'mail');
    const { port } = await pop3({ maildir });
    expect((await readdir(join(maildir, 'new'))).length).toBe(5);
    expect(await count(port, 'demo', 'demo')).toMatch(/5 messages/);
  });

  test('a maildir that is there is served as it is, even when it is empty', async () => {
    for (const sub of ['new', 'cur', 'tmp']) await mkdir(join(dir, 'mail', sub), { recursive: true });
    const { port } = await pop3({ maildir: join(dir, 'mail') });
    expect(await count(port, 'demo', 'demo')).toMatch(/ 0 messages/);
    await writeFile(join(dir, 'mail', 'new', '1.x'), 'A: b\n\nc\n');
    expect(await count(port, 'demo', 'demo')).toMatch(/ 1 messages/);
  });

  test('several accounts have mailboxes of their own below it, and never share one', async () => {
    const users = join(dir, 'users');
    for (const name of ['alice', 'bob']) await saveAccount(users, { name, password: name, cost: COST });
    const maildir = join(dir, 'mail');
    const { port } = await pop3({ users, maildir });
    expect((await readdir(maildir)).sort()).toEqual(['alice', 'bob']);
    expect(await count(port, 'bob', 'bob')).toMatch(/5 messages/);
    await mkdir(join(maildir, 'new')); // now it looks like a Maildir
    await expect(startService('pop3', host, { ...local, users, maildir })).rejects.toThrow(/alice, bob would share/);
    expect(await count(port, 'bob', 'bob')).toMatch(/^-ERR \[SYS/);
  });

  test('an account without a place for its mail, and a missing users file, are told at the start', async () => {
    const users = join(dir, 'users');
    await expect(startService('pop3', host, { ...local, users })).rejects.toThrow(/tapstack user add/);
    await writeFile(users, `alice:${await hashPassword('x', COST)}:\n`, { mode: 0o600 });
    await expect(startService('pop3', host, { ...local, users })).rejects.toThrow(/alice has no Maildir/);
  });

  test('an account added while the server runs gets an empty mailbox at its first login', async () => {
    const users = join(dir, 'users');
    for (const name of ['alice', 'bob']) await saveAccount(users, { name, password: name, cost: COST });
    const { port } = await pop3({ users, maildir: join(dir, 'mail') });
    await saveAccount(users, { name: 'carol', password: 'carol', cost: COST });
    expect(await count(port, 'carol', 'carol')).toMatch(/^\+OK Mailbox open, 0 messages/);
  });
});

test('ntp serves a host whose clock nobody keeps as a local clock, so that clients can be tried', async () => {
  const service = await startService('ntp', host, local);
  running.push(service);
  const { stratum, refid, leap } = await ntpQuery('127.0.0.1', { dgram, port: service.endpoints[0].port });
  expect({ stratum, leap }).toEqual({ stratum: 10, leap: 0 });
  expect(refid).toBe('127.127.1.1');
});
