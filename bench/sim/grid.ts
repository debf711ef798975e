// `make bench-sim`: the whole grid, next to the golden copy. `--update` makes the figures of this run the new golden copy: say why in the
// commit. `--only cubic` runs one congestion control; `--json` prints what would become the golden copy.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Cell, Result } from './cell.ts';
import { CONTROLS, FLOWS, fairness, LOSSES, long, nameOf, RATES, RTTS, short } from './cell.ts';

interface Golden {
  long: Record<string, Result>;
  short: Record<string, Result>;
  fairness: Record<string, number>;
}

const FILE = new URL('golden.json', import.meta.url);
const args = process.argv.slice(2);
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null;
const read = (): Golden | null => (existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Golden) : null);
const golden = read();
const found: Golden = { long: {}, short: {}, fairness: {} };
const isQuiet = args.includes('--json');
const print = (line: string): void => {
  if (!isQuiet) console.log(line);
};

const change = (now: number, before: number | undefined): string => {
  if (before === undefined) return '   new';
  if (now === before) return '     =';
  if (before === 0) return `${before}→${now}`;
  return `${now > before ? '+' : ''}${(((now - before) / before) * 100).toFixed(1)}%`.padStart(6);
};

let changed = 0;

function row(kind: 'long' | 'short', cell: Cell, result: Result): void {
  const name = nameOf(cell);
  found[kind][name] = result;
  const before = golden?.[kind][name];
  if (JSON.stringify(before) !== JSON.stringify(result)) changed++;
  const share = ((result.goodput * 1e8) / cell.rate).toFixed(0).padStart(4);
  print(
    `${kind.padEnd(5)} ${name.padEnd(32)} ${result.goodput.toFixed(3).padStart(9)} Mbit/s ${share} %` +
      ` ${change(result.goodput, before?.goodput)}  ${String(result.retransmitted).padStart(6)} again` +
      ` ${change(result.retransmitted, before?.retransmitted)}  ${result.completion.toFixed(1).padStart(10)} ms`,
  );
}

for (const congestion of CONTROLS) {
  if (only !== null && only !== congestion) continue;
  for (const rate of RATES)
    for (const rtt of RTTS)
      for (const loss of LOSSES) {
        const cell = { congestion, loss, rtt, rate };
        row('long', cell, long(cell));
        row('short', cell, short(cell));
      }
  for (const flows of FLOWS) {
    const name = `${congestion} ${flows} flows`;
    const index = fairness(congestion, flows);
    found.fairness[name] = index;
    if (golden?.fairness[name] !== index) changed++;
    print(`fair  ${name.padEnd(32)} Jain ${index.toFixed(3)} ${change(index, golden?.fairness[name])}`);
  }
}

if (isQuiet) console.log(JSON.stringify(found, null, 2));
print(`${changed} of the figures differ from the golden copy`);
if (args.includes('--update')) {
  // Read again: another congestion control may have been measured meanwhile.
  const latest = read();
  const merged: Golden = {
    long: { ...latest?.long, ...found.long },
    short: { ...latest?.short, ...found.short },
    fairness: { ...latest?.fairness, ...found.fairness },
  };
  writeFileSync(FILE, `${JSON.stringify(merged, null, 2)}\n`);
  print('the golden copy is updated');
}
