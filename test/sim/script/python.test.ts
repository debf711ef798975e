import { describe, expect, it } from 'vitest';
import { ScriptError, Unsupported } from '../../../src/sim/script/ast.ts';
import type { Value } from '../../../src/sim/script/python.ts';
import { AssertionFailed, runPython } from '../../../src/sim/script/python.ts';

function run(code: string, names: Record<string, Value> = {}): string[] {
  const printed: string[] = [];
  runPython(code, new Map(Object.entries(names)), 1, (text) => printed.push(text));
  return printed;
}

describe('expressions', () => {
  it.each([
    '1 + 2 * 3 == 7',
    '(1 + 2) * 3 == 9',
    '7 // 2 == 3 and 7 % 4 == 3 and -7 // 2 == -4 and -7 % 4 == 1',
    '7 / 2 == 3.5',
    '2 ** 10 == 1024',
    '1 << 4 | 1 == 17',
    '0x10 & 0x18 == 16',
    '~0 == -1',
    '1 < 2 < 3',
    'not 1 > 2',
    '1 in (1, 2) and 3 not in [1, 2]',
    "'b' in 'abc'",
    'abs(-2) == 2 and min(3, 1) == 1 and max(1, 3) == 3',
    "len('abc') == 3",
    '1 if True else 2',
    'None is None',
    "'%d of %s' % (3, 'x') == '3 of x'",
    'True and not False or False',
    'int(3.7) == 3',
  ])('%s', (code) => {
    expect(() => run(`assert ${code}`)).not.toThrow();
  });
});

describe('statements', () => {
  it('assign, also in place', () => {
    expect(run('x = 2; x += 3\nprint(x, x * 2)')).toEqual(['5 10']);
  });

  it('branch', () => {
    expect(run('if n == 1:\n  print("one")\nelif n == 2:\n  print("two")\nelse:\n  print("many")', { n: 2 })).toEqual([
      'two',
    ]);
    expect(run('if n == 1: print("one")\nelse: print("other")', { n: 5 })).toEqual(['other']);
  });

  it('go on over an open bracket', () => {
    expect(() => run('assert (1 +\n  1) == 2')).not.toThrow();
  });

  it('ignore comments', () => {
    expect(run("print('a # b') # c")).toEqual(['a # b']);
  });
});

describe('assert', () => {
  it('fails with its message and the values of the names', () => {
    expect(() => run('assert a == 1 and b == 2, "why"', { a: 1, b: 3 })).toThrow(
      new AssertionFailed('assert a == 1 and b == 2: why (a = 1, b = 3)'),
    );
  });
});

describe('anything else', () => {
  it.each(['for i in x: pass', 'import os', 'def f(): pass', 'open("/etc/passwd")', 'a.b', '__import__("os")', 'x[0]'])(
    '%s is refused',
    (code) => {
      let error: unknown;
      try {
        run(code, { x: 1, a: 1 });
      } catch (thrown) {
        error = thrown;
      }
      expect(error instanceof Unsupported || error instanceof ScriptError).toBe(true);
    },
  );
});
