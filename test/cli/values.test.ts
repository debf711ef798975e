import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import * as values from '../../src/cli/values.ts';

const refuses = (parse: (text: string) => unknown, ...texts: string[]): void => {
  for (const text of texts) expect(() => parse(text), text).toThrow(InvalidArgumentError);
};

test('an address with prefix is one a host can have (RFC 1122 §3.2.1.3, RFC 3021)', () => {
  for (const good of ['10.9.0.2/24', '10.9.0.0/31', '10.9.0.1/31', '192.168.1.1/32', '1.2.3.4/1']) {
    expect(values.hostPrefix(good)).toBe(good);
  }
  refuses(
    values.hostPrefix,
    '',
    '10.9.0.2',
    '10.9.0.2/',
    '10.9.0.2/33',
    '10.9.0.2/0',
    '10.9.0/24',
    '10.9.0.256/24',
    '10.9.0.2/24/8',
    '010.9.0.2/24',
    '10.9.0.0/24',
    '10.9.0.255/24',
    '0.0.0.1/8',
    '127.0.0.1/8',
    '224.0.0.1/24',
    '255.255.255.255/32',
    '240.0.0.1/24',
    'x/24',
    ' 10.9.0.2/24',
  );
});

test('an interface name is one the kernel takes', () => {
  for (const good of ['tap0', 'a', 'abcdefghijklmno', 'ts-1.2']) expect(values.interfaceName(good)).toBe(good);
  refuses(values.interfaceName, '', 'abcdefghijklmnop', 'a b', 'a/b', '.', '..', 'a:b', 'tap%d');
});

test('a station has a unicast hardware address', () => {
  expect(values.unicastMac('02:00:00:00:00:01')).toBe('02:00:00:00:00:01');
  refuses(
    values.unicastMac,
    '',
    '02:00:00:00:00',
    '03:00:00:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
    '2:0:0:0:0:1',
    'zz:00:00:00:00:00',
  );
});

test('a network has no bits behind its prefix', () => {
  expect(values.network('default')).toBe('0.0.0.0/0');
  expect(values.network('192.168.0.0/16')).toBe('192.168.0.0/16');
  expect(values.network('10.1.2.3')).toBe('10.1.2.3/32');
  expect(() => values.network('192.168.1.0/16')).toThrow('did you mean 192.168.0.0/16?');
  refuses(values.network, '', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/8/8', 'all');
});

test('numbers are whole where they must be, and in range', () => {
  expect(values.integer(68, 9000)('1500')).toBe(1500);
  refuses(values.integer(68, 9000), '', '67', '9001', '1500.5', '-1', '1e3', '0x5dc', 'big');
  expect(values.decimal(0.01, 60)('0.2')).toBe(0.2);
  refuses(values.decimal(0.01, 60), '', '0', '-1', 'x', '61', '.');
});

test('a list takes known names, once each, from one option or several', () => {
  const parse = values.listOf(['pop3', 'ntp', 'echo']);
  expect(parse('pop3,ntp')).toEqual(['pop3', 'ntp']);
  expect(parse('echo, ntp', ['ntp'])).toEqual(['ntp', 'echo']);
  refuses((text) => parse(text), '', 'pop3,', 'smtp', 'POP3');
});
