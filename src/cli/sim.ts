// `tapstack sim`: run a random network, or a program of one's own, on simulated time; the same seed does it again, byte for byte.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { dissect } from '../capture/dissect.ts';
import { readCapture } from '../capture/reader.ts';
import { Summary } from '../capture/summary.ts';
import { type Simulation, simulate } from '../sim/node/simulation.ts';
import type { Report } from '../sim/scenario.ts';
import { scenario } from '../sim/scenario.ts';
import { CommandError, misuse } from './usage.ts';

interface Options {
  readonly seed: number;
  readonly seeds?: number;
  readonly hosts?: number;
  readonly pcap?: string;
  readonly trace?: boolean;
  readonly json?: boolean;
  readonly jobs: number;
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

function positive(text: string): number {
  if (whole(text) < 1) throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(text);
}

function hosts(text: string): number {
  if (!/^[2-9]$/.test(text)) throw new InvalidArgumentError('Expected 2 to 9 hosts: a server and its clients.');
  return Number(text);
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function describe(report: Report): string[] {
  const lines = [`seed ${report.seed}: ${report.topology}, ${report.network.hosts.length} hosts`];
  for (const { name, up, down, received, error, state } of report.flows) {
    const failed = error.client !== 0 || error.server !== 0 ? `, errors ${error.client} and ${error.server}` : '';
    lines.push(`  ${name}: ${received.server}/${up} bytes up, ${received.client}/${down} down${failed} (${state})`);
  }
  const { done, quiet, frames, retransmissions } = report;
  lines.push(
    `  over after ${done} ms, quiet after ${quiet} ms; ${frames} frames sent, ${retransmissions} segments again`,
  );
  lines.push(...report.failures.map((failure) => `  FAILED: ${failure}`));
  return lines;
}

/** Every frame as it was sent, in one line, with the time since the beginning and what became of it at once. */
async function trace(pcapng: Uint8Array): Promise<void> {
  const summary = new Summary();
  let start: bigint | null = null;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield pcapng;
  }
  for await (const frame of readCapture(chunks())) {
    start ??= frame.time;
    if (frame.direction !== 'out') continue;
    const milliseconds = (Number(frame.time - start) / 1e6).toFixed(3).padStart(12);
    const line = summary.line(dissect(frame.bytes, frame.linkType, frame.wireLength), frame.wireLength);
    const fate = frame.comment === null ? '' : `  # ${frame.comment}`;
    print(`${milliseconds} ${(frame.interfaceName ?? '').padEnd(14)} ${line}${fate}`);
  }
}

function save(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (error) {
    throw new CommandError(`sim: ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function runOne(options: Options): Promise<void> {
  const capture = options.pcap !== undefined || options.trace === true;
  const clients = options.hosts === undefined ? undefined : options.hosts - 1;
  const report = scenario(options.seed, { clients, capture });
  if (options.trace) await trace(report.network.pcapng());
  if (options.pcap !== undefined) save(options.pcap, report.network.pcapng());
  if (options.json) {
    const { network: _, ...rest } = report;
    print(JSON.stringify(rest, null, 2));
  } else for (const line of describe(report)) print(line);
  report.network.close();
  if (report.failures.length > 0) throw new CommandError(`sim: seed ${options.seed} failed`);
}

/** Many seeds one after the other; only failures are told. */
function runMany(first: number, count: number, clients: number | undefined): number {
  let failed = 0;
  for (let seed = first; seed < first + count; seed++) {
    const report = scenario(seed, { clients });
    report.network.close();
    if (report.failures.length === 0) continue;
    failed++;
    for (const line of describe(report)) print(line);
    print(`  again: tapstack sim --seed ${seed} --trace --pcap seed-${seed}.pcapng`);
  }
  return failed;
}

/** The same in processes of their own, a share of the seeds each. */
async function runShared(options: Options, count: number): Promise<number> {
  const share = Math.ceil(count / options.jobs);
  const ends: Promise<number>[] = [];
  for (let first = options.seed; first < options.seed + count; first += share) {
    const seeds = Math.min(share, options.seed + count - first);
    const args = [...process.execArgv, process.argv[1], 'sim', '--seed', String(first), '--seeds', String(seeds)];
    if (options.hosts !== undefined) args.push('--hosts', String(options.hosts));
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let failed = 0;
    let summed = false;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const sum = /^(\d+) seeds, (\d+) failed$/.exec(line);
      if (sum === null) print(line);
      else {
        failed = Number(sum[2]);
        summed = true;
      }
    });
    ends.push(
      new Promise((done, reject) => {
        child.on('error', reject);
        child.on('close', () => done(summed ? failed : seeds));
      }),
    );
  }
  return (await Promise.all(ends)).reduce((sum, failed) => sum + failed, 0);
}

async function runProgram(file: string, options: Options): Promise<void> {
  const module: { default?: unknown } = await import(pathToFileURL(resolve(file)).href);
  const body = module.default;
  if (typeof body !== 'function')
    throw misuse(
      `sim: ${file} must export a function of the simulation as its default: export default async (net) => {}`,
    );
  const net = simulate(options.seed);
  try {
    await (body as (net: Simulation) => unknown)(net);
    if (options.json !== true) print(`seed ${options.seed}: over after ${net.now} ms`);
  } catch (error) {
    const path = options.pcap ?? net.writePcapng();
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError(`sim: seed ${options.seed} failed after ${net.now} ms: ${message}; recorded in ${path}`);
  } finally {
    await net.close();
    if (options.trace) await trace(net.pcapng());
    if (options.pcap !== undefined) save(options.pcap, net.pcapng());
  }
}

async function run(file: string | undefined, options: Options): Promise<void> {
  if (options.seeds === undefined) {
    await (file === undefined ? runOne(options) : runProgram(file, options));
    return;
  }
  if (file !== undefined || options.pcap !== undefined || options.trace)
    throw misuse('sim: --seeds is for random networks, and records nothing; run one seed to look at it');
  const failed =
    options.jobs > 1
      ? await runShared(options, options.seeds)
      : runMany(options.seed, options.seeds, options.hosts === undefined ? undefined : options.hosts - 1);
  print(`${options.seeds} seeds, ${failed} failed`);
  if (failed > 0) throw new CommandError(`sim: ${failed} of ${options.seeds} seeds failed`);
}

export function register(program: Command): void {
  program
    .command('sim')
    .description('run a random network, or a program of yours, on simulated time: the same seed again, byte for byte')
    .argument('[program]', 'a module whose default export is a function of the simulation')
    .option('-s, --seed <n>', 'what everything is drawn from', whole, 1)
    .option('-n, --seeds <n>', 'run so many seeds, from --seed on, and tell only what fails', positive)
    .option('-j, --jobs <n>', 'with --seeds: so many processes at once', positive, 1)
    .option('--hosts <n>', 'a server and so many clients less one; drawn from the seed when left out', hosts)
    .option('--pcap <file>', 'write what every host and router saw as pcapng')
    .option('--trace', 'print every frame that is sent')
    .option('--json', 'print JSON for scripts')
    .addHelpText(
      'after',
      `
A random network has every fault there is: loss, bursts, reordering, damage, doubling, outages, small MTUs, boxes that strip options.
The property it must have: every byte arrives exactly once and in order or the socket errors; nothing hangs, nothing is left behind.

Examples:
  $ tapstack sim --seed 17
  $ tapstack sim --seed 17 --trace --pcap seed-17.pcapng
  $ tapstack sim --seeds 10000 --jobs 2
  $ tapstack sim ./my-scenario.mjs --seed 3            export default async (net) => { … }`,
    )
    .action(run);
}
