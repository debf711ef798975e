import { expect, test } from 'vitest';
import { table } from '../../src/cli/remote.ts';
import { printStats } from '../../src/cli/stats.ts';

test('counters are grouped and zeros left out', () => {
  const stats = { ifInFrames: 3, ipInReceives: 0, tcpInSegs: 2, dropMartianSource: 1, neighborFailures: 4 };
  expect(printStats(stats, false)).toBe(
    [
      'Link:',
      '  ifInFrames         3',
      'ARP:',
      '  neighborFailures   4',
      'TCP:',
      '  tcpInSegs          2',
      'Dropped:',
      '  dropMartianSource  1',
    ].join('\n'),
  );
  expect(printStats(stats, true)).toContain('ipInReceives       0');
  expect(printStats({ ifInFrames: 0 }, false)).toBe('nothing counted yet');
});

test('columns of numbers are set to the right', () => {
  expect(
    table(
      ['Name', 'N'],
      [
        ['a', 5],
        ['bcdef', 123],
      ],
    ),
  ).toBe(['Name     N', 'a        5', 'bcdef  123'].join('\n'));
});
