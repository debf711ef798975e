import { describe, expect, test } from 'vitest';
import { binary, calculate, formatCalculation, run } from '../../src/cli/ipcalc.ts';
import { CommandError, MISUSED } from '../../src/cli/usage.ts';
import { parseCidr } from '../../src/wire/cidr.ts';

const calc = (text: string, options = {}): string => run(text.split(' '), options);

describe('the tables of the course, in the layout of Debian’s ipcalc', () => {
  test('an ordinary network', () => {
    expect(calc('192.168.0.10/24')).toBe(`Address:   192.168.0.10         11000000.10101000.00000000. 00001010
Netmask:   255.255.255.0 = 24   11111111.11111111.11111111. 00000000
Wildcard:  0.0.0.255            00000000.00000000.00000000. 11111111
=>
Network:   192.168.0.0/24       11000000.10101000.00000000. 00000000
HostMin:   192.168.0.1          11000000.10101000.00000000. 00000001
HostMax:   192.168.0.254        11000000.10101000.00000000. 11111110
Broadcast: 192.168.0.255        11000000.10101000.00000000. 11111111
Hosts/Net: 254                   Class C, private, RFC 1918`);
  });

  test('a mask inside an octet', () => {
    expect(
      calc('10.200.3.4 255.224.0.0'),
    ).toContain(`Network:   10.192.0.0/11        00001010.110 00000.00000000.00000000
HostMin:   10.192.0.1           00001010.110 00000.00000000.00000001
HostMax:   10.223.255.254       00001010.110 11111.11111111.11111110
Broadcast: 10.223.255.255       00001010.110 11111.11111111.11111111
Hosts/Net: 2097150               Class A`);
  });

  test('a /31 has two hosts and no broadcast (RFC 3021)', () => {
    const text = calc('10.0.0.5/31');
    expect(text).toContain('HostMin:   10.0.0.4             00001010.00000000.00000000.0000010 0');
    expect(text).toContain('HostMax:   10.0.0.5             00001010.00000000.00000000.0000010 1');
    expect(text).not.toContain('Broadcast');
    expect(text).toMatch(/Hosts\/Net: 2 .*RFC 3021$/);
  });

  test('a /32 is a host, a /0 is everything', () => {
    expect(calc('10.0.0.5/32')).toContain('Hostroute: 10.0.0.5             00001010.00000000.00000000.00000101');
    expect(calc('10.1.2.3/0')).toContain('Broadcast: 255.255.255.255      11111111.11111111.11111111.11111111');
    expect(calc('10.1.2.3/0')).toContain('Hosts/Net: 4294967294');
  });

  test('every notation of a mask gives the same table; without one it is /24', () => {
    const wanted = calc('10.9.0.2/24');
    for (const text of [
      '10.9.0.2/255.255.255.0',
      '10.9.0.2 0.0.0.255',
      '10.9.0.2/0xffffff00',
      '10.9.0.2 24',
      '10.9.0.2',
    ]) {
      expect(calc(text), text).toBe(wanted);
    }
  });

  test('bits are split where the network ends', () => {
    expect(binary(-1, 0)).toBe('11111111.11111111.11111111.11111111');
    expect(binary(0x80000001 | 0, 1)).toBe('1 0000000.00000000.00000000.00000001');
    expect(binary(-1, 16)).toBe('11111111.11111111. 11111111.11111111');
    expect(binary(-1, 32)).toBe('11111111.11111111.11111111.11111111');
  });
});

describe('subnets', () => {
  test('a second mask lists the subnets', () => {
    const text = calc('192.168.0.0/24 26');
    expect(text).toContain('Subnets after transition from /24 to /26');
    expect(text.match(/^Network: +(\S+)/gm)?.slice(1)).toEqual(
      ['0', '64', '128', '192'].map((last) => `Network:   192.168.0.${last}/26`),
    );
    expect(text).toContain('Subnets:   4\nHosts:     248');
  });

  test('a shorter mask gives the supernet, a great many are counted', () => {
    expect(calc('192.168.5.0/24 16')).toContain('Network:   192.168.0.0/16');
    expect(calc('10.0.0.0/8 30')).toContain('… and 4193304 more');
  });

  test('--split makes subnets for numbers of hosts and tells what is left', () => {
    const text = calc('192.168.0.0/24', { split: ['50', '20', '10'] });
    for (const network of ['192.168.0.0/26', '192.168.0.64/27', '192.168.0.96/28']) expect(text).toContain(network);
    expect(text).toMatch(/Unused:\n192\.168\.0\.112\/28\n192\.168\.0\.128\/25$/);
  });

  test('a range becomes blocks', () => {
    const blocks = ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/30'].join('\n');
    expect(calc('10.0.0.1 - 10.0.0.7')).toBe(blocks);
    expect(calc('10.0.0.1-10.0.0.7')).toBe(blocks);
  });
});

test('--json has the same numbers', () => {
  expect(JSON.parse(calc('172.16.1.1/20', { json: true }))).toMatchObject({
    address: '172.16.1.1',
    prefix: 20,
    netmask: '255.255.240.0',
    wildcard: '0.0.15.255',
    network: '172.16.0.0/20',
    hostMin: '172.16.0.1',
    hostMax: '172.16.15.254',
    broadcast: '172.16.15.255',
    hosts: 4094,
    class: 'B',
    classPrefix: 16,
    note: 'private, RFC 1918',
    binary: { netmask: '11111111.11111111.1111 0000.00000000' },
  });
  expect(JSON.parse(calc('10.0.0.1 - 10.0.0.3', { json: true }))).toEqual(['10.0.0.1/32', '10.0.0.2/31']);
  expect(JSON.parse(calc('10.0.0.0/31', { json: true })).broadcast).toBeNull();
});

test('what is no address is refused with exit status 2 and the reason', () => {
  for (const text of [
    '10.0.0.1/33',
    '10.0.0.256/24',
    '10.0.0.1 255.0.255.0',
    '10.0.0.1/24 99',
    '10.0.0.1 24 25 26',
    '10.0.0.9 - 10.0.0.1',
    'ten - eleven',
    'hello',
    '10.0.0.1/24/3',
  ]) {
    try {
      calc(text);
      expect.unreachable(text);
    } catch (error) {
      expect(error, text).toBeInstanceOf(CommandError);
      expect((error as CommandError).exitCode, text).toBe(MISUSED);
      expect((error as CommandError).message, text).toMatch(/^ipcalc: [^\n]+$/);
    }
  }
  expect(() => calc('192.168.0.0/24', { split: ['200', '100'] })).toThrow('has no room');
  expect(() => calc('192.168.0.0/24', { split: ['many'] })).toThrow('not "many"');
});

test('the table is that of the calculation', () => {
  const cidr = parseCidr('127.0.0.1/8');
  if (cidr === null) expect.unreachable();
  else expect(formatCalculation(calculate(cidr))).toContain('Class A, loopback, RFC 1122');
});
