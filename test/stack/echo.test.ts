import { expect, test } from 'vitest';
import type { EchoReport, IcmpSocket } from '../../src/net/icmp-socket.ts';
import { SECOND } from '../../src/world.ts';
import { sameBytes } from '../support/check.ts';
import { twoStacks } from '../support/two-stacks.ts';

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i * 7);

test('an echo request is answered with the same identifier, sequence number and data (RFC 1122 §3.2.2.6; ICMP20, ICMP21, ROUTE2, ROUTE8)', () => {
  for (const offload of [0, undefined]) {
    const { a, b, net } = twoStacks({ offload });
    const ping = a.stack.icmp.open() as IcmpSocket;
    for (const size of [0, 1, 56, 1472, 1473, 8000, 65507]) {
      expect(ping.sendEcho(b.address, size & 0xffff, bytes(size))).toBe(0);
      net.run(SECOND / 10);
      const report = ping.receive() as EchoReport;
      expect(report, `${size} bytes`).toMatchObject({ kind: 'reply', seq: size & 0xffff, ttl: 64 });
      expect(report.from.toString()).toBe('10.9.0.2');
      sameBytes(report.payload, bytes(size), () => `${size} bytes`);
    }
    expect(a.stack.fragments.bytes + b.stack.fragments.bytes).toBeLessThanOrEqual(256 * 1024);
    net.close();
    expect(a.stack.memory.used + b.stack.memory.used).toBe(0);
  }
});

test('a stack pings itself over its loopback (RFC 1122 §3.2.1.3 (g))', () => {
  const { a, net } = twoStacks();
  const ping = a.stack.icmp.open() as IcmpSocket;
  for (const target of [
    a.address,
    ...['127.0.0.1', '127.9.9.9'].map((t) => a.address.clone().setV4(t === '127.0.0.1' ? 0x7f000001 : 0x7f090909)),
  ]) {
    expect(ping.sendEcho(target, 1, bytes(3000))).toBe(0);
    net.run(1000);
    expect(ping.receive()?.payload).toEqual(bytes(3000));
  }
  expect(a.nic.counters.outFrames).toBe(0);
});
