// The property every network of ours must have, tried on a random one: over whatever topology and whatever faults, every byte arrives exactly
// once and in order or the socket errors; nothing hangs; nothing is left behind; counters add up.
//
// Invariant: a scenario is a function of its seed and options, down to the last byte on the wire.

import type { ConnectionOptions } from '../tcp/options.ts';
import { STATE_NAMES } from '../tcp/states.ts';
import { SECOND } from '../world.ts';
import type { Host } from './host.ts';
import { Network } from './network.ts';
import { Peer } from './peer.ts';
import { Random } from './random.ts';
import { drawTopology, type Topology } from './topology.ts';

export interface ScenarioOptions {
  /** Clients, 1 … 8; drawn from the seed when left out. */
  clients?: number;
  /** Record every frame. */
  capture?: boolean;
}

export interface FlowReport {
  readonly name: string;
  readonly up: number;
  readonly down: number;
  readonly received: { client: number; server: number };
  readonly error: { client: number; server: number };
  readonly state: string;
}

export interface Report {
  readonly seed: number;
  readonly topology: string;
  readonly flows: readonly FlowReport[];
  /** Simulated ms until the last flow was over, and until nothing at all was left to happen. */
  readonly done: number;
  readonly quiet: number;
  readonly frames: number;
  readonly retransmissions: number;
  /** What was wrong; empty when the property held. */
  readonly failures: readonly string[];
  readonly network: Network;
}

/** No flow may take longer: R2 of a SYN and of data, and keep-alives, are all shorter. */
const PATIENCE = 3600 * 1000;
/** TIME-WAIT, FIN-WAIT-2, R2, path MTUs and neighbours are all forgotten by then. */
const AFTERMATH = 3 * 3600 * 1000;

const SIZES = [0, 1, 100, 1460, 5000, 30_000, 100_000, 400_000];

interface Flow {
  readonly name: string;
  readonly port: number;
  readonly client: Peer;
  server: Peer | null;
  readonly options: { up: number; down: number };
  aborted: boolean;
  refusals: number;
}

export function scenario(seed: number, options: ScenarioOptions = {}): Report {
  return new Scenario(seed, options).run();
}

class Scenario {
  readonly net: Network;
  readonly random: Random;
  readonly topology: Topology;
  readonly flows: Flow[] = [];
  readonly failures: string[] = [];
  readonly #baseline = new Map<Host, number>();
  readonly #listeners: { close(): void }[] = [];
  readonly #released = new Set<Peer>();
  readonly #count: number;

  constructor(seed: number, options: ScenarioOptions) {
    this.net = new Network(seed, { capture: options.capture ?? false });
    this.random = new Random(seed).fork('scenario');
    const { random } = this;
    const clients = options.clients ?? random.pick([1, 1, 1, 2, 3]);
    if (!(Number.isInteger(clients) && clients >= 1 && clients <= 8))
      throw new RangeError(`scenario: ${clients} clients are not 1 … 8`);
    this.topology = drawTopology(this.net, random, clients, () => ({ tcp: this.#drawTcp() }));
    for (const host of this.net.hosts) this.#baseline.set(host, host.stack.memory.used);
    const count = random.between(1, 4);
    for (let i = 0; i < count; i++) {
      const client = random.pick(this.topology.clients);
      const drawn = { up: random.pick(SIZES), down: random.pick(SIZES) };
      const start = random.chance(0.3) ? random.between(0, 3000) : 0;
      this.net.after(start, () => this.#open(i, client, drawn));
    }
    this.#count = count;
  }

  #drawTcp(): ConnectionOptions {
    const { random } = this;
    const options: ConnectionOptions = {
      congestion: random.pick(['cubic', 'cubic', 'reno', 'bbr']),
      // Whoever only waits must find out that nobody is there any more.
      keepAlive: true,
      keepAliveIdle: 30 * SECOND,
      keepAliveInterval: 10 * SECOND,
      keepAliveCount: 5,
    };
    if (random.chance(0.1)) options.sack = false;
    if (random.chance(0.1)) options.timestamps = false;
    if (random.chance(0.1)) options.windowScaling = false;
    if (random.chance(0.15)) options.recvBuffer = random.pick([2048, 4096, 16_384, 65_536]);
    if (random.chance(0.15)) options.sendBuffer = random.pick([4096, 16_384, 65_536]);
    if (random.chance(0.2)) options.noDelay = true;
    if (random.chance(0.1)) options.lossDetection = 'sack';
    return options;
  }

  #open(index: number, from: Host, options: { up: number; down: number }): void {
    const { random, topology } = this;
    const port = 1000 + index;
    const name = `${from.name}→${topology.server.name}:${port}`;
    const draw = () =>
      random.chance(0.15) ? { bytes: random.between(100, 20_000), every: random.pick([1, 20]) } : undefined;
    const after = (delay: number, action: () => void): void => {
      this.net.after(delay, action);
    };
    const { up, down } = options;
    const serverReads = draw();
    const listener = topology.server.stack.tcp.listen({ port });
    if (typeof listener === 'number') {
      this.failures.push(`${name}: listen failed with ${listener}`);
      return;
    }
    this.#listeners.push(listener);
    const connection = from.stack.tcp.connect({ remote: topology.server.address, remotePort: port });
    if (typeof connection === 'number') {
      this.failures.push(`${name}: connect failed with ${connection}`);
      return;
    }
    const clientOptions = { length: up, sends: 2 * index, expects: 2 * index + 1, reads: draw(), after };
    const flow: Flow = {
      name,
      port,
      client: new Peer(connection, clientOptions),
      server: null,
      options,
      aborted: false,
      refusals: 0,
    };
    this.flows.push(flow);
    listener.owner = {
      onEvents: () => {
        for (let accepted = listener.accept(); accepted !== null; accepted = listener.accept()) {
          // An old duplicate of a SYN, acknowledged by chance, would be a second connection.
          if (flow.server !== null) {
            flow.refusals++;
            accepted.abort();
            continue;
          }
          const peer = { length: down, sends: 2 * index + 1, expects: 2 * index, reads: serverReads, after };
          flow.server = new Peer(accepted, peer);
          flow.server.write();
        }
      },
    };
    if (random.chance(0.07))
      after(random.between(0, 3000), () => {
        const victim = random.chance(0.5) ? flow.client : flow.server;
        if (victim === null || victim.isDone) return;
        flow.aborted = true;
        victim.abort();
      });
  }

  run(): Report {
    const { net, failures } = this;
    let done = 0;
    try {
      done = this.#runFlows();
      for (const flow of this.flows) this.#judge(flow);
      this.#runAftermath();
      for (const host of net.hosts) this.#expectNothingLeft(host);
      this.#addUp();
    } catch (error) {
      // A broken invariant of the core: the seed that broke it is what counts.
      failures.push(
        `thrown at ${net.elapsed} ms: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    }
    const sum = (of: (host: Host) => number): number => net.hosts.reduce((total, host) => total + of(host), 0);
    return {
      seed: net.seed,
      topology: this.topology.description,
      flows: this.flows.map(reportOf),
      done,
      quiet: net.elapsed,
      frames: sum(({ stack }) => stack.stats.ifOutFrames),
      retransmissions: sum(({ stack }) => stack.stats.tcpRetransSegs),
      failures,
      network: net,
    };
  }

  /** Until every flow is over. Returns when that was. */
  #runFlows(): number {
    const { net, failures } = this;
    const isOver = (): boolean => this.flows.length + failures.length >= this.#count && this.flows.every(isFlowOver);
    const inTime = net.run(PATIENCE, () => {
      for (const { client, server } of this.flows) for (const peer of [client, server]) this.#release(peer);
      return isOver();
    });
    if (!inTime) {
      for (const flow of this.flows) if (!isFlowOver(flow)) failures.push(`${flow.name} hangs: ${describe(flow)}`);
    }
    return net.elapsed;
  }

  /** From here on nothing may happen but endings; then nothing at all. */
  #runAftermath(): void {
    const { net } = this;
    for (const listener of this.#listeners) listener.close();
    const end = net.elapsed + AFTERMATH;
    while (net.step()) {
      for (const { server } of this.flows) this.#release(server);
      if (net.elapsed < end) continue;
      this.failures.push('something goes on for ever');
      return;
    }
  }

  /** The user has what it wanted, or never will: it closes its socket. */
  #release(peer: Peer | null): void {
    if (peer === null || this.#released.has(peer) || !peer.isDone) return;
    this.#released.add(peer);
    peer.connection.release();
  }

  /** Every byte exactly once and in order, or an error. */
  #judge(flow: Flow): void {
    const { client, server, name, options } = flow;
    const ends: [string, Peer | null, number][] = [
      ['server', server, options.up],
      ['client', client, options.down],
    ];
    for (const [side, peer, expected] of ends) {
      if (peer === null) continue;
      if (peer.fault !== '') this.failures.push(`${name}: at the ${side} ${peer.fault}`);
      if (peer.received > expected) this.failures.push(`${name}: ${side} got ${peer.received} bytes of ${expected}`);
      if (peer.ended && peer.error === 0 && peer.received !== expected)
        this.failures.push(`${name}: ${side} got an end after ${peer.received} of ${expected} bytes`);
    }
    if (client.ended && client.error === 0 && server === null && !flow.aborted)
      this.failures.push(`${name}: the client was served by nobody`);
  }

  /** Connections, timers, ring pages and table entries are back to what they were. */
  #expectNothingLeft(host: Host): void {
    const { stack, name } = host;
    const expectZero = (what: string, value: number): void => {
      if (value !== 0) this.failures.push(`${name}: ${value} ${what} left`);
    };
    expectZero('flows', stack.tcp.demux.flows.size);
    expectZero('entries in TIME-WAIT', stack.tcp.timeWait.size);
    expectZero('listeners', stack.tcp.listeners().length);
    expectZero('connections counted as established', stack.stats.tcpCurrEstab);
    expectZero('illegal transitions', stack.stats.tcpIllegalTransitions);
    expectZero('bytes of memory', stack.memory.used - (this.#baseline.get(host) ?? 0));
    if (stack.nextDeadline() !== Infinity) this.failures.push(`${name}: a timer is left at ${stack.nextDeadline()} µs`);
  }

  #addUp(): void {
    const { net, failures } = this;
    for (const { outward, homeward } of net.cables) {
      for (const { counters: c, from, to } of [outward, homeward]) {
        const ends = c.delivered + c.lost + c.overflowed + c.codelDropped + c.tooBig + c.cut + c.filtered;
        if (c.frames + c.duplicated !== ends)
          failures.push(`${from.name}→${to.name}: ${c.frames} + ${c.duplicated} frames in, ${ends} out`);
      }
    }
    for (const { stack, name, ports, nics, address } of net.hosts) {
      for (const [i, port] of ports.entries()) {
        const arrived = net.cables
          .flatMap(({ outward, homeward }) => [outward, homeward])
          .reduce((sum, { counters, from, to }) => {
            if (to === port) return sum + counters.delivered;
            return from === port ? sum + counters.told : sum;
          }, 0);
        const { inFrames } = nics[i].counters;
        if (inFrames !== arrived) failures.push(`${port.name}: ${arrived} frames arrived, ${inFrames} counted`);
      }
      const opened = this.flows.filter(({ client }) => client.connection.local.equals(address)).length;
      if (stack.stats.tcpActiveOpens !== opened)
        failures.push(`${name}: ${opened} connections opened, ${stack.stats.tcpActiveOpens} counted`);
    }
  }
}

const isPeerOver = (peer: Peer | null): boolean => peer === null || peer.isDone;
const isFlowOver = ({ client, server }: Flow): boolean => isPeerOver(client) && isPeerOver(server);

const describe = ({ client, server }: Flow): string =>
  [client, server]
    .map((peer, i) => {
      const who = i === 0 ? 'client' : 'server';
      if (peer === null) return `no ${who}`;
      return `${who} ${STATE_NAMES[peer.connection.state]}, sent ${peer.sent}/${peer.options.length}, received ${peer.received}`;
    })
    .join('; ');

const reportOf = (flow: Flow): FlowReport => ({
  name: flow.name,
  up: flow.options.up,
  down: flow.options.down,
  received: { client: flow.client.received, server: flow.server?.received ?? 0 },
  error: { client: flow.client.error, server: flow.server?.error ?? 0 },
  state: flow.aborted ? 'aborted' : describe(flow),
});
