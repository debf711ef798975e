// The names packet scripts use for ICMP types and codes — RFC 792, RFC 1122 §3.2.2.1.

import * as icmpv4 from '../../wire/icmpv4.ts';

const TYPES: Record<string, number> = {
  echo_reply: icmpv4.ECHO_REPLY,
  unreachable: icmpv4.DESTINATION_UNREACHABLE,
  source_quench: icmpv4.SOURCE_QUENCH,
  redirect: icmpv4.REDIRECT,
  echo_request: icmpv4.ECHO,
  time_exceeded: icmpv4.TIME_EXCEEDED,
  parameter_problem: icmpv4.PARAMETER_PROBLEM,
  timestamp_request: icmpv4.TIMESTAMP,
  timestamp_reply: icmpv4.TIMESTAMP_REPLY,
  address_mask_request: icmpv4.ADDRESS_MASK,
  address_mask_reply: icmpv4.ADDRESS_MASK_REPLY,
};

const UNREACHABLE: Record<string, number> = {
  net_unreachable: icmpv4.NET_UNREACHABLE,
  host_unreachable: icmpv4.HOST_UNREACHABLE,
  protocol_unreachable: icmpv4.PROTOCOL_UNREACHABLE,
  port_unreachable: icmpv4.PORT_UNREACHABLE,
  frag_needed: icmpv4.FRAGMENTATION_NEEDED,
  source_route_failed: icmpv4.SOURCE_ROUTE_FAILED,
  net_unknown: icmpv4.NET_UNKNOWN,
  host_unknown: icmpv4.HOST_UNKNOWN,
  source_host_isolated: icmpv4.HOST_ISOLATED,
  net_prohibited: icmpv4.NET_PROHIBITED,
  host_prohibited: icmpv4.HOST_PROHIBITED,
  net_unreachable_for_tos: icmpv4.NET_UNREACHABLE_TOS,
  host_unreachable_for_tos: icmpv4.HOST_UNREACHABLE_TOS,
  communication_prohibited: icmpv4.ADMINISTRATIVELY_PROHIBITED,
  comm_prohibited: icmpv4.ADMINISTRATIVELY_PROHIBITED,
  packet_filtered: icmpv4.ADMINISTRATIVELY_PROHIBITED,
  host_precedence_violation: icmpv4.PRECEDENCE_VIOLATION,
  precedence_violation: icmpv4.PRECEDENCE_VIOLATION,
  precedence_cutoff: icmpv4.PRECEDENCE_CUTOFF,
};

const OTHER: Record<number, Record<string, number>> = {
  [icmpv4.TIME_EXCEEDED]: {
    ttl_exceeded: icmpv4.TTL_EXCEEDED,
    exc_ttl: icmpv4.TTL_EXCEEDED,
    ttl: icmpv4.TTL_EXCEEDED,
    ttl_exceeded_in_transit: icmpv4.TTL_EXCEEDED,
    fragment_time_exceeded: icmpv4.REASSEMBLY_EXCEEDED,
    frag_reass_exceeded: icmpv4.REASSEMBLY_EXCEEDED,
    exc_fragtime: icmpv4.REASSEMBLY_EXCEEDED,
  },
  [icmpv4.REDIRECT]: {
    net: icmpv4.REDIRECT_NET,
    host: icmpv4.REDIRECT_HOST,
    tos_net: icmpv4.REDIRECT_NET_TOS,
    tos_host: icmpv4.REDIRECT_HOST_TOS,
  },
};

/** -1 for a name that is none. */
export const icmpType = (name: string): number => (Object.hasOwn(TYPES, name) ? TYPES[name] : -1);

export function icmpCode(type: number, name: string): number {
  const number = /^code_(\d{1,3})$/.exec(name);
  if (number !== null) return Number(number[1]);
  const codes = type === icmpv4.DESTINATION_UNREACHABLE ? UNREACHABLE : (OTHER[type] ?? {});
  return Object.hasOwn(codes, name) ? codes[name] : -1;
}

export const icmpTypeName = (type: number): string =>
  Object.keys(TYPES).find((name) => TYPES[name] === type) ?? `type_${type}`;

export function icmpCodeName(type: number, code: number): string {
  const codes = type === icmpv4.DESTINATION_UNREACHABLE ? UNREACHABLE : (OTHER[type] ?? {});
  return Object.keys(codes).find((name) => codes[name] === code) ?? '';
}
