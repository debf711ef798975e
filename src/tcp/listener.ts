// A listening socket — RFC 9293 §3.10.1 (passive OPEN), §3.10.7.2 (LISTEN), RFC 4987.
//
//   SYN ──► SYN queue (Embryo) ──ACK──► accept queue (TcpConnection) ──► accept()
//
// Invariant: `embryos` is the size of the SYN queue, at most the limit; the accept queue holds at most `backlog` connections.

import type { Packet } from '../net/packet.ts';
import type { Path } from '../net/path.ts';
import { EV_CLOSED, EV_READABLE, Socket } from '../socket.ts';
import type { Stats } from '../stats.ts';
import type { Address } from '../wire/address.ts';
import { Address as AddressClass } from '../wire/address.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd } from '../wire/seq.ts';
import { SECOND } from '../world.ts';
import type { TcpConnection } from './connection.ts';
import * as cookie from './cookie.ts';
import type { Listening } from './demux.ts';
import type { EcnMode } from './ecn.ts';
import { ECN_FIELD, isSetupSyn, SETUP_SYN_ACK } from './ecn.ts';
import { findOption } from './fast-open.ts';
import type { Offer } from './handshake.ts';
import { Agreement, offeredMss, windowShift } from './handshake.ts';
import type { ListenOptions } from './options.ts';
import { DEFAULT_BACKLOG, DEFAULT_FAST_OPEN_QUEUE, INITIAL_RECEIVE_BUFFER } from './options.ts';
import type { Header } from './output.ts';
import { send } from './output.ts';
import type { Segment } from './segment.ts';
import { ACK, RST, SYN } from './segment.ts';
import * as states from './states.ts';
import { Embryo } from './syn-queue.ts';
import type { Tcp } from './tcp.ts';

/** How long after the last cookie was sent one may come back. */
const COOKIE_LIFETIME = 128 * SECOND;
/** How long a fast open that ended in a reset counts as pending: or a flood of them would cost its sender nothing (RFC 7413 §5.1). */
const RESET_PENALTY = 60 * SECOND;

export class TcpListener extends Socket implements Listening, Offer {
  state = states.CLOSED;
  readonly local: Address;
  readonly port: number;
  options: ListenOptions;
  readonly stats: Stats;
  readonly windowScaling: boolean;
  readonly sack: boolean;
  readonly timestamps: boolean;
  maxSegment: number;
  readonly ecn: EcnMode;
  readonly synAckRetries: number;
  backlog: number;
  readonly #tcp: Tcp;
  readonly #embryos = new Set<Embryo>();
  readonly #queue: TcpConnection[] = [];
  /** Entries of the SYN queue whose ACK found the accept queue full. */
  readonly #waiting = new Set<Embryo>();
  /** Receive buffer of connections to come: what SYN,ACKs offer, and the most it may become. */
  readonly #window: number;
  readonly #shift: number;
  #cookieSentAt = -Infinity;
  /** Fast opens that may be pending: their client's address is not proven by a handshake yet (RFC 7413 §5.1). */
  readonly #fastOpenLimit: number;
  #fastOpens = 0;
  /** Until when each fast open that was reset counts on, oldest first. */
  readonly #penalties: number[] = [];

  constructor(tcp: Tcp, local: Address, port: number, options: ListenOptions) {
    super();
    const defaults = tcp.options;
    this.#tcp = tcp;
    this.stats = tcp.stats;
    this.local = local;
    this.port = port;
    this.options = options;
    this.backlog = Math.max(1, options.backlog ?? DEFAULT_BACKLOG);
    this.windowScaling = options.windowScaling ?? defaults.windowScaling;
    this.sack = options.sack ?? defaults.sack;
    this.timestamps = options.timestamps ?? defaults.timestamps;
    this.maxSegment = options.maxSegment ?? defaults.maxSegment;
    this.ecn = options.ecn ?? defaults.ecn;
    this.synAckRetries = defaults.synAckRetries;
    const fixed = options.recvBuffer ?? defaults.recvBuffer;
    const most = fixed > 0 ? fixed : (options.recvBufferMax ?? defaults.recvBufferMax);
    this.#window = Math.min(0xffff, fixed > 0 ? fixed : Math.min(INITIAL_RECEIVE_BUFFER, most));
    this.#shift = windowShift(most);
    const { fastOpen = false } = options;
    this.#fastOpenLimit = fastOpen === true ? DEFAULT_FAST_OPEN_QUEUE : Math.max(0, Number(fastOpen));
    this.state = states.next(this.state, states.PASSIVE_OPEN);
  }

  /** Entries in the SYN queue. */
  get embryos(): number {
    return this.#embryos.size;
  }

  /** Connections waiting for `accept`. */
  get pending(): number {
    return this.#queue.length;
  }

  /** The next established connection, or null. */
  accept(): TcpConnection | null {
    const connection = this.#queue.shift() ?? null;
    if (connection === null) return null;
    connection.parent = null;
    connection.announce();
    this.#invite();
    if (this.#queue.length > 0) this.#tcp.events.post(this, EV_READABLE);
    return connection;
  }

  /** There is room: ask one whose ACK came too early to repeat it. */
  #invite(): void {
    const [embryo] = this.#waiting;
    if (embryo === undefined) return;
    this.#waiting.delete(embryo);
    this.sendSynAck(embryo, this.#tcp.world.now);
    this.#tcp.touch();
  }

  /** Listen no more. Connections nobody has accepted are reset, as Linux does. */
  close(): void {
    if (this.state === states.CLOSED) return;
    this.state = states.next(this.state, states.CLOSE);
    this.#tcp.demux.removeListener(this);
    for (const embryo of [...this.#embryos]) this.drop(embryo);
    for (const connection of this.#queue.splice(0)) {
      connection.parent = null;
      connection.abort();
    }
    this.#tcp.events.post(this, EV_CLOSED);
    this.#tcp.touch();
  }

  // ── SEGMENT ARRIVES in LISTEN: RFC 9293 §3.10.7.2 ────────────────────────────────────────────────────────────────────────

  /** @param isnFloor turns the ISN we would choose into one that is beyond an old incarnation's */
  receive(segment: Segment, packet: Packet, now: number, isnFloor: ((isn: Seq) => Seq) | null = null): void {
    const { flags } = segment;
    if ((flags & RST) !== 0) return;
    if ((flags & ACK) !== 0) {
      if ((flags & SYN) !== 0 || !this.#redeem(segment, packet, now)) this.refuse(segment, packet);
      return;
    }
    if ((flags & SYN) === 0) return;
    this.#onSyn(segment, packet, now, isnFloor);
  }

  #onSyn(segment: Segment, packet: Packet, now: number, isnFloor: ((isn: Seq) => Seq) | null): void {
    const { stats } = this;
    const { options, isn } = this.#tcp;
    if (this.#queue.length >= this.backlog) {
      // As Linux: the client's SYN comes again, and by then somebody may have called accept.
      stats.tcpListenOverflows++;
      stats.tcpListenDrops++;
      return;
    }
    const agreement = new Agreement().settle(segment, this, this.#shift, packet.src.isV4);
    agreement.ecn = this.ecn !== 'off' && isSetupSyn(segment.flags, packet.tos);
    const tsOffset = isn.timestampOffset(packet.dst, packet.src);
    const full = this.#embryos.size >= options.synQueue;
    if (options.synCookies === 'always' || (full && options.synCookies === 'auto')) {
      this.#sendCookie(segment, packet, agreement, tsOffset, now);
      return;
    }
    if (full) {
      stats.tcpListenDrops++;
      return;
    }
    let iss = isn.isn(packet.dst, segment.dstPort, packet.src, segment.srcPort, now);
    if (isnFloor !== null) iss = isnFloor(iss);
    const option = this.#fastOpenLimit > 0 ? this.#fastOpenOption(segment, packet) : -1;
    if (option >= 0 && this.#openFast(option, segment, packet, agreement, iss, now)) return;
    const embryo = new Embryo(this, packet, segment, agreement, iss, this.#window, tsOffset, now);
    if (option >= 0 && !this.#isFastOpenFull(now))
      embryo.cookie = this.#tcp.fastOpen.cookie(packet.dst, packet.src, now);
    this.#embryos.add(embryo);
    this.#tcp.demux.flows.add(embryo);
    stats.tcpPassiveOpens++;
    this.sendSynAck(embryo, now);
    this.armRetry(embryo, now);
  }

  // ── Fast open: RFC 7413 §4.2.2 ───────────────────────────────────────────────────────────────────────────────────────────

  /** Connections in SYN-RECEIVED whose user may have data already, and those that count as such. */
  get fastOpens(): number {
    return this.#fastOpens + this.#penalties.length;
  }

  #fastOpenOption(segment: Segment, packet: Packet): number {
    return findOption(packet.dv, packet.transport + 20, segment.payload);
  }

  #isFastOpenFull(now: number): boolean {
    while (this.#penalties.length > 0 && this.#penalties[0] <= now) this.#penalties.shift();
    return this.fastOpens >= this.#fastOpenLimit;
  }

  /** True when the SYN made a connection; false: it goes the ordinary way, and the SYN,ACK acknowledges the SYN alone. */
  #openFast(option: number, segment: Segment, packet: Packet, agreement: Agreement, iss: Seq, now: number): boolean {
    const { stats } = this;
    const tcp = this.#tcp;
    if (packet.dv.getUint8(option + 1) === 2) {
      stats.tcpFastOpenCookieReqd++;
      return false;
    }
    if (!tcp.fastOpen.isValid(packet.dv, option, packet.dst, packet.src, now)) {
      stats.tcpFastOpenPassiveFail++;
      return false;
    }
    if (this.#isFastOpenFull(now)) {
      stats.tcpFastOpenListenOverflow++;
      return false;
    }
    const connection = tcp.create(packet, segment, this.options);
    if (connection === null) return true;
    stats.tcpPassiveOpens++;
    stats.tcpFastOpenPassive++;
    this.#fastOpens++;
    connection.parent = this;
    connection.openFast(this, agreement, iss, segment, now);
    this.ready(connection);
    return true;
  }

  /** A fast open is proven, or over. */
  settleFastOpen(wasReset: boolean, now: number): void {
    this.#fastOpens--;
    if (wasReset) this.#penalties.push(now + RESET_PENALTY);
  }

  /** RFC 4987 §3.6: answer without remembering anything. */
  #sendCookie(segment: Segment, packet: Packet, agreement: Agreement, tsOffset: number, now: number): void {
    const tcp = this.#tcp;
    const path = tcp.paths.back(packet);
    if (path === null) return;
    this.#mark(path);
    if (!agreement.timestamps) {
      // No room to remember these in.
      agreement.windowScaling = false;
      agreement.sackPermitted = false;
      agreement.ecn = false;
    }
    const header = tcp.header.reset(segment.dstPort, segment.srcPort);
    header.seq = cookie.bake(
      tcp.isn,
      packet.dst,
      segment.dstPort,
      packet.src,
      segment.srcPort,
      segment.seq,
      agreement.peerMss,
      now,
    );
    header.ack = seqAdd(segment.seq, 1);
    this.#describeSynAck(header, agreement, offeredMss(path, this.maxSegment));
    header.tsVal = cookie.encodeOptions(tcp.tsVal(tsOffset, now), agreement);
    header.tsEcr = segment.tsVal;
    this.#cookieSentAt = now;
    this.stats.tcpSyncookiesSent++;
    send(path, header, this.stats);
  }

  /** The ACK of a SYN,ACK we have forgotten. False when it is none. */
  #redeem(segment: Segment, packet: Packet, now: number): boolean {
    const tcp = this.#tcp;
    if (now - this.#cookieSentAt > COOKIE_LIFETIME) return false;
    const irs = seqAdd(segment.seq, -1);
    const iss = seqAdd(segment.ack, -1);
    const mss = cookie.open(tcp.isn, packet.dst, segment.dstPort, packet.src, segment.srcPort, irs, iss, now);
    if (mss === 0) {
      this.stats.tcpSyncookiesFailed++;
      return false;
    }
    this.stats.tcpSyncookiesRecv++;
    if (this.#queue.length >= this.backlog) {
      this.stats.tcpListenOverflows++;
      return true;
    }
    segment.mss = mss;
    if (segment.hasTimestamp) cookie.decodeOptions(segment.tsEcr, segment);
    const agreement = new Agreement().settle(segment, this, this.#shift, packet.src.isV4);
    agreement.ecn = agreement.timestamps && cookie.decodeEcn(segment.tsEcr);
    this.stats.tcpPassiveOpens++;
    this.#create(agreement, irs, iss, -1, false, segment.tsVal, segment, packet, now);
    return true;
  }

  // ── The SYN queue ────────────────────────────────────────────────────────────────────────────────────────────────────────

  sendSynAck(embryo: Embryo, now: number): void {
    const tcp = this.#tcp;
    const path = tcp.paths.borrow(embryo.remote, embryo.local);
    if (path === null) return;
    this.#mark(path);
    const header = tcp.header.reset(embryo.localPort, embryo.remotePort);
    header.seq = embryo.iss;
    header.ack = seqAdd(embryo.irs, 1);
    this.#describeSynAck(header, embryo.agreement, offeredMss(path, this.maxSegment));
    header.fastOpen = embryo.cookie;
    header.tsVal = tcp.tsVal(embryo.tsOffset, now);
    header.tsEcr = embryo.tsRecent;
    send(path, header, this.stats);
  }

  /** What connections to come send with goes for their SYN,ACKs as well (RFC 9293 §3.9.2, MUST-48, MUST-49). */
  #mark(path: Path): void {
    const { options } = this.#tcp;
    path.ttl = this.options.ttl ?? options.ttl;
    path.tos = (this.options.tos ?? options.tos) & ~ECN_FIELD;
  }

  #describeSynAck(header: Header, agreement: Agreement, mss: number): void {
    header.flags = SYN | ACK;
    if (agreement.ecn) header.flags |= SETUP_SYN_ACK; // RFC 3168 §6.1.1
    header.window = this.#window;
    header.mss = mss; // MUST-14
    header.windowScale = agreement.windowScaling ? this.#shift : -1;
    header.sackPermitted = agreement.sackPermitted;
    header.timestamps = agreement.timestamps;
  }

  /** <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> for an entry of the SYN queue. */
  sendAck(embryo: Embryo, now: number): void {
    const tcp = this.#tcp;
    const path = tcp.paths.borrow(embryo.remote, embryo.local);
    if (path === null) return;
    this.#mark(path);
    const header = tcp.header.reset(embryo.localPort, embryo.remotePort);
    header.seq = seqAdd(embryo.iss, 1);
    header.ack = seqAdd(embryo.irs, 1);
    header.flags = ACK;
    header.window = embryo.window >> embryo.agreement.rcvShift;
    header.timestamps = embryo.agreement.timestamps;
    header.tsVal = tcp.tsVal(embryo.tsOffset, now);
    header.tsEcr = embryo.tsRecent;
    send(path, header, this.stats);
  }

  challenge(embryo: Embryo, now: number): void {
    if (!this.#tcp.challenges.take(now)) return;
    this.stats.tcpChallengeAck++;
    this.sendAck(embryo, now);
  }

  refuse(segment: Segment, packet: Packet): void {
    this.#tcp.refuse(segment, packet);
  }

  armRetry(embryo: Embryo, now: number): void {
    this.#tcp.wheel.arm(embryo, now + embryo.wait);
  }

  drop(embryo: Embryo): void {
    this.#tcp.wheel.remove(embryo);
    this.#tcp.demux.flows.remove(embryo);
    this.#embryos.delete(embryo);
    this.#waiting.delete(embryo);
  }

  /** Our SYN,ACK is acknowledged: make the connection, unless nobody fetches those that are ready. */
  complete(embryo: Embryo, segment: Segment, packet: Packet, now: number): void {
    if (this.#queue.length >= this.backlog) {
      // As if the ACK were lost, as Linux does: the SYN,ACK goes again, at the latest by its timer, and the client acknowledges again.
      this.stats.tcpListenOverflows++;
      this.#waiting.add(embryo);
      return;
    }
    this.drop(embryo);
    const { agreement, irs, iss, sentAt, retries, tsRecent } = embryo;
    this.#create(agreement, irs, iss, sentAt, retries > 0, tsRecent, segment, packet, now);
  }

  #create(
    agreement: Agreement,
    irs: Seq,
    iss: Seq,
    sentAt: number,
    retransmitted: boolean,
    tsRecent: number,
    segment: Segment,
    packet: Packet,
    now: number,
  ): void {
    const connection = this.#tcp.create(packet, segment, this.options);
    if (connection === null) return;
    connection.parent = this;
    connection.receiver.tsRecent = tsRecent;
    connection.receiver.tsRecentAt = now;
    connection.adopt(agreement, irs, iss, sentAt, retransmitted, segment, now);
    connection.receive(segment, packet, now); // text and FIN may have come along
  }

  // ── The accept queue ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `connection` is established (called by it). */
  ready(connection: TcpConnection): void {
    this.#queue.push(connection);
    this.#tcp.events.post(this, EV_READABLE);
  }
}

export const ANY = new AddressClass().setV4(0);
