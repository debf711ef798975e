// The bytes every benchmark moves; bench/c/pattern.h makes the same ones. A flow enters the table at a place its client's port gives, so that
// a byte lost, repeated or put into another flow shows.

const PERIOD = 65521;
/** Longest piece that is contiguous wherever it starts. */
export const SPAN = 1 << 18;

export const pattern = Buffer.alloc(PERIOD + SPAN);
for (let i = 0, x = 1; i < PERIOD; i++) {
  x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  pattern[i] = x >>> 24;
}
for (let i = PERIOD; i < pattern.length; i++) pattern[i] = pattern[i - PERIOD];

/** Where in the table the byte at `position` of the flow from `clientPort` is. */
export const placeOf = (clientPort: number, position: number): number => (clientPort * 131 + position) % PERIOD;

/** Compares `chunk` with what belongs at `position`: every byte, or the first and last eight. */
export function matches(chunk: Buffer, clientPort: number, position: number, full: boolean): boolean {
  const place = placeOf(clientPort, position);
  const { length } = chunk;
  if (full || length < 16) {
    for (let at = 0; at < length; at += SPAN) {
      const n = Math.min(SPAN, length - at);
      const from = (place + at) % PERIOD;
      if (chunk.compare(pattern, from, from + n, at, at + n) !== 0) return false;
    }
    return true;
  }
  for (let i = 0; i < 8; i++) {
    if (chunk[i] !== pattern[place + i]) return false;
  }
  const last = (place + length - 8) % PERIOD;
  for (let i = 0; i < 8; i++) {
    if (chunk[length - 8 + i] !== pattern[last + i]) return false;
  }
  return true;
}
