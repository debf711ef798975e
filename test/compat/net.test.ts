// The same cases against node:net and against the net of a stack: both must pass all of them.

import { once } from 'node:events';
import http from 'node:http';
import nodeNet from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NodeStack } from '../../src/node/node-stack.ts';
import { createStack } from '../../src/node/node-stack.ts';

type Net = typeof nodeNet;

const HOST = '127.0.0.1';

interface Subject {
  name: string;
  net: Net;
  open(): Promise<void>;
  close(): Promise<void>;
}

const host: Subject = { name: 'node:net', net: nodeNet, open: async () => {}, close: async () => {} };

let stack: NodeStack;
const ours: Subject = {
  name: 'stack.net',
  get net() {
    return stack.net as unknown as Net;
  },
  open: async () => {
    stack = await createStack();
  },
  close: () => stack.close({ timeout: 100 }),
};

/** Message and properties of an error, as programs compare them. */
const shape = (error: unknown): Record<string, unknown> => {
  const { name, message, ...rest } = error as Error & Record<string, unknown>;
  return { name, message, ...rest };
};

const thrownBy = (action: () => unknown): unknown => {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

/** What 'close' says, whether or not there is an error before it. */
const closed = (socket: nodeNet.Socket): Promise<boolean> => new Promise((resolve) => socket.once('close', resolve));

for (const subject of [host, ours]) {
  describe(subject.name, () => {
    beforeAll(() => subject.open());
    afterAll(() => subject.close());

    const serve = async (
      options: nodeNet.ServerOpts,
      listener: (socket: nodeNet.Socket) => void,
    ): Promise<[nodeNet.Server, number]> => {
      const server = subject.net.createServer(options, listener);
      server.listen(0, HOST);
      await once(server, 'listening');
      return [server, (server.address() as nodeNet.AddressInfo).port];
    };

    /** A port nobody listens on. */
    const freePort = async (): Promise<number> => {
      const [server, port] = await serve({}, () => {});
      server.close();
      await once(server, 'close');
      return port;
    };

    test('a conversation raises the same events in the same order', async () => {
      const log: string[] = [];
      const watch = (name: string, socket: nodeNet.Socket): void => {
        for (const event of ['lookup', 'connect', 'ready', 'end', 'finish', 'timeout'])
          socket.on(event, () => log.push(`${name} ${event}`));
        socket.on('data', (data) => log.push(`${name} data ${data}`));
        socket.on('close', (hadError) => log.push(`${name} close ${hadError}`));
      };
      let ended: Promise<boolean> | null = null;
      const [server, port] = await serve({}, (socket) => {
        watch('server', socket);
        ended = closed(socket);
        socket.on('end', () => socket.end('bye'));
      });
      const client = subject.net.connect(port, HOST);
      watch('client', client);
      client.end('hello');
      await once(client, 'close');
      await ended;
      server.close();
      await once(server, 'close');
      const of = (name: string) => log.filter((line) => line.startsWith(name));
      expect(of('client')).toEqual([
        'client connect',
        'client ready',
        'client finish',
        'client data bye',
        'client end',
        'client close false',
      ]);
      expect(of('server')).toEqual(['server data hello', 'server end', 'server finish', 'server close false']);
    });

    test("a refused connection fails with Node's error", async () => {
      const port = await freePort();
      const socket = subject.net.connect(port, HOST);
      const [error] = await once(socket, 'error');
      expect(shape(error)).toEqual({
        name: 'Error',
        message: `connect ECONNREFUSED ${HOST}:${port}`,
        errno: -111,
        code: 'ECONNREFUSED',
        syscall: 'connect',
        address: HOST,
        port,
      });
      expect(socket.destroyed).toBe(true);
      await once(socket, 'close');
    });

    test("a port in use fails with Node's error", async () => {
      const [server, port] = await serve({}, () => {});
      const second = subject.net.createServer();
      second.listen(port, HOST);
      const [error] = await once(second, 'error');
      expect(shape(error)).toEqual({
        name: 'Error',
        message: `listen EADDRINUSE: address already in use ${HOST}:${port}`,
        errno: -98,
        code: 'EADDRINUSE',
        syscall: 'listen',
        address: HOST,
        port,
      });
      expect(second.listening).toBe(false);
      server.close();
    });

    test('an address that is not ours cannot be listened on', async () => {
      const server = subject.net.createServer();
      server.listen(0, '192.0.2.77');
      const [error] = await once(server, 'error');
      expect(shape(error)).toMatchObject({
        message: 'listen EADDRNOTAVAIL: address not available 192.0.2.77',
        code: 'EADDRNOTAVAIL',
        syscall: 'listen',
        address: '192.0.2.77',
      });
    });

    test('an address that is not ours cannot be connected from', async () => {
      const port = await freePort();
      const socket = subject.net.connect({ port, host: HOST, localAddress: '192.0.2.77' });
      const [error] = await once(socket, 'error');
      expect(shape(error)).toMatchObject({
        message: 'bind EADDRNOTAVAIL 192.0.2.77',
        code: 'EADDRNOTAVAIL',
        syscall: 'bind',
        address: '192.0.2.77',
      });
    });

    test('a reset is reported to the reader', async () => {
      const [server, port] = await serve({}, (socket) => {
        socket.on('data', () => socket.resetAndDestroy());
      });
      const socket = subject.net.connect(port, HOST);
      socket.write('go');
      const [error] = await once(socket, 'error');
      expect(shape(error)).toEqual({
        name: 'Error',
        message: 'read ECONNRESET',
        errno: -104,
        code: 'ECONNRESET',
        syscall: 'read',
      });
      server.close();
    });

    test('writing after the end of the peer fails with EPIPE', async () => {
      const [server, port] = await serve({ allowHalfOpen: true }, (socket) => socket.end());
      const socket = subject.net.connect(port, HOST);
      const errors: Error[] = [];
      socket.on('error', (error) => errors.push(error));
      socket.on('end', () => {
        process.nextTick(() => process.nextTick(() => socket.write('too late')));
      });
      socket.resume();
      await closed(socket);
      expect(errors.map(shape)).toEqual([
        { name: 'Error', message: 'This socket has been ended by the other party', code: 'EPIPE' },
      ]);
      server.close();
    });

    test('allowHalfOpen keeps the other direction open', async () => {
      const [server, port] = await serve({ allowHalfOpen: true }, (socket) => {
        let request = '';
        socket.on('data', (data) => {
          request += data;
        });
        socket.on('end', () => setTimeout(() => socket.end(`got ${request}`), 5));
      });
      const socket = subject.net.connect({ port, host: HOST, allowHalfOpen: true });
      socket.end('all of it');
      const parts: Buffer[] = [];
      for await (const part of socket) parts.push(part as Buffer);
      expect(Buffer.concat(parts).toString()).toBe('got all of it');
      server.close();
    });

    test('state, addresses and counters read as they do in Node', async () => {
      let peer: nodeNet.Socket | null = null;
      const [server, port] = await serve({}, (socket) => {
        peer = socket;
        socket.resume();
      });
      const socket = new subject.net.Socket();
      expect([socket.pending, socket.connecting, socket.readyState]).toEqual([true, false, 'open']);
      expect(socket.address()).toEqual({});
      expect(socket.remoteAddress).toBeUndefined();
      socket.connect(port, HOST);
      expect([socket.pending, socket.connecting, socket.readyState]).toEqual([true, true, 'opening']);
      socket.write('abc');
      expect(socket.bytesWritten).toBe(3);
      await once(socket, 'connect');
      expect([socket.pending, socket.connecting, socket.readyState]).toEqual([false, false, 'open']);
      expect(socket.address()).toEqual({ address: HOST, family: 'IPv4', port: socket.localPort });
      expect([socket.remoteAddress, socket.remoteFamily, socket.remotePort]).toEqual([HOST, 'IPv4', port]);
      expect([socket.localAddress, socket.localFamily]).toEqual([HOST, 'IPv4']);
      expect(socket.bufferSize).toBe(0);
      socket.end();
      expect(socket.readyState).toBe('readOnly');
      await once(socket, 'close');
      expect(socket.readyState).toBe('closed');
      expect([socket.bytesWritten, socket.bytesRead]).toEqual([3, 0]);
      expect(socket.bufferSize).toBeUndefined();
      expect(peer).not.toBeNull();
      server.close();
    });

    test('a server counts its connections and closes when the last one has', async () => {
      const [server, port] = await serve({}, (socket) => socket.resume());
      const count = (): Promise<number> =>
        new Promise((resolve, reject) => server.getConnections((error, n) => (error ? reject(error) : resolve(n))));
      const sockets = [1, 2].map(() => subject.net.connect(port, HOST));
      for (const socket of sockets) await once(socket, 'connect');
      while ((await count()) < 2) await sleep(1);
      let closed = false;
      server.close(() => {
        closed = true;
      });
      expect(server.listening).toBe(false);
      sockets[0].end();
      await once(sockets[0], 'close');
      await sleep(5);
      expect(closed).toBe(false);
      sockets[1].end();
      await once(server, 'close');
      expect(closed).toBe(true);
    });

    test("a server that is closed by its client's connect has taken the connection", async () => {
      const order: string[] = [];
      const [server, port] = await serve({}, (socket) => {
        order.push('connection');
        socket.end('in time');
      });
      const socket = subject.net.connect(port, HOST, () => {
        order.push('connect');
        server.close();
      });
      const [data] = await once(socket, 'data');
      expect(String(data)).toBe('in time');
      expect(order).toEqual(['connection', 'connect']);
      await once(server, 'close');
    });

    test('maxConnections turns connections away with a drop event', async () => {
      const [server, port] = await serve({}, () => {});
      server.maxConnections = 1;
      const first = subject.net.connect(port, HOST);
      await once(first, 'connect');
      const dropped = once(server, 'drop');
      const second = subject.net.connect(port, HOST);
      second.on('error', () => {});
      const [data] = await dropped;
      expect({ ...data }).toEqual({
        localAddress: HOST,
        localPort: port,
        localFamily: 'IPv4',
        remoteAddress: HOST,
        remotePort: second.localPort,
        remoteFamily: 'IPv4',
      });
      await once(second, 'close');
      first.destroy();
      server.close();
    });

    test('closing a server that does not run is an error of the callback', async () => {
      const error = await new Promise((resolve) => subject.net.createServer().close(resolve));
      expect(shape(error)).toEqual({
        name: 'Error',
        message: 'Server is not running.',
        code: 'ERR_SERVER_NOT_RUNNING',
      });
    });

    test('an idle socket says timeout, and lives on', async () => {
      const [server, port] = await serve({}, () => {});
      const socket = subject.net.connect(port, HOST);
      await once(socket, 'connect');
      socket.setTimeout(20);
      expect(socket.timeout).toBe(20);
      await once(socket, 'timeout');
      expect(socket.destroyed).toBe(false);
      socket.destroy();
      server.close();
    });

    test('activity puts the timeout off', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = subject.net.connect(port, HOST);
      let timedOut = false;
      socket.setTimeout(150, () => {
        timedOut = true;
      });
      await once(socket, 'connect');
      for (let i = 0; i < 8; i++) {
        await sleep(30);
        socket.write('.');
        await once(socket, 'data');
      }
      expect(timedOut).toBe(false);
      socket.destroy();
      server.close();
    });

    test('pauseOnConnect delivers nothing until resumed', async () => {
      const received: string[] = [];
      const [server, port] = await serve({ pauseOnConnect: true }, (socket) => {
        socket.on('data', (data) => received.push(String(data)));
        setTimeout(() => {
          received.push('resumed');
          socket.resume();
        }, 30);
        socket.on('end', () => socket.end());
      });
      const socket = subject.net.connect(port, HOST);
      socket.end('data');
      await once(socket.resume(), 'close');
      expect(received).toEqual(['resumed', 'data']);
      server.close();
    });

    test('onread reads into the buffer of the caller', async () => {
      const [server, port] = await serve({}, (socket) => socket.end('0123456789'));
      const buffer = Buffer.alloc(4);
      const parts: string[] = [];
      const options = {
        port,
        host: HOST,
        onread: {
          buffer,
          callback: (length: number, into: Uint8Array) => {
            expect(into).toBe(buffer);
            parts.push(Buffer.from(into.subarray(0, length)).toString());
            return true;
          },
        },
      };
      const socket = subject.net.connect(options);
      await once(socket, 'end');
      expect(parts).toEqual(['0123', '4567', '89']);
      server.close();
    });

    test('a destroyed socket refuses writes and can connect again', async () => {
      const [server, port] = await serve({}, (socket) => socket.end('hi'));
      const socket = subject.net.connect(port, HOST);
      socket.resume();
      await once(socket, 'close');
      socket.connect(port, HOST);
      const [data] = await once(socket, 'data');
      expect(String(data)).toBe('hi');
      await once(socket, 'close');
      server.close();
    });

    test('destroying a socket that connects fails its writes and says close', async () => {
      const [server, port] = await serve({}, () => {});
      const socket = subject.net.connect(port, HOST);
      const failed = new Promise((resolve) => socket.write('never', resolve));
      const error = new Error('my own');
      socket.on('error', () => {});
      socket.destroy(error);
      expect(await closed(socket)).toBe(true);
      expect(shape(await failed)).toMatchObject({ code: 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION' });
      server.close();
    });

    test('a signal aborts a socket', async () => {
      const [server, port] = await serve({}, () => {});
      const controller = new AbortController();
      const socket = subject.net.connect({ port, host: HOST, signal: controller.signal });
      await once(socket, 'connect');
      controller.abort();
      const [error] = await once(socket, 'error');
      expect([error.name, error.code]).toEqual(['AbortError', 'ABORT_ERR']);
      server.close();
    });

    test('a signal closes a server', async () => {
      const controller = new AbortController();
      const server = subject.net.createServer();
      server.listen({ port: 0, host: HOST, signal: controller.signal });
      await once(server, 'listening');
      controller.abort();
      await once(server, 'close');
    });

    test('localhost is looked up, and the event says so', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      const socket = subject.net.connect({ port, host: 'localhost', family: 4 });
      const [error, address, family, name] = await once(socket, 'lookup');
      expect([error, address, family, name]).toEqual([null, HOST, 4, 'localhost']);
      await once(socket.resume(), 'close');
      server.close();
    });

    test("a lookup of the caller is used, and its error is the socket's", async () => {
      const failure = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      const options = {
        port: 80,
        host: 'example.test',
        autoSelectFamily: false,
        lookup: (
          _name: string,
          _options: unknown,
          callback: (error: Error | null, address: string, family: number) => void,
        ) => callback(failure, '', 4),
      };
      const socket = subject.net.connect(options);
      const [error] = await once(socket, 'error');
      expect(error).toBe(failure);
    });

    test('several addresses are tried until one answers', async () => {
      const [server, port] = await serve({}, (socket) => socket.end('found'));
      const attempts: string[] = [];
      const socket = subject.net.connect({
        port,
        host: 'two.test',
        autoSelectFamily: true,
        lookup: (_name, _options, callback) => {
          const found = [
            { address: '127.0.0.9', family: 4 },
            { address: HOST, family: 4 },
          ];
          setImmediate(callback as unknown as (error: null, addresses: typeof found) => void, null, found);
        },
      });
      socket.on('connectionAttempt', (address) => attempts.push(address));
      const [data] = await once(socket, 'data');
      expect(String(data)).toBe('found');
      expect(attempts).toEqual(['127.0.0.9', HOST]);
      server.close();
    });

    test("misuse throws Node's errors", () => {
      const { net } = subject;
      const server = net.createServer();
      const cases: [() => unknown, string, string][] = [
        [
          () => net.connect({} as never),
          'ERR_MISSING_ARGS',
          'The "options" or "port" or "path" argument must be specified',
        ],
        [
          () => net.connect({ port: 'x' } as never),
          'ERR_SOCKET_BAD_PORT',
          "Port should be >= 0 and < 65536. Received type string ('x').",
        ],
        [
          () => net.connect({ port: 65536 }),
          'ERR_SOCKET_BAD_PORT',
          'Port should be >= 0 and < 65536. Received type number (65536).',
        ],
        [
          () => net.connect({ port: true } as never),
          'ERR_INVALID_ARG_TYPE',
          'The "options.port" property must be one of type number or string. Received type boolean (true)',
        ],
        [() => net.connect({ port: 1, localAddress: 'x' }), 'ERR_INVALID_IP_ADDRESS', 'Invalid IP address: x'],
        [
          () => net.connect({ port: 1, lookup: 1 } as never),
          'ERR_INVALID_ARG_TYPE',
          'The "options.lookup" property must be of type function. Received type number (1)',
        ],
        [
          () => new net.Socket().setTimeout('x' as never),
          'ERR_INVALID_ARG_TYPE',
          'The "msecs" argument must be of type number. Received type string (\'x\')',
        ],
        [
          () => new net.Socket().setTimeout(-1),
          'ERR_OUT_OF_RANGE',
          'The value of "msecs" is out of range. It must be a non-negative finite number. Received -1',
        ],
        [
          () => net.createServer(5 as never),
          'ERR_INVALID_ARG_TYPE',
          'The "options" argument must be of type object. Received type number (5)',
        ],
        [
          () => server.listen({}),
          'ERR_INVALID_ARG_VALUE',
          'The argument \'options\' must have the property "port" or "path". Received {}',
        ],
        [
          () => server.listen({ port: -1 }),
          'ERR_SOCKET_BAD_PORT',
          'options.port should be >= 0 and < 65536. Received type number (-1).',
        ],
        [
          () => new net.Socket({ objectMode: true } as never),
          'ERR_INVALID_ARG_VALUE',
          "The property 'options.objectMode' is not supported. Received true",
        ],
      ];
      for (const [action, code, message] of cases) {
        const error = thrownBy(action) as Error & { code: string };
        expect([error.code, error.message]).toEqual([code, message]);
        expect(String(error)).toBe(`${error.name} [${code}]: ${message}`);
      }
    });

    test('classes work without new, and as base of both kinds of classes', async () => {
      const { net } = subject;
      const Socket = net.Socket as unknown as { (): nodeNet.Socket; call(self: unknown, options?: object): void };
      const Server = net.Server as unknown as () => nodeNet.Server;
      expect(Socket()).toBeInstanceOf(net.Socket);
      expect(Server()).toBeInstanceOf(net.Server);
      class Modern extends net.Socket {
        extra = 1;
      }
      expect(new Modern()).toBeInstanceOf(net.Socket);
      function Old(this: unknown): void {
        Socket.call(this, { allowHalfOpen: true });
      }
      Old.prototype = Object.create(net.Socket.prototype);
      const old = Reflect.construct(Old, []) as nodeNet.Socket;
      const [server, port] = await serve({}, (socket) => socket.end('old style'));
      old.connect(port, HOST);
      const [data] = await once(old, 'data');
      expect(String(data)).toBe('old style');
      expect(old.allowHalfOpen).toBe(true);
      old.destroy();
      server.close();
    });

    test('an exception in a handler is an uncaught exception, and traffic goes on', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = subject.net.connect(port, HOST);
      await once(socket, 'connect');
      const listeners = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      try {
        const caught = once(process, 'uncaughtException');
        socket.once('data', () => {
          throw new Error('from a handler');
        });
        socket.write('1');
        const [error] = await caught;
        expect(error.message).toBe('from a handler');
      } finally {
        for (const listener of listeners) process.on('uncaughtException', listener);
      }
      const next = once(socket, 'data');
      socket.write('2');
      expect(String((await next)[0])).toBe('2');
      socket.destroy();
      server.close();
    });

    test('encodings and corked writes arrive as written', async () => {
      const [server, port] = await serve({}, (socket) => {
        socket.cork();
        socket.write('é', 'latin1');
        socket.write('e9', 'hex');
        socket.write(new Uint8Array([1, 2]));
        socket.write('ü');
        socket.uncork();
        socket.end();
      });
      const socket = subject.net.connect(port, HOST);
      const parts: Buffer[] = [];
      for await (const part of socket) parts.push(part as Buffer);
      expect(Buffer.concat(parts).toString('hex')).toBe('e9e90102c3bc');
      server.close();
    });

    test('http is served and requested through it', async () => {
      const web = http.createServer((request, response) => {
        let body = '';
        request.on('data', (data) => {
          body += data;
        });
        request.on('end', () =>
          response.end(`${request.method} ${request.url} ${body} ${request.socket.remoteAddress}`),
        );
      });
      const [server, port] = await serve({ allowHalfOpen: true }, (socket) => web.emit('connection', socket));
      class Agent extends http.Agent {
        override createConnection = (options: nodeNet.NetConnectOpts) => subject.net.connect(options);
      }
      const agent = new Agent({ keepAlive: true });
      const ask = (path: string, body: string): Promise<string> =>
        new Promise((resolve, reject) => {
          const request = http.request({ host: HOST, port, path, method: 'POST', agent }, (response) => {
            let text = '';
            response.on('data', (data) => {
              text += data;
            });
            response.on('end', () => resolve(text));
          });
          request.on('error', reject);
          request.end(body);
        });
      expect(await ask('/a', 'one')).toBe(`POST /a one ${HOST}`);
      expect(await ask('/b', 'two')).toBe(`POST /b two ${HOST}`);
      expect(await Promise.all(['x', 'y', 'z'].map((body) => ask('/c', body)))).toEqual(
        ['x', 'y', 'z'].map((body) => `POST /c ${body} ${HOST}`),
      );
      agent.destroy();
      server.close();
      await once(server, 'close');
    });
  });
}
