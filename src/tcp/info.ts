// A snapshot of a connection, after Linux's TCP_INFO — what `ss -i` and `socket.tcpInfo()` show.
//
// Times are in µs, sizes in bytes unless the name says otherwise.

import type { TcpConnection } from './connection.ts';
import { CA_NAMES } from './recovery.ts';
import { STATE_NAMES } from './states.ts';

export interface TcpInfo {
  readonly state: string;
  readonly caState: string;
  readonly congestion: string;
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly srtt: number;
  readonly rttvar: number;
  readonly minRtt: number;
  readonly rto: number;
  readonly backoff: number;
  readonly probes: number;
  readonly mss: number;
  readonly advertisedMss: number;
  readonly pathMtu: number;
  readonly inFlight: number;
  readonly sacked: number;
  readonly lost: number;
  readonly retransmitting: number;
  /** In the connection's life: payload sent, payload sent again, segments sent again. */
  readonly bytesSent: number;
  readonly bytesRetransmitted: number;
  readonly segmentsRetransmitted: number;
  /** Largest distance, in segments, by which one has overtaken another; 0 when none has (RFC 8985 §6.2). */
  readonly reordering: number;
  readonly deliveryRate: number;
  readonly pacingRate: number;
  readonly sendWindow: number;
  readonly receiveWindow: number;
  readonly sendQueue: number;
  readonly receiveQueue: number;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  readonly outOfOrder: number;
  readonly sendScale: number;
  readonly receiveScale: number;
  readonly sack: boolean;
  readonly timestamps: boolean;
  readonly windowScaling: boolean;
  readonly ecn: boolean;
}

export function describe(connection: TcpConnection): TcpInfo {
  const { sender, receiver, path } = connection;
  const { congestion, flight, rtt } = sender;
  return {
    state: STATE_NAMES[connection.state],
    caState: CA_NAMES[sender.recovery.state],
    congestion: congestion.name,
    cwnd: congestion.cwnd,
    ssthresh: congestion.ssthresh,
    srtt: rtt.srtt,
    rttvar: rtt.rttvar,
    minRtt: Number.isFinite(rtt.min) ? rtt.min : 0,
    rto: rtt.backedOff,
    backoff: rtt.backoff,
    probes: sender.probes,
    mss: sender.mss,
    advertisedMss: receiver.advertisedMss,
    pathMtu: path.mtu,
    inFlight: flight.total,
    sacked: flight.sacked,
    lost: flight.lost,
    retransmitting: flight.retrans,
    bytesSent: connection.bytesSent,
    bytesRetransmitted: connection.bytesRetransmitted,
    segmentsRetransmitted: connection.segmentsRetransmitted,
    reordering: Math.ceil(sender.rack.reordering / sender.mss),
    deliveryRate: sender.rate.rate,
    pacingRate: sender.pacing.rate,
    sendWindow: sender.sndWnd,
    receiveWindow: receiver.rcvWnd,
    sendQueue: connection.unacknowledged,
    receiveQueue: receiver.readable,
    receiveBuffer: receiver.buffer,
    sendBuffer: sender.buffer.limit,
    outOfOrder: receiver.held?.count ?? 0,
    sendScale: sender.sndWndShift,
    receiveScale: receiver.shift,
    sack: sender.sackPermitted,
    timestamps: sender.timestamps,
    windowScaling: connection.scalesWindows,
    ecn: sender.ecn,
  };
}
