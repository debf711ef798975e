import { expect, test } from 'vitest';
import type { Flow } from '../../src/mem/flow-table.ts';
import { FlowTable } from '../../src/mem/flow-table.ts';
import { KeyedHash } from '../../src/mem/keyed-hash.ts';
import { Address } from '../../src/wire/address.ts';
import { same } from '../support/check.ts';
import { SeededEntropy } from '../support/two-stacks.ts';

interface Named extends Flow {
  name: string;
}

const flow = (local: number, localPort: number, remote: number, remotePort: number): Named => ({
  local: Address.v4(local),
  localPort,
  remote: Address.v4(remote),
  remotePort,
  name: `${local}:${localPort}-${remote}:${remotePort}`,
});

test('the table holds exactly what a Map by string would, through any adding and removing', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const entropy = new SeededEntropy(seed);
    const pick = (below: number): number => (entropy.int32() >>> 0) % below;
    const table = new FlowTable<Named>(entropy);
    const model = new Map<string, Named>();
    for (let step = 0; step < 1500; step++) {
      const candidate = flow(pick(2), pick(8), pick(6), pick(8));
      const known = model.get(candidate.name);
      if (pick(100) < (step < 800 ? 60 : 35)) {
        same(table.add(candidate), known === undefined, () => `seed ${seed}`);
        if (known === undefined) model.set(candidate.name, candidate);
      } else {
        same(table.remove(candidate), false, () => `seed ${seed}: another object of the same tuple`);
        if (known !== undefined) same(table.remove(known), true, () => `seed ${seed}`);
        model.delete(candidate.name);
      }
      same(table.size, model.size, () => `seed ${seed}`);
      const probe = flow(pick(2), pick(8), pick(6), pick(8));
      const found = table.find(probe.local, probe.localPort, probe.remote, probe.remotePort);
      same(found?.name, model.get(probe.name)?.name, () => `seed ${seed} step ${step}`);
    }
    expect(new Set(table.entries())).toEqual(new Set(model.values()));
  }
});

test('lookups stay short however the peer chooses its ports, because it does not know the key', () => {
  const table = new FlowTable<Named>(new SeededEntropy(3));
  const flows = Array.from({ length: 20_000 }, (_, i) => flow(1, 110, 0x0a090001, 1 + i));
  for (const f of flows) table.add(f);
  const hash = new KeyedHash(new SeededEntropy(3));
  const buckets = new Int32Array(1024);
  for (const f of flows) buckets[hash.ofFlow(f.local, f.localPort, f.remote, f.remotePort) & 1023]++;
  // 19.5 expected per bucket; uniform draws put the fullest of 1024 near 35.
  expect(Math.max(...buckets)).toBeLessThan(48);
  expect(Math.min(...buckets)).toBeGreaterThan(3);
  for (const f of flows) same(table.remove(f), true, () => f.name);
  expect(table.size).toBe(0);
});

test('another key gives another order: nothing about buckets can be learned from outside', () => {
  const one = new KeyedHash(new SeededEntropy(1));
  const two = new KeyedHash(new SeededEntropy(2));
  let equal = 0;
  for (let i = 0; i < 1000; i++) if ((one.of3(i, 0, 6) & 255) === (two.of3(i, 0, 6) & 255)) equal++;
  expect(equal).toBeLessThan(20);
});

test('IPv6 addresses that differ in any word are different flows', () => {
  const table = new FlowTable<Named>(new SeededEntropy(5));
  for (let word = 0; word < 4; word++) {
    const f = flow(1, 80, 2, 1000);
    const remote = Object.assign(new Address(), { w0: 0x20010db8, w1: 0, w2: 0, w3: 1, [`w${word}`]: 77 });
    expect(table.add({ ...f, remote })).toBe(true);
    expect(table.find(f.local, 80, remote, 1000)?.remote.equals(remote)).toBe(true);
  }
  expect(table.size).toBe(4);
});
