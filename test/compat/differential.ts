// Cases that are run on Node's module and on the stack's, and have to come out the same: what a case returns is compared, errors
// included. Ports that were chosen by somebody else are masked.

import { once } from 'node:events';
import type net from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeStack } from '../../src/node/node-stack.ts';
import { createStack } from '../../src/node/node-stack.ts';

export const HOST = '127.0.0.1';

let stack: NodeStack;

/** Make a stack for the cases of this file. */
export function useStack(): void {
  beforeAll(async () => {
    stack = await createStack();
  });
  afterAll(() => stack.close({ timeout: 100 }));
}

export const theStack = (): NodeStack => stack;

/** The same for both: errors as plain objects, chosen ports as 'PORT'. */
export function plain(value: unknown, depth = 0): unknown {
  if (typeof value === 'number') return value >= 10_000 && value <= 65_535 ? 'PORT' : value;
  if (typeof value === 'string') return value.replace(/:\d{5}\b/g, ':PORT');
  if (typeof value === 'function') return 'function';
  if (value === null || typeof value !== 'object' || depth > 5) return value;
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (value instanceof Error) {
    const { name, message, ...rest } = value as Error & Record<string, unknown>;
    return plain({ name, message, ...rest }, depth + 1);
  }
  if (Array.isArray(value)) return value.map((one) => plain(one, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one, depth + 1)]));
}

/** What `action` throws, or what it returns. */
export function outcome(action: () => unknown): unknown {
  try {
    return { returned: action() };
  } catch (error) {
    return { thrown: error };
  }
}

/** Declare a case for a pair of modules. */
export const differential =
  <M>(theirs: M, ours: (stack: NodeStack) => M) =>
  (title: string, run: (module: M) => unknown): void => {
    test(title, async () => {
      const expected = plain(await run(theirs));
      expect(expected, 'a case has to come out as something').toBeDefined();
      expect(plain(await run(ours(stack)))).toEqual(expected);
    });
  };

/** A server on a port of the loopback. */
export async function serve(
  module: typeof net,
  options: net.ServerOpts,
  listener: (socket: net.Socket) => void,
): Promise<[net.Server, number]> {
  const server = module.createServer(options, listener);
  server.listen(0, HOST);
  await once(server, 'listening');
  return [server, (server.address() as net.AddressInfo).port];
}

/** Note the events of an emitter, with their plainer arguments. */
export function record(log: unknown[], name: string, emitter: NodeJS.EventEmitter, events: readonly string[]): void {
  for (const event of events) {
    emitter.on(event, (...args: unknown[]) => {
      const shown = args.filter(
        (arg) => typeof arg !== 'object' || arg === null || arg instanceof Error || Buffer.isBuffer(arg),
      );
      log.push([name, event, ...shown.map((arg) => plain(arg))]);
    });
  }
}

export const SOCKET_EVENTS = [
  'lookup',
  'connect',
  'ready',
  'data',
  'end',
  'finish',
  'drain',
  'timeout',
  'error',
  'close',
];
