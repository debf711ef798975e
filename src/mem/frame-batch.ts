// Many frames as integers: what one `receive()` brought, or what one `send()` takes away.
//
// A descriptor is STRIDE int32s, shared with the native addon:
//
//   0 HEAD    address of the first byte of the Ethernet header
//   1 LENGTH  bytes at HEAD (received: the whole frame; to be sent: headers and any payload copied behind them)
//   2 ADDR1   address of the first payload extent     3 LEN1  its length, 0 when there is none
//   4 ADDR2   address of the second payload extent    5 LEN2  its length, 0 when there is none
//   6, 7      spare
//
// The 12 bytes in front of HEAD always hold the frame's virtio-net header (wire/vnet.ts), also on links that have none.
// Addresses are those of mem/memory.ts. Received frames are valid until the batch is filled again; extents until `send()` returns.

import type { Addr, Memory } from './memory.ts';
import { offsetOf, slabOf } from './memory.ts';

export const STRIDE = 8;
export const HEAD = 0;
export const LENGTH = 1;
export const ADDR1 = 2;
export const LEN1 = 3;
export const ADDR2 = 4;
export const LEN2 = 5;

/** Bytes of virtio-net header in front of every frame. */
export const VNET_LENGTH = 12;
/** Room one received frame may need: virtio header, Ethernet with a VLAN tag, and the largest IP packet. */
export const MAX_FRAME = VNET_LENGTH + 18 + 65535;

export class FrameBatch {
  readonly memory: Memory;
  /** The region headers and received frames live in: a block of `memory` inside one slab. */
  readonly region: Addr;
  readonly regionLength: number;
  /** The region's slab, so that header access needs no lookup. */
  readonly dv: DataView;
  readonly bytes: Uint8Array;
  readonly capacity: number;
  readonly desc: Int32Array;
  /** Frames in the batch. */
  count = 0;
  /** First unused offset of the region, relative to its start. */
  fill = 0;

  /** @throws RangeError when `memory` cannot give `regionLength` bytes. */
  constructor(memory: Memory, regionLength: number, capacity: number) {
    const region = memory.alloc(regionLength);
    if (region < 0)
      throw new RangeError(`no memory for a frame region of ${regionLength} bytes: raise the stack's memory budget`);
    this.memory = memory;
    this.region = region;
    this.regionLength = regionLength;
    this.dv = memory.views[slabOf(region)];
    this.bytes = memory.bytes[slabOf(region)];
    this.capacity = capacity;
    this.desc = new Int32Array(capacity * STRIDE);
  }

  clear(): void {
    this.count = 0;
    this.fill = 0;
  }

  /** Whole length of frame `i`, all extents together. */
  frameLength(i: number): number {
    const at = i * STRIDE;
    return this.desc[at + LENGTH] + this.desc[at + LEN1] + this.desc[at + LEN2];
  }

  /** True when a frame of `length` bytes and its virtio header still fit. */
  hasRoom(length: number): boolean {
    return this.count < this.capacity && this.fill + VNET_LENGTH + length + 8 <= this.regionLength;
  }

  /**
   * Append a frame of `length` bytes for the caller to fill: returns the offset of its Ethernet header in `dv`/`bytes`, with
   * a zeroed virtio header in front, or -1 when there is no room. The IP header lands on a multiple of four.
   */
  append(length: number): number {
    if (!this.hasRoom(length)) return -1;
    // Ethernet is 14 bytes: start frames at 4n + 2.
    const head = this.region + ((this.fill + VNET_LENGTH + 5) & ~3) - 2;
    const off = offsetOf(head);
    const at = this.count++ * STRIDE;
    this.desc[at + HEAD] = head;
    this.desc[at + LENGTH] = length;
    this.desc[at + LEN1] = 0;
    this.desc[at + LEN2] = 0;
    this.bytes.fill(0, off - VNET_LENGTH, off);
    this.fill = head - this.region + length;
    return off;
  }

  /** Append a copy of `frame`, a whole Ethernet frame. False when there is no room. */
  push(frame: Uint8Array): boolean {
    const off = this.append(frame.length);
    if (off < 0) return false;
    this.bytes.set(frame, off);
    return true;
  }

  /** Gather frame `i` into `target` from `start` on, virtio header first when `withVnet`. Returns the bytes written. */
  gather(i: number, target: Uint8Array, start: number, withVnet = false): number {
    const at = i * STRIDE;
    const { desc, memory } = this;
    const lead = withVnet ? VNET_LENGTH : 0;
    let end = start;
    const take = (addr: Addr, length: number): void => {
      if (length === 0) return;
      const off = offsetOf(addr);
      target.set(memory.bytes[slabOf(addr)].subarray(off, off + length), end);
      end += length;
    };
    take(desc[at + HEAD] - lead, desc[at + LENGTH] + lead);
    take(desc[at + ADDR1], desc[at + LEN1]);
    take(desc[at + ADDR2], desc[at + LEN2]);
    return end - start;
  }

  release(): void {
    this.memory.free(this.region, this.regionLength);
  }
}
