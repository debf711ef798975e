// A listener's SYN queue — RFC 9293 §3.10.7.2, RFC 4987: a connection in SYN-RECEIVED that a SYN made, in a few numbers.
//
// A flood of SYNs must cost little, so the connection proper is made when the SYN,ACK is acknowledged.
//
// Invariant: an entry is in the demultiplexer and counted in its listener exactly as long as it is alive.

import type { IcmpError } from '../net/icmp-error.ts';
import type { Packet } from '../net/packet.ts';
import { Timer } from '../time/wheel.ts';
import { Address } from '../wire/address.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff, seqLeq, seqLt } from '../wire/seq.ts';
import { SECOND } from '../world.ts';
import type { Endpoint } from './demux.ts';
import type { Agreement } from './handshake.ts';
import type { TcpListener } from './listener.ts';
import type { Segment } from './segment.ts';
import { ACK, RST, SYN } from './segment.ts';
import * as states from './states.ts';

const INITIAL_RTO = SECOND; // RFC 6298 §2.1
const MAX_RTO = 60 * SECOND; // RFC 6298 §2.5

export class Embryo extends Timer implements Endpoint {
  state = states.SYN_RECEIVED;
  readonly local = new Address();
  readonly localPort: number;
  readonly remote = new Address();
  readonly remotePort: number;
  readonly irs: Seq;
  readonly iss: Seq;
  readonly agreement: Agreement;
  /** What our SYN,ACK offered; never scaled. */
  readonly window: number;
  readonly tsOffset: number;
  tsRecent: number;
  /** When the first SYN,ACK left, µs. */
  readonly sentAt: number;
  /** How often it was sent again. */
  retries = 0;
  /** The fast-open cookie its client asked for (RFC 7413 §4.1.2). */
  cookie: Uint8Array | null = null;
  readonly #listener: TcpListener;

  constructor(
    listener: TcpListener,
    packet: Packet,
    segment: Segment,
    agreement: Agreement,
    iss: Seq,
    window: number,
    tsOffset: number,
    now: number,
  ) {
    super();
    this.#listener = listener;
    this.local.set(packet.dst);
    this.localPort = segment.dstPort;
    this.remote.set(packet.src);
    this.remotePort = segment.srcPort;
    this.irs = segment.seq;
    this.iss = iss;
    this.agreement = agreement;
    this.window = window;
    this.tsOffset = tsOffset;
    this.tsRecent = segment.tsVal;
    this.sentAt = now;
  }

  /** RFC 9293 §3.10.7.4 for SYN-RECEIVED, as far as it goes without a connection. */
  receive(segment: Segment, packet: Packet, now: number): void {
    const listener = this.#listener;
    const { flags, seq } = segment;
    const rcvNxt = seqAdd(this.irs, 1);

    if ((flags & (SYN | ACK | RST)) === SYN && seq === this.irs) {
      listener.sendSynAck(this, now); // the SYN again: our SYN,ACK was lost
      return;
    }
    // RFC 7323 §5.3 R1
    const { timestamps } = this.agreement;
    const isOld =
      timestamps && segment.hasTimestamp && (flags & RST) === 0 && ((segment.tsVal - this.tsRecent) | 0) < 0;
    const last = seqAdd(seq, Math.max(segment.seqLength, 1));
    const edge = seqAdd(rcvNxt, this.window);
    const isAcceptable = seqLeq(rcvNxt, seq) ? seqLeq(seq, edge) : seqLt(rcvNxt, last);
    if (isOld || !isAcceptable) {
      listener.stats.dropTcpUnacceptable++;
      if (isOld) listener.stats.tcpPawsEstab++;
      if ((flags & RST) === 0) listener.sendAck(this, now);
      return;
    }
    if ((flags & RST) !== 0) {
      if (seq === rcvNxt) {
        // RFC 9293 §3.10.7.4 (MUST-11): it came from a LISTEN and goes back there; the user never knew.
        this.state = states.next(this.state, states.RCV_RST_PASSIVE);
        listener.stats.tcpAttemptFails++;
        listener.drop(this);
      } else listener.challenge(this, now); // RFC 5961 §3.2
      return;
    }
    if ((flags & SYN) !== 0) {
      listener.stats.tcpSynChallenge++;
      listener.challenge(this, now); // RFC 5961 §4.2
      return;
    }
    if ((flags & ACK) === 0) return;
    if (segment.ack !== seqAdd(this.iss, 1)) {
      listener.refuse(segment, packet);
      return;
    }
    listener.complete(this, segment, packet, now);
  }

  /** No ACK yet: the SYN,ACK again, until R2 for SYNs (RFC 1122 §4.2.3.5, MUST-22). */
  override onTimer(now: number): void {
    const listener = this.#listener;
    if (this.retries >= listener.synAckRetries) {
      listener.stats.tcpAttemptFails++;
      listener.drop(this);
      return;
    }
    this.retries++;
    listener.stats.tcpRetransSegs++;
    listener.sendSynAck(this, now);
    listener.armRetry(this, now);
  }

  /** Wait before the next retransmission (RFC 6298 §5.5). */
  get wait(): number {
    return Math.min(INITIAL_RTO * 2 ** this.retries, MAX_RTO);
  }

  icmpError(error: IcmpError, seq: Seq): void {
    // RFC 5927 §5.2: only about our SYN,ACK, and only what is not expected to pass.
    if (seqDiff(seq, this.iss) !== 0 || !error.hard) return;
    this.#listener.stats.tcpAttemptFails++;
    this.#listener.drop(this);
  }
}
