// What the core asks of a link. Everything under `link/` is one of these, or a decorator around one.

import type { FrameBatch } from '../mem/frame-batch.ts';
import type { Mac } from '../wire/address.ts';

/** What a link can do with a frame described by its virtio header. */
export const OFFLOAD_CSUM = 1; // completes partial checksums
export const OFFLOAD_TSO4 = 2; // cuts IPv4 TCP super-segments
export const OFFLOAD_TSO6 = 4;
export const OFFLOAD_TSO_ECN = 8;
export const OFFLOAD_USO = 16; // cuts UDP super-datagrams
export const OFFLOAD_ALL = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO;

export interface Link {
  /** Largest IP packet in bytes that the link carries without cutting (the Ethernet payload). */
  readonly mtu: number;
  /** OFFLOAD_* bits. A link without them is wrapped in `lower`. */
  readonly offload: number;
  /** The link's own hardware address, when it has one to suggest. */
  readonly mac?: Mac;
  /** False for loopback: no Ethernet addressing, no ARP. */
  readonly arp?: boolean;
  /** Clear `rx` and fill it with what has arrived; returns the number of frames. Never blocks. */
  receive(rx: FrameBatch): number;
  /** Take every frame of `tx`. Returns how many the device accepted, in order; the rest are the caller's to keep. */
  send(tx: FrameBatch): number;
  /** Ask to have `wake` called (from outside the core) whenever `receive` may find something. */
  watch?(wake: (() => void) | null): void;
  /** Give every resource back. Idempotent. */
  close?(): void;
}
