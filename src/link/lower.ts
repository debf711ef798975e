// Stands in for what a device cannot do — VIRTIO 1.2 §5.1.6.2: cuts super-segments and completes partial checksums, so that the stack
// above has one transmit path whatever the link below is able to.
//
// A checksum is completed in place. A super-segment is cut into frames of a batch of our own: new headers, payload still by
// reference. Frames below keep the order of the frames above. Received frames pass as they are: `Packet.checksumVerified` and `gsoSize`
// tell the stack what they leave undone.
//
// Invariant: a frame of the caller's counts as accepted as soon as one of its segments has gone. What remains of that one frame
// is copied to `held`, and goes before anything else does.

import { ADDR1, ADDR2, FrameBatch, HEAD, LENGTH, MAX_FRAME, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Memory } from '../mem/memory.ts';
import { offsetOf, slabOf } from '../mem/memory.ts';
import type { Mac } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import { Cutter } from '../wire/gso.ts';
import * as vnet from '../wire/vnet.ts';
import type { Link } from './link.ts';
import { OFFLOAD_CSUM, OFFLOAD_TSO_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from './link.ts';

const EVERYTHING = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO;
const SEGMENTS = 512;
const REGION = 1 << 18; // 512 headers of the usual 66 bytes take 44 KB; the rest is for payload that lies behind its header

// What a frame needs that the link below cannot do.
const NOTHING = 0;
const CHECKSUM = 1;
const CUTTING = 2;
const MALFORMED = 3;

/** `link` with every offload: itself when it has them all. `memory` is that of the batches to be sent. */
export const lower = (link: Link, memory: Memory): Link =>
  (link.offload & EVERYTHING) === EVERYTHING ? link : new LowerLink(link, memory);

export class LowerLink implements Link {
  readonly inner: Link;
  readonly mtu: number;
  readonly offload = EVERYTHING;
  readonly mac?: Mac;
  readonly arp?: boolean;
  readonly watch?: (wake: (() => void) | null) => void;
  /** Frames whose virtio header asked for something impossible. */
  malformed = 0;
  readonly #can: number;
  readonly #cutter = new Cutter();
  readonly #out: FrameBatch;
  /** For every frame of `#out`, the caller's frame it comes from and which segment of that it is. */
  readonly #from = new Int32Array(SEGMENTS);
  readonly #segment = new Int32Array(SEGMENTS);
  /** At most one super-segment that has gone in part, and the first of its segments that has not. */
  readonly #held: FrameBatch;
  #heldSegment = 0;
  /** Frames of `#out` the link took last. */
  #accepted = 0;
  #closed = false;

  /** @throws RangeError when `memory` has not the 384 KB this needs. */
  constructor(inner: Link, memory: Memory) {
    this.inner = inner;
    this.mtu = inner.mtu;
    this.mac = inner.mac;
    this.arp = inner.arp;
    if (inner.watch !== undefined) this.watch = (wake) => inner.watch?.(wake);
    this.#can = inner.offload;
    this.#out = new FrameBatch(memory, REGION, SEGMENTS);
    this.#held = new FrameBatch(memory, MAX_FRAME + 8, 1);
  }

  receive(rx: FrameBatch): number {
    if (this.#held.count > 0 && !this.#closed) this.#sendHeld(); // a device that has frames for us may have room again
    return this.inner.receive(rx);
  }

  send(tx: FrameBatch): number {
    if (tx.memory !== this.#out.memory) throw new TypeError("lower: give it the memory of the stack's frame batches");
    if (this.#closed) return tx.count; // an unplugged cable swallows what is sent into it
    if (!this.#sendHeld()) return 0;
    let rebuild = false;
    for (let i = 0; i < tx.count; i++) {
      const need = this.#need(tx, i);
      if (need === CHECKSUM) this.#complete(tx, i);
      else if (need !== NOTHING) rebuild = true;
    }
    return rebuild ? this.#sendCut(tx) : this.inner.send(tx);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#out.release();
    this.#held.release();
    this.inner.close?.();
  }

  #need(tx: FrameBatch, i: number): number {
    const at = i * STRIDE;
    const dv = tx.memory.views[slabOf(tx.desc[at + HEAD])];
    const header = offsetOf(tx.desc[at + HEAD]) - VNET_LENGTH;
    const wantsChecksum = (vnet.flags(dv, header) & vnet.NEEDS_CSUM) !== 0;
    const type = vnet.gsoType(dv, header);
    if (type === vnet.GSO_NONE && !wantsChecksum) return NOTHING;
    if (!vnet.check(dv, header, tx.desc[at + LENGTH])) return MALFORMED;
    let required = OFFLOAD_CSUM;
    if (type !== vnet.GSO_NONE) {
      if (type === vnet.GSO_TCPV4) required |= OFFLOAD_TSO4;
      else if (type === vnet.GSO_TCPV6) required |= OFFLOAD_TSO6;
      else if (type === vnet.GSO_UDP_L4) required |= OFFLOAD_USO;
      else return MALFORMED;
      if (vnet.hasEcn(dv, header)) required |= OFFLOAD_TSO_ECN;
    }
    if ((this.#can & required) === required) return NOTHING;
    return type === vnet.GSO_NONE ? CHECKSUM : CUTTING;
  }

  /** Finish the transport checksum of frame `i` and take the request out of its virtio header, so that doing it again is harmless. */
  #complete(tx: FrameBatch, i: number): void {
    const at = i * STRIDE;
    const { desc, memory } = tx;
    const dv = memory.views[slabOf(desc[at + HEAD])];
    const off = offsetOf(desc[at + HEAD]);
    const header = off - VNET_LENGTH;
    const start = vnet.csumStart(dv, header);
    const field = vnet.csumOffset(dv, header);
    let length = desc[at + LENGTH] - start;
    // The field holds the pseudo-header's sum: summing over it adds that in.
    let sum = checksum.sum(dv, off + start, length);
    for (let e = at + ADDR1; e <= at + ADDR2; e += ADDR2 - ADDR1) {
      if (desc[e + 1] === 0) continue;
      const extent = checksum.sum(memory.views[slabOf(desc[e])], offsetOf(desc[e]), desc[e + 1]);
      sum = checksum.join(sum, extent, length);
      length += desc[e + 1];
    }
    // Zero and all ones are the same sum; UDP alone gives zero a meaning (RFC 768).
    const value = checksum.finishField(sum, field);
    dv.setUint16(off + start + field, value);
    vnet.clear(dv, header);
  }

  #sendCut(tx: FrameBatch): number {
    this.#out.clear();
    for (let i = 0; i < tx.count; i++) {
      const need = this.#need(tx, i);
      if (need === MALFORMED) {
        this.malformed++;
        continue;
      }
      if (need === NOTHING) {
        if (this.#out.count === SEGMENTS && !this.#flush()) return this.#refused(tx);
        this.#refer(tx, i);
        continue;
      }
      for (let segment = 0; segment >= 0; ) {
        segment = this.#cutFrom(tx, i, segment);
        if (segment >= 0 && !this.#flush()) return this.#refused(tx);
      }
    }
    return this.#flush() ? tx.count : this.#refused(tx);
  }

  /** Append the descriptor of frame `i` as it is. */
  #refer(tx: FrameBatch, i: number): void {
    const out = this.#out;
    const from = i * STRIDE;
    const to = out.count * STRIDE;
    for (let k = 0; k < STRIDE; k++) out.desc[to + k] = tx.desc[from + k];
    this.#from[out.count] = i;
    this.#segment[out.count] = 0;
    out.count++;
  }

  /** Cut frame `i` from segment `first` on. Returns -1 when all of it is in `#out`, else the segment that found no room. */
  #cutFrom(tx: FrameBatch, i: number, first: number): number {
    const at = i * STRIDE;
    const cutter = this.#cutter;
    const dv = tx.memory.views[slabOf(tx.desc[at + HEAD])];
    const head = offsetOf(tx.desc[at + HEAD]);
    if (!cutter.begin(dv, head, tx.frameLength(i)) || cutter.headerLength > tx.desc[at + LENGTH]) {
      this.malformed++;
      return -1;
    }
    for (let segment = first; segment < cutter.count; segment++) {
      if (!this.#appendSegment(tx, i, segment)) return segment;
    }
    return -1;
  }

  #appendSegment(tx: FrameBatch, i: number, segment: number): boolean {
    const out = this.#out;
    const cutter = this.#cutter;
    const { headerLength } = cutter;
    const at = i * STRIDE;
    const start = cutter.payloadStart(segment);
    const size = cutter.payloadSize(segment);
    // Payload that lies behind the headers is copied behind the new ones, so that extents stay extents and no frame needs a third.
    const inHead = tx.desc[at + LENGTH] - headerLength;
    const copied = Math.max(0, Math.min(size, inHead - start));
    const off = out.append(headerLength + copied);
    if (off < 0) return false;
    const index = out.count - 1;
    this.#from[index] = i;
    this.#segment[index] = segment;
    cutter.header(segment, out.dv, off);
    let sum = 0;
    if (copied > 0) {
      const source = tx.desc[at + HEAD] + headerLength + start;
      tx.memory.copy(out.desc[index * STRIDE + HEAD] + headerLength, source, copied);
    }
    const complete = (this.#can & OFFLOAD_CSUM) === 0;
    if (complete) sum = checksum.sum(out.dv, off + headerLength, copied);
    let done = copied;
    let position = inHead; // of the next extent's first byte within the payload
    let slot = index * STRIDE + ADDR1;
    for (let e = at + ADDR1; e <= at + ADDR2; e += ADDR2 - ADDR1) {
      const skip = start + done - position;
      const take = Math.min(size - done, tx.desc[e + 1] - skip);
      position += tx.desc[e + 1];
      if (take <= 0) continue;
      const address = tx.desc[e] + skip;
      out.desc[slot] = address;
      out.desc[slot + 1] = take;
      slot += ADDR2 - ADDR1;
      if (complete) {
        const extent = checksum.sum(tx.memory.views[slabOf(address)], offsetOf(address), take);
        sum = checksum.join(sum, extent, done);
      }
      done += take;
    }
    if (complete) {
      cutter.finish(out.dv, off, sum);
    } else {
      const { transport, checksumField } = cutter;
      vnet.set(out.dv, off - VNET_LENGTH, vnet.NEEDS_CSUM, vnet.GSO_NONE, 0, 0, transport, checksumField - transport);
    }
    return true;
  }

  /** Send `#out` and empty it. False when the link refused a part: `#accepted` says how many frames it took. */
  #flush(): boolean {
    const { count } = this.#out;
    this.#accepted = count === 0 ? 0 : this.inner.send(this.#out);
    if (this.#accepted < count) return false;
    this.#out.clear();
    return true;
  }

  /** The link is full: how many of the caller's frames count as sent, and the rest of a frame that went in part is kept. */
  #refused(tx: FrameBatch): number {
    const frame = this.#from[this.#accepted];
    const segment = this.#segment[this.#accepted];
    if (segment === 0) return frame;
    this.#hold(tx, frame, segment);
    return frame + 1;
  }

  #hold(tx: FrameBatch, frame: number, segment: number): void {
    const held = this.#held;
    held.clear();
    const off = held.append(tx.frameLength(frame));
    if (off < 0) {
      this.malformed++; // longer than any frame may be
      return;
    }
    tx.gather(frame, held.bytes, off - VNET_LENGTH, true);
    this.#heldSegment = segment;
  }

  /** True when nothing is held any more. */
  #sendHeld(): boolean {
    const held = this.#held;
    while (held.count > 0) {
      this.#out.clear();
      const next = this.#cutFrom(held, 0, this.#heldSegment);
      if (!this.#flush()) {
        if (this.#accepted > 0) this.#heldSegment = this.#segment[this.#accepted];
        return false;
      }
      if (next < 0) held.clear();
      else this.#heldSegment = next;
    }
    return true;
  }
}
