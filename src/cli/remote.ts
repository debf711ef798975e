// What the commands that ask a running stack have in common.

import type { Command } from 'commander';
import { findStack, request, stream } from '../control/client.ts';
import { ControlError } from '../control/protocol.ts';
import { CommandError } from './usage.ts';

export interface RemoteOptions {
  stack?: string;
  json?: boolean;
}

/** Add the options every such command takes. */
export function withRemoteOptions(command: Command): Command {
  return command
    .option('--stack <name>', 'which running stack, by the name of its TAP; needed when there are several')
    .option('--json', 'print JSON for scripts');
}

/** Turn what the stack answered into the command's own failure. */
function failure(error: unknown): unknown {
  return error instanceof ControlError ? new CommandError(error.message) : error;
}

export async function ask<T>(options: RemoteOptions, op: string, params: Record<string, unknown> = {}): Promise<T> {
  try {
    return (await request(await findStack(options.stack), op, params)) as T;
  } catch (error) {
    throw failure(error);
  }
}

/** As `ask`, streaming: yields items until the stack has said everything or the user presses Ctrl-C. */
export async function* follow<T>(
  options: RemoteOptions,
  op: string,
  params: Record<string, unknown> = {},
): AsyncGenerator<T> {
  const interrupt = new AbortController();
  const stop = (): void => interrupt.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    for await (const item of stream(await findStack(options.stack), op, params, interrupt.signal)) yield item as T;
  } catch (error) {
    throw failure(error);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
};

/** Columns padded to their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const toRight = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  return all
    .map((row) =>
      row
        .map((cell, column) => (toRight[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
