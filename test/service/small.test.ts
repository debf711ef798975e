import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { StackLike } from '../../src/service/api.ts';
import { chargen } from '../../src/service/small/chargen.ts';
import { daytime, time, timeOctets } from '../../src/service/small/daytime.ts';
import { discard } from '../../src/service/small/discard.ts';
import { echo } from '../../src/service/small/echo.ts';
import { mayAnswer } from '../../src/service/small/guard.ts';
import { type SmallService, startPair } from '../../src/service/small/pair.ts';

const host: StackLike = { net, dgram };
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(service: SmallService): Promise<number> {
  const endpoints = await startPair(host, service, { port: 0, host: '127.0.0.1' });
  for (const endpoint of endpoints) closers.push(() => endpoint.close());
  expect(endpoints.map((e) => e.protocol)).toEqual(['tcp', 'udp']);
  expect(endpoints[0].port).toBe(endpoints[1].port);
  return endpoints[0].port;
}

function connect(port: number): net.Socket {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  closers.push(async () => void socket.destroy());
  return socket;
}

async function collect(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function ask(port: number, message: Uint8Array): Promise<Buffer> {
  const socket = dgram.createSocket('udp4');
  closers.push(async () => void socket.close());
  socket.send(message, port, '127.0.0.1');
  const [answer] = (await once(socket, 'message')) as [Buffer];
  return answer;
}

describe('echo', () => {
  test('RFC 862: TCP returns every octet, and what is in flight when the peer half-closes', async () => {
    const socket = connect(await start(echo));
    const sent = Buffer.alloc(3_000_000, 'the quick brown fox ');
    socket.end(sent);
    expect((await collect(socket)).equals(sent)).toBe(true);
  });

  test('RFC 862: UDP returns the datagram', async () => {
    expect((await ask(await start(echo), Buffer.from('hello\0\xff'))).toString()).toBe('hello\0\xff');
  });
});

test('RFC 863: discard reads everything, answers nothing, and closes after the peer', async () => {
  const socket = connect(await start(discard));
  socket.end(Buffer.alloc(1_000_000));
  expect((await collect(socket)).length).toBe(0);
  expect(discard.answer(new Uint8Array(3))).toBe(null);
});

describe('daytime and time', () => {
  test('RFC 867: a connection gets one line with the time and is closed, a datagram gets the same', async () => {
    const port = await start(daytime);
    const text = (await collect(connect(port))).toString();
    expect(text).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z\r\n$/);
    expect(Math.abs(Date.parse(text.trim()) - Date.now())).toBeLessThan(5_000);
    expect((await ask(port, new Uint8Array(0))).length).toBe(26);
  });

  test('RFC 868: the time is 32 bits of seconds since 1900', async () => {
    // RFC 868's own example: 2,208,988,800 is 00:00 1 Jan 1970.
    expect([...timeOctets(new Date(0))]).toEqual([0x83, 0xaa, 0x7e, 0x80]);
    expect((await collect(connect(await start(time)))).length).toBe(4);
  });
});

describe('chargen', () => {
  test('RFC 864: lines of 72 characters, each starting one character later', async () => {
    const socket = connect(await start(chargen));
    let text = '';
    for await (const chunk of socket) {
      text += (chunk as Buffer).toString('latin1');
      if (text.length > 200 * 74) break;
    }
    const lines = text.split('\r\n').slice(0, 200);
    expect(lines[0]).toBe(' !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg');
    for (let i = 1; i < lines.length; i++) {
      expect(lines[i].length).toBe(72);
      expect(lines[i][0], `line ${i}`).toBe(lines[i - 1][1]);
    }
  });

  test('a peer that does not read stops the generator instead of filling memory', async () => {
    const port = await start(chargen);
    const before = process.memoryUsage().rss;
    const idle = Array.from({ length: 20 }, () => connect(port).pause());
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  test('the answer to a datagram is never longer than the datagram, nor than 512 octets (RFC 864)', () => {
    for (const length of [0, 1, 74, 511, 512, 513, 9000]) {
      expect(chargen.answer(new Uint8Array(length))?.length).toBe(Math.min(length, 512));
    }
  });
});

describe('the loop guard', () => {
  test('a datagram from a port that answers anything is not answered', () => {
    for (const port of [0, 7, 13, 17, 19, 37, 4007]) expect(mayAnswer(port, 4007), `${port}`).toBe(false);
    for (const port of [9, 53, 123, 1024, 40000]) expect(mayAnswer(port, 4007), `${port}`).toBe(true);
  });

  test('two echo services that are made to talk to each other fall silent', async () => {
    const port = await start(echo);
    const sent: number[] = [];
    const quiet: StackLike = {
      net,
      dgram: {
        createSocket: (options) => {
          const socket = dgram.createSocket(options);
          const send = socket.send.bind(socket) as (...args: unknown[]) => void;
          socket.send = ((...args: unknown[]) => {
            sent.push(1);
            send(...args);
          }) as typeof socket.send;
          return socket;
        },
      },
    };
    const other = await startPair(quiet, echo, { port: 0, host: '127.0.0.2' });
    for (const endpoint of other) closers.push(() => endpoint.close());
    // Same port number on both sides is what a forged datagram between two echo servers looks like.
    const forged = dgram.createSocket('udp4');
    closers.push(async () => void forged.close());
    forged.bind(other[1].port, '127.0.0.3');
    await once(forged, 'listening');
    forged.send('x', other[1].port, '127.0.0.2');
    await ask(port, Buffer.from('later')); // a round trip later nothing has been answered
    expect(sent.length).toBe(0);
  });
});
