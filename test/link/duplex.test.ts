import { Duplex, PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { DuplexLink } from '../../src/link/duplex.ts';
import { FrameBatch } from '../../src/mem/frame-batch.ts';
import { Memory } from '../../src/mem/memory.ts';

const memory = new Memory();
const batch = (capacity = 64) => new FrameBatch(memory, 1 << 17, capacity);
const frame = (n: number, length = 60): Uint8Array => new Uint8Array(length).fill(n);
const tick = () => new Promise((resolve) => setImmediate(resolve));

/** The other end of the cable: what was written to it, and a valve on how fast it takes that. */
class Peer extends Duplex {
  readonly written: Uint8Array[] = [];
  readonly waiting: (() => void)[] = [];
  open = true;

  constructor(highWaterMark = 4) {
    super({ objectMode: true, highWaterMark });
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, callback: () => void): void {
    this.written.push(chunk);
    if (this.open) callback();
    else this.waiting.push(callback);
  }

  release(): void {
    this.open = true;
    for (const callback of this.waiting.splice(0)) callback();
  }
}

const received = (rx: FrameBatch): number[] =>
  Array.from({ length: rx.count }, (_, i) => {
    const bytes = new Uint8Array(rx.frameLength(i));
    rx.gather(i, bytes, 0);
    return bytes[0];
  });

describe('towards the stack', () => {
  test('every chunk is a frame, in order, and one wake announces those of one tick', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    const rx = batch();
    let wakes = 0;
    link.watch(() => wakes++);
    for (let n = 1; n <= 3; n++) peer.push(frame(n));
    await tick();
    expect(wakes).toBe(1);
    expect(link.receive(rx)).toBe(3);
    expect(received(rx)).toEqual([1, 2, 3]);
    expect(link.receive(rx)).toBe(0);
  });

  test('frames that were there before anybody watched are announced', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    peer.push(frame(1));
    await tick();
    await new Promise<void>((resolve) => link.watch(resolve));
    expect(link.receive(batch())).toBe(1);
  });

  test('what one batch cannot hold stays, and is announced again', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    for (let n = 1; n <= 5; n++) peer.push(frame(n));
    await tick();
    const rx = batch(2);
    const seen: number[] = [];
    await new Promise<void>((resolve) => {
      link.watch(() => {
        link.receive(rx);
        seen.push(...received(rx));
        if (seen.length === 5) resolve();
      });
    });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test('a stack that does not keep up pauses the Duplex, and reading on resumes it: nothing is lost', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer, { limit: 4 });
    for (let n = 0; n < 40; n++) peer.push(frame(n));
    await tick();
    expect(peer.isPaused()).toBe(true);
    expect(link.pauses).toBe(1);
    const rx = batch();
    const seen: number[] = [];
    for (let turn = 0; turn < 50 && seen.length < 40; turn++) {
      link.receive(rx);
      seen.push(...received(rx));
      await tick();
    }
    expect(seen).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(link.dropped).toBe(0);
  });

  test('a Duplex that does not heed pause() loses frames, counted, and takes no more memory', () => {
    const peer = new Peer();
    const link = new DuplexLink(peer, { limit: 4 });
    for (let n = 0; n < 10; n++) peer.emit('data', frame(n));
    expect(link.dropped).toBe(6);
    const rx = batch();
    link.receive(rx);
    expect(received(rx)).toEqual([0, 1, 2, 3]);
  });

  test('a frame that no batch of this size can hold is dropped and counted, and those behind it come', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    peer.push(frame(1, 6000));
    peer.push(frame(2));
    await tick();
    const rx = new FrameBatch(memory, 4096, 8);
    expect(link.receive(rx)).toBe(1);
    expect(received(rx)).toEqual([2]);
    expect(link.dropped).toBe(1);
  });

  test.each([
    ['a text', 'hello, this is not a frame'],
    ['a chunk shorter than an Ethernet header', new Uint8Array(13)],
    ['a chunk longer than any frame', new Uint8Array(70_000)],
    ['null', null],
  ])('%s is counted, not thrown', (_, chunk) => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    peer.emit('data', chunk);
    expect(link.malformed).toBe(1);
    expect(link.receive(batch())).toBe(0);
  });
});

describe('towards the Duplex', () => {
  const send = (link: DuplexLink, ...numbers: number[]): number => {
    const tx = batch();
    for (const n of numbers) tx.push(frame(n));
    const accepted = link.send(tx);
    tx.bytes.fill(0xee); // the batch is the caller's again
    tx.release();
    return accepted;
  };
  const numbers = (peer: Peer) => peer.written.map((bytes) => bytes[0]);

  test('every frame is one write of its own bytes', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    expect(send(link, 1, 2, 3)).toBe(3);
    await tick();
    expect(numbers(peer)).toEqual([1, 2, 3]);
  });

  test('a slow Duplex: frames wait up to the limit, then send refuses, and a wake says when to come again', async () => {
    const peer = new Peer(2);
    peer.open = false;
    const link = new DuplexLink(peer, { limit: 3 });
    let wakes = 0;
    link.watch(() => wakes++);
    expect(send(link, 1, 2, 3, 4, 5, 6, 7)).toBe(5); // two in the Duplex, three waiting
    expect(link.refusals).toBe(1);
    expect(send(link, 6)).toBe(0);
    peer.release();
    await tick();
    await tick();
    expect(numbers(peer)).toEqual([1, 2, 3, 4, 5]);
    expect(wakes).toBe(1);
    peer.open = false;
    expect(send(link, 6, 7)).toBe(2);
    peer.release();
    await tick();
    await tick();
    expect(numbers(peer)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(wakes, 'nobody was refused since').toBe(1);
  });
});

describe('the end', () => {
  test('a Duplex that loops back never wakes the stack from inside send', async () => {
    const loop = new PassThrough({ objectMode: true });
    const link = new DuplexLink(loop);
    let inside = false;
    let woken = 0;
    link.watch(() => {
      expect(inside).toBe(false);
      woken++;
    });
    await tick();
    const tx = batch();
    tx.push(frame(9));
    inside = true;
    link.send(tx);
    inside = false;
    await tick();
    expect(woken).toBe(1);
    expect(link.receive(tx)).toBe(1);
  });

  test('a failing Duplex is reported once, and swallows frames from then on', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    const errors: string[] = [];
    link.onError = (error) => errors.push(error.message);
    peer.destroy(new Error('cable cut'));
    await tick();
    expect(errors).toEqual(['cable cut']);
    const tx = batch();
    tx.push(frame(1));
    expect(link.send(tx)).toBe(1);
    expect(peer.written).toEqual([]);
  });

  test('a Duplex that ends is an error with a code', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    const codes: unknown[] = [];
    link.onError = (error) => codes.push('code' in error && error.code);
    peer.push(null);
    await tick();
    expect(codes).toEqual(['ERR_LINK_ENDED']);
  });

  test('close destroys the Duplex, leaves no listener of ours behind, and may be called twice', async () => {
    const peer = new Peer();
    const link = new DuplexLink(peer);
    link.onError = () => expect.unreachable();
    link.close();
    link.close();
    await tick();
    expect(peer.destroyed).toBe(true);
    for (const event of ['data', 'drain', 'end', 'close']) expect(peer.listenerCount(event), event).toBe(0);
  });

  test('misuse is told at once', () => {
    expect(() => new DuplexLink({} as Duplex)).toThrow(/stream\.Duplex/);
    expect(() => new DuplexLink(new PassThrough().setEncoding('utf8'))).toThrow(/setEncoding/);
    expect(() => new DuplexLink(new Peer(), { mtu: 20 })).toThrow(/mtu 20/);
    expect(() => new DuplexLink(new Peer(), { limit: 0 })).toThrow(/limit 0/);
  });
});
