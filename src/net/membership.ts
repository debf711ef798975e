// Multicast groups a NIC listens to, and what routers and switches are told about it — RFC 1112 §7.1, RFC 3376, RFC 2236 §3.
//
// We speak IGMPv3, all sources, and fall back to what an older querier on the link understands (RFC 3376 §7.2). Every host is in
// 224.0.0.1, for ever and without saying so (RFC 1112 §4, RFC 1122 §3.3.7).
//
// Invariant: a group is listened to while its count is positive; one that is left stays in the table until its leave has been said.

import { Timer } from '../time/wheel.ts';
import type { Ipv4 } from '../wire/address.ts';
import { Address } from '../wire/address.ts';
import * as igmp from '../wire/igmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { setRouterAlert } from '../wire/ipv4-options.ts';
import { SECOND } from '../world.ts';
import type { Nic } from './nic.ts';
import type { Packet } from './packet.ts';
import { Path } from './path.ts';

export const ALL_HOSTS: Ipv4 = 0xe0000001 | 0;
const ALL_ROUTERS: Ipv4 = 0xe0000002 | 0;
const V3_ROUTERS: Ipv4 = 0xe0000016 | 0; // RFC 3376 §4.2.14

const ROBUSTNESS = 2; // RFC 3376 §8.1: say everything this often
const UNSOLICITED_INTERVAL = SECOND; // §8.11
const V2_UNSOLICITED_INTERVAL = 10 * SECOND; // RFC 2236 §8.10
const OLDER_QUERIER = 400 * SECOND; // §8.12, with the default query interval of 125 s
const MAX_RECORDS = 64;
const TOS = 0xc0; // RFC 3376 §4
const NO_GROUP = 0;

const ROUTER_ALERT = new Uint8Array(4);
setRouterAlert(new DataView(ROUTER_ALERT.buffer), 0);

/** One group. Its timer sends what is still to be said about it. */
class Group extends Timer {
  readonly address: Ipv4;
  readonly #owner: Membership;
  /** Sockets in the group. */
  members = 0;
  /** How often a change is still to be announced, and as what. */
  announcements = 0;
  change = igmp.TO_EXCLUDE;

  constructor(owner: Membership, address: Ipv4) {
    super();
    this.#owner = owner;
    this.address = address;
  }

  onTimer(): void {
    this.#owner.speak(this);
  }
}

/** Answers a general query: one report for all groups. */
class GeneralReply extends Timer {
  readonly #owner: Membership;

  constructor(owner: Membership) {
    super();
    this.#owner = owner;
  }

  onTimer(): void {
    this.#owner.reportAll();
  }
}

export class Membership {
  readonly nic: Nic;
  readonly #groups = new Map<Ipv4, Group>();
  readonly #general: GeneralReply;
  readonly #target = new Address();
  /** Until when an older querier has to be pleased, µs. */
  #v1Until = -Infinity;
  #v2Until = -Infinity;

  constructor(nic: Nic) {
    this.nic = nic;
    this.#general = new GeneralReply(this);
  }

  has(group: Ipv4): boolean {
    return group === ALL_HOSTS || (this.#groups.get(group)?.members ?? 0) > 0;
  }

  /** Groups listened to, 224.0.0.1 included. */
  list(): Ipv4[] {
    return [ALL_HOSTS, ...[...this.#groups.values()].filter((g) => g.members > 0).map((g) => g.address)];
  }

  join(address: Ipv4): void {
    if (address === ALL_HOSTS) return;
    let group = this.#groups.get(address);
    if (group === undefined) {
      group = new Group(this, address);
      this.#groups.set(address, group);
    }
    group.members++;
    if (group.members === 1) this.#announce(group, igmp.TO_EXCLUDE);
  }

  leave(address: Ipv4): void {
    const group = this.#groups.get(address);
    if (group === undefined || group.members === 0) return;
    group.members--;
    if (group.members === 0) this.#announce(group, igmp.TO_INCLUDE);
  }

  /** A query or somebody else's report. */
  input(packet: Packet): void {
    const { dv, transport, ipEnd } = packet;
    const { stats, world } = this.nic.stack;
    const length = igmp.check(dv, transport, ipEnd);
    if (length === 0) {
      stats.dropMalformedIgmp++;
      return;
    }
    const about = igmp.group(dv, transport);
    switch (igmp.type(dv, transport)) {
      case igmp.QUERY: {
        const code = igmp.maxResponse(dv, transport);
        let tenths = length >= igmp.V3_QUERY_LENGTH ? igmp.decodeTime(code) : code;
        if (length < igmp.V3_QUERY_LENGTH) {
          // RFC 3376 §7.2.1: whoever sends eight bytes is older, and oldest of all if it names no time.
          if (code === 0) this.#v1Until = world.now + OLDER_QUERIER;
          else this.#v2Until = world.now + OLDER_QUERIER;
          if (code === 0) tenths = 100;
        }
        this.#query(about, (tenths * SECOND) / 10);
        return;
      }
      case igmp.V1_REPORT:
      case igmp.V2_REPORT: {
        // RFC 2236 §3: somebody else has said it, once is enough.
        const group = this.#groups.get(about);
        if (group !== undefined && this.#speaksOld()) {
          group.announcements = 0;
          this.nic.stack.wheel.cancel(group);
        }
      }
    }
  }

  /** The link came up, or our address changed: say again what we listen to. */
  addressesChanged(): void {
    for (const group of this.#groups.values()) if (group.members > 0) this.#announce(group, igmp.TO_EXCLUDE);
  }

  /** @internal Say what is to be said about `group`. */
  speak(group: Group): void {
    const { now } = this.nic.stack.world;
    if (group.announcements > 0) group.announcements--;
    const joined = group.members > 0;
    if (now < this.#v1Until) {
      if (joined) this.#sendOld(igmp.V1_REPORT, group.address, group.address);
    } else if (now < this.#v2Until) {
      if (joined) this.#sendOld(igmp.V2_REPORT, group.address, group.address);
      else this.#sendOld(igmp.V2_LEAVE, ALL_ROUTERS, group.address);
    } else {
      this.#sendReport([group], group.change);
    }
    if (group.announcements > 0 && !(this.#speaksOld() && !joined)) this.#later(group);
    else if (!joined) this.#forget(group);
    else group.change = igmp.IS_EXCLUDE;
  }

  /** @internal Answer a general query. */
  reportAll(): void {
    const joined = [...this.#groups.values()].filter((group) => group.members > 0);
    for (let i = 0; i < joined.length; i += MAX_RECORDS)
      this.#sendReport(joined.slice(i, i + MAX_RECORDS), igmp.IS_EXCLUDE);
  }

  close(): void {
    for (const group of [...this.#groups.values()]) {
      if (group.members > 0) {
        group.members = 0;
        group.change = igmp.TO_INCLUDE;
        group.announcements = 1;
        this.speak(group);
      }
      this.#forget(group);
    }
    this.nic.stack.wheel.remove(this.#general);
  }

  #announce(group: Group, change: number): void {
    if (!this.nic.hasArp) {
      if (group.members === 0) this.#forget(group);
      return;
    }
    group.change = change;
    group.announcements = ROBUSTNESS;
    this.speak(group);
  }

  #later(group: Group): void {
    const { wheel, world } = this.nic.stack;
    const interval = this.#speaksOld() ? V2_UNSOLICITED_INTERVAL : UNSOLICITED_INTERVAL;
    wheel.arm(group, world.now + this.#random(interval));
  }

  /** RFC 3376 §5.2: answer at a random time within `within` µs, so that the hosts of a link do not answer at once. */
  #query(about: Ipv4, within: number): void {
    const { wheel, world } = this.nic.stack;
    const at = world.now + this.#random(within);
    if (about === NO_GROUP && !this.#speaksOld()) {
      if (this.#general.deadline > at) wheel.arm(this.#general, at);
      return;
    }
    for (const group of this.#groups.values()) {
      const asked = about === NO_GROUP || about === group.address;
      if (asked && group.members > 0 && group.deadline > at) wheel.arm(group, at);
    }
  }

  #speaksOld(): boolean {
    return this.nic.stack.world.now < Math.max(this.#v1Until, this.#v2Until);
  }

  #forget(group: Group): void {
    this.nic.stack.wheel.remove(group);
    this.#groups.delete(group.address);
  }

  #sendOld(type: number, to: Ipv4, about: Ipv4): void {
    const path = this.#path(to);
    if (path === null) return;
    const { tx } = this.nic;
    const off = tx.begin(path, igmp.LENGTH, ROUTER_ALERT);
    igmp.set(tx.dv, off, type, about);
    tx.commit(ipv4.PROTOCOL_IGMP, -1, 0);
  }

  #sendReport(groups: Group[], type: number): void {
    const path = groups.length === 0 ? null : this.#path(V3_ROUTERS);
    if (path === null) return;
    const { tx } = this.nic;
    const length = igmp.LENGTH + groups.length * igmp.RECORD_LENGTH;
    const off = tx.begin(path, length, ROUTER_ALERT);
    igmp.setReport(tx.dv, off, groups.length);
    for (let i = 0; i < groups.length; i++) igmp.setRecord(tx.dv, off, i, type, groups[i].address);
    igmp.finish(tx.dv, off, length);
    tx.commit(ipv4.PROTOCOL_IGMP, -1, 0);
  }

  #path(to: Ipv4): Path | null {
    const path = new Path(this.nic.stack);
    path.wantedNic = this.nic;
    if (!this.nic.up || path.resolve(this.#target.setV4(to), null) < 0) return null;
    path.ttl = 1; // RFC 3376 §4
    path.tos = TOS;
    path.loop = false;
    return path;
  }

  #random(within: number): number {
    return ((this.nic.stack.world.entropy.int32() >>> 0) / 2 ** 32) * within;
  }
}
