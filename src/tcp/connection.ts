// A connection: the transmission control block of RFC 9293 §3.3.1, put together from its parts.
//
//   receive ─► input (SEGMENT ARRIVES) ─► sender, receiver          mark
//   flush   ─► sender.next, receiver's debts ─► Tx                  emit
//
// The only file that sees all parts. Invariant: `state` changes in `transition` alone, as the table in states.ts says; a connection in
// CLOSED or TIME-WAIT has left the demultiplexer, runs no timer and owns no memory but what the user has yet to read.

import { ECONNABORTED, ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE, ETIMEDOUT } from '../errno.ts';
import type { IcmpError } from '../net/icmp-error.ts';
import type { Packet } from '../net/packet.ts';
import type { Path } from '../net/path.ts';
import { EV_CLOSED, EV_CONNECTED, EV_DRAINED, EV_END, EV_ERROR, EV_READABLE, EV_WRITABLE, Socket } from '../socket.ts';
import type { Stats } from '../stats.ts';
import type { Address } from '../wire/address.ts';
import { DESTINATION_UNREACHABLE } from '../wire/icmpv4.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff, seqLeq, seqLt } from '../wire/seq.ts';
import * as wire from '../wire/tcp.ts';
import { MILLISECOND } from '../world.ts';
import type { Endpoint } from './demux.ts';
import type { EcnMode } from './ecn.ts';
import { ECN_FIELD, ECT0, isSetupSyn, isSetupSynAck, SETUP_SYN, SETUP_SYN_ACK } from './ecn.ts';
import { COOKIE_REQUEST, findOption } from './fast-open.ts';
import type { Agreement, Offer } from './handshake.ts';
import { effectiveMss, offeredMss, windowShift } from './handshake.ts';
import type { TcpInfo } from './info.ts';
import { describe } from './info.ts';
import type { Machine } from './input.ts';
import { arrives } from './input.ts';
import type { TcpListener } from './listener.ts';
import type { ConnectionOptions, ResolvedTcpOptions } from './options.ts';
import { INITIAL_RECEIVE_BUFFER } from './options.ts';
import { PROTOCOL_TCP, send } from './output.ts';
import { GOT_DATA, GOT_FIN, Receiver } from './receiver.ts';
import { CA_RECOVERY } from './recovery.ts';
import type { Segment } from './segment.ts';
import { ACK, FIN, PSH, RST, SYN } from './segment.ts';
import { ACK_DRAINED, ACK_NEW, ACK_WRITABLE, Sender, TIMEOUT_R1, TIMEOUT_R2, TIMEOUT_WRITABLE } from './sender.ts';
import * as states from './states.ts';
import type { Tcp } from './tcp.ts';
import type { Remains, TimeWaitEntry } from './time-wait.ts';
import { isnAfter } from './time-wait.ts';
import type { TimerOwner } from './timers.ts';
import { DELACK, FINWAIT2, KEEPALIVE, Timers } from './timers.ts';

// How long a lone request may wait for the answer its ACK rides on.
const INTERACTIVE = 40 * MILLISECOND;
const FRAGMENTATION_NEEDED = 4;

export class TcpConnection extends Socket implements Endpoint, Machine, TimerOwner, Remains, Offer {
  state = states.CLOSED;
  readonly path: Path;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly timers: Timers;
  readonly stats: Stats;
  /** The listener whose accept queue it is for, until accepted. */
  parent: TcpListener | null = null;
  /** Queued for `flush`. */
  dirty = false;
  /** Queued for the sweep that takes back idle rings. */
  swept = false;
  released = false;
  maxSndWnd = 0;
  lastAnswer = -Infinity;
  synAckDue = false;
  readonly answerInterval: number;
  /** Payload sent, all of it and what of it was sent again; and segments sent again. */
  bytesSent = 0;
  bytesRetransmitted = 0;
  segmentsRetransmitted = 0;
  /** When anything last arrived, µs. */
  lastReceivedAt = 0;
  /** Negative errno of the last soft ICMP error, 0 for none: why a time-out probably happened (RFC 9293 §3.9.2.2, MUST-47, SHLD-25). */
  softError = 0;
  readonly windowScaling: boolean;
  readonly sack: boolean;
  readonly timestamps: boolean;
  readonly maxSegment: number;
  readonly ecn: EcnMode;
  readonly #tcp: Tcp;
  /** Fast open (RFC 7413). As client: the option of our first SYN. As server: the listener, which counts us until the handshake is done. */
  #cookie: Uint8Array | null = null;
  #fastListener: TcpListener | null = null;
  #openedFast = false;
  #sentSynData = false;
  /** Both sides offered a scale (RFC 7323 §2.2). */
  scalesWindows = false;
  #peerMss = 536;
  #mtu = 0;
  #lastChallenge = -Infinity;
  #keepAlive: boolean;
  #keepAliveIdle: number;
  #keepAliveInterval: number;
  #keepAliveCount: number;
  #keepAliveProbes = 0;

  constructor(tcp: Tcp, path: Path, localPort: number, remotePort: number, options: ConnectionOptions) {
    super();
    const defaults: ResolvedTcpOptions = tcp.options;
    this.#tcp = tcp;
    this.path = path;
    this.local = path.local;
    this.localPort = localPort;
    this.remote = path.remote;
    this.remotePort = remotePort;
    this.stats = tcp.stats;
    this.timers = new Timers(tcp.wheel, this);
    const fixed = options.recvBuffer ?? defaults.recvBuffer;
    const maxBuffer = fixed > 0 ? fixed : (options.recvBufferMax ?? defaults.recvBufferMax);
    const buffer = fixed > 0 ? fixed : Math.min(INITIAL_RECEIVE_BUFFER, maxBuffer);
    this.receiver = new Receiver(tcp.memory, tcp.stats, this.timers, buffer, maxBuffer);
    this.receiver.autoTune = fixed === 0;
    this.sender = new Sender({
      memory: tcp.memory,
      stats: tcp.stats,
      timers: this.timers,
      options: tcp.senderOptions(options),
    });
    this.windowScaling = options.windowScaling ?? defaults.windowScaling;
    this.sack = options.sack ?? defaults.sack;
    this.timestamps = options.timestamps ?? defaults.timestamps;
    this.maxSegment = options.maxSegment ?? defaults.maxSegment;
    this.ecn = options.ecn ?? defaults.ecn;
    this.answerInterval = defaults.answerInterval;
    this.#keepAlive = options.keepAlive ?? defaults.keepAlive;
    this.#keepAliveIdle = options.keepAliveIdle ?? defaults.keepAliveIdle;
    this.#keepAliveInterval = options.keepAliveInterval ?? defaults.keepAliveInterval;
    this.#keepAliveCount = options.keepAliveCount ?? defaults.keepAliveCount;
    path.ttl = options.ttl ?? defaults.ttl; // MUST-49
    path.tos = (options.tos ?? defaults.tos) & ~ECN_FIELD; // MUST-48, passed on as it is (SHLD-22)
    path.dontFragment = true;
    this.sender.tsOffset = tcp.isn.timestampOffset(this.local, this.remote);
    this.#mtu = path.mtu;
  }

  // ── Opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Active OPEN: RFC 9293 §3.10.1. */
  open(now: number, fast = false, previous: TimeWaitEntry | null = null): void {
    this.transition(states.ACTIVE_OPEN);
    this.lastReceivedAt = now;
    this.sender.timestamps = this.timestamps;
    this.#applyMss();
    const isn = this.#tcp.isn.isn(this.local, this.localPort, this.remote, this.remotePort, now);
    this.sender.start(previous === null ? isn : isnAfter(isn, previous));
    if (fast) this.#prepareFastOpen(now);
    this.#tcp.markDirty(this);
  }

  /** RFC 7413 §4.2.1: a cookie, and data, in our SYN; or a request for one. */
  #prepareFastOpen(now: number): void {
    const known = this.#tcp.fastOpen.recall(this.remote);
    if (known === null) {
      this.#cookie = COOKIE_REQUEST;
      return;
    }
    if (known.blockedUntil > now) {
      this.stats.tcpFastOpenBlackhole++;
      return;
    }
    this.#cookie = known.cookie;
    const header = this.#tcp.header.reset(this.localPort, this.remotePort);
    this.#describeSyn(now);
    const most = effectiveMss(known.mss, this.path, false, this.maxSegment);
    this.sender.synData = Math.max(0, most - (header.length - wire.MIN_HEADER));
  }

  /** Passive OPEN by a SYN with a valid cookie: the user need not wait for the handshake (RFC 7413 §4.2.2). */
  openFast(listener: TcpListener, agreement: Agreement, iss: Seq, segment: Segment, now: number): void {
    const { sender, receiver } = this;
    this.state = states.SYN_RECEIVED;
    this.#fastListener = listener;
    this.#openedFast = true;
    this.lastReceivedAt = now;
    this.#settle(agreement, segment.seq, now);
    receiver.tsRecent = segment.tsVal;
    receiver.tsRecentAt = now;
    sender.start(iss);
    sender.setWindow(segment);
    sender.established(now);
    segment.flags &= ~FIN; // the peer will repeat it
    receiver.text(segment, now);
    this.#tcp.markDirty(this);
  }

  /** Passive OPEN: the SYN queue entry or cookie for this connection was acknowledged by `segment`. */
  adopt(
    agreement: Agreement,
    irs: Seq,
    iss: Seq,
    synSentAt: number,
    retransmitted: boolean,
    segment: Segment,
    now: number,
  ): void {
    this.state = states.SYN_RECEIVED;
    this.#settle(agreement, irs, now);
    this.sender.resume(iss, synSentAt, retransmitted, now);
    this.transition(states.RCV_ACK_OF_SYN);
    segment.windowScaled = segment.window << this.sender.sndWndShift;
    this.sender.setWindow(segment);
    this.opened(segment, now);
  }

  /** The peer's SYN in SYN-SENT (Machine). */
  accept(segment: Segment, now: number): void {
    const shift = windowShift(this.receiver.maxBuffer);
    const agreement = this.#tcp.agreement.settle(segment, this, shift, this.remote.isV4);
    // RFC 3168 §6.1.1: ECN only if every SYN of ours asked for it. To a SYN (simultaneous open) the same flags are the answer.
    const agrees = (segment.flags & ACK) !== 0 ? isSetupSynAck(segment.flags) : isSetupSyn(segment.flags, 0);
    agreement.ecn = this.ecn === 'on' && agrees;
    this.#settle(agreement, segment.seq, now);
    if (!this.sender.timestamps) return;
    this.receiver.tsRecent = segment.tsVal;
    this.receiver.tsRecentAt = now;
  }

  #settle(agreement: Agreement, irs: Seq, now: number): void {
    const { sender, receiver } = this;
    receiver.start(irs, this.#synWindow, offeredMss(this.path, this.maxSegment), now);
    this.scalesWindows = agreement.windowScaling;
    receiver.shift = agreement.rcvShift;
    receiver.sackPermitted = agreement.sackPermitted;
    receiver.timestamps = agreement.timestamps;
    sender.sndWndShift = agreement.sndShift;
    sender.sackPermitted = agreement.sackPermitted;
    sender.timestamps = agreement.timestamps;
    sender.ecn = agreement.ecn;
    receiver.ecn = agreement.ecn;
    this.#peerMss = agreement.peerMss;
    this.#applyMss();
  }

  /** Both SYNs are acknowledged (Machine). */
  opened(_segment: Segment, now: number): void {
    this.maxSndWnd = this.sender.sndWnd;
    this.lastReceivedAt = now;
    this.sender.established(now);
    this.#tcp.monitor?.opened(this, this.#openedFast || this.parent !== null);
    if (this.#keepAlive) this.timers.set(KEEPALIVE, now + this.#keepAliveIdle);
    if (this.#openedFast) this.#settleFastOpen(false);
    else if (this.parent !== null) this.parent.ready(this);
    else this.#post(EV_CONNECTED);
    if (this.receiver.readable > 0) this.#post(EV_READABLE);
    this.receiver.acknowledgeLater(now);
    // CLOSE was called meanwhile: it takes effect now (RFC 9293 §3.10.4).
    if (this.sender.ended) this.transition(states.CLOSE);
  }

  /** The window field of our SYN: never scaled (RFC 7323 §2.2). */
  get #synWindow(): number {
    return Math.min(0xffff, this.receiver.buffer);
  }

  #applyMss(): void {
    this.#mtu = this.path.mtu;
    this.sender.setMss(effectiveMss(this.#peerMss, this.path, this.sender.timestamps, this.maxSegment));
  }

  // ── Machine ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  receive(segment: Segment, packet: Packet, now: number): void {
    if ((segment.flags & SYN) === 0) segment.windowScaled = segment.window << this.sender.sndWndShift;
    this.lastReceivedAt = now;
    this.#keepAliveProbes = 0;
    const wasOpening = this.state === states.SYN_SENT;
    const { recovery } = this.sender;
    const caState = recovery.state;
    arrives(this, segment, now);
    if (caState < CA_RECOVERY && recovery.state === CA_RECOVERY) this.#tcp.monitor?.recovering(this);
    if (wasOpening && this.#cookie !== null && this.state !== states.SYN_SENT) this.#learnCookie(segment, packet);
    if (this.#isAlive) this.#tcp.markDirty(this);
  }

  /** RFC 7413 §4.1.3: the answer to our SYN may bring a cookie, and says whether the data was taken. */
  #learnCookie(segment: Segment, packet: Packet): void {
    const { fastOpen } = this.#tcp;
    const { dv, transport } = packet;
    const sentData = this.#cookie !== null && this.#sentSynData;
    this.#cookie = null;
    if ((segment.flags & SYN) === 0) return;
    if (sentData) {
      if (seqDiff(segment.ack, this.sender.iss) > 1) this.stats.tcpFastOpenActive++;
      else this.stats.tcpFastOpenActiveFail++;
    }
    const option = findOption(dv, transport + wire.MIN_HEADER, segment.payload);
    const length = option < 0 ? 0 : dv.getUint8(option + 1) - 2;
    if (length > 0) {
      const cookie = packet.bytes.slice(option + 2, option + 2 + length);
      fastOpen.remember(this.remote, cookie, this.#peerMss);
    } else if (sentData) fastOpen.succeeded(this.remote);
  }

  #settleFastOpen(wasReset: boolean): void {
    this.#fastListener?.settleFastOpen(wasReset, this.#tcp.world.now);
    this.#fastListener = null;
  }

  transition(event: number): void {
    const before = this.state;
    const after = states.next(before, event);
    if (after < 0) {
      this.stats.tcpIllegalTransitions++;
      return;
    }
    this.state = after;
    const { stats } = this;
    const was = before === states.ESTABLISHED || before === states.CLOSE_WAIT;
    const is = after === states.ESTABLISHED || after === states.CLOSE_WAIT;
    if (is && !was) stats.tcpCurrEstab++;
    if (was && !is) stats.tcpCurrEstab--;
    if (after === states.FIN_WAIT_2 && this.released) this.#awaitFin();
    if (after !== states.CLOSED) return;
    // RFC 4022 tcpEstabResets, tcpAttemptFails
    if (was) stats.tcpEstabResets++;
    else if (before === states.SYN_SENT || before === states.SYN_RECEIVED) stats.tcpAttemptFails++;
  }

  challenge(now: number): void {
    // RFC 5961 §7: one per connection and interval, and a budget for the whole stack.
    if (now - this.#lastChallenge < this.answerInterval || !this.#tcp.challenges.take(now)) return;
    this.#lastChallenge = now;
    this.stats.tcpChallengeAck++;
    this.receiver.ackNow = true;
  }

  refuse(segment: Segment): void {
    this.#tcp.reset(this.path, segment);
  }

  onAckBits(bits: number): void {
    // Forward progress: the next hop is there (RFC 4861 §7.3.1).
    if ((bits & ACK_NEW) !== 0) {
      this.path.confirm();
      this.softError = 0;
    }
    let events = 0;
    if ((bits & ACK_WRITABLE) !== 0) events |= EV_WRITABLE;
    if ((bits & ACK_DRAINED) !== 0) events |= EV_DRAINED;
    if (events !== 0) this.#post(events);
  }

  onText(bits: number): void {
    let events = 0;
    if ((bits & GOT_DATA) !== 0 && this.receiver.readable > 0) events |= EV_READABLE;
    if ((bits & GOT_FIN) !== 0) events |= EV_END;
    // Before ESTABLISHED the user is not told (RFC 9293 §3.10.7.3); `opened` will.
    if (events !== 0 && (this.state !== states.SYN_RECEIVED || this.#openedFast)) this.#post(events);
  }

  onUrgent(): void {
    this.#post(EV_READABLE);
  }

  finish(errno: number): void {
    if (this.state !== states.CLOSED) this.state = states.CLOSED;
    // Who was given the connection before the handshake was done never asked for it.
    if (this.#openedFast && errno === ECONNREFUSED) errno = ECONNRESET;
    this.#tcp.monitor?.closed(this, errno);
    this.#detach();
    this.error = errno;
    this.#post(errno < 0 ? EV_ERROR | EV_CLOSED : EV_CLOSED);
  }

  timeWait(now: number): void {
    this.#tcp.monitor?.closed(this, 0);
    // The entry that takes our place cannot say what we still owe: the ACK of the peer's FIN goes now.
    if (this.receiver.ackNow) this.#acknowledge(now);
    this.#detach();
    this.#tcp.remember(this, now);
    this.#post(EV_CLOSED);
  }

  abandon(): void {
    this.stats.tcpAbortOnData++;
    this.#sendReset();
    this.transition(states.ABORT);
    this.finish(0);
  }

  // ── Remains: what TIME-WAIT keeps ────────────────────────────────────────────────────────────────────────────────────────

  get sndNxt(): Seq {
    return this.sender.sndNxt;
  }

  get rcvNxt(): Seq {
    return this.receiver.rcvNxt;
  }

  get window(): number {
    return Math.min(0xffff, this.receiver.rcvWnd >> this.receiver.shift);
  }

  get rcvWnd(): number {
    return this.receiver.rcvWnd;
  }

  get tsRecent(): number {
    return this.receiver.tsRecent;
  }

  get tsOffset(): number {
    return this.sender.tsOffset;
  }

  /** Timestamps were agreed on, as opposed to `timestamps`: we would use them. */
  get usesTimestamps(): boolean {
    return this.sender.timestamps;
  }

  // ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Send what may go and acknowledge what is owed. */
  flush(now: number): void {
    if (!this.#isAlive) return;
    const { path, sender, receiver } = this;
    if (path.refresh() < 0) {
      // No way there at the moment. Time-outs go on as if the network lost everything (RFC 9293 §3.9.2.2).
      this.softError = path.refresh();
    }
    if (path.mtu !== this.#mtu) this.#applyMss();
    // What only an ACK with SACK blocks can say goes first: a data segment has no room for it.
    while (receiver.dupAcks > 0 || (receiver.ackNow && receiver.hasSackBlocks)) this.#acknowledge(now);
    while (sender.next(now)) {
      if (!this.#send(now)) break;
    }
    if (receiver.ackNow && this.state !== states.SYN_SENT) this.#acknowledge(now);
  }

  /** Send the sender's proposal. False when the packet could not leave. */
  #send(now: number): boolean {
    const { path, sender, receiver } = this;
    const { out } = sender;
    const header = this.#tcp.header.reset(this.localPort, this.remotePort);
    header.seq = out.seq;
    if (this.state !== states.SYN_SENT) {
      header.flags = ACK;
      header.ack = out.syn ? this.#synAckNumber : receiver.rcvNxt;
    }
    if (out.syn) this.#describeSyn(now);
    else {
      header.window = receiver.advertise();
      if (sender.timestamps) this.#stamp(now);
    }
    if (out.fin) header.flags |= FIN;
    if (out.push) header.flags |= PSH;
    if (out.cwr) header.flags |= wire.CWR;
    if (receiver.echoesCongestion) header.flags |= wire.ECE;

    const { tx } = path.nic;
    const { length } = header;
    header.write(tx.dv, tx.begin(path, length), length);
    if (out.length > 0) tx.ring(sender.ring, out.syn ? seqAdd(out.seq, 1) : out.seq, out.length);
    if (out.ect) path.tos |= ECT0;
    const errno = tx.commit(PROTOCOL_TCP, wire.CHECKSUM_OFFSET, out.gsoSize);
    path.tos &= ~ECN_FIELD;
    const count = out.gsoSize > 0 ? Math.ceil(out.length / out.gsoSize) : 1;
    this.stats.tcpOutSegs += count;
    this.bytesSent += out.length;
    if (out.retransmission) {
      this.stats.tcpRetransSegs += count;
      this.segmentsRetransmitted += count;
      this.bytesRetransmitted += out.length;
      this.#tcp.monitor?.retransmitted(this, out.seq, out.length);
    }
    if (out.syn) this.#onSynSent(now);
    // Refused or not, it was sent as far as TCP is concerned: what never left is recovered like any other loss.
    sender.sent(now);
    if ((header.flags & ACK) !== 0) {
      // An answer within the delay: from now on an ACK may wait to ride along.
      if (out.length > 0 && now - receiver.lastDataAt < INTERACTIVE) receiver.interactive();
      receiver.acknowledged(header.ack);
    }
    return errno === 0;
  }

  /** A SYN of ours has left: with data, or again after one with data got no answer (RFC 7413 §4.1.3.1). */
  #onSynSent(now: number): void {
    const { out } = this.sender;
    if (out.length > 0) this.#sentSynData = true;
    else if (out.retransmission && this.#sentSynData && this.state === states.SYN_SENT && this.#cookie !== null) {
      this.stats.tcpFastOpenActiveFail++;
      this.#tcp.fastOpen.lost(this.remote, now);
      this.#sentSynData = false;
    }
  }

  /** Our SYN or SYN,ACK into the header scratch. */
  #describeSyn(now: number): void {
    const { header } = this.#tcp;
    const { sender, receiver } = this;
    const isFirst = this.state === states.SYN_SENT;
    header.flags |= SYN;
    if (isFirst) {
      // RFC 3168 §6.1.1.1: a SYN that got no answer is repeated without: firewalls have been known to drop it.
      if (this.ecn === 'on' && !sender.out.retransmission) header.flags |= SETUP_SYN;
      // RFC 7413 §4.1.3.1: and without this one, which middleboxes have been known to dislike as well.
      if (!sender.out.retransmission) header.fastOpen = this.#cookie;
    } else if (sender.ecn) header.flags |= SETUP_SYN_ACK;
    header.window = this.#synWindow;
    header.mss = offeredMss(this.path, this.maxSegment); // always (SHLD-5), and on SYNs only (MUST-65)
    // A SYN offers what we would use; a SYN,ACK (simultaneous open) what was agreed on.
    const scale = isFirst ? this.windowScaling : this.scalesWindows;
    header.windowScale = scale ? windowShift(receiver.maxBuffer) : -1;
    header.sackPermitted = isFirst ? this.sack : sender.sackPermitted;
    if (sender.timestamps) this.#stamp(now);
  }

  /** RFC 7323 §3.2: in every segment, once agreed upon. */
  #stamp(now: number): void {
    const { header } = this.#tcp;
    header.timestamps = true;
    header.tsVal = this.sender.tsVal(now);
    header.tsEcr = this.receiver.tsRecent;
  }

  /** An ACK and nothing else: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; to a SYN in SYN-RECEIVED the SYN,ACK. */
  #acknowledge(now: number): void {
    const { sender, receiver } = this;
    const header = this.#tcp.header.reset(this.localPort, this.remotePort);
    header.ack = receiver.rcvNxt;
    header.flags = ACK;
    const isSynAck = this.state === states.SYN_RECEIVED && this.synAckDue;
    this.synAckDue = false;
    if (isSynAck) {
      header.seq = sender.iss;
      header.ack = this.#synAckNumber;
      this.#describeSyn(now);
    } else {
      header.seq = sender.sndNxt;
      header.window = receiver.advertise();
      if (sender.timestamps) this.#stamp(now);
      if (receiver.echoesCongestion) header.flags |= wire.ECE; // RFC 3168 §6.1.3: every ACK, until CWR comes
      // RFC 2018 §3: three blocks fit next to timestamps, four without.
      header.sackCount = receiver.sackBlocks(header.sack, sender.timestamps ? 3 : 4);
    }
    if (isSynAck) receiver.acknowledged(header.ack);
    else receiver.acknowledged();
    send(this.path, header, this.stats);
  }

  /** What our SYN,ACK acknowledges: text that came in the peer's SYN only with fast open (RFC 9293 §3.10.7.3: it is queued until ESTABLISHED). */
  get #synAckNumber(): Seq {
    return this.#openedFast ? this.receiver.rcvNxt : seqAdd(this.receiver.irs, 1);
  }

  #sendReset(): void {
    const header = this.#tcp.header.reset(this.localPort, this.remotePort);
    header.seq = this.sender.sndNxt;
    header.ack = this.receiver.rcvNxt;
    header.flags = RST | ACK;
    if (this.sender.timestamps) this.#stamp(this.#tcp.world.now);
    send(this.path, header, this.stats);
  }

  // ── Timers ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  onTimeout(kind: number, now: number): void {
    if (!this.#isAlive) return;
    switch (kind) {
      case DELACK:
        this.stats.tcpDelayedAcks++;
        this.receiver.ackNow = true;
        break;
      case KEEPALIVE:
        this.#onKeepAlive(now);
        break;
      case FINWAIT2:
        // The user is gone and the peer says nothing: forget it, as Linux does.
        this.transition(states.TIMEOUT);
        this.finish(0);
        break;
      default: {
        const { sender } = this;
        const { retransmits } = sender;
        const caState = sender.recovery.state;
        const bits = sender.onTimer(kind, now);
        if (sender.retransmits > retransmits) this.#tcp.monitor?.timedOut(this);
        if (caState < CA_RECOVERY && sender.recovery.state === CA_RECOVERY) this.#tcp.monitor?.recovering(this);
        // RFC 9293 §3.8.3 (MUST-20): at R1 have IP look for another way, at R2 give up.
        if ((bits & TIMEOUT_R1) !== 0) this.path.doubt();
        if ((bits & TIMEOUT_WRITABLE) !== 0) this.#post(EV_WRITABLE);
        if ((bits & TIMEOUT_R2) !== 0) this.#timeOut();
      }
    }
    if (this.#isAlive) this.#tcp.markDirty(this);
  }

  #timeOut(): void {
    this.stats.tcpAbortOnTimeout++;
    this.transition(states.TIMEOUT);
    this.finish(this.softError !== 0 ? this.softError : ETIMEDOUT);
  }

  /** RFC 9293 §3.8.4 */
  #onKeepAlive(now: number): void {
    if (!this.#keepAlive || !states.isSynchronized(this.state)) return;
    const { sender } = this;
    const idle = now - this.lastReceivedAt;
    // MUST-26: only when nothing is in flight; the retransmission timer watches over the rest.
    if (sender.unacknowledged > 0 || !sender.allSent || (idle < this.#keepAliveIdle && this.#keepAliveProbes === 0)) {
      const wait = sender.unacknowledged > 0 ? this.#keepAliveIdle : Math.max(this.#keepAliveIdle - idle, MILLISECOND);
      this.timers.set(KEEPALIVE, now + wait);
      return;
    }
    // MUST-29: one lost probe proves nothing. With a user timeout that decides instead (RFC 5482 §4.2).
    const limit = sender.userTimeout > 0 && idle >= sender.userTimeout && this.#keepAliveProbes > 0;
    if (limit || this.#keepAliveProbes >= this.#keepAliveCount) {
      this.#sendReset();
      this.#timeOut();
      return;
    }
    this.#keepAliveProbes++;
    this.stats.tcpKeepAlive++;
    const header = this.#tcp.header.reset(this.localPort, this.remotePort);
    header.seq = seqAdd(sender.sndNxt, -1); // an old number without data (SHLD-12): it must be answered
    header.ack = this.receiver.rcvNxt;
    header.flags = ACK;
    header.window = this.receiver.advertise();
    if (sender.timestamps) this.#stamp(now);
    send(this.path, header, this.stats);
    this.timers.set(KEEPALIVE, now + this.#keepAliveInterval);
  }

  // ── The user ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  get connecting(): boolean {
    return this.state === states.SYN_SENT || (this.state === states.SYN_RECEIVED && !this.#openedFast);
  }

  get readable(): number {
    return this.receiver.readable;
  }

  get writable(): number {
    return this.#isAlive && !this.sender.ended ? this.sender.writable : 0;
  }

  get unacknowledged(): number {
    return this.#isAlive ? this.sender.unacknowledged : 0;
  }

  /** The peer has sent its FIN; what is readable is all there is. */
  get endReceived(): boolean {
    return this.receiver.finReceived;
  }

  /** Bytes of urgent data still to be read (RFC 9293 §3.9.1.3). */
  get urgent(): number {
    return this.receiver.urgent;
  }

  /** Take bytes to send: how many were taken, or a negative errno. `more`: another write follows at once. */
  write(source: Uint8Array, start: number, length: number, more = false): number {
    if (this.error < 0) return this.error;
    if (this.sender.ended) return EPIPE;
    if (!states.canSend(this.state)) return this.state === states.CLOSED ? ENOTCONN : EPIPE;
    const taken = this.sender.write(source, start, length, more);
    if (taken > 0) this.#wake();
    return taken;
  }

  /** Take up to `length` received bytes: how many there were. */
  read(target: Uint8Array, start: number, length: number): number {
    const { receiver } = this;
    const count = receiver.read(target, start, length, this.#tcp.world.now, this.#rtt);
    if (count > 0) this.#afterRead();
    return count;
  }

  #afterRead(): void {
    const { receiver } = this;
    if (!this.#isAlive) {
      if (receiver.readable === 0) receiver.release();
      return;
    }
    if (receiver.ackNow) this.#wake();
    if (receiver.readable === 0) this.#tcp.sweepLater(this);
  }

  get #rtt(): number {
    const { rtt } = this.sender;
    return rtt.srtt > 0 ? Math.min(rtt.min, rtt.srtt) : 0;
  }

  /** No more to send: FIN behind what is written. 0, or a negative errno. */
  end(): number {
    if (this.sender.ended) return 0;
    if (!states.canSend(this.state)) return this.error < 0 ? this.error : ENOTCONN;
    this.sender.end();
    if (states.next(this.state, states.CLOSE) >= 0) this.transition(states.CLOSE);
    this.#wake();
    return 0;
  }

  /** Abort: RFC 9293 §3.10.5 (MUST-12: the peer sees a reset, not an end). */
  abort(): void {
    this.released = true;
    if (this.#isAlive) {
      if (this.state !== states.SYN_SENT) this.#sendReset();
      this.transition(states.ABORT);
      this.finish(0);
      this.#tcp.touch();
    }
    this.receiver.release();
  }

  /** The user is done: unread data, or data that comes later, is answered by a reset (RFC 9293 §3.6.1, RFC 2525 §2.17). */
  release(): void {
    if (this.released) return;
    this.released = true;
    if (!this.#isAlive) {
      this.receiver.release();
      return;
    }
    if (this.state === states.SYN_SENT || this.receiver.readable > 0) {
      if (!this.connecting) this.stats.tcpAbortOnData++;
      this.abort();
      return;
    }
    // RFC 9293 §3.10.4, SYN-RECEIVED: nothing has been written, so the FIN goes now; otherwise it waits for ESTABLISHED.
    if (this.connecting && this.sender.unacknowledged === 0) this.sender.established(this.#tcp.world.now);
    this.end();
    this.receiver.release();
    if (this.state === states.FIN_WAIT_2) this.#awaitFin();
  }

  #awaitFin(): void {
    this.timers.set(FINWAIT2, this.#tcp.world.now + this.#tcp.options.finWait2);
  }

  get noDelay(): boolean {
    return this.sender.noDelay;
  }

  set noDelay(on: boolean) {
    this.sender.noDelay = on;
    if (on) this.#wake();
  }

  /** Acknowledge at once for a while; turning it off lets ACKs wait. */
  set quickAck(on: boolean) {
    if (on) this.receiver.quicken();
    else this.receiver.interactive();
    if (this.receiver.ackNow) this.#wake();
  }

  /** Times in µs; 0 leaves a value as it is (RFC 9293 §3.8.4, MUST-24, MUST-27). */
  setKeepAlive(on: boolean, idle = 0, interval = 0, count = 0): void {
    this.#keepAlive = on;
    if (idle > 0) this.#keepAliveIdle = idle;
    if (interval > 0) this.#keepAliveInterval = interval;
    if (count > 0) this.#keepAliveCount = count;
    this.#keepAliveProbes = 0;
    if (!on) this.timers.clear(KEEPALIVE);
    else if (this.#isAlive && states.isSynchronized(this.state))
      this.timers.set(KEEPALIVE, Math.max(this.lastReceivedAt + this.#keepAliveIdle, this.#tcp.world.now));
  }

  get userTimeout(): number {
    return this.sender.userTimeout;
  }

  /** µs; 0: the default R2 (MUST-21). */
  set userTimeout(timeout: number) {
    this.sender.userTimeout = timeout;
  }

  get ttl(): number {
    return this.path.ttl;
  }

  set ttl(ttl: number) {
    this.path.ttl = ttl;
  }

  get tos(): number {
    return this.path.tos;
  }

  set tos(tos: number) {
    this.path.tos = tos & ~ECN_FIELD; // RFC 9293 §3.9.1.9 (SHLD-21); the ECN field is TCP's own (RFC 3168 §5)
  }

  get recvBuffer(): number {
    return this.receiver.buffer;
  }

  /** Fixes the receive buffer; the window offered already is kept to. */
  set recvBuffer(bytes: number) {
    this.receiver.setBuffer(bytes);
    this.#wake();
  }

  info(): TcpInfo {
    return describe(this);
  }

  // ── ICMP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An ICMP error about a segment of ours whose sequence number is `seq` — RFC 9293 §3.9.2.2, RFC 5927. */
  icmpError(error: IcmpError, seq: Seq): void {
    if (!this.#isAlive) return;
    const { sender } = this;
    // RFC 5927 §4.1: only what quotes a segment in flight can be about one.
    const inFlight = seqLeq(sender.sndUna, seq) && seqLt(seq, sender.sndNxt);
    if (!inFlight && !error.fromSelf) return;
    if (error.type === DESTINATION_UNREACHABLE && error.code === FRAGMENTATION_NEEDED) {
      // RFC 5927 §7.2, RFC 1191 §6.5
      this.path.lowerMtu(error.mtu);
      if (this.path.mtu !== this.#mtu) {
        this.#applyMss();
        this.#tcp.markDirty(this);
      }
      return;
    }
    // RFC 5927 §5.2: a hard error ends only a connection that is not open yet (SHLD-26); MUST-56: a soft one never does. That our own link
    // cannot reach the next hop is no rumour but a fact.
    if (this.connecting && (error.hard || error.fromSelf)) {
      this.transition(states.TIMEOUT);
      this.finish(error.errno);
      return;
    }
    this.softError = error.errno;
  }

  // ── Inner workings ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get #isAlive(): boolean {
    return this.state !== states.CLOSED && this.state !== states.TIME_WAIT;
  }

  #post(events: number): void {
    // Who releases a connection but stays its owner wants to know when everything has been delivered.
    if (this.released && this.owner === null) return;
    this.#tcp.events.post(this, events);
  }

  #wake(): void {
    if (!this.#isAlive) return;
    this.#tcp.markDirty(this);
    this.#tcp.touch();
  }

  /** Leave the demultiplexer and give everything back but what the user may still read. */
  #detach(): void {
    this.timers.stop();
    if (this.#fastListener !== null) this.#settleFastOpen(true);
    this.sender.close();
    this.#tcp.remove(this);
    if (this.released || this.receiver.readable === 0) this.receiver.release();
  }

  /** The stack is closing. */
  destroy(): void {
    if (!this.#isAlive) return;
    this.#sendReset();
    this.transition(states.ABORT);
    this.finish(ECONNABORTED);
  }

  /** Tell the owner, who has just been attached, everything that happened before. */
  announce(): void {
    let events = 0;
    if (this.error < 0) events |= EV_ERROR;
    if (this.receiver.readable > 0) events |= EV_READABLE;
    if (this.receiver.finReceived) events |= EV_END;
    if (!this.#isAlive) events |= EV_CLOSED;
    if (events !== 0) {
      this.#post(events);
      this.#tcp.touch();
    }
  }
}
