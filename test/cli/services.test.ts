import { describe, expect, test } from 'vitest';
import { allServices, findServices, formatServices, portOf, serviceName } from '../../src/cli/services.ts';

const names = (query: string): string[] => findServices(query).map((service) => service.name);

describe('the list', () => {
  test('is in order of port, every line well formed', () => {
    let last = 0;
    for (const { port, protocols, name } of allServices()) {
      expect(Number.isInteger(port) && port >= last && port <= 65535, `${port} ${name}`).toBe(true);
      expect(protocols.length, name).toBeGreaterThan(0);
      expect(
        protocols.every((protocol) => ['tcp', 'udp', 'sctp', 'dccp'].includes(protocol)),
        name,
      ).toBe(true);
      expect(name).toMatch(/^\S+$/);
      last = port;
    }
    expect(allServices().length).toBeGreaterThan(6000);
  });

  test.each([
    [7, 'tcp', 'echo'],
    [9, 'udp', 'discard'],
    [13, 'tcp', 'daytime'],
    [19, 'udp', 'chargen'],
    [21, 'tcp', 'ftp'],
    [22, 'tcp', 'ssh'],
    [23, 'tcp', 'telnet'],
    [25, 'tcp', 'smtp'],
    [53, 'udp', 'domain'],
    [67, 'udp', 'bootps'],
    [69, 'udp', 'tftp'],
    [80, 'tcp', 'http'],
    [110, 'tcp', 'pop3'],
    [123, 'udp', 'ntp'],
    [143, 'tcp', 'imap'],
    [161, 'udp', 'snmp'],
    [179, 'tcp', 'bgp'],
    [443, 'tcp', 'https'],
    [514, 'udp', 'syslog'],
    [631, 'tcp', 'ipp'],
    [995, 'tcp', 'pop3s'],
    [5432, 'tcp', 'postgresql'],
    [6379, 'tcp', 'redis'],
  ])('port %i/%s is %s, and back', (port, protocol, name) => {
    expect(serviceName(port, protocol)).toBe(name);
    expect(portOf(name)).toBe(port);
  });
});

describe('a query', () => {
  test('is a port, with or without its protocol, or a range', () => {
    expect(names('110')).toEqual(['pop3']);
    expect(names('514/udp')).toEqual(['syslog']);
    expect(names('514/tcp')).toEqual(['shell']);
    expect(names('20-23')).toEqual(['ftp-data', 'ftp', 'fsp', 'ssh', 'telnet']);
  });

  test('is a name or an alias in any case, else part of one', () => {
    expect(names('POP3')).toEqual(['pop3']);
    expect(names('www')).toEqual(['http']);
    expect(names('domain/udp')).toEqual(['domain']);
    expect(names('Post Office Protocol')).toContain('pop3');
    expect(names('no-such-service')).toEqual([]);
  });

  test('that cannot be meant is refused', () => {
    expect(() => findServices('70000')).toThrow('not a port or range');
    expect(() => findServices('25-20')).toThrow('not a port or range');
    expect(() => findServices('110/http')).toThrow('"http" is not a protocol');
    expect(() => findServices('')).toThrow('a query is a port');
  });
});

test('a line reads like one of /etc/services', () => {
  expect(formatServices(findServices('110'))).toBe(
    'pop3             110/tcp,udp        pop-3 # Post Office Protocol - Version 3',
  );
});
