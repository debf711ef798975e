// `make bench-wan`: our TCP against Linux's over the same bad links, in real time; needs root and two network namespaces per lane.
//
//   --loss 0.1,1,3        percent, each way
//   --rtt 1,10,50,100     milliseconds
//   --rate 10,100,1000    Mbit/s
//   --runs 3              per cell and race, each with the next seed; the medians count
//   --seconds 5           that each run lasts
//   --lanes 2             runs at the same time, while together they stay below what the machine moves with ease
//   --congestion cubic    for all; our stack alone: --ours bbr
//   --no-races, --no-fairness, --json FILE, --verbose
//
// Each run of a cell races Linux to Linux, ours to Linux and Linux to ours over the same seed, one after the other, so that what else the
// machine does disturbs all of them. A ratio is the median goodput with us in it over the median of Linux alone.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { missing } from '../../test/support/netns.ts';
import type { Outcome, Path, Race } from './lane.ts';
import { buildTools, Lane } from './lane.ts';

const RACES: readonly Race[] = ['linux', 'ours-sends', 'ours-receives'];
/** What all lanes together may carry, bits per second: more, and the machine itself is what limits. */
const CAPACITY = 120e6;

const { values } = parseArgs({
  options: {
    loss: { type: 'string', default: '0.1,1,3' },
    rtt: { type: 'string', default: '1,10,50,100' },
    rate: { type: 'string', default: '10,100,1000' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '2' },
    congestion: { type: 'string', default: 'cubic' },
    ours: { type: 'string' },
    json: { type: 'string', default: new URL('results.json', import.meta.url).pathname },
    'no-races': { type: 'boolean', default: false },
    'no-fairness': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const numbers = (text: string): number[] => text.split(',').map(Number);
const median = (of: readonly number[]): number => {
  const sorted = of.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const mbit = (bits: number): string => (bits / 1e6).toFixed(2).padStart(8);

interface CellResult {
  loss: number;
  rtt: number;
  rate: number;
  linux: number;
  ours: { send: number; receive: number };
  ratio: { send: number; receive: number };
  runs: Record<Race, number[]>;
}

interface FairnessResult {
  rtt: number;
  rate: number;
  ours: number[];
  linux: number[];
  /** Of the medians' shares. */
  jain: number;
}

interface Results {
  machine: string;
  congestion: string;
  seconds: number;
  cells: CellResult[];
  fairness: FairnessResult[];
}

interface Cell extends Omit<Path, 'seed'> {
  readonly results: Record<Race, number[]>;
}

/** What a flow may reach at most: the link's rate, or what Mathis et al. say about loss, with room for CUBIC. */
const expected = ({ rate, rtt, loss }: Omit<Path, 'seed'>): number =>
  Math.min(rate, loss > 0 ? (2 * 1448 * 8) / ((rtt / 1000) * Math.sqrt(loss)) : rate);

/** Runs tasks, as many at a time as lanes are free and their load allows; heavy ones alone. */
async function schedule(lanes: Lane[], tasks: { load: number; run: (lane: Lane) => Promise<void> }[]): Promise<void> {
  const waiting = tasks.toSorted((a, b) => b.load - a.load);
  const free = [...lanes];
  const running = new Set<Promise<void>>();
  let load = 0;
  while (waiting.length > 0 || running.size > 0) {
    const at = waiting.findIndex((task) => running.size === 0 || load + task.load <= CAPACITY);
    const lane = at >= 0 ? free.pop() : undefined;
    if (lane === undefined) {
      await Promise.race(running);
      continue;
    }
    const [task] = waiting.splice(at, 1);
    load += task.load;
    const done = task.run(lane).finally(() => {
      running.delete(done);
      free.push(lane);
      load -= task.load;
    });
    running.add(done);
  }
}

async function races(lanes: Lane[]): Promise<CellResult[]> {
  const cells: Cell[] = numbers(values.rate).flatMap((rate) =>
    numbers(values.rtt).flatMap((rtt) =>
      numbers(values.loss).map((loss) => ({
        rate: rate * 1e6,
        rtt,
        loss: loss / 100,
        results: { linux: [], 'ours-sends': [], 'ours-receives': [] },
      })),
    ),
  );
  const options = {
    seconds: Number(values.seconds),
    congestion: values.congestion,
    ourCongestion: values.ours ?? values.congestion,
  };
  const tasks = cells.flatMap((cell) =>
    Array.from({ length: Number(values.runs) }, (_, i) => ({
      load: expected(cell),
      run: async (lane: Lane) => {
        const seed = Number(values.seed) + i;
        for (const race of RACES) {
          const outcome = await lane.run(race, { ...cell, seed }, options);
          cell.results[race].push(outcome.goodput);
          if (values.verbose) tell(`${nameOf(cell)} ${race} seed ${seed}`, outcome);
        }
        if (cell.results['ours-receives'].length === Number(values.runs)) console.log(row(summary(cell)));
      },
    })),
  );
  console.log('   rate   RTT   loss |  Linux        we send         we receive   Mbit/s');
  await schedule(lanes, tasks);
  return cells.map(summary);
}

const nameOf = ({ rate, rtt, loss }: Omit<Path, 'seed'>): string => `${rate / 1e6} Mbit/s ${rtt} ms ${loss * 100} %`;

function tell(what: string, { goodput, details }: Outcome): void {
  console.log(`# ${what}: ${mbit(goodput)} ${JSON.stringify(details)}`);
}

function summary({ rate, rtt, loss, results }: Cell): CellResult {
  const linux = median(results.linux);
  const send = median(results['ours-sends']);
  const receive = median(results['ours-receives']);
  const ratio = { send: send / linux, receive: receive / linux };
  return { loss, rtt, rate, linux, ours: { send, receive }, ratio, runs: results };
}

function row({ loss, rtt, rate, linux, ours, ratio }: CellResult): string {
  const shown = (goodput: number, of: number): string => `${mbit(goodput)} ${of.toFixed(2)}${of < 1 ? ' <' : '  '}`;
  const cell = `${String(rate / 1e6).padStart(6)} ${`${rtt} ms`.padStart(6)} ${`${+(loss * 100).toFixed(3)} %`.padStart(6)}`;
  return `${cell} |${mbit(linux)}   ${shown(ours.send, ratio.send)}   ${shown(ours.receive, ratio.receive)}`;
}

async function fairness(lanes: Lane[]): Promise<FairnessResult[]> {
  const found: FairnessResult[] = [];
  const seconds = Math.max(20, Number(values.seconds) * 4);
  const options = { seconds, skip: seconds / 4, congestion: values.congestion, ourCongestion: values.ours };
  console.log('\n   rate   RTT | ours      Linux    Mbit/s, competing: Jain index');
  const tasks = [10, 100].flatMap((megabits) =>
    [10, 50, 100].map((rtt) => ({
      load: megabits * 1e6,
      run: async (lane: Lane) => {
        const ours: number[] = [];
        const linux: number[] = [];
        for (let i = 0; i < Number(values.runs); i++) {
          const path = { rate: megabits * 1e6, rtt, loss: 0, seed: Number(values.seed) + i };
          const outcome = await lane.compete(path, options);
          if (values.verbose) {
            tell(`${nameOf(path)} competing, ours`, outcome.ours);
            tell(`${nameOf(path)} competing, Linux`, outcome.linux);
          }
          ours.push(outcome.ours.goodput);
          linux.push(outcome.linux.goodput);
        }
        const [x, y] = [median(ours), median(linux)];
        const jain = (x + y) ** 2 / (2 * (x * x + y * y));
        found.push({ rtt, rate: megabits * 1e6, ours, linux, jain });
        const cell = `${String(megabits).padStart(6)} ${`${rtt} ms`.padStart(6)}`;
        console.log(`${cell} |${mbit(x)} ${mbit(y)}   ${jain.toFixed(3)}${jain < 0.9 ? ' <' : ''}`);
      },
    })),
  );
  await schedule(lanes, tasks);
  return found.toSorted((a, b) => a.rate - b.rate || a.rtt - b.rtt);
}

/** Cells of earlier runs stay in the file until they are measured again. */
function save(cells: CellResult[], fair: FairnessResult[]): void {
  const old = existsSync(values.json) ? (JSON.parse(readFileSync(values.json, 'utf8')) as Partial<Results>) : {};
  const key = (c: { rate: number; rtt: number; loss?: number }): string => `${c.rate} ${c.rtt} ${c.loss ?? ''}`;
  const merge = <T extends { rate: number; rtt: number; loss?: number }>(before: T[] = [], now: T[]): T[] => {
    const measured = new Set(now.map(key));
    const all = [...before.filter((c) => !measured.has(key(c))), ...now];
    return all.toSorted((a, b) => a.rate - b.rate || a.rtt - b.rtt || (a.loss ?? 0) - (b.loss ?? 0));
  };
  const results: Results = {
    machine: `Linux ${release()}, ${cpus().length} CPUs, Node ${process.version}`,
    congestion: values.congestion,
    seconds: Number(values.seconds),
    cells: merge(old.cells, cells),
    fairness: merge(old.fairness, fair),
  };
  writeFileSync(values.json, `${JSON.stringify(results, null, 1)}\n`);
}

const why = missing('sysctl', 'cc', 'chrt');
if (why !== null) {
  console.error(`bench-wan ${why}`);
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1)); // which ends what runs in the lanes
buildTools();
const lanes = Array.from({ length: Number(values.lanes) }, () => new Lane());
try {
  await Promise.all(lanes.map((lane) => lane.open()));
  const cells = values['no-races'] ? [] : await races(lanes);
  save(cells, []);
  const fair = values['no-fairness'] ? [] : await fairness(lanes);
  save([], fair);
  const lost = cells.filter((c) => c.ratio.send < 1 || c.ratio.receive < 1).length;
  const unfair = fair.filter((f) => f.jain < 0.9).length;
  console.log(`\n${cells.length} cells, behind Linux in ${lost}; ${fair.length} competitions, unfair in ${unfair}`);
} finally {
  await Promise.all(lanes.map((lane) => lane.close()));
}
