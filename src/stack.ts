// The stack: owns NICs, routes, sockets and memory, and turns a batch of frames into a batch of frames.
//
//   driver:  world.now = clock();  receive(nic)  →  advance()  →  flush()  →  events.drain()  →  sleep until nextDeadline()
//
// It does no I/O of its own, reads no clock and rolls no dice. Nothing in it calls into user code: what an owner must hear is posted to
// `events`. Commands (connect, write, send …) are given between batches; the first that leaves work behind calls `onWork`.

import type { Link } from './link/link.ts';
import { Loopback } from './link/loopback.ts';
import { FrameBatch, HEAD, LENGTH, STRIDE, VNET_LENGTH } from './mem/frame-batch.ts';
import { Memory, offsetOf } from './mem/memory.ts';
import type { NicAddress } from './net/conflict.ts';
import type { IcmpOptions } from './net/icmp.ts';
import { Icmp } from './net/icmp.ts';
import type { IcmpError } from './net/icmp-error.ts';
import { Identification } from './net/identification.ts';
import { Igmp } from './net/igmp.ts';
import { Input } from './net/input.ts';
import type { NicOptions } from './net/nic.ts';
import { Nic } from './net/nic.ts';
import type { Packet } from './net/packet.ts';
import type { Path } from './net/path.ts';
import { Paths } from './net/path.ts';
import { Pmtu } from './net/pmtu.ts';
import type { ReassemblyOptions } from './net/reassembly.ts';
import { Reassembly } from './net/reassembly.ts';
import { RouteTable } from './net/route.ts';
import { EventQueue } from './socket.ts';
import { Stats } from './stats.ts';
import type { TcpOptions } from './tcp/options.ts';
import { Tcp } from './tcp/tcp.ts';
import { TimerWheel } from './time/wheel.ts';
import type { UdpOptions } from './udp/udp.ts';
import { Udp } from './udp/udp.ts';
import type { Address, Ipv4 } from './wire/address.ts';
import { isLoopbackV4 } from './wire/address.ts';
import { HEADER } from './wire/ethernet.ts';
import * as ipv4 from './wire/ipv4.ts';
import * as vnet from './wire/vnet.ts';
import type { World } from './world.ts';

/** What IP hands packets and errors to. */
export interface Transport {
  input(packet: Packet): void;
  /** Someone reports a problem with a packet this protocol sent. */
  icmpError(error: IcmpError): void;
  /** Emit what input and commands have left to be sent. */
  flush?(): void;
  close?(): void;
}

export interface StackOptions {
  world: World;
  /** Upper bound in bytes for all buffers, default 512 MB. What is not used is not allocated. Or a memory of the stack's own, ready made. */
  memory?: number | Memory;
  /** Name of the host, for whoever asks. */
  hostname?: string;
  icmp?: IcmpOptions;
  udp?: UdpOptions;
  tcp?: TcpOptions;
  reassembly?: ReassemblyOptions;
  /** Accept packets with a source route (default false). */
  acceptSourceRoute?: boolean;
}

const RX_REGION = 2 * 1024 * 1024;
const RX_FRAMES = 256;
const SPARE_REGION = 256 * 1024;
/** How often one flush empties the loopback before it lets the driver have a turn. */
const LOOPBACK_ROUNDS = 32;

export class Stack {
  readonly world: World;
  readonly hostname: string;
  readonly memory: Memory;
  readonly wheel: TimerWheel;
  readonly stats = new Stats();
  readonly events = new EventQueue();
  readonly nics: Nic[] = [];
  readonly routes = new RouteTable();
  readonly pmtu = new Pmtu();
  readonly ids: Identification;
  /** A batch for whoever needs one for the length of a call. */
  readonly spare: FrameBatch;
  readonly loopback: Nic;
  readonly paths: Paths;
  readonly icmp: Icmp;
  readonly udp: Udp;
  readonly tcp: Tcp;
  readonly fragments: Reassembly;
  readonly ip: Input;
  /** By IP protocol number. */
  readonly transports: (Transport | null)[] = new Array<Transport | null>(256).fill(null);
  /** Called at most once between two flushes, when there is something to flush. */
  onWork: (() => void) | null = null;
  #workPending = false;
  #closed = false;
  /** Those of `transports` that flush. */
  #flushed: Transport[] = [];
  readonly #rx: FrameBatch;
  readonly #loopLink = new Loopback();
  readonly #addresses = new Map<Ipv4, NicAddress>();

  constructor(options: StackOptions) {
    this.world = options.world;
    this.hostname = options.hostname ?? 'tapstack';
    this.memory = options.memory instanceof Memory ? options.memory : new Memory(options.memory);
    this.wheel = new TimerWheel(this.world.now);
    this.ids = new Identification(this.world.entropy);
    this.#rx = new FrameBatch(this.memory, RX_REGION, RX_FRAMES);
    this.spare = new FrameBatch(this.memory, SPARE_REGION, RX_FRAMES);
    this.loopback = new Nic(this, this.#loopLink, { name: 'lo', mac: 0 }, true);
    this.nics.push(this.loopback);
    this.paths = new Paths(this);
    this.icmp = new Icmp(this, options.icmp);
    this.udp = new Udp(this, options.udp);
    this.tcp = new Tcp(this, options.tcp);
    this.attach(ipv4.PROTOCOL_ICMP, this.icmp);
    this.attach(ipv4.PROTOCOL_IGMP, new Igmp());
    this.attach(ipv4.PROTOCOL_UDP, this.udp);
    this.attach(ipv4.PROTOCOL_TCP, this.tcp);
    this.fragments = new Reassembly(this, options.reassembly);
    this.ip = new Input(this);
    this.ip.acceptSourceRoute = options.acceptSourceRoute === true;
    this.loopback.addAddress(0x7f000001, 8, { acd: 'off' });
  }

  /** Attach `link`. Give the NIC addresses with `nic.addAddress`. */
  addNic(link: Link, options: NicOptions = {}): Nic {
    if (options.name !== undefined && this.nics.some((nic) => nic.name === options.name))
      throw new RangeError(`NIC ${options.name}: there is one of that name`);
    const nic = new Nic(this, link, options);
    this.nics.push(nic);
    return nic;
  }

  /** Detach `nic` and close its link. */
  removeNic(nic: Nic): void {
    const at = this.nics.indexOf(nic);
    if (at < 0 || nic === this.loopback) return;
    this.nics.splice(at, 1);
    nic.close();
    this.routes.remove((route) => route.nic === nic);
  }

  /** Process one batch of what `nic` has received. Returns the number of frames. */
  receive(nic: Nic): number {
    const rx = this.#rx;
    const count = nic.device.receive(rx);
    if (!nic.up) return count;
    const { dv, bytes, desc } = rx;
    for (let i = 0; i < count; i++) {
      const at = i * STRIDE;
      this.ip.frame(nic, dv, bytes, offsetOf(desc[at + HEAD]), desc[at + LENGTH]);
    }
    return count;
  }

  /** Fire the timers that are due. */
  advance(): void {
    this.wheel.advance(this.world.now);
    this.pmtu.expire(this.world.now);
    this.routes.expire(this.world.now);
  }

  /** Send everything there is to send, to others and to ourselves. */
  flush(): void {
    this.#workPending = false;
    for (let round = 0; round < LOOPBACK_ROUNDS; round++) {
      for (const transport of this.#flushed) transport.flush?.();
      for (const nic of this.nics) nic.tx.flush();
      if (this.#loopLink.pending === 0) return;
      while (this.#loopLink.pending > 0 && this.receive(this.loopback) > 0) {}
    }
    this.touch();
  }

  /** When `advance` or `flush` next has work, µs; Infinity for never. */
  nextDeadline(): number {
    let next = Math.min(this.wheel.nextDeadline(), this.pmtu.nextExpiry, this.routes.nextExpiry);
    if (this.#workPending) next = Math.min(next, this.world.now);
    for (const nic of this.nics) if (nic.tx.backlog.length > 0) next = Math.min(next, this.world.now + RETRY);
    return next;
  }

  /** There is something to flush. */
  touch(): void {
    if (this.#workPending) return;
    this.#workPending = true;
    this.onWork?.();
  }

  /** Give a protocol its packets. */
  attach(protocol: number, transport: Transport): void {
    this.transports[protocol] = transport;
    this.#flushed = this.transports.filter((t): t is Transport => t?.flush !== undefined);
  }

  /** True when `address` is ours, on whatever NIC; all of 127.0.0.0/8 is. */
  isLocalAddress(address: Ipv4): boolean {
    return this.#addresses.has(address) || isLoopbackV4(address);
  }

  /** The NIC that has `address`, or null. */
  ownerOf(address: Ipv4): Nic | null {
    if (isLoopbackV4(address)) return this.loopback;
    return this.#addresses.get(address)?.nic ?? null;
  }

  /** True when a socket may be bound to `address`. */
  canBind(address: Address): boolean {
    return address.isV4 && this.isLocalAddress(address.w3);
  }

  /** Where packets without a better way go: the NIC of the default route, else the first that is up. */
  defaultNic(): Nic | null {
    const route = this.routes.lookup(0x08080808, null, this.world.now);
    return route?.nic ?? this.nics.find((nic) => nic.up && !nic.isLoopback) ?? null;
  }

  addressAdded(address: NicAddress): void {
    this.#addresses.set(address.address, address);
  }

  addressRemoved(address: NicAddress): void {
    this.#addresses.delete(address.address);
  }

  /** Let our own listeners hear the last frame of `batch`, sent to many on `path`. */
  loopBack(batch: FrameBatch, path: Path): void {
    if (path.isLocal) return;
    const i = batch.count - 1;
    // The loopback is in no VLAN: leave the tag out, and let the virtio header know.
    const tag = path.nic.headerLength - HEADER;
    const frame = new Uint8Array(VNET_LENGTH + batch.frameLength(i));
    batch.gather(i, frame, 0, true);
    const dv = new DataView(frame.buffer);
    if (tag > 0) {
      if (vnet.csumStart(dv, 0) > 0) dv.setUint16(6, vnet.csumStart(dv, 0) - tag, true);
      frame.copyWithin(VNET_LENGTH + 12, VNET_LENGTH + 12 + tag);
    }
    this.loopback.tx.resend(frame.subarray(0, frame.length - tag), 0);
  }

  /** End every connection and give every resource back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const transport of this.transports) transport?.close?.();
    this.flush();
    this.fragments.close();
    for (const nic of [...this.nics]) nic.close();
    this.nics.length = 0;
    this.#rx.release();
    this.spare.release();
  }
}

/** How long to wait before a device that was full is tried again, µs. */
const RETRY = 1000;
