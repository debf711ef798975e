// For checks made hundreds of thousands of times: vitest's `expect` costs microseconds even when all is well.

/** Throw unless `actual` is `wanted`. `where` is only asked for when it is not. */
export function same<T>(actual: T, wanted: T, where: () => string): void {
  if (!Object.is(actual, wanted)) throw new Error(`${where()}: ${String(actual)} instead of ${String(wanted)}`);
}

export function holds(condition: boolean, where: () => string): void {
  if (!condition) throw new Error(where());
}

export function sameBytes(actual: Uint8Array | undefined, wanted: Uint8Array, where: () => string): void {
  if (actual === undefined || actual.length !== wanted.length || actual.some((byte, i) => byte !== wanted[i]))
    throw new Error(`${where()}: other bytes (${actual?.length ?? 'none'} of ${wanted.length})`);
}
