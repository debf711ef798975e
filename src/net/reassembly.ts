// Fragments become datagrams — RFC 791 §3.2, RFC 1122 §3.3.2, RFC 5722.
//
// A datagram under construction is one block of memory: room for an IP header, then the payload at its final place. A bitmap of
// eight-byte units says what is there, a second one where fragments began, so any order costs the same and overlap is one look.
//
//   block:  | pad 2 | Ethernet 14 … | IP header of fragment 0, up to 60 | payload …            |
//   units:                                                                1 1 1 1 0 0 1 1 1 …
//
// A fragment that overlaps another and is not an exact copy of it condemns the whole datagram: RFC 5722 §4 decides so for IPv6, because any
// rule which bytes to keep lets a sender show one datagram to a firewall and another to us; the same holds for IPv4.
//
// Invariant: `bytes` is the sum of the blocks' sizes and never exceeds the limit; a datagram is in the table or has no block.

import type { Addr } from '../mem/memory.ts';
import { blockSize, offsetOf, slabOf } from '../mem/memory.ts';
import type { Stack } from '../stack.ts';
import { Timer } from '../time/wheel.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { SECOND } from '../world.ts';
import type { Nic } from './nic.ts';
import type { Packet } from './packet.ts';

const TIMEOUT = 60 * SECOND; // RFC 1122 §3.3.2 (between 60 and 120 s), RFC 791's is lower
const LEAD = 16; // in front of the header, so that offsets of an Ethernet header stay inside the block
const HEADER_ROOM = LEAD + ipv4.MAX_HEADER;
const UNITS = 8192;
const WORDS = UNITS >> 5;
const MAX_DATAGRAMS = 256;

export interface ReassemblyOptions {
  /** Bytes all unfinished datagrams together may take, default 4 MB as Linux's ipfrag_high_thresh. */
  limit?: number;
}

export class Reassembly {
  readonly #stack: Stack;
  readonly #limit: number;
  /** By a string of the four values that identify a datagram; fragments are rare enough for that. Oldest first. */
  readonly #datagrams = new Map<string, Datagram>();
  /** Bytes in blocks. */
  bytes = 0;
  #spare: Datagram | null = null;

  constructor(stack: Stack, options: ReassemblyOptions = {}) {
    this.#stack = stack;
    this.#limit = options.limit ?? 4 * 1024 * 1024;
  }

  /** Datagrams under construction. */
  get size(): number {
    return this.#datagrams.size;
  }

  /** Take the fragment in `packet`. True when it was the last missing one: then `packet` is the whole datagram, valid until the next call. */
  add(packet: Packet): boolean {
    const { stats } = this.#stack;
    this.#release();
    stats.ipReasmReqds++;
    const { dv, ip } = packet;
    const from = ipv4.fragmentOffset(dv, ip);
    const more = ipv4.moreFragments(dv, ip);
    const length = packet.ipEnd - packet.transport;
    const end = from + length;
    // All but the last are multiples of eight; nothing is empty, and no whole exceeds 65,535 bytes (the ping of death).
    if (length === 0 || (more && (length & 7) !== 0) || end + packet.transport - ip > ipv4.MAX_PACKET) {
      stats.dropFragmentInvalid++;
      if (more && (length & 7) !== 0) {
        const rest = icmpv4.restOfPointer(2); // RFC 8200 §4.5 points at the length; RFC 1812 §5.2.2 allows it for IPv4
        this.#stack.icmp.errors.send(packet, icmpv4.PARAMETER_PROBLEM, icmpv4.POINTER_INDICATES, rest);
      }
      return false;
    }
    const key = `${packet.src.w3},${packet.dst.w3},${packet.protocol},${ipv4.id(dv, ip)}`;
    let datagram = this.#datagrams.get(key) ?? null;
    if (datagram?.condemned === true) {
      stats.dropFragmentOverlap++;
      return false;
    }
    datagram ??= this.#begin(key, packet);
    const verdict = datagram.accepts(from, end, more);
    if (verdict === DUPLICATE) {
      stats.dropFragmentInvalid++;
      return false;
    }
    if (verdict === OVERLAP || verdict === BEYOND) {
      if (verdict === OVERLAP) stats.dropFragmentOverlap++;
      else stats.dropFragmentInvalid++;
      // It stays in the table as a tombstone, so that the pieces still to come start no new datagram.
      this.#condemn(datagram);
      return false;
    }
    if (!this.#grow(datagram, HEADER_ROOM + end)) {
      stats.dropFragmentMemory++;
      return false;
    }
    this.#stack.memory.bytes[slabOf(datagram.block)].set(
      packet.bytes.subarray(packet.transport, packet.ipEnd),
      offsetOf(datagram.block) + HEADER_ROOM + from,
    );
    datagram.record(from, end, more);
    if (ipv4.ecn(dv, ip) === ipv4.ECN_CE) datagram.congestion = ipv4.ECN_CE;
    if (from === 0) datagram.keepHeader(packet);
    if (!datagram.isComplete) return false;
    this.#finish(datagram, packet);
    return true;
  }

  /** A datagram has waited long enough. */
  expire(datagram: Datagram): void {
    const { stats, icmp } = this.#stack;
    if (!datagram.condemned) {
      stats.ipReasmTimeouts++;
      stats.ipReasmFails++;
      // RFC 792, RFC 1122 §3.3.2: only who has fragment zero can say whose packet it was.
      const first = datagram.firstFragment;
      if (first !== null)
        icmp.errors.sendAbout(datagram.nic, first, icmpv4.TIME_EXCEEDED, icmpv4.REASSEMBLY_EXCEEDED, 0);
    }
    this.#drop(datagram);
  }

  close(): void {
    this.#release();
    for (const datagram of [...this.#datagrams.values()]) this.#drop(datagram);
  }

  #begin(key: string, packet: Packet): Datagram {
    if (this.#datagrams.size >= MAX_DATAGRAMS) this.#evict();
    const datagram = new Datagram(this, key, packet);
    this.#datagrams.set(key, datagram);
    this.#stack.wheel.arm(datagram, this.#stack.world.now + TIMEOUT);
    return datagram;
  }

  /** Let the block of `datagram` hold `length` bytes, at the expense of older datagrams. */
  #grow(datagram: Datagram, length: number): boolean {
    const { memory } = this.#stack;
    if (length <= datagram.size) return true;
    const size = blockSize(length);
    while (this.bytes + size - datagram.size > this.#limit) if (!this.#evict(datagram)) return false;
    const block = memory.alloc(size);
    if (block < 0) return false;
    if (datagram.block >= 0) {
      memory.copy(block, datagram.block, datagram.size);
      memory.free(datagram.block, datagram.size);
    }
    this.bytes += size - datagram.size;
    datagram.block = block;
    datagram.size = size;
    return true;
  }

  #evict(except: Datagram | null = null): boolean {
    for (const datagram of this.#datagrams.values()) {
      if (datagram === except) continue;
      if (!datagram.condemned) {
        this.#stack.stats.dropFragmentMemory++;
        this.#stack.stats.ipReasmFails++;
      }
      this.#drop(datagram);
      return true;
    }
    return false;
  }

  #condemn(datagram: Datagram): void {
    this.#stack.stats.ipReasmFails++;
    datagram.condemned = true;
    this.#free(datagram);
  }

  #drop(datagram: Datagram): void {
    this.#datagrams.delete(datagram.key);
    this.#stack.wheel.remove(datagram);
    this.#free(datagram);
  }

  #free(datagram: Datagram): void {
    if (datagram.block < 0) return;
    this.#stack.memory.free(datagram.block, datagram.size);
    this.bytes -= datagram.size;
    datagram.block = -1;
    datagram.size = 0;
  }

  /** Make `packet` the whole datagram. Its block lives until the next fragment comes. */
  #finish(datagram: Datagram, packet: Packet): void {
    const { memory, stats, wheel } = this.#stack;
    stats.ipReasmOKs++;
    const header = datagram.header;
    const slab = slabOf(datagram.block);
    const transport = offsetOf(datagram.block) + HEADER_ROOM;
    packet.bytes = memory.bytes[slab];
    packet.dv = memory.views[slab];
    packet.transport = transport;
    packet.ip = transport - header.length;
    packet.ipEnd = transport + datagram.total;
    packet.frame = packet.ip - LEAD;
    packet.frameEnd = packet.ipEnd;
    packet.bytes.set(header, packet.ip);
    ipv4.setTotalLength(packet.dv, packet.ip, header.length + datagram.total);
    ipv4.setFragment(packet.dv, packet.ip, 0);
    ipv4.updateChecksum(packet.dv, packet.ip);
    packet.ttl = ipv4.ttl(packet.dv, packet.ip);
    packet.tos = ipv4.tos(packet.dv, packet.ip) | datagram.congestion;
    packet.checksumVerified = false;
    packet.checksumPartial = false;
    packet.gsoSize = 0;
    packet.linkBroadcast = datagram.linkBroadcast;
    packet.reassembled = true;
    this.#datagrams.delete(datagram.key);
    wheel.remove(datagram);
    this.#spare = datagram;
  }

  #release(): void {
    if (this.#spare === null) return;
    this.#free(this.#spare);
    this.#spare = null;
  }
}

const NEW = 0;
const DUPLICATE = 1;
const OVERLAP = 2;
/** Behind the end that another fragment gave, or a second, different end. */
const BEYOND = 3;

class Datagram extends Timer {
  readonly key: string;
  readonly nic: Nic;
  readonly #owner: Reassembly;
  block: Addr = -1;
  size = 0;
  condemned = false;
  linkBroadcast: boolean;
  /** RFC 3168 §5.3: one fragment marked with Congestion Experienced marks the datagram. */
  congestion = 0;
  /** Payload length, known when the last fragment is there; -1 before. */
  total = -1;
  header = new Uint8Array(0);
  /** Fragment 0's header and the start of its payload, to quote in a Time Exceeded. */
  firstFragment: Uint8Array | null = null;
  #highest = 0;
  #have = 0;
  readonly #units = new Int32Array(WORDS);
  readonly #starts = new Int32Array(WORDS);

  constructor(owner: Reassembly, key: string, packet: Packet) {
    super();
    this.#owner = owner;
    this.key = key;
    this.nic = packet.nic;
    this.linkBroadcast = packet.linkBroadcast;
  }

  get isComplete(): boolean {
    return this.total >= 0 && this.#have === (this.total + 7) >> 3;
  }

  accepts(from: number, end: number, more: boolean): number {
    const first = from >> 3;
    const last = (end + 7) >> 3;
    let present = 0;
    for (let unit = first; unit < last; unit++) if (bit(this.#units, unit)) present++;
    if (present > 0) return this.#isCopy(first, last, end, more, present) ? DUPLICATE : OVERLAP;
    if (this.total >= 0 && (end > this.total || !more)) return BEYOND;
    return !more && this.#highest > end ? BEYOND : NEW;
  }

  record(from: number, end: number, more: boolean): void {
    const last = (end + 7) >> 3;
    for (let unit = from >> 3; unit < last; unit++) this.#units[unit >> 5] |= 1 << (unit & 31);
    this.#starts[from >> 8] |= 1 << ((from >> 3) & 31);
    this.#have += last - (from >> 3);
    this.#highest = Math.max(this.#highest, end);
    if (!more) this.total = end;
  }

  keepHeader(packet: Packet): void {
    this.header = packet.bytes.slice(packet.ip, packet.transport);
    this.firstFragment = packet.bytes.slice(packet.ip, Math.min(packet.ipEnd, packet.ip + 576));
  }

  onTimer(): void {
    this.#owner.expire(this);
  }

  /** [first, last) is exactly one fragment received before. */
  #isCopy(first: number, last: number, end: number, more: boolean, present: number): boolean {
    if (present !== last - first || !bit(this.#starts, first)) return false;
    for (let unit = first + 1; unit < last; unit++) if (bit(this.#starts, unit)) return false;
    if (!more || end === this.total) return !more && end === this.total;
    return !bit(this.#units, last) || bit(this.#starts, last);
  }
}

const bit = (words: Int32Array, i: number): boolean => (words[i >> 5] & (1 << (i & 31))) !== 0;
