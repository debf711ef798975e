// The same cases against node:dgram and against the dgram of a stack: both must pass all of them.

import nodeDgram from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NodeStack } from '../../src/node/node-stack.ts';
import { createStack } from '../../src/node/node-stack.ts';

type Dgram = Pick<typeof nodeDgram, 'createSocket' | 'Socket'>;

const HOST = '127.0.0.1';

let stack: NodeStack;
const subjects: { name: string; dgram: () => Dgram; open: () => Promise<void>; close: () => Promise<void> }[] = [
  { name: 'node:dgram', dgram: () => nodeDgram, open: async () => {}, close: async () => {} },
  {
    name: 'stack.dgram',
    dgram: () => stack.dgram as unknown as Dgram,
    open: async () => {
      stack = await createStack();
    },
    close: () => stack.close({ timeout: 100 }),
  },
];

const shape = (error: unknown): Record<string, unknown> => {
  const { name, message, ...rest } = error as Error & Record<string, unknown>;
  return { name, message, ...rest };
};

const thrownBy = (action: () => unknown): Error & { code?: string } => {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
};

for (const subject of subjects) {
  describe(subject.name, () => {
    beforeAll(() => subject.open());
    afterAll(() => subject.close());

    const sockets: nodeDgram.Socket[] = [];
    const create = (options: nodeDgram.SocketType | nodeDgram.SocketOptions = 'udp4'): nodeDgram.Socket => {
      const socket = subject.dgram().createSocket(options as nodeDgram.SocketOptions);
      sockets.push(socket);
      return socket;
    };
    const bound = async (): Promise<[nodeDgram.Socket, number]> => {
      const socket = create();
      socket.bind(0, HOST);
      await once(socket, 'listening');
      return [socket, socket.address().port];
    };
    afterAll(() => {
      for (const socket of sockets) {
        try {
          socket.close();
        } catch (error) {
          expect((error as { code?: string }).code).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING');
        }
      }
    });

    test('a datagram arrives with its sender and its size', async () => {
      const [receiver, port] = await bound();
      const sender = create();
      const sent = new Promise((resolve) =>
        sender.send('hello', port, HOST, (error, bytes) => resolve([error, bytes])),
      );
      const [message, rinfo] = await once(receiver, 'message');
      expect(message).toEqual(Buffer.from('hello'));
      expect(rinfo).toEqual({ address: HOST, family: 'IPv4', port: sender.address().port, size: 5 });
      expect(await sent).toEqual([null, 5]);
    });

    test('every form of send sends the same', async () => {
      const [receiver, port] = await bound();
      const sender = create();
      const received: string[] = [];
      receiver.on('message', (message) => received.push(String(message)));
      const bytes = Buffer.from('xxabcxx');
      sender.send('abc', port, HOST);
      sender.send('abc', port);
      sender.send(['a', Buffer.from('b'), new Uint8Array([99])], port, HOST);
      sender.send(bytes, 2, 3, port, HOST);
      sender.send(bytes, 2, 3, port);
      sender.send(new DataView(bytes.buffer, bytes.byteOffset + 2, 3), port, () => {});
      sender.send(bytes, 2, 3, port, HOST, () => {});
      (sender as unknown as { sendto(...args: unknown[]): void }).sendto(bytes, 2, 3, port, HOST);
      while (received.length < 8) await once(receiver, 'message');
      expect(received).toEqual(new Array(8).fill('abc'));
    });

    test('what is sent before the socket is bound leaves in order', async () => {
      const [receiver, port] = await bound();
      const sender = create();
      for (const text of ['1', '2', '3']) sender.send(text, port, HOST);
      const received: string[] = [];
      receiver.on('message', (message) => received.push(String(message)));
      while (received.length < 3) await once(receiver, 'message');
      expect(received).toEqual(['1', '2', '3']);
    });

    test('an empty datagram is a datagram', async () => {
      const [receiver, port] = await bound();
      create().send([], port, HOST);
      const [message, rinfo] = await once(receiver, 'message');
      expect([message.length, rinfo.size]).toEqual([0, 0]);
    });

    test('the largest datagram arrives, one byte more fails with EMSGSIZE', async () => {
      const [receiver, port] = await bound();
      const sender = create();
      const big = Buffer.alloc(65_507, 'x');
      sender.send(big, port, HOST);
      const [message] = await once(receiver, 'message');
      expect(message.equals(big)).toBe(true);
      const error = await new Promise((resolve) => sender.send(Buffer.alloc(65_508), port, HOST, resolve));
      expect(shape(error)).toEqual({
        name: 'Error',
        message: `send EMSGSIZE ${HOST}:${port}`,
        errno: -90,
        code: 'EMSGSIZE',
        syscall: 'send',
        address: HOST,
        port,
      });
    });

    test('a connected socket sends to its peer and hears only that', async () => {
      const [a, portA] = await bound();
      const [b, portB] = await bound();
      const [stranger] = await bound();
      a.connect(portB, HOST);
      await once(a, 'connect');
      expect(a.remoteAddress()).toEqual({ address: HOST, family: 'IPv4', port: portB });
      stranger.send('not for you', portA, HOST);
      a.send('ping');
      const [ping, rinfo] = await once(b, 'message');
      expect(String(ping)).toBe('ping');
      b.send('pong', rinfo.port, rinfo.address);
      const [pong] = await once(a, 'message');
      expect(String(pong)).toBe('pong');
      expect(thrownBy(() => a.send('x', 0, 1, portB, HOST)).code).toBe('ERR_SOCKET_DGRAM_IS_CONNECTED');
      expect(thrownBy(() => a.connect(portB)).code).toBe('ERR_SOCKET_DGRAM_IS_CONNECTED');
      a.disconnect();
      expect(thrownBy(() => a.remoteAddress()).code).toBe('ERR_SOCKET_DGRAM_NOT_CONNECTED');
      expect(thrownBy(() => a.disconnect()).code).toBe('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    });

    test('a connected socket hears that nobody listens', async () => {
      const [gone, port] = await bound();
      gone.close();
      await once(gone, 'close');
      const socket = create();
      socket.connect(port, HOST);
      await once(socket, 'connect');
      const failed = once(socket, 'error');
      socket.send('anybody?');
      const [error] = await failed;
      expect(shape(error)).toEqual({
        name: 'Error',
        message: 'recvmsg ECONNREFUSED',
        errno: -111,
        code: 'ECONNREFUSED',
        syscall: 'recvmsg',
      });
    });

    test("a port in use fails with Node's error, and reuseAddr shares it", async () => {
      const [, port] = await bound();
      const second = create();
      second.bind(port, HOST);
      const [error] = await once(second, 'error');
      expect(shape(error)).toEqual({
        name: 'Error',
        message: `bind EADDRINUSE ${HOST}:${port}`,
        errno: -98,
        code: 'EADDRINUSE',
        syscall: 'bind',
        address: HOST,
        port,
      });
      const third = create({ type: 'udp4', reuseAddr: true });
      const fourth = create({ type: 'udp4', reuseAddr: true });
      third.bind(0, HOST);
      await once(third, 'listening');
      fourth.bind(third.address().port, HOST);
      await once(fourth, 'listening');
    });

    test('an address that is not ours cannot be bound', async () => {
      const socket = create();
      socket.bind(0, '192.0.2.77');
      const [error] = await once(socket, 'error');
      expect(shape(error)).toMatchObject({ message: 'bind EADDRNOTAVAIL 192.0.2.77', code: 'EADDRNOTAVAIL' });
    });

    test('broadcasts need permission', async () => {
      const socket = create();
      const error = await new Promise((resolve) => socket.send('x', 9, '255.255.255.255', resolve));
      expect((error as { code: string }).code).toMatch(/^(EACCES|ENETUNREACH)$/);
    });

    test('unbound and closed sockets say so', async () => {
      const socket = create();
      expect(shape(thrownBy(() => socket.address()))).toMatchObject({ code: 'EBADF', syscall: 'getsockname' });
      expect(thrownBy(() => socket.getRecvBufferSize()).code).toBe('ERR_SOCKET_BUFFER_SIZE');
      const closed = once(socket, 'close');
      expect(socket.close()).toBe(socket);
      await closed;
      for (const action of [
        () => socket.close(),
        () => socket.address(),
        () => socket.bind(0),
        () => socket.send('x', 1, HOST),
        () => socket.addMembership('224.0.0.114'),
      ]) {
        const error = thrownBy(action);
        expect([error.code, error.message]).toEqual(['ERR_SOCKET_DGRAM_NOT_RUNNING', 'Not running']);
      }
      expect(socket.ref()).toBe(socket);
      expect(socket.unref()).toBe(socket);
    });

    test('buffer sizes are kept, as Linux reports them', async () => {
      const [socket] = await bound();
      socket.setRecvBufferSize(10_000);
      socket.setSendBufferSize(12_000);
      expect([socket.getRecvBufferSize(), socket.getSendBufferSize()]).toEqual([20_000, 24_000]);
      expect([socket.getSendQueueSize(), socket.getSendQueueCount()]).toEqual([0, 0]);
      expect(thrownBy(() => socket.setRecvBufferSize(-1)).code).toBe('ERR_SOCKET_BAD_BUFFER_SIZE');
    });

    test('a group that is joined delivers what is sent to it', async () => {
      const receiver = create({ type: 'udp4', reuseAddr: true });
      receiver.bind(0);
      await once(receiver, 'listening');
      receiver.addMembership('239.255.3.4', HOST);
      const sender = create();
      sender.bind(0, HOST);
      await once(sender, 'listening');
      sender.setMulticastInterface(HOST);
      expect(sender.setMulticastTTL(2)).toBe(2);
      expect(sender.setMulticastLoopback(true)).toBe(true);
      sender.send('to all', (receiver.address() as AddressInfo).port, '239.255.3.4');
      const [message] = await once(receiver, 'message');
      expect(String(message)).toBe('to all');
      receiver.dropMembership('239.255.3.4', HOST);
      expect(shape(thrownBy(() => receiver.dropMembership('239.255.3.4', HOST)))).toMatchObject({
        message: 'dropMembership EADDRNOTAVAIL',
        code: 'EADDRNOTAVAIL',
      });
    });

    test('options are checked as Node does', async () => {
      expect(shape(thrownBy(() => create().setTTL(1)))).toMatchObject({ message: 'setTTL EBADF', code: 'EBADF' });
      const [socket] = await bound();
      expect(socket.setTTL(1)).toBe(1);
      const cases: [() => unknown, string, string][] = [
        [
          () => create('udp5' as never),
          'ERR_SOCKET_BAD_TYPE',
          'Bad socket type specified. Valid types are: udp4, udp6',
        ],
        [
          () => socket.setTTL('x' as never),
          'ERR_INVALID_ARG_TYPE',
          'The "ttl" argument must be of type number. Received type string (\'x\')',
        ],
        [() => socket.setTTL(1000), 'EINVAL', 'setTTL EINVAL'],
        [() => socket.setMulticastTTL(1000), 'EINVAL', 'setMulticastTTL EINVAL'],
        [
          () => socket.addMembership(undefined as never),
          'ERR_MISSING_ARGS',
          'The "multicastAddress" argument must be specified',
        ],
        [
          () => socket.send('x', 0, HOST),
          'ERR_SOCKET_BAD_PORT',
          'Port should be > 0 and < 65536. Received type number (0).',
        ],
        [() => socket.send('x', 1, 2, 1, HOST), 'ERR_BUFFER_OUT_OF_BOUNDS', '"length" is outside of buffer bounds'],
        [
          () => socket.send(1 as never, 1),
          'ERR_INVALID_ARG_TYPE',
          'The "buffer" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received type number (1)',
        ],
        [
          () => socket.send([1] as never, 1),
          'ERR_INVALID_ARG_TYPE',
          'The "buffer list arguments" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received an instance of Array',
        ],
        [
          () => create({ type: 'udp4', lookup: 1 } as never),
          'ERR_INVALID_ARG_TYPE',
          'The "lookup" argument must be of type function. Received type number (1)',
        ],
      ];
      for (const [action, code, message] of cases) {
        const error = thrownBy(action);
        expect([error.code, error.message]).toEqual([code, message]);
      }
    });

    test('a lookup of the caller is asked for names, with the family', async () => {
      const [receiver, port] = await bound();
      const asked: unknown[] = [];
      const socket = create({
        type: 'udp4',
        lookup: ((name: string, family: unknown, callback: (error: null, address: string, family: number) => void) => {
          asked.push([name, family]);
          setImmediate(callback, null, name === '0.0.0.0' ? name : HOST, 4);
        }) as never,
      });
      socket.send('by name', port, 'some.test');
      const [message] = await once(receiver, 'message');
      expect(String(message)).toBe('by name');
      expect(asked).toEqual([
        ['0.0.0.0', 4],
        ['some.test', 4],
      ]);
    });

    test('a signal closes a socket', async () => {
      const controller = new AbortController();
      const socket = create({ type: 'udp4', signal: controller.signal });
      const closed = once(socket, 'close');
      controller.abort();
      await closed;
    });
  });
}
