// Who wants to hear what becomes of connections. It is told in the middle of the core's work: it takes notes, and calls nothing back.

import type { TcpConnection } from './connection.ts';

export interface TcpMonitor {
  /** Both SYNs are acknowledged; `isPassive`: the peer began. */
  opened(connection: TcpConnection, isPassive: boolean): void;
  /** The connection is over, with `errno` or 0. Told before anything is given back. */
  closed(connection: TcpConnection, errno: number): void;
  /** Fast recovery begins (RFC 6675, RFC 8985). */
  recovering(connection: TcpConnection): void;
  /** The retransmission timer has expired (RFC 6298 §5.4). */
  timedOut(connection: TcpConnection): void;
  /** `length` bytes from `seq` on leave once more. */
  retransmitted(connection: TcpConnection, seq: number, length: number): void;
}
