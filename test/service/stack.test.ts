// The services on our own stack: two hosts on a cable, no root.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pipe } from '../../src/link/pipe.ts';
import { createStack, type NodeStack } from '../../src/node/node-stack.ts';
import type { Service } from '../../src/service/api.ts';
import { fillPattern } from '../../src/service/http.ts';
import { SERVICE_NAMES, startServices } from '../../src/service/index.ts';
import { ntpQuery } from '../../src/service/ntp/client.ts';
import { Pop3Client } from './pop3-client.ts';

const SERVER = '10.9.0.2';
let dir = '';
let mail = '';
let server: NodeStack;
let client: NodeStack;
let services: Service[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tapstack-on-stack-'));
  mail = join(dir, 'mail');
  for (const sub of ['new', 'cur', 'tmp']) await mkdir(join(mail, sub), { recursive: true });
  await writeFile(join(mail, 'new', '1.a.h'), `Subject: é\n\n${'.a line of it\n'.repeat(200_000)}`);
  const [a, b] = pipe();
  server = await createStack({ link: a, address: `${SERVER}/24` });
  client = await createStack({ link: b, address: '10.9.0.1/24' });
  services = await startServices(SERVICE_NAMES, server, { maildir: mail });
});
afterAll(async () => {
  for (const service of services) await service.close();
  await Promise.all([client.close(), server.close()]);
  await rm(dir, { recursive: true });
});

function connect(port: number, allowHalfOpen = true): Socket {
  return client.net.connect({ port, host: SERVER, allowHalfOpen }) as unknown as Socket;
}

async function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('POP3: a session with STLS fetches and deletes, and its lock is gone', async () => {
  const socket = connect(110, false);
  await once(socket, 'connect');
  const pop3 = new Pop3Client(socket);
  expect(await pop3.line()).toMatch(/^\+OK POP3/);
  expect(await pop3.ask('STLS')).toMatch(/^\+OK/);
  await pop3.startTls();
  expect(await pop3.logIn('demo', 'demo')).toBe('+OK Mailbox open, 1 messages');
  expect(await pop3.ask('RETR 1')).toMatch(/^\+OK/);
  expect(await pop3.body()).toBe(
    `${Buffer.from('Subject: é').toString('latin1')}\r\n\r\n${'.a line of it\r\n'.repeat(200_000)}`,
  );
  await pop3.ask('DELE 1');
  expect(await pop3.ask('QUIT')).toBe('+OK Sayonara');
  expect(await pop3.line()).toBe(null);
  expect((await readdir(mail)).sort()).toEqual(['cur', 'new', 'tmp']);
  expect(await readdir(join(mail, 'new'))).toEqual([]);
});

test('NTP: the offset between two stacks on one clock is nothing', async () => {
  const result = await ntpQuery(SERVER, { dgram: client.dgram, samples: 4, interval: 1 });
  expect(Math.abs(result.offset)).toBeLessThan(0.005);
  expect(result.delay).toBeLessThan(0.05);
});

test('echo gives back a megabyte through a half-closed connection, and a datagram', async () => {
  const sent = Buffer.alloc(1_000_000);
  fillPattern(sent, 0);
  const socket = connect(7);
  socket.end(sent);
  expect((await collect(socket)).equals(sent)).toBe(true);
  const udp = client.dgram.createSocket({ type: 'udp4' });
  udp.send(Buffer.from('ping'), 7, SERVER);
  const [answer] = (await once(udp, 'message')) as [Buffer];
  expect(answer.toString()).toBe('ping');
  udp.close();
});

test('daytime, time, discard and chargen', async () => {
  expect((await collect(connect(13))).toString()).toMatch(/^\d{4}-.*Z\r\n$/);
  expect((await collect(connect(37))).length).toBe(4);
  const nothing = connect(9);
  nothing.end(Buffer.alloc(500_000));
  expect((await collect(nothing)).length).toBe(0);
  const chargen = connect(19);
  let octets = 0;
  for await (const chunk of chargen) {
    octets += (chunk as Buffer).length;
    if (octets > 1_000_000) break;
  }
  expect(octets).toBeGreaterThan(1_000_000);
});

test('HTTP: bytes down and up through node:http on both ends', async () => {
  const agent = new http.Agent({ keepAlive: true });
  agent.createConnection = () => connect(80, false);
  const down = http.get({ host: SERVER, path: '/bytes/3000000', agent });
  const [response] = (await once(down, 'response')) as [http.IncomingMessage];
  const want = Buffer.alloc(3_000_000);
  fillPattern(want, 0);
  expect((await collect(response as unknown as Socket)).equals(want)).toBe(true);
  const up = http.request({ host: SERVER, path: '/sink', method: 'PUT', agent });
  up.end(want);
  const [answer] = (await once(up, 'response')) as [http.IncomingMessage];
  expect(JSON.parse((await collect(answer as unknown as Socket)).toString())).toEqual({
    length: want.length,
    sha256: createHash('sha256').update(want).digest('hex'),
  });
  agent.destroy();
});
