// `stack.dns`: the module Node calls `dns`, on one stack.
//
// `lookup` finds what sockets of the stack find: literals, `localhost`, the hosts it was given, and then asks the servers; a stack without
// servers asks the system it runs on. Only families the stack speaks are given unless another is asked for, as with the ADDRCONFIG hint.

import nodeDns from 'node:dns';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import type { Lookup } from '../node/context.ts';
import { coded, invalidArgValue } from '../node/errors.ts';
import { validateBoolean, validateFunction, validateNumber, validatePort, validateString } from '../node/validate.ts';
import { lookupError } from './errors.ts';
import type { DnsHost } from './exchange.ts';
import { HostsFile } from './hosts-file.ts';
import { createNameLookup } from './name-lookup.ts';
import { checkServers, type DnsOptions } from './options.ts';
import { Queries } from './queries.ts';
import { boundMethods, callbackResolver, promiseResolver } from './resolver.ts';
import { StubResolver } from './stub-resolver.ts';

export type Dns = typeof nodeDns;

type Order = 'verbatim' | 'ipv4first' | 'ipv6first';
const ORDERS: readonly unknown[] = ['verbatim', 'ipv4first', 'ipv6first'];
const HINTS = nodeDns.ADDRCONFIG | nodeDns.ALL | nodeDns.V4MAPPED;

interface LookupQuery {
  readonly hostname: string;
  readonly family: 0 | 4 | 6;
  readonly hints: number;
  readonly all: boolean;
}

interface Found {
  readonly address: string;
  readonly family: number;
}

export interface StackDns {
  readonly module: Dns;
  /** What the servers know; null while there are none. */
  readonly lookup: () => Lookup | null;
}

/** @param lookup of the stack, for `dns.lookup` */
export function createDns(host: DnsHost, options: DnsOptions, lookup: Lookup): StackDns {
  const { search = [], ndots = 1, hostsFile } = options;
  const hosts = hostsFile === undefined ? null : new HostsFile(hostsFile);
  const initial = checkServers(options.servers ?? [], 'options.dns.servers');
  const own = (given: DnsOptions): Queries =>
    new Queries(new StubResolver(host, initial, { ...options, ...given }), hosts);
  const queries = own({});
  const Resolver = callbackResolver(own);
  const PromiseResolver = promiseResolver(own);
  // The module's own functions are methods of one resolver, in both styles.
  const bound = boundMethods(new (callbackResolver(() => queries))());
  const boundPromises = boundMethods(new (promiseResolver(() => queries))());

  let order: Order = 'verbatim';
  const find = promisify((query: LookupQuery, done: (error: Error | null, found: Found[]) => void) =>
    lookup(query.hostname, { family: query.family, hints: query.hints, all: true }, (error, found) => {
      if (error) done(error, []);
      else done(null, typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found);
    }),
  );

  const lookupService = async (address: string, port: number): Promise<{ hostname: string; service: string }> => {
    let hostname = address;
    try {
      [hostname] = await queries.reverse(address);
    } catch (reason) {
      throw lookupError(reason, 'getnameinfo', address);
    }
    const { serviceName } = await import('../cli/services.ts');
    return { hostname, service: serviceName(port, 'tcp') ?? String(port) };
  };

  const common = {
    getDefaultResultOrder: (): Order => order,
    setDefaultResultOrder(value: Order): void {
      if (!ORDERS.includes(value)) throw oneOf('dnsOrder', value, ORDERS);
      order = value;
    },
  };
  // ADDRCONFIG, NODATA … are Node's own.
  const constants = Object.fromEntries(
    Object.entries(nodeDns).filter(([, value]) => typeof value === 'number' || typeof value === 'string'),
  );
  const errorCodes = Object.fromEntries(Object.entries(constants).filter(([, value]) => typeof value === 'string'));

  const promises = {
    ...boundPromises,
    ...common,
    ...errorCodes,
    Resolver: PromiseResolver,
    lookup(hostname: unknown, given?: unknown): Promise<unknown> {
      const query = checkLookup(hostname, given);
      if (query.hostname === '') return Promise.resolve(query.all ? [] : { address: null, family: nothing(query) });
      return find(query).then((found) => (query.all ? found : found[0]));
    },
    lookupService(...args: unknown[]): Promise<unknown> {
      if (args.length !== 2) throw missing('The "address" and "port" arguments must be specified');
      const [address, port] = checkService(args[0], args[1]);
      return lookupService(address, port);
    },
  };

  const module = {
    ...bound,
    ...common,
    ...constants,
    Resolver,
    promises,
    lookup(hostname: unknown, second?: unknown, third?: unknown): object {
      const [given, callback] = typeof second === 'function' ? [undefined, second] : [second, third];
      const query = checkLookup(hostname, given, () => validateFunction(callback, 'callback'));
      validateFunction(callback, 'callback');
      const answer = callback as (error: Error | null, ...found: unknown[]) => void;
      if (query.hostname === '') {
        if (query.all) process.nextTick(answer, null, []);
        else process.nextTick(answer, null, null, nothing(query));
      } else
        find(query).then(
          (found) => {
            if (query.all) process.nextTick(answer, null, found);
            else process.nextTick(answer, null, found[0].address, found[0].family);
          },
          (error: Error) => process.nextTick(answer, error),
        );
      return { hostname, callback, family: query.family };
    },
    lookupService(...args: unknown[]): object {
      if (args.length !== 3) throw missing('The "address", "port", and "callback" arguments must be specified');
      const [address, port] = checkService(args[0], args[1]);
      const [, , callback] = args;
      validateFunction(callback, 'callback');
      const answer = callback as (error: Error | null, hostname?: string, service?: string) => void;
      lookupService(address, port).then(
        ({ hostname, service }) => process.nextTick(answer, null, hostname, service),
        (error: Error) => process.nextTick(answer, error),
      );
      return { hostname: address, port, callback };
    },
  };
  // Results with two values are objects when promised, as Node does it.
  Object.defineProperty(module.lookup, promisify.custom, { value: promises.lookup });
  Object.defineProperty(module.lookupService, promisify.custom, { value: promises.lookupService });

  const byName = createNameLookup(queries, hosts, { search, ndots });
  return {
    // Node's types have overloads without number; test/dns/module.test.ts compares the two modules name by name.
    module: module as unknown as Dns,
    lookup: () => (queries.stub.servers.length > 0 || hosts !== null ? byName : null),
  };
}

const nothing = ({ family }: LookupQuery): number => (family === 6 ? 6 : 4);

const oneOf = (name: string, value: unknown, allowed: readonly unknown[]): Error =>
  invalidArgValue(
    name,
    value,
    `must be one of: ${allowed.map((one) => (typeof one === 'string' ? `'${one}'` : String(one))).join(', ')}`,
  );

const missing = (message: string): Error => coded(new TypeError(message), 'ERR_MISSING_ARGS');

function checkLookup(hostname: unknown, given: unknown, checkCallback: () => void = () => {}): LookupQuery {
  if (hostname) validateString(hostname, 'hostname');
  let family: unknown = 0;
  let hints = 0;
  let all = false;
  if (typeof given === 'number') {
    checkCallback();
    family = given;
    if (given !== 0 && given !== 4 && given !== 6) throw oneOf('family', given, [0, 4, 6]);
  } else if (given !== undefined && given !== null) {
    if (typeof given !== 'object') validateNumber(given, 'options');
    checkCallback();
    const options = given as nodeDns.LookupAllOptions & { order?: unknown };
    if (options.hints !== undefined && options.hints !== null) {
      validateNumber(options.hints, 'options.hints');
      hints = options.hints >>> 0;
      if ((hints & ~HINTS) !== 0) throw invalidArgValue('hints', hints);
    }
    if (options.family !== undefined && options.family !== null) {
      const named = { IPv4: 4, IPv6: 6 } as const;
      family = options.family === 'IPv4' || options.family === 'IPv6' ? named[options.family] : options.family;
      if (family !== 0 && family !== 4 && family !== 6) throw oneOf('options.family', family, [0, 4, 6]);
    }
    if (options.all !== undefined && options.all !== null) {
      validateBoolean(options.all, 'options.all');
      all = options.all;
    }
    // There is one family at a time, so no order to choose.
    if (options.verbatim !== undefined && options.verbatim !== null)
      validateBoolean(options.verbatim, 'options.verbatim');
    if (options.order !== undefined && options.order !== null && !ORDERS.includes(options.order))
      throw oneOf('options.order', options.order, ORDERS);
  }
  return { hostname: hostname ? (hostname as string) : '', family: family as 0 | 4 | 6, hints, all };
}

function checkService(address: unknown, port: unknown): [string, number] {
  if (typeof address !== 'string' || isIP(address) === 0) throw invalidArgValue('address', address);
  return [address, validatePort(port)];
}
