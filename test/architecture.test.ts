// The three rings of docs/architecture.md: imports point inwards only, and the inner two know nothing of Node, clocks or dice.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');

const WIRE = 0;
const CORE = 1;
const EDGE = 2;

const CORE_DIRECTORIES = new Set(['net', 'tcp', 'udp', 'mem', 'time', 'capture', 'sim']);
const CORE_LINKS = new Set(
  'link pipe loopback lower capture impair frame-queue switch switch-port switch-probe mac-table'.split(' '),
);
// Simulations know Node only where programs run in them.
const SIM_EDGE = new Set(['node', 'index.ts']);
const FACES = new Set(['index.ts', 'sim/index.ts']);
const CORE_FILES = new Set(['stack.ts', 'stats.ts', 'socket.ts', 'errno.ts', 'world.ts']);

function ringOf(file: string): number {
  const [first, second] = file.split('/');
  if (first === 'wire') return WIRE;
  if (first === 'sim' && SIM_EDGE.has(second)) return EDGE;
  if (first === 'link') return CORE_LINKS.has((second ?? '').replace(/\.ts$/, '')) ? CORE : EDGE;
  return CORE_DIRECTORIES.has(first) || CORE_FILES.has(file) ? CORE : EDGE;
}

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

interface Module {
  readonly file: string;
  /** Without comments and the contents of strings. */
  readonly code: string;
  readonly imports: readonly Import[];
  readonly reexported: readonly string[];
}

/** Blank comments, and strings but for import specifiers, so that words in prose are not taken for code. */
function bare(source: string): string {
  return source.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g,
    (token) => (token.startsWith('/') ? ' ' : token.startsWith('`') ? token.replace(/[^\n${}().\w]/g, ' ') : "''"),
  );
}

const SPECIFIER =
  /(?:^|\n)\s*(import|export)\s+(type\s+)?([^;'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

function read(file: string): Module {
  const source = readFileSync(join(SRC, file), 'utf8');
  const uncommented = source.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, '$1');
  const imports: Import[] = [];
  const reexported: string[] = [];
  for (const [, keyword, type, clause = '', specifier, dynamic] of uncommented.matchAll(SPECIFIER)) {
    const name = specifier ?? dynamic;
    if (keyword === 'export') reexported.push(resolveFrom(file, name));
    // `import { type A, type B }` leaves an import for its effects: only `import type` is none at run time.
    imports.push({ target: resolveFrom(file, name), typeOnly: type !== undefined || isAllTypes(clause) });
  }
  return { file, code: bare(source), imports, reexported };
}

const isAllTypes = (clause: string): boolean => {
  const names = /^\{([^}]*)\}\s*from\s*$/.exec(`${clause.trim()} `);
  if (names === null) return false;
  return names[1].split(',').every((name) => name.trim() === '' || name.trim().startsWith('type '));
};

const resolveFrom = (file: string, specifier: string): string =>
  specifier.startsWith('.') ? relative(SRC, resolve(SRC, dirname(file), specifier)) : specifier;

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  .sort();
const modules = new Map(files.map((file) => [file, read(file)]));

const FORBIDDEN =
  /(?<![.\w$#])(?:Date|setTimeout|setInterval|setImmediate|queueMicrotask|process|Buffer|console|performance|require|globalThis|global|fetch|crypto)\b(?!\s*\??:)|\bMath\.random\b/;

const ringNames = ['wire', 'core', 'edge'];

test('there is something to look at', () => {
  expect(modules.size).toBeGreaterThan(50);
  expect([...modules.values()].filter(({ file }) => ringOf(file) === WIRE).length).toBeGreaterThan(5);
  expect(modules.get('stack.ts')?.imports.length).toBeGreaterThan(5);
});

test('the search for Node and clocks finds them in code, and not in prose or names', () => {
  for (const bad of [
    'Date.now()',
    'new Date()',
    'x = Math.random()',
    'process.nextTick(f)',
    'Buffer.from(b)',
    'console.log(1)',
  ])
    expect(FORBIDDEN.test(bare(bad)), bad).toBe(true);
  for (const fine of ['// the Date header', "'process'", 'this.process(x)', 'updateDate()', '{ process: 1 }'])
    expect(FORBIDDEN.test(bare(fine)), fine).toBe(false);
});

test('imports point inwards only: wire knows wire, core knows core and wire', () => {
  const wrong: string[] = [];
  for (const { file, imports } of modules.values()) {
    const ring = ringOf(file);
    if (ring === EDGE) continue;
    for (const { target } of imports) {
      if (modules.has(target) && ringOf(target) <= ring) continue;
      wrong.push(
        `${file} (${ringNames[ring]}) imports ${target}${modules.has(target) ? ` (${ringNames[ringOf(target)]})` : ''}`,
      );
    }
  }
  expect(wrong).toEqual([]);
});

test('every relative import names a file that exists, with its extension', () => {
  const missing: string[] = [];
  for (const { file, imports } of modules.values()) {
    for (const { target } of imports) {
      if (target.endsWith('.ts') && !modules.has(target)) missing.push(`${file} imports ${target}`);
      if (/^(\.|[a-z]+\/[a-z-]+$)/.test(target) && modules.has(`${target}.ts`))
        missing.push(`${file}: ${target} has no .ts`);
    }
  }
  expect(missing).toEqual([]);
});

test('wire and core read no clock, roll no dice and use nothing of Node', () => {
  const wrong: string[] = [];
  for (const { file, code } of modules.values()) {
    if (ringOf(file) === EDGE) continue;
    code.split('\n').forEach((line, i) => {
      const found = FORBIDDEN.exec(line);
      if (found !== null) wrong.push(`${file}:${i + 1}: ${found[0].trim()}`);
    });
  }
  expect(wrong).toEqual([]);
});

test('services use sockets through their interfaces, never the stack', () => {
  const wrong: string[] = [];
  for (const { file, imports } of modules.values()) {
    if (!file.startsWith('service/')) continue;
    for (const { target } of imports) {
      const isAllowed =
        !modules.has(target) ||
        target.startsWith('service/') ||
        ringOf(target) === WIRE ||
        target === 'link/host.ts' ||
        target === 'link/native.ts';
      if (!isAllowed) wrong.push(`${file} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('index.ts and sim/index.ts are the only faces that hand on what other directories export', () => {
  const faces: string[] = [];
  for (const { file, reexported } of modules.values()) {
    if (FACES.has(file)) continue;
    for (const target of reexported) if (dirname(target) !== dirname(file)) faces.push(`${file} hands on ${target}`);
  }
  expect(faces).toEqual([]);
  for (const face of FACES) {
    const { code } = modules.get(face) as Module;
    expect(code.replace(/export\s+(type\s+)?\{[^}]*\}\s*from\s*''\s*;/g, '').trim()).toBe('');
  }
});

test('no module waits for itself: run-time imports form no cycle', () => {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, trail: string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
      return;
    }
    state.set(file, 'open');
    for (const { target, typeOnly } of modules.get(file)?.imports ?? []) {
      if (!typeOnly && modules.has(target)) visit(target, [...trail, file]);
    }
    state.set(file, 'done');
  };
  for (const file of modules.keys()) visit(file, []);
  expect(cycles).toEqual([]);
});
