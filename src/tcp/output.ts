// Segments without payload, written straight into the transmit batch — RFC 9293 §3.1 (MUST-2), §3.10.7.1.
//
// SYNs, resets and acknowledgments look the same whoever sends them: a connection, a SYN queue entry, one in TIME-WAIT, or nobody.

import type { Packet } from '../net/packet.ts';
import type { Path } from '../net/path.ts';
import type { Stats } from '../stats.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd } from '../wire/seq.ts';
import * as tcp from '../wire/tcp.ts';
import * as options from '../wire/tcp-options.ts';
import type { Segment } from './segment.ts';
import { ACK, RST } from './segment.ts';

export const PROTOCOL_TCP = 6;

/** A header to be sent: scratch, refilled for every segment. */
export class Header {
  srcPort = 0;
  dstPort = 0;
  seq: Seq = 0;
  ack: Seq = 0;
  flags = 0;
  window = 0;
  timestamps = false;
  tsVal = 0;
  tsEcr = 0;
  /** Only on a SYN: 0 leaves the MSS and everything else out. */
  mss = 0;
  windowScale = -1;
  sackPermitted = false;
  /** The fast-open option; empty asks for a cookie (RFC 7413 §4.1.1). */
  fastOpen: Uint8Array | null = null;
  sackCount = 0;
  readonly sack = new Int32Array(8);

  /** Back to a plain segment from `srcPort` to `dstPort`. */
  reset(srcPort: number, dstPort: number): this {
    this.srcPort = srcPort;
    this.dstPort = dstPort;
    this.seq = 0;
    this.ack = 0;
    this.flags = 0;
    this.window = 0;
    this.timestamps = false;
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.fastOpen = null;
    this.sackCount = 0;
    return this;
  }

  /** Length of the header with its options. */
  get length(): number {
    if (this.mss > 0) {
      const sackAlone = this.sackPermitted && !this.timestamps ? 4 : 0;
      const fastOpen = this.fastOpen === null ? 0 : (this.fastOpen.length + 5) & ~3;
      return tcp.MIN_HEADER + 4 + (this.timestamps ? 12 : 0) + sackAlone + (this.windowScale >= 0 ? 4 : 0) + fastOpen;
    }
    return tcp.MIN_HEADER + (this.timestamps ? 12 : 0) + (this.sackCount > 0 ? 4 + 8 * this.sackCount : 0);
  }

  /** Write it at `off`; `length` is this header's length. */
  write(dv: DataView, off: number, length: number): void {
    tcp.set(dv, off, this.srcPort, this.dstPort, this.seq, this.ack, length, this.flags, this.window);
    let at = off + tcp.MIN_HEADER;
    if (this.mss > 0) {
      const { mss, windowScale, sackPermitted, timestamps, tsVal, tsEcr, fastOpen } = this;
      at += options.setSyn(dv, at, mss, windowScale, sackPermitted, timestamps, tsVal, tsEcr);
      if (fastOpen !== null) options.setFastOpen(dv, at, fastOpen);
      return;
    }
    if (this.timestamps) at += options.setTimestamps(dv, at, this.tsVal, this.tsEcr);
    if (this.sackCount > 0) options.setSack(dv, at, this.sack, this.sackCount);
  }
}

/** Send a segment of a header only. Returns 0 or a negative errno: it is then as if the network had lost it. */
export function send(path: Path, header: Header, stats: Stats): number {
  const errno = path.refresh();
  if (errno < 0) return errno;
  const { tx } = path.nic;
  const { length } = header;
  header.write(tx.dv, tx.begin(path, length), length);
  stats.tcpOutSegs++;
  if ((header.flags & RST) !== 0) stats.tcpOutRsts++;
  return tx.commit(PROTOCOL_TCP, tcp.CHECKSUM_OFFSET, 0);
}

/** The reset that answers a segment nobody wants — RFC 9293 §3.10.7.1, §3.5.2 group 1. */
export function resetFor(header: Header, segment: Segment): Header {
  header.reset(segment.dstPort, segment.srcPort);
  if ((segment.flags & ACK) !== 0) {
    header.seq = segment.ack;
    header.flags = RST;
  } else {
    header.ack = seqAdd(segment.seq, segment.seqLength);
    header.flags = RST | ACK;
  }
  return header;
}

/** Fill `segment` from `packet`. False when the packet holds no well-formed segment. */
export function parse(packet: Packet, segment: Segment): boolean {
  const { dv, transport: off } = packet;
  const header = tcp.check(dv, off, packet.ipEnd);
  if (header === 0) return false;
  const flags = tcp.flags(dv, off);
  segment.srcPort = tcp.srcPort(dv, off);
  segment.dstPort = tcp.dstPort(dv, off);
  segment.seq = tcp.seq(dv, off);
  segment.ack = tcp.ack(dv, off);
  segment.flags = flags;
  segment.window = tcp.window(dv, off);
  segment.windowScaled = segment.window;
  segment.urgentPointer = tcp.urgentPointer(dv, off);
  segment.payload = off + header;
  segment.length = packet.ipEnd - segment.payload;
  // SYN is bit 1 and FIN bit 0: each takes one sequence number.
  segment.seqLength = segment.length + ((flags >> 1) & 1) + (flags & 1);
  segment.bytes = packet.bytes;
  segment.gsoSize = packet.gsoSize;
  segment.count = packet.gsoSize > 0 ? Math.ceil(segment.length / packet.gsoSize) : 1;
  segment.congestionExperienced = (packet.tos & 3) === 3;
  // In any segment (RFC 9293 §3.1, MUST-5). Malformed ones end the parse, not the segment: what came before them counts (MUST-7).
  options.parse(dv, off + tcp.MIN_HEADER, off + header, segment);
  return true;
}
