// What summing bytes costs: `npx tsx bench/micro/checksum.ts`. One line per way and length, the fastest of five rounds.
//
// words32   wire/checksum.ts: 32-bit little-endian words, added as doubles
// words16   the definition of RFC 1071 with 16-bit words, for comparison
//
// At an odd offset too, because payload in a ring begins anywhere.

import * as checksum from '../../src/wire/checksum.ts';

function words16(dv: DataView, off: number, length: number): number {
  let sum = 0;
  const end = off + (length & ~1);
  for (; off < end; off += 2) sum += dv.getUint16(off);
  if (length & 1) sum += dv.getUint8(off) << 8;
  return checksum.fold(sum);
}

const dv = new DataView(new ArrayBuffer(1 << 20));
for (let i = 0; i < dv.byteLength; i++) dv.setUint8(i, (i * 7919) >> 3);

const WAYS = { words32: checksum.sum, words16 } as const;
const ROUNDS = 5;
let sink = 0;

for (const [name, sum] of Object.entries(WAYS)) {
  for (const [length, off] of [
    [20, 14],
    [60, 34],
    [1460, 64],
    [1460, 65],
    [65160, 64],
    [65160, 65],
  ]) {
    const times = Math.ceil(2e7 / (length + 100));
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const start = process.hrtime.bigint();
      for (let i = 0; i < times; i++) sink ^= sum(dv, off + (i & 15) * 4, length);
      best = Math.min(best, Number(process.hrtime.bigint() - start) / times);
    }
    const rate = (length / best).toFixed(2);
    console.log(
      `${name} ${String(length).padStart(6)} bytes at ${off}: ${best.toFixed(1).padStart(9)} ns  ${rate} GB/s`,
    );
  }
}
console.log(`(${sink & 1})`);
