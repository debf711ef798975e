// A resolved way to one remote address, and how it is found — RFC 1122 §3.3.1, §3.3.4.
//
// A path knows the NIC, the source address, the neighbour to hand frames to and the MTU. It is shared by all packets of a socket and
// follows changes by itself: of routes when `refresh()` is called (commit does), of the path MTU whenever `mtu` is read
// (RFC 1122 §3.3.3: how the transport learns what it may send).

import { EADDRNOTAVAIL, ENETDOWN, ENETUNREACH } from '../errno.ts';
import type { Stack } from '../stack.ts';
import type { Ipv4 } from '../wire/address.ts';
import { Address, isLoopbackV4, isMulticastV4, LIMITED_BROADCAST, MAC_BROADCAST } from '../wire/address.ts';
import type { Neighbor } from './neighbor.ts';
import type { Nic } from './nic.ts';
import type { Packet } from './packet.ts';
import { BROADCAST, MULTICAST, UNICAST } from './packet.ts';

const LOCALHOST: Ipv4 = 0x7f000001;
export const DEFAULT_TTL = 64; // RFC 1122 §3.2.1.7 wants it configurable; RFC 1700's recommended value

export class Path {
  readonly stack: Stack;
  nic: Nic;
  readonly local = Address.v4(0);
  readonly remote = Address.v4(0);
  /** UNICAST, BROADCAST or MULTICAST: what `remote` is on this NIC. */
  kind = UNICAST;
  /** Address on the link to hand frames to: the gateway or `remote` itself. */
  nextHop: Ipv4 = 0;
  /** Cached neighbour of `nextHop`; null until first used, and while `kind` needs none. */
  neighbor: Neighbor | null = null;
  /** Goes to ourselves, over the loopback NIC. */
  isLocal = false;
  ttl = DEFAULT_TTL; // RFC 1122 §3.2.1.7
  tos = 0;
  /** Path MTU discovery is on (RFC 1191): packets leave with DF, and what does not fit is refused. Off: it is fragmented. */
  dontFragment = true;
  /** Frames to this path loop back to our own members of a group, or our own listeners for a broadcast. */
  loop = true;
  /** The NIC asked for, when the caller insists (multicast). */
  wantedNic: Nic | null = null;
  #wantedLocal: Address | null = null;
  #generation = 0;
  #mtu = 0;
  #pmtuGeneration = -1;

  constructor(stack: Stack) {
    this.stack = stack;
    this.nic = stack.loopback;
  }

  /** Bytes of IP packet that fit: the NIC's MTU, lowered by path MTU discovery. */
  get mtu(): number {
    if (this.#pmtuGeneration !== this.stack.pmtu.generation) {
      this.#pmtuGeneration = this.stack.pmtu.generation;
      this.#mtu = Math.min(this.nic.mtu, this.kind === UNICAST ? this.stack.pmtu.get(this.remote) : 65535);
    }
    return this.#mtu;
  }

  /** Remember that a router reported `mtu` for this path. The caller has made sure that the report is genuine (RFC 5927 §7.2). */
  lowerMtu(mtu: number): void {
    this.stack.pmtu.update(this.remote, mtu, this.stack.world.now);
  }

  /** The next hop delivers: our packets to it have been answered (RFC 4861 §7.3.1). */
  confirm(): void {
    this.neighbor?.confirm();
  }

  /** Our packets go unanswered: the next hop may be gone (RFC 1122 §3.3.1.4). */
  doubt(): void {
    this.neighbor?.doubt();
  }

  /** The link-layer address of a broadcast or multicast path (RFC 1112 §6.4). */
  get groupMac(): number {
    return this.kind === BROADCAST ? MAC_BROADCAST : 0x01005e000000 + (this.nextHop & 0x7fffff);
  }

  /**
   * Find the way again if routes have changed since. 0, or a negative errno: then the path keeps pointing where it did. The
   * source address never changes while it is ours (M44, M45).
   */
  refresh(): number {
    return this.#generation === this.stack.routes.generation ? 0 : this.#find(this.#wantedLocal ?? this.local);
  }

  /** False when routes have changed since the path was found. */
  get fresh(): boolean {
    return this.#generation === this.stack.routes.generation;
  }

  /** Point this path to `remote`, from `local` if given. 0 or a negative errno. */
  resolve(remote: Address, local: Address | null): number {
    this.remote.set(remote);
    this.local.setV4(0);
    this.#wantedLocal = local === null || local.isUnspecified ? null : this.local.set(local);
    return this.#find(this.#wantedLocal);
  }

  #find(local: Address | null): number {
    const { stack } = this;
    const remote = this.remote.v4;
    if (!this.remote.isV4 || remote === 0) return ENETUNREACH;
    const source = local === null || local.isUnspecified ? null : local.v4;
    if (source !== null && !stack.isLocalAddress(source)) return EADDRNOTAVAIL;

    if (stack.isLocalAddress(remote) || isLoopbackV4(remote)) {
      // RFC 1122 §3.2.1.3 (g): loopback addresses never appear outside a host, so they speak only to our own.
      // Whole 127/8 is ours, but we speak as 127.0.0.1, as Linux does.
      return this.#set(stack.loopback, UNICAST, remote, source ?? (isLoopbackV4(remote) ? LOCALHOST : remote));
    }
    // A group on the loopback interface is the one exception: the caller has chosen the interface.
    if (source !== null && isLoopbackV4(source) && this.wantedNic !== stack.loopback) return ENETUNREACH;

    const route = remote === LIMITED_BROADCAST ? null : stack.routes.lookup(remote, source, stack.world.now);
    if (remote === LIMITED_BROADCAST || isMulticastV4(remote)) {
      // RFC 1122 §3.3.1.3, RFC 1112 §6.2: these need no route, only an interface.
      const nic =
        this.wantedNic ?? (source === null ? null : stack.ownerOf(source)) ?? route?.nic ?? stack.defaultNic();
      if (nic === null) return ENETUNREACH;
      if (!nic.up) return ENETDOWN;
      const kind = remote === LIMITED_BROADCAST ? BROADCAST : MULTICAST;
      return this.#set(nic, kind, remote, source ?? nic.sourceFor(remote) ?? 0);
    }
    if (route === null) return ENETUNREACH;
    const nextHop = route.gateway ?? remote;
    const chosen = source ?? route.source ?? route.nic.sourceFor(nextHop);
    if (chosen === null) return EADDRNOTAVAIL;
    const kind = route.gateway === null && route.nic.isSubnetBroadcast(remote) ? BROADCAST : UNICAST;
    return this.#set(route.nic, kind, nextHop, chosen);
  }

  #set(nic: Nic, kind: number, nextHop: Ipv4, source: Ipv4): number {
    this.nic = nic;
    this.kind = kind;
    this.nextHop = nextHop;
    this.neighbor = null;
    this.isLocal = nic === this.stack.loopback;
    this.local.setV4(source);
    this.#pmtuGeneration = -1;
    this.#generation = this.stack.routes.generation;
    return 0;
  }
}

/** Where paths come from. */
export class Paths {
  readonly #stack: Stack;
  readonly #scratch: Path;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#scratch = new Path(stack);
  }

  /** A path of one's own to `remote`, from `local` if that is given and specified; or a negative errno. */
  resolve(remote: Address, local: Address | null = null): Path | number {
    const path = new Path(this.#stack);
    const errno = path.resolve(remote, local);
    if (errno < 0) this.#stack.stats.ipOutNoRoutes++;
    return errno < 0 ? errno : path;
  }

  /**
   * The way back to where `packet` came from, with the address it was sent to as source. Valid until the next call; null when
   * there is no way. For answers that no socket gives.
   */
  back(packet: Packet): Path | null {
    const path = this.#scratch;
    path.ttl = DEFAULT_TTL;
    path.tos = 0;
    path.dontFragment = false;
    const local = packet.destination === UNICAST ? packet.dst : null;
    return path.resolve(packet.src, local) < 0 ? null : path;
  }

  /** Like `resolve`, but the path is valid only until the next call of `back` or `borrow`. */
  borrow(remote: Address, local: Address | null = null): Path | null {
    const path = this.#scratch;
    path.ttl = DEFAULT_TTL;
    path.tos = 0;
    path.dontFragment = false;
    return path.resolve(remote, local) < 0 ? null : path;
  }
}

export { BROADCAST, MULTICAST, UNICAST };
