// Ethernet II header, with or without one 802.1Q tag — RFC 894, IEEE 802.3 §3.1.1, IEEE 802.1Q §9.6.
//
// Received bytes must pass `check` once; after that every accessor is in bounds.
//
//   dst 6 | src 6 | [0x8100, priority 3 | drop eligible 1 | VLAN id 12] | type 2 | payload

import type { Mac } from './address.ts';

export const HEADER = 14;
export const TAGGED_HEADER = 18;
/** Shortest frame without its check sequence: shorter ones are padded behind the payload (IEEE 802.3 §3.2.8). */
export const MIN_FRAME = 60;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100;
export const TYPE_SERVICE_VLAN = 0x88a8;
export const TYPE_IPV6 = 0x86dd;
/** Smaller values in the type field are the length of an 802.3 frame (RFC 1122 §2.3.3). */
export const MIN_TYPE = 0x0600;

export const getMac = (dv: DataView, off: number): Mac => dv.getUint16(off) * 0x1_0000_0000 + dv.getUint32(off + 2);

export function setMac(dv: DataView, off: number, mac: Mac): void {
  const low = mac >>> 0;
  dv.setUint16(off, (mac - low) / 0x1_0000_0000);
  dv.setUint32(off + 2, low);
}

/** The group bit: broadcast or multicast (IEEE 802.3 §3.2.3). */
export const isGroup = (mac: Mac): boolean => (Math.floor(mac / 0x100_0000_0000) & 1) === 1;
/** 01:00:5e and the low 23 bits of the group (RFC 1112 §6.4). */
export const multicastMac = (group: number): Mac => 0x0100_5e00_0000 + (group & 0x7fffff);

export const dst = (dv: DataView, off: number): Mac => getMac(dv, off);
export const src = (dv: DataView, off: number): Mac => getMac(dv, off + 6);
export const isTagged = (dv: DataView, off: number): boolean => {
  const type = dv.getUint16(off + 12);
  return type === TYPE_VLAN || type === TYPE_SERVICE_VLAN;
};
export const headerLength = (dv: DataView, off: number): number => (isTagged(dv, off) ? TAGGED_HEADER : HEADER);
/** The type of the payload, behind the tag when there is one. */
export const etherType = (dv: DataView, off: number): number => dv.getUint16(off + (isTagged(dv, off) ? 16 : 12));
/** VLAN 0 … 4095, or -1 for an untagged frame. */
export const vlanId = (dv: DataView, off: number): number => (isTagged(dv, off) ? dv.getUint16(off + 14) & 0xfff : -1);
/** Priority 0 … 7; only meaningful when tagged. */
export const vlanPriority = (dv: DataView, off: number): number => dv.getUint8(off + 14) >> 5;

/** Length of the header at `off` (14, or 18 with a tag), or 0 if [off, end) cannot hold one. */
export function check(dv: DataView, off: number, end: number): number {
  if (end - off < HEADER) return 0;
  const length = headerLength(dv, off);
  return off + length <= end ? length : 0;
}

export function set(dv: DataView, off: number, dst: Mac, src: Mac, type: number): void {
  setMac(dv, off, dst);
  setMac(dv, off + 6, src);
  dv.setUint16(off + 12, type);
}

/** An 18-byte header in VLAN `vlan`. */
export function setTagged(
  dv: DataView,
  off: number,
  dst: Mac,
  src: Mac,
  type: number,
  vlan: number,
  priority: number,
): void {
  set(dv, off, dst, src, TYPE_VLAN);
  dv.setUint16(off + 14, (priority << 13) | vlan);
  dv.setUint16(off + 16, type);
}
