// A connection as Linux's struct tcp_info: what `tcpi_…` means in scripts' code.

import type { TcpConnection } from '../../tcp/connection.ts';
import type { Value } from './python.ts';
import { OPTION_BITS } from './symbols.ts';

const IN_MILLIS = 1000;
/** tcpi_state by our state number: Linux's numbers begin with ESTABLISHED at 1. */
const LINUX_STATES = [7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6];
/** FreeBSD's begin with CLOSED at 0, in the order of its TCPS_ constants. */
const BSD_STATES = [0, 1, 2, 3, 4, 6, 9, 5, 7, 8, 10];

const CA_STATES: Record<string, number> = { open: 0, disorder: 1, cwr: 2, recovery: 3, loss: 4 };
const INFINITE_SSTHRESH = 0x7fffffff;

export function stateNumber(state: number, isBsd: boolean): number {
  return (isBsd ? BSD_STATES : LINUX_STATES)[state];
}

/** Every field we know, by name. */
export function tcpInfo(connection: TcpConnection, isBsd: boolean, now: number): Map<string, Value> {
  const info = connection.info();
  const mss = Math.max(1, info.mss);
  const segments = (bytes: number): number => Math.ceil(bytes / mss);
  const options =
    (info.timestamps ? 1 : 0) |
    (info.sack ? 2 : 0) |
    (info.windowScaling ? 4 : 0) |
    (info.ecn ? OPTION_BITS.TCPI_OPT_ECN : 0);
  const { sender, receiver } = connection;
  const inFlight = (sender.sndNxt - sender.sndUna) | 0;
  return new Map<string, Value>([
    ['tcpi_state', stateNumber(connection.state, isBsd)],
    ['tcpi_ca_state', CA_STATES[info.caState] ?? 0],
    ['tcpi_retransmits', sender.retransmits],
    ['tcpi_probes', info.probes],
    ['tcpi_backoff', info.backoff],
    ['tcpi_options', options],
    ['tcpi_snd_wscale', info.sendScale],
    ['tcpi_rcv_wscale', info.receiveScale],
    ['tcpi_rto', Math.round(info.rto)],
    ['tcpi_snd_mss', info.mss],
    ['tcpi_rcv_mss', Math.min(info.advertisedMss, 1460)],
    ['tcpi_unacked', segments(Math.max(inFlight, 0))],
    ['tcpi_sacked', segments(info.sacked)],
    ['tcpi_lost', segments(info.lost)],
    ['tcpi_retrans', segments(info.retransmitting)],
    ['tcpi_fackets', 0],
    ['tcpi_last_data_recv', Math.round((now - receiver.lastDataAt) / IN_MILLIS)],
    ['tcpi_pmtu', info.pathMtu],
    ['tcpi_rtt', Math.round(info.srtt)],
    ['tcpi_rttvar', Math.round(info.rttvar)],
    ['tcpi_snd_ssthresh', Number.isFinite(info.ssthresh) ? inSegments(info.ssthresh, mss, isBsd) : INFINITE_SSTHRESH],
    ['tcpi_snd_cwnd', inSegments(info.cwnd, mss, isBsd)],
    ['tcpi_advmss', info.advertisedMss - (info.timestamps ? 12 : 0)],
    ['tcpi_reordering', Math.max(3, segments(sender.rack.reordering))],
    ['tcpi_rcv_space', info.receiveBuffer],
    ['tcpi_pacing_rate', Math.round(info.pacingRate)],
    ['tcpi_notsent_bytes', Math.max(0, info.sendQueue - Math.max(inFlight, 0))],
    ['tcpi_min_rtt', Math.round(info.minRtt)],
    ['tcpi_delivery_rate', Math.round(info.deliveryRate)],
    ['tcpi_delivered', segments(sender.rate.delivered)],
    ['tcpi_snd_wnd', info.sendWindow],
    ['tcpi_rcv_wnd', info.receiveWindow],
    ['tcpi_rcv_ooopack', info.outOfOrder],
    ['tcpi_reord_seen', sender.rack.reorderingSeen ? 1 : 0],
    ['tcpi_snd_nxt', sender.sndNxt >>> 0],
    ['tcpi_rcv_nxt', receiver.rcvNxt >>> 0],
  ]);
}

/** Linux counts segments, FreeBSD bytes. */
const inSegments = (bytes: number, mss: number, isBsd: boolean): number =>
  isBsd ? Math.round(bytes) : Math.max(1, Math.floor(bytes / mss));
