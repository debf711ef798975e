// Runs vitest projects one after the other and adds up their results: `node scripts/run-tests.mjs unit interop`.
//
// The last line is `N passed, N failed`. A file that could not be loaded and an error outside any test count as failures; so does a
// skipped test when CI is set, because there everything was installed.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';

const RESULTS = '.test-results';
const LIMIT = 12 * 60_000;
const inCi = Boolean(process.env.CI);

function runProject(project) {
  const outputFile = `${RESULTS}/${project}.json`;
  rmSync(outputFile, { force: true });
  const { status, signal } = spawnSync(
    'vitest',
    ['run', '--project', project, '--reporter', 'default', '--reporter', 'json', `--outputFile.json=${outputFile}`],
    { stdio: ['ignore', 'inherit', 'inherit'], timeout: LIMIT, killSignal: 'SIGTERM' },
  );
  return { exitedClean: status === 0 && signal === null, outputFile };
}

function count({ exitedClean, outputFile }, project) {
  let report;
  try {
    report = JSON.parse(readFileSync(outputFile, 'utf8'));
  } catch (error) {
    console.error(`${project}: vitest left no results (${error.message})`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const file of report.testResults) {
    if (file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')) failed++;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failed++;
      else {
        skipped++;
        const why = test.meta?.skipReason ?? test.failureMessages?.join('; ') ?? '';
        console.error(`skipped: ${test.fullName}${why ? ` (${why})` : ''}`);
      }
    }
  }
  if (!exitedClean && failed === 0) failed++;
  return { passed, failed, skipped };
}

mkdirSync(RESULTS, { recursive: true });
const total = { passed: 0, failed: 0, skipped: 0 };
for (const project of process.argv.slice(2)) {
  const counted = count(runProject(project), project);
  for (const key of Object.keys(total)) total[key] += counted[key];
}
if (total.skipped > 0) console.error(`${total.skipped} skipped${inCi ? ', which counts as failed in CI' : ''}`);
if (inCi) total.failed += total.skipped;
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
