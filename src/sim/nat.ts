// A NAT that translates addresses and ports — RFC 4787 (UDP), RFC 5382 (TCP), RFC 5508 (ICMP): one outside address for many hosts inside.
//
// Mapping is endpoint-independent (RFC 4787 REQ-1); filtering is address- and port-dependent unless told otherwise. Mappings end by time, and
// `forget` ends them all, as a reboot does.
//
// Invariant: an inside endpoint has at most one mapping per protocol, an outside port at most one owner; checksums change by the difference.

import type { Ipv4 } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import { HEADER } from '../wire/ethernet.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import { SECOND } from '../world.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import { Router, type RouterOptions, type RouterPort } from './router.ts';

export interface NatOptions extends RouterOptions {
  /** Idle time after which a mapping ends, ms. Defaults: RFC 5382 REQ-5 (2 h 4 min), REQ-5 (4 min), RFC 4787 REQ-5 (2 min), RFC 5508 REQ-1 (1 min). */
  tcpTimeout?: number;
  tcpTransitoryTimeout?: number;
  udpTimeout?: number;
  icmpTimeout?: number;
  /** Who outside may use a mapping: only whom it was used with (default), or anybody. */
  filtering?: 'endpoint' | 'none';
}

interface Mapping {
  readonly protocol: number;
  readonly inside: Ipv4;
  readonly insidePort: number;
  readonly outsidePort: number;
  readonly peers: Set<string>;
  /** TCP: both ends have been heard, and no FIN or RST since. */
  heardOut: boolean;
  heardIn: boolean;
  closing: boolean;
  usedAt: number;
}

const FIRST_PORT = 1024;
const LAST_PORT = 65535;

export class Nat extends Router {
  readonly #options: NatOptions;
  readonly #random: Random;
  #outside: RouterPort | null = null;
  readonly #byInside = new Map<string, Mapping>();
  readonly #byOutside = new Map<string, Mapping>();

  constructor(network: Network, name: string, options: NatOptions = {}) {
    super(network, name, options);
    this.#options = options;
    this.#random = network.random.fork(`nat ${name}`);
  }

  /** The port to the outside, whose address everybody inside shares. */
  outside(address: string, options: { mtu?: number } = {}): RouterPort {
    if (this.#outside !== null) throw new Error(`NAT ${this.name} has its outside port already`);
    this.#outside = this.port(address, options);
    return this.#outside;
  }

  /** Mappings in use. */
  get size(): number {
    this.#expire();
    return this.#byInside.size;
  }

  /** Lose every mapping, as a reboot does. */
  forget(): void {
    this.#byInside.clear();
    this.#byOutside.clear();
  }

  protected override emit(_frame: Uint8Array, dv: DataView, from: RouterPort, to: RouterPort): boolean {
    if (to !== this.#outside || from === this.#outside) return true;
    const flow = flowOf(dv, HEADER, true);
    if (flow === null) return false; // later fragments and unknown protocols have no port to translate
    const key = `${flow.protocol} ${ipv4.src(dv, HEADER)} ${flow.port}`;
    let mapping = this.#live(this.#byInside.get(key));
    if (mapping === null) {
      mapping = this.#map(flow.protocol, ipv4.src(dv, HEADER), flow.port);
      if (mapping === null) return false;
      this.#byInside.set(key, mapping);
      this.#byOutside.set(`${flow.protocol} ${mapping.outsidePort}`, mapping);
    }
    mapping.usedAt = this.network.now;
    mapping.heardOut = true;
    if (flow.ends) mapping.closing = true;
    mapping.peers.add(`${ipv4.dst(dv, HEADER)} ${flow.peerPort}`);
    rewrite(dv, HEADER, true, to.address, mapping.outsidePort);
    return true;
  }

  protected override admit(_frame: Uint8Array, dv: DataView, from: RouterPort): boolean {
    if (from !== this.#outside || ipv4.dst(dv, HEADER) !== from.address) return true;
    if (this.#admitError(dv)) return true;
    const flow = flowOf(dv, HEADER, false);
    if (flow === null) return false;
    const mapping = this.#live(this.#byOutside.get(`${flow.protocol} ${flow.port}`));
    if (mapping === null) return flow.isEchoRequest; // pings of the NAT itself are its own
    const isKnown = mapping.peers.has(`${ipv4.src(dv, HEADER)} ${flow.peerPort}`);
    if (!isKnown && this.#options.filtering !== 'none') return false;
    // RFC 4787 REQ-6: inbound traffic alone need not keep a mapping alive; but a TCP connection's does.
    if (flow.protocol === ipv4.PROTOCOL_TCP) mapping.usedAt = this.network.now;
    mapping.heardIn = true;
    if (flow.ends) mapping.closing = true;
    rewrite(dv, HEADER, false, mapping.inside, mapping.insidePort);
    return true;
  }

  protected override restore(dv: DataView, from: RouterPort): void {
    // RFC 5508 §4: what is quoted to the outside must be what the outside sent.
    if (from !== this.#outside) return;
    const flow = flowOf(dv, HEADER, false);
    const mapping =
      flow === null ? undefined : this.#byInside.get(`${flow.protocol} ${ipv4.dst(dv, HEADER)} ${flow.port}`);
    if (mapping !== undefined) rewrite(dv, HEADER, false, from.address, mapping.outsidePort);
  }

  /** An ICMP error about a packet we translated: translate the quote back too (RFC 5508 REQ-4). */
  #admitError(dv: DataView): boolean {
    if (ipv4.protocol(dv, HEADER) !== ipv4.PROTOCOL_ICMP || ipv4.isFragment(dv, HEADER)) return false;
    const at = HEADER + ipv4.headerLength(dv, HEADER);
    const end = HEADER + ipv4.totalLength(dv, HEADER);
    if (icmpv4.check(dv, at, end) === 0 || !icmpv4.isError(icmpv4.type(dv, at))) return false;
    const quoted = at + icmpv4.HEADER;
    if (end - quoted < ipv4.MIN_HEADER + 8 || !checksum.verify(dv, at, end - at)) return false;
    const flow = flowOf(dv, quoted, true);
    const mapping = flow === null ? null : this.#live(this.#byOutside.get(`${flow.protocol} ${flow.port}`));
    if (mapping === null) return false;
    rewrite(dv, quoted, true, mapping.inside, mapping.insidePort, end);
    icmpv4.setChecksum(dv, at, 0);
    icmpv4.setChecksum(dv, at, checksum.finish(checksum.sum(dv, at, end - at)));
    setAddress(dv, HEADER, 16, mapping.inside);
    return true;
  }

  #map(protocol: number, inside: Ipv4, insidePort: number): Mapping | null {
    this.#expire();
    // RFC 4787 REQ-3 leaves the choice; a random start, so that ports are not guessed (RFC 6056).
    const count = LAST_PORT - FIRST_PORT + 1;
    const start = this.#random.below(count);
    for (let i = 0; i < count; i++) {
      const outsidePort = FIRST_PORT + ((start + i) % count);
      if (this.#byOutside.has(`${protocol} ${outsidePort}`)) continue;
      const usedAt = this.network.now;
      const peers = new Set<string>();
      const fresh = { heardOut: false, heardIn: false, closing: false };
      return { protocol, inside, insidePort, outsidePort, peers, usedAt, ...fresh };
    }
    return null;
  }

  #live(mapping: Mapping | undefined): Mapping | null {
    if (mapping === undefined) return null;
    if (this.network.now - mapping.usedAt < this.#lifetime(mapping)) return mapping;
    this.#remove(mapping);
    return null;
  }

  #lifetime(mapping: Mapping): number {
    const { tcpTimeout = 7_440_000, tcpTransitoryTimeout = 240_000, udpTimeout = 120_000 } = this.#options;
    const { icmpTimeout = 60_000 } = this.#options;
    const milliseconds = SECOND / 1000;
    if (mapping.protocol === ipv4.PROTOCOL_UDP) return udpTimeout * milliseconds;
    if (mapping.protocol === ipv4.PROTOCOL_ICMP) return icmpTimeout * milliseconds;
    const isOpen = mapping.heardOut && mapping.heardIn && !mapping.closing;
    return (isOpen ? tcpTimeout : tcpTransitoryTimeout) * milliseconds;
  }

  #expire(): void {
    for (const mapping of [...this.#byInside.values()]) this.#live(mapping);
  }

  #remove(mapping: Mapping): void {
    this.#byInside.delete(`${mapping.protocol} ${mapping.inside} ${mapping.insidePort}`);
    this.#byOutside.delete(`${mapping.protocol} ${mapping.outsidePort}`);
  }
}

interface Flow {
  readonly protocol: number;
  /** Of the end that is translated. */
  readonly port: number;
  readonly peerPort: number;
  /** TCP: FIN or RST. */
  readonly ends: boolean;
  readonly isEchoRequest: boolean;
}

/** Ports of the packet at `ip`, or an echo's identifier; null when it has none. `source`: the source end is the one to translate. */
function flowOf(dv: DataView, ip: number, source: boolean): Flow | null {
  if (ipv4.fragmentOffset(dv, ip) !== 0) return null;
  const at = ip + ipv4.headerLength(dv, ip);
  if (at + 8 > dv.byteLength) return null;
  const protocol = ipv4.protocol(dv, ip);
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const type = icmpv4.type(dv, at);
    if (type !== icmpv4.ECHO && type !== icmpv4.ECHO_REPLY) return null;
    return { protocol, port: icmpv4.id(dv, at), peerPort: 0, ends: false, isEchoRequest: type === icmpv4.ECHO };
  }
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return null;
  const src = dv.getUint16(at);
  const dst = dv.getUint16(at + 2);
  const ends =
    protocol === ipv4.PROTOCOL_TCP && at + 14 <= dv.byteLength && (tcp.flags(dv, at) & (tcp.FIN | tcp.RST)) !== 0;
  return { protocol, port: source ? src : dst, peerPort: source ? dst : src, ends, isEchoRequest: false };
}

function setAddress(dv: DataView, ip: number, field: number, address: Ipv4): number {
  const before = dv.getInt32(ip + field);
  dv.setInt32(ip + field, address);
  dv.setUint16(ip + 10, checksum.update32(ipv4.checksum(dv, ip), before, address));
  return before;
}

/** Replace address and port of one end of the packet at `ip`. What lies at `end` or behind is not there: a quote is short. */
function rewrite(dv: DataView, ip: number, source: boolean, address: Ipv4, port: number, end = dv.byteLength): void {
  const before = setAddress(dv, ip, source ? 12 : 16, address);
  const at = ip + ipv4.headerLength(dv, ip);
  const protocol = ipv4.protocol(dv, ip);
  const isIcmp = protocol === ipv4.PROTOCOL_ICMP;
  const field = at + (isIcmp ? 4 : source ? 0 : 2);
  const portBefore = dv.getUint16(field);
  dv.setUint16(field, port);
  const sumAt =
    at + (isIcmp ? icmpv4.CHECKSUM_OFFSET : protocol === ipv4.PROTOCOL_TCP ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
  if (sumAt + 2 > end) return;
  const sum = dv.getUint16(sumAt);
  if (protocol === ipv4.PROTOCOL_UDP && sum === 0) return; // none computed
  const withPort = checksum.update16(sum, portBefore, port);
  // ICMP's checksum covers no address.
  dv.setUint16(sumAt, isIcmp ? withPort : checksum.update32(withPort, before, address));
}
