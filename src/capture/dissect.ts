// One frame into its layers: link and network. Transport is in dissect-transport.ts.
//
// Never throws, whatever the bytes: what does not hold together ends the list with a `malformed` layer, what the capture cut off
// with a `truncated` one. Length fields are believed only as far as the captured bytes go.

import { Address, formatIpv4, formatMac, type Ipv4 } from '../wire/address.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv4Options from '../wire/ipv4-options.ts';
import type { Context } from './dissect-context.ts';
import { checkedHeader } from './dissect-context.ts';
import { dissectTransport } from './dissect-transport.ts';
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_IPV4,
  LINKTYPE_IPV6,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_LOOP,
  LINKTYPE_NULL,
  LINKTYPE_RAW,
} from './frame.ts';
import type { Layer } from './layers.ts';

const IPV6_HEADER = 40;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const NO_NEXT_HEADER = 59;
const DESTINATION_OPTIONS = 60;

/** The layers of a captured frame. `wireLength` is how long it was, when the capture kept less. */
export function dissect(bytes: Uint8Array, linkType = LINKTYPE_ETHERNET, wireLength = bytes.length): Layer[] {
  const dv = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const context: Context = {
    dv,
    bytes,
    end: bytes.length,
    truncated: wireLength > bytes.length,
    quoted: false,
    layers: [],
  };
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      dissectEthernet(context);
      break;
    case LINKTYPE_RAW:
    case LINKTYPE_IPV4:
    case LINKTYPE_IPV6:
      dissectIp(context, 0);
      break;
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      if (bytes.length >= 4) dissectIp(context, 4);
      else odd(context, 0, 'truncated', 'loopback header');
      break;
    case LINKTYPE_LINUX_SLL:
      if (bytes.length >= 16) dissectPayload(context, dv.getUint16(14), 16);
      else odd(context, 0, 'truncated', 'cooked header');
      break;
    case LINKTYPE_LINUX_SLL2:
      if (bytes.length >= 20) dissectPayload(context, dv.getUint16(0), 20);
      else odd(context, 0, 'truncated', 'cooked header');
      break;
    default:
      odd(context, 0, 'unknown', `link type ${linkType}`);
  }
  return context.layers;
}

function odd(context: Context, off: number, layer: 'unknown' | 'malformed' | 'truncated', what: string): void {
  context.layers.push({ layer, off, length: context.end - off, what });
}

function dissectEthernet(context: Context): void {
  const { dv, end, layers } = context;
  const length = ethernet.check(dv, 0, end);
  if (length === 0) {
    odd(context, 0, context.truncated ? 'truncated' : 'malformed', 'Ethernet header');
    return;
  }
  const type = ethernet.etherType(dv, 0);
  layers.push({
    layer: 'ethernet',
    off: 0,
    length: ethernet.HEADER,
    dst: formatMac(ethernet.dst(dv, 0)),
    src: formatMac(ethernet.src(dv, 0)),
    type,
  });
  if (length === ethernet.TAGGED_HEADER) {
    const priority = ethernet.vlanPriority(dv, 0);
    layers.push({ layer: 'vlan', off: 14, length: 4, id: ethernet.vlanId(dv, 0), priority });
  }
  dissectPayload(context, type, length);
}

function dissectPayload(context: Context, type: number, off: number): void {
  switch (type) {
    case ethernet.TYPE_IPV4:
    case ethernet.TYPE_IPV6:
      dissectIp(context, off);
      break;
    case ethernet.TYPE_ARP:
      dissectArp(context, off);
      break;
    default:
      odd(
        context,
        off,
        'unknown',
        type < ethernet.MIN_TYPE ? '802.3' : `ethertype 0x${type.toString(16).padStart(4, '0')}`,
      );
  }
}

function dissectArp(context: Context, off: number): void {
  const { dv, end, layers } = context;
  if (arp.check(dv, off, end) === 0) {
    odd(context, off, context.truncated ? 'truncated' : 'malformed', 'ARP');
    return;
  }
  layers.push({
    layer: 'arp',
    off,
    length: arp.LENGTH,
    op: arp.op(dv, off),
    senderMac: formatMac(arp.senderMac(dv, off)),
    senderIp: formatIpv4(arp.senderIp(dv, off)),
    targetMac: formatMac(arp.targetMac(dv, off)),
    targetIp: formatIpv4(arp.targetIp(dv, off)),
  });
}

function dissectIp(context: Context, off: number): void {
  const version = off < context.end ? context.dv.getUint8(off) >> 4 : 0;
  if (version === 4) dissectIpv4(context, off);
  else if (version === 6) dissectIpv6(context, off);
  else odd(context, off, off < context.end ? 'malformed' : 'truncated', `IP version ${version}`);
}

function dissectIpv4(context: Context, off: number): void {
  const { dv, end, layers } = context;
  const headerLength = ipv4.headerLength(dv, off);
  const short = end - off < ipv4.MIN_HEADER || end - off < headerLength;
  if (short || headerLength < ipv4.MIN_HEADER) {
    odd(context, off, short && (context.truncated || context.quoted) ? 'truncated' : 'malformed', 'IPv4 header');
    return;
  }
  const totalLength = ipv4.totalLength(dv, off);
  const src = ipv4.src(dv, off);
  const dst = ipv4.dst(dv, off);
  const protocol = ipv4.protocol(dv, off);
  const fragmentOffset = ipv4.fragmentOffset(dv, off);
  const moreFragments = ipv4.moreFragments(dv, off);
  layers.push({
    layer: 'ipv4',
    off,
    length: headerLength,
    tos: ipv4.tos(dv, off),
    totalLength,
    id: ipv4.id(dv, off),
    reservedFlag: (ipv4.fragment(dv, off) & 0x8000) !== 0,
    dontFragment: ipv4.dontFragment(dv, off),
    moreFragments,
    fragmentOffset,
    ttl: ipv4.ttl(dv, off),
    protocol,
    checksum: checkedHeader(dv, off, headerLength),
    src: formatIpv4(src),
    dst: formatIpv4(dst),
    options: describeOptions(dv, off),
  });
  // A super-segment caught before it was cut may be longer than the field can say (then it is 0).
  const claimed = totalLength === 0 ? end : off + totalLength;
  if (claimed < off + headerLength) {
    odd(context, off + headerLength, 'malformed', `IPv4 total length ${totalLength}`);
    return;
  }
  if (claimed > end && !context.truncated && !context.quoted) {
    odd(context, off + headerLength, 'malformed', `IPv4 total length ${totalLength} in ${end - off} bytes`);
    return;
  }
  dissectTransport(
    { ...context, end: Math.min(claimed, end), truncated: context.truncated || claimed > end },
    dissectIp,
    off + headerLength,
    claimed,
    protocol,
    {
      v4: true,
      src: Address.v4(src),
      dst: Address.v4(dst),
      fragmentOffset,
      isFragment: fragmentOffset > 0 || moreFragments,
    },
  );
}

function describeOptions(dv: DataView, off: number): string[] {
  const options: string[] = [];
  const cursor = new ipv4Options.OptionCursor().start(dv, off);
  while (cursor.next()) options.push(describeOption(dv, cursor.type, cursor.off, cursor.length));
  if (cursor.pointer > 0) options.push(`malformed at ${cursor.pointer}`);
  return options;
}

function describeOption(dv: DataView, type: number, off: number, length: number): string {
  const name = ipv4Options.optionName(type);
  if (type === ipv4Options.RECORD_ROUTE || ipv4Options.isSourceRoute(type)) {
    if (!ipv4Options.routeIsValid(dv, off, length)) return `${name} [bad]`;
    const at = ipv4Options.pointer(dv, off);
    const hops: string[] = [];
    for (let i = 3; i + 4 <= length; i += 4) {
      hops.push(`${i + 1 === at ? '^' : ''}${formatIpv4(dv.getInt32(off + i))}`);
    }
    return `${name} ${hops.join(' ')}`;
  }
  if (type === ipv4Options.TIMESTAMP && ipv4Options.timestampIsValid(dv, off, length)) {
    const withAddress = ipv4Options.timestampFlag(dv, off) !== ipv4Options.TIMESTAMP_ONLY;
    const used = ipv4Options.pointer(dv, off) - 1;
    const entries: string[] = [];
    const size = withAddress ? 8 : 4;
    for (let i = 4; i + size <= Math.min(used, length); i += size) {
      const address: Ipv4 = dv.getInt32(off + i);
      entries.push(`${withAddress ? `${formatIpv4(address)}@` : ''}${dv.getUint32(off + i + size - 4)}`);
    }
    const missed = ipv4Options.timestampOverflow(dv, off);
    return `${name} {${entries.join(' ')}}${missed > 0 ? ` +${missed} not recorded` : ''}`;
  }
  return length > 2 ? `${name} (${length} bytes)` : name;
}

function ipv6At(dv: DataView, off: number): Address {
  const address = new Address();
  address.w0 = dv.getInt32(off);
  address.w1 = dv.getInt32(off + 4);
  address.w2 = dv.getInt32(off + 8);
  address.w3 = dv.getInt32(off + 12);
  return address;
}

function dissectIpv6(context: Context, off: number): void {
  const { dv, end, layers } = context;
  if (end - off < IPV6_HEADER) {
    odd(context, off, context.truncated || context.quoted ? 'truncated' : 'malformed', 'IPv6 header');
    return;
  }
  const word = dv.getUint32(off);
  const payloadLength = dv.getUint16(off + 4);
  const src = ipv6At(dv, off + 8);
  const dst = ipv6At(dv, off + 24);
  const claimed = payloadLength === 0 ? end : off + IPV6_HEADER + payloadLength;
  const limit = Math.min(claimed, end);
  const extensions: number[] = [];
  let protocol = dv.getUint8(off + 6);
  let at = off + IPV6_HEADER;
  let fragmentOffset = 0;
  let moreFragments = false;
  // Each extension header is at least eight bytes long, so this ends (RFC 8200 §4).
  while (at + 8 <= limit) {
    if (protocol === FRAGMENT) {
      const field = dv.getUint16(at + 2);
      fragmentOffset = field & 0xfff8;
      moreFragments = (field & 1) === 1;
      extensions.push(protocol);
      protocol = dv.getUint8(at);
      at += 8;
      if (fragmentOffset > 0) break;
    } else if (protocol === HOP_BY_HOP || protocol === ROUTING || protocol === DESTINATION_OPTIONS) {
      extensions.push(protocol);
      protocol = dv.getUint8(at);
      at += 8 + 8 * dv.getUint8(at + 1);
    } else break;
  }
  at = Math.min(at, limit);
  layers.push({
    layer: 'ipv6',
    off,
    length: at - off,
    trafficClass: (word >>> 20) & 0xff,
    flowLabel: word & 0xfffff,
    payloadLength,
    hopLimit: dv.getUint8(off + 7),
    src: src.toString(),
    dst: dst.toString(),
    extensions,
    protocol,
    fragmentOffset,
    moreFragments,
  });
  if (protocol === NO_NEXT_HEADER) return;
  dissectTransport(
    { ...context, end: limit, truncated: context.truncated || claimed > end },
    dissectIp,
    at,
    claimed,
    protocol,
    { v4: false, src, dst, fragmentOffset, isFragment: fragmentOffset > 0 || moreFragments },
  );
}
