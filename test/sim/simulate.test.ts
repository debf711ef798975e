import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket as NetSocket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { LinkOptions, NodeHost, Simulation } from '../../src/sim/index.ts';
import { simulate, simulation } from '../../src/sim/index.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function started(seed: number): Simulation {
  const net = simulate(seed);
  onTestFinished(() => net.close());
  return net;
}

/** A client and a server on one cable. */
async function pair(net: Simulation, options: LinkOptions = {}): Promise<[NodeHost, NodeHost]> {
  const client = await net.host('client');
  const server = await net.host('server');
  net.link(client, server, options);
  return [client, server];
}

/** The program of several tests: an upload over a bad link, echoed. */
async function echo(net: Simulation, bytes: number): Promise<string> {
  const [client, server] = await pair(net, { delay: 20, jitter: 3, loss: 0.02, reorder: 0.02, rate: 20e6 });
  server.net.createServer((socket) => socket.pipe(socket)).listen(7);
  const socket = client.net.connect(7, server.address);
  const hash = createHash('sha256');
  const reading = (async () => {
    for await (const chunk of socket) hash.update(chunk);
  })();
  await pipeline(Readable.from([Buffer.alloc(bytes, 'tapstack')]), socket, { end: true });
  await reading;
  return hash.digest('hex');
}

test('ordinary net code runs in a simulation, and an hour passes in a moment', async () => {
  const net = started(1);
  const start = performance.now();
  expect(await echo(net, 200_000)).toBe(sha256(Buffer.alloc(200_000, 'tapstack')));
  expect(net.now).toBeGreaterThan(100);
  await net.sleep(3_600_000);
  expect(net.now).toBeGreaterThan(3_600_000);
  expect(performance.now() - start).toBeLessThan(15_000);
});

test('ordinary http code runs in a simulation: many requests over one lossy link', async () => {
  const net = started(2);
  const [client, server] = await pair(net, { delay: 40, loss: 0.02 });
  const web = http.createServer((request, response) => response.end(`you asked for ${request.url}`));
  server.net
    .createServer((socket) => {
      web.emit('connection', socket as unknown as NetSocket);
    })
    .listen(80);
  const get = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const createConnection = (): NetSocket => client.net.connect(80, server.address) as unknown as NetSocket;
      const request = http.get({ host: 'server', path, createConnection }, async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(text);
      });
      request.on('error', reject);
    });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(`/${i}`)));
  expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => `you asked for /${i}`));
  expect(net.now).toBeGreaterThan(160); // two round trips at least
});

test('the same seed gives the same recording, byte for byte; another seed another', async () => {
  const record = async (seed: number): Promise<string> => {
    const net = simulate(seed);
    try {
      await echo(net, 60_000);
      return sha256(net.pcapng());
    } finally {
      await net.close();
    }
  };
  const first = await record(11);
  expect(await record(11)).toBe(first);
  expect(await record(12)).not.toBe(first);
});

test('dgram and ping see the delay of the link', async () => {
  const net = started(3);
  const [client, server] = await pair(net, { delay: 30 });
  const summary = await client.ping(server.address, { count: 3 });
  expect(summary.received).toBe(3);
  const echoes = server.dgram.createSocket('udp4');
  echoes.on('message', (message, from) => echoes.send(message, from.port, from.address));
  echoes.bind(7);
  await once(echoes, 'listening');
  const asking = client.dgram.createSocket('udp4');
  const start = net.now;
  asking.send('hello', 7, server.address);
  const [message] = await once(asking, 'message');
  expect(String(message)).toBe('hello');
  expect(net.now - start).toBeGreaterThanOrEqual(60);
  expect(net.now - start).toBeLessThan(61);
  asking.close();
  echoes.close();
});

test('socket.setTimeout and net.setTimeout count simulated time', async () => {
  const net = started(4);
  const [client, server] = await pair(net, { delay: 5 });
  server.net.createServer(() => {}).listen(80);
  const socket = client.net.connect(80, server.address);
  await once(socket, 'connect');
  const start = net.now;
  socket.setTimeout(600_000);
  await once(socket, 'timeout');
  expect(net.now - start).toBeCloseTo(600_000, 0);
  const order: string[] = [];
  net.setTimeout(() => order.push('later'), 20);
  net.setTimeout(() => order.push('sooner'), 10);
  net.setTimeout(() => order.push('never'), 15).clear();
  await net.sleep(30);
  expect(order).toEqual(['sooner', 'later']);
  socket.destroy();
});

test('run waits until something is so, and says what it waited for in vain', async () => {
  const net = started(5);
  const [client, server] = await pair(net, { delay: 100 });
  server.net.createServer((socket) => socket.end('bye')).listen(80);
  let text = '';
  const socket = client.net.connect(80, server.address);
  socket.on('data', (data) => {
    text += data;
  });
  await net.run({ until: () => text === 'bye' });
  expect(net.now).toBeGreaterThanOrEqual(300);
  await expect(net.run({ until: () => false, for: 50 })).rejects.toThrow(/not so after 50 ms \(seed 5/);
  await net.settled();
  await expect(net.run({ until: () => false })).rejects.toThrow(/nothing is left to happen/);
});

test('a partition stops everything, and TCP goes on where it was when it heals', async () => {
  const net = started(6);
  const [client, server] = await pair(net, { delay: 10 });
  let received = 0;
  server.net
    .createServer((socket) => {
      socket.on('data', (data) => {
        received += data.length;
      });
    })
    .listen(80);
  const socket = client.net.connect(80, server.address);
  await once(socket, 'connect');
  socket.write(Buffer.alloc(1000));
  await net.run({ until: () => received === 1000 });
  const heal = net.partition(server);
  socket.write(Buffer.alloc(5000));
  await net.sleep(10_000);
  expect(received).toBe(1000);
  heal();
  await net.run({ until: () => received === 6000, for: 60_000 });
  socket.destroy();
});

test('a failing run tells its seed and writes a recording', async () => {
  const failing = simulation(99, async (net) => {
    const [client, server] = await pair(net);
    await client.ping(server.address, { count: 1 });
    throw new Error('as planned');
  });
  await expect(failing).rejects.toThrow(/as planned \[seed 99, at [\d.]+ ms, recorded in .*\.pcapng\]/);
});
