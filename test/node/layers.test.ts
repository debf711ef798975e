// What Node builds on sockets, on ours: TLS, HTTP, asynchronous contexts.

import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket as HostSocket, NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import { B, listening, twoStacks } from './support.ts';

function selfSigned(): { key: string; cert: string } {
  const dir = mkdtempSync(join(tmpdir(), 'tapstack-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    execFileSync(
      'openssl',
      ['req', '-x509', ...curve, '-nodes', '-subj', '/CN=stack.test', '-keyout', key, '-out', cert],
      { stdio: 'ignore' },
    );
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('TLS 1.3 runs over a socket of ours at both ends', async () => {
  const { key, cert } = selfSigned();
  const [a, b] = await twoStacks();
  // Half open, because below TLS the end of one direction is TLS's business: what is encrypted still has to leave.
  const server = b.net.createServer({ allowHalfOpen: true }, (socket) => {
    const secure = new tls.TLSSocket(socket as unknown as HostSocket, { isServer: true, key, cert });
    secure.pipe(secure);
  });
  const port = await listening(server);
  const client = tls.connect({
    socket: a.net.connect({ port, host: B, allowHalfOpen: true }) as unknown as HostSocket,
    ca: cert,
    servername: 'stack.test',
  });
  await once(client, 'secureConnect');
  expect(client.authorized).toBe(true);
  expect(client.getProtocol()).toBe('TLSv1.3');
  const sent = Buffer.alloc(2_000_000, 'secret');
  client.end(sent);
  const parts: Buffer[] = [];
  for await (const part of client) parts.push(part as Buffer);
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
});

test('an http server and an agent of Node talk through two stacks, connections kept alive', async () => {
  const [a, b] = await twoStacks();
  const web = http.createServer((request, response) => {
    let length = 0;
    request.on('data', (data) => {
      length += data.length;
    });
    request.on('end', () => response.end(`${request.url} ${length} ${request.socket.remotePort}`));
  });
  const listener = b.net.createServer({ allowHalfOpen: true }, (socket) => web.emit('connection', socket));
  const port = await listening(listener);
  class StackAgent extends http.Agent {
    override createConnection = (options: NetConnectOpts): HostSocket =>
      a.net.connect(options) as unknown as HostSocket;
  }
  const agent = new StackAgent({ keepAlive: true, maxSockets: 4 });
  const post = (path: string, body: Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = http.request({ host: B, port, path, method: 'POST', agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (data) => {
          text += data;
        });
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
      request.end(body);
    });
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => post(`/${i}`, Buffer.alloc(i * 1000))));
  const ports = new Set<string>();
  answers.forEach((answer, i) => {
    const [path, length, remotePort] = answer.split(' ');
    expect([path, length]).toEqual([`/${i}`, String(i * 1000)]);
    ports.add(remotePort);
  });
  expect(ports.size).toBe(4);
  agent.destroy();
  listener.close();
  await once(listener, 'close');
});

test('an asynchronous context stays with its socket, and none leaks to the other side', async () => {
  const [a, b] = await twoStacks();
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const server = b.net.createServer((socket) => {
    socket.on('data', (data) => {
      seen.push(storage.getStore());
      socket.write(data);
    });
  });
  const port = await listening(server);
  const answers = await Promise.all(
    ['one', 'two', 'three'].map((name) =>
      storage.run(
        name,
        () =>
          new Promise<string | undefined>((resolve) => {
            const socket = a.net.connect(port, B);
            socket.on('data', () => {
              resolve(storage.getStore());
              socket.destroy();
            });
            socket.write(name);
          }),
      ),
    ),
  );
  expect(answers).toEqual(['one', 'two', 'three']);
  expect(seen).toEqual([undefined, undefined, undefined]);
});

test('events of one batch come with ticks and microtasks between them', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer((socket) => socket.resume());
  const port = await listening(server);
  const sockets = Array.from({ length: 20 }, () => a.net.connect(port, B));
  // Each listener is added only after the event before it.
  for (const socket of sockets) if (socket.connecting) await once(socket, 'connect');
  expect(sockets.every((socket) => !socket.connecting)).toBe(true);
  for (const socket of sockets) socket.destroy();
});
