// `tapstack traceroute`: the way from a running stack to a host, one line per hop, in the manner of traceroute(8).

import { type Command, Option } from 'commander';
import type { HopView, ProbeView } from '../control/views.ts';
import { follow, printJson, type RemoteOptions, withRemoteOptions } from './remote.ts';
import { FAILED } from './usage.ts';
import { decimal, integer } from './values.ts';

interface TracerouteOptions extends RemoteOptions {
  method: 'udp' | 'icmp' | 'tcp';
  port?: number;
  maxHops: number;
  queries: number;
  wait: number;
}

/** One hop as traceroute prints it: an address once, until another answers. */
export function printHop({ hop, probes }: HopView): string {
  let last: string | null = null;
  const cells = probes.map(({ from, rtt, mark }: ProbeView) => {
    if (from === null || rtt === null) return '*';
    const name = from === last ? '' : `${from}  `;
    last = from;
    return `${name}${rtt.toFixed(3)} ms${mark === '' ? '' : ` ${mark}`}`;
  });
  return `${String(hop).padStart(2)}  ${cells.join('  ')}`;
}

async function traceroute(host: string, options: TracerouteOptions): Promise<void> {
  const { method, port, maxHops, queries, wait } = options;
  const hops: HopView[] = [];
  if (!options.json) process.stdout.write(`traceroute to ${host}, ${maxHops} hops max, ${method} probes\n`);
  for await (const hop of follow<HopView>(options, 'traceroute', {
    host,
    method,
    port,
    maxHops,
    queries,
    timeout: wait,
  })) {
    hops.push(hop);
    if (!options.json) process.stdout.write(`${printHop(hop)}\n`);
  }
  if (options.json) printJson({ host, hops });
  if (!hops.some(({ probes }) => probes.some(({ from }) => from !== null))) process.exitCode = FAILED;
}

export function register(program: Command): void {
  withRemoteOptions(
    program
      .command('traceroute')
      .description('show the way packets of a running stack take')
      .argument('<host>', 'destination: an address or a name')
      .addOption(
        new Option('-M, --method <method>', 'what to probe with').choices(['udp', 'icmp', 'tcp']).default('udp'),
      )
      .option('-p, --port <port>', 'destination port (udp: of the first probe; tcp: of all)', integer(1, 65535))
      .option('-m, --max-hops <n>', 'give up after so many hops', integer(1, 255), 30)
      .option('-q, --queries <n>', 'probes per hop', integer(1, 10), 3)
      .option('-w, --wait <seconds>', 'how long to wait for an answer', decimal(0.01, 60), 2),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack traceroute 192.168.1.1
  $ tapstack traceroute -M tcp -p 80 example.com

Marks as in traceroute(8): !H host, !N network, !P protocol unreachable, !X prohibited, !F too big. Exit status: 1 when nothing answered.`,
    )
    .action(traceroute);
}
