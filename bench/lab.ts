// Where the benchmarks run: a network namespace with the client and one cable to each contender, and the contenders at the other ends.
//
//   client ns ── tap ── tapstack (offload)      10.77.1.2     ── veth ── Node on the kernel's stack, in a namespace of its own   10.77.3.2
//             ── tap ── tapstack (plain)        10.77.2.2     ── tap  ── C null stack (offload) 10.77.4.2   (plain) 10.77.5.2

import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Netns, type Running } from '../test/support/netns.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const BUILD = join(HERE, 'build');
const TSX = resolve(HERE, '../node_modules/tsx/dist/esm/index.mjs');
const QUEUE = '2000';

export type Contender = 'ours' | 'ours-plain' | 'kernel' | 'null' | 'null-plain';

export interface Side {
  readonly address: string;
  readonly pid: number;
}

/** Compile what bench/c has, once. */
export function compile(name: string): string {
  mkdirSync(BUILD, { recursive: true });
  const [source, target] = [join(HERE, 'c', `${name}.c`), join(BUILD, name)];
  const made = statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newest = Math.max(...[source, join(HERE, 'c/pattern.h')].map((file) => statSync(file).mtimeMs));
  if (made < newest) execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', target, source], { stdio: 'inherit' });
  return target;
}

export class Lab {
  readonly client = new Netns();
  readonly #far = new Netns();
  readonly #sides = new Map<Contender, Promise<Side>>();
  readonly #clientProgram = compile('client');
  readonly #nullStack = compile('null-stack');

  constructor() {
    for (const netns of [this.client, this.#far]) {
      // TIME-WAIT on the client's side would use up its ports; routes' remembered metrics would tie one run to the next.
      for (const setting of ['tcp_max_tw_buckets=0', 'tcp_no_metrics_save=1', 'ip_local_port_range=2000 65000'])
        execFileSync('ip', ['netns', 'exec', netns.name, 'sysctl', '-qw', `net.ipv4.${setting}`]);
    }
  }

  /** The contender, started when it is first asked for. */
  side(contender: Contender): Promise<Side> {
    let side = this.#sides.get(contender);
    if (side === undefined) {
      side = this.#start(contender);
      this.#sides.set(contender, side);
    }
    return side;
  }

  async #start(contender: Contender): Promise<Side> {
    switch (contender) {
      case 'ours':
        return this.#onTap('bench1', '10.77.1', this.#server(this.client, 'offload', 'bench1', '10.77.1.2/24'));
      case 'ours-plain':
        return this.#onTap('bench2', '10.77.2', this.#server(this.client, 'plain', 'bench2', '10.77.2.2/24'));
      case 'null':
        return this.#onTap('bench4', '10.77.4', this.client.spawn(this.#nullStack, ['bench4', '10.77.4.2', '1']));
      case 'null-plain':
        return this.#onTap('bench5', '10.77.5', this.client.spawn(this.#nullStack, ['bench5', '10.77.5.2', '0']));
      case 'kernel': {
        this.client.ip('link', 'add', 'bench3', 'type', 'veth', 'peer', 'name', 'bench3', 'netns', this.#far.name);
        for (const [netns, host] of [
          [this.client, 1],
          [this.#far, 2],
        ] as const) {
          netns.ip('address', 'add', `10.77.3.${host}/24`, 'dev', 'bench3');
          netns.ip('link', 'set', 'bench3', 'up');
        }
        return this.#ready(this.#server(this.#far, 'kernel', '10.77.3.2'), '10.77.3');
      }
    }
  }

  #server(netns: Netns, ...args: string[]): Running {
    const flags = (process.env.BENCH_NODE_FLAGS ?? '').split(' ').filter((flag) => flag !== '');
    return netns.spawn(process.execPath, [...flags, '--import', TSX, join(HERE, 'server.ts'), ...args]);
  }

  async #onTap(tap: string, network: string, running: Running): Promise<Side> {
    const side = await this.#ready(running, network);
    this.client.ip('address', 'add', `${network}.1/24`, 'dev', tap);
    this.client.ip('link', 'set', tap, 'up', 'txqueuelen', QUEUE);
    return side;
  }

  async #ready(running: Running, network: string): Promise<Side> {
    await running.output(/^ready$/m, 30_000);
    running.exited.then(({ status, stderr }) => {
      if (stderr !== '') console.error(`server ${network}.2 ended with ${status}: ${stderr}`);
    });
    return { address: `${network}.2`, pid: running.child.pid ?? 0 };
  }

  /** One measurement of the client's: see bench/c/client.c. */
  async measure(contender: Contender, mode: string, port: number, seconds: number, ...more: string[]): Promise<Sample> {
    const { address, pid } = await this.side(contender);
    const args = [mode, address, String(port), String(seconds), `pid=${pid}`, ...more];
    const { status, stdout, stderr } = await this.client.run(this.#clientProgram, args, { timeout: 30_000 });
    if (status !== 0) throw new Error(`${contender}: client ${args.join(' ')}: ${stderr.trim() || `status ${status}`}`);
    return JSON.parse(stdout) as Sample;
  }

  async close(): Promise<void> {
    await this.client.destroy();
    await this.#far.destroy();
  }
}

export interface Sample {
  readonly value: number;
  readonly seconds: number;
  /** CPU seconds of the contender's process. */
  readonly cpu: number;
  /** Bytes or transactions. */
  readonly amount: number;
}
