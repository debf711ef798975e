// What keeps a process alive and what does not, as with node:net: each case is a process of its own.

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PRELUDE = `
  import { once } from 'node:events';
  import { pipe } from './src/link/pipe.ts';
  import { createStack } from './src/node/node-stack.ts';
  const stack = await createStack();
  const { net, dgram } = stack;
`;

/** Run `code`; null when it is still alive after `patience` ms. */
async function statusOf(
  code: string,
  patience: number,
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', PRELUDE + code], {
    cwd: ROOT,
  });
  let stdout = '';
  let stderr = '';
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on('data', (data) => {
    stdout += data;
    // Patience starts when the program has done what it wants to do; starting up takes longer than that.
    if (stdout.includes('up')) timer ??= setTimeout(() => child.kill('SIGKILL'), patience);
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const status = await new Promise<number | null>((done) => child.once('close', done));
  clearTimeout(timer);
  clearTimeout(deadline);
  return { status, stdout, stderr };
}

const UP = "\nconsole.log('up');";
const LIMIT = 90_000;

const ends: [string, string][] = [
  ['a stack with nothing open', ''],
  ['a socket nobody connected', 'new net.Socket();'],
  ['an unbound datagram socket', "dgram.createSocket('udp4');"],
  ['a server that is unreferenced', "const s = net.createServer().listen(1); await once(s, 'listening'); s.unref();"],
  [
    'a bound socket that is unreferenced',
    "const s = dgram.createSocket('udp4').bind(1); await once(s, 'listening'); s.unref();",
  ],
  [
    'a connection that is unreferenced at both ends',
    `const s = net.createServer((c) => c.unref()).listen(1); await once(s, 'listening');
     const c = net.connect(1); await once(c, 'connect'); c.unref(); s.close();`,
  ],
  [
    'a connection after its close',
    `const s = net.createServer((c) => c.end('x')).listen(1); await once(s, 'listening');
     const c = net.connect(1); c.resume(); await once(c, 'close'); s.close();`,
  ],
];
test.each(ends)('%s lets the process end', { timeout: LIMIT }, async (_name, code) => {
  const { status, stderr } = await statusOf(code + UP, 8000);
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

const stays: [string, string][] = [
  ['a listening server', "const s = net.createServer().listen(1); await once(s, 'listening');"],
  ['a bound socket', "const s = dgram.createSocket('udp4').bind(1); await once(s, 'listening');"],
  [
    'a connection that reads',
    `const s = net.createServer((c) => c.resume()).listen(1); await once(s, 'listening');
     const c = net.connect(1); c.resume(); await once(c, 'connect'); s.close();`,
  ],
];
test.each(stays)('%s keeps the process alive', { timeout: LIMIT }, async (_name, code) => {
  const { status } = await statusOf(code + UP, 700);
  expect(status).toBeNull();
});

test('what was written before the end of the process arrives', { timeout: LIMIT }, async () => {
  const { stdout, status } = await statusOf(
    `const [left, right] = pipe();
     // What is sent arrives late, and nothing but what is on its way keeps the process waiting for them.
     const late = {
       mtu: right.mtu,
       offload: right.offload,
       receive: (rx) => right.receive(rx),
       send: (tx) => right.send(tx),
       watch: (wake) => right.watch(wake && (() => setTimeout(wake, 30).unref())),
     };
     const a = await createStack({ link: left, address: '10.9.0.1/24' });
     const b = await createStack({ link: late, address: '10.9.0.2/24' });
     const s = b.net.createServer((c) => {
       c.unref();
       let n = 0;
       c.on('data', (d) => { n += d.length; }).on('end', () => { console.log('got', n); s.close(); });
     }).listen(1);
     await once(s, 'listening');
     s.unref();
     const c = a.net.connect(1, '10.9.0.2');
     await once(c, 'connect');
     c.end(Buffer.alloc(10000));
     c.destroySoon();`,
    8000,
  );
  expect(stdout).toContain('got 10000');
  expect(status).toBe(0);
});
