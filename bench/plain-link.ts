// A link that claims to be able to do nothing, so that the stack cuts and computes checksums itself.

import type { Link } from '../src/link/link.ts';

export function withoutOffload(link: Link): Link {
  return {
    mtu: 1500,
    offload: 0,
    receive: (rx) => link.receive(rx),
    send: (tx) => link.send(tx),
    watch: (wake) => link.watch?.(wake),
    close: () => link.close?.(),
  };
}
