// Frames over WebSocket, on the loopback of the host.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { WebSocketServerOptions } from '../../src/link/websocket.ts';
import { WebSocketLink, WebSocketLinkServer } from '../../src/link/websocket.ts';
import { FrameBatch } from '../../src/mem/frame-batch.ts';
import { Memory } from '../../src/mem/memory.ts';
import { createSwitch } from '../../src/node/create-switch.ts';
import { createStack } from '../../src/node/node-stack.ts';

const memory = new Memory();
const batch = (capacity = 64): FrameBatch => new FrameBatch(memory, 1 << 18, capacity);
const frame = (mark: number, length = 60): Uint8Array => new Uint8Array(length).fill(mark);

async function server(options: WebSocketServerOptions = {}): Promise<[WebSocketLinkServer, string]> {
  const made = await WebSocketLinkServer.listen({ port: 0, ...options });
  onTestFinished(() => made.close());
  return [made, `ws://127.0.0.1:${made.port}`];
}

async function pair(): Promise<[WebSocketLink, WebSocketLink]> {
  const [listening, url] = await server();
  const [client, [theirs]] = await Promise.all([WebSocketLink.connect(url), once(listening, 'link')]);
  onTestFinished(() => {
    client.close();
    theirs.close();
  });
  return [client, theirs as WebSocketLink];
}

/** The next `count` frames. */
const receive = (link: WebSocketLink, count: number): Promise<Uint8Array[]> =>
  new Promise((resolve) => {
    const rx = batch();
    const frames: Uint8Array[] = [];
    link.watch(() => {
      link.receive(rx);
      for (let i = 0; i < rx.count; i++) {
        const bytes = new Uint8Array(rx.frameLength(i));
        rx.gather(i, bytes, 0);
        frames.push(bytes);
      }
      if (frames.length >= count) resolve(frames);
    });
  });

test('each frame is one binary message, both ways, as v86 and websockproxy have it', async () => {
  const [listening, url] = await server();
  const plain = new WebSocket(url);
  const messages: { data: Buffer; isBinary: boolean }[] = [];
  plain.on('message', (data, isBinary) => messages.push({ data: data as Buffer, isBinary }));
  const [link] = (await once(listening, 'link')) as [WebSocketLink];
  await once(plain, 'open');
  const arrived = receive(link, 2);
  plain.send('text is not a frame');
  plain.send(Buffer.alloc(5));
  plain.send(frame(1));
  plain.send(frame(2, 1514));
  expect((await arrived).map((bytes) => [bytes[0], bytes.length])).toEqual([
    [1, 60],
    [2, 1514],
  ]);
  expect(link.malformed).toBe(1);
  const tx = batch();
  tx.push(frame(3));
  tx.push(frame(4, 100));
  expect(link.send(tx)).toBe(2);
  while (messages.length < 2) await once(plain, 'message');
  expect(messages.map(({ data, isBinary }) => [data[0], data.length, isBinary])).toEqual([
    [3, 60, true],
    [4, 100, true],
  ]);
  plain.close();
});

test('a peer that does not read makes send refuse, and everything arrives in order when it reads on', async () => {
  const [client, theirs] = await pair();
  theirs.socket.pause();
  let wakes = 0;
  client.watch(() => wakes++);
  const tx = batch(1);
  let sent = 0;
  for (; sent < 100_000; sent++) {
    tx.clear();
    tx.push(new Uint8Array(Buffer.alloc(1500, sent & 0xff)));
    if (client.send(tx) === 0) break;
    if (sent % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(client.refusals).toBe(1);
  expect(client.socket.bufferedAmount).toBeLessThan(1.1 * 1024 * 1024);
  wakes = 0;
  const all = receive(theirs, sent);
  theirs.socket.resume();
  const frames = await all;
  expect(frames.length).toBe(sent);
  expect(frames.every((bytes, i) => bytes[0] === (i & 0xff) && bytes.length === 1500)).toBe(true);
  expect(wakes).toBeGreaterThan(0); // there is room again
});

test('a stack that does not receive makes the peer wait, and bounds what is kept for it', async () => {
  const [client, theirs] = await pair();
  for (let i = 0; i < 20_000; i++) client.socket.send(new Uint8Array(Buffer.alloc(1500, i & 0xff)));
  for (let i = 0; i < 50 && !theirs.socket.isPaused; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(theirs.socket.isPaused).toBe(true);
  expect(theirs.dropped).toBe(0);
  const frames = await receive(theirs, 20_000);
  expect(frames.every((bytes, i) => bytes[0] === (i & 0xff))).toBe(true);
});

test('a peer that goes away is an error of the link, once; one that closed itself is not', async () => {
  const [client, theirs] = await pair();
  const errors: string[] = [];
  theirs.onError = (error) => errors.push(`theirs: ${error.message}`);
  client.onError = (error) => errors.push(`client: ${error.message}`);
  client.close();
  await once(theirs.socket, 'close');
  await new Promise((resolve) => setImmediate(resolve));
  expect(errors).toEqual(['theirs: the WebSocket was closed (code 1000)']);
  expect(theirs.send(batch())).toBe(0);
});

test('a link that is closed in the middle of traffic is gone at once, not when a timeout says so', async () => {
  const [client, theirs] = await pair();
  for (let i = 0; i < 3000; i++) theirs.socket.send(frame(i & 0xff, 1500));
  for (let i = 0; i < 100 && !client.socket.isPaused; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(client.socket.isPaused).toBe(true);
  const closed = once(client.socket, 'close');
  client.close();
  theirs.socket.send(frame(1));
  await closed;
});

test('a peer that gives no sign of life is given up', async () => {
  const [listening, url] = await server({ heartbeat: 25 });
  const silent = new WebSocket(url, { autoPong: false });
  const [link] = (await once(listening, 'link')) as [WebSocketLink];
  const [error] = await new Promise<[Error]>((resolve) => {
    link.onError = (reason) => resolve([reason]);
  });
  expect(error.message).toBe('the WebSocket was closed (code 1006)');
  silent.terminate();
});

test('who may connect is decided by path, authorize and maxClients; nobody there is an error', async () => {
  const [, url] = await server({
    path: '/eth',
    authorize: ({ headers }) => headers.authorization === 'Bearer let-me-in',
    maxClients: 1,
  });
  const headers = { authorization: 'Bearer let-me-in' };
  const refused = (promise: Promise<WebSocketLink>): Promise<string> =>
    promise.then(
      () => 'connected',
      (error: Error) => error.message,
    );
  expect(await refused(WebSocketLink.connect(`${url}/other`, { ws: { headers } }))).toMatch(/400/);
  expect(await refused(WebSocketLink.connect(`${url}/eth`))).toMatch(/401/);
  const link = await WebSocketLink.connect(`${url}/eth`, { ws: { headers } });
  expect(await refused(WebSocketLink.connect(`${url}/eth`, { ws: { headers } }))).toMatch(/503/);
  link.close();
  expect(await refused(WebSocketLink.connect('ws://127.0.0.1:1'))).toMatch(/ECONNREFUSED/);
});

test('misuse says what is wrong', async () => {
  await expect(WebSocketLinkServer.listen({})).rejects.toThrow(/either `port` or `server`/);
  const [, url] = await server();
  const early = new WebSocket(url);
  expect(() => new WebSocketLink(early)).toThrow(/a WebSocket that is open/);
  early.on('error', () => {});
  early.terminate();
  await expect(WebSocketLink.connect(url, { mtu: 10 })).rejects.toThrow(/mtu 10/);
  await expect(WebSocketLink.connect(url, { heartbeat: -1 })).rejects.toThrow(/heartbeat -1/);
});

test('stacks on a switch, over WebSockets of an HTTP server that does other things, too, exchange a megabyte', async () => {
  const http = createServer((_, response) => response.end('web'));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  const frames = await WebSocketLinkServer.listen({ server: http, path: '/eth' });
  const lan = createSwitch();
  frames.on('link', (link) => lan.add(link));
  const url = `ws://127.0.0.1:${port}/eth`;
  const [a, b] = await Promise.all(
    ['10.9.0.1/24', '10.9.0.2/24'].map(async (address) =>
      createStack({ link: await WebSocketLink.connect(url), address }),
    ),
  );
  const server = b.net.createServer((socket) => socket.pipe(socket));
  await once(server.listen(7), 'listening');
  const data = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31 + (i >> 9)) & 0xff));
  const socket = a.net.connect(7, '10.9.0.2');
  socket.end(data);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(data)).toBe(true);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('web');
  expect(lan.addresses.length).toBe(2);
  const gone = new Promise<string>((resolve) => {
    lan.onPortGone = ({ name }) => resolve(name);
  });
  server.close();
  await a.close({ timeout: 100 });
  expect(await gone).toMatch(/^port[12]$/);
  expect(lan.ports.length).toBe(1);
  await b.close({ timeout: 100 });
  lan.close();
  await frames.close();
  http.close();
});

test('a link over a WebSocket of another server, found by its subprotocol', async () => {
  const other = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(other, 'listening');
  onTestFinished(() => other.close());
  const connected = once(other, 'connection');
  const link = await WebSocketLink.connect(`ws://127.0.0.1:${(other.address() as AddressInfo).port}`, {
    protocols: ['binary'],
    mtu: 9000,
  });
  const [socket] = (await connected) as [WebSocket];
  expect([socket.protocol, link.mtu]).toEqual(['binary', 9000]);
  const arrived = receive(link, 1);
  socket.send(frame(9));
  expect((await arrived)[0][0]).toBe(9);
  link.close();
});
