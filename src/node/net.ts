// `stack.net`: the module Node calls `net`, on one stack.

import type { BlockList as HostBlockList, NetConnectOpts } from 'node:net';
import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';
import type { Callable } from './callable.ts';
import { callable } from './callable.ts';
import { normalizeArguments } from './connect.ts';
import type { NetContext } from './context.ts';
import { kContext } from './context.ts';
import type { ConnectionListener, ServerOptions } from './server.ts';
import { Server } from './server.ts';
import type { SocketOptions } from './socket.ts';
import { Socket } from './socket.ts';
import type { ConnectTuning } from './tuning.ts';
import { validateBoolean, validateInt32 } from './validate.ts';

type SocketConstructor = Callable<[options?: SocketOptions | number], Socket> & Omit<typeof Socket, 'prototype'>;
type ServerConstructor = Callable<
  [options?: ServerOptions | ConnectionListener | null, connectionListener?: ConnectionListener],
  Server
> &
  Omit<typeof Server, 'prototype'>;

export interface Connect {
  (options: NetConnectOpts & SocketOptions & ConnectTuning, connectionListener?: () => void): Socket;
  (port: number | string, host?: string, connectionListener?: () => void): Socket;
  (port: number | string, connectionListener?: () => void): Socket;
}

export interface Net {
  Socket: SocketConstructor;
  Stream: SocketConstructor;
  Server: ServerConstructor;
  createServer(connectionListener?: ConnectionListener): Server;
  createServer(options?: ServerOptions, connectionListener?: ConnectionListener): Server;
  connect: Connect;
  createConnection: Connect;
  isIP: typeof isIP;
  isIPv4: typeof isIPv4;
  isIPv6: typeof isIPv6;
  BlockList: typeof HostBlockList;
  SocketAddress: typeof SocketAddress;
  getDefaultAutoSelectFamily(): boolean;
  setDefaultAutoSelectFamily(value: boolean): void;
  getDefaultAutoSelectFamilyAttemptTimeout(): number;
  setDefaultAutoSelectFamilyAttemptTimeout(milliseconds: number): void;
}

/** Make the module for `context`, and give the context its classes. */
export function createNet(context: NetContext): Net {
  const own = { [kContext]: { value: context } };
  const StackSocket = callable(
    Socket,
    'Socket',
    (target, args) => Socket.prepare(target, ...args),
    own,
  ) as SocketConstructor;
  const StackServer = callable(
    Server,
    'Server',
    (target, args) => Server.prepare(target, ...args),
    own,
  ) as ServerConstructor;
  context.Socket = StackSocket;
  context.Server = StackServer;

  const connect = ((...args: unknown[]): Socket => {
    const [options] = normalizeArguments(args);
    const socket = new StackSocket(options as SocketOptions);
    if (typeof options.timeout === 'number' && options.timeout > 0) socket.setTimeout(options.timeout);
    return Reflect.apply(socket.connect, socket, args) as Socket;
  }) as Connect;

  return {
    Socket: StackSocket,
    Stream: StackSocket,
    Server: StackServer,
    createServer: (options?: ServerOptions | ConnectionListener, connectionListener?: ConnectionListener) =>
      new StackServer(options, connectionListener),
    connect,
    createConnection: connect,
    isIP,
    isIPv4,
    isIPv6,
    BlockList,
    SocketAddress,
    getDefaultAutoSelectFamily: () => context.defaults.autoSelectFamily,
    setDefaultAutoSelectFamily(value) {
      validateBoolean(value, 'value');
      context.defaults.autoSelectFamily = value;
    },
    getDefaultAutoSelectFamilyAttemptTimeout: () => context.defaults.autoSelectFamilyAttemptTimeout,
    setDefaultAutoSelectFamilyAttemptTimeout(milliseconds) {
      validateInt32(milliseconds, 'value', 1);
      context.defaults.autoSelectFamilyAttemptTimeout = Math.max(milliseconds, 10);
    },
  };
}
