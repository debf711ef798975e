// What can be set about TCP: for the whole stack, and for one connection or the connections of one listener.
//
// Times are in µs. A connection's option overrides the stack's; what neither names has the default given here.

import { EINVAL } from '../errno.ts';
import type { Address } from '../wire/address.ts';
import { MILLISECOND, SECOND } from '../world.ts';
import type { EcnMode } from './ecn.ts';
import { ECN_MODES } from './ecn.ts';
import { FIRST_PORT, LAST_PORT } from './ports.ts';
import { MAX_BUFFER } from './receiver.ts';
import type { SenderOptions } from './sender.ts';

export interface ConnectionOptions extends SenderOptions {
  /** A fixed receive buffer in bytes. Without it the buffer is tuned from 64 KB up to `recvBufferMax`. */
  recvBuffer?: number;
  /** Default 8 MB. */
  recvBufferMax?: number;
  keepAlive?: boolean;
  /** Idle time before the first keep-alive probe (RFC 9293 §3.8.4, MUST-28: at least 2 hours by default). */
  keepAliveIdle?: number;
  keepAliveInterval?: number;
  keepAliveCount?: number;
  /** Upper bound for the MSS in both directions. */
  maxSegment?: number;
  ttl?: number;
  tos?: number;
  windowScaling?: boolean;
  sack?: boolean;
  timestamps?: boolean;
  /** RFC 3168. Default 'passive': used when the peer asks for it. */
  ecn?: EcnMode;
}

export interface TcpOptions extends ConnectionOptions {
  /** How long TIME-WAIT lasts: 2 MSL. RFC 9293 §3.4.2 takes 4 minutes; Linux and we 60 s. */
  timeWait?: number;
  timeWaitMax?: number;
  /** How long a released connection waits in FIN-WAIT-2 for the peer's FIN. */
  finWait2?: number;
  firstPort?: number;
  lastPort?: number;
  /** 'auto': when a SYN queue is full. */
  synCookies?: 'auto' | 'always' | 'off';
  /** Entries in one listener's SYN queue. */
  synQueue?: number;
  /** How often a SYN,ACK is repeated: 7 makes more than 3 minutes (RFC 1122 §4.2.3.5, MUST-23). */
  synAckRetries?: number;
  /** Challenge ACKs per second (RFC 5961 §7). */
  challengeAcks?: number;
  /** Least time between two answers of one connection to segments it cannot accept (RFC 5961 §7). Linux: tcp_invalid_ratelimit. */
  answerInterval?: number;
  /** Resets per second in answer to segments that belong to no connection. */
  resets?: number;
}

export interface ListenOptions extends ConnectionOptions {
  /** Default: any of our addresses. */
  local?: Address;
  /** 0 chooses one. */
  port: number;
  /** Connections that may wait for `accept`; default 511. */
  backlog?: number;
  /**
   * Take data that comes with a SYN (RFC 7413), from so many clients at once whose address is not proven by a handshake yet; true: 256.
   */
  fastOpen?: boolean | number;
}

export interface ConnectOptions extends ConnectionOptions {
  remote: Address;
  remotePort: number;
  local?: Address;
  /** 0 chooses one. */
  localPort?: number;
  /** Send what is written at once with the SYN, where the server has given us a cookie; ask for one otherwise (RFC 7413). */
  fastOpen?: boolean;
}

export const DEFAULT_FAST_OPEN_QUEUE = 256;
export const DEFAULT_BACKLOG = 511; // Node's
export const INITIAL_RECEIVE_BUFFER = 65_536;

/** Every option with its value. */
export type ResolvedTcpOptions = Required<Omit<TcpOptions, keyof SenderOptions | 'recvBuffer'>> &
  SenderOptions & { recvBuffer: number };

/** @throws RangeError for a value that cannot work */
export function resolveOptions(options: TcpOptions): ResolvedTcpOptions {
  const resolved: ResolvedTcpOptions = {
    recvBufferMax: 8 * 1024 * 1024,
    keepAlive: false, // MUST-25
    keepAliveIdle: 7200 * SECOND,
    keepAliveInterval: 75 * SECOND,
    keepAliveCount: 9,
    maxSegment: 0,
    ttl: 64,
    tos: 0,
    windowScaling: true,
    sack: true,
    timestamps: true,
    ecn: 'passive',
    timeWait: 60 * SECOND,
    timeWaitMax: 65_536,
    finWait2: 60 * SECOND,
    firstPort: FIRST_PORT,
    lastPort: LAST_PORT,
    synCookies: 'auto',
    synQueue: 1024,
    synAckRetries: 7,
    challengeAcks: 1000,
    answerInterval: 500 * MILLISECOND,
    resets: 1000,
    ...definedOf(options),
    recvBuffer: options.recvBuffer ?? 0,
  };
  const at = (name: keyof ResolvedTcpOptions, least: number, most: number): void => {
    const value = resolved[name];
    if (typeof value !== 'number' || !(value >= least && value <= most))
      throw new RangeError(`TCP option ${name}: ${String(value)} is not in ${least} … ${most}`);
  };
  at('recvBufferMax', 1024, MAX_BUFFER);
  at('recvBuffer', 0, MAX_BUFFER);
  at('timeWait', 0, Infinity);
  at('timeWaitMax', 0, Infinity);
  at('finWait2', MILLISECOND, Infinity);
  at('answerInterval', 0, Infinity);
  at('synQueue', 0, Infinity);
  at('synAckRetries', 0, 255);
  at('maxSegment', 0, 65_535);
  at('ttl', 1, 255);
  at('tos', 0, 255);
  if (!ECN_MODES.includes(resolved.ecn))
    throw new RangeError(`TCP option ecn: ${String(resolved.ecn)} is not one of ${ECN_MODES.join(', ')}`);
  return resolved;
}

/** Without the keys whose value is undefined, so that they do not hide a default. */
function definedOf<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** 0, or EINVAL for something a user must not ask for. */
export function checkPort(port: number, least: number): number {
  return Number.isInteger(port) && port >= least && port <= 65535 ? 0 : EINVAL;
}
