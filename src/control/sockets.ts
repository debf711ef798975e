// The stack's sockets as `ss` shows them.

import type { Stack } from '../stack.ts';
import { TcpConnection } from '../tcp/connection.ts';
import { STATE_NAMES } from '../tcp/states.ts';
import type { Address } from '../wire/address.ts';
import type { SocketView } from './views.ts';

const endpoint = (address: Address, port: number): string =>
  `${address.isUnspecified ? '*' : address}:${port === 0 ? '*' : port}`;

export function listSockets(stack: Stack, withInfo: boolean): SocketView[] {
  const views: SocketView[] = [];
  for (const listener of stack.tcp.listeners()) {
    views.push({
      protocol: 'tcp',
      state: STATE_NAMES[listener.state],
      receiveQueue: listener.pending,
      sendQueue: listener.backlog,
      local: endpoint(listener.local, listener.port),
      peer: '*:*',
    });
  }
  for (const flow of stack.tcp.endpoints()) {
    const connection = flow instanceof TcpConnection ? flow : null;
    const view: SocketView = {
      protocol: 'tcp',
      state: STATE_NAMES[flow.state],
      receiveQueue: connection?.readable ?? 0,
      sendQueue: connection?.unacknowledged ?? 0,
      local: endpoint(flow.local, flow.localPort),
      peer: endpoint(flow.remote, flow.remotePort),
    };
    if (withInfo && connection !== null) view.info = { ...connection.info() };
    views.push(view);
  }
  for (const socket of stack.udp.sockets()) {
    views.push({
      protocol: 'udp',
      state: socket.connected ? 'ESTABLISHED' : 'UNCONN',
      receiveQueue: socket.pending,
      sendQueue: 0,
      local: endpoint(socket.local, socket.localPort),
      peer: socket.connected ? endpoint(socket.remote, socket.remotePort) : '*:*',
      ...(withInfo ? { info: { drops: socket.drops, recvBufferSize: socket.recvBufferSize } } : {}),
    });
  }
  return views;
}
