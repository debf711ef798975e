// Copying payload between two arrays: a view of the source and `set`, a loop, `copyWithin` inside one array. ns per copy.
//
// It decides below which length src/mem/memory.ts copies in a loop.

const SLAB = 1 << 24;
const a = new Uint8Array(SLAB);
const b = new Uint8Array(SLAB);

function time(name: string, length: number, copy: (at: number) => void): void {
  const rounds = Math.max(20_000, Math.min(2_000_000, 400_000_000 / length)) | 0;
  const run = (n: number): void => {
    for (let i = 0, at = 0; i < n; i++, at = (at + 2048) & 0xfffff) copy(at);
  };
  run(20_000);
  const start = process.hrtime.bigint();
  run(rounds);
  const ns = Number(process.hrtime.bigint() - start) / rounds;
  console.log(`${String(length).padStart(6)} B  ${name.padEnd(12)} ${ns.toFixed(1).padStart(8)} ns`);
}

for (const length of [1, 16, 64, 128, 256, 1448, 65536]) {
  time('view + set', length, (at) => a.set(b.subarray(at, at + length), at));
  time('loop', length, (at) => {
    for (let i = 0; i < length; i++) a[at + i] = b[at + i];
  });
  time('copyWithin', length, (at) => a.copyWithin(at, at + 0x200000, at + 0x200000 + length));
}
