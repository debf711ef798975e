import { expect, test } from 'vitest';
import { conflict, contains, parsePrefix } from '../../src/cli/host-check.ts';
import type { HostAddress, HostRoute } from '../../src/link/host.ts';

const address = (on: string, text: string): HostAddress => {
  const { address: value, length } = parsePrefix(text);
  return { interface: on, address: value, prefix: length };
};
const route = (on: string, text: string, gateway: string | null = null): HostRoute => {
  const { address: value, length } = parsePrefix(text);
  return {
    interface: on,
    destination: value,
    prefix: length,
    gateway: gateway === null ? null : parsePrefix(`${gateway}/32`).address,
    metric: 0,
    table: 254,
  };
};
const wanted = [parsePrefix('10.9.0.2/24')];

test('the default route is not in the way', () => {
  expect(
    conflict(wanted, [address('eth0', '192.168.1.5/24')], [route('eth0', '0.0.0.0/0', '192.168.1.1')], new Set()),
  ).toBeNull();
});

test('a route that contains, equals or lies in our network is in the way', () => {
  for (const other of ['10.0.0.0/8', '10.9.0.0/24', '10.9.0.128/25', '10.9.0.2/32']) {
    expect(conflict(wanted, [], [route('vpn0', other)], new Set()), other).toContain(`route to ${other} on vpn0`);
  }
  expect(conflict(wanted, [], [route('vpn0', '10.9.1.0/24')], new Set())).toBeNull();
});

test('an address of another interface in our network is in the way', () => {
  expect(conflict(wanted, [address('eth0', '10.9.0.77/16')], [], new Set())).toBe(
    '10.9.0.0/24 overlaps 10.9.0.77/16, the address of eth0',
  );
});

test("the TAP's own address and route are not", () => {
  const own = new Set(['tap0']);
  expect(conflict(wanted, [address('tap0', '10.9.0.1/24')], [route('tap0', '10.9.0.0/24')], own)).toBeNull();
});

test('a gateway is named', () => {
  expect(conflict(wanted, [], [route('eth0', '10.0.0.0/8', '192.168.1.1')], new Set())).toContain(
    'via 192.168.1.1 on eth0',
  );
});

test('contains follows the mask', () => {
  expect(contains(parsePrefix('10.9.0.2/24'), parsePrefix('10.9.0.255/32').address)).toBe(true);
  expect(contains(parsePrefix('10.9.0.2/24'), parsePrefix('10.9.1.1/32').address)).toBe(false);
  expect(contains(parsePrefix('200.1.2.3/1'), parsePrefix('128.0.0.1/32').address)).toBe(true);
});
