// `simulate(seed)`: a network in which ordinary programs run on virtual time.
//
//   const net = simulate(7);
//   const server = await net.host('server');
//   const client = await net.host('client');
//   net.link(client, server, { delay: 40, loss: 0.01, rate: 10e6 });
//   const web = http.createServer(…);  server.net.createServer((socket) => web.emit('connection', socket)).listen(80);
//   const socket = client.net.connect(80, server.address);
//   await net.run({ for: 60_000 });
//   await net.close();
//
// Time goes on by itself whenever the process has nothing left to do, as far as the next event.

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cable, LinkOptions } from '../cable.ts';
import { addressesOf } from '../host.ts';
import type { Nat, NatOptions } from '../nat.ts';
import type { NetworkOptions, Plug } from '../network.ts';
import { Network } from '../network.ts';
import type { SimNode } from '../port.ts';
import type { Random } from '../random.ts';
import type { Router, RouterOptions } from '../router.ts';
import type { Switch } from '../switch.ts';
import { SimClock } from './clock.ts';
import { NodeHost, type NodeHostOptions } from './node-host.ts';

export interface SimulateOptions extends NetworkOptions {
  /** Record what every host and router sees (default true); a number is the most bytes to keep. */
  capture?: boolean | number;
}

export interface RunOptions {
  /** Simulated ms. With `until` it is the limit: when it is reached first, `run` rejects. */
  for?: number;
  /** Asked before every event. */
  until?: () => boolean;
}

/** A timer on simulated time. */
export interface SimTimeout {
  clear(): void;
}

export class Simulation {
  readonly seed: number;
  /** Randomness for the program itself, from the same seed. */
  readonly random: Random;
  readonly network: Network;
  readonly clock: SimClock;
  readonly #hosts: NodeHost[] = [];
  #isClosed = false;

  constructor(seed: number, options: SimulateOptions = {}) {
    this.network = new Network(seed, { ...options, capture: options.capture ?? true });
    this.seed = seed;
    this.random = this.network.random.fork('user');
    this.clock = new SimClock(this.network);
  }

  // ── Building ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A host with `net`, `dgram`, `ping` and `traceroute` of its own. */
  async host(name: string, options: NodeHostOptions = {}): Promise<NodeHost> {
    const { network, clock } = this;
    network.claim(name);
    const cidrs = addressesOf(network, name, options.address);
    const host = await NodeHost.create(network, clock, name, cidrs, options);
    this.#hosts.push(host);
    return host;
  }

  router(name: string, options: RouterOptions = {}): Router {
    return this.network.router(name, options);
  }

  nat(name: string, options: NatOptions = {}): Nat {
    return this.network.nat(name, options);
  }

  switch(name: string): Switch {
    return this.network.switch(name);
  }

  /** Join two nodes with a cable. */
  link(a: Plug, b: Plug, options: LinkOptions = {}): Cable {
    return this.network.link(a, b, options);
  }

  /** Cut every cable between `some` nodes and the others; returns what heals it. */
  partition(...some: readonly SimNode[]): () => void {
    return this.network.partition(...some);
  }

  // ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Simulated ms since the beginning. */
  get now(): number {
    return this.network.elapsed;
  }

  /** Simulated wall-clock time. */
  get date(): Date {
    return new Date(this.network.wallClock() / 1000);
  }

  setTimeout(callback: () => void, delay: number): SimTimeout {
    const { clock } = this;
    clock.hold();
    let isHeld = true;
    const letGo = (): void => {
      if (isHeld) clock.release();
      isHeld = false;
    };
    const event = clock.after(delay, () => {
      letGo();
      callback();
    });
    return {
      clear: () => {
        event.cancel();
        letGo();
      },
    };
  }

  /** Simulated ms later. */
  sleep(delay: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimeout(resolve, delay);
    });
  }

  /**
   * Wait: `for` so many simulated ms, or `until` something is true, or, with neither, until nothing is left to happen.
   * @throws Error when `until` is not true in time, or never will be
   */
  async run(options: RunOptions = {}): Promise<void> {
    const { until } = options;
    if (until === undefined && options.for === undefined) return this.settled();
    const limit = options.for ?? Infinity;
    if (until === undefined) return this.sleep(limit);
    const end = this.now + limit;
    const late = limit === Infinity ? null : this.setTimeout(() => {}, limit);
    try {
      await this.clock.wait((isIdle) => {
        if (until()) return true;
        if (this.now >= end) throw this.#error(`run: not so after ${limit} ms`);
        if (isIdle) throw this.#error('run: nothing is left to happen, and it is not so');
        return false;
      });
    } finally {
      late?.clear();
    }
  }

  /** Until nothing is left to happen: no frame is under way and no timer is set. Listening servers and idle sockets may be left. */
  settled(): Promise<void> {
    return this.clock.wait((isIdle) => isIdle);
  }

  // ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What was recorded, as a pcapng file. */
  pcapng(): Uint8Array {
    return this.network.pcapng();
  }

  /** Write what was recorded. Returns the path. */
  writePcapng(path: string = join(tmpdir(), `tapstack-sim-${this.seed}-${process.pid}.pcapng`)): string {
    writeFileSync(path, this.pcapng());
    return path;
  }

  /** Close every host, in good order and simulated time. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all(this.#hosts.map((host) => host.close()));
    this.clock.close();
    this.network.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #error(message: string): Error {
    return new Error(`${message} (seed ${this.seed}, at ${this.now} ms)`);
  }
}

/** A network of one's own under simulated time. The same seed and the same program give the same run, byte for byte. */
export function simulate(seed: number, options: SimulateOptions = {}): Simulation {
  return new Simulation(seed, options);
}

/**
 * Run `body` in a simulation and close it. When `body` throws, the error tells the seed and where the recording is.
 */
export async function simulation<T>(
  seed: number,
  body: (net: Simulation) => T | Promise<T>,
  options: SimulateOptions = {},
): Promise<T> {
  const net = simulate(seed, options);
  try {
    return await body(net);
  } catch (error) {
    if (error instanceof Error) error.message += ` [seed ${seed}, at ${net.now} ms, recorded in ${net.writePcapng()}]`;
    throw error;
  } finally {
    await net.close();
  }
}
