// Which IP options every fragment repeats — RFC 791 §3.1: those with the copied flag; the others are only in the first.

import * as ipv4 from '../wire/ipv4.ts';
import { isCopied, OptionCursor } from '../wire/ipv4-options.ts';

const NONE = new Uint8Array(0);
const cursor = new OptionCursor();

/** The options that fragments other than the first carry, padded to four bytes. Allocates only when there are some. */
export function copiedOptions(dv: DataView, ip: number): Uint8Array {
  if (ipv4.headerLength(dv, ip) === ipv4.MIN_HEADER) return NONE;
  const found: number[] = [];
  for (cursor.start(dv, ip); cursor.next(); ) {
    if (!isCopied(cursor.type)) continue;
    for (let i = 0; i < cursor.length; i++) found.push(dv.getUint8(cursor.off + i));
  }
  if (found.length === 0) return NONE;
  const options = new Uint8Array((found.length + 3) & ~3); // zeros are END
  options.set(found);
  return options;
}
