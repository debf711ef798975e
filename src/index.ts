// The public surface of tapstack, and nothing else.

export type { CapturedFrame, Direction } from './capture/frame.ts';
export type { Dns } from './dns/dns.ts';
export type { DnsError } from './dns/errors.ts';
export type { DnsOptions } from './dns/options.ts';
export type { Clock, ClockTimer } from './driver/clock.ts';
export { VirtualClock } from './driver/virtual-clock.ts';
export { DuplexLink, type DuplexLinkOptions } from './link/duplex.ts';
export {
  type Link,
  OFFLOAD_CSUM,
  OFFLOAD_TSO_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO,
} from './link/link.ts';
export type { MacEntry } from './link/mac-table.ts';
export { type PipeEnd, type PipeOptions, pipe } from './link/pipe.ts';
export { type PortView, Switch, type SwitchOptions, type SwitchWorld } from './link/switch.ts';
export type { PortCounters } from './link/switch-port.ts';
export { Tap, TapLink, type TapOptions } from './link/tap.ts';
export {
  type WebSocketConnectOptions,
  WebSocketLink,
  type WebSocketLinkOptions,
  WebSocketLinkServer,
  type WebSocketServerOptions,
} from './link/websocket.ts';
export type { Lookup, LookupCallback } from './node/context.ts';
export { createSwitch } from './node/create-switch.ts';
export type { Dgram, DgramSocket, RemoteInfo } from './node/dgram.ts';
export type { CodedError, NetworkError } from './node/errors.ts';
export type { Net } from './node/net.ts';
export {
  type CaptureSink,
  type CloseOptions,
  createStack,
  NodeStack,
  type NodeStackEvents,
} from './node/node-stack.ts';
export type { InterfaceOptions, RouteOptions, StackOptions } from './node/options.ts';
export type { Ping, PingItem, PingOptions, PingReply, PingSummary } from './node/ping.ts';
export type { Server } from './node/server.ts';
export type { Socket, SocketOptions } from './node/socket.ts';
export type { Hop, Probe, Traceroute, TracerouteOptions, TracerouteResult } from './node/traceroute.ts';
export type { ConnectTuning, ListenTuning, Tuning } from './node/tuning.ts';
export type { ConnectOptions, SocketAddress, SocketInfo, SocketStreams } from './node/web-streams.ts';
export type { Service } from './service/api.ts';
export {
  isServiceName,
  SERVICE_NAMES,
  type ServiceName,
  type ServiceOptions,
  startService,
  startServices,
} from './service/index.ts';
export { NtpError, type NtpQueryOptions, type NtpResult, ntpQuery } from './service/ntp/client.ts';
export { createNtpServer, type NtpServer, type NtpServerOptions } from './service/ntp/server.ts';
export { createPop3Server, type Pop3Options, type Pop3Server } from './service/pop3/server.ts';
export { Stack } from './stack.ts';
export { Stats } from './stats.ts';
export {
  type AckSample,
  type CongestionControl,
  type CongestionFactory,
  congestionNames,
  registerCongestion,
} from './tcp/congestion/congestion.ts';
export type { EcnMode } from './tcp/ecn.ts';
export type { TcpInfo } from './tcp/info.ts';
export type { TcpOptions } from './tcp/options.ts';
export { Address, formatIpv4, formatMac, type Ipv4, type Mac, parseIpv4, parseMac } from './wire/address.ts';
export {
  broadcastOf,
  type Cidr,
  contains,
  formatCidr,
  hostMaxOf,
  hostMinOf,
  hostsOf,
  networkOf,
  overlaps,
  parseCidr,
} from './wire/cidr.ts';
export type { Entropy, World } from './world.ts';
