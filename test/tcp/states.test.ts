import { expect, test } from 'vitest';
import * as states from '../../src/tcp/states.ts';

test('every (state, event) pair is as RFC 9293 §3.3.2 and §3.10 have it', () => {
  expect(`\n${states.grid()}\n`).toMatchSnapshot();
});

test('the diagram is drawn from the table', () => {
  const lines = states.diagram().split('\n');
  expect(lines).toContain('ESTABLISHED  -- rcv FIN -----------> CLOSE-WAIT');
  expect(lines).toContain('CLOSED       -- active OPEN -------> SYN-SENT');
  let pairs = 0;
  for (let from = 0; from < states.STATES; from++)
    for (let event = 0; event < states.EVENTS; event++) if (states.next(from, event) >= 0) pairs++;
  expect(lines.length).toBe(pairs);
});

test('every state can be reached from CLOSED and left for CLOSED', () => {
  const reach = (from: number): Set<number> => {
    const seen = new Set([from]);
    for (const state of seen)
      for (let event = 0; event < states.EVENTS; event++) {
        const to = states.next(state, event);
        if (to >= 0) seen.add(to);
      }
    return seen;
  };
  expect(reach(states.CLOSED).size).toBe(states.STATES);
  for (let state = 0; state < states.STATES; state++) expect(reach(state).has(states.CLOSED)).toBe(true);
});

test('a reset or an abort ends every state that has a peer, save TIME-WAIT, which ignores resets (RFC 1337)', () => {
  for (let state = states.SYN_SENT; state < states.TIME_WAIT; state++) {
    expect(states.next(state, states.RCV_RST), states.STATE_NAMES[state]).toBe(states.CLOSED);
    expect(states.next(state, states.ABORT), states.STATE_NAMES[state]).toBe(states.CLOSED);
  }
  expect(states.next(states.TIME_WAIT, states.RCV_RST)).toBe(-1);
});

test('names and numbers match', () => {
  expect(states.STATE_NAMES.length).toBe(states.STATES);
  expect(states.EVENT_NAMES.length).toBe(states.EVENTS);
});
