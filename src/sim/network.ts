// A simulated network: nodes, cables between them, and one clock that jumps from event to event.
//
//   const net = new Network(7);
//   const [a, b] = [net.host('a'), net.host('b')];
//   net.link(a, b, { delay: 20, loss: 0.01 });
//   … commands on a.stack, b.stack …
//   net.run(60_000);
//
// Options are in milliseconds, bits per second and bytes, as users of Node think; inside it is microseconds.
//
// Invariant: a run is a function of the seed and the calls made; nothing here depends on real time or on the order of a hash.

import type { Mac } from '../wire/address.ts';
import { MILLISECOND, SECOND, type World } from '../world.ts';
import type { LinkOptions } from './cable.ts';
import { Cable } from './cable.ts';
import { Host, type HostOptions } from './host.ts';
import { Nat, type NatOptions } from './nat.ts';
import { Port, type SimNode } from './port.ts';
import { Random } from './random.ts';
import { Recorder } from './recorder.ts';
import { Router, type RouterOptions, RouterPort } from './router.ts';
import { Schedule, type SimEvent } from './schedule.ts';
import { Switch } from './switch.ts';

export interface NetworkOptions {
  /** Record what every host and router sees; a number is the most bytes to keep (default 64 MB). */
  capture?: boolean | number;
  /** Wall-clock time when the simulation begins, ms since 1970. Default 2026-01-01T00:00:00Z. */
  epoch?: number;
}

/** Whoever has a turn before time goes on. */
export interface Runnable {
  turn(): void;
}

/** What a cable's end goes into: a node's next free port, or a certain port. */
export type Plug = SimNode | Port | RouterPort;

const START = SECOND;
const EPOCH = 1_767_225_600_000;
const CAPTURE_LIMIT = 64 * 1024 * 1024;
const FIRST_MAC: Mac = 0x02_53_49_4d_00_01; // locally administered: 02:"SIM":00:01

export class Network {
  readonly seed: number;
  readonly random: Random;
  readonly schedule = new Schedule(START);
  readonly recorder: Recorder | null;
  readonly cables: Cable[] = [];
  readonly hosts: Host[] = [];
  readonly #epoch: number;
  readonly #names = new Set<string>();
  #macs = 0;
  #addresses = 0;
  #ready: Runnable[] = [];

  constructor(seed: number, options: NetworkOptions = {}) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`simulate: seed ${String(seed)} must be a whole number`);
    this.seed = seed;
    this.random = new Random(seed);
    this.#epoch = (options.epoch ?? EPOCH) * MILLISECOND - START;
    const limit = options.capture === true ? CAPTURE_LIMIT : options.capture || 0;
    this.recorder = limit > 0 ? new Recorder(this.schedule, this.#epoch, limit, `seed ${seed}`) : null;
  }

  /** Simulated time, µs. */
  get now(): number {
    return this.schedule.now;
  }

  /** Simulated time since the beginning, ms. */
  get elapsed(): number {
    return (this.schedule.now - START) / MILLISECOND;
  }

  /** Simulated wall-clock time, µs since 1970. */
  wallClock(): number {
    return this.#epoch + this.schedule.now;
  }

  // ── Building ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  host(name: string, options: HostOptions = {}): Host {
    const host = new Host(this, this.claim(name), options);
    this.hosts.push(host);
    return host;
  }

  router(name: string, options: RouterOptions = {}): Router {
    return new Router(this, this.claim(name), options);
  }

  nat(name: string, options: NatOptions = {}): Nat {
    return new Nat(this, this.claim(name), options);
  }

  switch(name: string): Switch {
    return new Switch(this, this.claim(name));
  }

  /** Join two nodes, or ports of theirs. */
  link(a: Plug, b: Plug, options: LinkOptions = {}): Cable {
    const from = plugOf(a);
    const to = plugOf(b);
    for (const port of [from, to])
      if (port.channel !== null) throw new Error(`link: port ${port.name} has a cable already`);
    if (from === to) throw new Error(`link: ${from.name} cannot be joined with itself`);
    const cable = new Cable(this.schedule, this.random.fork(`cable ${this.cables.length}`), from, to, options);
    this.cables.push(cable);
    return cable;
  }

  /** Cut every cable that leads from one of `some` directly to a node that is not; returns what heals it. */
  partition(...some: readonly SimNode[]): () => void {
    const inside = new Set(some);
    const cut = this.cables.filter(({ outward }) => inside.has(outward.from.node) !== inside.has(outward.to.node));
    for (const cable of cut) cable.down();
    return () => {
      for (const cable of cut.splice(0)) cable.up();
    };
  }

  // ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Have `action` called in `delay` ms. */
  after(delay: number, action: () => void): SimEvent {
    return this.schedule.add(this.now + delay * MILLISECOND, action);
  }

  /** Go on to the next moment at which something happens, and let it. False when nothing ever will. */
  step(): boolean {
    this.settle();
    const at = this.schedule.next();
    if (at === Infinity) return false;
    do {
      this.schedule.fire();
      this.settle();
    } while (this.schedule.next() <= at);
    return true;
  }

  /** Go on for `milliseconds`, or until `until` is true; it is asked after every moment. True when it was. */
  run(milliseconds: number, until: () => boolean = () => false): boolean {
    const end = this.now + milliseconds * MILLISECOND;
    this.settle();
    while (!until()) {
      if (this.schedule.next() > end) {
        this.schedule.pass(end);
        for (const host of this.hosts) host.stack.world.now = end;
        return until();
      }
      this.step();
    }
    return true;
  }

  /** Give everybody who has something to do now a turn. */
  settle(): void {
    while (this.#ready.length > 0) {
      const batch = this.#ready;
      this.#ready = [];
      for (const one of batch) one.turn();
    }
  }

  /** End every host. Its connections must not be used any more. */
  close(): void {
    for (const host of this.hosts) host.close();
    this.schedule.clear();
    this.#ready.length = 0;
  }

  /** What was recorded, as a pcapng file; empty when nothing was to be. */
  pcapng(): Uint8Array {
    return this.recorder?.bytes() ?? new Uint8Array(0);
  }

  // ── For nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws RangeError when the name is taken */
  claim(name: string): string {
    if (this.#names.has(name)) throw new RangeError(`simulate: there is a node ${name} already`);
    this.#names.add(name);
    return name;
  }

  world(name: string): World {
    return { now: this.now, wallClock: () => this.wallClock(), entropy: this.random.fork(`host ${name}`) };
  }

  enqueue(runnable: Runnable): void {
    this.#ready.push(runnable);
  }

  nextMac(): Mac {
    return FIRST_MAC + this.#macs++;
  }

  /** The next of 10.0.0.1/24 … 10.0.0.254/24. */
  nextAddress(): string {
    if (this.#addresses === 254)
      throw new RangeError('simulate: 10.0.0.0/24 is full: give hosts addresses of your own');
    return `10.0.0.${++this.#addresses}/24`;
  }

  /** A port of `node`; those of switches are not recorded, because they see only what others do. */
  port(node: SimNode, name: string, receive: (frame: Uint8Array, port: Port) => void): Port {
    const port = new Port(node, `${node.name}.${name}`, this.nextMac(), receive);
    if (!(node instanceof Switch)) this.adopt(port);
    return port;
  }

  adopt(port: Port): void {
    this.recorder?.watch(port);
  }
}

const plugOf = (plug: Plug): Port =>
  plug instanceof Port ? plug : plug instanceof RouterPort ? plug.port : plug.freePort();
