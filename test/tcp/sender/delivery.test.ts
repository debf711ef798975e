// Whatever the network does, every byte arrives — RFC 9293 §3.4, §3.8.

import { describe, expect, test } from 'vitest';
import type { ModelOptions } from './model.ts';
import { Model, MS } from './model.ts';

const variants: [string, ModelOptions][] = [
  ['SACK and timestamps', {}],
  ['SACK alone', { timestamps: false }],
  ['timestamps alone', { sack: false }],
  ['neither', { sack: false, timestamps: false }],
  ['RFC 6675 instead of RACK', { sender: { lossDetection: 'sack' } }],
  ['NewReno', { sender: { congestion: 'reno' } }],
  ['no tail loss probes', { sender: { tailLossProbe: false } }],
  ['no D-SACK from the peer', { dsack: false }],
];

function run(options: ModelOptions, seed: number): Model {
  const size = 30_000 + (seed % 7) * 21_111;
  const loss = [0, 1, 3, 10, 30][seed % 5];
  const model = new Model({
    seed,
    delay: [1, 10, 50][seed % 3] * MS,
    rate: seed % 4 === 0 ? 1_000_000 : Infinity,
    queue: seed % 4 === 0 ? 20_000 : Infinity,
    delayedAck: seed % 2 === 0,
    iss: (seed * 0x1234567) | 0, // anywhere, so wrapping is the common case
    fate: (_p, m) => {
      if (m.pick(100) < loss) return true;
      if (m.pick(100) < 3) return 'dup';
      return m.pick(100) < 5 ? m.pick(8 * MS) : false;
    },
    ackFate: (_a, _n, m) => (m.pick(100) < loss ? true : m.pick(100) < 5 ? m.pick(8 * MS) : false),
    ...options,
  });
  model.write(size);
  model.end();
  model.runToEnd();
  expect(model.received, `seed ${seed}`).toBe(size);
  expect(model.finReceived, `seed ${seed}`).toBe(true);
  expect(model.gaveUp, `seed ${seed}`).toBe(false);
  expect(model.sender.unacknowledged, `seed ${seed}`).toBe(0);
  expect(model.memory.used, `seed ${seed}: the ring is given back`).toBe(0);
  return model;
}

describe.each(variants)('with %s', (_name, options) => {
  test('every byte and the FIN arrive over a link that loses, duplicates and reorders (RFC 9293 §3.4)', () => {
    for (let seed = 1; seed <= 30; seed++) run(options, seed);
  });
});

test('a clean path needs no retransmission, and no timer fires', () => {
  for (const [, options] of variants) {
    const model = new Model({ ...options, delay: 5 * MS });
    model.write(500_000);
    model.end();
    model.runToEnd();
    expect(model.received).toBe(500_000);
    expect(model.pieces.filter((p) => p.retransmission)).toEqual([]);
    expect(model.stats.tcpTimeouts + model.stats.tcpLossProbes).toBe(0);
  }
});

test('after the last ACK no timer is left', () => {
  const model = new Model({});
  model.write(5_000);
  model.runToEnd();
  for (let kind = 0; kind < 5; kind++) expect(model.timers.at(kind)).toBe(Infinity);
});
