// From a connection in the clear to one under TLS, on the server's side.

import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { StreamSocket } from '../api.ts';

const HANDSHAKE_TIMEOUT = 30_000;

/** Resolves once the handshake is done. The result owns `socket`. */
export function startTls(socket: StreamSocket, secureContext: SecureContext): Promise<StreamSocket> {
  return new Promise((resolve, reject) => {
    // TLSSocket takes any Duplex; its types say net.Socket.
    const secure = new TLSSocket(socket as unknown as Socket, { isServer: true, secureContext });
    const timer = setTimeout(() => fail(new Error('handshake timed out')), HANDSHAKE_TIMEOUT);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      secure.destroy();
      socket.destroy();
      reject(error);
    };
    const closed = (): void => fail(new Error('closed during the handshake'));
    secure.on('error', fail); // stays: an error after the handshake ends in 'close', which the session sees
    secure.once('close', closed);
    secure.once('secure', () => {
      clearTimeout(timer);
      secure.removeListener('close', closed);
      secure.once('close', () => socket.destroy());
      resolve(secure);
    });
  });
}
