// `tapstack script FILE …`: run packet scripts against the stack, in virtual time, without a network or root.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Report } from '../sim/script/index.ts';
import { runScript } from '../sim/script/index.ts';
import { FAILED, misuse } from './usage.ts';

interface ScriptCommandOptions {
  tolerance_usecs?: number;
  windows?: boolean;
  seed?: number;
  trace?: boolean;
  verbose?: boolean;
}

/** Every `.pkt` below a directory, in order; a file as it is. */
function* scriptsIn(path: string): Generator<string> {
  if (!statSync(path).isDirectory()) {
    yield path;
    return;
  }
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.isDirectory()) yield* scriptsIn(join(path, entry.name));
    else if (entry.name.endsWith('.pkt')) yield join(path, entry.name);
  }
}

const LINES: Record<Report['outcome'], (name: string, reason: string) => string> = {
  passed: (name) => `ok ${name}`,
  failed: (name, reason) => `not ok ${name}: ${reason}`,
  unsupported: (name, reason) => `unsupported ${name}: ${reason}`,
};

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw misuse(`${text}: expected a whole number, 0 or more`);
  return value;
}

function runAll(paths: readonly string[], options: ScriptCommandOptions): number {
  const counts: Record<Report['outcome'], number> = { passed: 0, failed: 0, unsupported: 0 };
  const { stdout } = process;
  for (const path of paths) {
    let names: string[];
    try {
      names = [...scriptsIn(path)];
    } catch (error) {
      throw misuse(`${path}: cannot be read (${error instanceof Error ? error.message : String(error)})`);
    }
    if (names.length === 0) throw misuse(`${path}: no .pkt file in there`);
    for (const name of names) {
      const report = runScript(readFileSync(name, 'utf8'), {
        tolerance: options.tolerance_usecs,
        windows: options.windows,
        seed: options.seed,
      });
      counts[report.outcome]++;
      stdout.write(`${LINES[report.outcome](name, report.reason.replace(/\s*\n\s*/g, ' '))}\n`);
      for (const line of report.printed) stdout.write(`# ${line}\n`);
      if (report.outcome === 'failed') stdout.write(explain(report));
      if (options.trace) stdout.write(`${report.trace.join('\n')}\n`);
      else if (options.verbose && report.outcome !== 'failed') stdout.write(`${indent(report.trace.join('\n'))}\n`);
    }
  }
  stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.unsupported} unsupported\n`);
  return counts.failed;
}

const indent = (text: string): string => text.replace(/^/gm, '#   ');

function explain(report: Report): string {
  const details = report.details === '' ? '' : `${report.details.replace(/^/gm, '#')}\n`;
  return `${details}# trace so far:\n${indent(report.trace.join('\n'))}\n`;
}

export function register(program: Command): void {
  program
    .command('script')
    .description("run packet scripts in packetdrill's language against the stack, in virtual time")
    .argument('<paths...>', 'scripts, or directories with .pkt files')
    .option(
      '--tolerance_usecs <n>',
      'how far a packet may be off its time in µs (default 4000, or as the script says)',
      wholeNumber,
    )
    .option('--windows', 'compare windows and window scales exactly')
    .option('--seed <n>', "of the stack's randomness (default 1)", wholeNumber)
    .option('--trace', 'print each run as a script')
    .option('-v, --verbose', 'print what happened in each run')
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack script handshake.pkt
  $ tapstack script test/conformance
  $ tapstack script --trace handshake.pkt > as-it-was.pkt

One line per script: ok, not ok with what differs, or unsupported with what is missing. Exit status 0 when none failed.`,
    )
    .action((paths: string[], options: ScriptCommandOptions) => {
      // The last line says how many; it needs no other.
      if (runAll(paths, options) > 0) process.exitCode = FAILED;
    });
}
