// A simulated host for Node programs: the stack of `createStack` on the ports of a simulated network.

import type { Dgram } from '../../node/dgram.ts';
import type { Net } from '../../node/net.ts';
import { type CloseOptions, createStack, type NodeStack } from '../../node/node-stack.ts';
import type { StackOptions } from '../../node/options.ts';
import type { Ping, PingOptions } from '../../node/ping.ts';
import type { Traceroute, TracerouteOptions } from '../../node/traceroute.ts';
import { formatMac } from '../../wire/address.ts';
import type { Cidr } from '../../wire/cidr.ts';
import { formatCidr } from '../../wire/cidr.ts';
import type { Network } from '../network.ts';
import type { Port, SimNode } from '../port.ts';
import { PortLink } from '../port.ts';
import type { SimClock } from './clock.ts';

type Passed = 'gateway' | 'routes' | 'hosts' | 'lookup' | 'memory' | 'tcp' | 'udp' | 'icmp' | 'reassembly' | 'acd';

export interface NodeHostOptions extends Pick<StackOptions, Passed> {
  /** One port per address, like "10.0.1.2/24". Default: the next free of 10.0.0.0/24. */
  address?: string | readonly string[];
  /** Of all ports, default 1500. */
  mtu?: number;
}

export class NodeHost implements SimNode {
  readonly name: string;
  readonly stack: NodeStack;
  readonly ports: readonly Port[];
  /** The first address, without its prefix. */
  readonly address: string;
  readonly #clock: SimClock;

  private constructor(name: string, stack: NodeStack, ports: readonly Port[], clock: SimClock) {
    this.name = name;
    this.stack = stack;
    this.ports = ports;
    this.address = stack.addresses[0];
    this.#clock = clock;
  }

  /** @internal use `Simulation.host` */
  static async create(
    network: Network,
    clock: SimClock,
    name: string,
    cidrs: readonly Cidr[],
    options: NodeHostOptions,
  ): Promise<NodeHost> {
    const { address: _, mtu = 1500, acd = 'off', ...rest } = options;
    const ports: Port[] = [];
    // The ports name their node, which is there only when its stack is.
    const node: SimNode = {
      name,
      freePort: () => {
        throw new Error(`host ${name} is not ready`);
      },
    };
    const links = cidrs.map((_, i) => new PortLink(node, `${name}.eth${i}`, network.nextMac(), mtu));
    const interfaces = cidrs.map((cidr, i) => {
      network.adopt(links[i].port);
      ports.push(links[i].port);
      return { link: links[i], address: formatCidr(cidr), mac: formatMac(links[i].mac), name: `eth${i}`, acd };
    });
    const { entropy } = network.world(name);
    const world = { clock, entropy };
    const stack = await createStack({ ...rest, hostname: name, interfaces, world });
    const host = new NodeHost(name, stack, ports, clock);
    for (const port of ports) port.node = host;
    clock.drive(stack.driver);
    return host;
  }

  get net(): Net {
    return this.stack.net;
  }

  get dgram(): Dgram {
    return this.stack.dgram;
  }

  ping(host: string, options?: PingOptions): Ping {
    return this.stack.ping(host, options);
  }

  traceroute(host: string, options?: TracerouteOptions): Traceroute {
    return this.stack.traceroute(host, options);
  }

  freePort(): Port {
    const port = this.ports.find(({ channel }) => channel === null);
    if (port === undefined) throw new Error(`host ${this.name} has no free port: give it one address per cable`);
    return port;
  }

  /** End the stack. The host can be cut off the network no better. */
  async close(options: CloseOptions = {}): Promise<void> {
    await this.stack.close(options);
    this.#clock.forget(this.stack.driver);
  }
}
