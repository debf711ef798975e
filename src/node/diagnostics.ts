// What becomes of TCP connections, on `node:diagnostics_channel`.
//
//   tapstack.tcp.connect  tapstack.tcp.accept  tapstack.tcp.close  tapstack.tcp.recovery  tapstack.tcp.rto  tapstack.tcp.retransmit
//
// A channel nobody listens to costs one comparison. Messages are snapshots, and are published when the core is done with its batch.

import type { Channel } from 'node:diagnostics_channel';
import { channel } from 'node:diagnostics_channel';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpInfo } from '../tcp/info.ts';
import type { TcpMonitor } from '../tcp/monitor.ts';
import { codeOf } from './errors.ts';
import type { NodeStack } from './node-stack.ts';

export interface TcpMessage {
  readonly stack: NodeStack;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly info: TcpInfo;
}

/** On `tapstack.tcp.close`. */
export interface TcpCloseMessage extends TcpMessage {
  /** Why it ended, like 'ECONNRESET'; null for an orderly end. */
  readonly code: string | null;
}

/** On `tapstack.tcp.retransmit`. */
export interface TcpRetransmitMessage extends TcpMessage {
  readonly seq: number;
  readonly length: number;
}

const connect = channel('tapstack.tcp.connect');
const accept = channel('tapstack.tcp.accept');
const close = channel('tapstack.tcp.close');
const recovery = channel('tapstack.tcp.recovery');
const rto = channel('tapstack.tcp.rto');
const retransmit = channel('tapstack.tcp.retransmit');

export class Diagnostics implements TcpMonitor {
  readonly #stack: NodeStack;

  constructor(stack: NodeStack) {
    this.#stack = stack;
  }

  opened(connection: TcpConnection, isPassive: boolean): void {
    const to = isPassive ? accept : connect;
    if (to.hasSubscribers) publish(to, this.#describe(connection));
  }

  closed(connection: TcpConnection, errno: number): void {
    if (!close.hasSubscribers) return;
    publish(close, { ...this.#describe(connection), code: errno < 0 ? codeOf(errno) : null });
  }

  recovering(connection: TcpConnection): void {
    if (recovery.hasSubscribers) publish(recovery, this.#describe(connection));
  }

  timedOut(connection: TcpConnection): void {
    if (rto.hasSubscribers) publish(rto, this.#describe(connection));
  }

  retransmitted(connection: TcpConnection, seq: number, length: number): void {
    if (retransmit.hasSubscribers) publish(retransmit, { ...this.#describe(connection), seq: seq >>> 0, length });
  }

  #describe(connection: TcpConnection): TcpMessage {
    const { local, localPort, remote, remotePort } = connection;
    return {
      stack: this.#stack,
      localAddress: local.toString(),
      localPort,
      remoteAddress: remote.toString(),
      remotePort,
      info: connection.info(),
    };
  }
}

/** Later: a subscriber may use the stack, which is busy now. */
function publish<M extends TcpMessage>(to: Channel, message: M): void {
  process.nextTick(() => to.publish(message));
}
