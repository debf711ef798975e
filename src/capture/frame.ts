// One captured frame, wherever it came from: a capture file, a running stack, a test.

/** Link-layer header types of the pcap formats (draft-ietf-opsawg-pcaplinktype). */
export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LOOP = 108;
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_IPV4 = 228;
export const LINKTYPE_IPV6 = 229;
export const LINKTYPE_LINUX_SLL2 = 276;

export type Direction = 'in' | 'out';

export interface CapturedFrame {
  /** Nanoseconds since 1970-01-01T00:00:00Z. */
  readonly time: bigint;
  /** What was captured of the frame. */
  readonly bytes: Uint8Array;
  /** How long the frame was. More than `bytes.length` when the capture was cut short. */
  readonly wireLength: number;
  /** LINKTYPE_* */
  readonly linkType: number;
  readonly direction: Direction | null;
  readonly interfaceName: string | null;
  readonly comment: string | null;
}

/** Nanoseconds for a `World.wallClock()` reading. */
export function nanosOf(micros: number): bigint {
  const whole = Math.floor(micros);
  return BigInt(whole) * 1000n + BigInt(Math.floor((micros - whole) * 1000));
}
