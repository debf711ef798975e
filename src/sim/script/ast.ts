// What a packet script says, as data — the language of google/packetdrill.
//
// A script is header options and a list of events in order of time. Times are in µs, numbers as they stand in the script.

/** Something this interpreter does not do: the script is reported as unsupported, and why. */
export class Unsupported extends Error {
  override name = 'Unsupported';
}

/** The script itself is wrong. */
export class ScriptError extends Error {
  override name = 'ScriptError';
  readonly line: number;

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

export interface Script {
  readonly options: ReadonlyMap<string, string>;
  readonly events: readonly Event[];
}

/** When an event is due. */
export interface When {
  /** `*`: at any time. */
  readonly any: boolean;
  /** Counted from the event before. */
  readonly relative: boolean;
  readonly at: number;
  /** The end of a range `a~b`. */
  readonly until: number | null;
  /** The end of a blocking call `a...b`. */
  readonly end: number | null;
}

interface EventBase {
  readonly line: number;
  /** null: as soon as the event before is done. */
  readonly when: When | null;
  /** The event as it stands in the script, its time left out. */
  readonly text: string;
}

export interface CommandEvent extends EventBase {
  readonly kind: 'command';
  readonly command: string;
}

export interface CodeEvent extends EventBase {
  readonly kind: 'code';
  readonly code: string;
}

export interface CallEvent extends EventBase {
  readonly kind: 'call';
  readonly name: string;
  readonly args: readonly Expression[];
  readonly result: Expression;
  /** The name behind a result of -1. */
  readonly errno: string | null;
}

export interface PacketEvent extends EventBase {
  readonly kind: 'packet';
  readonly inbound: boolean;
  readonly packet: PacketSpec;
}

export type Event = CommandEvent | CodeEvent | CallEvent | PacketEvent;

export interface IpSpec {
  /** 0 … 3, 'ect01' for either ECT, null when the script does not say. */
  readonly ecn: number | 'ect01' | null;
  readonly tos: number | null;
  readonly ttl: number | null;
}

export interface TcpSpec {
  readonly protocol: 'tcp';
  readonly ip: IpSpec;
  readonly srcPort: number;
  readonly dstPort: number;
  /** TCP flag bits, AE at 0x100. */
  readonly flags: number;
  /** null: `...(length)`, wherever it is. */
  readonly seq: number | null;
  readonly length: number;
  readonly ack: number;
  /** -1 when the script does not say. */
  readonly window: number;
  readonly urgent: number;
  /** null: `<...>`, whatever they are. */
  readonly options: readonly OptionSpec[] | null;
}

export interface UdpSpec {
  readonly protocol: 'udp';
  readonly ip: IpSpec;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly length: number;
}

export interface IcmpSpec {
  readonly protocol: 'icmp';
  readonly ip: IpSpec;
  readonly type: number;
  readonly code: number;
  readonly mtu: number;
  readonly id: number;
  /** What the message quotes: a segment of ours, or a datagram of so many bytes. */
  readonly quoted: { protocol: 'tcp'; seq: number; length: number } | { protocol: 'udp'; length: number };
}

export type PacketSpec = TcpSpec | UdpSpec | IcmpSpec;

export type OptionSpec =
  | { readonly kind: 'nop' }
  | { readonly kind: 'eol' }
  | { readonly kind: 'mss'; readonly value: number }
  | { readonly kind: 'wscale'; readonly value: number }
  | { readonly kind: 'sackOK' }
  | { readonly kind: 'sack'; readonly blocks: readonly (readonly [left: number, right: number])[] }
  | { readonly kind: 'TS'; readonly val: number; readonly ecr: number }
  | { readonly kind: 'FO' | 'FOEXP'; readonly cookie: string };

/** An argument or result of a system call. */
export type Expression =
  | { readonly kind: 'any' }
  | { readonly kind: 'number'; readonly value: number; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'or'; readonly items: readonly Expression[] }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'struct'; readonly fields: readonly Field[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] };

/** A member of `{ … }`: `name=value`, `name(bytes)=value` or a value alone. */
export interface Field {
  readonly name: string;
  readonly value: Expression;
}
