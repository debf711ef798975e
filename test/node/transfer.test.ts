import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Socket } from '../../src/node/socket.ts';
import { connected, listening, twoStacks } from './support.ts';

/** `length` bytes that no offset error leaves alike. */
function* pattern(length: number, chunk = 65_000): Generator<Buffer> {
  let state = 1;
  for (let at = 0; at < length; at += chunk) {
    const bytes = Buffer.allocUnsafe(Math.min(chunk, length - at));
    for (let i = 0; i + 4 <= bytes.length; i += 4) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      bytes.writeInt32LE(state, i);
    }
    bytes.fill(at & 255, bytes.length & ~3);
    yield bytes;
  }
}

async function digest(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

for (const offload of [undefined, 0]) {
  test(`100 MB arrive byte for byte over a link ${offload === 0 ? 'without' : 'with'} offloads`, async () => {
    const length = 100_000_000;
    const [a, b] = await twoStacks(offload === undefined ? {} : { offload });
    const [client, server] = await connected(a, b);
    const [received] = await Promise.all([
      digest(server),
      pipeline(Readable.from(pattern(length), { objectMode: false }), client),
    ]);
    expect(received).toBe(await digest(pattern(length)));
    expect(client.bytesWritten).toBe(length);
    expect(server.bytesRead).toBe(length);
  });
}

test('a reader that pauses closes the window: what is in memory stays bounded, and nothing is lost', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  const chunk = Buffer.alloc(65_536, 7);
  let offered = 0;
  const total = 64 * 1024 * 1024;
  const writing = (async () => {
    while (offered < total) {
      offered += chunk.length;
      if (!client.write(chunk)) await once(client, 'drain');
    }
    client.end();
  })();
  await sleep(200);
  const stalledAt = offered;
  await sleep(100);
  expect(offered).toBe(stalledAt);
  expect(offered).toBeLessThan(40 * 1024 * 1024);
  expect(a.core.memory.used + b.core.memory.used).toBeLessThan(64 * 1024 * 1024);
  let received = 0;
  for await (const bytes of server) received += (bytes as Buffer).length;
  await writing;
  expect(received).toBe(total);
});

test('write() returns false at the high-water mark and drain follows when the peer reads', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  let writes = 0;
  while (client.write(Buffer.alloc(65_536))) if (++writes > 1000) break;
  expect(writes).toBeLessThan(1000);
  expect(client.writableNeedDrain).toBe(true);
  const drained = once(client, 'drain');
  server.resume();
  await drained;
  expect(client.writableLength).toBe(0);
});

test('500 connections at once each carry their own bytes', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer((socket) => socket.pipe(socket));
  const port = await listening(server);
  const answers = await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      const socket = a.net.connect(port, '10.9.0.2');
      socket.end(`number ${i}`);
      const parts: Buffer[] = [];
      for await (const part of socket) parts.push(part as Buffer);
      return Buffer.concat(parts).toString();
    }),
  );
  expect(answers).toEqual(Array.from({ length: 500 }, (_, i) => `number ${i}`));
  const closed = once(server, 'close');
  server.close();
  await closed;
  expect(b.core.stats.tcpPassiveOpens).toBe(500);
});

test('many small writes of one tick leave in few segments', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  const before = a.core.stats.tcpOutSegs;
  for (let i = 0; i < 100; i++) client.write('x'.repeat(10));
  let received = 0;
  server.on('data', (data) => {
    received += data.length;
  });
  while (received < 1000) await once(server, 'data');
  expect(a.core.stats.tcpOutSegs - before).toBeLessThan(6);
});

test('a request and its answer take far less than a timer tick', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  server.pipe(server as Socket);
  const rounds = 200;
  const start = performance.now();
  for (let i = 0; i < rounds; i++) {
    client.write('?');
    await once(client, 'data');
  }
  expect((performance.now() - start) / rounds).toBeLessThan(5);
});
