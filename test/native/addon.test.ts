import { describe, expect, test } from 'vitest';
import { clockState, hostAddresses, hostInterface, hostRoutes, realtime } from '../../src/link/host.ts';
import { attempt, native } from '../../src/link/native.ts';
import { Tap } from '../../src/link/tap.ts';

const codeOf = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
  return 'no error';
};

describe('the host, asked without root', () => {
  test('an interface is described, one that does not exist is null', () => {
    expect(hostInterface('lo')).toMatchObject({ index: 1, mac: 0, mtu: expect.any(Number), up: expect.any(Boolean) });
    expect(hostInterface('no-such-if')).toBe(null);
  });

  test('addresses and routes carry int32 addresses and prefixes', () => {
    for (const at of hostAddresses()) {
      expect(at.address).toBe(at.address | 0);
      expect(at.prefix).toBeGreaterThanOrEqual(0);
      expect(at.prefix).toBeLessThanOrEqual(32);
      expect(hostInterface(at.interface)).not.toBe(null);
    }
    for (const route of hostRoutes()) {
      expect(route.destination).toBe(route.destination | 0);
      expect(route.prefix).toBeLessThanOrEqual(32);
    }
  });

  test('the clock says how well it is kept, in seconds (RFC 5905 §11.1)', () => {
    const clock = clockState();
    expect(clock.resolution).toBeGreaterThan(0);
    expect(clock.resolution).toBeLessThan(0.1);
    expect(clock.maxError).toBeGreaterThanOrEqual(0);
    expect(Math.abs(clock.offset)).toBeLessThan(1);
    expect(clock.synchronized).toBe((clock.status & 0x40) === 0 && clock.state !== 5);
    expect(Math.abs(Number(realtime() / 1_000_000n) - Date.now())).toBeLessThan(1000);
  });
});

describe('misuse of the addon is an Error, not a crash', () => {
  const addon = native();

  test.each([
    ['a handle that was never given', () => addon.close(77)],
    ['a negative handle', () => addon.name(-1)],
    ['a receive on it', () => addon.receive(-1, addon.createSpace(), new Int32Array(8), 0, 0, 1)],
    ['a watch on it', () => addon.watch(5, () => {})],
  ])('%s: EBADF', (_, call) => expect(codeOf(call)).toBe('EBADF'));

  test('a name longer than the kernel takes: ENAMETOOLONG', () => {
    expect(codeOf(() => addon.open('sixteen-chars-xx', 0))).toBe('ENAMETOOLONG');
  });

  test('more than 127 slabs: ENOSPC', () => {
    const space = addon.createSpace();
    const slab = new ArrayBuffer(8);
    for (let n = 0; n < 127; n++) addon.addSlab(space, slab);
    expect(codeOf(() => addon.addSlab(space, slab))).toBe('ENOSPC');
  });

  test('missing and wrong arguments are TypeErrors', () => {
    const loose = addon as unknown as Record<string, (...args: unknown[]) => unknown>;
    const without = ['createSpace', 'addresses', 'routes', 'clockState', 'realtime'];
    for (const name of Object.keys(addon).filter((each) => !without.includes(each))) {
      expect(() => loose[name](), name).toThrow(TypeError);
      expect(() => loose[name]({}, {}, {}, {}, {}, {}), name).toThrow(TypeError);
    }
  });
});

describe('messages say what to do', () => {
  const fail = (code: string) => () => {
    throw Object.assign(new Error(`${code}: reason, ioctl`), { code, errno: -1, syscall: 'ioctl' });
  };

  test('no permission: how to get it', () => {
    expect(() => attempt('do it', fail('EPERM'))).toThrow(/^cannot do it: EPERM.*root or CAP_NET_ADMIN.*unshare/);
  });

  test('an error that is not the system’s passes unchanged', () => {
    const bug = new TypeError('bug');
    expect(() =>
      attempt('do it', () => {
        throw bug;
      }),
    ).toThrow(bug);
  });

  test.each([
    ['', /not empty/],
    ['a b', /no spaces/],
    ['a/b', /slashes/],
    ['sixteen-chars-xx', /at most 15 characters \(Linux's limit\), this has 16/],
  ])('an interface cannot be called %j', (name, message) => {
    expect(() => new Tap(name)).toThrow(message);
    expect(codeOf(() => new Tap(name))).toBe('ERR_INVALID_ARG_VALUE');
  });
});
