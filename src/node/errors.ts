// Errors in Node's shape: the codes, properties and messages programs already test for.
//
// Errors of the network carry `code errno syscall` and, where there is one, `address port`. Misuse throws a TypeError or RangeError whose
// `code` starts with ERR_.

import { getSystemErrorMap, inspect } from 'node:util';

export interface NetworkError extends Error {
  code: string;
  errno: number;
  syscall: string;
  address?: string;
  port?: number;
  localAddress?: string;
  localPort?: number;
}

export interface CodedError extends Error {
  code: string;
}

const systemErrors = getSystemErrorMap();

/** 'ECONNREFUSED' for -111, as Node names it. */
export const codeOf = (errno: number): string => systemErrors.get(errno)?.[0] ?? `Unknown system error ${errno}`;

function networkError(message: string, errno: number, syscall: string, address?: string, port?: number): NetworkError {
  const error = new Error(message) as NetworkError;
  error.errno = errno;
  error.code = codeOf(errno);
  error.syscall = syscall;
  if (address !== undefined) error.address = address;
  if (port) error.port = port;
  return error;
}

/** `read ECONNRESET` */
export const errnoException = (errno: number, syscall: string): NetworkError =>
  networkError(`${syscall} ${codeOf(errno)}`, errno, syscall);

const place = (address: string | undefined, port: number | undefined): string =>
  port && port > 0 ? ` ${address}:${port}` : address ? ` ${address}` : '';

/** `connect ECONNREFUSED 10.9.0.1:81`, and ` - Local (10.9.0.2:0)` behind it when `local` is given. */
export const addressException = (
  errno: number,
  syscall: string,
  address: string | undefined,
  port: number | undefined,
  local?: string,
): NetworkError =>
  networkError(
    `${syscall} ${codeOf(errno)}${place(address, port)}${local ? ` - Local (${local})` : ''}`,
    errno,
    syscall,
    address,
    port,
  );

/** `listen EADDRINUSE: address already in use 10.9.0.2:80` */
export const listenException = (errno: number, address: string | undefined, port: number | undefined): NetworkError =>
  networkError(
    `listen ${codeOf(errno)}: ${systemErrors.get(errno)?.[1] ?? 'unknown error'}${place(address, port)}`,
    errno,
    'listen',
    address,
    port,
  );

/** An error of Node's with a `code`: its name in the stack trace shows the code, as Node's does. */
export function coded(error: Error, code: string): CodedError {
  const { name } = error;
  Object.defineProperty(error, 'name', { value: `${name} [${code}]`, configurable: true, writable: true });
  void error.stack; // formatted once, now, with that name in it
  Reflect.deleteProperty(error, 'name');
  Object.defineProperty(error, 'toString', {
    value: () => `${name} [${code}]: ${error.message}`,
    configurable: true,
    writable: true,
  });
  return Object.assign(error, { code });
}

/** How Node describes a value it did not want. */
function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') {
    const name: unknown = value.constructor?.name;
    return typeof name === 'string' && name ? `an instance of ${name}` : inspect(value, { depth: -1 });
  }
  let shown = inspect(value, { colors: false });
  if (shown.length > 28) shown = `${shown.slice(0, 25)}...`;
  return `type ${typeof value} (${shown})`;
}

const PRIMITIVES = new Set([
  'string',
  'function',
  'number',
  'object',
  'Function',
  'Object',
  'boolean',
  'bigint',
  'symbol',
]);

const either = (list: string[]): string =>
  list.length > 2 ? `${list.slice(0, -1).join(', ')}, or ${list.at(-1)}` : list.join(' or ');

export function invalidArgType(name: string, expected: string | string[], actual: unknown): CodedError {
  const all = typeof expected === 'string' ? [expected] : expected;
  const types = all.filter((type) => PRIMITIVES.has(type)).map((type) => type.toLowerCase());
  const classes = all.filter((type) => !PRIMITIVES.has(type));
  const parts: string[] = [];
  if (types.length > 0) parts.push(`${types.length > 1 ? 'one of type' : 'of type'} ${either(types)}`);
  if (classes.length > 0) parts.push(`an instance of ${either(classes)}`);
  const subject = `"${name}" ${name.includes('.') ? 'property' : 'argument'}`;
  const message = `The ${subject} must be ${parts.join(' or ')}. Received ${describe(actual)}`;
  return coded(new TypeError(message), 'ERR_INVALID_ARG_TYPE');
}

export function invalidArgValue(name: string, value: unknown, reason = 'is invalid'): CodedError {
  let shown = inspect(value);
  if (shown.length > 128) shown = `${shown.slice(0, 128)}...`;
  const kind = name.includes('.') ? 'property' : 'argument';
  return coded(new TypeError(`The ${kind} '${name}' ${reason}. Received ${shown}`), 'ERR_INVALID_ARG_VALUE');
}

export const outOfRange = (name: string, range: string, value: unknown): CodedError =>
  coded(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${inspect(value)}`),
    'ERR_OUT_OF_RANGE',
  );

export const badPort = (name: string, port: unknown, allowZero: boolean): CodedError =>
  coded(
    new RangeError(`${name} should be ${allowZero ? '>=' : '>'} 0 and < 65536. Received ${describe(port)}.`),
    'ERR_SOCKET_BAD_PORT',
  );

/** One of `names` has to be given. */
export const missingArgs = (...names: string[]): CodedError =>
  coded(
    new TypeError(`The ${names.map((name) => `"${name}"`).join(' or ')} argument must be specified`),
    'ERR_MISSING_ARGS',
  );

const simple =
  (code: string, message: string, Base: new (message: string) => Error = Error) =>
  (): CodedError =>
    coded(new Base(message), code);

export const socketClosed = simple('ERR_SOCKET_CLOSED', 'Socket is closed');
export const socketClosedBeforeConnection = simple(
  'ERR_SOCKET_CLOSED_BEFORE_CONNECTION',
  'Socket closed before the connection was established',
);
export const connectionTimeout = simple('ERR_SOCKET_CONNECTION_TIMEOUT', 'Socket connection timeout');
export const serverAlreadyListening = simple(
  'ERR_SERVER_ALREADY_LISTEN',
  'Listen method has been called more than once without closing.',
);
export const serverNotRunning = simple('ERR_SERVER_NOT_RUNNING', 'Server is not running.');
export const dgramNotRunning = simple('ERR_SOCKET_DGRAM_NOT_RUNNING', 'Not running');
export const dgramConnected = simple('ERR_SOCKET_DGRAM_IS_CONNECTED', 'Already connected');
export const dgramNotConnected = simple('ERR_SOCKET_DGRAM_NOT_CONNECTED', 'Not connected');
export const alreadyBound = simple('ERR_SOCKET_ALREADY_BOUND', 'Socket is already bound');
export const badSocketType = simple(
  'ERR_SOCKET_BAD_TYPE',
  'Bad socket type specified. Valid types are: udp4, udp6',
  TypeError,
);
export const badBufferSize = simple('ERR_SOCKET_BAD_BUFFER_SIZE', 'Buffer size must be a positive integer', TypeError);

export const bufferOutOfBounds = (name: string): CodedError =>
  coded(new RangeError(`"${name}" is outside of buffer bounds`), 'ERR_BUFFER_OUT_OF_BOUNDS');

export const invalidAddress = (address: unknown): CodedError =>
  coded(new TypeError(`Invalid IP address: ${String(address)}`), 'ERR_INVALID_IP_ADDRESS');

export const invalidAddressFamily = (family: unknown, host: unknown, port: unknown): CodedError =>
  Object.assign(
    coded(
      new RangeError(`Invalid address family: ${String(family)} ${String(host)}:${String(port)}`),
      'ERR_INVALID_ADDRESS_FAMILY',
    ),
    { host, port },
  );

export const abortError = (cause: unknown): CodedError & { name: string } =>
  Object.assign(new Error('The operation was aborted', { cause }), { name: 'AbortError', code: 'ABORT_ERR' });
