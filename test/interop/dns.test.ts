// stack.dns against dnsmasq: the stack asks over its TAP, in a namespace where nothing else is.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { missing, Netns } from '../support/netns.ts';

const reason = missing('dnsmasq');
let netns: Netns;
let found: Record<string, unknown>;

beforeEach((context) => {
  if (reason !== null) context.skip(reason);
});

const MANY = Array.from({ length: 120 }, (_, i) => `10.77.0.${i + 1}`);
const source = fileURLToPath(new URL('../../src/index.ts', import.meta.url));

// Everything is asked by one program, because a start costs more than all the questions.
const PROGRAM = `import { createStack } from ${JSON.stringify(source)};
const stack = await createStack({
  tap: 'tap0', address: '10.9.0.2/24', host: '10.9.0.1/24', gateway: '10.9.0.1',
  dns: { servers: ['10.9.0.1:54', '10.9.0.1'], search: ['lab.test'], timeout: 1000 },
});
await new Promise((resolve) => {
  process.stdin.once('data', resolve);
  console.log('attached');
});
const { dns } = stack;
const settle = (promise) => promise.then((value) => value, (error) => error.message);
const p = dns.promises;
const authority = new p.Resolver();
authority.setServers(['10.9.0.1:5353']);
const questions = {
  a: () => p.resolve4('www.lab.test', { ttl: true }),
  aaaa: () => p.resolve6('www.lab.test'),
  alias: () => p.resolve4('alias.lab.test'),
  cname: () => p.resolveCname('alias.lab.test'),
  mx: () => p.resolveMx('lab.test'),
  txt: () => p.resolveTxt('lab.test'),
  srv: () => p.resolveSrv('_sip._udp.lab.test'),
  caa: () => p.resolveCaa('lab.test'),
  naptr: () => p.resolveNaptr('lab.test'),
  soa: () => authority.resolveSoa('auth.test'),
  ns: () => authority.resolveNs('auth.test'),
  ptr: () => p.reverse('10.77.1.1'),
  ptr6: () => p.reverse('2001:db8::77'),
  nothing: () => p.resolve4('absent.lab.test'),
  nodata: () => p.resolveMx('www.lab.test'),
  many: () => p.resolve4('many.lab.test'),
  search: () => p.lookup('www'),
  any6: () => p.lookup('www.lab.test', { family: 6, all: true }),
  service: () => p.lookupService('10.77.1.1', 25),
};
const result = {};
for (const [name, ask] of Object.entries(questions)) result[name] = await settle(ask());
const { tcpActiveOpens } = stack.core.stats;
result.tcpOpens = tcpActiveOpens;
const before = stack.core.stats.udpOutDatagrams;
await Promise.all(Array.from({ length: 50 }, () => p.resolve4('www.lab.test')));
result.repeated = stack.core.stats.udpOutDatagrams - before;
result.fetched = await new Promise((resolve, reject) => {
  const socket = stack.net.connect({ host: 'self', port: 7 });
  socket.on('error', (error) => resolve(error.message));
});
console.log('RESULT ' + JSON.stringify(result));
await stack.close();
process.stdin.destroy();
`;

beforeAll(async () => {
  if (reason !== null) return;
  netns = new Netns();
  const path = join(netns.directory, 'ask.mts');
  writeFileSync(path, PROGRAM);
  const hosts = join(netns.directory, 'hosts');
  writeFileSync(hosts, `${MANY.map((address) => `${address} many.lab.test`).join('\n')}\n10.9.0.1 self.lab.test\n`);
  const asking = netns.spawn(process.execPath, ['--import', import.meta.resolve('tsx'), path]);
  await asking.output(/attached/, 30_000);
  const dnsmasq = (...args: string[]): void => {
    netns.spawn('dnsmasq', [
      ...['--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', '--pid-file'],
      ...['--listen-address=10.9.0.1', '--bind-interfaces', ...args],
    ]);
  };
  dnsmasq(
    ...[`--addn-hosts=${hosts}`, '--local=/lab.test/'],
    '--host-record=www.lab.test,10.77.1.1,2001:db8::77,120',
    '--cname=alias.lab.test,www.lab.test',
    '--mx-host=lab.test,mail.lab.test,10',
    '--txt-record=lab.test,v=spf1 -all,second',
    '--srv-host=_sip._udp.lab.test,sip.lab.test,5060,1,2',
    '--caa-record=lab.test,0,issue,ca.test',
    '--naptr-record=lab.test,10,20,s,SIP+D2U,,_sip._udp.lab.test',
  );
  // One that is authoritative for a zone answers nothing else.
  dnsmasq(
    ...['--port=5353', '--auth-server=ns.auth.test,tap0'],
    '--auth-zone=auth.test,10.77.0.0/16',
    '--auth-soa=2026,admin.auth.test,1200,120,604800',
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  asking.write('go\n');
  const [, json] = await asking.output(/RESULT (.*)/, 60_000);
  found = JSON.parse(json);
  const { status, stderr } = await asking.finish(10_000);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
afterAll(() => (reason === null ? netns.destroy() : undefined));

test('every record dnsmasq has comes as it has it', () => {
  expect(found).toMatchObject({
    a: [{ address: '10.77.1.1', ttl: 120 }],
    aaaa: ['2001:db8::77'],
    alias: ['10.77.1.1'],
    cname: ['www.lab.test'],
    mx: [{ exchange: 'mail.lab.test', priority: 10 }],
    txt: [['v=spf1 -all', 'second']],
    srv: [{ name: 'sip.lab.test', port: 5060, priority: 1, weight: 2 }],
    caa: [{ critical: 0, issue: 'ca.test' }],
    naptr: [
      { flags: 's', service: 'SIP+D2U', regexp: '', replacement: '_sip._udp.lab.test', order: 10, preference: 20 },
    ],
    ptr: ['www.lab.test'],
    ptr6: ['www.lab.test'],
    nothing: 'queryA ENOTFOUND absent.lab.test',
    nodata: 'queryMx ENODATA www.lab.test',
  });
});

test('a zone begins with its SOA and its name servers', () => {
  expect(found.soa).toMatchObject({
    nsname: 'ns.auth.test',
    hostmaster: 'admin.auth.test',
    serial: 2026,
    expire: 604800,
  });
  expect(found.ns).toEqual(['ns.auth.test']);
});

test('lookup goes through the search list, and knows names of addresses and ports', () => {
  expect(found.search).toEqual({ address: '10.77.1.1', family: 4 });
  expect(found.any6).toEqual([{ address: '2001:db8::77', family: 6 }]);
  expect(found.service).toEqual({ hostname: 'www.lab.test', service: 'smtp' });
});

test('an answer that does not fit into a datagram comes over TCP, whole', () => {
  expect([...(found.many as string[])].sort()).toEqual([...MANY].sort());
  expect(found.tcpOpens).toBe(1);
});

test('a server where nobody listens costs nothing but one datagram, and the cache answers the rest', () => {
  expect(found.repeated).toBe(0);
});

test('a connection by name goes to the address dnsmasq gave', () => {
  expect(found.fetched).toBe('connect ECONNREFUSED 10.9.0.1:7');
});
