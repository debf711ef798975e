// A learning switch — IEEE 802.1D §7: many links, of whatever kind, are one Ethernet segment.
//
// A frame goes to the port its address was last seen at, to all others when that is not known, and never back to where it came from.
// There is no spanning tree. Instead each switch sends probes when a port is added and while there is traffic to flood; one that hears its
// own again has found a loop, and takes the port with the higher number out of use until probes no longer come round. A probe dies at a
// switch whose own address is lower, so of the switches of a loop only one opens it. What a port may flood is limited besides, so that a
// loop of others does no more than that.
//
// Links wake the switch from outside the core; it forwards at once. Links that ask to be woken while it does are seen to before it returns.
//
// Invariant: no frame leaves by the port it came in, or by or from one that is blocked.

import { FrameBatch, HEAD, LENGTH, MAX_FRAME, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import { Memory, offsetOf } from '../mem/memory.ts';
import type { Mac } from '../wire/address.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet.ts';
import { type Entropy, SECOND } from '../world.ts';
import type { Link } from './link.ts';
import { type MacEntry, MacTable } from './mac-table.ts';
import { type PipeOptions, pipe } from './pipe.ts';
import type { PortCounters } from './switch-port.ts';
import { SwitchPort } from './switch-port.ts';
import * as probe from './switch-probe.ts';

export interface SwitchOptions {
  /** Seconds an address is remembered without a frame from it, default 300 (IEEE 802.1D table 7-5). */
  age?: number;
  /** Addresses remembered at most, default 4096. */
  addresses?: number;
  /** Frames per second a port may have sent to all others, default 5000. */
  floodLimit?: number;
  /** Seconds a port that is part of a loop is out of use, default 30. */
  blockFor?: number;
}

/** What a switch needs of the world. */
export interface SwitchWorld {
  readonly clock: { now(): number };
  readonly entropy: Entropy;
  /** Call back later, outside of what is going on. */
  readonly defer: (callback: () => void) => void;
}

/** A port, as it is shown. */
export interface PortView {
  readonly number: number;
  readonly name: string;
  readonly blocked: boolean;
  readonly counters: Readonly<PortCounters>;
}

interface FallibleLink extends Link {
  onError?: ((error: Error) => void) | null;
}

const REGION = 4 * MAX_FRAME;
const CAPACITY = 256;
const ROUNDS_PER_TURN = 64;
const PROBE_INTERVAL = SECOND;
// 01:80:c2:00:00:00 … 0f are for the switch itself and never forwarded (IEEE 802.1D §7.12.6).
const RESERVED: Mac = 0x0180_c200_0000;

const NOWHERE = -2;
const EVERYWHERE = -1;

export class Switch {
  /** Its own address, which its probes come from. */
  readonly mac: Mac;
  /** Called when a port has gone because its link has. */
  onPortGone: ((port: PortView, error: Error) => void) | null = null;
  /** Called when a port is taken out of use for being part of a loop. */
  onLoop: ((port: PortView) => void) | null = null;
  readonly #world: SwitchWorld;
  readonly #memory = new Memory();
  readonly #rx: FrameBatch;
  readonly #to = new Int32Array(CAPACITY);
  readonly #table: MacTable;
  readonly #ports = new Map<number, SwitchPort>();
  readonly #floodLimit: number;
  readonly #blockFor: number;
  #nextNumber = 1;
  #running = false;
  #deferred = false;
  #probedAt = 0;
  /** After a loop, sources are where they seem to be only when its last frames have gone. */
  #learnAt = 0;
  #closed = false;

  constructor(world: SwitchWorld, options: SwitchOptions = {}) {
    const { age = 300, addresses = 4096, floodLimit = 5000, blockFor = 30 } = options;
    for (const [name, value] of Object.entries({ age, addresses, floodLimit, blockFor })) {
      if (!(value > 0)) throw new RangeError(`Switch: ${name} ${value} is not more than 0`);
    }
    this.#world = world;
    this.#rx = new FrameBatch(this.#memory, REGION, CAPACITY);
    this.#table = new MacTable(addresses, age * SECOND);
    this.#floodLimit = floodLimit;
    this.#blockFor = blockFor * SECOND;
    const { entropy } = world;
    // Locally administered, of no group.
    this.mac = 0x0200_0000_0000 + (entropy.int32() & 0xff) * 0x1_0000_0000 + (entropy.int32() >>> 0);
  }

  get ports(): PortView[] {
    return [...this.#ports.values()].map(view);
  }

  /** Addresses and the numbers of the ports they are behind. */
  get addresses(): MacEntry[] {
    return this.#table.list(this.#world.clock.now());
  }

  /** Join `link`, which belongs to the switch from now on. Returns the number of its port. */
  add(link: Link, name?: string): number {
    if (this.#closed) throw new Error('Switch: it has been closed');
    const number = this.#nextNumber++;
    const now = this.#world.clock.now();
    const port = new SwitchPort(number, name ?? `port${number}`, link, this.#memory, this.#floodLimit, now);
    this.#ports.set(number, port);
    const fallible: FallibleLink = link;
    if (fallible.onError !== undefined)
      fallible.onError = (error) => {
        this.remove(number);
        this.onPortGone?.(view(port), error);
      };
    link.watch?.(() => {
      port.isAwake = true;
      this.#pump();
    });
    this.#probe(now); // the new port may close a loop
    this.#pump();
    return number;
  }

  /** A new port, and the other end of its cable: for a stack, or another switch. */
  plug(options: PipeOptions & { name?: string } = {}): Link {
    const [ours, theirs] = pipe(options);
    this.add(ours, options.name);
    return theirs;
  }

  /** Take a port away and close its link. False when there is none of that number. */
  remove(number: number): boolean {
    const port = this.#ports.get(number);
    if (port === undefined) return false;
    this.#ports.delete(number);
    this.#table.forget(number);
    port.close();
    return true;
  }

  /** Close every link. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const number of [...this.#ports.keys()]) this.remove(number);
  }

  #pump(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    try {
      for (let round = 0; this.#forwardAll(); round++) {
        if (round < ROUNDS_PER_TURN) continue;
        this.#pumpLater(); // others want to work, too
        return;
      }
    } finally {
      this.#running = false;
    }
  }

  #pumpLater(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#world.defer(() => {
      this.#deferred = false;
      this.#pump();
    });
  }

  /** One batch of each link that is awake. False when none is. */
  #forwardAll(): boolean {
    const now = this.#world.clock.now();
    let any = false;
    for (const port of this.#ports.values()) {
      if (port.isBlocked && now >= port.blockedUntil) this.#reconsider(port, now);
      if (!port.isAwake) continue;
      port.isAwake = false;
      if (port.link.receive(this.#rx) > 0) {
        port.isAwake = true; // there may be more
        any = true;
        this.#forward(port, now);
      }
    }
    for (const port of this.#ports.values()) port.flush();
    return any || [...this.#ports.values()].some((port) => port.isAwake);
  }

  #forward(from: SwitchPort, now: number): void {
    const rx = this.#rx;
    let floods = false;
    for (let i = 0; i < rx.count; i++) {
      this.#to[i] = this.#destination(from, i, now);
      if (this.#to[i] === EVERYWHERE) floods = true;
    }
    if (floods && now - this.#probedAt >= PROBE_INTERVAL) this.#probe(now);
    for (const port of this.#ports.values()) {
      if (port === from || port.isBlocked) continue;
      for (let i = 0; i < rx.count; i++) {
        if (this.#to[i] !== port.number && this.#to[i] !== EVERYWHERE) continue;
        if (this.#fits(port, i)) port.enqueue(rx, i);
        else port.counters.oversized++;
      }
    }
  }

  /** The number of a port, EVERYWHERE or NOWHERE. */
  #destination(from: SwitchPort, i: number, now: number): number {
    const { desc, dv } = this.#rx;
    const off = offsetOf(desc[i * STRIDE + HEAD]);
    const length = desc[i * STRIDE + LENGTH];
    const { counters } = from;
    counters.inFrames++;
    counters.inBytes += length;
    const to = this.#decide(from, dv, off, length, now);
    if (to === NOWHERE) counters.filtered++;
    if (to !== EVERYWHERE) return to;
    if (!this.#mayFlood(from, now)) {
      counters.suppressed++;
      return NOWHERE;
    }
    counters.flooded++;
    return EVERYWHERE;
  }

  #decide(from: SwitchPort, dv: DataView, off: number, length: number, now: number): number {
    if (ethernet.check(dv, off, off + length) === 0) return NOWHERE;
    if (probe.check(dv, off, off + length)) return this.#hear(from, probe.sender(dv, off), probe.port(dv, off), now);
    if (from.isBlocked) return NOWHERE;
    const src = ethernet.src(dv, off);
    const dst = ethernet.dst(dv, off);
    // A group is nobody's own address (IEEE 802.3 §3.2.4).
    if (ethernet.isGroup(src)) return NOWHERE;
    if (now >= this.#learnAt) this.#table.learn(src, from.number, now);
    if (dst >= RESERVED && dst <= RESERVED + 15) return NOWHERE;
    if (ethernet.isGroup(dst)) return EVERYWHERE;
    const known = this.#table.find(dst, now);
    if (known < 0 || !this.#ports.has(known)) return EVERYWHERE;
    return known === from.number ? NOWHERE : known;
  }

  /** What to do with the probe of `sender`: ours tells of a loop, a lower one's goes on, a higher one's ends here. */
  #hear(from: SwitchPort, sender: Mac, sentBy: number, now: number): number {
    if (sender !== this.mac) return sender < this.mac && !from.isBlocked ? EVERYWHERE : NOWHERE;
    const other = this.#ports.get(sentBy);
    // Of a pair one is enough. A port that hears itself has the loop beyond it, and the rest is better off without.
    const open = from.isBlocked ? from : other?.isBlocked ? other : null;
    const last = open ?? (other !== undefined && other.number > from.number ? other : from);
    const isNew = !last.isBlocked || last.isOnTrial;
    last.isOnTrial = false;
    last.blockedUntil = now + this.#blockFor;
    if (!isNew) return NOWHERE;
    last.counters.loops++;
    this.#table.clear();
    this.#learnAt = now + SECOND;
    this.onLoop?.(view(last));
    return NOWHERE;
  }

  /** Its time is over: probe, and have the port back when no probe has come round after a while. */
  #reconsider(port: SwitchPort, now: number): void {
    if (port.isOnTrial) {
      port.blockedUntil = 0;
      port.isOnTrial = false;
      return;
    }
    port.isOnTrial = true;
    port.blockedUntil = now + PROBE_INTERVAL;
    this.#probe(now);
  }

  /** Blocked ports are probed, too: they are to be used again when they can be. */
  #probe(now: number): void {
    this.#probedAt = now;
    for (const port of this.#ports.values()) {
      const { dv, off } = port.compose(probe.LENGTH);
      if (off >= 0) probe.write(dv, off, this.mac, port.number);
    }
  }

  #mayFlood(port: SwitchPort, now: number): boolean {
    const limit = this.#floodLimit;
    port.credit = Math.min(limit, port.credit + ((now - port.creditAt) * limit) / SECOND);
    port.creditAt = now;
    if (port.credit < 1) return false;
    port.credit--;
    return true;
  }

  /** Whether frame `i` is small enough for the port's link; what will be cut for it is. */
  #fits(port: SwitchPort, i: number): boolean {
    const { desc, dv } = this.#rx;
    const off = offsetOf(desc[i * STRIDE + HEAD]);
    const length = desc[i * STRIDE + LENGTH];
    const header = off - VNET_LENGTH;
    if (vnet.gsoType(dv, header) === vnet.GSO_NONE) return length <= port.link.mtu + ethernet.headerLength(dv, off);
    return vnet.headerLength(dv, header) + vnet.gsoSize(dv, header) <= port.link.mtu + ethernet.headerLength(dv, off);
  }
}

const view = (port: SwitchPort): PortView => ({
  number: port.number,
  name: port.name,
  blocked: port.isBlocked,
  counters: { ...port.counters },
});
