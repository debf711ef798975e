import { expect, test } from 'vitest';
import { Segment } from '../../../src/tcp/segment.ts';
import { Undo } from '../../../src/tcp/undo.ts';

const echoing = (tsEcr: number): Segment => Object.assign(new Segment(), { hasTimestamp: true, tsEcr });

test('an echo older than the first retransmission says that it was needless (RFC 3522 §3.2)', () => {
  const undo = new Undo();
  undo.begin(0, 0);
  undo.onRetransmit(1000, 50, 0);
  undo.onRetransmit(1000, 60, 1000);
  expect([49, 50, 55].map((at) => undo.predates(echoing(at)))).toEqual([true, false, false]);
});

test('a retransmission that an undone recovery left on its way is no proof against the next (RFC 3522 §3.2)', () => {
  const undo = new Undo();
  undo.begin(0, 0);
  undo.onRetransmit(1000, 50, 0);
  undo.end();
  undo.begin(0, 1000);
  undo.onRetransmit(1000, 70, 1000);
  expect(undo.predates(echoing(50))).toBe(false);
  expect(undo.predates(echoing(49))).toBe(true);
});

test('nor is a tail loss probe that went before the recovery (RFC 8985 §7.3)', () => {
  const undo = new Undo();
  undo.onRetransmit(1000, 30, 0);
  undo.begin(0, 1000);
  undo.onRetransmit(1000, 40, 1000);
  expect(undo.predates(echoing(30))).toBe(false);
});

test('once nothing old is on its way the next recovery starts with its own timestamp', () => {
  const undo = new Undo();
  undo.begin(0, 0);
  undo.onRetransmit(1000, 50, 0);
  undo.end();
  undo.begin(0, 0);
  undo.onRetransmit(1000, 90, 0);
  expect(undo.predates(echoing(89))).toBe(true);
});
