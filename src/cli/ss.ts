// `tapstack ss`: the sockets of a running stack, in the manner of ss(8).

import type { Command } from 'commander';
import type { SocketView } from '../control/views.ts';
import { ask, printJson, type RemoteOptions, table, withRemoteOptions } from './remote.ts';

interface SsOptions extends RemoteOptions {
  info?: boolean;
  tcp?: boolean;
  udp?: boolean;
  listening?: boolean;
}

/** `name:value` as ss prints it; a flag alone when it is true. */
function printInfo(info: Record<string, string | number | boolean>): string {
  return Object.entries(info)
    .filter(([, value]) => value !== false && value !== '')
    .map(([name, value]) => (value === true ? name : `${name}:${value}`))
    .join(' ');
}

function select(sockets: SocketView[], options: SsOptions): SocketView[] {
  const everyProtocol = !options.tcp && !options.udp;
  return sockets.filter(
    ({ protocol, state }) =>
      (everyProtocol || (options.tcp && protocol === 'tcp') || (options.udp && protocol === 'udp')) &&
      (!options.listening || state === 'LISTEN' || state === 'UNCONN'),
  );
}

async function show(options: SsOptions): Promise<void> {
  const sockets = select(await ask<SocketView[]>(options, 'ss', { info: options.info === true }), options);
  if (options.json) {
    printJson(sockets);
    return;
  }
  const lines = table(
    ['Netid', 'State', 'Recv-Q', 'Send-Q', 'Local Address:Port', 'Peer Address:Port'],
    sockets.map((socket) => [
      socket.protocol,
      socket.state,
      socket.receiveQueue,
      socket.sendQueue,
      socket.local,
      socket.peer,
    ]),
  ).split('\n');
  process.stdout.write(`${lines[0]}\n`);
  for (const [index, socket] of sockets.entries()) {
    process.stdout.write(`${lines[index + 1]}\n`);
    if (socket.info !== undefined) process.stdout.write(`\t ${printInfo(socket.info)}\n`);
  }
}

export function register(program: Command): void {
  withRemoteOptions(
    program
      .command('ss')
      .description('list the sockets of a running stack')
      .option('-i, --info', 'print what TCP knows of each connection: RTT, window, losses …')
      .option('-t, --tcp', 'only TCP')
      .option('-u, --udp', 'only UDP')
      .option('-l, --listening', 'only sockets that wait for peers'),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack ss              every socket: state, queues, addresses
  $ tapstack ss -t -i        TCP connections with their inner state
  $ tapstack ss --json | jq '.[] | select(.state == "ESTABLISHED")'`,
    )
    .action(show);
}
