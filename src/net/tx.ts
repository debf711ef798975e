// The transmit side of a NIC: one packet at a time is put together in a batch of frames, which leaves when it is full and at every flush.
//
//   begin ──► transport header written by the caller ──► ring | copy ──► commit
//
// `commit` writes the IPv4 header (RFC 791 §3.1), the Ethernet header and the virtio header, cuts into fragments what does not fit, and hands
// frames for an unresolved neighbour to that neighbour. What the device refuses is copied and offered again at the next flush.
//
// Invariant: between `begin` and `commit` the open packet is the last frame of the batch; extents are referenced only until `send` returns.

import { EINVAL, EMSGSIZE, ENETDOWN } from '../errno.ts';
import { ADDR1, ADDR2, FrameBatch, LEN1, LEN2, LENGTH, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import { offsetOf } from '../mem/memory.ts';
import type { Ring } from '../mem/ring.ts';
import type { Mac } from '../wire/address.ts';
import * as checksum from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as vnet from '../wire/vnet.ts';
import { copiedOptions } from './fragment.ts';
import type { Nic } from './nic.ts';
import { UNICAST } from './packet.ts';
import type { Path } from './path.ts';

const REGION = 512 * 1024;
const CAPACITY = 256;
/** Region bytes that must be free before a packet is begun: the largest one there is. */
const PACKET_ROOM = VNET_LENGTH + ethernet.TAGGED_HEADER + 65535 + 64;
/** Region bytes the headers of the most fragments one packet can make may take (MTU 68: 1,366 fragments). */
const FRAGMENT_ROOM = 160 * 1024;
// A TAP holds about 1000 frames; what is beyond that has waited too long to be worth sending.
const BACKLOG_FRAMES = 1024;
const BACKLOG_BYTES = 4 * 1024 * 1024;

export class Tx {
  readonly batch: FrameBatch;
  readonly dv: DataView;
  readonly bytes: Uint8Array;
  /** Frames the device refused, oldest first. */
  readonly backlog: Uint8Array[] = [];
  backlogBytes = 0;
  readonly #nic: Nic;
  /** Offset of the region in its slab. */
  readonly #base: number;
  #path: Path | null = null;
  #head = 0;
  #ip = 0;
  #ipHeader = 0;
  #transport = 0;
  #payload = 0;
  #copied = 0;
  #ring: Ring | null = null;
  #position = 0;
  #ringLength = 0;
  #fillBefore = 0;

  constructor(nic: Nic) {
    this.#nic = nic;
    this.batch = new FrameBatch(nic.stack.memory, REGION, CAPACITY);
    this.dv = this.batch.dv;
    this.bytes = this.batch.bytes;
    this.#base = offsetOf(this.batch.region);
  }

  /**
   * Start a packet to `path`, whose `refresh()` the caller has called. Returns the offset in `dv` where a transport header of
   * `headerLength` bytes goes: a multiple of four. `options` are IP options, a multiple of four bytes.
   */
  begin(path: Path, headerLength: number, options: Uint8Array | null = null): number {
    if (this.#path !== null) this.abandon();
    const { batch } = this;
    if (batch.count === CAPACITY || batch.fill + PACKET_ROOM > REGION) this.flush();
    this.#fillBefore = batch.fill;
    this.#ipHeader = ipv4.MIN_HEADER + (options === null ? 0 : options.length);
    const link = this.#nic.headerLength;
    this.#head = batch.append(link + this.#ipHeader + headerLength);
    this.#ip = this.#head + link;
    this.#transport = this.#ip + this.#ipHeader;
    this.#payload = this.#transport + headerLength;
    if (options !== null) this.bytes.set(options, this.#ip + ipv4.MIN_HEADER);
    this.#path = path;
    this.#copied = 0;
    this.#ring = null;
    this.#ringLength = 0;
    return this.#transport;
  }

  /** The packet goes on with `length` bytes of `ring` at `position`, by reference. Once per packet. */
  ring(ring: Ring, position: number, length: number): void {
    this.#ring = length > 0 ? ring : null;
    this.#position = position;
    this.#ringLength = length;
  }

  /** The packet goes on with a copy of `length` bytes of `source` from `start` on. */
  copy(source: Uint8Array, start: number, length: number): void {
    const at = this.#payload + this.#copied;
    // Making a view to copy a few bytes costs more than copying them.
    if (length <= 32) for (let i = 0; i < length; i++) this.bytes[at + i] = source[start + i];
    else this.bytes.set(source.subarray(start, start + length), at);
    this.#copied += length;
  }

  /** Forget the packet that was begun. */
  abandon(): void {
    if (this.#path === null) return;
    this.#path = null;
    this.#ring = null;
    this.batch.count--;
    this.batch.fill = this.#fillBefore;
  }

  /**
   * Send the packet. The transport checksum field at `checksumOffset` is left for the device to complete, unless that is negative. With
   * `gsoSize` the payload is cut into segments of that size. 0, or EMSGSIZE when the packet exceeds the path's MTU and may not be fragmented,
   * or ENETDOWN, or EINVAL for a TTL of zero.
   */
  commit(protocol: number, checksumOffset: number, gsoSize: number): number {
    const path = this.#path;
    if (path === null) return 0;
    const nic = this.#nic;
    const { stats, ids } = nic.stack;
    const { dv, batch } = this;
    const headers = this.#payload - this.#ip;
    const payload = this.#copied + this.#ringLength;
    const total = headers + payload;
    const segmented = gsoSize > 0 && payload > gsoSize;
    const fits = segmented || total <= path.mtu;
    stats.ipOutRequests++;
    if (path.ttl === 0 && path.kind === UNICAST) {
      this.abandon();
      stats.ipOutDiscards++;
      return EINVAL; // RFC 1122 §3.2.1.7
    }
    if (!nic.up || (path.dontFragment && !fits) || total > ipv4.MAX_PACKET) {
      this.abandon();
      stats.ipOutDiscards++;
      if (nic.up) stats.ipFragFails++;
      return nic.up ? EMSGSIZE : ENETDOWN;
    }
    const src = path.local.w3;
    const dst = path.remote.w3;
    // RFC 6864 §4.1: the id of an atomic datagram means nothing; §4.2: any other is not repeated while it may live.
    const id = path.dontFragment ? ids.atomic() : ids.next(src, dst, protocol);
    const flags = path.dontFragment ? ipv4.DONT_FRAGMENT : 0;
    ipv4.set(dv, this.#ip, this.#ipHeader, path.tos, total, id, flags, path.ttl, protocol, src, dst);

    // TCP and UDP are left to the device. It could do any checksum, but captures on the host's side of a TAP show ours as it stands, and what
    // reads them forgives an unfinished sum in those two only.
    const partial = checksumOffset >= 0 && (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP);
    if (checksumOffset >= 0) {
      const field = this.#transport + checksumOffset;
      dv.setUint16(field, partial ? checksum.pseudoV4(src, dst, protocol, total - this.#ipHeader) : 0);
      if (!partial && fits) {
        this.#gather();
        dv.setUint16(field, checksum.finish(checksum.sum(dv, this.#transport, total - this.#ipHeader)));
      }
    }
    if (!fits) {
      this.#fragment(path, protocol, checksumOffset, total);
      return 0;
    }
    ipv4.updateChecksum(dv, this.#ip);
    if (partial) {
      const linkHeader = nic.headerLength;
      const type = segmented ? vnet.GSO_TCPV4 : vnet.GSO_NONE;
      const start = linkHeader + this.#ipHeader;
      const size = segmented ? gsoSize : 0;
      const all = segmented ? linkHeader + headers : 0;
      vnet.set(dv, this.#head - VNET_LENGTH, vnet.NEEDS_CSUM, type, all, size, start, checksumOffset);
    }
    const at = (batch.count - 1) * STRIDE;
    const { desc } = batch;
    desc[at + LENGTH] += this.#copied;
    batch.fill += this.#copied;
    const ring = this.#ring;
    if (ring !== null) {
      const first = Math.min(this.#ringLength, ring.contiguous(this.#position));
      desc[at + ADDR1] = ring.address(this.#position);
      desc[at + LEN1] = first;
      desc[at + ADDR2] = ring.base;
      desc[at + LEN2] = this.#ringLength - first;
      this.#ring = null;
    }
    this.#path = null;
    this.#leave(path, this.#head, this.#fillBefore);
    return 0;
  }

  /** The packet last appended, at `head`, goes its way: to its neighbour, and to our own members. */
  #leave(path: Path, head: number, fillBefore: number): void {
    const { batch } = this;
    this.#address(path, head, fillBefore);
    if (path.kind === UNICAST) return;
    if (path.loop) this.#nic.stack.loopBack(batch, path);
    // RFC 1122 §3.2.1.7: nothing is sent with a TTL of zero. Berkeley sockets ask for it to keep a multicast on the host.
    if (path.ttl === 0) {
      batch.count--;
      batch.fill = fillBefore;
    }
  }

  /** Append a frame with `length` bytes of payload to be written at the returned offset, for protocols other than IP. */
  raw(destination: Mac, type: number, length: number): number {
    const { batch } = this;
    const link = this.#nic.headerLength;
    if (batch.count === CAPACITY || !batch.hasRoom(link + length)) this.flush();
    const off = batch.append(link + length);
    this.#ethernet(off, destination, type);
    this.#nic.stack.touch();
    return off + link;
  }

  /** Append a copied frame (virtio header first) that has waited for `mac`. */
  resend(frame: Uint8Array, mac: Mac): void {
    const { batch } = this;
    const length = frame.length - VNET_LENGTH;
    if (batch.count === CAPACITY || !batch.hasRoom(length)) this.flush();
    const off = batch.append(length);
    this.bytes.set(frame, off - VNET_LENGTH);
    ethernet.setMac(this.dv, off, mac);
    this.#nic.stack.touch();
  }

  /** Hand everything to the device. */
  flush(): void {
    if (this.backlog.length > 0) this.#retry();
    this.#send();
    this.batch.clear();
  }

  /** Forget what the device has refused. */
  drop(): void {
    this.#nic.counters.outDiscards += this.backlog.length;
    this.#nic.stack.stats.ifOutDiscards += this.backlog.length;
    this.backlog.length = 0;
    this.backlogBytes = 0;
  }

  close(): void {
    this.abandon();
    this.drop();
    this.batch.release();
  }

  /** Write the Ethernet header of the last frame, or, when the neighbour is not resolved, give it a copy to keep. */
  #address(path: Path, head: number, fillBefore: number): void {
    const nic = this.#nic;
    nic.stack.touch();
    if (path.kind !== UNICAST) {
      this.#ethernet(head, path.groupMac, ethernet.TYPE_IPV4);
      return;
    }
    if (!nic.hasArp) {
      this.#ethernet(head, 0, ethernet.TYPE_IPV4);
      return;
    }
    let neighbor = path.neighbor;
    if (neighbor === null || neighbor.removed) {
      neighbor = nic.neighbors.find(path.nextHop);
      path.neighbor = neighbor;
    }
    if (neighbor?.usable === true) {
      neighbor.use();
      this.#ethernet(head, neighbor.mac, ethernet.TYPE_IPV4);
      return;
    }
    this.#ethernet(head, 0, ethernet.TYPE_IPV4);
    const { batch } = this;
    const i = batch.count - 1;
    const copy = new Uint8Array(VNET_LENGTH + batch.frameLength(i));
    batch.gather(i, copy, 0, true);
    batch.count--;
    batch.fill = fillBefore;
    // Only now: asking puts a frame of its own into the batch.
    if (neighbor === null) {
      neighbor = nic.neighbors.lookup(path.nextHop);
      path.neighbor = neighbor;
    }
    neighbor.enqueue(copy);
  }

  #ethernet(head: number, destination: Mac, type: number): void {
    const nic = this.#nic;
    if (nic.vlan < 0) ethernet.set(this.dv, head, destination, nic.mac, type);
    else ethernet.setTagged(this.dv, head, destination, nic.mac, type, nic.vlan, 0);
  }

  /**
   * Cut the open packet into fragments — RFC 791 §3.2. They are headers of their own, each with a piece of the packet as extent, so
   * nothing is copied but ring bytes, to have the payload in one piece.
   */
  #fragment(path: Path, protocol: number, checksumOffset: number, total: number): void {
    const nic = this.#nic;
    const { dv, bytes, batch } = this;
    const { stats } = nic.stack;
    const link = nic.headerLength;
    this.#gather();
    const start = this.#transport;
    const end = this.#ip + total;
    if (checksumOffset >= 0) {
      const sum = checksum.sum(dv, start, end - start);
      const value = protocol === ipv4.PROTOCOL_UDP ? checksum.finishUdp(sum) : checksum.finish(sum);
      dv.setUint16(start + checksumOffset, value);
    }
    // From here on the packet is only a source of bytes.
    this.#path = null;
    batch.count--;
    batch.fill = end - this.#base;
    if (batch.fill + FRAGMENT_ROOM > REGION) {
      this.#send();
      batch.fill = 0; // the packet lies near the end of the region: headers written from its start do not reach it
    }
    const source = this.#ip;
    const id = ipv4.id(dv, source);
    const others = copiedOptions(dv, source);
    let header = this.#ipHeader;
    for (let at = start; at < end; ) {
      const first = at === start;
      if (!first) header = ipv4.MIN_HEADER + others.length;
      // RFC 791 §3.2: all but the last carry a multiple of eight bytes.
      const room = (path.mtu - header) & ~7;
      const length = Math.min(room, end - at);
      if (batch.count === CAPACITY) this.#send();
      const fillBefore = batch.fill;
      const head = batch.append(link + header);
      const ip = head + link;
      if (first) bytes.copyWithin(ip, source, source + header);
      else {
        bytes.copyWithin(ip, source, source + ipv4.MIN_HEADER);
        bytes.set(others, ip + ipv4.MIN_HEADER);
      }
      const more = at + length < end ? ipv4.MORE_FRAGMENTS : 0;
      dv.setUint8(ip, 0x40 | (header >> 2));
      ipv4.setTotalLength(dv, ip, header + length);
      ipv4.setId(dv, ip, id);
      ipv4.setFragment(dv, ip, more | ((at - start) >> 3));
      ipv4.updateChecksum(dv, ip);
      const d = (batch.count - 1) * STRIDE;
      batch.desc[d + ADDR1] = batch.region - this.#base + at;
      batch.desc[d + LEN1] = length;
      stats.ipFragCreates++;
      this.#leave(path, head, fillBefore);
      at += length;
    }
    stats.ipFragOKs++;
    // Later packets must not overwrite what the fragments still point at.
    if (batch.fill < end - this.#base && batch.count > 0) {
      this.#send();
      batch.clear();
    }
  }

  /** Have the whole payload lie behind the header: copy what is only referenced. */
  #gather(): void {
    if (this.#ring === null) return;
    this.#ring.read(this.#position, this.bytes, this.#payload + this.#copied, this.#ringLength);
    this.#copied += this.#ringLength;
    this.#ring = null;
    this.#ringLength = 0;
  }

  /** Give the batch to the device; what it refuses is kept. The region's contents stay as they are. */
  #send(): void {
    const { batch } = this;
    if (batch.count === 0) return;
    const nic = this.#nic;
    if (!nic.up) {
      nic.counters.outDiscards += batch.count;
      nic.stack.stats.ifOutDiscards += batch.count;
      batch.count = 0;
      return;
    }
    const taken = this.backlog.length === 0 ? nic.device.send(batch) : 0;
    for (let i = 0; i < taken; i++) nic.countOut(batch.frameLength(i));
    for (let i = taken; i < batch.count; i++) this.#keep(i);
    batch.count = 0;
  }

  #keep(i: number): void {
    const length = VNET_LENGTH + this.batch.frameLength(i);
    if (this.backlog.length >= BACKLOG_FRAMES || this.backlogBytes + length > BACKLOG_BYTES) {
      this.#nic.stack.stats.ifOutDiscards++;
      this.#nic.counters.outDiscards++;
      return;
    }
    const copy = new Uint8Array(length);
    this.batch.gather(i, copy, 0, true);
    this.backlog.push(copy);
    this.backlogBytes += length;
  }

  /** Offer the backlog again, in order, in a batch of its own. */
  #retry(): void {
    const nic = this.#nic;
    if (!nic.up) return;
    const spare = nic.stack.spare;
    while (this.backlog.length > 0) {
      spare.clear();
      let n = 0;
      for (; n < this.backlog.length; n++) {
        const frame = this.backlog[n];
        const off = spare.append(frame.length - VNET_LENGTH);
        if (off < 0) break;
        spare.bytes.set(frame, off - VNET_LENGTH);
      }
      const taken = nic.device.send(spare);
      for (const frame of this.backlog.splice(0, taken)) {
        this.backlogBytes -= frame.length;
        nic.countOut(frame.length - VNET_LENGTH);
      }
      if (taken < n) return;
    }
  }
}
