// ICMP — RFC 792, RFC 1122 §3.2.2: answers queries, hands errors to the transports, sorts replies to sockets.

import { VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Stack } from '../stack.ts';
import { Address } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { IcmpError, judge } from './icmp-error.ts';
import { IcmpErrors } from './icmp-errors.ts';
import { IcmpSocket } from './icmp-socket.ts';
import type { Nic } from './nic.ts';
import { replyOptions } from './options.ts';
import type { Packet } from './packet.ts';
import { UNICAST } from './packet.ts';
import { plateauBelow } from './pmtu.ts';
import type { RateLimits } from './rate-limit.ts';
import { RateLimiter } from './rate-limit.ts';

export interface IcmpOptions {
  /** Answer address-mask requests (RFC 950). Default false: RFC 1122 §3.2.2.9 forbids it to who is not an agent for masks. */
  respondToAddressMask?: boolean;
  /** Answer echo requests to broadcast and multicast addresses. Default false (RFC 1122 §3.2.2.6 allows it; Smurf). */
  respondToBroadcast?: boolean;
  /** Believe redirects from the gateway in use (RFC 1122 §3.2.2.2). Default true. */
  acceptRedirects?: boolean;
  limits?: Partial<RateLimits>;
}

const DAY = 86_400_000_000;

export class Icmp {
  readonly stack: Stack;
  readonly errors: IcmpErrors;
  /** Told of every error about a packet of ours, whoever sent it, as a raw socket would be: for traceroute. They copy what they keep. */
  readonly observers = new Set<(error: IcmpError) => void>();
  readonly #options: IcmpOptions;
  readonly #error: IcmpError;
  readonly #replyFrom = new Address();
  readonly #replyTo = new Address();
  readonly #sockets = new Map<number, IcmpSocket>();

  constructor(stack: Stack, options: IcmpOptions = {}) {
    this.stack = stack;
    this.#options = options;
    this.#error = new IcmpError(stack.loopback, stack.spare.dv);
    this.errors = new IcmpErrors(stack, new RateLimiter(stack.world, options.limits));
  }

  /** A socket for echo requests with an identifier of its own; EADDRINUSE when all 65,536 are taken. */
  open(): IcmpSocket | number {
    return IcmpSocket.open(this, this.#sockets);
  }

  input(packet: Packet): void {
    const { stats } = this.stack;
    const { dv, transport } = packet;
    stats.icmpInMsgs++;
    const length = packet.ipEnd - transport;
    if (!packet.checksumPartial && !checksum.verify(dv, transport, length)) {
      stats.icmpInErrors++;
      stats.dropIcmpChecksum++;
      return;
    }
    if (icmpv4.check(dv, transport, packet.ipEnd) === 0) {
      stats.icmpInErrors++;
      stats.dropMalformedIcmp++;
      return;
    }
    switch (icmpv4.type(dv, transport)) {
      case icmpv4.ECHO:
        this.#echo(packet);
        return;
      case icmpv4.ECHO_REPLY:
        this.#sockets.get(icmpv4.id(dv, transport))?.onReply(packet);
        return;
      case icmpv4.TIMESTAMP:
        this.#timestamp(packet);
        return;
      case icmpv4.ADDRESS_MASK:
        this.#addressMask(packet);
        return;
      case icmpv4.REDIRECT:
        this.#redirect(packet);
        return;
      case icmpv4.DESTINATION_UNREACHABLE:
      case icmpv4.TIME_EXCEEDED:
      case icmpv4.PARAMETER_PROBLEM:
        this.#errorReport(packet);
        return;
      // Source quench: RFC 6633 §5 (M55). Information requests: RFC 1122 §3.2.2.7. Anything unknown: RFC 1122 §3.2.2, silently.
    }
  }

  /** No neighbour answered for `frame` (virtio header first), which `nic` was to send: tell its socket (RFC 1122 §2.3.2.2). */
  hostUnreachable(nic: Nic, frame: Uint8Array): void {
    const error = this.#error;
    const dv = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const ip = VNET_LENGTH + nic.headerLength;
    if (ipv4.check(dv, ip, frame.length) === 0) return;
    error.type = icmpv4.DESTINATION_UNREACHABLE;
    error.code = icmpv4.HOST_UNREACHABLE;
    error.mtu = 0;
    error.pointer = 0;
    error.nic = nic;
    error.from.setV4(ipv4.src(dv, ip));
    error.fromSelf = true;
    this.#dispatch(dv, ip, frame.length);
  }

  close(): void {
    for (const socket of [...this.#sockets.values()]) socket.close();
  }

  /** RFC 792, RFC 1122 §3.2.2.6: same identifier, sequence number and data, from the address that was asked. */
  #echo(packet: Packet): void {
    const { dv, bytes, transport, ip } = packet;
    if (!this.#mayAnswer(packet)) return;
    const { stack } = this;
    const { now } = stack.world;
    const own = packet.destination === UNICAST ? packet.dst.w3 : (packet.nic.sourceFor(packet.src.w3) ?? 0);
    const reply = replyOptions(dv, ip, packet.src.w3, own, this.#milliseconds(now));
    const path = this.#answerPath(packet, reply?.firstHop ?? null);
    if (path === null) return;
    path.tos = packet.tos;
    const { tx } = path.nic;
    const off = tx.begin(path, icmpv4.HEADER, reply === null ? null : reply.bytes);
    icmpv4.set(tx.dv, off, icmpv4.ECHO_REPLY, 0, icmpv4.rest(dv, transport));
    const data = transport + icmpv4.HEADER;
    tx.copy(bytes, data, packet.ipEnd - data);
    this.#commit(tx.commit(ipv4.PROTOCOL_ICMP, icmpv4.CHECKSUM_OFFSET, 0));
  }

  /** RFC 1122 §3.2.2.8 */
  #timestamp(packet: Packet): void {
    const { dv, transport } = packet;
    if (packet.ipEnd - transport < icmpv4.TIMESTAMP_LENGTH || !this.#mayAnswer(packet)) return;
    const path = this.#answerPath(packet, null);
    if (path === null) return;
    const { tx } = path.nic;
    const off = tx.begin(path, icmpv4.TIMESTAMP_LENGTH);
    const time = this.#milliseconds(this.stack.world.now);
    icmpv4.set(tx.dv, off, icmpv4.TIMESTAMP_REPLY, 0, icmpv4.rest(dv, transport));
    icmpv4.setTimestamps(tx.dv, off, icmpv4.originate(dv, transport), time, time);
    this.#commit(tx.commit(ipv4.PROTOCOL_ICMP, icmpv4.CHECKSUM_OFFSET, 0));
  }

  /** RFC 950, RFC 1122 §3.2.2.9 */
  #addressMask(packet: Packet): void {
    if (this.#options.respondToAddressMask !== true || !this.#mayAnswer(packet)) return;
    const own = packet.nic.addresses.find(
      (a) => a.usable && (packet.destination !== UNICAST || a.address === packet.dst.w3),
    );
    const path = own === undefined ? null : this.#answerPath(packet, null);
    if (own === undefined || path === null) return;
    const { tx } = path.nic;
    const off = tx.begin(path, icmpv4.MASK_LENGTH);
    icmpv4.set(tx.dv, off, icmpv4.ADDRESS_MASK_REPLY, 0, icmpv4.rest(packet.dv, packet.transport));
    icmpv4.setAddressMask(tx.dv, off, own.mask);
    this.#commit(tx.commit(ipv4.PROTOCOL_ICMP, icmpv4.CHECKSUM_OFFSET, 0));
  }

  /** RFC 1122 §3.2.2.2: from the gateway we use for that destination, to one on our link; nothing else can be honest. */
  #redirect(packet: Packet): void {
    const { stack } = this;
    const { dv, transport, nic } = packet;
    if (this.#options.acceptRedirects === false || packet.destination !== UNICAST) return;
    const quoted = transport + icmpv4.HEADER;
    if (packet.ipEnd - quoted < ipv4.MIN_HEADER || !nic.owns(ipv4.src(dv, quoted))) return;
    const gateway = icmpv4.gateway(dv, transport);
    const destination = ipv4.dst(dv, quoted);
    const route = stack.routes.lookup(destination, null, stack.world.now);
    if (route === null || route.nic !== nic || route.gateway !== packet.src.w3) return;
    if (!nic.isOnLink(gateway) || nic.isSubnetBroadcast(gateway) || nic.owns(gateway)) return;
    if (icmpv4.code(dv, transport) > icmpv4.REDIRECT_HOST_TOS) return;
    // RFC 1122 §3.2.2.2: a network redirect is treated as one for the host, since nobody knows the mask.
    stack.routes.redirect(destination, gateway, nic, route.source, stack.world.now);
  }

  #errorReport(packet: Packet): void {
    const { stats } = this.stack;
    const { dv, transport } = packet;
    const error = this.#error;
    const quoted = transport + icmpv4.HEADER;
    if (packet.ipEnd - quoted < ipv4.MIN_HEADER) {
      stats.icmpInErrors++;
      stats.dropMalformedIcmp++;
      return;
    }
    error.type = icmpv4.type(dv, transport);
    error.code = icmpv4.code(dv, transport);
    error.mtu = 0;
    error.pointer = error.type === icmpv4.PARAMETER_PROBLEM ? icmpv4.pointer(dv, transport) : 0;
    error.nic = packet.nic;
    error.from.set(packet.src);
    error.fromSelf = false;
    if (error.type === icmpv4.DESTINATION_UNREACHABLE && error.code === icmpv4.FRAGMENTATION_NEEDED) {
      const length = ipv4.totalLength(dv, quoted);
      const mtu = icmpv4.mtu(dv, transport);
      // RFC 1191 §5: routers that do not know it send zero; and none can mean to fit less than it says it refused.
      error.mtu = mtu >= 68 && mtu < length ? mtu : plateauBelow(length);
    }
    this.#dispatch(dv, quoted, packet.ipEnd);
  }

  /** Find whose packet [ip, end) quotes. */
  #dispatch(dv: DataView, ip: number, end: number): void {
    const { stack } = this;
    const error = this.#error;
    const header = ipv4.headerLength(dv, ip);
    // RFC 792: the header and eight bytes are always quoted; without them nobody can be found.
    if (ipv4.version(dv, ip) !== 4 || header < ipv4.MIN_HEADER || end - ip < header + 8 || !judge(error)) {
      stack.stats.icmpInErrors++;
      stack.stats.dropMalformedIcmp++;
      return;
    }
    error.local.setV4(ipv4.src(dv, ip));
    // RFC 5927 §4: about a packet that cannot have been ours.
    if (!stack.isLocalAddress(error.local.w3) && !error.fromSelf && !error.nic.isLoopback) return;
    if (ipv4.fragmentOffset(dv, ip) !== 0) return;
    error.remote.setV4(ipv4.dst(dv, ip));
    error.protocol = ipv4.protocol(dv, ip);
    error.totalLength = ipv4.totalLength(dv, ip);
    error.dv = dv;
    error.off = ip + header;
    error.quotedLength = end - error.off;
    for (const observer of this.observers) observer(error);
    stack.transports[error.protocol]?.icmpError(error);
  }

  /** Somebody's error quotes an ICMP message of ours. */
  icmpError(error: IcmpError): void {
    if (icmpv4.type(error.dv, error.off) !== icmpv4.ECHO) return;
    const socket = this.#sockets.get(icmpv4.id(error.dv, error.off));
    if (socket === undefined || !socket.onError(error)) return;
    if (error.mtu > 0) this.stack.pmtu.update(error.remote, error.mtu, this.stack.world.now);
  }

  /** RFC 1122 §3.2.2.6: queries to many are answered only when asked for. */
  #mayAnswer(packet: Packet): boolean {
    const many = packet.destination !== UNICAST || packet.linkBroadcast;
    return (!many || this.#options.respondToBroadcast === true) && packet.src.w3 !== 0;
  }

  #answerPath(packet: Packet, firstHop: number | null) {
    const { paths } = this.stack;
    if (firstHop === null) return paths.back(packet);
    const local = packet.destination === UNICAST ? this.#replyFrom.set(packet.dst) : null;
    return paths.borrow(this.#replyTo.setV4(firstHop), local);
  }

  #commit(result: number): void {
    if (result < 0) this.stack.stats.icmpOutErrors++;
    else this.stack.stats.icmpOutMsgs++;
  }

  /** Milliseconds since midnight UT (RFC 792). */
  #milliseconds(_now: number): number {
    return Math.floor((this.stack.world.wallClock() % DAY) / 1000);
  }
}
