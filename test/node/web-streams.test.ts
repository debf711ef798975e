// stack.connect() and `for await (const socket of server)`.

import { once } from 'node:events';
import { expect, test } from 'vitest';
import { B, listening, twoStacks } from './support.ts';

test('a connection is two streams: closing one ends our side, the other ends with the peer', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('end', () => socket.end(text.toUpperCase()));
  });
  const port = await listening(server);
  const { readable, writable, opened, closed } = a.connect(`${B}:${port}`, { allowHalfOpen: true });
  const { remoteAddress, localAddress } = await opened;
  expect(remoteAddress).toBe(`${B}:${port}`);
  expect(localAddress).toMatch(/^10\.9\.0\.1:\d+$/);
  const writer = writable.getWriter();
  await writer.write(new TextEncoder().encode('hello'));
  await writer.close();
  let text = '';
  for await (const chunk of readable) text += new TextDecoder().decode(chunk);
  expect(text).toBe('HELLO');
  await closed;
});

test('back-pressure reaches through: a writer waits for a peer that does not read', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer({ pauseOnConnect: true });
  const port = await listening(server);
  const { writable, close } = a.connect({ hostname: B, port });
  const [theirs] = await once(server, 'connection');
  const writer = writable.getWriter();
  const chunk = new Uint8Array(1 << 20);
  let written = 0;
  const writing = (async () => {
    for (; written < 64; written++) {
      await writer.ready;
      await writer.write(chunk);
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(written).toBeLessThan(48);
  theirs.resume();
  await writing;
  expect(written).toBe(64);
  await close();
});

test('what fails is told by opened and closed, and by the streams', async () => {
  const [a] = await twoStacks();
  const { opened, closed, readable } = a.connect(`${B}:1`);
  await expect(opened).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await expect(closed).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await expect(readable.getReader().read()).rejects.toThrow();
});

test('close() gives it up, before and after it is open', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer((socket) => socket.on('error', () => {}));
  const port = await listening(server);
  const early = a.connect(`${B}:${port}`);
  await early.close();
  await expect(early.opened).rejects.toThrow(/before it was established/);
  const open = a.connect(`${B}:${port}`);
  await open.opened;
  await open.close();
  await open.closed;
});

test('an address that is none is refused at once', async () => {
  const [a] = await twoStacks();
  for (const address of ['10.9.0.2', 'host:99999', ':80', '10.9.0.2:0'])
    expect(() => a.connect(address), address).toThrow(/must look like|should be > 0/);
});

test('for await takes connections one by one, until the server is closed', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer();
  const port = await listening(server);
  const clients = [1, 2, 3].map((n) => a.net.connect(port, B).end(`client ${n}`));
  const texts: string[] = [];
  for await (const socket of server) {
    let text = '';
    for await (const data of socket) text += data;
    texts.push(text);
    if (texts.length === 3) server.close();
  }
  expect(texts.sort()).toEqual(['client 1', 'client 2', 'client 3']);
  expect(clients.length).toBe(3);
});

test('leaving the loop leaves the server as it is', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer();
  const port = await listening(server);
  a.net.connect(port, B).end();
  for await (const socket of server) {
    socket.destroy();
    break;
  }
  expect(server.listening).toBe(true);
  expect(server.listenerCount('connection')).toBe(0);
  server.close();
});
