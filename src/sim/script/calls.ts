// The system calls of scripts. Each gives an attempt: a function that says what the call returns, or BLOCKED when it must wait.
//
// What a call writes through its arguments (poll's revents, getsockopt's value) is compared with what the script shows there.

import {
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINPROGRESS,
  EINVAL,
  ENETUNREACH,
  ENOTCONN,
  EOPNOTSUPP,
} from '../../errno.ts';
import { EV_READABLE, EV_WRITABLE } from '../../socket.ts';
import type { TcpConnection } from '../../tcp/connection.ts';
import { Address } from '../../wire/address.ts';
import type { CallEvent, Expression } from './ast.ts';
import { ScriptError, Unsupported } from './ast.ts';
import type { Host } from './host.ts';
import type { Profile } from './profile.ts';
import type { Value } from './python.ts';
import { getOption, setOption } from './socket-options.ts';
import type { Fd, Result } from './sockets.ts';
import { BLOCKED, EpollFd, TcpFd, UdpFd } from './sockets.ts';
import { SOCKET } from './symbols.ts';
import { dereference, iovecLength, itemsOf, member, numberOf, socketAddress } from './values.ts';

/** Tries the call; BLOCKED to be tried again. `difference` says what an argument should have held. */
export type Attempt = () => Result | { readonly value: number; readonly difference: string };

/** What calls need of whoever runs the script. */
export interface Kernel {
  readonly host: Host;
  readonly profile: Profile;
  readonly fds: Map<number, Fd>;
  /** The socket code blocks ask about. */
  current: TcpFd | null;
  /** µs of the script. */
  readonly now: number;
  /** A connection of ours: the script's packets are its packets from now on. */
  opened(connection: TcpConnection): void;
  /** UDP: packets of the script belong to these ports from now on. */
  useDatagrams(localPort: number, remotePort: number): void;
  /** Ask to be tried again at `time`. */
  wakeAt(time: number): void;
  info(fd: TcpFd): Map<string, Value>;
}

/** packetdrill's ports where a script says `...`. */
export const SERVER_PORT = 8080;
export const PEER_PORT = 8080;

type Call = (kernel: Kernel, args: readonly Expression[], event: CallEvent) => Attempt;

const now =
  (result: number): Attempt =>
  () =>
    result;

function fdOf(kernel: Kernel, expression: Expression | undefined): Fd | null {
  return kernel.fds.get(numberOf(expression)) ?? null;
}

function tcpOf(kernel: Kernel, expression: Expression | undefined): TcpFd | null {
  const fd = fdOf(kernel, expression);
  return fd?.kind === 'tcp' ? fd : null;
}

/** Put `fd` where the script expects it, if that is a descriptor at all. */
function install(kernel: Kernel, fd: Fd, event: CallEvent): number {
  const wanted = event.result.kind === 'number' ? event.result.value : -1;
  let number = wanted;
  if (number < 0 || kernel.fds.has(number)) for (number = 3; kernel.fds.has(number); ) number++;
  kernel.fds.set(number, fd);
  return number;
}

const socket: Call = (kernel, args, event) => () => {
  const family = args[0];
  if (family?.kind === 'name' && /6$/.test(family.name)) throw new Unsupported('IPv6 sockets');
  const type = numberOf(args[1], SOCKET.SOCK_STREAM);
  const protocol = args[2];
  if (protocol?.kind === 'name' && !/^IPPROTO_(TCP|UDP|IP)$/.test(protocol.name))
    throw new Unsupported(`sockets of ${protocol.name}`);
  const base = type & 0xf;
  if (base !== SOCKET.SOCK_STREAM && base !== SOCKET.SOCK_DGRAM) throw new Unsupported('raw sockets');
  const fd = base === SOCKET.SOCK_STREAM ? new TcpFd() : new UdpFd(kernel.host.stack.udp.open());
  fd.nonblocking = (type & SOCKET.SOCK_NONBLOCK) !== 0;
  if (fd.kind === 'tcp') kernel.current = fd;
  return install(kernel, fd, event);
};

const bind: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  const { port } = socketAddress(args[1]);
  if (fd?.kind === 'udp') {
    const result = fd.socket.bind(null, port ?? SERVER_PORT);
    if (result === 0) kernel.useDatagrams(fd.socket.localPort, 0);
    return result;
  }
  if (fd?.kind !== 'tcp') return EBADF;
  if (fd.boundPort !== 0) return EINVAL;
  fd.boundPort = port ?? SERVER_PORT;
  return 0;
};

const listen: Call = (kernel, args) => () => {
  const fd = tcpOf(kernel, args[0]);
  if (fd === null) return EBADF;
  const backlog = Math.max(numberOf(args[1]), 0);
  // Linux and the BSDs let one more wait than listen() was told.
  if (fd.listener !== null) {
    fd.listener.backlog = backlog + 1;
    return 0;
  }
  const listener = kernel.host.stack.tcp.listen({
    ...fd.options,
    port: fd.boundPort,
    backlog: backlog + 1,
    fastOpen: fd.fastOpen,
  });
  if (typeof listener === 'number') return listener;
  fd.listener = listener;
  fd.boundPort = listener.port;
  kernel.current = fd;
  return 0;
};

const accept: Call = (kernel, args, event) => {
  const flags = event.name === 'accept4' ? numberOf(args[3]) : 0;
  return () => {
    const fd = tcpOf(kernel, args[0]);
    if (fd === null) return EBADF;
    if (fd.listener === null) return EINVAL;
    const connection = fd.listener.accept();
    if (connection === null) return fd.nonblocking ? EAGAIN : BLOCKED;
    const accepted = new TcpFd();
    Object.assign(accepted.options, fd.options);
    accepted.adopt(connection);
    accepted.resetOnClose = fd.resetOnClose;
    accepted.nonblocking =
      (flags & SOCKET.SOCK_NONBLOCK) !== 0 || (kernel.profile.dialect === 'freebsd' && fd.nonblocking);
    for (const name of ['SO_RCVBUF', 'SO_SNDBUF', 'TCP_NODELAY']) {
      const value = fd.remembered.get(name);
      if (value !== undefined) accepted.remembered.set(name, value);
    }
    kernel.current = accepted;
    return install(kernel, accepted, event);
  };
};

const connect: Call = (kernel, args) => {
  let begun = false;
  return () => {
    const fd = fdOf(kernel, args[0]);
    const { ip, port, family } = socketAddress(args[1]);
    if (family === 'AF_UNSPEC') throw new Unsupported('connect() to AF_UNSPEC');
    const remote = ip === null ? kernel.host.remote : Address.parse(ip);
    if (remote === null) return EINVAL;
    if (fd?.kind === 'udp') {
      const result = fd.socket.connect(remote, port ?? PEER_PORT);
      if (result === 0) kernel.useDatagrams(fd.socket.localPort, port ?? PEER_PORT);
      return result;
    }
    if (fd?.kind !== 'tcp') return EBADF;
    if (begun) return fd.connected();
    if (fd.connection !== null) return fd.connectAgain();
    if (fd.listener !== null) return EOPNOTSUPP;
    const options = { ...fd.options, remote, remotePort: port ?? PEER_PORT };
    const connection = kernel.host.stack.tcp.connect(
      fd.boundPort === 0 ? options : { ...options, localPort: fd.boundPort },
    );
    if (typeof connection === 'number') return connection;
    fd.adopt(connection);
    kernel.current = fd;
    kernel.opened(connection);
    begun = true;
    return fd.nonblocking ? EINPROGRESS : BLOCKED;
  };
};

/** A pattern that says where in the stream a byte belongs. */
function payload(expression: Expression | undefined, length: number): Uint8Array {
  const text = expression?.kind === 'string' ? expression.value : '';
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i < text.length ? text.charCodeAt(i) & 255 : i & 255;
  return bytes;
}

function sendBytes(kernel: Kernel, target: Expression | undefined, bytes: Uint8Array, flags: number): Attempt {
  if ((flags & SOCKET.MSG_FASTOPEN) !== 0) throw new Unsupported('TCP Fast Open (MSG_FASTOPEN)');
  if ((flags & SOCKET.MSG_OOB) !== 0) throw new Unsupported('sending urgent data (MSG_OOB)');
  if ((flags & (SOCKET.MSG_ZEROCOPY | SOCKET.MSG_EOR)) !== 0) kernel.profile.doubt('MSG_ZEROCOPY and MSG_EOR');
  const done = { count: 0 };
  return () => {
    const fd = fdOf(kernel, target);
    if (fd?.kind === 'udp') return fd.socket.send(bytes, 0, bytes.length);
    if (fd?.kind !== 'tcp') return EBADF;
    return fd.write(bytes, done, flags, kernel.profile.tcp.sendBufferMax ?? 0);
  };
}

const write: Call = (kernel, args) => sendBytes(kernel, args[0], payload(args[1], numberOf(args[2])), 0);
const send: Call = (kernel, args) => sendBytes(kernel, args[0], payload(args[1], numberOf(args[2])), numberOf(args[3]));
const writev: Call = (kernel, args) => sendBytes(kernel, args[0], payload(undefined, iovecLength(args[1])), 0);

const sendto: Call = (kernel, args) => {
  const bytes = payload(args[1], numberOf(args[2]));
  const fd = fdOf(kernel, args[0]);
  if (fd?.kind !== 'udp' || fd.socket.connected) return sendBytes(kernel, args[0], bytes, numberOf(args[3]));
  return () => {
    const { ip, port } = socketAddress(args[4]);
    const remote = ip === null ? kernel.host.remote : (Address.parse(ip) ?? kernel.host.remote);
    const result = fd.socket.send(bytes, 0, bytes.length, remote, port ?? PEER_PORT);
    kernel.useDatagrams(fd.socket.localPort, port ?? PEER_PORT);
    return result;
  };
};

const sendmsg: Call = (kernel, args) => {
  if (itemsOf(member(args[1], 'msg_control')).length > 0) throw new Unsupported('control messages (msg_control)');
  const flags = numberOf(args[2]);
  return sendBytes(kernel, args[0], payload(undefined, iovecLength(member(args[1], 'msg_iov'))), flags);
};

function receiveBytes(
  kernel: Kernel,
  target: Expression | undefined,
  length: number,
  flags: number,
  shown?: Expression,
): Attempt {
  if ((flags & SOCKET.MSG_ERRQUEUE) !== 0) throw new Unsupported('the error queue (MSG_ERRQUEUE)');
  if ((flags & SOCKET.MSG_OOB) !== 0) throw new Unsupported('receiving urgent data apart (MSG_OOB)');
  const bytes = new Uint8Array(length);
  return () => {
    const fd = fdOf(kernel, target);
    if (fd === null || fd.kind === 'epoll') return EBADF;
    const result = fd.read(bytes, flags);
    if (typeof result !== 'number' || result <= 0 || shown?.kind !== 'string') return result;
    // Packets of scripts carry zeros, so a string can only be compared with those.
    return result;
  };
}

const read: Call = (kernel, args) => receiveBytes(kernel, args[0], numberOf(args[2]), 0, args[1]);
const recv: Call = (kernel, args) => receiveBytes(kernel, args[0], numberOf(args[2]), numberOf(args[3]), args[1]);
const readv: Call = (kernel, args) => receiveBytes(kernel, args[0], iovecLength(args[1]), 0);
const recvmsg: Call = (kernel, args) => {
  if (itemsOf(member(args[1], 'msg_control')).length > 0) throw new Unsupported('control messages (msg_control)');
  return receiveBytes(kernel, args[0], iovecLength(member(args[1], 'msg_iov')), numberOf(args[2]));
};

const shutdown: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  if (fd?.kind === 'udp') return fd.socket.connected ? 0 : ENOTCONN;
  return fd?.kind === 'tcp' ? fd.shutdown(numberOf(args[1])) : EBADF;
};

const close: Call = (kernel, args) => () => {
  const number = numberOf(args[0]);
  const fd = kernel.fds.get(number);
  if (fd === undefined) return EBADF;
  kernel.fds.delete(number);
  for (const other of kernel.fds.values()) if (other.kind === 'epoll') other.watches.delete(number);
  fd.close();
  return 0;
};

const fcntl: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  if (fd === null) return EBADF;
  const command = numberOf(args[1]);
  if (command === SOCKET.F_GETFL) return SOCKET.O_RDWR | (fd.nonblocking ? SOCKET.O_NONBLOCK : 0);
  if (command === SOCKET.F_SETFL) fd.nonblocking = (numberOf(args[2]) & SOCKET.O_NONBLOCK) !== 0;
  return 0;
};

const ioctl: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  if (fd === null) return EBADF;
  const request = numberOf(args[1]);
  if (request === SOCKET.FIONBIO) {
    fd.nonblocking = numberOf(args[2]) !== 0;
    return 0;
  }
  if (fd.kind !== 'tcp') throw new Unsupported('ioctl on a datagram socket');
  const { connection } = fd;
  if (connection === null) return EINVAL;
  const { sender } = connection;
  const sentNotAcknowledged = Math.max(0, (sender.sndNxt - sender.sndUna) | 0);
  let value: number;
  if (request === SOCKET.FIONREAD) value = connection.readable;
  else if (request === SOCKET.SIOCOUTQ) value = connection.unacknowledged;
  else if (request === SOCKET.SIOCOUTQNSD) value = Math.max(0, connection.unacknowledged - sentNotAcknowledged);
  else throw new Unsupported('this ioctl');
  return shows(args[2], value, 'the value');
};

/** 0, together with what is wrong when the script shows another value. */
function shows(expression: Expression | undefined, actual: number, what: string): ReturnType<Attempt> {
  const wanted = dereference(expression);
  if (wanted === undefined || wanted.kind === 'any') return 0;
  const expected = numberOf(wanted);
  return expected === actual
    ? 0
    : { value: 0, difference: `expected ${what} ${printed(wanted, expected)}, got ${actual}` };
}

const printed = (expression: Expression, value: number): string =>
  expression.kind === 'name' ? `${expression.name} (${value})` : String(value);

const nameOf = (expression: Expression | undefined): string =>
  expression?.kind === 'name' ? expression.name : String(numberOf(expression));

const setsockopt: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  return fd === null ? EBADF : setOption(fd, nameOf(args[2]), args[3], kernel.host, kernel.profile);
};

const getsockopt: Call = (kernel, args) => () => {
  const fd = fdOf(kernel, args[0]);
  if (fd === null) return EBADF;
  const name = nameOf(args[2]);
  const shown = dereference(args[3]);
  if (name === 'SO_LINGER' && fd.kind === 'tcp') {
    const onoff = member(args[3], 'onoff');
    return onoff === undefined ? 0 : shows(onoff, Number(fd.resetOnClose), 'onoff');
  }
  if (name === 'TCP_INFO' && fd.kind === 'tcp') return compareInfo(kernel, fd, args[3]);
  const value = getOption(fd, name, kernel.profile);
  if (typeof value === 'string') {
    if (shown?.kind !== 'string' || shown.value === value) return 0;
    return { value: 0, difference: `expected ${name} "${shown.value}", got "${value}"` };
  }
  if (value < 0) return value;
  return shows(args[3], name === 'SO_ERROR' ? errorAs(kernel, value, shown) : value, name);
};

/** FreeBSD calls what an administrator prohibits refused; RFC 1122 §3.2.2.1 has a network or a host unreachable. */
function errorAs(kernel: Kernel, error: number, shown: Expression | undefined): number {
  const isUnreachable = error === -ENETUNREACH || error === -EHOSTUNREACH;
  const isRefused = shown?.kind === 'name' && shown.name === 'ECONNREFUSED';
  return kernel.profile.dialect === 'freebsd' && isUnreachable && isRefused ? -ECONNREFUSED : error;
}

/** Every member the script names. */
function compareInfo(kernel: Kernel, fd: TcpFd, expected: Expression | undefined): ReturnType<Attempt> {
  const structure = dereference(expected);
  if (structure?.kind !== 'struct') return 0;
  const info = kernel.info(fd);
  for (const field of structure.fields) {
    if (field.value.kind === 'any') continue;
    const actual = info.get(field.name);
    if (actual === undefined) throw new Unsupported(`${field.name} of struct tcp_info`);
    const difference = shows(field.value, Number(actual), field.name);
    if (difference !== 0) return difference;
  }
  return 0;
}

const poll: Call = (kernel, args) => {
  const wanted = itemsOf(args[0]);
  const timeout = numberOf(args[2]);
  const deadline = kernel.now + timeout * 1000;
  return () => {
    let count = 0;
    let difference = '';
    for (const entry of wanted) {
      const fd = fdOf(kernel, member(entry, 'fd'));
      const events = numberOf(member(entry, 'events'));
      const always = SOCKET.POLLERR | SOCKET.POLLHUP;
      const bits = fd === null || fd.kind === 'epoll' ? SOCKET.POLLNVAL : fd.poll() & (events | always);
      if (bits !== 0) count++;
      const revents = member(entry, 'revents');
      if (revents !== undefined && revents.kind !== 'any' && numberOf(revents) !== bits)
        difference = `expected revents ${pollNames(numberOf(revents))}, got ${pollNames(bits)}`;
    }
    if (count === 0 && timeout !== 0 && (timeout < 0 || kernel.now < deadline)) {
      if (timeout > 0) kernel.wakeAt(deadline);
      return BLOCKED;
    }
    return difference === '' ? count : { value: count, difference };
  };
};

const pollNames = (bits: number): string =>
  Object.entries(SOCKET)
    .filter(([name, bit]) => /^POLL/.test(name) && (bits & bit) !== 0)
    .map(([name]) => name)
    .join('|') || '0';

const epollCreate: Call = (kernel, _args, event) => () => install(kernel, new EpollFd(), event);

const epollCtl: Call = (kernel, args) => () => {
  const epoll = fdOf(kernel, args[0]);
  const number = numberOf(args[2]);
  const fd = kernel.fds.get(number);
  if (epoll?.kind !== 'epoll' || fd === undefined || fd.kind === 'epoll') return EBADF;
  const operation = numberOf(args[1]);
  if (operation === SOCKET.EPOLL_CTL_DEL) return epoll.watches.delete(number) ? 0 : -2;
  const events = numberOf(member(args[3], 'events'));
  const data = numberOf(member(args[3], 'fd') ?? member(args[3], 'u32') ?? member(args[3], 'ptr'));
  const known = epoll.watches.get(number);
  if (operation === SOCKET.EPOLL_CTL_ADD) {
    if (known !== undefined) return -17;
    epoll.watches.set(number, { fd: number, socket: fd, events, data, silent: false });
  } else if (known === undefined) return -2;
  else Object.assign(known, { events, data, silent: false });
  fd.edges = EV_READABLE | EV_WRITABLE;
  return 0;
};

const epollWait: Call = (kernel, args) => {
  const timeout = numberOf(args[3]);
  const deadline = kernel.now + timeout * 1000;
  return () => {
    const epoll = fdOf(kernel, args[0]);
    if (epoll?.kind !== 'epoll') return EBADF;
    const ready = epoll.ready(numberOf(args[2], 1));
    if (ready.length === 0 && timeout !== 0 && (timeout < 0 || kernel.now < deadline)) {
      if (timeout > 0) kernel.wakeAt(deadline);
      return BLOCKED;
    }
    if (ready.length > 0) {
      const events = member(args[1], 'events');
      const bits = ready[0].bits >>> 0;
      if (events !== undefined && events.kind !== 'any' && numberOf(events) !== bits)
        return {
          value: ready.length,
          difference: `expected events ${numberOf(events)}, got ${bits} (${pollNames(bits)})`,
        };
    }
    return ready.length;
  };
};

const CALLS: Readonly<Record<string, Call>> = {
  socket,
  bind,
  listen,
  accept,
  accept4: accept,
  connect,
  read,
  readv,
  recv,
  recvfrom: recv,
  recvmsg,
  write,
  writev,
  send,
  sendto,
  sendmsg,
  shutdown,
  close,
  fcntl,
  ioctl,
  poll,
  setsockopt,
  getsockopt,
  epoll_create: epollCreate,
  epoll_create1: epollCreate,
  epoll_ctl: epollCtl,
  epoll_wait: epollWait,
  usleep: (kernel, args) => {
    const until = kernel.now + numberOf(args[0]);
    return () => {
      if (kernel.now >= until) return 0;
      kernel.wakeAt(until);
      return BLOCKED;
    };
  },
  // Connections of stacks that can be chosen, capabilities and namespaces: nothing of ours.
  sync: () => now(0),
};

export function prepare(kernel: Kernel, event: CallEvent): Attempt {
  if (!Object.hasOwn(CALLS, event.name)) throw new Unsupported(`the system call ${event.name}`);
  if (event.args.length > 10) throw new ScriptError(event.line, `${event.name} with ${event.args.length} arguments`);
  return CALLS[event.name](kernel, event.args, event);
}
