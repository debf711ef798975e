// ping(8) and arping(8) of iputils against the stack.

import { expect, test } from 'vitest';
import { STACK, TAP, useHost } from '../support/interop.ts';

const host = useHost({ programs: ['ping', 'arping'], capture: true });
const ping = (...args: string[]) => host.netns.run('ping', ['-n', ...args, STACK], { timeout: 60_000 });

// 1472 fills a frame, 1473 is fragmented, 65507 is the largest there is.
for (const size of [0, 1, 56, 1472, 1473, 8000, 65507]) {
  test(`an echo of ${size} bytes comes back whole (RFC 1122 §3.2.2.6)`, async () => {
    const { status, stdout } = await ping('-c', '5', '-i', '0.1', '-W', '5', '-s', String(size));
    expect(stdout).toContain('5 packets transmitted, 5 received, 0% packet loss');
    expect(stdout).toContain(`${size + 8} bytes from ${STACK}`);
    expect(stdout).not.toContain('wrong data byte');
    expect(status).toBe(0);
  });
}

test('record route is answered with the route, ours included (RFC 1122 §3.2.2.6)', async () => {
  const { status, stdout } = await ping('-c', '2', '-i', '0.2', '-W', '5', '-R');
  expect(status, stdout).toBe(0);
  expect(stdout).toMatch(/RR:/);
  expect(stdout.split('RR:')[1].split('\n\n')[0]).toContain(STACK);
});

test('timestamps are recorded too (RFC 1122 §3.2.2.6)', async () => {
  const { status, stdout } = await ping('-c', '1', '-W', '5', '-T', 'tsandaddr');
  expect(status, stdout).toBe(0);
  expect(stdout).toMatch(/TS:/);
  expect(stdout).toContain(STACK);
});

test('an echo to the broadcast address is not answered (RFC 1122 §3.2.2.6)', async () => {
  const { stdout } = await host.netns.run('ping', ['-n', '-b', '-c', '3', '-i', '0.2', '-W', '1', '10.9.0.255']);
  expect(stdout).toContain('3 packets transmitted, 0 received');
});

test('an address that is nobody is not answered', async () => {
  const { status, stdout } = await host.netns.run('ping', ['-n', '-c', '1', '-W', '1', '10.9.0.77'], {
    timeout: 20_000,
  });
  expect(status).toBe(1);
  expect(stdout).toContain('0 received');
});

test('arping finds the hardware address (RFC 826)', async () => {
  const { status, stdout } = await host.netns.run('arping', ['-c', '3', '-I', TAP, STACK]);
  expect(status, stdout).toBe(0);
  expect(stdout).toContain('Received 3 response(s)');
});

test('arping -D finds our address taken and others free (RFC 5227 §2.1.1)', async () => {
  const taken = await host.netns.run('arping', ['-D', '-c', '2', '-I', TAP, STACK]);
  expect(taken.stdout).toContain('Received 1 response(s)');
  expect(taken.status).toBe(1);
  const free = await host.netns.run('arping', ['-D', '-c', '2', '-I', TAP, '10.9.0.77']);
  expect(free.stdout).toContain('Received 0 response(s)');
  expect(free.status).toBe(0);
});
