// The rows that need no network: what a packet allocates, what an idle connection weighs, what a segment costs among many connections.
// Each runs bench/core.ts in a process of its own, so that no other row's garbage is measured.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Result } from './run.ts';

export interface CoreRow {
  readonly name: string;
  readonly unit: string;
  readonly bound: number;
  /** Arguments of bench/core.ts, one process each; with two the figure is the first by the second. */
  readonly runs: readonly (readonly string[])[];
}

export const CORE_ROWS: readonly CoreRow[] = [
  { name: 'allocation', unit: 'bytes/packet', bound: 0.5, runs: [['allocation']] },
  { name: 'idle-core', unit: 'bytes', bound: 1024, runs: [['idle-core', '100000']] },
  { name: 'idle-socket', unit: 'bytes', bound: 4096, runs: [['idle-socket', '20000']] },
  {
    name: 'flat-1000',
    unit: 'x cost of 1',
    bound: 1.15,
    runs: [
      ['segment', '1000'],
      ['segment', '1'],
    ],
  },
  {
    name: 'flat-100000',
    unit: 'x cost of 1',
    bound: 1.15,
    runs: [
      ['segment', '100000'],
      ['segment', '1'],
    ],
  },
];

const SCRIPT = fileURLToPath(new URL('core.ts', import.meta.url));
// A young generation so large that it is never collected: what is allocated stays in sight.
const FLAGS = [
  '--expose-gc',
  '--min-semi-space-size=512',
  '--max-semi-space-size=512',
  '--max-old-space-size=4096',
  '--import',
  'tsx',
];
const run = promisify(execFile);

async function figure(args: readonly string[]): Promise<number> {
  const { stdout } = await run(process.execPath, [...FLAGS, SCRIPT, ...args], { timeout: 120_000 });
  const value = Number(stdout.trim().split('\n').at(-1));
  if (!Number.isFinite(value)) throw new Error(`core.ts ${args.join(' ')} printed ${stdout}`);
  return value;
}

export async function measureCore({ name, unit, bound, runs }: CoreRow): Promise<Result[]> {
  const rounds = runs.length > 1 ? 3 : 1;
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let value = await figure(runs[0]);
    if (runs.length > 1) value /= await figure(runs[1]);
    values.push(value);
  }
  values.sort((a, b) => a - b);
  const [min, ours, max] = [values[0], values[values.length >> 1], values[values.length - 1]];
  return [
    {
      name,
      ours,
      against: 'the bound',
      reference: bound,
      unit,
      ratio: ours / bound,
      goal: `<= ${bound}`,
      met: ours <= bound,
      min,
      max,
      referenceMin: bound,
      referenceMax: bound,
      verified: true,
    },
  ];
}
