// Echo — RFC 862. TCP returns every octet until the peer has sent its FIN and everything has gone back; UDP returns the datagram.

import type { SmallService } from './pair.ts';

export const echo: SmallService = {
  name: 'echo',
  port: 7,
  accept: (socket) => void socket.pipe(socket), // a peer that does not read stops being read
  answer: (message) => message,
};
