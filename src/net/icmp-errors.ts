// The errors we send — RFC 792, with the rules of RFC 1122 §3.2.2, §3.3.8 and RFC 1812 §4.3.2 about when to keep silent.

import type { Stack } from '../stack.ts';
import type { Ipv4 } from '../wire/address.ts';
import { Address, isLoopbackV4 } from '../wire/address.ts';
import * as gso from '../wire/gso.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import type { Nic } from './nic.ts';
import type { Packet } from './packet.ts';
import { UNICAST } from './packet.ts';
import type { RateLimiter } from './rate-limit.ts';

/** RFC 1812 §4.3.2.3: as much of the packet as fits without the message exceeding this. */
const MAX_MESSAGE = 576;
const QUOTE = MAX_MESSAGE - ipv4.MIN_HEADER - icmpv4.HEADER;
const TOS_INTERNETWORK_CONTROL = 0xc0; // RFC 1812 §4.3.2.5

export class IcmpErrors {
  readonly #stack: Stack;
  readonly #limiter: RateLimiter;
  readonly #from = new Address();
  readonly #to = new Address();

  constructor(stack: Stack, limiter: RateLimiter) {
    this.#stack = stack;
    this.#limiter = limiter;
  }

  /** Complain to the sender of `packet`, unless one of the rules forbids it. `rest` is the second word of the message. */
  send(packet: Packet, type: number, code: number, rest: number): void {
    // RFC 1122 §3.2.2: never about what was sent to many, at either layer.
    if (packet.destination !== UNICAST || packet.linkBroadcast) return;
    // A host on our own machine leaves the checksum to us; what we quote is the packet as it would be on a wire.
    if (packet.checksumPartial) {
      gso.completeChecksum(packet.dv, packet.frame, packet.frameEnd - packet.frame);
      packet.checksumPartial = false;
    }
    this.#send(packet.nic, packet.dv, packet.bytes, packet.ip, packet.ipEnd, type, code, rest);
  }

  /** The same about `quoted`, the start of a unicast packet that is no longer at hand. */
  sendAbout(nic: Nic, quoted: Uint8Array, type: number, code: number, rest: number): void {
    const dv = new DataView(quoted.buffer, quoted.byteOffset, quoted.byteLength);
    if (nic.classify(ipv4.dst(dv, 0)) === UNICAST) this.#send(nic, dv, quoted, 0, quoted.length, type, code, rest);
  }

  #send(
    nic: Nic,
    dv: DataView,
    bytes: Uint8Array,
    ip: number,
    end: number,
    type: number,
    code: number,
    rest: number,
  ): void {
    const stack = this.#stack;
    const { stats } = stack;
    // RFC 1122 §3.2.2: not about any fragment but the first, ...
    if (ipv4.fragmentOffset(dv, ip) !== 0) return;
    // ... not to a source that is not one host, ...
    const to = ipv4.src(dv, ip);
    if (!isSingleHost(nic, to)) return;
    // ... and never about another error. Types we do not know count as one: RFC 1812 §4.3.2.7.
    const header = ipv4.headerLength(dv, ip);
    if (ipv4.protocol(dv, ip) === ipv4.PROTOCOL_ICMP && (ip + header >= end || !isQuery(dv.getUint8(ip + header))))
      return;
    if (!this.#limiter.take(to)) {
      stats.icmpOutRateLimited++;
      return;
    }
    const dst = ipv4.dst(dv, ip);
    const own = stack.isLocalAddress(dst) || isLoopbackV4(dst);
    const path = stack.paths.borrow(this.#to.setV4(to), own ? this.#from.setV4(dst) : null);
    if (path === null) {
      stats.icmpOutErrors++;
      return;
    }
    path.tos = TOS_INTERNETWORK_CONTROL;
    const { tx } = path.nic;
    const off = tx.begin(path, icmpv4.HEADER);
    icmpv4.set(tx.dv, off, type, code, rest);
    tx.copy(bytes, ip, Math.min(end - ip, QUOTE));
    if (tx.commit(ipv4.PROTOCOL_ICMP, icmpv4.CHECKSUM_OFFSET, 0) < 0) stats.icmpOutErrors++;
    else stats.icmpOutMsgs++;
  }
}

/** RFC 1122 §3.2.2: not zero, loopback (but over loopback itself), broadcast, multicast or class E. */
function isSingleHost(nic: Nic, address: Ipv4): boolean {
  if (isLoopbackV4(address)) return nic.isLoopback;
  return address >>> 24 !== 0 && address >>> 28 < 14 && !nic.isSubnetBroadcast(address);
}

/** Types known to be no error. */
const isQuery = (type: number): boolean =>
  type === icmpv4.ECHO ||
  type === icmpv4.ECHO_REPLY ||
  type === icmpv4.ROUTER_ADVERTISEMENT ||
  type === icmpv4.ROUTER_SOLICITATION ||
  (type >= icmpv4.TIMESTAMP && type <= icmpv4.ADDRESS_MASK_REPLY);
