// The control socket, over a real UNIX socket in a temporary directory.

import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findStack, request, stream } from '../../src/control/client.ts';
import { listSockets, socketPathFor } from '../../src/control/directory.ts';
import { ControlError, LineReader, MAX_REQUEST, Params, parseRequest } from '../../src/control/protocol.ts';
import { type Call, ControlServer, type Handler } from '../../src/control/server.ts';

let home: string;
let servers: ControlServer[] = [];
const saved = process.env.XDG_RUNTIME_DIR;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tapstack-test-'));
  process.env.XDG_RUNTIME_DIR = home;
});

afterEach(async () => {
  for (const server of servers) await server.close();
  servers = [];
  rmSync(home, { recursive: true, force: true });
  if (saved === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = saved;
});

async function serve(handlers: Record<string, Handler>, tap = 'tap0'): Promise<ControlServer> {
  const server = await ControlServer.listen(socketPathFor(tap), new Map(Object.entries(handlers)));
  servers.push(server);
  return server;
}

const raw = (path: string, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });

test('only the owner may enter the directory and open the socket', async () => {
  const { path } = await serve({});
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('a directory that others may enter is not used', () => {
  mkdirSync(join(home, 'tapstack'), { mode: 0o755 });
  expect(dirname(socketPathFor('tap0'))).not.toBe(join(home, 'tapstack'));
});

test('closing removes the socket and its directory', async () => {
  const { path } = await serve({});
  await servers[0].close();
  expect(existsSync(path)).toBe(false);
  expect(existsSync(dirname(path))).toBe(false);
});

test('a result comes back as it was', async () => {
  await serve({ echo: ({ params }) => ({ said: params.string('text') }) });
  expect(await request(await findStack(), 'echo', { text: 'hé "quoted"\n' })).toEqual({ said: 'hé "quoted"\n' });
});

test('items stream in order and the result ends them', async () => {
  await serve({
    count: (call: Call) => {
      for (let i = 0; i < 1000; i++) call.send(i);
      return 'done';
    },
  });
  const items: unknown[] = [];
  const answer = stream(await findStack(), 'count');
  for (;;) {
    const { done, value } = await answer.next();
    if (done) {
      expect(value).toBe('done');
      break;
    }
    items.push(value);
  }
  expect(items).toEqual(Array.from({ length: 1000 }, (_, i) => i));
});

test('a client that leaves cancels its request', async () => {
  let cancelled: () => void;
  const wasCancelled = new Promise<void>((resolve) => {
    cancelled = resolve;
  });
  await serve({
    forever: (call: Call) => {
      call.send('begun');
      return new Promise((resolve) => {
        call.signal.addEventListener('abort', () => {
          cancelled();
          resolve(null);
        });
      });
    },
  });
  for await (const item of stream(await findStack(), 'forever')) {
    expect(item).toBe('begun');
    break;
  }
  await wasCancelled;
});

test('the failure of a handler reaches the client with its code', async () => {
  await serve({
    fail: () => {
      throw new ControlError('ENOENT', 'no such neighbour');
    },
  });
  await expect(request(await findStack(), 'fail')).rejects.toMatchObject({
    code: 'ENOENT',
    message: 'no such neighbour',
  });
});

test('an unknown request is refused by name', async () => {
  await serve({});
  await expect(request(await findStack(), 'reboot')).rejects.toThrow('this stack knows no request "reboot"');
});

test('garbage is answered with an error and harms nobody', async () => {
  const { path } = await serve({ ok: () => 'fine' });
  for (const garbage of ['\n', 'hello\n', '[]\n', '{"op":7}\n', '{"op":"ok","params":[]}\n', 'null\n']) {
    expect(JSON.parse(await raw(path, garbage)), garbage).toMatchObject({ error: { code: 'EINVAL' } });
  }
  expect(JSON.parse(await raw(path, 'x'.repeat(MAX_REQUEST + 1)))).toMatchObject({ error: { code: 'EMSGSIZE' } });
  expect(await request(path, 'ok')).toBe('fine');
});

test('a stale socket is replaced by a server and forgotten by a client', async () => {
  const path = socketPathFor('tap0');
  const gone = await serve({});
  await gone.close();
  mkdirSync(dirname(path), { mode: 0o700 });
  // What a killed process leaves: a socket file that nobody listens on.
  writeFileSync(path, '');
  expect(listSockets()).toHaveLength(1);
  await expect(findStack()).rejects.toThrow('no stack of yours is running');
  expect(listSockets()).toHaveLength(0);
  expect(existsSync(dirname(path))).toBe(false);
  mkdirSync(dirname(path), { mode: 0o700 });
  writeFileSync(path, '');
  await serve({ ok: () => 'fine' });
  expect(await request(await findStack(), 'ok')).toBe('fine');
});

test('a live socket is not taken over', async () => {
  const { path } = await serve({});
  await expect(ControlServer.listen(path, new Map())).rejects.toThrow('another stack serves');
});

test('with several stacks a name must choose', async () => {
  await serve({ name: () => 'a' }, 'tapa');
  await serve({ name: () => 'b' }, 'tapb');
  await expect(findStack()).rejects.toThrow('choose by --stack');
  expect(await request(await findStack('tapb'), 'name')).toBe('b');
  await expect(findStack('tapc')).rejects.toThrow('no stack "tapc": running: tapa, tapb');
});

test('parameters are checked for kind, range and name', () => {
  const params = (values: Record<string, unknown>): Params => new Params('op', values);
  expect(() => params({ n: 'x' }).integer('n', 0, 9, 1)).toThrow('op: "n" must be a number from 0 to 9');
  expect(() => params({ n: 10 }).integer('n', 0, 9, 1)).toThrow('from 0 to 9');
  expect(() => params({ n: 1.5 }).integer('n', 0, 9, 1)).toThrow('whole number');
  expect(() => params({ n: Number.NaN }).number('n', 0, 9, 1)).toThrow('from 0 to 9');
  expect(params({}).integer('n', 0, 9, 1)).toBe(1);
  expect(() => params({}).string('s')).toThrow('"s" must be a string');
  expect(() => params({ s: 'x'.repeat(256) }).string('s')).toThrow('255');
  expect(() => params({ f: 1 }).flag('f')).toThrow('true or false');
  expect(() => params({ m: 'z' }).oneOf('m', ['x', 'y'], 'x')).toThrow('one of x, y');
  expect(() => params({ extra: 1 }).finish()).toThrow('unknown parameter "extra"');
  // Names of Object.prototype are not parameters.
  expect(params({}).optionalString('constructor')).toBeUndefined();
});

test('lines are cut wherever the chunks end, and are bounded', () => {
  const reader = new LineReader(10);
  const feed = (text: string): string[] => [...reader.push(Buffer.from(text))];
  expect(feed('ab')).toEqual([]);
  expect(feed('c\nd')).toEqual(['abc']);
  expect(feed('\n\nxyz\n')).toEqual(['d', '', 'xyz']);
  expect(() => feed('12345678901')).toThrow('more than 10 bytes');
});

test('a request without params has none', () => {
  expect(() => parseRequest('{"op":"stats"}').params.finish()).not.toThrow();
});
