// Neighbours: who on the link has which address, and whether that is still true — RFC 826, with the reachability states of
// RFC 4861 §7.3 that Linux uses for ARP as well.
//
//                 request                reply                      30 s unconfirmed
//   (none) ───────────────► INCOMPLETE ───────────► REACHABLE ◄──────────────────────► STALE
//                               │ 3 unanswered          ▲  confirmed                     │ used
//                               ▼                       ├──────────── DELAY ◄────────────┘
//                            FAILED ◄────────────────── PROBE ◄─────────┘ 5 s unconfirmed
//
// Frames that wait for an answer are copied, because the bytes they point at may be acknowledged and reused meanwhile.
//
// Invariant: frames are queued only in INCOMPLETE and FAILED; `usable` is true in exactly the states that have a MAC.

import { Timer } from '../time/wheel.ts';
import type { Ipv4, Mac } from '../wire/address.ts';
import { SECOND } from '../world.ts';
import type { Nic } from './nic.ts';

export const INCOMPLETE = 0;
export const REACHABLE = 1;
export const STALE = 2;
export const DELAY = 3;
export const PROBE = 4;
export const FAILED = 5;
export const PERMANENT = 6;

export const NEIGHBOR_STATE_NAMES = ['incomplete', 'reachable', 'stale', 'delay', 'probe', 'failed', 'permanent'];

// RFC 4861 §10
const REACHABLE_TIME = 30 * SECOND;
const DELAY_FIRST_PROBE_TIME = 5 * SECOND;
const RETRANS_TIMER = SECOND; // also RFC 1122 §2.3.2.1: at most one request per second and destination
const MAX_RETRANS = 2 * SECOND;
const MAX_MULTICAST_SOLICIT = 3;
const MAX_UNICAST_SOLICIT = 3;
// RFC 1122 §2.3.2.1 (1): flush what is out of date. A stale entry nobody uses is forgotten after this.
const STALE_LIFETIME = 600 * SECOND;
const FAILED_LIFETIME = 10 * SECOND;

// RFC 1122 §2.3.2.2 wants at least the latest packet kept. These hold one fragmented 64 KB datagram and a window of small ones.
const QUEUE_FRAMES = 128;
const QUEUE_BYTES = 128 * 1024;
const TABLE_QUEUE_BYTES = 4 * 1024 * 1024;

export class Neighbor extends Timer {
  readonly address: Ipv4;
  mac: Mac = 0;
  state = INCOMPLETE;
  /** A frame may be sent to `mac` now. */
  usable = false;
  /** Out of the table: whoever holds it looks the address up again. */
  removed = false;
  /** When reachability was last confirmed, and when a stale entry was last used, µs. */
  confirmedAt = -Infinity;
  usedAt: number;
  /** When we last asked, µs. */
  requestedAt = -Infinity;
  probes = 0;
  queue: Uint8Array[] = [];
  queuedBytes = 0;
  readonly #table: NeighborTable;

  constructor(table: NeighborTable, address: Ipv4) {
    super();
    this.#table = table;
    this.address = address;
    this.usedAt = table.now;
  }

  /** A frame is about to be sent while the entry is stale: ask again unless somebody confirms soon (RFC 4861 §7.3.3). */
  use(): void {
    if (this.state !== STALE) return;
    this.usedAt = this.#table.now;
    this.state = DELAY;
    this.#arm(this.usedAt + DELAY_FIRST_PROBE_TIME);
  }

  /** Something we sent through this neighbour has been answered (RFC 4861 §7.3.1). */
  confirm(): void {
    this.confirmedAt = this.#table.now;
    if (this.state === STALE || this.state === DELAY || this.state === PROBE) this.#reachable();
  }

  /** Packets sent through this neighbour go unanswered: ask again when it is next used (RFC 1122 §2.3.2.1, §3.3.1.4). */
  doubt(): void {
    if (this.state !== REACHABLE) return;
    this.state = STALE;
    this.#arm(this.#table.now + STALE_LIFETIME);
  }

  /** Keep `frame` (virtio header first) until the address is resolved. */
  enqueue(frame: Uint8Array): void {
    const table = this.#table;
    const { stats } = table.nic.stack;
    while (
      this.queue.length >= QUEUE_FRAMES ||
      (this.queue.length > 0 && this.queuedBytes + frame.length > QUEUE_BYTES)
    ) {
      stats.dropNeighborQueueFull++;
      this.#forget(this.queue.shift()!);
    }
    if (table.queuedBytes + frame.length > TABLE_QUEUE_BYTES) {
      stats.dropNeighborQueueFull++;
      return;
    }
    this.queue.push(frame);
    this.queuedBytes += frame.length;
    table.queuedBytes += frame.length;
    if (this.state === FAILED && table.now >= this.requestedAt + RETRANS_TIMER) this.solicit();
    // The error goes out from the timer, because whoever sends this frame is in the middle of something.
    else if (this.state === FAILED) this.#arm(table.now);
  }

  /** Begin to ask who has this address. */
  solicit(): void {
    this.state = INCOMPLETE;
    this.usable = false;
    this.probes = 0;
    this.#ask(null);
  }

  /** The owner of the address says so. @param solicited it answers a request of ours */
  learn(mac: Mac, solicited: boolean): void {
    if (this.state === PERMANENT) return;
    const changed = mac !== this.mac || !this.usable;
    this.mac = mac;
    this.usable = true;
    if (solicited) {
      this.confirmedAt = this.#table.now;
      this.#reachable();
    } else if (changed) {
      // RFC 4861 §7.2.5: a new address that nobody asked for is used, but not trusted to be reachable.
      this.state = STALE;
      this.#arm(this.#table.now + STALE_LIFETIME);
    }
    this.#release();
  }

  /** Set by configuration; never ages. */
  pin(mac: Mac): void {
    this.mac = mac;
    this.usable = true;
    this.state = PERMANENT;
    this.#table.nic.stack.wheel.cancel(this);
    this.#release();
  }

  /** Take it out of service, dropping what waits. */
  drop(): void {
    this.removed = true;
    this.usable = false;
    this.#table.nic.stack.wheel.remove(this);
    for (const frame of this.queue) this.#forget(frame);
    this.queue = [];
  }

  onTimer(now: number): void {
    switch (this.state) {
      case INCOMPLETE:
        if (this.probes >= MAX_MULTICAST_SOLICIT) this.#fail();
        else this.#ask(null);
        return;
      case REACHABLE:
        if (now < this.confirmedAt + this.#table.reachableTime) {
          this.#arm(this.confirmedAt + this.#table.reachableTime);
          return;
        }
        this.state = STALE;
        this.usedAt = now;
        this.#arm(now + STALE_LIFETIME);
        return;
      case DELAY:
        this.state = PROBE;
        this.probes = 0;
        this.#ask(this.mac);
        return;
      case PROBE:
        if (this.probes >= MAX_UNICAST_SOLICIT) this.#fail();
        else this.#ask(this.mac);
        return;
      case FAILED:
        if (this.queue.length > 0) this.#fail();
        else this.#table.remove(this.address);
        return;
      case STALE:
        this.#table.remove(this.address);
    }
  }

  /** Send a request, to everybody or to the MAC we believe in (RFC 1122 §2.3.2.1 (2)). Callers see to it that a second has passed. */
  #ask(mac: Mac | null): void {
    const { now } = this.#table;
    this.requestedAt = now;
    this.#arm(now + Math.min(RETRANS_TIMER << this.probes, MAX_RETRANS));
    this.probes++;
    this.#table.nic.arp.request(this.address, mac);
  }

  #reachable(): void {
    this.state = REACHABLE;
    this.#arm(this.#table.now + this.#table.reachableTime);
  }

  #fail(): void {
    const { stack } = this.#table.nic;
    const frames = this.queue;
    const news = this.state !== FAILED;
    this.state = FAILED;
    this.usable = false;
    if (news) {
      stack.stats.neighborFailures++;
      stack.routes.gatewayFailed(this.address, this.#table.nic);
    }
    this.#arm(this.#table.now + FAILED_LIFETIME);
    this.queue = [];
    for (const frame of frames) {
      this.#forget(frame);
      stack.stats.dropNeighborUnreachable++;
      stack.icmp.hostUnreachable(this.#table.nic, frame);
    }
  }

  #release(): void {
    const frames = this.queue;
    if (frames.length === 0) return;
    this.queue = [];
    for (const frame of frames) {
      this.#forget(frame);
      this.#table.nic.tx.resend(frame, this.mac);
    }
  }

  #forget(frame: Uint8Array): void {
    this.queuedBytes -= frame.length;
    this.#table.queuedBytes -= frame.length;
  }

  #arm(at: number): void {
    this.#table.nic.stack.wheel.arm(this, at);
  }
}

/** The neighbours of one NIC: a bounded table. */
export class NeighborTable {
  readonly nic: Nic;
  readonly limit: number;
  /** Bytes waiting in all queues. */
  queuedBytes = 0;
  /** RFC 4861 §6.3.2: uniformly distributed, so that hosts do not all ask at once. */
  readonly reachableTime: number;
  readonly #entries = new Map<Ipv4, Neighbor>();

  constructor(nic: Nic, limit: number) {
    this.nic = nic;
    this.limit = limit;
    this.reachableTime = REACHABLE_TIME * (0.5 + (nic.stack.world.entropy.int32() >>> 0) / 2 ** 32);
  }

  get now(): number {
    return this.nic.stack.world.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** True when `address` has been asked for lately, in vain. */
  hasFailed(address: Ipv4): boolean {
    return this.#entries.get(address)?.state === FAILED;
  }

  find(address: Ipv4): Neighbor | null {
    return this.#entries.get(address) ?? null;
  }

  /** The entry for `address`, made and asked for when it is new. */
  lookup(address: Ipv4): Neighbor {
    const known = this.#entries.get(address);
    if (known !== undefined) return known;
    const neighbor = this.#insert(address);
    neighbor.solicit();
    return neighbor;
  }

  /** Somebody spoke to us and told its MAC (RFC 826, after the merge failed). */
  learn(address: Ipv4, mac: Mac): void {
    const known = this.#entries.get(address);
    (known ?? this.#insert(address)).learn(mac, false);
  }

  /** A static entry. */
  pin(address: Ipv4, mac: Mac): void {
    (this.#entries.get(address) ?? this.#insert(address)).pin(mac);
  }

  remove(address: Ipv4): boolean {
    const neighbor = this.#entries.get(address);
    if (neighbor === undefined) return false;
    this.#entries.delete(address);
    neighbor.drop();
    return true;
  }

  /** Forget everything that was not configured. */
  clear(): void {
    for (const neighbor of [...this.#entries.values()]) if (neighbor.state !== PERMANENT) this.remove(neighbor.address);
  }

  close(): void {
    for (const neighbor of [...this.#entries.values()]) this.remove(neighbor.address);
  }

  entries(): IterableIterator<Neighbor> {
    return this.#entries.values();
  }

  #insert(address: Ipv4): Neighbor {
    if (this.#entries.size >= this.limit) this.#evict();
    const neighbor = new Neighbor(this, address);
    this.#entries.set(address, neighbor);
    return neighbor;
  }

  /** Make room: an entry that leads nowhere, else the one confirmed or used longest ago. Static ones stay. */
  #evict(): void {
    let victim: Neighbor | null = null;
    let oldest = Infinity;
    for (const neighbor of this.#entries.values()) {
      if (neighbor.state === PERMANENT) continue;
      const age = neighbor.usable ? Math.max(neighbor.usedAt, neighbor.confirmedAt) : neighbor.usedAt - 3600 * SECOND;
      if (age >= oldest) continue;
      oldest = age;
      victim = neighbor;
    }
    if (victim !== null) this.remove(victim.address);
  }
}
