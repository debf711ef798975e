// `tapstack stats`: the counters of a running stack, grouped, the zeros left out.

import type { Command } from 'commander';
import type { StatsView } from '../control/views.ts';
import { ask, printJson, type RemoteOptions, withRemoteOptions } from './remote.ts';

interface StatsOptions extends RemoteOptions {
  all?: boolean;
}

/** Counter name prefix → heading, in the order printed. The first that fits wins. */
const GROUPS: readonly (readonly [prefix: RegExp, heading: string])[] = [
  [/^if/, 'Link'],
  [/^(arp|neighbor)/, 'ARP'],
  [/^ip/, 'IP'],
  [/^icmp/, 'ICMP'],
  [/^udp/, 'UDP'],
  [/^tcp/, 'TCP'],
  [/^drop/, 'Dropped'],
  [/^/, 'Other'],
];

/** Counters as text: a heading per group, a counter per line. */
export function printStats(stats: StatsView, all: boolean): string {
  const shown = Object.entries(stats).filter(([, value]) => all || value !== 0);
  if (shown.length === 0) return 'nothing counted yet';
  const width = Math.max(...shown.map(([name]) => name.length));
  const sections: string[] = [];
  for (const [, heading] of GROUPS) {
    const members = shown.filter(([name]) => GROUPS.find(([prefix]) => prefix.test(name))?.[1] === heading);
    if (members.length === 0) continue;
    sections.push([`${heading}:`, ...members.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join('\n'));
  }
  return sections.join('\n');
}

export function register(program: Command): void {
  withRemoteOptions(
    program
      .command('stats')
      .description('print the counters of a running stack, named after the MIBs (RFC 4293, 4022, 4113)')
      .option('-a, --all', 'print counters that are zero too'),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack stats
  $ tapstack stats --json | jq .tcpRetransSegs`,
    )
    .action(async (options: StatsOptions) => {
      const stats = await ask<StatsView>(options, 'stats');
      if (options.json) printJson(stats);
      else process.stdout.write(`${printStats(stats, options.all === true)}\n`);
    });
}
