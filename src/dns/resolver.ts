// `dns.Resolver` and `dns.promises.Resolver` of one stack: classes whose instances have servers, settings and a memory of their own.

import { isIP, isIPv4 } from 'node:net';
import { coded, invalidArgType, invalidArgValue } from '../node/errors.ts';
import { validateFunction, validateObject, validateString } from '../node/validate.ts';
import { notAnAddress, queryError } from './errors.ts';
import { checkServers, checkStubOptions } from './options.ts';
import type { Queries } from './queries.ts';
import { METHOD_OF, RECORD_KINDS, type ResolveMethod } from './records.ts';
import { formatServer } from './server-address.ts';
import type { StubOptions } from './stub-resolver.ts';

export type DnsCallback = (error: Error | null, result?: unknown) => void;

/** Makes what a new Resolver asks with. */
export type QueriesFactory = (options: StubOptions) => Queries;

/** What both kinds of Resolver have. */
export class ResolverBase {
  readonly #queries: Queries;

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  /** @internal */
  static queriesOf(resolver: ResolverBase): Queries {
    return resolver.#queries;
  }

  cancel(): void {
    this.#queries.stub.cancel();
  }

  getServers(): string[] {
    return this.#queries.stub.servers.map(formatServer);
  }

  setServers(servers: readonly string[]): void {
    this.#queries.stub.servers = checkServers(servers, 'servers');
  }

  /** Ask from these own addresses. */
  setLocalAddress(first = '0.0.0.0', second?: string): void {
    const { stub } = this.#queries;
    validateString(first, 'ipv4');
    if (second !== undefined) validateString(second, 'ipv6');
    const given = second === undefined ? [first] : [first, second];
    for (const address of given) if (isIP(address) === 0) throw badAddress('Invalid IP address.');
    if (second !== undefined && isIP(first) === isIP(second))
      throw badAddress(`Cannot specify two IPv${isIP(first)} addresses.`);
    for (const address of given) {
      if (isIPv4(address)) stub.local4 = address;
      else stub.local6 = address;
    }
  }
}

const badAddress = (message: string): Error => coded(new TypeError(message), 'ERR_INVALID_ARG_VALUE');

const methods = Object.keys(RECORD_KINDS) as ResolveMethod[];

/** The question behind a call; throws what Node throws for wrong arguments. */
function methodOf(rrtype: unknown): ResolveMethod {
  validateString(rrtype, 'rrtype');
  const method = Object.hasOwn(METHOD_OF, rrtype) ? METHOD_OF[rrtype] : undefined;
  if (method === undefined) throw invalidArgValue('rrtype', rrtype);
  return method;
}

async function ask(queries: Queries, method: ResolveMethod, name: string, withTtl: boolean): Promise<unknown> {
  try {
    return await queries.resolve(method, name, withTtl);
  } catch (reason) {
    throw queryError(reason, RECORD_KINDS[method].syscall, name);
  }
}

async function askReverse(queries: Queries, address: string): Promise<string[]> {
  try {
    return await queries.reverse(address);
  } catch (reason) {
    throw queryError(reason, 'getHostByAddr', address);
  }
}

const wantsTtl = (options: unknown): boolean =>
  typeof options === 'object' && options !== null && Boolean((options as { ttl?: unknown }).ttl);

/** Hand the outcome to `callback`, in a tick of its own: what it throws is an uncaught exception. */
export function deliver(outcome: Promise<unknown>, callback: DnsCallback): void {
  outcome.then(
    (result) => process.nextTick(callback, null, result),
    (error: Error) => process.nextTick(callback, error),
  );
}

function checkOptions(options: unknown): StubOptions {
  if (options === undefined) return {};
  validateObject(options, 'options');
  checkStubOptions(options, 'options');
  return options;
}

/** A class whose methods take callbacks. */
export function callbackResolver(create: QueriesFactory): new (options?: StubOptions) => ResolverBase {
  class Resolver extends ResolverBase {
    constructor(options?: StubOptions) {
      super(create(checkOptions(options)));
    }

    resolve(name: unknown, rrtype: unknown, callback?: unknown): object {
      // `resolve(name, callback)` is about addresses.
      const method = typeof rrtype === 'function' ? 'resolve4' : methodOf(rrtype);
      return query(this, method, name, false, typeof rrtype === 'function' ? rrtype : callback);
    }

    reverse(address: unknown, callback: unknown): object {
      validateString(address, 'name');
      validateFunction(callback, 'callback');
      if (isIP(address) === 0) throw notAnAddress(address);
      deliver(askReverse(ResolverBase.queriesOf(this), address), callback as DnsCallback);
      return { hostname: address, callback };
    }
  }
  const query = (self: ResolverBase, method: ResolveMethod, name: unknown, ttl: boolean, callback: unknown): object => {
    validateString(name, 'name');
    validateFunction(callback, 'callback');
    deliver(ask(ResolverBase.queriesOf(self), method, name, ttl), callback as DnsCallback);
    return { bindingName: RECORD_KINDS[method].syscall, hostname: name, callback, ttl };
  };
  for (const method of methods) {
    define(Resolver.prototype, method, function (this: ResolverBase, name, second, third) {
      const [options, callback] = third === undefined ? [undefined, second] : [second, third];
      return query(this, method, name, wantsTtl(options), callback);
    });
  }
  return Resolver;
}

/** A class whose methods give promises. */
export function promiseResolver(create: QueriesFactory): new (options?: StubOptions) => ResolverBase {
  class Resolver extends ResolverBase {
    constructor(options?: StubOptions) {
      super(create(checkOptions(options)));
    }

    resolve(name: unknown, rrtype: unknown = 'A'): Promise<unknown> {
      validateString(name, 'name');
      return ask(ResolverBase.queriesOf(this), methodOf(rrtype), name, false);
    }

    reverse(address: unknown): Promise<string[]> {
      validateString(address, 'name');
      if (isIP(address) === 0) return Promise.reject(notAnAddress(address));
      return askReverse(ResolverBase.queriesOf(this), address);
    }
  }
  for (const method of methods) {
    define(Resolver.prototype, method, function (this: ResolverBase, name, options) {
      validateString(name, 'name');
      return ask(ResolverBase.queriesOf(this), method, name, wantsTtl(options));
    });
  }
  return Resolver;
}

function define(
  prototype: object,
  name: string,
  value: (this: ResolverBase, first: unknown, second: unknown, third: unknown) => unknown,
): void {
  Object.defineProperty(value, 'name', { value: name });
  Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
}

/** Every method of `resolver` that modules have as a function, bound to it. */
export function boundMethods(resolver: ResolverBase): Record<string, (...args: unknown[]) => unknown> {
  const result: Record<string, (...args: unknown[]) => unknown> = {};
  for (const name of [...methods, 'resolve', 'reverse', 'getServers', 'setServers']) {
    const method: unknown = Reflect.get(resolver, name);
    if (typeof method !== 'function') throw invalidArgType(name, 'Function', method);
    result[name] = (...args) => Reflect.apply(method, resolver, args);
  }
  return result;
}
