// What moving a frame through the addon costs, without any protocol: `npx tsx bench/micro/tap-null.ts [seconds]`, as root.
//
// send      64-byte and 64 KB frames into the kernel, which drops them (an EtherType nobody listens to)
// receive   64-byte broadcast datagrams a kernel socket sends into the TAP; filling the queue is not timed, draining it is
//
// It works in the present network namespace: run it as `unshare --net npx tsx …` to leave that alone.

import { createSocket } from 'node:dgram';
import { Tap, TapLink } from '../../src/link/tap.ts';
import { ADDR1, FrameBatch, LEN1, STRIDE } from '../../src/mem/frame-batch.ts';
import { Memory } from '../../src/mem/memory.ts';

const seconds = Number(process.argv[2] ?? 1);
const tap = Tap.open({ ipv4: '10.209.99.1/24', up: true, txQueueLength: 2000 });
const link = new TapLink(tap);
const memory = new Memory();
const tx = new FrameBatch(memory, 1 << 18, 256);
const rx = new FrameBatch(memory, 1 << 20, 256);

function report(what: string, frames: number, ns: number, calls: number): void {
  console.log(
    `${what.padEnd(34)} ${(ns / frames).toFixed(0).padStart(6)} ns/frame  ${(frames / calls).toFixed(1).padStart(6)} frames/call`,
  );
}

function send(what: string, batch: number, extent: number): void {
  tx.clear();
  const payload = extent > 0 ? memory.alloc(extent) : 0;
  for (let i = 0; i < batch; i++) {
    const off = tx.append(60);
    tx.bytes.fill(0xff, off, off + 6);
    tx.bytes[off + 6] = 2;
    tx.dv.setUint16(off + 12, 0x88b5); // IEEE 802, local experiments
    tx.desc[i * STRIDE + ADDR1] = payload;
    tx.desc[i * STRIDE + LEN1] = extent;
  }
  let frames = 0;
  let calls = 0;
  const start = process.hrtime.bigint();
  const end = start + BigInt(Math.round(seconds * 1e9));
  let now = start;
  for (; now < end; now = process.hrtime.bigint()) {
    for (let n = 0; n < 8; n++, calls++) frames += link.send(tx);
  }
  report(what, frames, Number(now - start), calls);
  if (extent > 0) memory.free(payload, extent);
}

function emptyReceive(): void {
  while (link.receive(rx) > 0);
  const calls = 1_000_000;
  const start = process.hrtime.bigint();
  for (let n = 0; n < calls; n++) link.receive(rx);
  report('receive, nothing there (per call)', calls, Number(process.hrtime.bigint() - start), calls);
}

async function receive(): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '10.209.99.1', resolve));
  socket.setBroadcast(true);
  const payload = Buffer.alloc(22);
  let frames = 0;
  let calls = 0;
  let ns = 0n;
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    await Promise.all(
      Array.from({ length: 1000 }, () => new Promise((resolve) => socket.send(payload, 9, '10.209.99.255', resolve))),
    );
    const start = process.hrtime.bigint();
    for (let n = link.receive(rx); n > 0; n = link.receive(rx), calls++) frames += n;
    ns += process.hrtime.bigint() - start;
  }
  socket.close();
  report('receive 64 B', frames, Number(ns), calls);
}

send('send 60 B, batch of 64', 64, 0);
send('send 60 B, batch of 1', 1, 0);
send('send 60 B + 64 KB extent', 16, 65_000);
emptyReceive();
await receive();
link.close();
