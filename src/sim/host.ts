// A host of a simulation that runs the core alone: sockets are the core's own, their owners are called by the simulation.

import { Memory, SLAB_SIZE } from '../mem/memory.ts';
import type { Nic } from '../net/nic.ts';
import type { StackOptions } from '../stack.ts';
import { Stack } from '../stack.ts';
import type { Address } from '../wire/address.ts';
import { Address as AddressClass, parseIpv4 } from '../wire/address.ts';
import type { Cidr } from '../wire/cidr.ts';
import { parseCidr } from '../wire/cidr.ts';
import type { Network } from './network.ts';
import type { Port, SimNode } from './port.ts';
import { PortLink } from './port.ts';
import type { SimEvent } from './schedule.ts';

export interface HostOptions extends Omit<StackOptions, 'world' | 'memory'> {
  /** Most bytes for all buffers, default 256 MB. */
  memory?: number;
  /** One port per address, like "10.0.0.1/24". Default: the next free of 10.0.0.0/24. */
  address?: string | readonly string[];
  /** Router for everything else. */
  gateway?: string;
  /** Of all ports, default 1500. */
  mtu?: number;
  /** Make sure that nobody else has the address (RFC 5227); default 'off', because a simulation begins when all is quiet. */
  acd?: 'probe' | 'announce' | 'off';
}

const BUDGET = 256 * 1024 * 1024;

// A slab is 16 MB, and to have it zeroed costs more than the whole life of most simulated hosts: 50 of 70 ms per scenario.
const spareSlabs: ArrayBuffer[] = [];
const MAX_SPARE = 16;
const takeSlab = (): ArrayBuffer => spareSlabs.pop() ?? new ArrayBuffer(SLAB_SIZE);

/** Rounds of one turn before something is taken to be in a loop. */
const MAX_ROUNDS = 10_000;

export class Host implements SimNode {
  readonly name: string;
  readonly stack: Stack;
  readonly nics: Nic[] = [];
  readonly ports: Port[] = [];
  readonly #network: Network;
  #armed: SimEvent | null = null;
  #isReady = false;

  /** @throws RangeError when an option is out of range */
  constructor(network: Network, name: string, options: HostOptions) {
    this.name = name;
    this.#network = network;
    const { address, gateway, mtu = 1500, acd = 'off', memory = BUDGET, ...stackOptions } = options;
    this.stack = new Stack({
      hostname: name,
      ...stackOptions,
      memory: new Memory(memory, takeSlab),
      world: network.world(name),
    });
    this.stack.onWork = () => this.ready();
    const cidrs = addressesOf(network, name, address);
    for (const [i, cidr] of cidrs.entries()) {
      const link = new PortLink(this, `${name}.eth${i}`, network.nextMac(), mtu);
      network.adopt(link.port);
      link.watch(() => this.ready());
      const nic = this.stack.addNic(link, { name: `eth${i}` });
      nic.addAddress(cidr.address, cidr.prefix, { acd });
      this.nics.push(nic);
      this.ports.push(link.port);
    }
    if (gateway !== undefined) this.#addGateway(gateway);
  }

  get address(): Address {
    return AddressClass.v4(this.nics[0].addresses[0].address);
  }

  freePort(): Port {
    const port = this.ports.find(({ channel }) => channel === null);
    if (port === undefined) throw new Error(`host ${this.name} has no free port: give it one address per cable`);
    return port;
  }

  /** Have `turn` called before time goes on. */
  ready(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#network.enqueue(this);
  }

  /** Let everything happen that is due: frames, timers, owners' callbacks. */
  turn(): void {
    this.#isReady = false;
    const { stack } = this;
    stack.world.now = this.#network.now;
    for (let round = 0; ; round++) {
      if (round === MAX_ROUNDS) throw new Error(`host ${this.name} does not come to rest at ${stack.world.now} µs`);
      let received = 0;
      for (const nic of stack.nics) if (!nic.isLoopback) received += stack.receive(nic);
      stack.advance();
      stack.flush();
      if (stack.events.isEmpty && received === 0 && stack.nextDeadline() > stack.world.now) break;
      stack.events.drain();
    }
    this.#isReady = false;
    this.#arm(stack.nextDeadline());
  }

  /** Something left to be done at `deadline`: one event at a time, the earliest. */
  #arm(deadline: number): void {
    if (this.#armed?.action && this.#armed.at <= deadline) return;
    this.#armed?.cancel();
    this.#armed = null;
    if (deadline === Infinity) return;
    this.#armed = this.#network.schedule.add(deadline, () => this.ready());
  }

  /** End the stack for good. Its slabs serve the next host. */
  close(): void {
    const { bytes } = this.stack.memory;
    this.stack.close();
    this.#armed?.cancel();
    for (const slab of bytes.splice(0)) if (spareSlabs.length < MAX_SPARE) spareSlabs.push(slab.buffer as ArrayBuffer);
    this.stack.memory.views.length = 0;
  }

  #addGateway(gateway: string): void {
    const via = parseIpv4(gateway);
    const nic = via === null ? undefined : this.nics.find((candidate) => candidate.isOnLink(via));
    if (via === null || nic === undefined)
      throw new RangeError(`host ${this.name}: gateway ${gateway} is in none of the host's networks`);
    const route = { destination: 0, prefix: 0, gateway: via, source: null, metric: 0 };
    this.stack.routes.add({ ...route, nic, origin: 'static' });
  }
}

/** What `address` says, or the next free address of the default network. */
export function addressesOf(network: Network, name: string, address: HostOptions['address']): Cidr[] {
  const list = address === undefined ? [network.nextAddress()] : typeof address === 'string' ? [address] : address;
  return list.map((text) => {
    const cidr = parseCidr(text);
    if (cidr === null)
      throw new RangeError(`host ${name}: address ${text} must be an address with its prefix, like 10.0.0.1/24`);
    return cidr;
  });
}
