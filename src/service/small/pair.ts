// A service that listens on one port for both TCP and UDP, as all of RFC 862–868 do. Both or neither.

import debug from 'debug';
import type { StackLike, StreamSocket } from '../api.ts';
import { type Listening, listenTcp, listenUdp } from '../listen.ts';
import { mayAnswer } from './guard.ts';

export interface SmallOptions {
  port?: number | undefined;
  host?: string | undefined;
  maxConnections?: number | undefined;
  /** Milliseconds without traffic after which a TCP connection is dropped. */
  idleTimeout?: number | undefined;
}

export interface SmallService {
  readonly name: string;
  readonly port: number;
  accept(socket: StreamSocket): void;
  /** The answer to a datagram, or null for none. */
  answer(message: Uint8Array): Uint8Array | null;
}

export async function startPair(
  stack: StackLike,
  service: SmallService,
  options: SmallOptions = {},
): Promise<Listening[]> {
  const log = debug(`tapstack:${service.name}`);
  const { port = service.port, host, maxConnections, idleTimeout } = options;
  const tcp = await listenTcp({ net: stack.net, port, host, maxConnections, idleTimeout, log }, service.accept);
  try {
    const udp = await listenUdp({ dgram: stack.dgram, port: tcp.port, host, log }, (message, from, socket) => {
      if (!mayAnswer(from.port, tcp.port)) {
        log('datagram from %s:%d dropped: that port answers too', from.address, from.port);
        return;
      }
      const answer = service.answer(message);
      if (answer === null) return;
      socket.send(answer, from.port, from.address, (error) => {
        if (error) log('send to %s:%d: %s', from.address, from.port, error.message);
      });
    });
    return [tcp, udp];
  } catch (error) {
    await tcp.close();
    throw error;
  }
}
