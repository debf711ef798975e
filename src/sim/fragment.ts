// Cutting a packet that is too big for the next link — RFC 791 §3.2, RFC 1812 §5.3.4.

import { HEADER } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { isCopied, NOP, OptionCursor } from '../wire/ipv4-options.ts';
import { viewOf } from './ecn.ts';

/** The pieces of the IPv4 packet in `frame`, none larger than `mtu`. Options that are not to be copied stay with the first one. */
export function fragments(frame: Uint8Array, mtu: number): Uint8Array[] {
  const dv = viewOf(frame);
  const header = ipv4.headerLength(dv, HEADER);
  const end = HEADER + ipv4.totalLength(dv, HEADER);
  const field = ipv4.fragment(dv, HEADER);
  const pieces: Uint8Array[] = [];
  for (let at = HEADER + header; at < end; ) {
    const room = (mtu - header) & ~7;
    const length = Math.min(room, end - at);
    const isLast = at + length === end;
    const piece = new Uint8Array(HEADER + header + length);
    piece.set(frame.subarray(0, HEADER + header));
    piece.set(frame.subarray(at, at + length), HEADER + header);
    const out = viewOf(piece);
    if (pieces.length > 0) dropUncopied(out, piece);
    ipv4.setTotalLength(out, HEADER, header + length);
    const offset = (field & 0x1fff) + ((at - HEADER - header) >> 3);
    out.setUint16(HEADER + 6, (field & ~0x1fff) | offset | (isLast ? 0 : ipv4.MORE_FRAGMENTS));
    ipv4.updateChecksum(out, HEADER);
    pieces.push(piece);
    at += length;
  }
  return pieces;
}

/** RFC 791 §3.1: only options with the copied flag are in every fragment. */
function dropUncopied(dv: DataView, piece: Uint8Array): void {
  const cursor = new OptionCursor().start(dv, HEADER);
  while (cursor.next()) {
    if (!isCopied(cursor.type)) piece.fill(NOP, cursor.off, cursor.off + cursor.length);
  }
}
