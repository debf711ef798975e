// A Linux TAP interface: `Tap` owns the device and configures its host side, `TapLink` is the stack's end of the cable.
//
// A TAP is a cable with two ends. The host's end is an ordinary interface: `name`, `mac`, `mtu`, `ipv4`, `isUp` and
// `txQueueLength` describe that one. The stack's end has a MAC and addresses of its own, which are the stack's business: never give the
// stack `tap.mac`, or both ends would have the same address and ARP could not tell them apart.
//
// Invariant: after `release()` the object holds no descriptor and no handle, and every method but `release()` throws.

import { Duplex } from 'node:stream';
import { FrameBatch, HEAD, LENGTH, MAX_FRAME, STRIDE, VNET_LENGTH } from '../mem/frame-batch.ts';
import { Memory } from '../mem/memory.ts';
import { formatIpv4, formatMac, maskOf, parseIpv4, parseMac } from '../wire/address.ts';
import { type Link, OFFLOAD_CSUM, OFFLOAD_TSO_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from './link.ts';
import {
  attempt,
  generalAdvice,
  type InterfaceInfo,
  native,
  OPEN_EXCLUSIVE,
  OPEN_MULTI_QUEUE,
  type Space,
  type SystemError,
} from './native.ts';

/** What we let the host hand over unless told otherwise. Not USO: UDP super-datagrams want a receiver that cuts them. */
export const DEFAULT_OFFLOAD = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN;

const NAME_MAX = 15; // IFNAMSIZ less its terminator

export interface TapOptions {
  /** Name of the interface, at most 15 characters; `tap%d` lets the kernel number it, as does no name. */
  name?: string;
  /** Refuse an interface that exists already, instead of attaching to it when it is a free, persistent TAP. Default true. */
  exclusive?: boolean;
  /** Open one of several queues of the interface. Default false. */
  multiQueue?: boolean;
  /** What the host may leave undone in frames to us: OFFLOAD_* bits. Default all but USO; the kernel may grant less. */
  offload?: number;
  /** MAC of the host's end. */
  mac?: string;
  mtu?: number;
  /** Address of the host's end, e.g. "10.9.0.1/24". */
  ipv4?: string;
  /** Frames the kernel queues towards us. */
  txQueueLength?: number;
  /** Bring the host's end up. Default false. */
  up?: boolean;
}

export class Tap {
  #handle: number;
  /** What the host may leave undone in frames to us, OFFLOAD_* bits as granted by the kernel. */
  readonly receiveOffload: number;
  /** What we may leave undone in frames to the host. */
  readonly sendOffload: number;
  #taken = false;

  /** Create (or attach to) the TAP `name`; without one the kernel chooses tap0, tap1, … */
  constructor(name?: string, options: Omit<TapOptions, 'name'> = {}) {
    const wanted = name ?? 'tap%d';
    checkName(wanted);
    const flags =
      ((options.exclusive ?? true) ? OPEN_EXCLUSIVE : 0) | (options.multiQueue === true ? OPEN_MULTI_QUEUE : 0);
    const addon = native();
    this.#handle = attempt(`open TAP interface ${wanted}`, () => addon.open(wanted, flags), openAdvice);
    try {
      // The kernel takes whatever a virtio header may say, except that USO came with Linux 6.2: see whether it knows the flag.
      const known = attempt('negotiate offloads', () => addon.setOffload(this.#handle, DEFAULT_OFFLOAD | OFFLOAD_USO));
      this.sendOffload = DEFAULT_OFFLOAD | (known & OFFLOAD_USO);
      this.receiveOffload = attempt('negotiate offloads', () =>
        addon.setOffload(this.#handle, options.offload ?? DEFAULT_OFFLOAD),
      );
      if (options.mac !== undefined) this.mac = options.mac;
      if (options.mtu !== undefined) this.mtu = options.mtu;
      if (options.txQueueLength !== undefined) this.txQueueLength = options.txQueueLength;
      if (options.up === true) this.isUp = true;
      if (options.ipv4 !== undefined) this.ipv4 = options.ipv4;
    } catch (error) {
      this.release();
      throw error;
    }
  }

  static open(options: TapOptions = {}): Tap {
    return new Tap(options.name, options);
  }

  /** The addon's handle. @throws Error once released. */
  get handle(): number {
    if (this.#handle < 0) throw released();
    return this.#handle;
  }

  get isReleased(): boolean {
    return this.#handle < 0;
  }

  /** The interface's present name: somebody may have renamed it. */
  get name(): string {
    return attempt(
      'read the name of the TAP',
      () => native().name(this.handle),
      () => 'the interface was deleted',
    );
  }

  /** MAC of the host's end, aa:bb:cc:dd:ee:ff. The stack's own is another one. */
  get mac(): string {
    return formatMac(this.#info().mac);
  }

  set mac(text: string) {
    const mac = parseMac(text);
    if (mac === null) throw invalid('mac', text, 'six hexadecimal octets like 02:00:5e:10:00:01');
    if (mac % 2 ** 41 >= 2 ** 40)
      throw invalid('mac', text, 'a unicast address: the lowest bit of the first octet is 0');
    if (mac === 0) throw invalid('mac', text, 'an address other than all zeros');
    this.#configure(`set MAC ${text}`, (name) => native().setMac(name, mac));
  }

  /** Largest IP packet, bytes. */
  get mtu(): number {
    return this.#info().mtu;
  }

  set mtu(bytes: number) {
    if (!Number.isInteger(bytes)) throw invalid('mtu', bytes, 'a whole number of bytes');
    this.#configure(`set MTU ${bytes}`, (name) => native().setMtu(name, bytes), mtuAdvice);
  }

  /** IPv4 address and prefix of the host's end, "10.9.0.1/24", or null. Setting it replaces what is there. */
  get ipv4(): string | null {
    const name = this.name;
    const found = attempt('list addresses', () => native().addresses()).find((at) => at.interface === name);
    return found === undefined ? null : `${formatIpv4(found.address)}/${found.prefix}`;
  }

  set ipv4(text: string | null) {
    if (text === null) {
      this.#configure('remove the IPv4 address', (name) => native().setAddress(name, 0, -1));
      return;
    }
    const [host, length, ...rest] = text.split('/');
    const address = parseIpv4(host);
    const prefix = length !== undefined && /^\d{1,2}$/.test(length) ? Number(length) : -1;
    if (address === null || rest.length > 0 || prefix < 1 || prefix > 32) {
      throw invalid('ipv4', text, 'an address with a prefix length, like 10.9.0.1/24');
    }
    // RFC 3021: in a /31 both addresses are hosts; a /32 has but one.
    if (prefix < 31 && ((address & ~maskOf(prefix)) === 0 || (address | maskOf(prefix)) === -1)) {
      throw invalid('ipv4', text, "a host's address, not the network's or its broadcast address");
    }
    this.#configure(`set address ${text}`, (name) => native().setAddress(name, address, prefix));
  }

  get isUp(): boolean {
    return this.#info().up;
  }

  set isUp(up: boolean) {
    this.#configure(up ? 'bring the interface up' : 'take the interface down', (name) => native().setUp(name, up));
  }

  /** Frames the kernel queues towards us before it drops. */
  get txQueueLength(): number {
    return this.#info().txQueueLength;
  }

  set txQueueLength(frames: number) {
    if (!Number.isInteger(frames) || frames < 1)
      throw invalid('txQueueLength', frames, 'a whole number of frames, 1 or more');
    this.#configure(`set transmit queue length ${frames}`, (name) => native().setTxQueueLength(name, frames));
  }

  /** Give the device back; an interface nobody else holds disappears, and its addresses and routes with it. Idempotent. */
  release(): void {
    if (this.#handle < 0) return;
    const handle = this.#handle;
    this.#handle = -1;
    native().close(handle);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /**
   * The raw frames: a Duplex that emits one complete Ethernet frame per 'data' and sends one per write, no stack involved.
   * Destroying it releases the TAP.
   */
  stream(): Duplex {
    const link = new TapLink(this);
    attempt('turn offloads off', () => native().setOffload(this.handle, 0));
    return new TapStream(link);
  }

  /** A TapLink calls this: frames go to one taker only. @throws Error when there is one. */
  claim(): void {
    if (this.#taken)
      throw new Error(`the frames of ${this.name} already have a taker: open another Tap for a second one`);
    this.#taken = true;
  }

  #info(): InterfaceInfo {
    const name = this.name;
    const info = attempt(`read the settings of ${name}`, () => native().getInterface(name));
    if (info === null) throw new Error(`interface ${name} is gone: it was moved to another network namespace`);
    return info;
  }

  #configure(what: string, call: (name: string) => void, advice?: (error: SystemError) => string): void {
    const name = this.name;
    attempt(`${what} on ${name}`, () => call(name), advice);
  }
}

/** The stack's end of a TAP. Frames carry the virtio header, so super-segments and partial checksums go both ways. */
export class TapLink implements Link {
  readonly tap: Tap;
  readonly mtu: number;
  readonly offload: number;
  /** Called when the device is gone for good: the interface was deleted under us. */
  onError: ((error: Error) => void) | null = null;
  #memory: Memory | null = null;
  #space: Space | null = null;
  #slabs = 0;
  readonly #native = native();
  #handle: number;

  constructor(tap: Tap) {
    tap.claim();
    this.tap = tap;
    this.mtu = tap.mtu;
    this.offload = tap.sendOffload;
    this.#handle = tap.handle;
    this.unref();
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    if (this.tap.isReleased) return 0;
    const space = this.#bind(rx.memory);
    const count = this.#native.receive(this.#handle, space, rx.desc, rx.region, rx.regionLength, rx.capacity);
    if (count <= 0) return 0; // an error is counted in errors(), and a device that is gone tells `watch`
    const last = (count - 1) * STRIDE;
    rx.count = count;
    rx.fill = rx.desc[last + HEAD] - rx.region + rx.desc[last + LENGTH];
    return count;
  }

  send(tx: FrameBatch): number {
    if (this.tap.isReleased) return 0;
    return this.#native.send(this.#handle, this.#bind(tx.memory), tx.desc, tx.count);
  }

  watch(wake: (() => void) | null): void {
    if (this.tap.isReleased) return;
    if (wake === null) {
      this.#native.unwatch(this.#handle);
      return;
    }
    this.#native.watch(this.#handle, (status) => {
      if (status >= 0) {
        wake();
        return;
      }
      this.#native.unwatch(this.#handle);
      this.onError?.(
        Object.assign(new Error('the TAP interface is gone: it was deleted, or moved to another network namespace'), {
          code: 'ENODEV',
          errno: -19,
          syscall: 'read',
        }),
      );
    });
  }

  /** Let waiting for frames keep Node's event loop alive. By default it does not: the stack's sockets do that. */
  ref(): void {
    if (!this.tap.isReleased) this.#native.setRef(this.#handle, true);
  }

  unref(): void {
    if (!this.tap.isReleased) this.#native.setRef(this.#handle, false);
  }

  /** Reads and writes the kernel refused, and the last reason, a negative errno. */
  errors(): { receive: number; send: number; last: number } {
    return this.tap.isReleased ? { receive: 0, send: 0, last: 0 } : this.#native.errors(this.#handle);
  }

  /** Releases the TAP too. */
  close(): void {
    this.tap.release();
    this.#memory = null;
    this.#space = null;
  }

  /** The addon's view of `memory`, with every slab that was added since. */
  #bind(memory: Memory): Space {
    if (this.#space === null || memory !== this.#memory) {
      this.#space = this.#native.createSpace();
      this.#memory = memory;
      this.#slabs = 0;
    }
    while (this.#slabs < memory.bytes.length) this.#native.addSlab(this.#space, memory.bytes[this.#slabs++].buffer);
    return this.#space;
  }
}

const STREAM_BATCH = 64;
const FRAME_MIN = 14; // an Ethernet header
const FRAME_MAX = MAX_FRAME - VNET_LENGTH;

/** Raw frames for programs that bring their own protocols. Reading starts with the first listener and stops when nobody keeps up. */
class TapStream extends Duplex {
  readonly #link: TapLink;
  readonly #rx: FrameBatch;
  readonly #tx: FrameBatch;
  #reading = false;

  constructor(link: TapLink) {
    super({ objectMode: true, allowHalfOpen: false });
    const memory = new Memory();
    this.#link = link;
    this.#rx = new FrameBatch(memory, 1 << 18, STREAM_BATCH);
    this.#tx = new FrameBatch(memory, 1 << 17, 1);
    link.ref();
    link.onError = (error) => this.destroy(error);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#link.watch(() => this.#pull());
  }

  #pull(): void {
    let more = true;
    const count = this.#link.receive(this.#rx);
    for (let i = 0; i < count && !this.destroyed; i++) {
      const frame = Buffer.allocUnsafe(this.#rx.frameLength(i));
      this.#rx.gather(i, frame, 0);
      more = this.push(frame);
    }
    if (more || this.destroyed) return;
    this.#reading = false;
    this.#link.watch(null);
  }

  override _write(frame: unknown, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (!(frame instanceof Uint8Array) || frame.length < FRAME_MIN || frame.length > FRAME_MAX) {
      callback(invalid('frame', frame, `a Uint8Array of ${FRAME_MIN} to ${FRAME_MAX} bytes: one Ethernet frame`));
      return;
    }
    this.#tx.clear();
    this.#tx.push(frame);
    this.#transmit(callback);
  }

  #transmit(callback: (error?: Error | null) => void): void {
    if (this.destroyed || this.#link.send(this.#tx) === 1) callback();
    else setImmediate(() => this.#transmit(callback)); // the device is full
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#link.close();
    callback(error);
  }
}

function checkName(name: string): void {
  const valid = /^[^\s/:]+$/.test(name) && name !== '.' && name !== '..';
  if (!valid) throw invalid('name', name, 'an interface name: no spaces, slashes or colons, not empty');
  if (name.length > NAME_MAX)
    throw invalid('name', name, `at most ${NAME_MAX} characters (Linux's limit), this has ${name.length}`);
}

const invalid = (property: string, value: unknown, wanted: string): RangeError =>
  Object.assign(new RangeError(`Tap: invalid ${property} ${JSON.stringify(value) ?? String(value)}: give ${wanted}`), {
    code: 'ERR_INVALID_ARG_VALUE',
  });

const released = (): Error =>
  Object.assign(new Error('the Tap has been released: open a new one'), { code: 'ERR_TAP_RELEASED' });

function openAdvice(error: SystemError): string {
  if (error.syscall.includes('/dev/net/tun')) {
    if (error.code === 'ENOENT' || error.code === 'ENODEV' || error.code === 'ENXIO') {
      return 'this kernel or container has no TUN/TAP device: "modprobe tun", or start the container with --device /dev/net/tun';
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      return 'no access to /dev/net/tun: run as root, or start the container with --device /dev/net/tun';
    }
  }
  if (error.code === 'EBUSY')
    return 'an interface of that name exists or is in use: choose another name, or "ip link delete" it';
  if (error.code === 'EINVAL')
    return 'the name belongs to an interface that is no TAP, or to one opened in another mode: choose another name';
  return generalAdvice(error);
}

const mtuAdvice = (error: SystemError): string =>
  error.code === 'EINVAL' ? 'a TAP carries IP packets of 68 to 65521 bytes' : generalAdvice(error);
