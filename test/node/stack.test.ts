import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { VirtualClock } from '../../src/driver/virtual-clock.ts';
import { pipe } from '../../src/link/pipe.ts';
import { createStack } from '../../src/node/node-stack.ts';
import type { StackOptions } from '../../src/node/options.ts';
import type { PingItem } from '../../src/node/ping.ts';
import { A, B, connected, listening, oneStack, twoStacks } from './support.ts';

test('every wrong option is refused before anything is opened, and the error says which', async () => {
  const link = pipe()[0];
  const cases: [unknown, RegExp][] = [
    [null, /"options" argument must be of type object/],
    [{ adress: 'x' }, /'options\.adress' is not an option of a stack/],
    [{ address: '10.9.0.2/24' }, /say either what TAP or what link/],
    [{ link, tap: 'tap0' }, /say either what TAP or what link/],
    [{ link, address: '10.9.0.2' }, /'options\.address' must be an address with its prefix, like 10\.9\.0\.2\/24/],
    [{ link, address: ['10.9.0.2/24', 'x'] }, /'options\.address\[1\]'/],
    [{ link, host: '10.9.0.1/24' }, /'options\.host' is the address of the host end of a TAP/],
    [{ link, mac: 'nonsense' }, /'options\.mac' must look like/],
    [{ link, mtu: 10 }, /'options\.mtu' must be a whole number of bytes from 68/],
    [
      { link, address: '10.9.0.2/24', gateway: '10.8.0.1' },
      /'options\.gateway' must be a gateway in one of the networks/,
    ],
    [{ link, address: '10.9.0.2/24', gateway: 'x' }, /'options\.gateway' must be an IPv4 address/],
    [{ link, routes: [{ to: '10.0.0.1/8', via: '10.9.0.1' }] }, /the network is 10\.0\.0\.0\/8/],
    [{ link, interfaces: [] }, /belongs into options\.interfaces/],
    [{ interfaces: [{ link, color: 1 }] }, /'options\.interfaces\[0\]\.color'/],
    [{ hosts: { a: 'b' } }, /'options\.hosts\.a' must be an IPv4 address/],
    [{ lookup: 1 }, /"options\.lookup" property must be of type function/],
    [{ link, address: '10.9.0.0/24' }, /network address/],
    [{ link, address: '127.0.0.1/8' }, /belongs to the loopback/],
  ];
  for (const [options, message] of cases) await expect(createStack(options as StackOptions)).rejects.toThrow(message);
});

test('ping is awaited for its summary', async () => {
  const [a] = await twoStacks();
  const summary = await a.ping(B, { count: 3, interval: 1, size: 1000 });
  expect(summary).toMatchObject({ host: B, address: B, sent: 3, received: 3, duplicates: 0, errors: 0, loss: 0 });
  expect(summary.replies.map(({ seq, from, bytes, ttl }) => [seq, from, bytes, ttl])).toEqual([
    [1, B, 1008, 64],
    [2, B, 1008, 64],
    [3, B, 1008, 64],
  ]);
  expect(summary.rtt?.min).toBeGreaterThan(0);
});

test('ping is iterated for what happens, and leaving the loop ends it', async () => {
  const [a] = await twoStacks();
  const items: PingItem[] = [];
  for await (const item of a.ping(B, { count: Infinity, interval: 100, recordRoute: true })) {
    items.push(item);
    if (item.type === 'reply' && item.seq === 2) break;
  }
  expect(items.map(({ type, seq }) => `${type} ${seq}`)).toEqual(['sent 1', 'reply 1', 'sent 2', 'reply 2']);
  expect((items[1] as { route: string[] }).route.slice(0, 2)).toEqual([A, B]);
});

test('a ping nobody answers says host unreachable, as ARP found out', async () => {
  const [a] = await twoStacks({}, { world: { clock: new VirtualClock() } });
  const items: PingItem[] = [];
  for await (const item of a.ping('10.9.0.99', { count: 1, timeout: 60_000 })) items.push(item);
  expect(items).toEqual([
    { type: 'sent', seq: 1 },
    { type: 'error', seq: 1, from: A, message: 'Destination Host Unreachable', code: 'EHOSTUNREACH' },
  ]);
});

test('a ping beyond all routes fails at once, with the reason', async () => {
  const [a] = await twoStacks();
  const items: PingItem[] = [];
  for await (const item of a.ping('192.0.2.1', { count: 1 })) items.push(item);
  expect(items[1]).toMatchObject({ type: 'error', code: 'ENETUNREACH', message: 'local error: ENETUNREACH' });
});

test('an aborted ping gives what it has', async () => {
  const [a] = await twoStacks();
  const controller = new AbortController();
  const ping = a.ping(B, { count: Infinity, interval: 5, signal: controller.signal });
  setTimeout(() => controller.abort(), 60);
  const { sent, received } = await ping;
  expect(sent).toBeGreaterThan(1);
  expect(received).toBeGreaterThan(0);
});

test('traceroute by UDP, ICMP and TCP finds the neighbour in one hop', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer((socket) => socket.resume());
  const port = await listening(server);
  for (const options of [
    { method: 'udp' },
    { method: 'icmp' },
    { method: 'tcp', port },
    { method: 'tcp', port: 1 },
  ] as const) {
    const result = await a.traceroute(B, { ...options, timeout: 2000 });
    expect(result, options.method).toMatchObject({ address: B, reached: true });
    expect(result.hops.map(({ hop, probes }) => [hop, probes.map(({ from, mark }) => [from, mark])])).toEqual([
      [1, new Array(3).fill([B, ''])],
    ]);
  }
});

test('a capture sees frames of both directions as they are on the wire, until it is stopped', async () => {
  const [a] = await twoStacks();
  const frames: { direction: string | null; interfaceName: string | null; length: number; type: number }[] = [];
  const stop = a.capture(({ direction, bytes, wireLength, interfaceName }) => {
    frames.push({
      direction,
      interfaceName,
      length: Math.min(bytes.length, wireLength),
      type: (bytes[12] << 8) | bytes[13],
    });
  });
  await a.ping(B, { count: 1 });
  stop();
  await a.ping(B, { count: 1 });
  const echoes = frames.filter(({ type }) => type === 0x0800);
  expect(echoes).toEqual([
    { direction: 'out', interfaceName: 'eth0', length: 98, type: 0x0800 },
    { direction: 'in', interfaceName: 'eth0', length: 98, type: 0x0800 },
  ]);
});

test('a Duplex of frames is a link', async () => {
  const [left, right] = pipe();
  const towards = new PassThrough({ objectMode: true });
  towards.resume();
  const a = await createStack({ link: towards, address: '10.1.0.1/24' });
  const frame = once(towards, 'data');
  void a.ping('10.1.0.2', { count: 1, timeout: 10 }).then(() => {});
  expect((await frame)[0].length).toBeGreaterThanOrEqual(42);
  await a.close({ timeout: 0 });
  left.close();
  right.close();
});

test("a stack routes between its interfaces' networks by its own table", async () => {
  const [ab, ba] = pipe();
  const [ac, ca] = pipe();
  const a = await createStack({
    interfaces: [
      { link: ab, address: '10.1.0.1/24', name: 'left' },
      { link: ac, address: '10.2.0.1/24', name: 'right' },
    ],
    routes: [{ to: '10.3.0.0/16', via: '10.2.0.2' }],
  });
  const b = await createStack({ link: ba, address: '10.1.0.2/24', gateway: '10.1.0.1' });
  const c = await createStack({ link: ca, address: ['10.2.0.2/24', '10.3.0.1/24'], gateway: '10.2.0.1' });
  for (const target of ['10.1.0.2', '10.2.0.2', '10.3.0.1'])
    expect((await a.ping(target, { count: 1 })).received, target).toBe(1);
  expect(a.addresses).toEqual(['10.1.0.1', '10.2.0.1']);
  await Promise.all([a.close(), b.close(), c.close()]);
});

test('names are found among the hosts given, then by the lookup given', async () => {
  const stack = await oneStack({
    hosts: { 'Here.Test': '127.0.0.1' },
    lookup: (name, _options, callback) =>
      setImmediate(callback, null, name === 'there.test' ? '127.0.0.2' : '127.0.0.9', 4),
  });
  const server = stack.net.createServer((socket) => socket.end(String(socket.localAddress)));
  const port = await listening(server);
  for (const [name, address] of [
    ['here.test', '127.0.0.1'],
    ['there.test', '127.0.0.2'],
    ['localhost', '127.0.0.1'],
  ]) {
    const [data] = await once(stack.net.connect(port, name), 'data');
    expect(String(data), name).toBe(address);
  }
});

test('close delivers what was written, then ends what is open', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  let received = 0;
  server.on('data', (data) => {
    received += data.length;
  });
  const ended = once(server, 'end');
  client.write(Buffer.alloc(1_000_000));
  const listener = a.net.createServer();
  await listening(listener);
  const udp = a.dgram.createSocket('udp4');
  udp.bind(0);
  await once(udp, 'listening');
  const closed = Promise.all([once(client, 'close'), once(listener, 'close'), once(udp, 'close')]);
  await a.close();
  await closed;
  await ended;
  expect(received).toBe(1_000_000);
  await a.close();
  expect(a.core.memory.used).toBe(0);
});

test('close does not wait for ever: a peer that does not read is reset', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  server.on('error', () => {});
  client.on('error', () => {});
  client.write(Buffer.alloc(30_000_000));
  const start = performance.now();
  await a.close({ timeout: 50 });
  expect(performance.now() - start).toBeLessThan(2000);
  expect(client.destroyed).toBe(true);
});

test('an hour passes in a moment on a virtual clock', async () => {
  const clock = new VirtualClock();
  const [a, b] = await twoStacks({}, { world: { clock } });
  const [client, server] = await connected(a, b);
  client.setKeepAlive(true, 1000);
  const start = performance.now();
  await new Promise<void>((resolve) => {
    client.setTimeout(3_600_000, resolve);
  });
  expect(performance.now() - start).toBeLessThan(5000);
  expect(clock.now()).toBeGreaterThanOrEqual(3_600_000_000);
  expect(a.core.stats.tcpKeepAlive).toBeGreaterThan(1000);
  client.write('still there');
  const [data] = await once(server, 'data');
  expect(String(data)).toBe('still there');
});

test('tcpInfo tells the state of a connection', async () => {
  const [a, b] = await twoStacks();
  const [client] = await connected(a, b);
  expect(client.tcpInfo()).toMatchObject({ state: 'ESTABLISHED' });
  client.userTimeout = 5000;
  expect(client._handle?.connection?.userTimeout).toBe(5_000_000);
  client.destroy();
  expect(client.tcpInfo()).toBeNull();
});

test('rinfo carries when the frame was read, out of sight', async () => {
  const [a, b] = await twoStacks();
  const receiver = b.dgram.createSocket('udp4');
  receiver.bind(9);
  await once(receiver, 'listening');
  a.dgram.createSocket('udp4').send('now', 9, B);
  const [, rinfo] = await once(receiver, 'message');
  expect(Math.abs(rinfo.receivedAt - Date.now())).toBeLessThan(1000);
  expect(Object.keys(rinfo)).toEqual(['address', 'family', 'port', 'size']);
});
