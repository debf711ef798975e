// ARP for IPv4 over Ethernet — RFC 826.
//
// Received bytes must pass `check` once; after that every accessor is in bounds.
//
//   htype 2 | ptype 2 | hlen 1 | plen 1 | op 2 | sender MAC 6 | sender IP 4 | target MAC 6 | target IP 4

import type { Ipv4, Mac } from './address.ts';
import { getMac, setMac, TYPE_IPV4 } from './ethernet.ts';

export const LENGTH = 28;
export const HTYPE_ETHERNET = 1;
export const REQUEST = 1;
export const REPLY = 2;

export const htype = (dv: DataView, off: number): number => dv.getUint16(off);
export const ptype = (dv: DataView, off: number): number => dv.getUint16(off + 2);
export const op = (dv: DataView, off: number): number => dv.getUint16(off + 6);
export const senderMac = (dv: DataView, off: number): Mac => getMac(dv, off + 8);
export const senderIp = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 14);
export const targetMac = (dv: DataView, off: number): Mac => getMac(dv, off + 18);
export const targetIp = (dv: DataView, off: number): Ipv4 => dv.getInt32(off + 24);

/** LENGTH if [off, end) holds an ARP packet for IPv4 over Ethernet (the "do I have …" questions of RFC 826), else 0. */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < LENGTH) return 0;
  const known =
    htype(dv, off) === HTYPE_ETHERNET &&
    ptype(dv, off) === TYPE_IPV4 &&
    dv.getUint8(off + 4) === 6 &&
    dv.getUint8(off + 5) === 4;
  return known ? LENGTH : 0;
}

export function set(
  dv: DataView,
  off: number,
  op: number,
  senderMac: Mac,
  senderIp: Ipv4,
  targetMac: Mac,
  targetIp: Ipv4,
): void {
  dv.setUint16(off, HTYPE_ETHERNET);
  dv.setUint16(off + 2, TYPE_IPV4);
  dv.setUint8(off + 4, 6);
  dv.setUint8(off + 5, 4);
  dv.setUint16(off + 6, op);
  setMac(dv, off + 8, senderMac);
  dv.setInt32(off + 14, senderIp);
  setMac(dv, off + 18, targetMac);
  dv.setInt32(off + 24, targetIp);
}
