// A link that shows every frame that passes to its observers, both ways — as it would look on a wire.
//
// What a device was asked to finish is finished in the observers' copy: partial checksums are completed, super-segments cut into frames of
// gso_size. The frames themselves pass untouched. Without observers the decorator costs one comparison per batch.

import type { Direction } from '../capture/frame.ts';
import { type FrameBatch, VNET_LENGTH } from '../mem/frame-batch.ts';
import type { Mac } from '../wire/address.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as gso from '../wire/gso.ts';
import * as vnet from '../wire/vnet.ts';
import type { World } from '../world.ts';
import type { Link } from './link.ts';

/**
 * Sees one frame: `length` bytes at `off` of `bytes`, valid until it returns, and the wall clock in microseconds since 1970.
 * Must not throw.
 */
export type FrameObserver = (
  bytes: Uint8Array,
  off: number,
  length: number,
  direction: Direction,
  micros: number,
) => void;

/** Largest frame handed over whole: what does not fit here is longer than any IP packet. */
const MAX_LENGTH = 128 * 1024;

export class CaptureLink implements Link {
  readonly inner: Link;
  readonly watch?: (wake: (() => void) | null) => void;
  readonly #world: World;
  #observers: FrameObserver[] = [];
  // Frames are put together here with their virtio header in front. Allocated when somebody first looks.
  #whole: DataView = EMPTY;
  #wholeBytes: Uint8Array = new Uint8Array(EMPTY.buffer);
  #piece: DataView = EMPTY;
  #pieceBytes: Uint8Array = new Uint8Array(EMPTY.buffer);
  readonly #cutter = new gso.Cutter();

  constructor(inner: Link, world: World) {
    this.inner = inner;
    this.#world = world;
    if (inner.watch !== undefined) this.watch = (wake) => inner.watch?.(wake);
  }

  get mtu(): number {
    return this.inner.mtu;
  }

  get offload(): number {
    return this.inner.offload;
  }

  get mac(): Mac | undefined {
    return this.inner.mac;
  }

  get arp(): boolean | undefined {
    return this.inner.arp;
  }

  /** Show frames to `observer` from now on. Returns the function that ends it. */
  observe(observer: FrameObserver): () => void {
    if (this.#whole === EMPTY) {
      this.#whole = new DataView(new ArrayBuffer(VNET_LENGTH + MAX_LENGTH));
      this.#wholeBytes = new Uint8Array(this.#whole.buffer);
      this.#piece = new DataView(new ArrayBuffer(MAX_LENGTH));
      this.#pieceBytes = new Uint8Array(this.#piece.buffer);
    }
    // A new array, so that an observer may come or go while frames are being shown.
    this.#observers = [...this.#observers, observer];
    return () => {
      this.#observers = this.#observers.filter((other) => other !== observer);
    };
  }

  receive(rx: FrameBatch): number {
    const count = this.inner.receive(rx);
    if (this.#observers.length > 0) this.#show(rx, count, 'in');
    return count;
  }

  send(tx: FrameBatch): number {
    // Afterwards, because only now is it known how many the device took; extents are valid until we return.
    const count = this.inner.send(tx);
    if (this.#observers.length > 0) this.#show(tx, count, 'out');
    return count;
  }

  close(): void {
    this.#observers = [];
    this.inner.close?.();
  }

  #show(batch: FrameBatch, count: number, direction: Direction): void {
    const micros = this.#world.wallClock();
    for (let i = 0; i < count; i++) {
      const length = batch.frameLength(i);
      if (length > MAX_LENGTH || length < ethernet.HEADER) continue;
      batch.gather(i, this.#wholeBytes, 0, true);
      this.#showFrame(length, direction, micros);
    }
  }

  #showFrame(length: number, direction: Direction, micros: number): void {
    const dv = this.#whole;
    if (vnet.gsoType(dv, 0) !== vnet.GSO_NONE) {
      const emit = (size: number): void => this.#emit(this.#pieceBytes, 0, size, direction, micros);
      if (gso.cut(this.#cutter, dv, this.#wholeBytes, VNET_LENGTH, length, this.#piece, this.#pieceBytes, 0, emit))
        return;
    }
    // A virtio header that contradicts its frame: the frame is shown as it came.
    gso.completeChecksum(dv, VNET_LENGTH, length);
    this.#emit(this.#wholeBytes, VNET_LENGTH, length, direction, micros);
  }

  #emit(bytes: Uint8Array, off: number, length: number, direction: Direction, micros: number): void {
    for (const observer of this.#observers) observer(bytes, off, length, direction, micros);
  }
}

const EMPTY = new DataView(new ArrayBuffer(0));
