// Two stacks on a cable, for tests of what programs use.

import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import type { PipeOptions } from '../../src/link/pipe.ts';
import { pipe } from '../../src/link/pipe.ts';
import type { NodeStack } from '../../src/node/node-stack.ts';
import { createStack } from '../../src/node/node-stack.ts';
import type { StackOptions } from '../../src/node/options.ts';
import type { Server } from '../../src/node/server.ts';
import type { Socket } from '../../src/node/socket.ts';

export const A = '10.9.0.1';
export const B = '10.9.0.2';

/** Stacks A and B on one cable, closed when the test is over. */
export async function twoStacks(cable: PipeOptions = {}, options: StackOptions = {}): Promise<[NodeStack, NodeStack]> {
  const [left, right] = pipe(cable);
  const a = await createStack({ ...options, link: left, address: `${A}/24` });
  const b = await createStack({ ...options, link: right, address: `${B}/24` });
  onTestFinished(async () => {
    await Promise.all([a.close({ timeout: 100 }), b.close({ timeout: 100 })]);
  });
  return [a, b];
}

/** A stack with nothing but its loopback. */
export async function oneStack(options: StackOptions = {}): Promise<NodeStack> {
  const stack = await createStack(options);
  onTestFinished(() => stack.close({ timeout: 100 }));
  return stack;
}

export async function listening(server: Server, port = 0, host?: string): Promise<number> {
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, 'listening');
  return server.address()?.port ?? 0;
}

/** A connection from `client` to `server`: both its ends. */
export async function connected(client: NodeStack, server: NodeStack, options = {}): Promise<[Socket, Socket]> {
  const listener = server.net.createServer(options);
  const port = await listening(listener);
  const ours = client.net.connect({ port, host: server.addresses[0] ?? '127.0.0.1', ...options });
  const [[theirs]] = (await Promise.all([once(listener, 'connection'), once(ours, 'connect')])) as [[Socket], unknown];
  listener.close();
  return [ours, theirs];
}
