// One place to race in: a left and a right network namespace with the relay between them.
//
//   left                                    right
//   our stack ── ours ┐
//                     br0 ── rl ── relay ── rr    Linux, 10.77.0.3
//   Linux, 10.77.0.1 ─┘
//
// Our stack (10.77.0.2) and Linux on the left share a bridge, so that both take the same way and can compete for it.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Netns, ROOT, type Running } from '../../test/support/netns.ts';

const LINUX_LEFT = '10.77.0.1';
const OURS = '10.77.0.2';
const LINUX_RIGHT = '10.77.0.3';
const MIN_QUEUE = 64 * 1024;
const BUILD = join(ROOT, 'bench/build');
const TSX = join(ROOT, 'node_modules/tsx/dist/esm/index.mjs');

export interface Path {
  /** Bits per second. */
  rate: number;
  /** Milliseconds. */
  rtt: number;
  /** Probability, each way. */
  loss: number;
  seed: number;
  /** Of the bandwidth-delay product; default 1. */
  queue?: number;
}

/** Who sends, to whom. */
export type Race = 'linux' | 'ours-sends' | 'ours-receives';

export interface Outcome {
  /** Bits per second that reached the application. */
  goodput: number;
  /** What the sender, the receiver and the relay have to say. */
  details: Record<string, unknown>;
}

export interface RaceOptions {
  seconds: number;
  skip?: number;
  congestion?: string;
  /** Congestion control of our stack; default the same. */
  ourCongestion?: string;
  options?: object;
}

export function buildTools(): void {
  mkdirSync(BUILD, { recursive: true });
  for (const tool of ['relay', 'peer'])
    execFileSync('cc', ['-O2', '-Wall', '-o', join(BUILD, tool), join(ROOT, `bench/wan/${tool}.c`)]);
}

export class Lane {
  readonly #left = new Netns();
  readonly #right = new Netns();
  #port = 5000;

  async open(): Promise<void> {
    for (const side of [this.#left, this.#right]) {
      const settings = [
        'net.ipv6.conf.all.disable_ipv6=1',
        'net.ipv6.conf.default.disable_ipv6=1',
        'net.ipv4.tcp_no_metrics_save=1', // a run must not learn from the one before
        'net.ipv4.tcp_rmem="4096 131072 15728640"',
        'net.ipv4.tcp_wmem="4096 16384 15728640"',
      ];
      const { status, stderr } = await side.shell(settings.map((s) => `sysctl -qw ${s}`).join(' && '));
      if (status !== 0) throw new Error(`sysctl: ${stderr}`);
    }
    const left = (...args: string[]): string => this.#left.ip(...args);
    const right = (...args: string[]): string => this.#right.ip(...args);
    left('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0', 'mcast_snooping', '0');
    for (const tap of ['rl', 'ours']) {
      left('tuntap', 'add', tap, 'mode', 'tap', ...(tap === 'ours' ? ['vnet_hdr'] : []));
      left('link', 'set', tap, 'txqueuelen', '20000', 'master', 'br0', 'up');
    }
    left('address', 'add', `${LINUX_LEFT}/24`, 'dev', 'br0');
    left('link', 'set', 'br0', 'up');
    right('tuntap', 'add', 'rr', 'mode', 'tap');
    right('link', 'set', 'rr', 'txqueuelen', '20000', 'up');
    right('address', 'add', `${LINUX_RIGHT}/24`, 'dev', 'rr');
    const macOf = (side: typeof left, dev: string): string =>
      (JSON.parse(side('-j', 'link', 'show', dev)) as { address: string }[])[0].address;
    left('neigh', 'replace', LINUX_RIGHT, 'lladdr', macOf(right, 'rr'), 'dev', 'br0', 'nud', 'permanent');
    right('neigh', 'replace', LINUX_LEFT, 'lladdr', macOf(left, 'br0'), 'dev', 'rr', 'nud', 'permanent');
  }

  async run(race: Race, path: Path, options: RaceOptions): Promise<Outcome> {
    const { seconds, skip = 0, congestion = 'cubic', ourCongestion = congestion } = options;
    const port = String(this.#port++);
    const relay = await this.#relay(path, race === 'ours-receives');
    const started: Running[] = [relay];
    try {
      const our = JSON.stringify(options.options ?? {});
      const sink =
        race === 'ours-receives'
          ? this.#ours('sink', port, String(skip), String(seconds), our)
          : this.#right.spawn(join(BUILD, 'peer'), ['sink', port, String(skip), String(seconds)]);
      started.push(sink);
      let source: Running;
      if (race === 'ours-sends') {
        source = this.#ours('source', LINUX_RIGHT, port, ourCongestion, our);
        started.push(source);
        await Promise.all([source.output(/^ready$/m, 30_000), sink.output(/^listening$/m, 30_000)]);
        source.write('go\n');
      } else {
        await sink.output(/^listening$/m, 30_000);
        const from = race === 'linux' ? this.#left : this.#right;
        const to = race === 'linux' ? LINUX_RIGHT : OURS;
        source = from.spawn(join(BUILD, 'peer'), ['source', to, port, congestion]);
        started.push(source);
      }
      const received = await sink.finish((seconds + 40) * 1000);
      const sent = await source.finish(15_000);
      relay.kill('SIGTERM');
      const relayed = await relay.finish(5_000);
      const result = last(received.stdout, sink) as { bytes: number; seconds: number };
      return {
        goodput: (result.bytes * 8) / result.seconds,
        details: { receiver: result, sender: last(sent.stdout, source), relay: last(relayed.stdout, relay) },
      };
    } finally {
      for (const running of started) running.kill('SIGKILL');
    }
  }

  /** Our flow and a Linux flow through the same bottleneck, started together: goodput of each. */
  async compete(path: Path, options: RaceOptions): Promise<{ ours: Outcome; linux: Outcome }> {
    const { seconds, skip = 0, congestion = 'cubic', ourCongestion = congestion } = options;
    const ports = [String(this.#port++), String(this.#port++)];
    const relay = await this.#relay(path);
    const started: Running[] = [relay];
    try {
      const sinks = ports.map((port) =>
        this.#right.spawn(join(BUILD, 'peer'), ['sink', port, String(skip), String(seconds)]),
      );
      started.push(...sinks);
      const our = JSON.stringify(options.options ?? {});
      const ours = this.#ours('source', LINUX_RIGHT, ports[0], ourCongestion, our);
      started.push(ours);
      await Promise.all([ours.output(/^ready$/m, 30_000), ...sinks.map((s) => s.output(/^listening$/m, 30_000))]);
      ours.write('go\n');
      const linux = this.#left.spawn(join(BUILD, 'peer'), ['source', LINUX_RIGHT, ports[1], congestion]);
      started.push(linux);
      const received = await Promise.all(sinks.map((s) => s.finish((seconds + 40) * 1000)));
      const sent = await Promise.all([ours.finish(15_000), linux.finish(15_000)]);
      const [one, two] = received.map((r, i) => {
        const result = last(r.stdout, sinks[i]) as { bytes: number; seconds: number };
        const sender = last(sent[i].stdout, i === 0 ? ours : linux);
        return { goodput: (result.bytes * 8) / result.seconds, details: { receiver: result, sender } };
      });
      return { ours: one, linux: two };
    } finally {
      for (const running of started) running.kill('SIGKILL');
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#left.destroy(), this.#right.destroy()]);
  }

  /** @param swap the data goes left: it is to lose what data that goes right loses */
  async #relay({ rate, rtt, loss, seed, queue = 1 }: Path, swap = false): Promise<Running> {
    const bytes = Math.max(MIN_QUEUE, Math.round(((rate / 8) * rtt * queue) / 1000));
    const delay = (rtt * 1000) / 2;
    const args = [
      `rate=${rate}`,
      `delay=${delay}`,
      `queue=${bytes}`,
      `loss=${loss}`,
      `seed=${seed}`,
      `swap=${Number(swap)}`,
    ];
    // It enters both namespaces by itself.
    const relay = this.#left.spawn(join(BUILD, 'relay'), [`${this.#left.name}:rl`, `${this.#right.name}:rr`, ...args]);
    await relay.output(/^ready$/m, 10_000);
    return relay;
  }

  #ours(...args: string[]): Running {
    const script = join(ROOT, 'bench/wan/endpoint.ts');
    return this.#left.spawn(process.execPath, ['--import', TSX, script, 'ours', `${OURS}/24`, ...args]);
  }
}

/** The last line of what `running` printed. */
function last(stdout: string, running: Running): unknown {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(`"${running.commandLine}" printed no result\n${stdout}\n${running.stderr}`);
  }
}
