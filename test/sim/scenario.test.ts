import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Report, scenario } from '../../src/sim/scenario.ts';

// `SEED=17 make sim` runs that one; `SEEDS=10000 make sim` runs as many, from FIRST on.
const first = Number(process.env.SEED ?? process.env.FIRST ?? 1);
const count = process.env.SEED !== undefined ? 1 : Number(process.env.SEEDS ?? 500);
const CHUNK = 50;

/** Run `seed` again, recorded, so that there is something to look at. */
function explain(report: Report): string {
  const again = scenario(report.seed, { capture: true });
  const file = join(mkdtempSync(join(tmpdir(), 'tapstack-sim-')), `seed-${report.seed}.pcapng`);
  writeFileSync(file, again.network.pcapng());
  again.network.close();
  return [
    `seed ${report.seed} (${report.topology}):`,
    ...report.failures.map((failure) => `  ${failure}`),
    `  recorded in ${file}`,
    `  again: tapstack sim --seed ${report.seed} --trace`,
  ].join('\n');
}

for (let from = first; from < first + count; from += CHUNK) {
  const last = Math.min(from + CHUNK, first + count) - 1;
  test(`every byte arrives exactly once and in order or the socket errors, nothing hangs or leaks: seeds ${from} to ${last}`, () => {
    const failed: string[] = [];
    for (let seed = from; seed <= last; seed++) {
      const report = scenario(seed);
      report.network.close();
      if (report.failures.length > 0) failed.push(explain(report));
    }
    expect(failed.join('\n')).toBe('');
  }, 120_000);
}
