// Echo requests from a program: what ping and traceroute are made of — RFC 792.
//
// A socket owns one echo identifier; replies and errors come back to it by that. Invariant: at most LIMIT reports wait.

import { EADDRINUSE, EBADF, EMSGSIZE } from '../errno.ts';
import { EV_CLOSED, EV_READABLE, Socket } from '../socket.ts';
import type { Ipv4 } from '../wire/address.ts';
import { Address } from '../wire/address.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as option from '../wire/ipv4-options.ts';
import type { Icmp } from './icmp.ts';
import type { IcmpError } from './icmp-error.ts';
import type { Packet } from './packet.ts';
import { DEFAULT_TTL } from './path.ts';

const LIMIT = 1024;
const LIMIT_BYTES = 1024 * 1024;
const MAX_PAYLOAD = ipv4.MAX_PACKET - ipv4.MIN_HEADER - icmpv4.HEADER;
const RECORD_SLOTS = 9; // what forty bytes of options hold

export interface EchoOptions {
  ttl?: number;
  tos?: number;
  /** Set DF: too large a request fails with EMSGSIZE, or comes back as "fragmentation needed". */
  dontFragment?: boolean;
  /** Ask every hop to put its address into the header (RFC 791 §3.1, `ping -R`). */
  recordRoute?: boolean;
  /** Source address; default: as routing says. */
  local?: Address;
}

/** A reply, or what somebody said about a request. */
export interface EchoReport {
  readonly kind: 'reply' | 'error';
  /** Who sent it. */
  readonly from: Address;
  /** The address the request went to: `from` in a reply. */
  readonly remote: Address;
  readonly seq: number;
  /** ICMP type and code. */
  readonly type: number;
  readonly code: number;
  /** Negative errno for an error, 0 for a reply. */
  readonly errno: number;
  /** Next-hop MTU, when the error is "fragmentation needed"; else 0. */
  readonly mtu: number;
  /** TTL of the packet that brought it; 0 when no packet did. */
  readonly ttl: number;
  /** The data of the reply; empty for an error. */
  readonly payload: Uint8Array;
  /** Addresses that were recorded on the way, when asked for. */
  readonly route: Address[];
  /** world.now when it came, µs. */
  readonly receivedAt: number;
}

export class IcmpSocket extends Socket {
  readonly id: number;
  readonly #icmp: Icmp;
  readonly #sockets: Map<number, IcmpSocket>;
  readonly #reports: EchoReport[] = [];
  #bytes = 0;
  #closed = false;

  private constructor(icmp: Icmp, sockets: Map<number, IcmpSocket>, id: number) {
    super();
    this.#icmp = icmp;
    this.#sockets = sockets;
    this.id = id;
    sockets.set(id, this);
  }

  /** @internal use `stack.icmp.open()` */
  static open(icmp: Icmp, sockets: Map<number, IcmpSocket>): IcmpSocket | number {
    const start = icmp.stack.world.entropy.int32();
    for (let i = 0; i < 65536; i++) {
      const id = (start + i) & 0xffff;
      if (!sockets.has(id)) return new IcmpSocket(icmp, sockets, id);
    }
    return EADDRINUSE;
  }

  /** Send an echo request. 0 or a negative errno. */
  sendEcho(remote: Address, seq: number, payload: Uint8Array, options: EchoOptions = {}): number {
    if (this.#closed) return EBADF;
    const { stack } = this.#icmp;
    const path = stack.paths.resolve(remote, options.local ?? null);
    if (typeof path === 'number') return path;
    const route = options.recordRoute === true ? recordRoute(path.local.w3) : null;
    if (payload.length > MAX_PAYLOAD - (route?.length ?? 0)) return EMSGSIZE;
    path.ttl = options.ttl ?? DEFAULT_TTL;
    path.tos = options.tos ?? 0;
    path.dontFragment = options.dontFragment === true;
    const { tx } = path.nic;
    const off = tx.begin(path, icmpv4.HEADER, route);
    icmpv4.setQuery(tx.dv, off, icmpv4.ECHO, this.id, seq & 0xffff);
    tx.copy(payload, 0, payload.length);
    const result = tx.commit(ipv4.PROTOCOL_ICMP, icmpv4.CHECKSUM_OFFSET, 0);
    if (result < 0) stack.stats.icmpOutErrors++;
    else stack.stats.icmpOutMsgs++;
    return result;
  }

  /** The oldest reply or error report; null when none waits. */
  receive(): EchoReport | null {
    const report = this.#reports.shift();
    if (report === undefined) return null;
    this.#bytes -= report.payload.length;
    return report;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sockets.delete(this.id);
    this.#reports.length = 0;
    this.#icmp.stack.events.post(this, EV_CLOSED);
  }

  /** @internal */
  onReply(packet: Packet): void {
    const { dv, transport, ip } = packet;
    const from = packet.src.clone();
    this.#post({
      kind: 'reply',
      from,
      remote: from,
      seq: icmpv4.seq(dv, transport),
      type: icmpv4.ECHO_REPLY,
      code: 0,
      errno: 0,
      mtu: 0,
      ttl: packet.ttl,
      payload: packet.bytes.slice(transport + icmpv4.HEADER, packet.ipEnd),
      route: recordedRoute(dv, ip),
      receivedAt: this.#icmp.stack.world.now,
    });
  }

  /** @internal Always true: the identifier in the quoted request was ours. */
  onError(error: IcmpError): boolean {
    this.#post({
      kind: 'error',
      from: error.from.clone(),
      remote: error.remote.clone(),
      seq: icmpv4.seq(error.dv, error.off),
      type: error.type,
      code: error.code,
      errno: error.errno,
      mtu: error.mtu,
      ttl: 0,
      payload: new Uint8Array(0),
      route: [],
      receivedAt: this.#icmp.stack.world.now,
    });
    return true;
  }

  #post(report: EchoReport): void {
    if (this.#reports.length >= LIMIT || this.#bytes + report.payload.length > LIMIT_BYTES) return;
    this.#bytes += report.payload.length;
    this.#reports.push(report);
    this.#icmp.stack.events.post(this, EV_READABLE);
  }
}

/** An empty record-route option with ourselves as first entry, as RFC 791's originating host does. */
function recordRoute(local: Ipv4): Uint8Array {
  const bytes = new Uint8Array(4 * (RECORD_SLOTS + 1));
  const dv = new DataView(bytes.buffer);
  const length = option.setRecordRoute(dv, 0, RECORD_SLOTS);
  option.routeRecord(dv, 0, length - 1, local);
  return bytes;
}

function recordedRoute(dv: DataView, ip: number): Address[] {
  const route: Address[] = [];
  const cursor = new option.OptionCursor();
  for (cursor.start(dv, ip); cursor.next(); ) {
    if (cursor.type !== option.RECORD_ROUTE) continue;
    const used = Math.min(option.pointer(dv, cursor.off) - 1, cursor.length);
    for (let at = 3; at + 4 <= used; at += 4) route.push(Address.v4(dv.getInt32(cursor.off + at)));
  }
  return route;
}
