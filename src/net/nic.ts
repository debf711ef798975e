// A network interface: a link, with addresses, neighbours and a transmit batch.

import type { Link } from '../link/link.ts';
import { lower } from '../link/lower.ts';
import type { Stack } from '../stack.ts';
import type { Ipv4, Mac } from '../wire/address.ts';
import { formatIpv4, isLoopbackV4, isMulticastV4, LIMITED_BROADCAST, maskOf } from '../wire/address.ts';
import { HEADER, isGroup, TAGGED_HEADER } from '../wire/ethernet.ts';
import { Arp } from './arp.ts';
import type { AddressOptions } from './conflict.ts';
import { NicAddress } from './conflict.ts';
import { Membership } from './membership.ts';
import { NeighborTable } from './neighbor.ts';
import { BROADCAST, FOREIGN, MULTICAST, UNICAST } from './packet.ts';
import { Tx } from './tx.ts';

export interface NicOptions {
  /** Default `nic0`, `nic1` … */
  name?: string;
  /** Own hardware address. Default: the link's, or a random locally administered one. */
  mac?: Mac;
  /** Largest IP packet. Default: the link's; never more than that. */
  mtu?: number;
  /** 802.1Q VLAN 1 … 4094 this NIC is in; by default it is untagged, and tagged frames are dropped. */
  vlan?: number;
  /** Most neighbours remembered, default 1024. */
  neighborLimit?: number;
}

/** What passed through one NIC. */
export class NicCounters {
  inFrames = 0;
  inOctets = 0;
  outFrames = 0;
  outOctets = 0;
  outDiscards = 0;
}

const MIN_MTU = 68; // RFC 791 §3.2: what every module must forward in one piece

export class Nic {
  readonly stack: Stack;
  /** What was attached … */
  readonly link: Link;
  /** … and what we talk to: the same with every offload. */
  readonly device: Link;
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
  readonly vlan: number;
  /** Bytes of Ethernet header on every frame we send. */
  readonly headerLength: number;
  /** Frames need a neighbour's MAC. */
  readonly hasArp: boolean;
  readonly isLoopback: boolean;
  readonly addresses: NicAddress[] = [];
  readonly counters = new NicCounters();
  readonly tx: Tx;
  readonly arp: Arp;
  readonly neighbors: NeighborTable;
  readonly membership: Membership;
  #up = true;

  /** @throws RangeError when an option is out of range */
  constructor(stack: Stack, link: Link, options: NicOptions = {}, isLoopback = false) {
    this.stack = stack;
    this.link = link;
    this.name = options.name ?? `nic${stack.nics.length}`;
    this.isLoopback = isLoopback;
    this.hasArp = link.arp !== false;
    this.vlan = options.vlan ?? -1;
    this.headerLength = this.vlan < 0 ? HEADER : TAGGED_HEADER;
    this.mtu = Math.min(options.mtu ?? link.mtu, link.mtu, 65535);
    if (!(this.mtu >= MIN_MTU))
      throw new RangeError(
        `NIC ${this.name}: MTU ${this.mtu} is below ${MIN_MTU}, the least IPv4 works with (RFC 791)`,
      );
    if (options.vlan !== undefined && !(options.vlan >= 1 && options.vlan <= 4094))
      throw new RangeError(`NIC ${this.name}: VLAN ${options.vlan} is not in 1 … 4094`);
    this.mac = options.mac ?? link.mac ?? randomMac(stack);
    if (isGroup(this.mac))
      throw new RangeError(
        `NIC ${this.name}: a multicast MAC cannot be its own; clear the lowest bit of the first octet`,
      );
    this.device = lower(link, stack.memory);
    this.tx = new Tx(this);
    this.arp = new Arp(this);
    this.neighbors = new NeighborTable(this, options.neighborLimit ?? 1024);
    this.membership = new Membership(this);
  }

  get up(): boolean {
    return this.#up;
  }

  /** Down: nothing is received or sent and its routes are passed over. Coming up announces the addresses again. */
  set up(up: boolean) {
    if (this.#up === up) return;
    this.#up = up;
    this.stack.routes.changed();
    if (!up) {
      this.tx.drop();
      this.neighbors.clear();
      return;
    }
    for (const address of this.addresses) address.announceAgain();
    this.membership.addressesChanged();
  }

  /**
   * Give the NIC an address with its subnet, and the route to that subnet.
   * @throws RangeError for an address no host can have
   */
  addAddress(address: Ipv4, prefix: number, options: AddressOptions = {}): NicAddress {
    const text = `${formatIpv4(address)}/${prefix}`;
    if (!Number.isInteger(prefix) || prefix < 0 || prefix > 32)
      throw new RangeError(`address ${text}: the prefix must be 0 … 32`);
    if (address === 0 || address === LIMITED_BROADCAST || isMulticastV4(address))
      throw new RangeError(`address ${text}: not an address a host can have`);
    if (isLoopbackV4(address) && !this.isLoopback)
      throw new RangeError(`address ${text}: 127.0.0.0/8 belongs to the loopback interface (RFC 1122 §3.2.1.3)`);
    const mask = maskOf(prefix);
    if (prefix <= 30 && ((address & ~mask) === 0 || (address | mask) === -1))
      throw new RangeError(
        `address ${text}: that is the subnet's ${(address & ~mask) === 0 ? 'network' : 'broadcast'} address`,
      );
    if (this.stack.nics.some((nic) => nic.addresses.some((own) => own.address === address)))
      throw new RangeError(`address ${text}: the stack has it already`);
    const added = new NicAddress(this, address, prefix, options);
    this.addresses.push(added);
    added.start(options.acd ?? 'announce');
    return added;
  }

  removeAddress(address: Ipv4): boolean {
    const at = this.addresses.findIndex((a) => a.address === address);
    if (at < 0) return false;
    const [removed] = this.addresses.splice(at, 1);
    removed.stop();
    return true;
  }

  /** An address became usable, or stopped being so. */
  addressChanged(address: NicAddress): void {
    const { routes } = this.stack;
    if (address.usable) {
      this.stack.addressAdded(address);
      this.#connect(address);
    } else {
      this.stack.addressRemoved(address);
      routes.remove((r) => r.nic === this && r.source === address.address && r.origin !== 'static');
      // Another address of the same subnet takes its route over.
      for (const other of this.addresses) if (other !== address && other.usable) this.#connect(other);
    }
    routes.changed();
    this.membership.addressesChanged();
  }

  /** True when `address` is one of ours on this NIC, and usable. */
  owns(address: Ipv4): boolean {
    for (const own of this.addresses) if (own.address === address) return own.usable;
    return false;
  }

  /** True when `address` lies in one of this NIC's subnets. */
  isOnLink(address: Ipv4): boolean {
    for (const own of this.addresses) if (own.usable && ((own.address ^ address) & own.mask) === 0) return true;
    return false;
  }

  /** True for a directed broadcast of one of this NIC's subnets (RFC 1122 §3.2.1.3 (d)), or the old form with zeros (§3.3.6). */
  isSubnetBroadcast(address: Ipv4): boolean {
    for (const own of this.addresses) {
      if (own.usable && own.hasBroadcast && (address === own.broadcast || address === (own.address & own.mask)))
        return true;
    }
    return false;
  }

  /** Our address to speak to `address` with: one in its subnet, else the first. Null when there is none (RFC 1122 §3.3.4.3). */
  sourceFor(address: Ipv4): Ipv4 | null {
    let first: Ipv4 | null = null;
    for (const own of this.addresses) {
      if (!own.usable) continue;
      if (((own.address ^ address) & own.mask) === 0) return own.address;
      first ??= own.address;
    }
    return first;
  }

  /** What `address` is as the destination of a packet that came in here: UNICAST (ours), BROADCAST, MULTICAST or FOREIGN. */
  classify(address: Ipv4): number {
    // RFC 1122 §3.3.4.2: we are a weak host, as Linux is: any of our addresses will do on any NIC.
    if (this.stack.isLocalAddress(address)) return UNICAST;
    if (address === LIMITED_BROADCAST || this.isSubnetBroadcast(address)) return BROADCAST;
    if (isMulticastV4(address)) return MULTICAST;
    if (!this.isLoopback) return FOREIGN;
    if (isLoopbackV4(address)) return UNICAST;
    // What we sent to a broadcast and hear ourselves.
    for (const nic of this.stack.nics) if (nic.isSubnetBroadcast(address)) return BROADCAST;
    return FOREIGN;
  }

  /** See `NicAddress.onArp`. */
  checkConflict(senderIp: Ipv4, targetIp: Ipv4, senderMac: Mac, isRequest: boolean): boolean {
    let conflict = false;
    const probed = isRequest && senderIp === 0 ? targetIp : 0;
    for (const own of this.addresses) if (own.onArp(senderIp, probed, senderMac)) conflict = true;
    return conflict;
  }

  /** The route to the subnet of `own`, unless an earlier address of that subnet gives one. A /32 is alone on its subnet. */
  #connect(own: NicAddress): void {
    const { prefix, mask, address } = own;
    const destination = address & mask;
    const taken = this.addresses.some(
      (a) => a !== own && a.usable && a.prefix === prefix && (a.address & mask) === destination,
    );
    if (prefix < 32 && !taken) {
      const source = address;
      this.stack.routes.add({ destination, prefix, gateway: null, nic: this, source, metric: 0, origin: 'connected' });
    }
  }

  countOut(length: number): void {
    const { stats } = this.stack;
    stats.ifOutFrames++;
    stats.ifOutOctets += length;
    this.counters.outFrames++;
    this.counters.outOctets += length;
  }

  close(): void {
    this.membership.close();
    for (const address of [...this.addresses]) this.removeAddress(address.address);
    this.neighbors.close();
    this.tx.flush();
    this.#up = false;
    this.tx.close();
    this.device.close?.();
  }
}

/** A random, locally administered, individual address. */
function randomMac(stack: Stack): Mac {
  const high = (stack.world.entropy.int32() & 0xfcff) | 0x0200;
  return high * 2 ** 32 + (stack.world.entropy.int32() >>> 0);
}
