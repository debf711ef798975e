// What a running stack does for control clients: the table from request to answer.

import type { CapturedFrame } from '../capture/frame.ts';
import type { NodeStack } from '../node/node-stack.ts';
import { ControlError } from './protocol.ts';
import type { Call, Handler } from './server.ts';
import { listSockets } from './sockets.ts';
import { addNeighbor, addRoute, deleteNeighbor, deleteRoute, listNeighbors, listRoutes } from './tables.ts';
import type { FrameView, StackView } from './views.ts';

const MAX_PAYLOAD = 65507;

/** @param describe what `hello` answers */
export function createHandlers(stack: NodeStack, describe: () => StackView): Map<string, Handler> {
  const { core } = stack;
  /** A handler for a request without parameters. */
  const plain =
    (answer: () => unknown): Handler =>
    ({ params }) => {
      params.finish();
      return answer();
    };
  return new Map<string, Handler>([
    ['hello', plain(describe)],
    ['stats', plain(() => ({ ...core.stats }))],
    ['arp.list', plain(() => listNeighbors(core))],
    ['arp.add', ({ params }) => addNeighbor(core, params)],
    ['arp.delete', ({ params }) => deleteNeighbor(core, params)],
    ['route.list', plain(() => listRoutes(core))],
    ['route.add', ({ params }) => addRoute(core, params)],
    ['route.delete', ({ params }) => deleteRoute(core, params)],
    [
      'ss',
      ({ params }) => {
        const info = params.flag('info');
        params.finish();
        return listSockets(core, info);
      },
    ],
    ['ping', (call) => ping(stack, call)],
    ['traceroute', (call) => traceroute(stack, call)],
    ['dump', (call) => dump(stack, call)],
  ]);
}

async function ping(stack: NodeStack, call: Call): Promise<null> {
  const { params, signal } = call;
  const host = params.string('host');
  // RFC 1122 does not bound them; a client that is gone does.
  const count = params.integer('count', 0, 1_000_000, 0) || Number.POSITIVE_INFINITY;
  const options = {
    count,
    interval: params.number('interval', 0.001, 3600, 1) * 1000,
    timeout: params.number('timeout', 0.01, 3600, 2) * 1000,
    size: params.integer('size', 0, MAX_PAYLOAD, 56),
    ttl: params.integer('ttl', 1, 255, 64),
    tos: params.integer('tos', 0, 255, 0),
    dontFragment: params.flag('dontFragment'),
    recordRoute: params.flag('recordRoute'),
    signal,
  };
  params.finish();
  for await (const item of stack.ping(host, options)) call.send(item);
  return null;
}

async function traceroute(stack: NodeStack, call: Call): Promise<null> {
  const { params, signal } = call;
  const host = params.string('host');
  const port = params.integer('port', 0, 65535, 0);
  const options = {
    method: params.oneOf('method', ['udp', 'icmp', 'tcp'], 'udp'),
    maxHops: params.integer('maxHops', 1, 255, 30),
    queries: params.integer('queries', 1, 10, 3),
    timeout: params.number('timeout', 0.01, 60, 2) * 1000,
    ...(port === 0 ? {} : { port }),
    signal,
  };
  params.finish();
  for await (const hop of stack.traceroute(host, options)) call.send(hop);
  return null;
}

/** Stream frames until the client leaves. A client that reads too slowly misses frames and is told how many. */
function dump(stack: NodeStack, call: Call): Promise<null> {
  call.params.finish();
  if (call.signal.aborted) throw new ControlError('ECONNRESET', 'the client is gone');
  let lost = 0;
  const stop = stack.capture((frame: CapturedFrame) => {
    const view: FrameView = {
      time: frame.time.toString(),
      direction: frame.direction ?? 'in',
      interface: frame.interfaceName ?? '',
      data: Buffer.from(frame.bytes).toString('base64'),
      lost,
    };
    if (call.trySend(view)) lost = 0;
    else lost++;
  });
  return new Promise((resolve) => {
    call.signal.addEventListener('abort', () => {
      stop();
      resolve(null);
    });
  });
}
