// How a Socket gets its connection: arguments, name, address, and what happens when it fails.
//
// Several addresses for one name are tried in turn, each for a moment before the next has its chance, as RFC 8305 (Happy Eyeballs)
// has it and `autoSelectFamily` asks for.

import { ADDRCONFIG, type LookupAddress } from 'node:dns';
import type { IpcNetConnectOpts, NetConnectOpts, TcpNetConnectOpts } from 'node:net';
import { isIP, isIPv6 } from 'node:net';
import type { ClockTimer } from '../driver/clock.ts';
import { EADDRINUSE, EADDRNOTAVAIL, ENETUNREACH, ETIMEDOUT } from '../errno.ts';
import { Address } from '../wire/address.ts';
import type { NetContext } from './context.ts';
import { kContext } from './context.ts';
import type { NetworkError } from './errors.ts';
import {
  addressException,
  connectionTimeout,
  invalidAddress,
  invalidAddressFamily,
  invalidArgType,
  invalidArgValue,
  missingArgs,
} from './errors.ts';
import type { Socket } from './socket.ts';
import { TcpHandle } from './tcp-handle.ts';
import type { ConnectTuning } from './tuning.ts';
import { connectTuning } from './tuning.ts';
import { validateBoolean, validateFunction, validateInt32, validateNumber, validatePort } from './validate.ts';

export type ConnectArguments = unknown[];

/** `options` and the callback of `connect()` or `listen()`, from any of the forms they may be called in. */
export function normalizeArguments(args: unknown[]): [Record<string, unknown>, (() => void) | null] {
  const first = args[0];
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : null;
  if (args.length === 0) return [{}, null];
  if (typeof first === 'object' && first !== null) return [first as Record<string, unknown>, callback];
  if (isPath(first)) return [{ path: first }, callback];
  const options: Record<string, unknown> = { port: first };
  if (typeof args[1] === 'string') options.host = args[1];
  return [options, callback];
}

/** A string that is not a port number is a path. */
const isPath = (value: unknown): value is string => typeof value === 'string' && !(Number(value) >= 0);

export const pathError = (path: unknown): Error =>
  invalidArgValue(
    'options.path',
    path,
    'is a UNIX socket of the host and not reachable through a stack; use node:net for it',
  );

interface Target {
  readonly context: NetContext;
  readonly socket: Socket;
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly tuning: ConnectTuning;
}

export function connectSocket(socket: Socket, args: ConnectArguments): void {
  const context = socket[kContext];
  const [given, callback] = normalizeArguments(args);
  const options = given as Partial<TcpNetConnectOpts & IpcNetConnectOpts>;
  if (callback !== null) socket.once('connect', callback);
  if (socket._parent?.connecting) return;
  if (options.port === undefined && (options.path === undefined || options.path === null))
    throw missingArgs('options', 'port', 'path');
  if (options.path) throw pathError(options.path);

  // A socket that has been ended by its peer, or destroyed, may connect again.
  if (Object.hasOwn(socket, 'write')) Reflect.deleteProperty(socket, 'write');
  if (socket.destroyed) socket._handle = null;
  if (socket._handle === null) socket._setHandle(new TcpHandle(context));
  socket._unrefTimer();
  socket.connecting = true;
  lookupAndConnect(context, socket, options);
}

function lookupAndConnect(
  context: NetContext,
  socket: Socket,
  options: Partial<NetConnectOpts & TcpNetConnectOpts> & ConnectTuning,
): void {
  const { localAddress, localPort } = options;
  const tuning = connectTuning(options);
  const host = options.host || 'localhost';
  if (localAddress && !isIP(localAddress)) throw invalidAddress(localAddress);
  if (localPort) validateNumber(localPort, 'options.localPort');
  if (options.port !== undefined && typeof options.port !== 'number' && typeof options.port !== 'string')
    throw invalidArgType('options.port', ['number', 'string'], options.port);
  const port = options.port === undefined ? 0 : validatePort(options.port);
  let { autoSelectFamily, autoSelectFamilyAttemptTimeout: attempt } = options;
  if (autoSelectFamily !== undefined && autoSelectFamily !== null)
    validateBoolean(autoSelectFamily, 'options.autoSelectFamily');
  else autoSelectFamily = context.defaults.autoSelectFamily;
  if (attempt !== undefined && attempt !== null) {
    validateInt32(attempt, 'options.autoSelectFamilyAttemptTimeout', 1);
    attempt = Math.max(attempt, 10);
  } else attempt = context.defaults.autoSelectFamilyAttemptTimeout;

  const target: Target = { context, socket, port, localAddress, localPort, tuning };
  if (isIP(host) !== 0) {
    process.nextTick(() => {
      if (socket.connecting) connectTo(target, host, isIP(host));
    });
    return;
  }

  if (options.lookup !== undefined && options.lookup !== null) validateFunction(options.lookup, 'options.lookup');
  socket._host = host;
  const lookup = (options.lookup as NetContext['lookup'] | undefined) ?? context.lookup;
  const family = options.family;
  // As Node asks: unless told otherwise, for families of which there are addresses here.
  const hints = options.hints || (family === 4 || family === 6 ? 0 : ADDRCONFIG);
  const query = { family, hints };
  if (autoSelectFamily && family !== 4 && family !== 6 && !localAddress) {
    lookup(host, { ...query, all: true }, (error, found) => {
      const addresses = typeof found === 'string' ? [{ address: found, family: isIP(found) }] : (found ?? []);
      if (error === null || error === undefined) {
        for (const { address, family } of addresses) socket.emit('lookup', error, address, family, host);
      } else socket.emit('lookup', error, undefined, undefined, host);
      if (!socket.connecting) return;
      if (error) failLater(socket, error);
      else connectToAny(target, addresses, attempt);
    });
    return;
  }
  lookup(host, query, (error, found, addressType) => {
    const address = typeof found === 'string' ? found : found?.[0]?.address;
    socket.emit('lookup', error, address, addressType, host);
    if (!socket.connecting) return;
    if (error) failLater(socket, error);
    else if (address === undefined || isIP(address) === 0) failLater(socket, invalidAddress(address));
    else if (addressType !== 4 && addressType !== 6)
      failLater(socket, invalidAddressFamily(addressType, options.host, options.port));
    else {
      socket._unrefTimer();
      connectTo(target, address, addressType);
    }
  });
}

function failLater(socket: Socket, error: Error): void {
  process.nextTick(() => socket.destroy(error));
}

/** Start connecting the socket's handle; the error when that fails at once. */
function start(target: Target, address: string, done: (errno: number) => void): NetworkError | null {
  const { socket, port, localAddress, localPort, tuning } = target;
  const handle = socket._handle;
  if (handle === null) return addressException(ENETUNREACH, 'connect', address, port);
  const bound = localAddress || localPort ? (localAddress ?? '0.0.0.0') : undefined;
  if (bound !== undefined) {
    const errno = handle.bind(bound, localPort ?? 0);
    if (errno < 0) return addressException(errno, 'bind', bound, localPort);
  }
  socket.emit('connectionAttempt', address, port, isIP(address));
  // The unspecified address means this host, as on Linux.
  const remote = Address.parse(address === '0.0.0.0' ? '127.0.0.1' : address);
  const errno = remote === null ? ENETUNREACH : handle.connect(remote, port, done, tuning);
  if (errno === 0) {
    if (tuning.fastOpen) socket._writeEarly();
    return null;
  }
  // Binding and connecting are one step here; these two are about the local side.
  if (bound !== undefined && (errno === EADDRINUSE || errno === EADDRNOTAVAIL))
    return addressException(errno, 'bind', bound, localPort);
  const local = handle.getsockname();
  return addressException(errno, 'connect', address, port, `${isIPv6(address) ? '::' : local.address}:${local.port}`);
}

function attemptError(target: Target, errno: number, address: string): NetworkError {
  const { port, localAddress, localPort } = target;
  const local = localAddress && localPort ? `${localAddress}:${localPort}` : undefined;
  const error = addressException(errno, 'connect', address, port, local);
  return local === undefined ? error : Object.assign(error, { localAddress, localPort });
}

function connectTo(target: Target, address: string, family: number): void {
  const { socket, port } = target;
  const failure = start(target, address, (errno) => {
    if (socket.destroyed) return;
    if (errno === 0) {
      socket._connected();
      return;
    }
    socket.connecting = false;
    const error = attemptError(target, errno, address);
    socket.emit('connectionAttemptFailed', address, port, family, error);
    socket.destroy(error);
  });
  if (failure !== null) socket.destroy(failure);
}

function connectToAny(target: Target, found: LookupAddress[], patience: number): void {
  const { context, socket, port } = target;
  const valid = found.filter(({ address, family }) => isIP(address) !== 0 && (family === 4 || family === 6));
  if (valid.length === 0) {
    const bad = found[0];
    if (bad === undefined || isIP(bad.address) === 0) failLater(socket, invalidAddress(bad?.address));
    else failLater(socket, invalidAddressFamily(bad.family, socket._host, port));
    return;
  }
  const addresses = interleave(valid);
  if (addresses.length === 1) {
    socket._unrefTimer();
    connectTo(target, addresses[0].address, addresses[0].family);
    return;
  }
  socket.autoSelectFamilyAttemptedAddresses = [];
  const errors: Error[] = [];
  let current = 0;
  let timer: ClockTimer | null = null;

  const next = (): void => {
    timer?.close();
    timer = null;
    if (socket._aborted || !socket.connecting) return;
    if (current === addresses.length) {
      socket.destroy(errors.length === 0 ? connectionTimeout() : aggregate(errors));
      return;
    }
    const { address, family } = addresses[current++];
    if (current > 1) {
      socket._handle?.close();
      socket._setHandle(new TcpHandle(context));
    }
    socket.autoSelectFamilyAttemptedAddresses?.push(`${address}:${port}`);
    const failure = start(target, address, (errno) => {
      timer?.close();
      timer = null;
      if (socket.destroyed) return;
      if (errno === 0) socket._connected();
      else failed(attemptError(target, errno, address));
    });
    const failed = (error: Error): void => {
      errors.push(error);
      socket.emit('connectionAttemptFailed', address, port, family, error);
      next();
    };
    if (failure !== null) failed(failure);
    else if (current < addresses.length) {
      timer = context.driver.clock.timer(() => {
        socket.emit('connectionAttemptTimeout', address, port, family);
        errors.push(attemptError(target, ETIMEDOUT, address));
        next();
      }, patience);
    }
  };
  socket._unrefTimer();
  next();
}

/** Families take turns, the first one's first (RFC 8305 §4). */
function interleave(addresses: LookupAddress[]): LookupAddress[] {
  const first = addresses.filter(({ family }) => family === addresses[0].family);
  const second = addresses.filter(({ family }) => family !== addresses[0].family);
  const result: LookupAddress[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    if (i < first.length) result.push(first[i]);
    if (i < second.length) result.push(second[i]);
  }
  return result;
}

function aggregate(errors: Error[]): AggregateError {
  const first = errors[0] as NetworkError;
  return Object.assign(new AggregateError(errors), { code: first.code });
}
