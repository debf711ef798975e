// What a frame says, layer by layer: the one description behind the one-line summary, the full decode, JSON and filters.
//
// Plain data: numbers where a header has numbers, text for addresses. `off` and `length` are the header's place in the frame.

/** What a checksum came to. `partial`: the field holds the pseudo-header's sum, for a device to complete (checksum offload). */
export type Verdict = 'good' | 'bad' | 'partial' | 'absent' | 'unchecked';

export interface Checksum {
  readonly value: number;
  readonly verdict: Verdict;
  /** What it should have been, when it is bad. */
  readonly expected?: number;
}

interface Header {
  readonly off: number;
  readonly length: number;
}

export interface EthernetLayer extends Header {
  readonly layer: 'ethernet';
  readonly dst: string;
  readonly src: string;
  /** EtherType, of what follows a VLAN tag if there is one; the length of an 802.3 frame below 0x600. */
  readonly type: number;
}

export interface VlanLayer extends Header {
  readonly layer: 'vlan';
  readonly id: number;
  readonly priority: number;
}

export interface ArpLayer extends Header {
  readonly layer: 'arp';
  readonly op: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}

export interface Ipv4Layer extends Header {
  readonly layer: 'ipv4';
  readonly tos: number;
  readonly totalLength: number;
  readonly id: number;
  readonly reservedFlag: boolean;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: Checksum;
  readonly src: string;
  readonly dst: string;
  /** Each in words. */
  readonly options: readonly string[];
}

export interface Ipv6Layer extends Header {
  readonly layer: 'ipv6';
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly payloadLength: number;
  readonly hopLimit: number;
  readonly src: string;
  readonly dst: string;
  /** Next-header values of the extension headers, in order. */
  readonly extensions: readonly number[];
  /** The upper-layer protocol. */
  readonly protocol: number;
  readonly fragmentOffset: number;
  readonly moreFragments: boolean;
}

export interface IcmpLayer extends Header {
  readonly layer: 'icmp' | 'icmp6';
  readonly type: number;
  readonly code: number;
  readonly name: string;
  readonly checksum: Checksum;
  /** The whole message. */
  readonly messageLength: number;
  readonly id?: number;
  readonly seq?: number;
  readonly mtu?: number;
  readonly pointer?: number;
  readonly gateway?: string;
  readonly mask?: string;
  readonly originate?: number;
  readonly receive?: number;
  readonly transmit?: number;
  /** Neighbour discovery: the address asked about. */
  readonly target?: string;
  /** Errors: the packet complained about. */
  readonly quoted?: readonly Layer[];
}

export interface IgmpLayer extends Header {
  readonly layer: 'igmp';
  readonly type: number;
  readonly name: string;
  readonly group: string | null;
}

export interface UdpLayer extends Header {
  readonly layer: 'udp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly datagramLength: number;
  readonly checksum: Checksum;
  readonly payloadLength: number;
}

export interface TcpLayer extends Header {
  readonly layer: 'tcp';
  readonly srcPort: number;
  readonly dstPort: number;
  /** Unsigned, as printed. */
  readonly seq: number;
  readonly ack: number;
  readonly reserved: number;
  readonly flags: number;
  readonly window: number;
  readonly urgentPointer: number;
  readonly checksum: Checksum;
  readonly options: readonly TcpOption[];
  readonly payloadLength: number;
}

export interface TcpOption {
  readonly kind: number;
  readonly text: string;
  /** The blocks of a SACK option: left and right edges, unsigned. */
  readonly blocks?: readonly (readonly [left: number, right: number])[];
}

export interface DataLayer extends Header {
  readonly layer: 'data';
  /** What it is in a few words, when that is clear: "POP3: +OK ready", "DNS …". */
  readonly hint: string | null;
}

/** What could not be made sense of. */
export interface OddLayer extends Header {
  readonly layer: 'unknown' | 'malformed' | 'truncated';
  readonly what: string;
}

export type Layer =
  | EthernetLayer
  | VlanLayer
  | ArpLayer
  | Ipv4Layer
  | Ipv6Layer
  | IcmpLayer
  | IgmpLayer
  | UdpLayer
  | TcpLayer
  | DataLayer
  | OddLayer;

/** The layer called `name`, or undefined. */
export function layerOf<N extends Layer['layer']>(
  layers: readonly Layer[],
  name: N,
): (Layer & { layer: N }) | undefined {
  return layers.find((layer): layer is Layer & { layer: N } => layer.layer === name);
}

const PROTOCOLS: Record<number, string> = {
  0: 'HOPOPT',
  1: 'ICMP',
  2: 'IGMP',
  4: 'IPIP',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMPv6',
  89: 'OSPF',
  112: 'VRRP',
  132: 'SCTP',
};

export const protocolName = (protocol: number): string => PROTOCOLS[protocol] ?? 'unknown';
