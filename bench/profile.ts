// Where the time of one measurement goes: runs it against our stack under V8's profiler and prints self times, largest first.
//
//   tsx bench/profile.ts MODE PORT [seconds] [argument of bench/c/client.c …]
//
//   send 5001 bulk receive · receive 5002 bulk send · rr 5003 · crr 5003 5 flows=16 · udp-echo 5005 · udp-in 5006 · udp-out 5008
//
// Time before the stack's first turn (loading) and idle time are left out. Time inside native `send` and `receive` is the kernel's: a frame
// written to a TAP goes through the host's stack, up to the client's socket, before the call returns.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Lab } from './lab.ts';

interface Profile {
  readonly nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  readonly samples: number[];
  readonly timeDeltas: number[];
}

const [mode = 'send', port = '5001', seconds = '5', ...more] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'bench-profile-'));
process.env.BENCH_NODE_FLAGS = `--cpu-prof --cpu-prof-interval 300 --cpu-prof-dir=${directory}`;
const lab = new Lab();
try {
  console.log(JSON.stringify(await lab.measure('ours', mode, Number(port), Number(seconds), ...more)));
} finally {
  await lab.close();
}

for (const file of readdirSync(directory)) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Profile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const self = new Map<string, number>();
  let total = 0;
  let started = false;
  samples.forEach((id, i) => {
    const frame = frames.get(id);
    if (frame === undefined) return;
    started ||= frame.functionName === '#turn';
    if (!started || frame.functionName === '(idle)') return;
    const where = `${frame.functionName || '(anonymous)'} ${frame.url.split('/').slice(-2).join('/')}:${frame.lineNumber + 1}`;
    self.set(where, (self.get(where) ?? 0) + timeDeltas[i]);
    total += timeDeltas[i];
  });
  if (!started) continue; // another thread's
  console.log(`${(total / 1e6).toFixed(2)} s busy`);
  for (const [where, time] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 30))
    console.log(`${((time / total) * 100).toFixed(1).padStart(6)} %  ${where}`);
}
rmSync(directory, { recursive: true });
