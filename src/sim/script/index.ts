// Packet scripts: the language of google/packetdrill, run against our stack in virtual time.
//
//   const report = runScript(text);
//   report.outcome        'passed' | 'failed' | 'unsupported'

export { Unsupported } from './ast.ts';
export { parseScript } from './parser.ts';
export type { Report, RunOptions } from './runtime.ts';
export { runScript } from './runtime.ts';
