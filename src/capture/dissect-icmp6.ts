// ICMPv6 — RFC 4443, and the neighbour discovery of RFC 4861: what a Linux host says on any link, our own included.

import { Address } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import type { Context, DissectIp, Network } from './dissect-context.ts';
import { checked, data, short } from './dissect-context.ts';
import type { IcmpLayer, Layer } from './layers.ts';

const PROTOCOL_ICMP6 = 58;
const HEADER = 8;
const ECHO = 128;
const ECHO_REPLY = 129;
const PACKET_TOO_BIG = 2;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;

const NAMES: Record<number, string> = {
  1: 'destination unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbor solicitation',
  136: 'neighbor advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

export function dissectIcmp6(
  context: Context,
  dissectIp: DissectIp,
  off: number,
  claimed: number,
  network: Network,
): void {
  const { dv, end, layers } = context;
  if (end - off < HEADER) {
    short(context, off, 'ICMPv6');
    return;
  }
  const type = dv.getUint8(off);
  const quoted: Layer[] = [];
  if (type < 128) dissectIp({ ...context, quoted: true, layers: quoted }, off + HEADER);
  const pseudo = checksum.pseudo(network.src, network.dst, PROTOCOL_ICMP6, claimed - off);
  layers.push({
    layer: 'icmp6',
    off,
    length: HEADER,
    type,
    code: dv.getUint8(off + 1),
    name: NAMES[type] ?? `type ${type}`,
    checksum: checked(context, off, off + 2, network, pseudo),
    messageLength: claimed - off,
    ...fields(dv, off, end, type),
    ...(quoted.length > 0 ? { quoted } : {}),
  });
  if (type === ECHO || type === ECHO_REPLY) data(context, off + HEADER, end, 0, 0, false);
}

function fields(dv: DataView, off: number, end: number, type: number): Partial<IcmpLayer> {
  if (type === ECHO || type === ECHO_REPLY) return { id: dv.getUint16(off + 4), seq: dv.getUint16(off + 6) };
  if (type === PACKET_TOO_BIG) return { mtu: dv.getUint32(off + 4) };
  if ((type === NEIGHBOR_SOLICITATION || type === NEIGHBOR_ADVERTISEMENT) && end - off >= 24) {
    const target = new Address();
    target.w0 = dv.getInt32(off + 8);
    target.w1 = dv.getInt32(off + 12);
    target.w2 = dv.getInt32(off + 16);
    target.w3 = dv.getInt32(off + 20);
    return { target: target.toString() };
  }
  return {};
}
