// traceroute(8) by UDP, ICMP and TCP: the stack is one hop away and says so.

import { expect, test } from 'vitest';
import { STACK, useHost } from '../support/interop.ts';

const host = useHost({ programs: ['traceroute'], args: ['--service', 'http'], capture: true });

const METHODS: [name: string, args: string[]][] = [
  ['UDP: port unreachable (RFC 1122 §4.1.3.1)', []],
  ['ICMP: echo reply', ['-I']],
  ['TCP to an open port: SYN,ACK', ['-T', '-p', '80']],
  ['TCP to a closed port: RST (RFC 9293 §3.10.7.1)', ['-T', '-p', '81']],
];

for (const [name, args] of METHODS) {
  test(`one hop by ${name}`, async () => {
    const { status, stdout } = await host.netns.run('traceroute', [
      '-n',
      '-q',
      '2',
      '-w',
      '5',
      '-N',
      '1',
      ...args,
      STACK,
    ]);
    expect(status, stdout).toBe(0);
    const hops = stdout.trim().split('\n').slice(1);
    expect(hops).toHaveLength(1);
    expect(hops[0]).toMatch(new RegExp(`^ 1  ${STACK.replaceAll('.', '\\.')}  [\\d.]+ ms  [\\d.]+ ms$`));
  });
}
