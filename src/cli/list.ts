// `tapstack list`: the stacks of this user that are running, in whatever network namespace.

import type { Command } from 'commander';
import { liveStacks, request } from '../control/client.ts';
import { networkNamespace } from '../control/directory.ts';
import type { StackView } from '../control/views.ts';
import { printJson, table } from './remote.ts';

type Listed = StackView & { namespace: string };

function age(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h${Math.floor((whole % 3600) / 60)}m`;
}

async function list({ json }: { json?: boolean }): Promise<void> {
  const stacks: Listed[] = [];
  for (const { path, namespace } of await liveStacks()) {
    stacks.push({ ...((await request(path, 'hello')) as StackView), namespace });
  }
  if (json) {
    printJson(stacks);
    return;
  }
  const here = networkNamespace();
  const rows = stacks.map((stack) => [
    stack.namespace === here ? stack.tap : `${stack.tap}@${stack.namespace}`,
    stack.addresses.join(','),
    stack.mac,
    stack.mtu,
    stack.pid,
    age(stack.uptime),
    stack.services.join(',') || '-',
  ]);
  process.stdout.write(`${table(['Stack', 'Address', 'MAC', 'MTU', 'PID', 'Up', 'Services'], rows)}\n`);
}

export function register(program: Command): void {
  program
    .command('list')
    .description('list the stacks of yours that are running')
    .option('--json', 'print JSON for scripts')
    .addHelpText('after', '\nWhat the first column says is what --stack of other commands takes.')
    .action(list);
}
