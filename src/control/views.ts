// What a running stack answers over its control socket. Plain data: everything here survives JSON.

export interface StackView {
  tap: string;
  pid: number;
  version: string;
  addresses: string[];
  gateway: string | null;
  mac: string;
  mtu: number;
  /** Seconds since it started. */
  uptime: number;
  services: string[];
}

export interface NeighborView {
  address: string;
  /** Null until resolved. */
  mac: string | null;
  /** incomplete, reachable, stale, delay, probe, failed or permanent. */
  state: string;
  interface: string;
}

export interface RouteView {
  destination: string;
  gateway: string | null;
  interface: string;
  metric: number;
  source: string | null;
}

export interface SocketView {
  protocol: 'tcp' | 'udp' | 'icmp';
  state: string;
  /** Bytes the application has not read; for a listener: connections waiting to be accepted. */
  receiveQueue: number;
  /** Bytes the peer has not acknowledged; for a listener: its backlog. */
  sendQueue: number;
  local: string;
  peer: string;
  /** The connection's inner state, when it was asked for. */
  info?: Record<string, string | number | boolean>;
}

export type StatsView = Record<string, number>;

export type PingItem =
  | { type: 'sent'; seq: number }
  | {
      type: 'reply';
      seq: number;
      from: string;
      bytes: number;
      ttl: number;
      rtt: number;
      duplicate: boolean;
      route: string[];
    }
  | { type: 'error'; seq: number; from: string; message: string }
  | { type: 'timeout'; seq: number };

export interface ProbeView {
  /** Null when nothing answered in time. */
  from: string | null;
  rtt: number | null;
  /** traceroute's mark for an error, such as "!H", or empty. */
  mark: string;
}

export interface HopView {
  hop: number;
  probes: ProbeView[];
}

export interface FrameView {
  /** Nanoseconds since 1970, in decimal: they do not fit a JSON number. */
  time: string;
  direction: 'in' | 'out';
  interface: string;
  /** The frame in base64. */
  data: string;
  /** Frames lost before this one because the reader was too slow. */
  lost: number;
}
