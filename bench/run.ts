// `make bench`: every row side by side, alternating, medians of five; prints a table and writes bench/results.json.
//
//   tsx bench/run.ts [ROW …]        rows by name or its beginning; all without one
//
// BENCH_ROUNDS, BENCH_SECONDS: how often and how long. BENCH_DIST: another build. BENCH_OURS_ONLY=1: without the others.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { CORE_ROWS, measureCore } from './core-rows.ts';
import type { Contender, Sample } from './lab.ts';
import { Lab } from './lab.ts';
import type { Row } from './rows.ts';
import { ROWS } from './rows.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const LABELS: Record<Contender, string> = {
  ours: 'tapstack',
  'ours-plain': 'tapstack without offload',
  kernel: 'Node on veth',
  null: 'C null stack',
  'null-plain': 'C null stack without offload',
};

/** One line of results.json. */
export interface Result {
  readonly name: string;
  readonly ours: number;
  /** What `ours` is compared with: a contender's figure, or the bound itself. */
  readonly against: string;
  readonly reference: number;
  readonly unit: string;
  readonly ratio: number;
  readonly goal: string;
  readonly met: boolean;
  readonly min: number;
  readonly max: number;
  readonly referenceMin: number;
  readonly referenceMax: number;
  readonly verified: boolean;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

async function measureRow(lab: Lab, row: Row): Promise<Result[]> {
  const contenders = row.contenders.filter((c) => c.startsWith('ours') || process.env.BENCH_OURS_ONLY === undefined);
  const samples = new Map<Contender, Sample[]>(contenders.map((contender) => [contender, []]));
  for (const contender of contenders) await row.prove?.(lab, contender);
  for (let round = 0; round < ROUNDS; round++) {
    // Who goes first changes, so that what one leaves behind does not always meet the same one.
    const order = round % 2 === 0 ? contenders : [...contenders].reverse();
    for (const contender of order) samples.get(contender)?.push(await row.measure(lab, contender));
  }
  const values = (contender: Contender): number[] => (samples.get(contender) ?? []).map((sample) => sample.value);
  const own = values(contenders[0]);
  return row.goals.map(({ against, ratio: wanted }) => {
    const other = values(against);
    const ours = median(own);
    const reference = other.length > 0 ? median(other) : Number.NaN;
    const ratio = ours / reference;
    return {
      name: row.name,
      ours,
      against: LABELS[against],
      reference,
      unit: row.unit,
      ratio,
      goal: `${row.lower ? '<=' : '>='} ${wanted} x`,
      met: row.lower ? ratio <= wanted : ratio >= wanted,
      min: Math.min(...own),
      max: Math.max(...own),
      referenceMin: Math.min(...other),
      referenceMax: Math.max(...other),
      verified: true, // a run that moved a wrong byte, or lost one, has thrown
    };
  });
}

const short = (value: number): string =>
  !Number.isFinite(value) ? '-' : value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);

function line(cells: readonly string[]): string {
  const widths = [20, 10, 17, 10, 17, 30, 9, 10, 7];
  return cells.map((cell, i) => (i === 0 || i === 5 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' ');
}

function print(result: Result): void {
  const { name, unit, ours, min, max, against, reference, referenceMin, referenceMax, ratio, goal, met } = result;
  const range = (a: number, b: number): string => (a === b ? '' : `${short(a)}-${short(b)}`);
  console.log(
    line([
      name,
      short(ours),
      range(min, max),
      short(reference),
      range(referenceMin, referenceMax),
      `${unit}, ${against}`,
      `${short(ratio)} x`,
      goal,
      met ? 'met' : 'MISSED',
    ]),
  );
}

function machine(): Record<string, string | number> {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', '--short', 'HEAD'),
    cpu: os.cpus()[0].model,
    cores: os.cpus().length,
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    rounds: ROUNDS,
    load: Math.round(os.loadavg()[0] * 10) / 10,
  };
}

const wanted = process.argv
  .slice(2)
  .flatMap((arg) => arg.split(/[\s,]+/))
  .filter((name) => name !== '');
const isWanted = (name: string): boolean =>
  wanted.length === 0 || wanted.some((w) => name === w || name.startsWith(`${w}-`));
const unknown = wanted.filter(
  (w) => ![...ROWS, ...CORE_ROWS].some(({ name }) => name === w || name.startsWith(`${w}-`)),
);
if (unknown.length > 0) {
  console.error(
    `no row ${unknown.join(', ')}; there are: ${[...ROWS, ...CORE_ROWS].map(({ name }) => name).join(' ')}`,
  );
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  console.error('the benchmarks make network namespaces and TAP interfaces: run them as root');
  process.exit(2);
}

const results: Result[] = [];
let failed = 0;
const note = (more: readonly Result[]): void => {
  for (const result of more) {
    print(result);
    results.push(result);
  }
};
console.log(line(['row', 'ours', 'min-max', 'reference', 'min-max', 'unit, reference', 'ratio', 'goal', '']));
const attempt = async (name: string, measure: () => Promise<readonly Result[]>): Promise<void> => {
  try {
    note(await measure());
  } catch (error) {
    failed++;
    console.log(`${name.padEnd(20)} FAILED: ${error instanceof Error ? error.message : error}`);
  }
};
const lab = new Lab();
try {
  for (const row of ROWS) if (isWanted(row.name)) await attempt(row.name, () => measureRow(lab, row));
} finally {
  await lab.close();
}
for (const row of CORE_ROWS) if (isWanted(row.name)) await attempt(row.name, () => measureCore(row));

const report = { machine: machine(), rows: results };
// A part of the rows does not replace the whole table.
const file = new URL(wanted.length === 0 ? 'results.json' : 'build/results-part.json', import.meta.url);
writeFileSync(
  file,
  `${JSON.stringify(report, (_key, value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value), 2)}\n`,
);
console.log(`${results.filter((result) => result.met).length} of ${results.length} goals met`);
process.exit(failed > 0 ? 1 : 0);
