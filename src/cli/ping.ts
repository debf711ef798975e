// `tapstack ping`: echo requests sent by a running stack, reported in the manner of ping(8).

import type { Command } from 'commander';
import type { PingItem } from '../control/views.ts';
import { follow, printJson, type RemoteOptions, withRemoteOptions } from './remote.ts';
import { FAILED } from './usage.ts';
import { decimal, integer } from './values.ts';

interface PingOptions extends RemoteOptions {
  count?: number;
  interval: number;
  size: number;
  timeout: number;
  ttl: number;
  tos: number;
  dontFragment?: boolean;
  recordRoute?: boolean;
  quiet?: boolean;
}

/** What ping(8) says at the end, from the round trips in milliseconds. */
export class PingStatistics {
  sent = 0;
  received = 0;
  errors = 0;
  duplicates = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;
  #sum = 0;
  #squares = 0;

  add(item: PingItem): void {
    if (item.type === 'sent') this.sent++;
    else if (item.type === 'error') this.errors++;
    else if (item.type === 'reply') {
      if (item.duplicate) this.duplicates++;
      else this.received++;
      this.#min = Math.min(this.#min, item.rtt);
      this.#max = Math.max(this.#max, item.rtt);
      this.#sum += item.rtt;
      this.#squares += item.rtt * item.rtt;
    }
  }

  /** Per cent of the requests that nobody answered. */
  get loss(): number {
    return this.sent === 0 ? 0 : ((this.sent - this.received) / this.sent) * 100;
  }

  /** min, avg, max and mean deviation in milliseconds; null when nothing came back. */
  get rtt(): { min: number; avg: number; max: number; mdev: number } | null {
    const count = this.received + this.duplicates;
    if (count === 0) return null;
    const avg = this.#sum / count;
    return { min: this.#min, avg, max: this.#max, mdev: Math.sqrt(Math.max(0, this.#squares / count - avg * avg)) };
  }

  toString(): string {
    const parts = [`${this.sent} packets transmitted`, `${this.received} received`];
    if (this.duplicates > 0) parts.push(`+${this.duplicates} duplicates`);
    if (this.errors > 0) parts.push(`+${this.errors} errors`);
    parts.push(`${Number(this.loss.toFixed(3))}% packet loss`);
    const { rtt } = this;
    if (rtt === null) return parts.join(', ');
    const figures = [rtt.min, rtt.avg, rtt.max, rtt.mdev].map((value) => value.toFixed(3)).join('/');
    return `${parts.join(', ')}\nrtt min/avg/max/mdev = ${figures} ms`;
  }
}

const milliseconds = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);

/** The line for one item; null when ping(8) would print none. */
export function printItem(item: PingItem): string | null {
  switch (item.type) {
    case 'sent':
      return null;
    case 'timeout':
      return `no answer yet for icmp_seq=${item.seq}`;
    case 'error':
      return `From ${item.from} icmp_seq=${item.seq} ${item.message}`;
    case 'reply': {
      const route = item.route.length === 0 ? '' : `\nRR: \t${item.route.join('\n\t')}`;
      const mark = item.duplicate ? ' (DUP!)' : '';
      return `${item.bytes} bytes from ${item.from}: icmp_seq=${item.seq} ttl=${item.ttl} time=${milliseconds(item.rtt)} ms${mark}${route}`;
    }
  }
}

async function ping(host: string, options: PingOptions): Promise<void> {
  const statistics = new PingStatistics();
  const items: PingItem[] = [];
  const { count, interval, size, timeout, ttl, tos, dontFragment = false, recordRoute = false } = options;
  // ICMP header 8 bytes, IP header 20.
  if (!options.json) process.stdout.write(`PING ${host} ${size}(${size + 28}) bytes of data.\n`);
  const params = { host, count, interval, size, timeout, ttl, tos, dontFragment, recordRoute };
  for await (const item of follow<PingItem>(options, 'ping', params)) {
    statistics.add(item);
    if (options.json) {
      if (item.type !== 'sent') items.push(item);
      continue;
    }
    const line = options.quiet ? null : printItem(item);
    if (line !== null) process.stdout.write(`${line}\n`);
  }
  if (options.json) {
    const { sent, received, errors, duplicates, loss, rtt } = statistics;
    printJson({ host, sent, received, errors, duplicates, loss, rtt, items });
  } else {
    process.stdout.write(`\n--- ${host} ping statistics ---\n${statistics}\n`);
  }
  if (statistics.received === 0) process.exitCode = FAILED;
}

export function register(program: Command): void {
  withRemoteOptions(
    program
      .command('ping')
      .description('send ICMP echo requests from a running stack')
      .argument('<host>', 'whom to ask: an address or a name')
      .option('-c, --count <n>', 'stop after so many requests; without it, at Ctrl-C', integer(1, 1_000_000))
      .option('-i, --interval <seconds>', 'from one request to the next', decimal(0.001, 3600), 1)
      .option('-s, --size <bytes>', 'payload of a request', integer(0, 65507), 56)
      .option('-W, --timeout <seconds>', 'how long to wait for an answer', decimal(0.01, 3600), 2)
      .option('-t, --ttl <hops>', 'time to live of the requests', integer(1, 255), 64)
      .option('-Q, --tos <number>', 'type of service of the requests', integer(0, 255), 0)
      .option('-M, --dont-fragment', 'forbid fragmentation')
      .option('-R, --record-route', 'have routers record their addresses')
      .option('-q, --quiet', 'print only the statistics'),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack ping 10.9.0.1
  $ tapstack ping -c 3 -s 8000 10.9.0.1
  $ tapstack ping -c 1 --json 10.9.0.1 | jq .rtt.avg

Exit status: 0 when anything answered, 1 when nothing did, 2 when asked wrongly.`,
    )
    .action(ping);
}
