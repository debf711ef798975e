// setsockopt and getsockopt: by name, whatever the level — no two levels share a name.

import { EINVAL, ENOPROTOOPT, ENOTCONN } from '../../errno.ts';
import * as states from '../../tcp/states.ts';
import { MILLISECOND, SECOND } from '../../world.ts';
import type { Expression } from './ast.ts';
import { Unsupported } from './ast.ts';
import type { Host } from './host.ts';
import type { Profile } from './profile.ts';
import type { Fd, TcpFd } from './sockets.ts';
import { dereference, member, numberOf } from './values.ts';

/** Linux accounts for its own overhead by doubling what is asked for, and has a floor. */
const LINUX_MIN_RCVBUF = 2304;
const LINUX_MIN_SNDBUF = 4608;

/** Names that are remembered and have no effect that a script could see here. */
const REMEMBERED =
  /^(?:SO_REUSEADDR|SO_REUSEPORT|SO_DEBUG|SO_BROADCAST|SO_PRIORITY|SO_MARK|SO_DONTROUTE|SO_RCVLOWAT|SO_BUSY_POLL|SO_INCOMING_CPU|SO_NOSIGPIPE|SO_TIMESTAMP|SO_OOBINLINE|IP_MTU_DISCOVER|IP_FREEBIND|IP_TRANSPARENT|TCP_LOG|TCP_LOGBUF|TCP_LOGID|TCP_SAVE_SYN)$/;

/** 0 or a negative errno. */
export function setOption(fd: Fd, name: string, value: Expression | undefined, host: Host, profile: Profile): number {
  if (fd.kind !== 'tcp') {
    if (fd.kind === 'udp') setUdp(fd.socket, name, numberOf(dereference(value)));
    fd.remembered.set(name, numberOf(dereference(value)));
    return 0;
  }
  const text = dereference(value);
  if (name === 'TCP_CONGESTION' || name === 'TCP_FUNCTION_BLK') return setByName(fd, name, text, profile);
  if (name === 'SO_LINGER') {
    const on = numberOf(member(value, 'onoff') ?? member(value, 'l_onoff'));
    const time = numberOf(member(value, 'linger') ?? member(value, 'l_linger'));
    fd.resetOnClose = on !== 0 && time === 0;
    if (on !== 0 && time > 0) profile.doubt('a close that lingers (SO_LINGER with a time)');
    return 0;
  }
  return setNumber(fd, name, numberOf(text), host, profile);
}

function setUdp(socket: { broadcast: boolean; ttl: number; tos: number }, name: string, value: number): void {
  if (name === 'SO_BROADCAST') socket.broadcast = value !== 0;
  else if (name === 'IP_TTL') socket.ttl = value;
  else if (name === 'IP_TOS') socket.tos = value;
}

function setByName(fd: TcpFd, name: string, value: Expression | undefined, profile: Profile): number {
  const wanted = value?.kind === 'string' ? value.value : '';
  if (name === 'TCP_FUNCTION_BLK') {
    profile.doubt(`the TCP stack ${wanted}`);
    return 0;
  }
  const known: Record<string, string> = { cubic: 'cubic', reno: 'reno', newreno: 'reno', bbr: 'bbr' };
  if (!Object.hasOwn(known, wanted)) throw new Unsupported(`congestion control ${wanted}`);
  const { connection } = fd;
  if (connection !== null && connection.sender.congestion.name !== known[wanted])
    profile.doubt(`changing congestion control of a connection to ${wanted}`);
  fd.options.congestion = known[wanted];
  return 0;
}

function setNumber(fd: TcpFd, name: string, value: number, host: Host, profile: Profile): number {
  const { connection, options, remembered } = fd;
  const isBsd = profile.dialect === 'freebsd';
  remembered.set(name, value);
  switch (name) {
    case 'SO_RCVBUF':
    case 'SO_RCVBUFFORCE':
      remembered.set('SO_RCVBUF', isBsd ? value : Math.max(2 * value, LINUX_MIN_RCVBUF));
      options.recvBuffer = Math.max(value, LINUX_MIN_RCVBUF / 2);
      if (connection !== null) connection.recvBuffer = options.recvBuffer;
      return 0;
    case 'SO_SNDBUF':
    case 'SO_SNDBUFFORCE':
      remembered.set('SO_SNDBUF', isBsd ? value : Math.max(2 * value, LINUX_MIN_SNDBUF));
      options.sendBuffer = remembered.get('SO_SNDBUF') ?? value;
      connection?.sender.buffer.fix(options.sendBuffer);
      return 0;
    case 'SO_KEEPALIVE':
      options.keepAlive = value !== 0;
      connection?.setKeepAlive(
        options.keepAlive,
        options.keepAliveIdle,
        options.keepAliveInterval,
        options.keepAliveCount,
      );
      return 0;
    case 'TCP_KEEPIDLE':
      options.keepAliveIdle = value * SECOND;
      connection?.setKeepAlive(options.keepAlive === true, value * SECOND);
      return 0;
    case 'TCP_KEEPINTVL':
      options.keepAliveInterval = value * SECOND;
      connection?.setKeepAlive(options.keepAlive === true, 0, value * SECOND);
      return 0;
    case 'TCP_KEEPCNT':
      options.keepAliveCount = value;
      connection?.setKeepAlive(options.keepAlive === true, 0, 0, value);
      return 0;
    case 'TCP_KEEPINIT':
      options.synTimeout = value * SECOND;
      return 0;
    case 'TCP_SYNCNT':
      options.synTimeout = (2 ** (value + 1) - 1) * SECOND;
      return 0;
    case 'TCP_NODELAY':
      options.noDelay = value !== 0;
      if (connection !== null) connection.noDelay = value !== 0;
      if (value !== 0) uncork(fd, host);
      return 0;
    case 'TCP_CORK':
    case 'TCP_NOPUSH':
      fd.cork = value !== 0;
      if (!fd.cork) uncork(fd, host);
      return 0;
    case 'TCP_MAXSEG':
      if (value < 48 || value > 32_767) return EINVAL;
      options.maxSegment = value;
      if (fd.listener !== null) {
        fd.listener.maxSegment = value;
        fd.listener.options = { ...fd.listener.options, maxSegment: value };
      }
      return 0;
    case 'TCP_FASTOPEN':
      fd.fastOpen = value;
      profile.doubt('TCP Fast Open cookies: a host makes its own');
      return 0;
    case 'TCP_USER_TIMEOUT':
      options.userTimeout = value * MILLISECOND;
      if (connection !== null) connection.userTimeout = value * MILLISECOND;
      return 0;
    case 'TCP_QUICKACK':
      if (connection !== null) connection.quickAck = value !== 0;
      return 0;
    case 'IP_TOS':
      options.tos = value;
      if (connection !== null) connection.tos = value;
      return 0;
    case 'IP_TTL':
      options.ttl = value;
      if (connection !== null) connection.ttl = value;
      return 0;
    default:
      if (!REMEMBERED.test(name)) profile.doubt(`the socket option ${name}`);
      return 0;
  }
}

/** What was held back for more to come goes now. */
function uncork(fd: TcpFd, host: Host): void {
  const { connection } = fd;
  if (connection === null || connection.sender.ended) return;
  connection.sender.write(new Uint8Array(0), 0, 0, false);
  host.stack.tcp.markDirty(connection);
}

/** The value of an option, or a negative errno when it has none. */
export function getOption(fd: Fd, name: string, profile: Profile): number | string {
  if (name === 'SO_ERROR') return fd.kind === 'epoll' ? ENOPROTOOPT : fd.takeError();
  const set = fd.remembered.get(name);
  if (fd.kind !== 'tcp') return set ?? 0;
  const { connection } = fd;
  switch (name) {
    case 'SO_RCVBUF':
      return receiveSpace(fd, set ?? profile.receiveSpace, profile);
    case 'SO_SNDBUF':
      return set ?? profile.sendSpace;
    case 'SO_TYPE':
      return 1;
    case 'SO_ACCEPTCONN':
      return fd.listener === null ? 0 : 1;
    case 'TCP_MAXSEG':
      return connection === null ? (set ?? 536) : connection.sender.mss;
    case 'TCP_NODELAY':
      return connection === null ? (set ?? 0) : Number(connection.noDelay);
    case 'TCP_CONGESTION': {
      const own = connection?.sender.congestion.name ?? fd.options.congestion ?? profile.tcp.congestion ?? 'cubic';
      return typeof own === 'string' ? own : 'custom';
    }
    case 'TCP_USER_TIMEOUT':
      return set ?? 0;
    case 'TCP_KEEPIDLE':
      return set ?? (profile.tcp.keepAliveIdle ?? 7200 * SECOND) / SECOND;
    case 'TCP_KEEPINTVL':
      return set ?? (profile.tcp.keepAliveInterval ?? 75 * SECOND) / SECOND;
    case 'TCP_KEEPINIT':
      return set ?? (profile.tcp.synTimeout ?? 75 * SECOND) / SECOND;
    case 'TCP_KEEPCNT':
      return set ?? profile.tcp.keepAliveCount ?? (profile.dialect === 'freebsd' ? 8 : 9);
    case 'IP_TTL':
      return set ?? 64;
    case 'IP_MTU':
      return connection?.path.mtu ?? ENOTCONN;
    case 'SO_LINGER':
    case 'TCP_INFO':
      throw new Unsupported(`getsockopt(${name})`);
    default:
      return set ?? 0;
  }
}

/** FreeBSD rounds the buffer up to a multiple of the MSS once that is known. */
function receiveSpace(fd: TcpFd, space: number, profile: Profile): number {
  const { connection } = fd;
  if (profile.dialect !== 'freebsd' || connection === null || connection.state === states.SYN_SENT) return space;
  return roundUp(space, connection.sender.mss);
}

export const roundUp = (value: number, unit: number): number => (value > unit ? Math.ceil(value / unit) * unit : value);
