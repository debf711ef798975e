// Discard — RFC 863. Reads everything and says nothing.

import type { SmallService } from './pair.ts';

export const discard: SmallService = {
  name: 'discard',
  port: 9,
  accept: (socket) => {
    socket.on('end', () => socket.end());
    socket.resume();
  },
  answer: () => null,
};
