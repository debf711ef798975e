// What node:net does, stack.net does: each case runs on both, and what comes out is compared.

import { once } from 'node:events';
import nodeNet from 'node:net';
import { describe } from 'vitest';
import { differential, HOST, outcome, record, SOCKET_EVENTS, serve, useStack } from './differential.ts';

type Net = typeof nodeNet;

useStack();
const same = differential<Net>(nodeNet, (stack) => stack.net);

const closed = (emitter: NodeJS.EventEmitter): Promise<unknown[]> =>
  new Promise((resolve) => emitter.once('close', (...args) => resolve(args)));
const failed = (emitter: NodeJS.EventEmitter): Promise<unknown> =>
  new Promise((resolve) => emitter.once('error', resolve));
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const text = async (socket: nodeNet.Socket): Promise<string> => {
  let all = '';
  for await (const chunk of socket) all += chunk;
  return all;
};
const freePort = async (net: Net): Promise<number> => {
  const [server, port] = await serve(net, {}, () => {});
  server.close();
  await closed(server);
  return port;
};

/** Both ends of a connection. */
async function pair(
  net: Net,
  serverOptions: nodeNet.ServerOpts = {},
  options: Partial<nodeNet.TcpNetConnectOpts & nodeNet.SocketConstructorOpts> = {},
): Promise<{ server: nodeNet.Server; client: nodeNet.Socket; accepted: nodeNet.Socket }> {
  const listener = net.createServer(serverOptions);
  listener.listen(0, HOST);
  await once(listener, 'listening');
  const { port } = listener.address() as nodeNet.AddressInfo;
  const client = net.connect({ port, host: HOST, ...options });
  const [[accepted]] = await Promise.all([once(listener, 'connection'), once(client, 'connect')]);
  return { server: listener, client, accepted: accepted as nodeNet.Socket };
}

function end(...sockets: (nodeNet.Socket | nodeNet.Server)[]): void {
  for (const socket of sockets) {
    if ('destroy' in socket) socket.destroy();
    else socket.close();
  }
}

describe('arguments of listen', () => {
  const forms: Record<string, (server: nodeNet.Server) => unknown> = {
    nothing: (server) => server.listen(),
    'a callback': (server) => server.listen(() => {}),
    'port 0': (server) => server.listen(0, HOST),
    'a port in a string': (server) => server.listen('0' as never, HOST),
    'null for a port': (server) => server.listen(null as never, HOST),
    'undefined for a port': (server) => server.listen(undefined, HOST),
    options: (server) => server.listen({ port: 0, host: HOST }),
    'options with a port in a string': (server) => server.listen({ port: '0' as never, host: HOST }),
    'a host and a backlog': (server) => server.listen(0, HOST, 5),
    localhost: (server) => server.listen(0, 'localhost'),
    exclusive: (server) => server.listen({ port: 0, host: HOST, exclusive: true }),
  };
  for (const [form, listen] of Object.entries(forms)) {
    same(`${form}: it listens`, async (net) => {
      const server = net.createServer();
      listen(server);
      await once(server, 'listening');
      const address = server.address() as nodeNet.AddressInfo;
      // A wildcard is of the family there is.
      const result = [
        server.listening,
        typeof address.port,
        form === 'nothing' || form === 'a callback' ? '' : address.address,
      ];
      server.close();
      return [...result, await closed(server), server.listening, server.address()];
    });
  }
  const wrong: Record<string, unknown[]> = {
    'a port too large': [65_536],
    'a negative port': [{ port: -1 }],
    'a port that is NaN': [Number.NaN],
    'a port that is no whole number': [1.5],
    'a port that is a word in options': [{ port: 'http' }],
    'a port that is true': [{ port: true }],
    'an object without anything': [{}],
    false: [false],
    'a symbol of options': [{ host: HOST }],
    'an empty path': [{ path: '' }],
    'a signal that is none': [{ port: 0, signal: 'INVALID' }],
  };
  for (const [what, args] of Object.entries(wrong)) {
    same(`${what}: it is refused`, (net) => {
      const server = net.createServer();
      const result = outcome(() => Reflect.apply(server.listen, server, args));
      server.close();
      return [result];
    });
  }
});

describe('arguments of connect', () => {
  const wrong: Record<string, unknown[]> = {
    nothing: [],
    'an empty object': [{}],
    'a port too large': [65_536],
    'a negative port': [{ port: -1 }],
    'a port that is an object': [{ port: {} }],
    'a port that is a function': [{ port: () => {} }],
    'a port that is false': [{ port: false }],
    'a port of spaces': [{ port: ' ' }],
    'a lookup that is none': [{ port: 1, host: 'name', lookup: 5 }],
    'a local address that is none': [{ port: 1, host: HOST, localAddress: 'name' }],
    'a local port that is none': [{ port: 1, host: HOST, localPort: 'x' }],
    'autoSelectFamily that is none': [{ port: 1, autoSelectFamily: 'x' }],
    'an attempt timeout of zero': [{ port: 1, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 0 }],
    'an attempt timeout that is none': [{ port: 1, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 'x' }],
    'a signal that is none': [{ port: 1, host: HOST, signal: 1 }],
    'object mode': [{ port: 1, objectMode: true }],
  };
  for (const [what, args] of Object.entries(wrong))
    same(`${what}: it is refused`, (net) =>
      outcome(() => {
        const socket = Reflect.apply(net.connect, net, args) as nodeNet.Socket;
        socket.on('error', () => {}).destroy();
        return 'accepted';
      }),
    );

  same('a port in a string, and callbacks in every place, connect', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.end('x'));
    const results: string[] = [];
    for (const args of [
      [port, HOST],
      [String(port), HOST],
      [{ port, host: HOST }],
      [{ port: String(port), host: HOST }],
    ]) {
      const called = new Promise<string>((resolve) => {
        const socket = Reflect.apply(net.createConnection, net, [
          ...args,
          () => resolve(text(socket)),
        ]) as nodeNet.Socket;
      });
      results.push(await called);
    }
    server.close();
    return results;
  });
});

describe('arguments of sockets and servers', () => {
  const calls: Record<string, (net: Net) => unknown> = {
    'setTimeout with a word': (net) => new net.Socket().setTimeout('x' as never),
    'setTimeout below zero': (net) => new net.Socket().setTimeout(-1),
    'setTimeout of NaN': (net) => new net.Socket().setTimeout(Number.NaN),
    'setTimeout with a callback that is none': (net) => new net.Socket().setTimeout(1, 'x' as never),
    'write of a number': (net) => new net.Socket().write(5 as never),
    'write of null': (net) => new net.Socket().write(null as never),
    'write of undefined': (net) => new net.Socket().write(undefined as never),
    'a file descriptor below zero': (net) => new net.Socket({ fd: -1 } as never).destroyed,
    'options of a server that are a number': (net) => net.createServer(5 as never),
    'options of a server that are a string': (net) => net.createServer('x' as never),
    'options of a server that are null': (net) => net.createServer(null as never).listening,
    'a keep-alive delay that is a word': (net) => net.createServer({ keepAliveInitialDelay: 'x' as never }),
    'a high-water mark that is a word': (net) => net.createServer({ highWaterMark: 'x' as never }),
    'the default of autoSelectFamily': (net) => net.getDefaultAutoSelectFamily(),
    'a default of autoSelectFamily that is a word': (net) => net.setDefaultAutoSelectFamily('x' as never),
    'a default attempt timeout of zero': (net) => net.setDefaultAutoSelectFamilyAttemptTimeout(0),
    'address() of a socket that is not connected': (net) => new net.Socket().address(),
    'properties of a socket that is not connected': (net) => {
      const socket = new net.Socket();
      const { connecting, pending, destroyed, readyState, bytesRead, bytesWritten, bufferSize, timeout } = socket;
      const { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily, allowHalfOpen } = socket;
      const addresses = [remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily];
      return {
        connecting,
        pending,
        destroyed,
        readyState,
        bytesRead,
        bytesWritten,
        bufferSize,
        timeout,
        addresses,
        allowHalfOpen,
      };
    },
    'what calls on a socket that is not connected return': (net) => {
      const socket = new net.Socket();
      return [
        socket.setNoDelay() === socket,
        socket.setKeepAlive(true, 5) === socket,
        socket.setTimeout(0) === socket,
        socket.ref() === socket,
        socket.unref() === socket,
        socket.pause() === socket,
        socket.resume() === socket,
        socket.setEncoding('utf8') === socket,
      ];
    },
    'names and lengths of functions': (net) => [net.Socket, net.Server].map((one) => [one.name === '', typeof one]),
    'addresses that are, and are not': (net) =>
      ['127.0.0.1', '::1', 'x', '', '1.2.3', '1.2.3.4.5', '::ffff:1.2.3.4', 'fe80::1%lo'].map((one) => [
        net.isIP(one),
        net.isIPv4(one),
        net.isIPv6(one),
      ]),
    'a block list': (net) => {
      const list = new net.BlockList();
      list.addAddress('10.0.0.1');
      list.addRange('10.0.1.1', '10.0.1.9');
      list.addSubnet('10.1.0.0', 16);
      return [list.rules, ['10.0.0.1', '10.0.0.2', '10.0.1.5', '10.1.2.3'].map((one) => list.check(one))];
    },
    'a socket address': (net) => {
      const { address, port, family, flowlabel } = new net.SocketAddress({ address: '10.0.0.1', port: 80 });
      return { address, port, family, flowlabel };
    },
  };
  for (const [what, call] of Object.entries(calls)) same(what, (net) => outcome(() => call(net)));
});

describe('the order of events', () => {
  const story = (
    title: string,
    onServer: (socket: nodeNet.Socket) => void,
    onClient: (socket: nodeNet.Socket) => void,
    options: nodeNet.ServerOpts & { client?: object } = {},
  ): void =>
    same(title, async (net) => {
      const logs: { server: unknown[]; client: unknown[] } = { server: [], client: [] };
      let serverDone: Promise<unknown> = Promise.resolve();
      const [server, port] = await serve(net, options, (socket) => {
        record(logs.server, 'server', socket, SOCKET_EVENTS);
        serverDone = closed(socket);
        onServer(socket);
      });
      const client = net.connect({ port, host: HOST, ...options.client });
      record(logs.client, 'client', client, SOCKET_EVENTS);
      const clientDone = closed(client);
      onClient(client);
      await clientDone;
      await serverDone;
      server.close();
      await closed(server);
      return logs;
    });

  story(
    'the client ends at once',
    (socket) => socket.resume(),
    (socket) => socket.end(),
  );
  story(
    'the server greets and ends',
    (socket) => socket.end('hi'),
    (socket) => socket.on('end', () => {}),
  );
  story(
    'the server ends without a word',
    (socket) => socket.end(),
    () => {},
  );
  story(
    'the client destroys itself when connected',
    () => {},
    (socket) => socket.on('connect', () => socket.destroy()),
  );
  story(
    'the client destroys itself with an error',
    () => {},
    (socket) => socket.on('connect', () => socket.destroy(new Error('mine'))),
  );
  story(
    'the server destroys the connection',
    (socket) => socket.destroy(),
    () => {},
  );
  story(
    'the server resets the connection',
    (socket) => socket.on('data', () => socket.resetAndDestroy()),
    (socket) => socket.on('data', () => {}).write('x'),
  );
  story(
    'the client resets the connection',
    (socket) => socket.on('data', () => {}),
    (socket) => socket.on('connect', () => socket.resetAndDestroy()),
  );
  story(
    'destroySoon waits for what was written',
    (socket) => socket.resume(),
    (socket) => {
      socket.write('last words');
      socket.destroySoon();
    },
  );
  story(
    'half open: each side ends in its own time',
    (socket) => socket.on('end', () => setTimeout(() => socket.end('late'), 5)),
    (socket) => socket.end('early'),
    {
      allowHalfOpen: true,
      client: { allowHalfOpen: true },
    },
  );
  story(
    'paused on connect, and resumed',
    (socket) => setTimeout(() => socket.resume(), 5),
    (socket) => socket.end('waits'),
    { pauseOnConnect: true },
  );
  story(
    'an encoding makes strings',
    (socket) => socket.setEncoding('hex'),
    (socket) => socket.end('abc'),
  );
  story(
    'a timeout does not end anything',
    (socket) => socket.resume(),
    (socket) => {
      socket.setTimeout(10);
      socket.on('timeout', () => socket.end());
    },
  );
  story(
    'a timeout given to connect',
    (socket) => socket.resume(),
    (socket) => socket.on('timeout', () => socket.destroy()),
    { client: { timeout: 10 } },
  );
});

describe('errors', () => {
  same('a connection that is refused: events, properties, message', async (net) => {
    const log: unknown[] = [];
    const socket = net.connect(await freePort(net), HOST);
    record(log, 'client', socket, [...SOCKET_EVENTS, 'connectionAttempt', 'connectionAttemptFailed']);
    await closed(socket);
    const { connecting, pending, destroyed, readyState } = socket;
    return [log.map((entry) => (entry as unknown[]).slice(0, 2)), connecting, pending, destroyed, readyState];
  });
  same('refused through localhost', async (net) => {
    const socket = net.connect({ port: await freePort(net), host: 'localhost', family: 4 });
    return failed(socket);
  });
  same('a lookup that fails', (net) =>
    failed(
      net.connect({
        port: 1,
        host: 'absent.invalid',
        lookup: (name, _, callback) =>
          callback(Object.assign(new Error('no'), { code: 'ENOTFOUND', hostname: name }), ''),
      }),
    ),
  );
  same('a lookup that gives nonsense', (net) =>
    failed(
      net.connect({
        port: 1,
        host: 'x',
        autoSelectFamily: false,
        lookup: (_, __, callback) => callback(null, 'nonsense', 4),
      }),
    ),
  );
  same('a lookup that gives a family there is not', (net) =>
    failed(
      net.connect({
        port: 1,
        host: 'x',
        autoSelectFamily: false,
        lookup: (_, __, callback) => callback(null, HOST, 5),
      }),
    ),
  );
  same('listening twice on one server', (net) => {
    const server = net.createServer().listen(0, HOST);
    const result = outcome(() => typeof server.listen(0, HOST));
    server.close();
    return result;
  });
  same('a port in use', async (net) => {
    const [server, port] = await serve(net, {}, () => {});
    const second = net.createServer().listen(port, HOST);
    const error = await failed(second);
    const after = [second.listening, second.address()];
    server.close();
    return [error, after];
  });
  same('a server that failed to listen can listen again', async (net) => {
    const [server, port] = await serve(net, {}, () => {});
    const second = net.createServer().listen(port, HOST);
    await failed(second);
    server.close();
    await closed(server);
    second.listen(port, HOST);
    await once(second, 'listening');
    second.close();
    return closed(second);
  });
  same('closing twice', async (net) => {
    const [server] = await serve(net, {}, () => {});
    const results = await Promise.all([
      new Promise((resolve) => server.close((error) => resolve(error ?? 'closed'))),
      new Promise((resolve) => server.close((error) => resolve(error ?? 'closed'))),
    ]);
    return results;
  });
  same('writing after end', async (net) => {
    const { server, client, accepted } = await pair(net);
    accepted.resume();
    client.end();
    const error = failed(client);
    const told = new Promise((resolve) => client.write('x', (reason) => resolve(reason)));
    const result = [await error, await told];
    end(client, accepted, server);
    return result;
  });
  same('writing after destroy', async (net) => {
    const { server, client, accepted } = await pair(net);
    client.destroy();
    const told = await new Promise((resolve) => client.write('x', (reason) => resolve(reason)));
    end(accepted, server);
    return [told, client.destroyed, client.writable];
  });
  same('writing to a socket that never connected', (net) => {
    const socket = new net.Socket();
    socket.on('error', () => {});
    return new Promise((resolve) => socket.write('x', (reason) => resolve(reason)));
  });
  same('ending a socket that never connected', async (net) => {
    const socket = new net.Socket();
    const log: unknown[] = [];
    record(log, 'socket', socket, SOCKET_EVENTS);
    socket.end();
    await tick();
    await tick();
    return [log, socket.writableEnded, socket.destroyed];
  });
  same('resetAndDestroy before there is a connection', async (net) => {
    const socket = new net.Socket();
    const error = failed(socket);
    socket.resetAndDestroy();
    return [await error, socket.destroyed];
  });
});

describe('state', () => {
  same('what a socket shows while it connects, when it has, and after', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.resume());
    const show = (socket: nodeNet.Socket): unknown => {
      const { connecting, pending, destroyed, readyState, readable, writable, bytesRead, bytesWritten, bufferSize } =
        socket;
      const { remoteAddress, remoteFamily, localAddress, localFamily } = socket;
      return {
        connecting,
        pending,
        destroyed,
        readyState,
        readable,
        writable,
        bytesRead,
        bytesWritten,
        bufferSize,
        remoteAddress,
        remoteFamily,
        localAddress,
        localFamily,
      };
    };
    const socket = net.connect(port, HOST);
    const states = [show(socket)];
    socket.write('early');
    states.push(show(socket));
    await once(socket, 'connect');
    states.push(show(socket), socket.address());
    socket.end('more');
    states.push(show(socket));
    await closed(socket);
    states.push(show(socket));
    server.close();
    return states;
  });
  same('bytes are counted, in whatever form they are written', async (net) => {
    const { server, client, accepted } = await pair(net);
    client.write('ü');
    client.write('00ff', 'hex');
    client.write(new Uint8Array(3));
    client.end();
    const received = await text(accepted);
    const result = [client.bytesWritten, accepted.bytesRead, received.length];
    end(client, accepted, server);
    return result;
  });
  same('write says false when it is too much, and drain comes', async (net) => {
    const { server, client, accepted } = await pair(net);
    const small = client.write('x');
    const large = client.write(Buffer.alloc(8 << 20));
    const { writableNeedDrain } = client;
    accepted.resume();
    await once(client, 'drain');
    const result = [small, large, writableNeedDrain, client.writableLength];
    end(client, accepted, server);
    return result;
  });
  same('high-water marks of a server reach its sockets', async (net) => {
    const { server, client, accepted } = await pair(net, { highWaterMark: 12_345 - 3_000 });
    const result = [accepted.readableHighWaterMark, accepted.writableHighWaterMark];
    end(client, accepted, server);
    return result;
  });
  same('callbacks of write come in order, when it has been written', async (net) => {
    const { server, client, accepted } = await pair(net);
    accepted.resume();
    const order: string[] = [];
    client.write('a', () => order.push('a'));
    client.write('b', () => order.push('b'));
    await new Promise<void>((resolve) =>
      client.end('c', () => {
        order.push('end');
        resolve();
      }),
    );
    end(client, accepted, server);
    return order;
  });
  same('getConnections counts, and goes down', async (net) => {
    const { server, client, accepted } = await pair(net);
    const ask = (): Promise<unknown> => new Promise((resolve) => server.getConnections((_, n) => resolve(n)));
    const before = await ask();
    client.destroy();
    accepted.destroy();
    await closed(accepted);
    const result = [before, await ask()];
    server.close();
    return result;
  });
  same('maxConnections of zero is no limit, of one is', async (net) => {
    const result: unknown[] = [];
    for (const limit of [0, 1]) {
      const [server, port] = await serve(net, {}, (socket) => socket.write('in'));
      server.maxConnections = limit;
      const drops: unknown[] = [];
      server.on('drop', (data) => drops.push(Object.keys(data ?? {}).sort()));
      const sockets = [net.connect(port, HOST)];
      await once(sockets[0], 'data');
      sockets.push(net.connect(port, HOST));
      sockets[1].on('error', () => {});
      await Promise.race([once(sockets[1], 'data'), closed(sockets[1])]);
      result.push(limit, drops);
      end(...sockets, server);
      await closed(server);
    }
    return result;
  });
  same('a socket connects again after it was closed', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.end('again'));
    const socket = new net.Socket();
    const texts: string[] = [];
    socket.on('data', (data) => texts.push(String(data)));
    for (let i = 0; i < 3; i++) {
      socket.connect(port, HOST);
      await closed(socket);
    }
    server.close();
    return texts;
  });
  same('a server listens again after it was closed', async (net) => {
    const server = net.createServer((socket) => socket.end('x'));
    const texts: string[] = [];
    for (let i = 0; i < 3; i++) {
      server.listen(0, HOST);
      await once(server, 'listening');
      texts.push(await text(net.connect((server.address() as nodeNet.AddressInfo).port, HOST)));
      server.close();
      await closed(server);
    }
    return texts;
  });
  same('the lookup event tells what was found', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.end());
    const log: unknown[] = [];
    const socket = net.connect({
      port,
      host: 'name',
      lookup: (_, options, callback) =>
        callback(null, options.all ? [{ address: HOST, family: 4 }] : (HOST as never), 4),
    });
    record(log, 'client', socket, ['lookup', 'connectionAttempt', 'connect']);
    await closed(socket.resume());
    server.close();
    return log;
  });
  same('what a lookup is asked with', async (net) => {
    const asked: unknown[] = [];
    for (const options of [{}, { family: 4 }, { hints: 0 }, { autoSelectFamily: false }, { autoSelectFamily: true }]) {
      const socket = net.connect({
        port: 1,
        host: 'name',
        ...options,
        lookup: (name, given, callback) => {
          asked.push([name, given]);
          callback(new Error('enough'), '');
        },
      });
      await failed(socket);
    }
    return asked;
  });
  same('several addresses, the first of which refuses', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.end('reached'));
    const socket = net.connect({
      port,
      host: 'name',
      autoSelectFamily: true,
      lookup: (_, __, callback) =>
        callback(null, [
          { address: '127.0.0.2', family: 4 },
          { address: HOST, family: 4 },
        ] as never),
    });
    const result = [await text(socket), socket.autoSelectFamilyAttemptedAddresses];
    server.close();
    return result;
  });
  same('several addresses, all of which refuse', async (net) => {
    const port = await freePort(net);
    const socket = net.connect({
      port,
      host: 'name',
      autoSelectFamily: true,
      lookup: (_, __, callback) =>
        callback(null, [
          { address: '127.0.0.2', family: 4 },
          { address: HOST, family: 4 },
        ] as never),
    });
    const error = (await failed(socket)) as AggregateError & { code: string };
    return [error.name, error.code, error.message, error.errors];
  });
  same('a disposed server has closed', async (net) => {
    const [server] = await serve(net, {}, () => {});
    await server[Symbol.asyncDispose]();
    return [server.listening, await server[Symbol.asyncDispose]()];
  });
  same('ten megabytes there and back', async (net) => {
    const [server, port] = await serve(net, {}, (socket) => socket.pipe(socket));
    const socket = net.connect(port, HOST);
    const data = Buffer.alloc(10 << 20, 'abcdefghijklmnopqrstuvwxyz0123456789');
    socket.end(data);
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    server.close();
    return Buffer.concat(parts).equals(data);
  });
});
