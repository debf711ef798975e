// Work that is collected during a batch: the order, and that nothing is held on to.

import { expect, test } from 'vitest';
import { Worklist } from '../../src/mem/worklist.ts';

test('entries come out in the order they went in, each once, and a cleared list starts over', () => {
  const list = new Worklist<string>();
  for (const round of [3, 1, 5000, 2]) {
    for (let i = 0; i < round; i++) list.push(`${round}/${i}`);
    expect(list.count).toBe(round);
    for (let i = 0; i < round; i++) expect(list.take(i)).toBe(`${round}/${i}`);
    expect(list.take(0)).toBeNull();
    list.clear();
    expect(list.count).toBe(0);
  }
});

test('what was not taken is forgotten by clear', () => {
  const list = new Worklist<object>();
  list.push({});
  list.push({});
  list.clear();
  expect(list.take(0)).toBeNull();
  expect(list.take(1)).toBeNull();
});
