// Does what the stack sent agree with what the script expects?
//
// Compared are flags, sequence numbers, acknowledgments, payload length, options as a set without padding, and IP fields the script names.
// Windows and the value of a window scale are an implementation's own business and compared on request. So is where PSH is set
// within a stream; but the last of what was written must carry it (RFC 9293 §3.9.1.2, MUST-61).

import type { IpSpec, OptionSpec, PacketSpec, TcpSpec } from './ast.ts';
import type { Flow } from './flow.ts';
import { icmpCodeName, icmpTypeName } from './icmp-names.ts';
import type { LivePacket, LiveTcp } from './live.ts';
import { printFlags, printOption } from './printer.ts';

const FIN = 0x01;
const SYN = 0x02;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;

export interface MatchOptions {
  /** Compare the window field and the value of the window scale option. */
  readonly windows: boolean;
  /** µs per tick of the timestamps the script expects; 0 leaves their values alone. */
  readonly tsTick: number;
  /** µs that a timestamp may be off. */
  readonly tolerance: number;
  /** A pure ACK may stand where the script repeats an unacknowledged FIN with the same acknowledgment (see profile.ts). */
  readonly finRepeats: boolean;
}

/** null when `live` is what `spec` says, else what is different. */
export function compare(spec: PacketSpec, live: LivePacket, flow: Flow, options: MatchOptions): string | null {
  if (spec.protocol !== live.protocol) return `expected ${spec.protocol}, the stack sent ${live.protocol}`;
  const ip = compareIp(spec.ip, live);
  if (ip !== null) return ip;
  if (spec.protocol === 'tcp' && live.protocol === 'tcp') return compareTcp(spec, live, flow, options);
  if (spec.protocol === 'udp' && live.protocol === 'udp')
    return spec.length === live.length ? null : `expected ${spec.length} bytes, the stack sent ${live.length}`;
  if (spec.protocol === 'icmp' && live.protocol === 'icmp') {
    const name = (type: number, code: number): string => `${icmpTypeName(type)} ${icmpCodeName(type, code)}`.trim();
    const same = spec.type === live.type && spec.code === live.code && (spec.mtu === 0 || spec.mtu === live.mtu);
    return same ? null : `expected icmp ${name(spec.type, spec.code)}, got ${name(live.type, live.code)}`;
  }
  return null;
}

function compareIp(spec: IpSpec, live: LivePacket): string | null {
  const ecn = live.tos & 3;
  if (spec.ecn === 'ect01' && ecn !== 1 && ecn !== 2) return `expected ECT, the packet has ECN bits ${ecn}`;
  if (typeof spec.ecn === 'number' && spec.ecn !== ecn) return `expected ECN bits ${spec.ecn}, got ${ecn}`;
  if (spec.tos !== null && spec.tos !== live.tos) return `expected TOS ${spec.tos}, got ${live.tos}`;
  if (spec.ttl !== null && spec.ttl !== live.ttl) return `expected TTL ${spec.ttl}, got ${live.ttl}`;
  return null;
}

/** FreeBSD acknowledges by repeating a FIN that is not acknowledged yet; an ACK behind the FIN says the same. */
function repeatsFin(spec: TcpSpec, live: LiveTcp, flow: Flow): boolean {
  return (
    (spec.flags & (FIN | SYN)) === FIN &&
    spec.length === 0 &&
    live.length === 0 &&
    live.flags === ACK &&
    flow.scriptSeq(live.seq) === ((spec.seq ?? -1) + 1) >>> 0 &&
    live.ack >>> 0 === spec.ack
  );
}

function compareTcp(spec: TcpSpec, live: LiveTcp, flow: Flow, options: MatchOptions): string | null {
  if (options.finRepeats && repeatsFin(spec, live, flow))
    return compareOptions(spec.options, live.options, flow, options);
  const flags = compareFlags(spec, live);
  if (flags !== null) return flags;
  if (flow.expectsIsn && (live.flags & SYN) !== 0) flow.begin(live.seq, spec.seq ?? 0);
  const seq = flow.scriptSeq(live.seq);
  if (spec.seq !== null && seq !== spec.seq >>> 0) return `expected sequence number ${spec.seq}, got ${seq}`;
  if (live.length !== spec.length) return `expected ${spec.length} bytes of payload, got ${live.length}`;
  if ((spec.flags & ACK) !== 0 && live.ack >>> 0 !== spec.ack >>> 0)
    return `expected ack ${spec.ack}, got ${live.ack >>> 0}`;
  if ((spec.flags & URG) !== 0 && live.urgent !== spec.urgent)
    return `expected urgent pointer ${spec.urgent}, got ${live.urgent}`;
  if (options.windows && spec.window >= 0 && spec.window !== live.window)
    return `expected win ${spec.window}, got ${live.window}`;
  return compareOptions(spec.options, live.options, flow, options);
}

function compareFlags(spec: TcpSpec, live: LiveTcp): string | null {
  const different = spec.flags ^ live.flags;
  // A PSH the script has and we have not: only in the middle of what was written, which is where we leave it out.
  const mayLackPush = different === PSH && (spec.flags & PSH) !== 0 && live.length > 0;
  if (different === 0 || mayLackPush) return null;
  return `expected flags ${printFlags(spec.flags)}, got ${printFlags(live.flags)}`;
}

function compareOptions(
  expected: readonly OptionSpec[] | null,
  actual: readonly OptionSpec[],
  flow: Flow,
  options: MatchOptions,
): string | null {
  if (expected === null) return null;
  const isReal = (option: OptionSpec): boolean => option.kind !== 'nop' && option.kind !== 'eol';
  const wanted = expected.filter(isReal);
  const left = actual.filter(isReal);
  for (const want of wanted) {
    const at = left.findIndex((option) => option.kind === want.kind);
    if (at < 0) return `expected the option ${printOption(want)}, which is not there`;
    const [got] = left.splice(at, 1);
    const difference = compareOption(want, got, flow, options);
    if (difference !== null) return difference;
  }
  return left.length === 0 ? null : `the option ${printOption(left[0])} is not expected`;
}

function compareOption(want: OptionSpec, got: OptionSpec, flow: Flow, options: MatchOptions): string | null {
  if (want.kind === 'TS' && got.kind === 'TS') {
    if (want.ecr >>> 0 !== got.ecr) return `expected timestamp echo ${want.ecr}, got ${got.ecr}`;
    flow.nameTimestamp(want.val, got.val | 0);
    if (options.tsTick === 0) return null;
    const off = Math.abs((flow.scriptTimestamp(got.val | 0) - want.val) | 0) * options.tsTick;
    if (off > options.tolerance) return `expected TS val ${want.val}, got ${flow.scriptTimestamp(got.val | 0)}`;
    return null;
  }
  if (want.kind === 'wscale' && !options.windows) return null;
  const wanted = printOption(want);
  return wanted === printOption(got) ? null : `expected the option ${wanted}, got ${printOption(got)}`;
}

/** Take the first `length` bytes of a super-segment: the part a script expects, and the rest. */
export function split(live: LiveTcp, length: number): [LiveTcp, LiveTcp] {
  const rest = live.length - length;
  return [
    { ...live, length, flags: live.flags & ~(PSH | FIN), gsoSize: length > live.gsoSize ? live.gsoSize : 0 },
    { ...live, seq: (live.seq + length) | 0, length: rest, gsoSize: rest > live.gsoSize ? live.gsoSize : 0 },
  ];
}

/** `next` follows `live` without a gap: one segment of both, as a device that does not cut would have sent it. */
export function join(live: LiveTcp, next: LiveTcp): LiveTcp | null {
  const follows = next.seq === ((live.seq + live.length) | 0) && next.length > 0 && live.length > 0;
  const alike = next.ack === live.ack && (live.flags & (SYN | FIN)) === 0 && (next.flags & SYN) === 0;
  if (!follows || !alike) return null;
  return { ...live, length: live.length + next.length, flags: next.flags, options: next.options };
}
