// Congestion control behind one small interface — RFC 5681, RFC 9743 (how to specify one).
//
// A controller owns cwnd, ssthresh and a pacing rate, hears what happened and answers with new values. It never sends, never sees a
// segment and holds no reference to the sender. Windows are bytes, times µs, rates bytes per second.
//
// To write one: implement `CongestionControl` and pass a factory as the socket's `congestion` option, or `registerCongestion` it by name.

import { Bbr } from './bbr.ts';
import { Cubic } from './cubic.ts';
import { NewReno } from './newreno.ts';

/** What one ACK says, in a scratch object that is refilled for every ACK: keep numbers, not the object. */
export class AckSample {
  now = 0;
  mss = 0;
  sndUna = 0;
  sndNxt = 0;
  /** Bytes newly delivered: acknowledged or SACKed for the first time. */
  acked = 0;
  /** Bytes newly deemed lost. */
  lost = 0;
  /** Bytes in flight before this ACK, and now. */
  priorPipe = 0;
  pipe = 0;
  /** RTT of the newest segment delivered, beyond doubt its own; -1 when the ACK gives none. */
  rtt = -1;
  /** 0 before the first sample. */
  srtt = 0;
  /** Infinity before the first sample. */
  minRtt = Infinity;
  /** cwnd was what held the sender back lately (RFC 9438 §5.8, RFC 7661). */
  cwndLimited = false;
  /** And the ACK is progress by which cwnd may grow: it acknowledges something new. */
  mayGrow = false;
  /** Fast recovery or CWR is in progress: PRR governs cwnd, unless the controller `ownsRecovery`. */
  recovering = false;
  /** After a timeout, until everything sent before it is acknowledged. */
  timedOut = false;
  /** The ACK carries ECE (RFC 3168). */
  ecnEcho = false;
  /** Delivery rate (draft-cheng-iccrg-delivery-rate-estimation), bytes per second; 0 when the ACK gives none. */
  rate = 0;
  rateInterval = 0;
  rateAppLimited = false;
  /** Bytes delivered and lost in the connection's life, and what they were when the sampled segment was sent (-1: no sample). */
  delivered = 0;
  priorDelivered = -1;
  lostTotal = 0;
  priorLost = 0;
  /** Bytes in flight when the sampled segment had been sent. */
  pipeAtSend = 0;
}

export interface CongestionControl {
  readonly name: string;
  /** It sets cwnd in recovery itself; PRR (RFC 9937) keeps out. */
  readonly ownsRecovery: boolean;
  cwnd: number;
  /** Infinity until the first loss (RFC 5681 §3.1: arbitrarily high). */
  ssthresh: number;
  /** Bytes per second; 0 leaves it to the sender, which derives one from cwnd and SRTT. */
  pacingRate: number;
  /** Every ACK that delivers something, or changes what is in flight. */
  onAck(sample: AckSample): void;
  /** Fast recovery begins; `flight` bytes were in flight. Sets ssthresh; PRR brings cwnd down to it. */
  onLoss(flight: number, now: number): void;
  /** The retransmission timer expired. Sets ssthresh, and cwnd to one segment (RFC 5681 §3.1 (4)). `first`: the first time for this flight. */
  onTimeout(flight: number, first: boolean, now: number): void;
  /** Congestion was signalled by ECE (RFC 3168 §6.1.2), once per window. */
  onEcnEcho(flight: number, now: number): void;
  /** Sending starts again after `idle` µs with nothing in flight; `rto` as it stands (RFC 5681 §4.1). */
  onIdle(idle: number, rto: number, now: number): void;
  /** Recovery (also CWR, and after a timeout) is complete. */
  onRecoveryExit(now: number): void;
  /** The last reduction was for a loss that was none (RFC 4015, RFC 9438 §4.9): take it back. */
  undo(now: number): void;
  /** The MSS changed. */
  setMss(mss: number): void;
}

export type CongestionFactory = (mss: number, initialWindow: number) => CongestionControl;

const factories = new Map<string, CongestionFactory>([
  ['cubic', (mss, window) => new Cubic(mss, window)],
  ['reno', (mss, window) => new NewReno(mss, window)],
  ['bbr', (mss, window) => new Bbr(mss, window)],
]);

/** Make a controller known under `name`, for every socket created from now on. */
export function registerCongestion(name: string, factory: CongestionFactory): void {
  factories.set(name, factory);
}

export const congestionNames = (): string[] => [...factories.keys()];

/** The factory for `choice`; throws for a name nobody registered. */
export function congestionFactory(choice: string | CongestionFactory): CongestionFactory {
  if (typeof choice === 'function') return choice;
  const factory = factories.get(choice);
  if (factory === undefined) {
    throw new RangeError(`congestion control "${choice}" is not known; known are ${congestionNames().join(', ')}`);
  }
  return factory;
}
