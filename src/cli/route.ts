// `tapstack route`: the routing table of a running stack.

import type { Command } from 'commander';
import type { RouteView } from '../control/views.ts';
import { ask, printJson, type RemoteOptions, table, withRemoteOptions } from './remote.ts';
import { misuse } from './usage.ts';
import { integer, ipv4, network } from './values.ts';

interface AddOptions extends RemoteOptions {
  via?: string;
  dev?: string;
  metric: number;
  source?: string;
}

interface DeleteOptions extends RemoteOptions {
  via?: string;
}

async function show(options: RemoteOptions): Promise<void> {
  const routes = await ask<RouteView[]>(options, 'route.list');
  if (options.json) {
    printJson(routes);
    return;
  }
  const rows = routes.map((route) => [
    route.destination === '0.0.0.0/0' ? 'default' : route.destination,
    route.gateway ?? '*',
    route.interface,
    route.metric,
    route.source ?? '*',
  ]);
  process.stdout.write(`${table(['Destination', 'Gateway', 'Interface', 'Metric', 'Source'], rows)}\n`);
}

export function register(program: Command): void {
  const route = program
    .command('route')
    .description("show or change a running stack's routing table")
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack route                                 list the routes
  $ tapstack route add default --via 10.9.0.1
  $ tapstack route add 192.168.0.0/16 --via 10.9.0.254 --metric 5
  $ tapstack route delete default`,
    );
  withRemoteOptions(route.command('list', { isDefault: true }).description('list the routes')).action(show);
  withRemoteOptions(
    route
      .command('add')
      .description('add a route')
      .argument('<destination>', 'network such as 192.168.0.0/16, an address, or "default"', network)
      .option('--via <gateway>', 'next hop; without it the destination is on the link itself', ipv4)
      .option('--dev <interface>', 'the interface to send through; found from the gateway otherwise')
      .option('--metric <number>', 'the lower wins among equal prefixes', integer(0, 65535), 0)
      .option('--source <address>', 'address of ours to send from', ipv4),
  ).action(async (destination: string, options: AddOptions) => {
    if (options.via === undefined && options.dev === undefined) {
      throw misuse('route add: say --via GATEWAY, or --dev INTERFACE for a network on the link itself');
    }
    const { via: gateway, dev, metric, source } = options;
    await ask(options, 'route.add', { destination, gateway, interface: dev, metric, source });
  });
  withRemoteOptions(
    route
      .command('delete')
      .alias('del')
      .description('delete a route')
      .argument('<destination>', 'network such as 192.168.0.0/16, an address, or "default"', network)
      .option('--via <gateway>', 'only the route through this gateway', ipv4),
  ).action(async (destination: string, options: DeleteOptions) => {
    await ask(options, 'route.delete', { destination, gateway: options.via });
  });
}
