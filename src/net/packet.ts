// The packet being received: one scratch object per stack, refilled for every frame.
//
// Nothing keeps a reference to it or to its addresses. Offsets index `dv` and `bytes`, which are a slab of the stack's memory; they
// move to another slab when the packet was put together from fragments.

import { Address } from '../wire/address.ts';
import type { Nic } from './nic.ts';

export const UNICAST = 0;
export const BROADCAST = 1;
export const MULTICAST = 2;
/** Addressed to somebody else. */
export const FOREIGN = 3;

export class Packet {
  nic: Nic;
  dv: DataView;
  bytes: Uint8Array;
  /** Offset of the Ethernet header; of nothing useful when `reassembled`. */
  frame = 0;
  frameEnd = 0;
  /** Offset of the IP header, and of the end of the IP packet, link-layer padding excluded. */
  ip = 0;
  ipEnd = 0;
  /** Offset of the transport header; its payload ends at `ipEnd`. */
  transport = 0;
  protocol = 0;
  ttl = 0;
  tos = 0;
  readonly src = new Address();
  readonly dst = new Address();
  /** UNICAST, BROADCAST or MULTICAST: what kind of address `dst` is. */
  destination = UNICAST;
  /** True when the link-layer destination was not an individual address (RFC 1122 §2.4, §3.2.2). */
  linkBroadcast = false;
  /** The device vouches for the TCP or UDP checksum, or it never crossed a wire. */
  checksumVerified = false;
  /** The transport checksum field holds a partial sum: it never crossed a wire, and cannot be verified. */
  checksumPartial = false;
  /** Payload bytes per segment when this is a super-segment, 0 otherwise. */
  gsoSize = 0;
  /** True when this packet was put together from fragments. */
  reassembled = false;

  constructor(nic: Nic, dv: DataView, bytes: Uint8Array) {
    this.nic = nic;
    this.dv = dv;
    this.bytes = bytes;
  }
}
