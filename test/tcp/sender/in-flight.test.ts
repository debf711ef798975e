// The scoreboard against a naive one — RFC 6675 §3.

import { expect, test } from 'vitest';
import { InFlight, REC_LOST, REC_RETRANS, REC_SACKED } from '../../../src/tcp/in-flight.ts';
import { seqAdd, seqDiff } from '../../../src/wire/seq.ts';
import { rng } from './model.ts';

type State = 'sent' | 'sacked' | 'lost' | 'retrans';

test('any order of operations keeps every byte in the state the naive model has (RFC 6675 §3)', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const pick = rng(seed);
    const flight = new InFlight();
    const base = pick(2 ** 32) | 0;
    const bytes: State[] = []; // the model: one state per byte in flight
    let una = 0;
    let nxt = 0;
    for (let step = 0; step < 120; step++) {
      const index = flight.count > 0 ? pick(flight.count) : -1;
      const slot = index < 0 ? -1 : flight.at(index);
      const span = (slotToSet: number, state: State) => {
        const from = seqDiff(flight.start(slotToSet), base);
        bytes.fill(state, from, from + flight.length(slotToSet));
      };
      switch (pick(8)) {
        case 0:
        case 1: {
          const length = 1 + pick(20);
          flight.push(seqAdd(base, nxt), seqAdd(base, nxt + length), 0, step);
          for (let i = 0; i < length; i++) bytes[nxt + i] = 'sent';
          nxt += length;
          break;
        }
        case 2:
          if (slot < 0 || flight.length(slot) < 2) break;
          flight.split(index, seqAdd(flight.start(slot), 1 + pick(flight.length(slot) - 1)));
          break;
        case 3:
          if (slot < 0 || flight.flags(slot) & REC_SACKED) break;
          flight.markSacked(slot);
          span(slot, 'sacked');
          break;
        case 4:
          if (slot < 0 || flight.flags(slot) & REC_SACKED) break;
          flight.markLost(slot);
          span(slot, 'lost');
          break;
        case 5:
          if (flight.firstLost < 0) break;
          span(flight.firstLost, 'retrans');
          flight.markRetransmitted(flight.firstLost, step);
          break;
        case 6:
          if (flight.count === 0) break;
          if (pick(2) === 0 || flight.length(flight.at(0)) < 2) {
            una += flight.length(flight.at(0));
            flight.popFirst();
          } else {
            una += 1;
            flight.trimFirst(seqAdd(base, una));
          }
          break;
        case 7:
          if (pick(20) > 0) break;
          flight.unmarkAllLost();
          for (let i = una; i < nxt; i++) if (bytes[i] === 'lost') bytes[i] = 'sent';
          break;
      }
      const message = `seed ${seed} step ${step}`;
      const live = bytes.slice(una, nxt);
      const count = (state: State) => live.filter((b) => b === state).length;
      const kept = [flight.total, flight.sacked, flight.lost, flight.retrans, flight.pipe].join();
      const counted = [
        nxt - una,
        count('sacked'),
        count('lost'),
        count('retrans'),
        count('sent') + count('retrans'),
      ].join();
      if (kept !== counted) throw new Error(`${message}: kept ${kept}, counted ${counted}`);
      let at = una;
      for (let i = 0; i < flight.count; i++) {
        const s = flight.at(i);
        if (seqDiff(flight.start(s), base) !== at) throw new Error(`${message}: a gap at ${at}`);
        const flags = flight.flags(s);
        const state =
          flags & REC_SACKED ? 'sacked' : flags & REC_LOST ? 'lost' : flags & REC_RETRANS ? 'retrans' : 'sent';
        const last = seqDiff(flight.end(s), base);
        for (; at < last; at++) if (bytes[at] !== state) throw new Error(`${message}: byte ${at} is ${bytes[at]}`);
        if (flight.indexOf(seqAdd(base, last - 1)) !== i) throw new Error(`${message}: record ${i} is not found`);
      }
      let before = -1;
      for (let s = flight.firstLost; s >= 0; s = flight.after(s)) {
        if (seqDiff(flight.start(s), base) <= before) throw new Error(`${message}: lost records out of order`);
        before = seqDiff(flight.start(s), base);
      }
      before = -1;
      for (let s = flight.oldestSent; s >= 0; s = flight.after(s)) {
        if (flight.sentAt(s) < before) throw new Error(`${message}: sent records out of order`);
        before = flight.sentAt(s);
      }
    }
  }
});

test('an idle connection keeps no arrays of a large window', () => {
  const flight = new InFlight();
  for (let i = 0; i < 1_000; i++) flight.push(i, i + 1, 0, 0);
  for (let i = 0; i < 1_000; i++) flight.popFirst();
  expect([flight.count, flight.total, flight.oldestSent, flight.firstLost]).toEqual([0, 0, -1, -1]);
  flight.push(5, 6, 0, 0);
  expect(flight.first).toBe(flight.last);
});
