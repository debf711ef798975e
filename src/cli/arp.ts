// `tapstack arp`: the neighbour table of a running stack.

import type { Command } from 'commander';
import type { NeighborView } from '../control/views.ts';
import { ask, printJson, type RemoteOptions, table, withRemoteOptions } from './remote.ts';
import { ipv4, unicastMac } from './values.ts';

async function show(options: RemoteOptions): Promise<void> {
  const neighbors = await ask<NeighborView[]>(options, 'arp.list');
  if (options.json) {
    printJson(neighbors);
    return;
  }
  const rows = neighbors.map((entry) => [entry.address, entry.mac ?? '(incomplete)', entry.state, entry.interface]);
  process.stdout.write(`${table(['Address', 'HWaddress', 'State', 'Interface'], rows)}\n`);
}

export function register(program: Command): void {
  const arp = program
    .command('arp')
    .description("show or change a running stack's neighbour table (IPv4 address to hardware address)")
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack arp                                   list every neighbour and its state
  $ tapstack arp add 10.9.0.7 02:00:00:00:00:07    never ask for this one again
  $ tapstack arp delete 10.9.0.7                   forget it`,
    );
  withRemoteOptions(arp.command('list', { isDefault: true }).description('list the neighbours')).action(show);
  withRemoteOptions(
    arp
      .command('add')
      .description('add a static entry, or make an entry static')
      .argument('<address>', 'IPv4 address of the neighbour', ipv4)
      .argument('<mac>', 'its hardware address', unicastMac),
  ).action(async (address: string, mac: string, options: RemoteOptions) => {
    await ask(options, 'arp.add', { address, mac });
  });
  withRemoteOptions(
    arp
      .command('delete')
      .alias('del')
      .description('forget an entry')
      .argument('<address>', 'IPv4 address of the neighbour', ipv4),
  ).action(async (address: string, options: RemoteOptions) => {
    await ask(options, 'arp.delete', { address });
  });
}
