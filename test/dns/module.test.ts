// stack.dns beside node:dns: the same names, and the same complaints about wrong arguments.

import nodeDns from 'node:dns';
import { expect, test } from 'vitest';
import { oneStack } from '../node/support.ts';

const complaint = (action: () => unknown): unknown => {
  try {
    action();
  } catch (error) {
    const { name, message, code } = error as Error & { code?: string };
    return { name, message, code };
  }
  return null;
};

test('everything node:dns has is there, in both styles, and of the same kind', async () => {
  const { dns } = await oneStack();
  const kinds = (module: object): Record<string, string> =>
    Object.fromEntries(Object.entries(module).map(([name, value]) => [name, typeof value]));
  expect(kinds(dns)).toMatchObject(kinds(nodeDns));
  expect(kinds(dns.promises)).toMatchObject(kinds(nodeDns.promises));
  for (const method of Object.getOwnPropertyNames(nodeDns.Resolver.prototype)) {
    expect(typeof Reflect.get(dns.Resolver.prototype, method), method).toBe('function');
    expect(typeof Reflect.get(dns.promises.Resolver.prototype, method), method).toBe('function');
  }
  for (const method of ['cancel', 'getServers', 'setServers', 'setLocalAddress'])
    expect(typeof Reflect.get(dns.Resolver.prototype, method), method).toBe('function');
});

test('wrong arguments get the complaints of node:dns', async () => {
  const { dns } = await oneStack();
  const calls: ((module: typeof nodeDns) => unknown)[] = [
    (m) => m.lookup(1 as never, () => {}),
    (m) => m.lookup('a', { family: 5 as never }, () => {}),
    (m) => m.lookup('a', { family: 'x' as never }, () => {}),
    (m) => m.lookup('a', { hints: 9999 }, () => {}),
    (m) => m.lookup('a', { all: 1 as never }, () => {}),
    (m) => m.lookup('a', { order: 'x' } as never, () => {}),
    (m) => m.lookup('a', { verbatim: 1 as never }, () => {}),
    (m) => m.lookup('a', undefined as never),
    (m) => m.lookup('a', 7 as never, () => {}),
    (m) => m.lookupService('1.1.1.1', 99999, () => {}),
    (m) => Reflect.apply(m.lookupService, m, ['1.1.1.1']),
    (m) => m.setServers(['x']),
    (m) => m.setServers('x' as never),
    (m) => m.setServers([1 as never]),
    (m) => m.reverse('foo', () => {}),
    (m) => m.reverse(1 as never, () => {}),
    (m) => m.resolve('a', 'FOO' as never, () => {}),
    (m) => m.resolve('a', 'toString' as never, () => {}),
    (m) => m.resolve('a', 5 as never, () => {}),
    (m) => m.resolve4('a', undefined as never),
    (m) => m.resolveMx(3 as never, () => {}),
    (m) => new m.Resolver({ timeout: -5 }),
    (m) => new m.Resolver({ timeout: 'x' as never }),
    (m) => new m.Resolver({ tries: 0 }),
    (m) => new m.Resolver().setLocalAddress('x'),
    (m) => m.setDefaultResultOrder('z' as never),
    (m) => m.promises.lookup(1 as never),
    (m) => m.promises.resolve('a', 'X' as never),
    (m) => m.promises.resolve4(undefined as never),
    (m) => Reflect.apply(m.promises.lookupService, m.promises, ['1.1.1.1']),
    (m) => m.promises.setServers(1 as never),
  ];
  for (const call of calls) {
    const theirs = complaint(() => call(nodeDns));
    expect(theirs, String(call)).not.toBeNull();
    expect(
      complaint(() => call(dns)),
      String(call),
    ).toEqual(theirs);
  }
  await expect(dns.promises.reverse('foo')).rejects.toMatchObject({ message: 'getHostByAddr EINVAL foo', errno: -22 });
});

test('literals and the empty name are answered as node:dns answers them, in a later tick', async () => {
  const { dns } = await oneStack();
  for (const args of [
    ['127.0.0.1', {}],
    ['::1', {}],
    ['127.0.0.1', { all: true }],
    ['', {}],
    ['', { all: true }],
  ] as const) {
    const outcome = (module: typeof nodeDns): Promise<unknown[]> =>
      new Promise((done) => {
        let isLater = false;
        Reflect.apply(module.lookup, module, [...args, (...found: unknown[]) => done([isLater, ...found])]);
        isLater = true;
      });
    expect(await outcome(dns), JSON.stringify(args)).toEqual(await outcome(nodeDns));
  }
});

test('servers are given and listed in the forms of node:dns', async () => {
  const { dns } = await oneStack();
  const servers = ['192.0.2.1', '192.0.2.2:53', '192.0.2.3:5353', '2001:db8::1', '[2001:db8::2]', '[2001:db8::3]:5353'];
  const theirs = new nodeDns.Resolver();
  theirs.setServers(servers);
  dns.setServers(servers);
  expect(dns.getServers()).toEqual(theirs.getServers());
});

test('options of a resolver are checked when the stack is made', async () => {
  const wrong = async (dns: object): Promise<string> => {
    const { createStack } = await import('../../src/node/node-stack.ts');
    return createStack({ dns }).then(
      (stack) => stack.close().then(() => 'accepted'),
      (error: Error) => error.message,
    );
  };
  expect(await wrong({ server: ['1.1.1.1'] })).toMatch(/'options\.dns\.server' is not an option of a resolver/);
  expect(await wrong({ servers: ['one'] })).toMatch(/Invalid IP address: one/);
  expect(await wrong({ servers: 'one' })).toMatch(/"options\.dns\.servers" property must be an instance of Array/);
  expect(await wrong({ search: ['a..b'] })).toMatch(/'options\.dns\.search\[0\]' must be a domain name/);
  expect(await wrong({ ndots: -1 })).toMatch(/"options\.dns\.ndots" is out of range/);
  expect(await wrong({ tries: 0 })).toMatch(/"options\.dns\.tries" is out of range/);
});
