// The other end of the control socket: finds the running stack a command means, asks it, and reads what it answers.

import { connect, type Socket } from 'node:net';
import { listSockets, networkNamespace, removeSocket, type SocketEntry } from './directory.ts';
import { ControlError, LineReader, MAX_REPLY, parseReply } from './protocol.ts';
import { isServed } from './server.ts';

/** The sockets somebody answers at. Those that a dead stack left behind are removed. */
export async function liveStacks(): Promise<SocketEntry[]> {
  const live: SocketEntry[] = [];
  for (const entry of listSockets()) {
    if (await isServed(entry.path)) live.push(entry);
    else removeSocket(entry.path);
  }
  return live;
}

/**
 * The socket of the stack meant by `wanted` (a TAP name, or TAP@NAMESPACE), or of the only one running. A stack in our own
 * network namespace is preferred to those elsewhere.
 * @throws ControlError when there is none, or more than one
 */
export async function findStack(wanted?: string): Promise<string> {
  const live = await liveStacks();
  const label = (entry: SocketEntry): string => `${entry.tap}@${entry.namespace}`;
  const named = live.filter((entry) => wanted === undefined || entry.tap === wanted || label(entry) === wanted);
  if (named.length === 0) {
    const running = live.length === 0 ? 'none is running' : `running: ${live.map((entry) => entry.tap).join(', ')}`;
    throw new ControlError(
      'ENOENT',
      wanted === undefined
        ? 'no stack of yours is running: start one with "tapstack up"'
        : `no stack "${wanted}": ${running}`,
    );
  }
  const here = named.filter((entry) => entry.namespace === networkNamespace());
  const choice = here.length > 0 ? here : named;
  if (choice.length > 1) {
    throw new ControlError('EEXIST', `several stacks are running: choose by --stack ${choice.map(label).join(' | ')}`);
  }
  return choice[0].path;
}

/** One answer, streamed: yields the items and returns the result. Leaving the loop, or `signal`, cancels the request. */
export async function* stream(
  path: string,
  op: string,
  params: Record<string, unknown> = {},
  signal?: AbortSignal,
): AsyncGenerator<unknown, unknown> {
  const socket = await open(path);
  const cancel = (): unknown => socket.destroy();
  signal?.addEventListener('abort', cancel);
  try {
    socket.write(`${JSON.stringify({ op, params })}\n`);
    const lines = new LineReader(MAX_REPLY);
    for await (const chunk of socket) {
      for (const line of lines.push(chunk as Buffer)) {
        const reply = parseReply(line);
        if ('item' in reply) yield reply.item;
        else if ('result' in reply) return reply.result;
        else throw new ControlError(reply.error.code, reply.error.message);
      }
    }
    throw new ControlError('ECONNRESET', 'the stack stopped before it had answered');
  } catch (error) {
    if (signal?.aborted) return undefined;
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    socket.destroy();
  }
}

/** One answer that does not stream. */
export async function request(path: string, op: string, params: Record<string, unknown> = {}): Promise<unknown> {
  const answer = stream(path, op, params);
  for (;;) {
    const { done, value } = await answer.next();
    if (done) return value;
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}
