// Random networks for the property test: how clients reach their server, and what is wrong with the way.
//
// Invariant: whatever is drawn, a patient TCP with keep-alives either gets through or learns that it cannot.

import type { LinkOptions, Outage } from './cable.ts';
import type { ChannelOptions } from './channel.ts';
import type { Host, HostOptions } from './host.ts';
import { bleachEcn, clampMss, clampWindowScale, type Middlebox, type OptionName, stripOptions } from './middlebox.ts';
import { Nat } from './nat.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';

export interface Topology {
  readonly clients: readonly Host[];
  readonly server: Host;
  /** In words. */
  readonly description: string;
}

export const SHAPES = ['cable', 'switch', 'router', 'routers', 'nat'] as const;
export type Shape = (typeof SHAPES)[number];

const KBIT = 1000;
const MBIT = 1_000_000;

/** Nothing, mostly, and else up to `most`. */
const rarely = (random: Random, odds: number, most: number): number =>
  random.chance(odds) ? (most * random.between(1, 100)) / 100 : 0;

function drawChannel(random: Random): ChannelOptions {
  const options: ChannelOptions = { delay: random.pick([0, 0.1, 1, 5, 20, 50, 150]) };
  if (random.chance(0.3)) options.jitter = random.pick([0.5, 3, 20]);
  if (random.chance(0.4)) {
    options.rate = random.pick([500 * KBIT, 5 * MBIT, 50 * MBIT, 1000 * MBIT]);
    const bytes = random.pick([16, 64, 256]) * 1024;
    options.queue = random.chance(0.25) ? { bytes, codel: { ecn: random.chance(0.5) } } : { bytes };
  }
  options.loss = rarely(random, 0.4, 0.08);
  if (random.chance(0.15)) options.burst = { begin: 0.01, end: random.pick([0.2, 0.5]) };
  options.duplicate = rarely(random, 0.2, 0.1);
  options.reorder = rarely(random, 0.25, 0.2);
  options.reorderBy = random.pick([1, 5, 40]);
  options.corrupt = rarely(random, 0.2, 0.03);
  if (random.chance(0.08)) {
    options.mtu = random.pick([1000, 1280, 1400]);
    options.tooBig = random.chance(0.3) ? 'drop' : 'icmp'; // a black hole, sometimes
  }
  return options;
}

function drawBoxes(random: Random): Middlebox[] {
  const boxes: Middlebox[] = [];
  if (random.chance(0.15)) {
    const names: OptionName[] = ['sack', 'timestamps', 'wscale', 'mss'];
    boxes.push(stripOptions(...names.filter(() => random.chance(0.5))));
  }
  if (random.chance(0.08)) boxes.push(clampMss(random.pick([536, 1220, 1380])));
  if (random.chance(0.04)) boxes.push(clampWindowScale(random.between(0, 4)));
  if (random.chance(0.05)) boxes.push(bleachEcn());
  return boxes;
}

function drawOutages(random: Random): Outage[] {
  if (!random.chance(0.15)) return [];
  if (random.chance(0.15)) return [{ at: random.between(0, 2000), for: 3_600_000 }]; // never again, as far as anybody can tell
  return Array.from({ length: random.between(1, 4) }, (_, i) => ({
    at: i * 5000 + random.between(0, 4000),
    for: random.pick([50, 400, 3000, 20_000]),
  }));
}

export function drawLink(random: Random): LinkOptions {
  const options: LinkOptions = { ...drawChannel(random), through: drawBoxes(random), outages: drawOutages(random) };
  // Asymmetry, sometimes: all is well in one direction.
  if (random.chance(0.15)) options.homeward = { loss: 0, reorder: 0, corrupt: 0, duplicate: 0, mtu: 65535 };
  return options;
}

/** Build a network of `clients` clients and a server in `net`, drawn from `random`. */
export function drawTopology(
  net: Network,
  random: Random,
  clients: number,
  host: (name: string) => HostOptions,
): Topology {
  const shape: Shape = clients === 1 ? random.pick(SHAPES) : random.pick(SHAPES.slice(1));
  const names = Array.from({ length: clients }, (_, i) => `client${i}`);
  const link = (): LinkOptions => drawLink(random);
  if (shape === 'cable' || shape === 'switch') {
    const made = names.map((name, i) => net.host(name, { ...host(name), address: `10.0.0.${i + 2}/24` }));
    const server = net.host('server', { ...host('server'), address: '10.0.0.1/24' });
    if (shape === 'cable') net.link(made[0], server, link());
    else {
      const hub = net.switch('switch');
      for (const node of [...made, server]) net.link(node, hub, node === server ? link() : {});
    }
    return { clients: made, server, description: shape };
  }
  // Clients on the left, the server on the right, one to three hops of 10.9.n.0/24 in between.
  const hops = shape === 'routers' ? random.between(2, 3) : 1;
  const address = { address: '10.2.0.2/24', gateway: '10.2.0.1' };
  const server = net.host('server', { ...host('server'), ...address });
  const made = names.map((name, i) =>
    net.host(name, { ...host(name), address: `10.1.${i}.2/24`, gateway: `10.1.${i}.1` }),
  );
  const icmp = random.chance(0.95);
  const chain = Array.from({ length: hops }, (_, i) =>
    shape === 'nat' ? net.nat(`nat${i}`, { icmp }) : net.router(`router${i}`, { icmp }),
  );
  const mtu = random.chance(0.15) ? random.pick([1006, 1280, 1492]) : 1500;
  for (const [i, client] of made.entries()) {
    net.link(client, chain[0].port(`10.1.${i}.1/24`), i === 0 || random.chance(0.3) ? link() : {});
  }
  for (let i = 0; i + 1 < hops; i++) {
    net.link(chain[i].port(`10.9.${i}.1/24`, { mtu }), chain[i + 1].port(`10.9.${i}.2/24`, { mtu }), link());
    chain[i].route('10.2.0.0/16', `10.9.${i}.2`);
    chain[i + 1].route('10.1.0.0/16', `10.9.${i}.1`);
  }
  const last = chain[hops - 1];
  const right = last instanceof Nat ? last.outside('10.2.0.1/24') : last.port('10.2.0.1/24', { mtu });
  net.link(right, server, shape === 'routers' ? {} : link());
  return { clients: made, server, description: hops > 1 ? `${hops} routers` : shape };
}
