// What node:dgram does, stack.dgram does: each case runs on both, and what comes out is compared.

import nodeDgram from 'node:dgram';
import { once } from 'node:events';
import { describe } from 'vitest';
import { differential, HOST, outcome, record, useStack } from './differential.ts';

type Dgram = Pick<typeof nodeDgram, 'createSocket'>;

useStack();
const same = differential<Dgram>(nodeDgram, (stack) => stack.dgram);

const EVENTS = ['listening', 'connect', 'message', 'error', 'close'];

async function bound(
  dgram: Dgram,
  options: nodeDgram.SocketOptions = { type: 'udp4' },
): Promise<[nodeDgram.Socket, number]> {
  const socket = dgram.createSocket(options);
  socket.bind(0, HOST);
  await once(socket, 'listening');
  return [socket, socket.address().port];
}

function close(...sockets: nodeDgram.Socket[]): void {
  for (const socket of sockets) socket.close();
}

describe('arguments', () => {
  const calls: Record<string, (socket: nodeDgram.Socket) => unknown> = {
    'send without a port': (socket) => socket.send('x'),
    'send to port 0': (socket) => socket.send('x', 0, HOST),
    'send to a port too large': (socket) => socket.send('x', 65_536, HOST),
    'send to a port that is a word': (socket) => socket.send('x', 'y' as never, HOST),
    'send of a number': (socket) => socket.send(5 as never, 1, HOST),
    'send of null': (socket) => socket.send(null as never, 1, HOST),
    'send of a list with a number': (socket) => socket.send([Buffer.from('a'), 5 as never], 1, HOST),
    'send to an address that is a number': (socket) => socket.send('x', 1, 5 as never),
    'send to an address that is true': (socket) => socket.send('x', 1, true as never),
    'send from beyond the end': (socket) => socket.send(Buffer.from('abc'), 4, 1, 1, HOST),
    'send of more than there is': (socket) => socket.send(Buffer.from('abc'), 1, 3, 1, HOST),
    'sendto with an offset that is a word': (socket) =>
      Reflect.apply(Reflect.get(socket, 'sendto'), socket, ['abc', 'x', 1, 1, HOST]),
    'sendto without an address': (socket) => Reflect.apply(Reflect.get(socket, 'sendto'), socket, ['abc', 0, 1, 1]),
    'connect to port 0': (socket) => socket.connect(0),
    'connect to a port too large': (socket) => socket.connect(70_000),
    'connect to an address that is a number': (socket) => socket.connect(1, 5 as never),
    'disconnect when not connected': (socket) => socket.disconnect(),
    'remoteAddress when not connected': (socket) => socket.remoteAddress(),
    'address when not bound': (socket) => socket.address(),
    'setTTL of a word': (socket) => socket.setTTL('x' as never),
    'setTTL of zero': (socket) => socket.setTTL(0),
    'setTTL of 256': (socket) => socket.setTTL(256),
    'setMulticastTTL of a word': (socket) => socket.setMulticastTTL('x' as never),
    'setMulticastTTL of 300': (socket) => socket.setMulticastTTL(300),
    'setMulticastInterface of a number': (socket) => socket.setMulticastInterface(5 as never),
    'setMulticastInterface of nonsense': (socket) => socket.setMulticastInterface('nonsense'),
    'addMembership of nothing': (socket) => socket.addMembership(undefined as never),
    'addMembership of an address that is no group': (socket) => socket.addMembership('10.0.0.1'),
    'dropMembership of nothing': (socket) => socket.dropMembership(undefined as never),
    'dropMembership of a group that was not joined': (socket) => socket.dropMembership('224.0.0.114'),
    'source-specific membership with a source that is a number': (socket) =>
      socket.addSourceSpecificMembership(0 as never, '224.0.0.114'),
    'source-specific membership of a group that is a number': (socket) =>
      socket.addSourceSpecificMembership(HOST, 0 as never),
    'leaving a source with a source that is a number': (socket) =>
      socket.dropSourceSpecificMembership(0 as never, '224.0.0.114'),
    'a receive buffer of a word': (socket) => socket.setRecvBufferSize('x' as never),
    'a receive buffer below zero': (socket) => socket.setRecvBufferSize(-1),
    'a send buffer before it is bound': (socket) => socket.setSendBufferSize(8192),
    'the receive buffer before it is bound': (socket) => socket.getRecvBufferSize(),
    'the send queue': (socket) => [socket.getSendQueueSize(), socket.getSendQueueCount()],
    'ref and unref': (socket) => [socket.ref() === socket, socket.unref() === socket],
    'binding twice': (socket) => {
      socket.bind(0, HOST);
      return socket.bind(0, HOST) === socket;
    },
  };
  for (const [what, call] of Object.entries(calls))
    same(what, async (dgram) => {
      const socket = dgram.createSocket('udp4');
      socket.on('error', () => {});
      const result = outcome(() => call(socket));
      await new Promise((resolve) => setImmediate(resolve));
      close(socket);
      return result;
    });

  const wrong: Record<string, unknown[]> = {
    'no type': [],
    'a type that is none': ['udp5'],
    'a type that is a number': [4],
    'options without a type': [{}],
    'a lookup that is none': [{ type: 'udp4', lookup: 5 }],
    'a receive buffer that is a word': [{ type: 'udp4', recvBufferSize: 'x' }],
    'a send buffer below zero': [{ type: 'udp4', sendBufferSize: -1 }],
    'a signal that is none': [{ type: 'udp4', signal: {} }],
    null: [null],
  };
  for (const [what, args] of Object.entries(wrong))
    same(`createSocket with ${what}`, (dgram) =>
      outcome(() => {
        (Reflect.apply(dgram.createSocket, dgram, args) as nodeDgram.Socket).close();
        return 'made';
      }),
    );

  const onClosed: Record<string, (socket: nodeDgram.Socket) => unknown> = {
    send: (socket) => socket.send('x', 1, HOST),
    bind: (socket) => socket.bind(0),
    close: (socket) => socket.close(),
    address: (socket) => socket.address(),
    connect: (socket) => socket.connect(1),
    addMembership: (socket) => socket.addMembership('224.0.0.114'),
    ref: (socket) => socket.ref() === socket,
  };
  for (const [what, call] of Object.entries(onClosed))
    same(`${what} on a socket that was closed`, (dgram) => {
      const socket = dgram.createSocket('udp4');
      close(socket);
      return outcome(() => call(socket));
    });
});

describe('events and state', () => {
  same('the life of a socket, event by event', async (dgram) => {
    const log: unknown[] = [];
    const socket = dgram.createSocket('udp4', () => log.push('listener'));
    record(log, 'socket', socket, EVENTS);
    socket.bind(0, HOST, () => log.push('bound'));
    await once(socket, 'listening');
    const { port } = socket.address();
    socket.send('self', port, HOST, () => log.push('sent'));
    await once(socket, 'message');
    socket.close(() => log.push('closed'));
    await once(socket, 'close');
    return log;
  });
  same('a connected socket, event by event', async (dgram) => {
    const [peer, port] = await bound(dgram);
    const log: unknown[] = [];
    const socket = dgram.createSocket('udp4');
    record(log, 'socket', socket, EVENTS);
    socket.connect(port, HOST, () => log.push('connected'));
    await once(socket, 'connect');
    log.push(
      socket.remoteAddress(),
      outcome(() => socket.connect(port)),
      outcome(() => socket.send('x', port, HOST)),
    );
    socket.send('hello');
    log.push(await once(peer, 'message').then(([message]) => message));
    socket.disconnect();
    log.push(outcome(() => socket.remoteAddress()));
    close(socket, peer);
    return log;
  });
  same('a port in use', async (dgram) => {
    const [first, port] = await bound(dgram);
    const second = dgram.createSocket('udp4');
    second.bind(port, HOST);
    const [error] = await once(second, 'error');
    close(first, second);
    return error;
  });
  same('an address that is not ours', async (dgram) => {
    const socket = dgram.createSocket('udp4');
    socket.bind(0, '192.0.2.1');
    const [error] = await once(socket, 'error');
    close(socket);
    return (error as NodeJS.ErrnoException).code;
  });
  same('a lookup that fails: binding, connecting, sending', async (dgram) => {
    const results: unknown[] = [];
    const make = (): nodeDgram.Socket =>
      dgram.createSocket({
        type: 'udp4',
        lookup: (name, _, callback) =>
          process.nextTick(() => callback(/^[\d.]+$/.test(name) ? null : new Error(`no ${name}`), name, 4)),
      });
    const one = make();
    one.bind(0, 'name.invalid');
    results.push((await once(one, 'error'))[0]);
    const two = make();
    two.connect(1, 'name.invalid');
    results.push((await once(two, 'error'))[0]);
    const three = make();
    results.push(
      await new Promise((resolve) => three.send('x', 1, 'name.invalid', (error, bytes) => resolve([error, bytes]))),
    );
    const four = make();
    four.send('x', 1, 'name.invalid');
    results.push((await once(four, 'error'))[0]);
    close(one, two, three, four);
    return results;
  });
  same('a datagram too large, with a callback and without', async (dgram) => {
    const [socket, port] = await bound(dgram);
    const told = await new Promise((resolve) =>
      socket.send(Buffer.alloc(65_508), port, HOST, (error) => resolve(error)),
    );
    close(socket);
    return told;
  });
  same('a burst arrives whole and in order', async (dgram) => {
    const [socket, port] = await bound(dgram);
    const sender = dgram.createSocket('udp4');
    const got: string[] = [];
    const all = new Promise<void>((resolve) =>
      socket.on('message', (message) => {
        got.push(String(message));
        if (got.length === 50) resolve();
      }),
    );
    for (let i = 0; i < 50; i++) sender.send(`n${i}`, port, HOST);
    await all;
    close(socket, sender);
    return got;
  });
  same('callbacks of send come in order, with the bytes sent', async (dgram) => {
    const [socket, port] = await bound(dgram);
    const order: unknown[] = [];
    await Promise.all(
      ['', 'a', 'bb'].map(
        (text) =>
          new Promise<void>((resolve) =>
            socket.send(text, port, HOST, (error, bytes) => {
              order.push([error, bytes]);
              resolve();
            }),
          ),
      ),
    );
    close(socket);
    return order;
  });
  same('a signal closes a socket, before and after', async (dgram) => {
    const log: unknown[] = [];
    const controller = new AbortController();
    const socket = dgram.createSocket({ type: 'udp4', signal: controller.signal });
    record(log, 'one', socket, EVENTS);
    controller.abort();
    await once(socket, 'close');
    const early = dgram.createSocket({ type: 'udp4', signal: AbortSignal.abort() });
    record(log, 'two', early, EVENTS);
    await once(early, 'close');
    return log;
  });
  same('closing while it is being bound', async (dgram) => {
    const log: unknown[] = [];
    const socket = dgram.createSocket('udp4');
    record(log, 'socket', socket, EVENTS);
    socket.bind(0, HOST);
    socket.close();
    await once(socket, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    return log;
  });
  same('closing before what was sent has found its address', async (dgram) => {
    const [peer, port] = await bound(dgram);
    const got: string[] = [];
    peer.on('message', (message) => got.push(String(message)));
    const socket = dgram.createSocket('udp4');
    const log: unknown[] = [];
    record(log, 'socket', socket, EVENTS);
    socket.send('one', port, HOST);
    socket.send('two', port, HOST);
    socket.close();
    await once(socket, 'close');
    await new Promise((resolve) => setTimeout(resolve, 20));
    close(peer);
    return [got, log];
  });
});
