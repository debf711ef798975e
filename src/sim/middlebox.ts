// Boxes in the middle of a path that read further than they should: they strip or clamp TCP options, and wash out ECN.
//
// A box changes frames in place and mends checksums by the difference (RFC 1624), so that damage done elsewhere stays visible.
//
// Invariant: a frame a box does not understand passes untouched.

import * as checksum from '../wire/checksum.ts';
import { HEADER } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import * as options from '../wire/tcp-options.ts';
import { holdsIpv4, setTos, viewOf } from './ecn.ts';

export interface Middlebox {
  /**
   * `frame` passes, away from the first end of the cable when `outward`. Return it, changed or not, or another one, or null to swallow it.
   * `now` is µs.
   */
  pass(frame: Uint8Array, outward: boolean, now: number): Uint8Array | null;
}

/** Offset of the TCP header of an unfragmented, whole segment; 0 for anything else. */
function tcpAt(dv: DataView): number {
  if (!holdsIpv4(dv) || ipv4.isFragment(dv, HEADER) || ipv4.protocol(dv, HEADER) !== ipv4.PROTOCOL_TCP) return 0;
  const at = HEADER + ipv4.headerLength(dv, HEADER);
  return tcp.check(dv, at, HEADER + ipv4.totalLength(dv, HEADER)) > 0 ? at : 0;
}

/** Write the 16-bit word that contains offset `at`, changed by `change`, and mend the checksum of the TCP header at `header`. */
function patchByte(dv: DataView, header: number, at: number, value: number): void {
  const word = at - ((at - header) & 1);
  const before = dv.getUint16(word);
  dv.setUint8(at, value);
  tcp.setChecksum(dv, header, checksum.update16(tcp.checksum(dv, header), before, dv.getUint16(word)));
}

export type OptionName = 'mss' | 'wscale' | 'sack' | 'timestamps' | 'fastopen';

const KINDS: Record<OptionName, readonly number[]> = {
  mss: [options.MSS],
  wscale: [options.WINDOW_SCALE],
  sack: [options.SACK_PERMITTED, options.SACK],
  timestamps: [options.TIMESTAMPS],
  fastopen: [options.FAST_OPEN],
};

/** Overwrites TCP options with NOPs, on SYNs and later, as firewalls that "normalise" do. */
export function stripOptions(...names: readonly OptionName[]): Middlebox {
  const kinds = new Set(
    names.flatMap((name) => {
      if (!(name in KINDS))
        throw new RangeError(`stripOptions: ${String(name)} is none of ${Object.keys(KINDS).join(', ')}`);
      return KINDS[name];
    }),
  );
  const cursor = new options.OptionCursor();
  return {
    pass(frame) {
      const dv = viewOf(frame);
      const at = tcpAt(dv);
      if (at === 0) return frame;
      cursor.start(dv, at + tcp.MIN_HEADER, at + tcp.headerLength(dv, at));
      while (cursor.next()) {
        if (!kinds.has(cursor.kind)) continue;
        for (let i = 0; i < cursor.length; i++) patchByte(dv, at, cursor.off + i, options.NOP);
      }
      return frame;
    },
  };
}

/** Lowers the MSS a SYN announces to `most`, as access routers do in front of tunnels. */
export function clampMss(most: number): Middlebox {
  return {
    pass(frame) {
      const dv = viewOf(frame);
      const at = tcpAt(dv);
      if (at === 0 || (tcp.flags(dv, at) & tcp.SYN) === 0) return frame;
      const option = options.find(dv, at + tcp.MIN_HEADER, at + tcp.headerLength(dv, at), options.MSS);
      if (option < 0 || dv.getUint8(option + 1) !== 4 || dv.getUint16(option + 2) <= most) return frame;
      patchByte(dv, at, option + 2, most >> 8);
      patchByte(dv, at, option + 3, most & 0xff);
      return frame;
    },
  };
}

/** Limits the window scale a SYN announces. */
export function clampWindowScale(most: number): Middlebox {
  return {
    pass(frame) {
      const dv = viewOf(frame);
      const at = tcpAt(dv);
      if (at === 0 || (tcp.flags(dv, at) & tcp.SYN) === 0) return frame;
      const option = options.find(dv, at + tcp.MIN_HEADER, at + tcp.headerLength(dv, at), options.WINDOW_SCALE);
      if (option >= 0 && dv.getUint8(option + 2) > most) patchByte(dv, at, option + 2, most);
      return frame;
    },
  };
}

/** Clears the ECN bits of every packet, as old routers do that take the octet for TOS. */
export function bleachEcn(): Middlebox {
  return {
    pass(frame) {
      const dv = viewOf(frame);
      if (holdsIpv4(dv) && ipv4.ecn(dv, HEADER) !== 0) setTos(dv, ipv4.tos(dv, HEADER) & ~ipv4.ECN_MASK);
      return frame;
    },
  };
}

/** Swallows every packet `blocks` says to: a firewall. */
export function firewall(blocks: (frame: Uint8Array, outward: boolean) => boolean): Middlebox {
  return { pass: (frame, outward) => (blocks(frame, outward) ? null : frame) };
}
