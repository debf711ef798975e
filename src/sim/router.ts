// An IPv4 router — RFC 1812: forwards, counts TTLs down, resolves neighbours by ARP, fragments what may be, and says what it cannot do.
//
// Invariant: a packet leaves with a TTL one lower and a valid header checksum, or does not leave; nothing is ever answered with two errors.

import type { Ipv4, Mac } from '../wire/address.ts';
import { formatIpv4, isMulticastV4, LIMITED_BROADCAST, MAC_BROADCAST, maskOf } from '../wire/address.ts';
import * as arp from '../wire/arp.ts';
import * as checksum from '../wire/checksum.ts';
import type { Cidr } from '../wire/cidr.ts';
import { broadcastOf, contains, parseCidr } from '../wire/cidr.ts';
import * as ethernet from '../wire/ethernet.ts';
import { HEADER } from '../wire/ethernet.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { viewOf } from './ecn.ts';
import { fragments } from './fragment.ts';
import { icmpError, ipFrame } from './icmp-reply.ts';
import { Neighbors } from './neighbors.ts';
import type { Network } from './network.ts';
import type { Port, SimNode } from './port.ts';

export interface RouterOptions {
  /** Send ICMP errors (default). A router that does not makes a black hole of its MTU. */
  icmp?: boolean;
}

export interface RouterPortOptions {
  /** Largest IP packet, default 1500. */
  mtu?: number;
}

export class RouterCounters {
  received = 0;
  forwarded = 0;
  delivered = 0;
  errors = 0;
  dropped = 0;
}

/** A port with its address, its MTU and its neighbours. */
export class RouterPort {
  readonly port: Port;
  readonly cidr: Cidr;
  readonly mtu: number;
  readonly neighbors: Neighbors;

  constructor(port: Port, cidr: Cidr, mtu: number, neighbors: Neighbors) {
    this.port = port;
    this.cidr = cidr;
    this.mtu = mtu;
    this.neighbors = neighbors;
  }

  get address(): Ipv4 {
    return this.cidr.address;
  }
}

interface Route {
  readonly to: Cidr;
  readonly via: Ipv4 | null;
  readonly out: RouterPort;
}

export class Router implements SimNode {
  readonly name: string;
  readonly counters = new RouterCounters();
  readonly ports: RouterPort[] = [];
  protected readonly network: Network;
  readonly #routes: Route[] = [];
  readonly #icmp: boolean;

  constructor(network: Network, name: string, options: RouterOptions = {}) {
    this.network = network;
    this.name = name;
    this.#icmp = options.icmp ?? true;
  }

  /** A new port with this address, like "10.0.1.1/24", to plug a cable into. @throws RangeError for anything else */
  port(address: string, options: RouterPortOptions = {}): RouterPort {
    const cidr = parseCidr(address);
    if (cidr === null)
      throw new RangeError(`router ${this.name}: port ${address} must be an address with its prefix, like 10.0.1.1/24`);
    const made = this.network.port(this, `eth${this.ports.length}`, (frame) => this.#receive(frame, end));
    const neighbors: Neighbors = new Neighbors(
      this.network.schedule,
      (to) => this.#ask(end, to),
      (frame) => end.port.send(frame),
      (frame) => this.#complain(frame, end, icmpv4.DESTINATION_UNREACHABLE, icmpv4.HOST_UNREACHABLE, 0),
    );
    const end = new RouterPort(made, cidr, options.mtu ?? 1500, neighbors);
    this.ports.push(end);
    this.#routes.push({ to: cidr, via: null, out: end });
    this.#routes.sort((a, b) => b.to.prefix - a.to.prefix);
    return end;
  }

  freePort(): Port {
    const free = this.ports.find(({ port }) => port.channel === null);
    if (free === undefined) throw new Error(`router ${this.name} has no free port: make one with port('10.0.1.1/24')`);
    return free.port;
  }

  /** Send what goes to `to` ("10.2.0.0/16", "0.0.0.0/0") to the router `via`, which a port must have in its network. */
  route(to: string, via: string): void {
    const cidr = parseCidr(to);
    const next = parseCidr(via, 32);
    const out = next === null ? undefined : this.ports.find((end) => contains(end.cidr, next.address));
    if (cidr === null || next === null || out === undefined)
      throw new RangeError(
        `router ${this.name}: route ${to} via ${via} leads nowhere: no port has ${via} in its network`,
      );
    this.#routes.push({ to: cidr, via: next.address, out });
    this.#routes.sort((a, b) => b.to.prefix - a.to.prefix);
  }

  /** Last words before routing: false swallows the packet. NAT translates destinations here. */
  protected admit(_frame: Uint8Array, _dv: DataView, _from: RouterPort): boolean {
    return true;
  }

  /** Last words before sending: false swallows the packet. NAT translates sources here. */
  protected emit(_frame: Uint8Array, _dv: DataView, _from: RouterPort, _to: RouterPort): boolean {
    return true;
  }

  #receive(frame: Uint8Array, from: RouterPort): void {
    const dv = viewOf(frame);
    if (ethernet.check(dv, 0, frame.length) !== HEADER) return;
    const to = ethernet.dst(dv, 0);
    if (to !== from.port.mac && to !== MAC_BROADCAST) return;
    const type = ethernet.etherType(dv, 0);
    if (type === ethernet.TYPE_ARP) this.#onArp(frame, dv, from);
    else if (type === ethernet.TYPE_IPV4 && to === from.port.mac) this.#onPacket(frame, dv, from);
  }

  #onArp(frame: Uint8Array, dv: DataView, from: RouterPort): void {
    if (arp.check(dv, HEADER, frame.length) === 0) return;
    const sender = arp.senderIp(dv, HEADER);
    const mac = arp.senderMac(dv, HEADER);
    const isForUs = arp.targetIp(dv, HEADER) === from.address;
    if (sender !== 0) from.neighbors.learn(sender, mac, isForUs);
    if (isForUs && arp.op(dv, HEADER) === arp.REQUEST) this.#sendArp(from, arp.REPLY, mac, mac, sender);
  }

  #ask(from: RouterPort, target: Ipv4): void {
    this.#sendArp(from, arp.REQUEST, MAC_BROADCAST, 0, target);
  }

  #sendArp({ port, address }: RouterPort, op: number, to: Mac, targetMac: Mac, target: Ipv4): void {
    const frame = new Uint8Array(HEADER + arp.LENGTH);
    const dv = viewOf(frame);
    ethernet.set(dv, 0, to, port.mac, ethernet.TYPE_ARP);
    arp.set(dv, HEADER, op, port.mac, address, targetMac, target);
    port.send(frame);
  }

  #onPacket(frame: Uint8Array, dv: DataView, from: RouterPort): void {
    const { counters } = this;
    counters.received++;
    // RFC 1812 §5.2.2
    if (ipv4.check(dv, HEADER, frame.length) === 0 || !ipv4.checksumIsValid(dv, HEADER)) {
      counters.dropped++;
      return;
    }
    if (!this.admit(frame, dv, from)) {
      counters.dropped++;
      return;
    }
    const dst = ipv4.dst(dv, HEADER);
    if (this.ports.some(({ address }) => address === dst)) {
      counters.delivered++;
      this.#onOwn(frame, dv, from);
      return;
    }
    const isToMany =
      isMulticastV4(dst) || dst === LIMITED_BROADCAST || this.ports.some(({ cidr }) => broadcastOf(cidr) === dst);
    if (isToMany || dst >>> 24 === 127 || dst >>> 24 === 0) {
      counters.dropped++; // RFC 1812 §5.3.5, §5.3.7: neither routed nor answered
      return;
    }
    this.#forward(frame, dv, from, dst);
  }

  #forward(frame: Uint8Array, dv: DataView, from: RouterPort, dst: Ipv4): void {
    // RFC 1812 §5.3.1
    if (ipv4.ttl(dv, HEADER) <= 1) {
      this.#complain(frame, from, icmpv4.TIME_EXCEEDED, icmpv4.TTL_EXCEEDED, 0);
      return;
    }
    const route = this.#lookup(dst);
    if (route === null) {
      this.#complain(frame, from, icmpv4.DESTINATION_UNREACHABLE, icmpv4.NET_UNREACHABLE, 0);
      return;
    }
    const { out } = route;
    const total = ipv4.totalLength(dv, HEADER);
    if (total > out.mtu && ipv4.dontFragment(dv, HEADER)) {
      // RFC 1191 §4
      this.#complain(frame, from, icmpv4.DESTINATION_UNREACHABLE, icmpv4.FRAGMENTATION_NEEDED, out.mtu);
      return;
    }
    // Time to live and protocol share a word of the header: RFC 1624's update of it.
    const before = dv.getUint16(HEADER + 8);
    dv.setUint16(HEADER + 8, before - 0x100);
    dv.setUint16(HEADER + 10, checksum.update16(ipv4.checksum(dv, HEADER), before, before - 0x100));
    if (!this.emit(frame, dv, from, out)) {
      this.counters.dropped++;
      return;
    }
    this.counters.forwarded++;
    const packet = frame.length > HEADER + total ? frame.slice(0, HEADER + total) : frame; // padding goes no further
    for (const piece of total > out.mtu ? fragments(packet, out.mtu) : [packet]) this.#send(piece, route, dst);
  }

  #send(frame: Uint8Array, route: Route, dst: Ipv4): void {
    const { out } = route;
    ethernet.setMac(viewOf(frame), 6, out.port.mac);
    out.neighbors.send(frame, route.via ?? dst);
  }

  #onOwn(frame: Uint8Array, dv: DataView, from: RouterPort): void {
    const at = HEADER + ipv4.headerLength(dv, HEADER);
    const end = HEADER + ipv4.totalLength(dv, HEADER);
    if (ipv4.isFragment(dv, HEADER)) return;
    if (ipv4.protocol(dv, HEADER) === ipv4.PROTOCOL_UDP) {
      // The last hop of a traceroute to the router itself.
      this.#complain(frame, from, icmpv4.DESTINATION_UNREACHABLE, icmpv4.PORT_UNREACHABLE, 0);
      return;
    }
    if (ipv4.protocol(dv, HEADER) !== ipv4.PROTOCOL_ICMP || icmpv4.check(dv, at, end) === 0) return;
    if (icmpv4.type(dv, at) !== icmpv4.ECHO || !checksum.verify(dv, at, end - at)) return;
    // RFC 792: the echo, with the addresses exchanged.
    const reply = ipFrame(ipv4.dst(dv, HEADER), ipv4.src(dv, HEADER), ipv4.PROTOCOL_ICMP, 64, 0, end - at);
    reply.set(frame.subarray(at, end), HEADER + ipv4.MIN_HEADER);
    const out = viewOf(reply);
    const icmp = HEADER + ipv4.MIN_HEADER;
    const sum = checksum.update16(icmpv4.checksum(out, icmp), icmpv4.ECHO << 8, icmpv4.ECHO_REPLY << 8);
    out.setUint8(icmp, icmpv4.ECHO_REPLY);
    icmpv4.setChecksum(out, icmp, sum);
    this.#originate(reply);
  }

  #complain(frame: Uint8Array, from: RouterPort, type: number, code: number, rest: number): void {
    this.counters.errors++;
    if (!this.#icmp) return;
    const dv = viewOf(frame);
    this.restore(dv, from);
    const reply = icmpError(dv, frame, from.address, type, code, rest);
    if (reply !== null) this.#originate(reply);
  }

  /** Undo what `admit` did, before the packet is quoted to its sender. */
  protected restore(_dv: DataView, _from: RouterPort): void {}

  #originate(frame: Uint8Array): void {
    const dst = ipv4.dst(viewOf(frame), HEADER);
    if (this.ports.some(({ address }) => address === dst)) return;
    const route = this.#lookup(dst);
    if (route !== null) this.#send(frame, route, dst);
  }

  #lookup(dst: Ipv4): Route | null {
    return this.#routes.find(({ to }) => ((to.address ^ dst) & maskOf(to.prefix)) === 0) ?? null;
  }

  /** For traces. */
  toString(): string {
    return `${this.name} (${this.ports.map(({ address }) => formatIpv4(address)).join(', ')})`;
  }
}
