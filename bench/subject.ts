// What is measured: the compiled package, as users run it. BENCH_DIST names another build, to compare two.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

export const dist = resolve(process.env.BENCH_DIST ?? resolve(import.meta.dirname, '../dist'));

/** A module of the build by its path in src/, without extension. */
export async function load<T>(path: string): Promise<T> {
  const file = resolve(dist, `${path}.js`);
  if (!existsSync(file)) throw new Error(`${file} is missing: run "make build" first`);
  return (await import(pathToFileURL(file).href)) as T;
}

export const tapstack = (): Promise<typeof import('../src/index.ts')> => load('index');
