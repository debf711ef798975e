// TCP — RFC 9293: segments to endpoints, commands to connections, dirty connections to the wire.
//
// Invariant: a connection that may have something to send is in the dirty list until the next `flush`.

import { EADDRINUSE, EADDRNOTAVAIL, EINVAL } from '../errno.ts';
import { Worklist } from '../mem/worklist.ts';
import type { IcmpError } from '../net/icmp-error.ts';
import type { Packet } from '../net/packet.ts';
import { UNICAST } from '../net/packet.ts';
import type { Path, Paths } from '../net/path.ts';
import type { EventQueue } from '../socket.ts';
import type { Stack, Transport } from '../stack.ts';
import type { Stats } from '../stats.ts';
import { Timer } from '../time/wheel.ts';
import type { Address } from '../wire/address.ts';
import { Address as AddressClass, isMulticastV4, LIMITED_BROADCAST } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import type { Seq } from '../wire/seq.ts';
import type { World } from '../world.ts';
import { SECOND } from '../world.ts';
import { TcpConnection } from './connection.ts';
import { Demux } from './demux.ts';
import { FastOpen } from './fast-open.ts';
import { Agreement } from './handshake.ts';
import { IsnGenerator } from './isn.ts';
import { ChallengeBudget, TokenBucket } from './limits.ts';
import { TcpListener } from './listener.ts';
import type { TcpMonitor } from './monitor.ts';
import type { ConnectionOptions, ConnectOptions, ListenOptions, ResolvedTcpOptions, TcpOptions } from './options.ts';
import { checkPort, resolveOptions } from './options.ts';
import { Header, PROTOCOL_TCP, parse, resetFor, send } from './output.ts';
import { EphemeralPorts } from './ports.ts';
import { ACK, RST, Segment, SYN } from './segment.ts';
import type { SenderOptions } from './sender.ts';
import { Embryo } from './syn-queue.ts';
import type { TimeWaitHost } from './time-wait.ts';
import { isnAfter, TimeWaitEntry, TimeWaitTable } from './time-wait.ts';

/** A ring nobody has used for this long is given back. */
const SWEEP_INTERVAL = SECOND;

export class Tcp extends Timer implements Transport, TimeWaitHost {
  readonly stack: Stack;
  readonly options: ResolvedTcpOptions;
  readonly demux: Demux<TcpListener>;
  readonly isn: IsnGenerator;
  readonly ports: EphemeralPorts;
  readonly timeWait: TimeWaitTable;
  readonly fastOpen: FastOpen;
  /** Told what becomes of connections. */
  monitor: TcpMonitor | null = null;
  readonly challenges: ChallengeBudget;
  /** Scratch, for whoever builds a header right now. */
  readonly header = new Header();
  readonly agreement = new Agreement();
  readonly #resets: TokenBucket;
  readonly #segment = new Segment();
  #dirty = new Worklist<TcpConnection>();
  #spare = new Worklist<TcpConnection>();
  #idle: TcpConnection[] = [];

  /** @throws RangeError when an option is out of range */
  constructor(stack: Stack, options: TcpOptions = {}) {
    super();
    this.stack = stack;
    this.options = resolveOptions(options);
    const { entropy } = stack.world;
    this.demux = new Demux(entropy);
    this.isn = new IsnGenerator(entropy);
    this.fastOpen = new FastOpen(this.isn);
    this.ports = new EphemeralPorts(this.options.firstPort, this.options.lastPort, this.isn, entropy);
    this.timeWait = new TimeWaitTable(
      this,
      this.options.timeWait,
      this.options.timeWaitMax,
      this.options.answerInterval,
    );
    this.challenges = new ChallengeBudget(this.options.challengeAcks, entropy);
    this.#resets = new TokenBucket(this.options.resets, this.options.resets);
  }

  get world(): World {
    return this.stack.world;
  }

  get stats(): Stats {
    return this.stack.stats;
  }

  get memory() {
    return this.stack.memory;
  }

  get wheel() {
    return this.stack.wheel;
  }

  get events(): EventQueue {
    return this.stack.events;
  }

  get paths(): Paths {
    return this.stack.paths;
  }

  /** Something was done between batches that wants a flush. */
  touch(): void {
    this.stack.touch();
  }

  // ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Passive OPEN: RFC 9293 §3.10.1. Connections stay as they are (MUST-41). A negative errno: the address is not ours, or taken. */
  listen(options: ListenOptions): TcpListener | number {
    const local = options.local?.clone() ?? new AddressClass().setV4(0);
    if (checkPort(options.port, 0) < 0) return EINVAL;
    if (!local.isUnspecified && !this.stack.canBind(local)) return EADDRNOTAVAIL;
    let { port } = options;
    if (port === 0) port = this.ports.chooseAny((candidate) => this.demux.canListen(local, candidate));
    if (port === 0) return EADDRINUSE;
    const listener = new TcpListener(this, local, port, options);
    const errno = this.demux.addListener(listener);
    return errno < 0 ? errno : listener;
  }

  /** Active OPEN: RFC 9293 §3.10.1. A negative errno when there is no way or no port. */
  connect(options: ConnectOptions): TcpConnection | number {
    const { remote, remotePort } = options;
    if (checkPort(remotePort, 1) < 0 || checkPort(options.localPort ?? 0, 0) < 0) return EINVAL;
    // RFC 9293 §3.9.1.1: a connection has one peer (MUST-46). As on Linux, 0.0.0.0 means ourselves.
    if (remote.isV4 && (isMulticastV4(remote.v4) || remote.v4 === LIMITED_BROADCAST)) return EINVAL;
    const target = remote.isUnspecified ? new AddressClass().setV4(0x7f000001) : remote;
    const path = this.paths.resolve(target, options.local ?? null);
    if (typeof path === 'number') return path;
    if (path.kind !== UNICAST) return EINVAL;
    const { local } = path;
    const isFree = (port: number): boolean =>
      this.demux.find(local, port, target, remotePort) === null && this.demux.canListen(local, port);
    // Only when nothing else is left: a port whose last connection to there is in TIME-WAIT (RFC 6191 §2).
    const isReusable = (port: number): boolean =>
      this.#reusable(local, port, target, remotePort, options) !== null && this.demux.canListen(local, port);
    let localPort = options.localPort ?? 0;
    if (localPort === 0) localPort = this.ports.choose(local, target, remotePort, isFree);
    if (localPort === 0) localPort = this.ports.choose(local, target, remotePort, isReusable);
    if (localPort === 0) return EADDRNOTAVAIL;
    const old = this.#reusable(local, localPort, target, remotePort, options);
    if (old !== null) {
      this.timeWait.remove(old);
      this.stats.tcpTimeWaitReused++;
    }
    if (this.demux.find(local, localPort, target, remotePort) !== null) return EADDRINUSE;
    const connection = new TcpConnection(this, path, localPort, remotePort, options);
    this.demux.flows.add(connection);
    this.stats.tcpActiveOpens++;
    connection.open(this.world.now, options.fastOpen === true, old);
    this.touch();
    return connection;
  }

  /**
   * The TIME-WAIT of this four-tuple, when a new connection may take its place: RFC 6191 §2, RFC 7323 §5.8. Our timestamps of the new one are
   * beyond any of the old one's, by which its stray segments are told apart; 1 s covers a peer whose clock of us is coarse, as in Linux.
   */
  #reusable(
    local: Address,
    port: number,
    remote: Address,
    remotePort: number,
    options: ConnectionOptions,
  ): TimeWaitEntry | null {
    const entry = this.demux.find(local, port, remote, remotePort);
    if (!(entry instanceof TimeWaitEntry) || !entry.usesTimestamps) return null;
    if (!(options.timestamps ?? this.options.timestamps)) return null;
    return this.world.now - (entry.deadline - this.options.timeWait) > SECOND ? entry : null;
  }

  // ── Input ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  input(packet: Packet): void {
    const { stats } = this;
    // RFC 9293 §3.9.2.2 (MUST-57): nothing sent to many is ever answered.
    if (packet.destination !== UNICAST || packet.linkBroadcast) {
      stats.tcpInSegs++;
      stats.dropTcpBroadcast++;
      return;
    }
    const segment = this.#segment;
    if (!parse(packet, segment)) {
      stats.tcpInSegs++;
      stats.tcpInErrs++;
      stats.dropMalformedTcp++;
      return;
    }
    stats.tcpInSegs += segment.count;
    // RFC 9293 §3.1 (MUST-3)
    if (!packet.checksumVerified) {
      const length = packet.ipEnd - packet.transport;
      const pseudo = checksum.pseudo(packet.src, packet.dst, PROTOCOL_TCP, length);
      if (!checksum.verify(packet.dv, packet.transport, length, pseudo)) {
        stats.tcpInErrs++;
        stats.dropTcpChecksum++;
        return;
      }
    }
    const { now } = this.world;
    const endpoint = this.demux.find(packet.dst, segment.dstPort, packet.src, segment.srcPort);
    if (endpoint !== null) endpoint.receive(segment, packet, now);
    else this.#arrivesForNobody(segment, packet, now, null);
  }

  /** LISTEN, or CLOSED: RFC 9293 §3.10.7.1–2. */
  #arrivesForNobody(segment: Segment, packet: Packet, now: number, isnFloor: ((isn: Seq) => Seq) | null): void {
    const { src, dst } = packet;
    // MUST-63: nobody can be at such an address; and whoever claims to be us, on our port, is a LAND attack.
    const isNowhere = src.isUnspecified || (src.isV4 && (isMulticastV4(src.v4) || src.v4 === LIMITED_BROADCAST));
    if (isNowhere || segment.srcPort === 0 || (src.equals(dst) && segment.srcPort === segment.dstPort)) {
      this.stats.dropMartianSource++;
      return;
    }
    const listener = this.demux.listener(dst, segment.dstPort);
    if (listener !== null) listener.receive(segment, packet, now, isnFloor);
    else this.refuse(segment, packet);
  }

  /** An ICMP error that quotes a segment of ours — RFC 9293 §3.9.2.2 (MUST-54), RFC 5927. */
  icmpError(error: IcmpError): void {
    if (error.quotedLength < 8) return;
    const { dv, off } = error;
    const endpoint = this.demux.find(error.local, dv.getUint16(off), error.remote, dv.getUint16(off + 2));
    if (endpoint instanceof TcpConnection || endpoint instanceof Embryo)
      endpoint.icmpError(error, dv.getInt32(off + 4));
  }

  /** The connection made of an acknowledged SYN,ACK; null when there is no way back to its peer. */
  create(packet: Packet, segment: Segment, options: ConnectionOptions): TcpConnection | null {
    const path = this.paths.resolve(packet.src, packet.dst);
    if (typeof path === 'number') return null;
    const connection = new TcpConnection(this, path, segment.dstPort, segment.srcPort, options);
    this.demux.flows.add(connection);
    return connection;
  }

  // ── Output ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Answer with a reset a segment that belongs to nobody — RFC 9293 §3.10.7.1. */
  refuse(segment: Segment, packet: Packet): void {
    if ((segment.flags & RST) !== 0) return;
    const path = this.paths.back(packet);
    if (path !== null) this.reset(path, segment);
  }

  /** Send `segment`'s sender a reset over `path`. */
  reset(path: Path, segment: Segment): void {
    if ((segment.flags & RST) !== 0 || !this.#resets.take(this.world.now)) return;
    send(path, resetFor(this.header, segment), this.stats);
  }

  /** Have `connection` asked at the next flush what it has to send. */
  markDirty(connection: TcpConnection): void {
    if (connection.dirty) return;
    connection.dirty = true;
    this.#dirty.push(connection);
  }

  flush(): void {
    // Flushing makes nothing dirty, so one pass is all.
    const batch = this.#dirty;
    if (batch.count === 0) return;
    this.#dirty = this.#spare;
    const { now } = this.world;
    for (let i = 0; i < batch.count; i++) {
      const connection = batch.take(i);
      if (connection === null) continue;
      connection.dirty = false;
      connection.flush(now);
    }
    batch.clear();
    this.#spare = batch;
  }

  /** TSval of a segment with timestamp offset `tsOffset`. */
  tsVal(tsOffset: number, now: number): number {
    return (Math.floor(now / 1000) + tsOffset) | 0;
  }

  senderOptions(options: ConnectionOptions): SenderOptions {
    return { ...this.options, ...options };
  }

  // ── TIME-WAIT ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `connection`, which has left the demultiplexer, waits 2 MSL. */
  remember(connection: TcpConnection, now: number): void {
    const entry = this.timeWait.add(connection, now);
    if (entry !== null) this.demux.flows.add(entry);
  }

  forget(entry: TimeWaitEntry): void {
    this.demux.flows.remove(entry);
  }

  acknowledge(entry: TimeWaitEntry, packet: Packet, now: number): void {
    const path = this.paths.back(packet);
    if (path === null) return;
    const header = this.header.reset(entry.localPort, entry.remotePort);
    header.seq = entry.sndNxt;
    header.ack = entry.rcvNxt;
    header.flags = ACK;
    header.window = entry.window;
    header.timestamps = entry.usesTimestamps;
    header.tsVal = this.tsVal(entry.tsOffset, now);
    header.tsEcr = entry.tsRecent;
    send(path, header, this.stats);
  }

  reopen(entry: TimeWaitEntry, segment: Segment, packet: Packet, now: number): void {
    this.#arrivesForNobody(segment, packet, now, (isn) => isnAfter(isn, entry));
  }

  /** True when somebody listens where `segment` goes: only then may it end a TIME-WAIT. */
  isWanted(segment: Segment, packet: Packet): boolean {
    return (segment.flags & SYN) !== 0 && this.demux.listener(packet.dst, segment.dstPort) !== null;
  }

  // ── Housekeeping ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `connection` is over. */
  remove(connection: TcpConnection): void {
    this.demux.flows.remove(connection);
  }

  /** `connection` has been read empty: take its ring back unless it is soon used again. */
  sweepLater(connection: TcpConnection): void {
    if (connection.swept) return;
    connection.swept = true;
    this.#idle.push(connection);
    if (this.deadline === Infinity) this.wheel.arm(this, this.world.now + SWEEP_INTERVAL);
  }

  /** Sweep: an idle connection owns no ring. */
  override onTimer(now: number): void {
    this.#idle = this.#idle.filter((connection) => {
      const { receiver } = connection;
      const isBusy = now - receiver.lastDataAt < SWEEP_INTERVAL;
      if (isBusy) return true;
      receiver.trim();
      connection.swept = false;
      return false;
    });
    if (this.#idle.length > 0) this.wheel.arm(this, now + SWEEP_INTERVAL);
  }

  /** Every connection in the demultiplexer, in no order. */
  connections(): TcpConnection[] {
    return this.demux.flows.entries().filter((endpoint) => endpoint instanceof TcpConnection);
  }

  listeners(): TcpListener[] {
    return this.demux.listeners();
  }

  /** Every endpoint with its state, for `ss`: connections, SYN queues and TIME-WAIT. */
  endpoints(): { local: Address; localPort: number; remote: Address; remotePort: number; state: number }[] {
    return this.demux.flows.entries();
  }

  /** Reset every connection and forget the rest. */
  close(): void {
    for (const listener of this.listeners()) listener.close();
    for (const connection of this.connections()) connection.destroy();
    this.timeWait.clear();
    this.wheel.remove(this);
    this.#idle.length = 0;
  }
}
