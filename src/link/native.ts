// The native addon (native/*.c): its functions, where it is found, and what its errors mean to a user.
//
// It is loaded on first use, so that programs without a TAP need no build.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Ipv4, Mac } from '../wire/address.ts';

declare const space: unique symbol;
/** The addon's table of one Memory's slabs. */
export interface Space {
  readonly [space]: true;
}

export const OPEN_EXCLUSIVE = 1; // refuse an interface that exists
export const OPEN_MULTI_QUEUE = 2;

/** A host interface as the kernel sees it. */
export interface InterfaceInfo {
  index: number;
  mac: Mac;
  mtu: number;
  up: boolean;
  running: boolean;
  txQueueLength: number;
}

export interface HostAddress {
  interface: string;
  address: Ipv4;
  prefix: number;
}

export interface HostRoute {
  interface: string;
  destination: Ipv4;
  prefix: number;
  gateway: Ipv4 | null;
  metric: number;
  table: number;
}

/** adjtimex(2), in seconds. */
export interface ClockState {
  /** TIME_OK 0, TIME_INS 1, TIME_DEL 2, TIME_OOP 3, TIME_WAIT 4, TIME_ERROR 5. */
  state: number;
  /** STA_* bits. */
  status: number;
  synchronized: boolean;
  offset: number;
  /** Frequency correction as a ratio. */
  frequency: number;
  maxError: number;
  estimatedError: number;
  precision: number;
  /** clock_getres(CLOCK_REALTIME). */
  resolution: number;
  timeConstant: number;
  /** Microseconds between clock ticks. */
  tick: number;
  /** TAI - UTC, 0 when the kernel was not told. */
  tai: number;
}

export interface Native {
  open(name: string, flags: number): number;
  close(tap: number): void;
  name(tap: number): string;
  setOffload(tap: number, wanted: number): number;
  createSpace(): Space;
  addSlab(space: Space, slab: ArrayBufferLike): void;
  receive(tap: number, space: Space, desc: Int32Array, region: number, regionLength: number, capacity: number): number;
  send(tap: number, space: Space, desc: Int32Array, count: number): number;
  errors(tap: number): { receive: number; send: number; last: number };
  watch(tap: number, callback: (status: number) => void): void;
  unwatch(tap: number): void;
  setRef(tap: number, on: boolean): void;

  getInterface(name: string): InterfaceInfo | null;
  setMac(name: string, mac: Mac): void;
  setMtu(name: string, mtu: number): void;
  setTxQueueLength(name: string, frames: number): void;
  setUp(name: string, up: boolean): void;
  setAddress(name: string, address: Ipv4, prefix: number): void;
  addresses(): HostAddress[];
  routes(): HostRoute[];
  clockState(): ClockState;
  realtime(): bigint;
}

let loaded: Native | undefined;

/** The addon. @throws Error ERR_TAPSTACK_NOT_BUILT, saying how to build it, when it is not there or does not load. */
export function native(): Native {
  if (loaded !== undefined) return loaded;
  // The same from src/link and from dist/link.
  const path = fileURLToPath(new URL('../../native/build/tapstack.node', import.meta.url));
  try {
    loaded = createRequire(import.meta.url)(path) as Native;
    return loaded;
  } catch (cause) {
    const folder = fileURLToPath(new URL('../../native', import.meta.url));
    const why =
      process.platform !== 'linux'
        ? `TAP interfaces exist on Linux only, and this is ${process.platform}`
        : `build it with "make build" in a checkout, or "make -C ${folder}" (needs a C compiler and Node's headers)`;
    throw Object.assign(new Error(`the native addon ${path} cannot be loaded: ${why}`, { cause }), {
      code: 'ERR_TAPSTACK_NOT_BUILT',
    });
  }
}

/** An error of the addon: Node's shape. */
export type SystemError = Error & { code: string; errno: number; syscall: string };

export const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error && 'syscall' in error && 'code' in error && 'errno' in error;

/** Run `call`; when it fails, put what was attempted in front of the message and what to do behind it. */
export function attempt<T>(what: string, call: () => T, advice: (error: SystemError) => string = generalAdvice): T {
  try {
    return call();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const hint = advice(error);
    throw Object.assign(
      new Error(`cannot ${what}: ${error.message}${hint === '' ? '' : ` (${hint})`}`, { cause: error }),
      {
        code: error.code,
        errno: error.errno,
        syscall: error.syscall,
      },
    );
  }
}

export function generalAdvice(error: SystemError): string {
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return 'needs root or CAP_NET_ADMIN: use sudo, or run inside "unshare --user --map-root-user --net"';
    case 'ENODEV':
      return 'the interface is gone: it was deleted or moved to another network namespace';
    default:
      return '';
  }
}
