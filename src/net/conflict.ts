// Is an address ours alone? Probing before use, announcing, and defending it — RFC 5227.
//
//   PROBING ──3 probes unanswered──► ANNOUNCING ──2 announcements──► OWNED
//      │ somebody has it                  │        conflict           │
//      ▼                                  ▼                           ▼
//   LOST (and again later, rate limited)      defend once per 10 s; or give it up
//
// Invariant: the address is usable in ANNOUNCING and OWNED, and in no other state.

import { EADDRINUSE } from '../errno.ts';
import { EV_CONNECTED, EV_ERROR, Socket } from '../socket.ts';
import { Timer } from '../time/wheel.ts';
import type { Ipv4, Mac } from '../wire/address.ts';
import { maskOf } from '../wire/address.ts';
import { SECOND } from '../world.ts';
import type { Nic } from './nic.ts';

// RFC 5227 §1.1
const PROBE_WAIT = 1 * SECOND;
const PROBE_NUM = 3;
const PROBE_MIN = 1 * SECOND;
const PROBE_MAX = 2 * SECOND;
const ANNOUNCE_WAIT = 2 * SECOND;
const ANNOUNCE_NUM = 2;
const ANNOUNCE_INTERVAL = 2 * SECOND;
const MAX_CONFLICTS = 10;
const RATE_LIMIT_INTERVAL = 60 * SECOND;
const DEFEND_INTERVAL = 10 * SECOND;

const PROBING = 0;
const WAITING = 1; // after the last probe
const ANNOUNCING = 2;
const OWNED = 3;
const LOST = 4;

/** How to make sure of an address: `probe` asks first (6 s), `announce` uses it at once and says so, `off` does neither. */
export type AcdMode = 'probe' | 'announce' | 'off';

export interface AddressOptions {
  /** Default `announce`. */
  acd?: AcdMode;
  /**
   * What a second conflict within 10 s leads to (RFC 5227 §2.4): `keep` the address whatever happens (c), which suits a server configured
   * by hand, or `yield` it (b). Default `keep`.
   */
  defence?: 'keep' | 'yield';
}

/**
 * One IPv4 address of a NIC. As a socket it posts EV_CONNECTED when the address has become usable and EV_ERROR when another host
 * uses it as well: `usable` says who won, `conflictMac` who it was.
 */
export class NicAddress extends Socket {
  readonly nic: Nic;
  readonly address: Ipv4;
  readonly prefix: number;
  readonly mask: Ipv4;
  /** Directed broadcast of the subnet. A /31 or /32 has none (RFC 3021 §2.2). */
  readonly hasBroadcast: boolean;
  readonly broadcast: Ipv4;
  usable = false;
  conflicts = 0;
  conflictMac: Mac = 0;
  readonly defence: 'keep' | 'yield';
  #state = LOST;
  #sent = 0;
  #defendedAt = -Infinity;
  #mode: AcdMode = 'off';
  readonly #timer: AcdTimer;

  constructor(nic: Nic, address: Ipv4, prefix: number, options: AddressOptions) {
    super();
    this.nic = nic;
    this.address = address;
    this.prefix = prefix;
    this.mask = maskOf(prefix);
    this.hasBroadcast = prefix <= 30;
    this.broadcast = address | ~this.mask;
    this.defence = options.defence ?? 'keep';
    this.#timer = new AcdTimer(this);
  }

  /** Take the address into use, as `mode` says. */
  start(mode: AcdMode): void {
    this.#mode = mode;
    if (mode === 'off' || !this.nic.hasArp) {
      this.#state = OWNED;
      this.#use(true);
    } else if (mode === 'announce') {
      this.#announce();
    } else {
      this.#probe(this.#random(0, PROBE_WAIT));
    }
  }

  /** Announce again, e.g. after the link came up (RFC 5227 §2.1: whenever connectivity may have changed). */
  announceAgain(): void {
    if (this.#mode !== 'off' && this.usable) this.#announce();
  }

  stop(): void {
    this.#use(false);
    this.#state = LOST;
    this.nic.stack.wheel.remove(this.#timer);
  }

  /**
   * An ARP packet arrived from another host. True when it claims our address, so that nothing else may believe it.
   * @param probed the address a probe asks for, 0 when the packet is none
   */
  onArp(senderIp: Ipv4, probed: Ipv4, senderMac: Mac): boolean {
    const claims = senderIp === this.address;
    if (this.#state === PROBING || this.#state === WAITING) {
      // RFC 5227 §2.1.1: somebody has it, or wants it at the same time.
      if (claims || probed === this.address) this.#lose(senderMac);
      return claims;
    }
    if (!claims || !this.usable) return false;
    this.#defend(senderMac);
    return true;
  }

  onTimer(now: number): void {
    const { wheel } = this.nic.stack;
    switch (this.#state) {
      case LOST:
        this.#probe(0);
        return;
      case PROBING:
        this.nic.arp.probe(this.address);
        this.#sent++;
        if (this.#sent < PROBE_NUM) wheel.arm(this.#timer, now + this.#random(PROBE_MIN, PROBE_MAX));
        else {
          this.#state = WAITING;
          wheel.arm(this.#timer, now + ANNOUNCE_WAIT);
        }
        return;
      case WAITING:
        this.#announce();
        return;
      case ANNOUNCING:
        this.nic.arp.announce(this.address);
        this.#sent++;
        if (this.#sent < ANNOUNCE_NUM) wheel.arm(this.#timer, now + ANNOUNCE_INTERVAL);
        else this.#state = OWNED;
    }
  }

  #probe(wait: number): void {
    this.#state = PROBING;
    this.#sent = 0;
    this.nic.stack.wheel.arm(this.#timer, this.nic.stack.world.now + wait);
    this.nic.stack.touch();
  }

  #announce(): void {
    const { stack } = this.nic;
    const fresh = !this.usable;
    this.#state = ANNOUNCING;
    this.#use(true);
    if (fresh) stack.events.post(this, EV_CONNECTED);
    this.nic.arp.announce(this.address);
    this.#sent = 1;
    stack.wheel.arm(this.#timer, stack.world.now + ANNOUNCE_INTERVAL);
  }

  #defend(mac: Mac): void {
    const { stack } = this.nic;
    const { now } = stack.world;
    this.#report(mac);
    if (now - this.#defendedAt >= DEFEND_INTERVAL) {
      this.#defendedAt = now;
      this.nic.arp.announce(this.address); // RFC 5227 §2.4 (b)
    } else if (this.defence === 'yield') {
      this.#lose(mac, false);
    }
    // else RFC 5227 §2.4 (c): keep it, and stay silent, or two stubborn hosts would flood the link.
  }

  #lose(mac: Mac, report = true): void {
    const { stack } = this.nic;
    if (report) this.#report(mac);
    this.#use(false);
    this.#state = LOST;
    this.conflicts++;
    // RFC 5227 §2.1.1: after ten conflicts no more than one attempt a minute.
    const wait = this.conflicts > MAX_CONFLICTS ? RATE_LIMIT_INTERVAL : this.#random(PROBE_MIN, PROBE_MAX);
    stack.wheel.arm(this.#timer, stack.world.now + Math.max(wait, DEFEND_INTERVAL));
  }

  #report(mac: Mac): void {
    this.conflictMac = mac;
    this.error = EADDRINUSE;
    this.nic.stack.stats.arpConflicts++;
    this.nic.stack.events.post(this, EV_ERROR);
  }

  #use(usable: boolean): void {
    if (this.usable === usable) return;
    this.usable = usable;
    this.nic.addressChanged(this);
  }

  #random(from: number, to: number): number {
    return from + ((this.nic.stack.world.entropy.int32() >>> 0) / 2 ** 32) * (to - from);
  }
}

class AcdTimer extends Timer {
  readonly #address: NicAddress;

  constructor(address: NicAddress) {
    super();
    this.#address = address;
  }

  onTimer(now: number): void {
    this.#address.onTimer(now);
  }
}
