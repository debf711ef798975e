// Runs every script of this directory, typed and generated: what RFCs ask of TCP, said in packets.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runScript } from '../../src/sim/script/index.ts';
import { reassemblyCases } from './reassembly.ts';
import { stateCases } from './states.ts';

function passes(script: string): void {
  const report = runScript(script);
  const trace = report.outcome === 'passed' ? '' : `\n${report.details}\n${report.trace.join('\n')}`;
  expect(`${report.outcome} ${report.reason}${trace}`).toBe('passed ');
}

const HERE = import.meta.dirname;

describe('scripts', () => {
  for (const name of readdirSync(HERE, { recursive: true, encoding: 'utf8' }).sort())
    if (name.endsWith('.pkt')) it(name, () => passes(readFileSync(join(HERE, name), 'utf8')));
});

describe('every state x every segment (RFC 9293 §3.10.7, RFC 5961, RFC 1337)', () => {
  for (const { name, script } of stateCases()) it(name, () => passes(script));
});

describe('every order of arrival (RFC 9293 §3.10.7.4, RFC 2018, RFC 2883)', () => {
  for (const { name, script } of reassemblyCases()) it(name, () => passes(script));
});
