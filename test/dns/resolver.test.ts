// The resolver against a server on the other stack of a cable: what it asks, what it believes, what it tells.

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Answer, encode } from 'dns-packet';
import { expect, onTestFinished, test } from 'vitest';
import type { DnsOptions } from '../../src/dns/options.ts';
import type { NodeStack } from '../../src/node/node-stack.ts';
import { B, twoStacks } from '../node/support.ts';
import { a, cname, DnsServer, RCODE, type Script, soa, TRUNCATED } from './server.ts';

async function setUp(
  script: Script,
  dns: DnsOptions = {},
): Promise<{ stack: NodeStack; server: DnsServer; b: NodeStack }> {
  const [stack, b] = await twoStacks({}, { dns: { servers: [B], timeout: 200, tries: 2, ...dns } });
  return { stack, b, server: await DnsServer.on(b, script) };
}

const failure = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  const error = await promise.then(
    (value) => expect.fail(`resolved to ${JSON.stringify(value)}`),
    (reason: unknown) => reason as Error,
  );
  return { ...error, message: error.message };
};

test('every record type comes in the form node:dns gives it (RFC 1035 §3.3, RFC 2782, RFC 8659, RFC 3403)', async () => {
  const name = 'example.test';
  const zone: Record<string, unknown[]> = {
    A: ['192.0.2.1', '192.0.2.2'],
    AAAA: ['2001:db8::1'],
    CNAME: ['other.test'],
    NS: ['ns1.test', 'ns2.test'],
    PTR: ['host.test'],
    MX: [{ preference: 10, exchange: 'mail.test' }],
    TXT: [[Buffer.from('one'), Buffer.from('tw\xf6', 'latin1')]],
    SRV: [{ priority: 1, weight: 2, port: 5060, target: 'sip.test' }],
    SOA: [{ mname: 'ns.test', rname: 'admin.test', serial: 7, refresh: 1, retry: 2, expire: 3, minimum: 4 }],
    CAA: [{ flags: 128, tag: 'issue', value: 'ca.test' }],
    NAPTR: [{ order: 1, preference: 2, flags: 's', services: 'SIP+D2U', regexp: '', replacement: '_sip._udp.test' }],
    TLSA: [{ usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from([1, 2, 3]) }],
  };
  const { stack } = await setUp(({ question: { type } }) => ({
    answers: zone[type].map((data) => ({ type, name, data, ttl: 60, class: 'IN' }) as Answer),
  }));
  const dns = stack.dns.promises;
  expect(await dns.resolve4(name)).toEqual(['192.0.2.1', '192.0.2.2']);
  expect(await dns.resolve4(name, { ttl: true })).toEqual([
    { address: '192.0.2.1', ttl: 60 },
    { address: '192.0.2.2', ttl: 60 },
  ]);
  expect(await dns.resolve6(name)).toEqual(['2001:db8::1']);
  expect(await dns.resolveCname(name)).toEqual(['other.test']);
  expect(await dns.resolveNs(name)).toEqual(['ns1.test', 'ns2.test']);
  expect(await dns.resolvePtr(name)).toEqual(['host.test']);
  expect(await dns.resolveMx(name)).toEqual([{ exchange: 'mail.test', priority: 10 }]);
  expect(await dns.resolveTxt(name)).toEqual([['one', 'tw\xf6']]);
  expect(await dns.resolveSrv(name)).toEqual([{ name: 'sip.test', port: 5060, priority: 1, weight: 2 }]);
  expect(await dns.resolveSoa(name)).toEqual({
    nsname: 'ns.test',
    hostmaster: 'admin.test',
    serial: 7,
    refresh: 1,
    retry: 2,
    expire: 3,
    minttl: 4,
  });
  expect(await dns.resolveCaa(name)).toEqual([{ critical: 128, issue: 'ca.test' }]);
  expect(await dns.resolveNaptr(name)).toEqual([
    { flags: 's', service: 'SIP+D2U', regexp: '', replacement: '_sip._udp.test', order: 1, preference: 2 },
  ]);
  expect(await dns.resolve(name)).toEqual(['192.0.2.1', '192.0.2.2']);
  expect(await dns.resolve(name, 'MX')).toEqual([{ exchange: 'mail.test', priority: 10 }]);
  const tlsa = (await dns.resolve(name, 'TLSA' as 'A')) as unknown as { data: ArrayBuffer; certUsage: number }[];
  expect(tlsa[0].certUsage).toBe(3);
  expect([...new Uint8Array(tlsa[0].data)]).toEqual([1, 2, 3]);
});

test('ANY gives records of several types, each with its type', async () => {
  const name = 'any.test';
  const { stack } = await setUp(() => ({
    answers: [a(name, '192.0.2.1', 9), { type: 'TXT', name, class: 'IN', ttl: 9, data: ['x'] }],
  }));
  expect(await stack.dns.promises.resolveAny(name)).toEqual([
    { type: 'A', address: '192.0.2.1', ttl: 9 },
    { type: 'TXT', entries: ['x'] },
  ]);
});

test('a question asks for recursion, says EDNS(0) with 1232 octets, and has a new id and port each time (RFC 1123 §6.1.3.1, RFC 6891, RFC 5452 §9.2)', async () => {
  const { stack, server } = await setUp(({ question: { name } }) => ({ answers: [a(name, '192.0.2.1')] }));
  await Promise.all(Array.from({ length: 24 }, (_, i) => stack.dns.promises.resolve4(`n${i}.test`)));
  for (const { packet } of server.asked) {
    expect(packet.flag_rd).toBe(true);
    expect(packet.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232, ednsVersion: 0 }]);
  }
  const ids = server.asked.map(({ packet }) => packet.id);
  const ports = server.asked.map(({ port }) => port);
  expect(new Set(ids).size).toBeGreaterThan(20);
  expect(new Set(ports).size).toBeGreaterThan(20);
  const steps = ports.slice(1).map((port, i) => port - ports[i]);
  expect(new Set(steps).size).toBeGreaterThan(15); // no sequence
});

test('what is truncated is asked for again over TCP (RFC 1123 §6.1.3.2, RFC 7766 §5)', async () => {
  const many = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`);
  const { stack, server } = await setUp(({ question: { name }, overTcp }) =>
    overTcp
      ? { answers: many.map((data) => a(name, data)) }
      : { flags: TRUNCATED, answers: many.slice(0, 3).map((data) => a(name, data)) },
  );
  expect(await stack.dns.promises.resolve4('big.test')).toEqual(many);
  expect(server.asked.map(({ overTcp }) => overTcp)).toEqual([false, true]);
});

test('a server that knows no EDNS is asked without (RFC 6891 §7)', async () => {
  const { stack, server } = await setUp(({ question: { name }, packet }) =>
    packet.additionals?.length ? { flags: RCODE.formerr, questions: [] } : { answers: [a(name, '192.0.2.1')] },
  );
  expect(await stack.dns.promises.resolve4('old.test')).toEqual(['192.0.2.1']);
  expect(server.asked.length).toBe(2);
});

test('aliases are followed, in the answer and beyond it; the shortest TTL counts (RFC 1034 §3.6.2)', async () => {
  const { stack, server } = await setUp(({ question: { name } }) =>
    name === 'www.test'
      ? { answers: [cname('WWW.test', 'Web.test', 30), cname('web.test', 'far.test', 50)] }
      : { answers: [a('far.test', '192.0.2.9', 90), a('unrelated.test', '192.0.2.66')] },
  );
  expect(await stack.dns.promises.resolve4('www.test', { ttl: true })).toEqual([{ address: '192.0.2.9', ttl: 30 }]);
  expect(server.asked.map(({ question }) => question.name)).toEqual(['www.test', 'far.test']);
});

test('aliases that lead in a circle end with EBADRESP, in one answer and over several', async () => {
  const { stack, server } = await setUp(({ question: { name } }) =>
    name.startsWith('one')
      ? { answers: [cname('one.test', 'two.test'), cname('two.test', 'one.test')] }
      : { answers: [cname(name, name === 'x.test' ? 'y.test' : 'x.test')] },
  );
  expect((await failure(stack.dns.promises.resolve4('one.test'))).code).toBe('EBADRESP');
  expect((await failure(stack.dns.promises.resolve4('x.test'))).code).toBe('EBADRESP');
  expect(server.asked.length).toBe(3);
});

test('errors are those of node:dns: code, syscall, hostname and message', async () => {
  const { stack } = await setUp(
    ({ question: { name } }) => {
      if (name === 'silent.test') return null;
      return { flags: name === 'nodata.test' ? 0 : RCODE[name.split('.')[0] as keyof typeof RCODE] };
    },
    { timeout: 30 },
  );
  const dns = stack.dns.promises;
  expect(await failure(dns.resolve4('nxdomain.test'))).toEqual({
    message: 'queryA ENOTFOUND nxdomain.test',
    code: 'ENOTFOUND',
    errno: undefined,
    syscall: 'queryA',
    hostname: 'nxdomain.test',
  });
  const codes = {
    nodata: 'ENODATA',
    servfail: 'ESERVFAIL',
    refused: 'EREFUSED',
    notimp: 'ENOTIMP',
    formerr: 'EFORMERR',
  };
  for (const [label, code] of Object.entries(codes))
    expect((await failure(dns.resolveMx(`${label}.test`))).message).toBe(`queryMx ${code} ${label}.test`);
  expect((await failure(dns.resolve4('silent.test'))).code).toBe('ETIMEOUT');
  expect((await failure(dns.resolve4(`${'x'.repeat(64)}.test`))).code).toBe('EBADNAME');
  expect((await failure(dns.resolve4('a..b'))).code).toBe('EBADNAME');
  expect((await failure(dns.reverse('192.0.2.1'))).syscall).toBe('getHostByAddr');
  const lookup = (name: string) => failure(promisify(stack.dns.lookup)(name));
  expect(await lookup('nxdomain.test')).toEqual({
    message: 'getaddrinfo ENOTFOUND nxdomain.test',
    code: 'ENOTFOUND',
    errno: -3008,
    syscall: 'getaddrinfo',
    hostname: 'nxdomain.test',
  });
  expect(await lookup('nodata.test')).toMatchObject({ code: 'ENOTFOUND', errno: -3007 });
  expect(await lookup('servfail.test')).toMatchObject({ code: 'EAI_AGAIN', errno: -3001 });
  expect(await lookup('silent.test')).toMatchObject({ code: 'EAI_AGAIN', errno: -3001 });
});

test('silence, a closed port and SERVFAIL make it go on to the next server, and start over', async () => {
  const [stack, b] = await twoStacks({}, { dns: { servers: [`${B}:1`, `${B}:2`, `${B}:3`], timeout: 40, tries: 2 } });
  const two = await DnsServer.on(b, () => null, 2);
  const three = await DnsServer.on(
    b,
    ({ question: { name } }) =>
      three.asked.length < 2 ? { flags: RCODE.servfail } : { answers: [a(name, '192.0.2.3')] },
    3,
  );
  expect(await stack.dns.promises.resolve4('name.test')).toEqual(['192.0.2.3']);
  expect(two.asked.length).toBe(2);
  expect(three.asked.length).toBe(2);
  expect(new Set(two.asked.map(({ packet }) => packet.id)).size).toBe(2);
});

test('a port where nobody listens is known at once (RFC 1122 §4.1.3.3)', async () => {
  const [stack] = await twoStacks({}, { dns: { servers: [`${B}:1`], timeout: 60_000 } });
  expect(await failure(stack.dns.promises.resolve4('x.test'))).toMatchObject({
    message: 'queryA ECONNREFUSED x.test',
    code: 'ECONNREFUSED',
  });
});

test('answers with the wrong id, question or source, and garbage, are no answers (RFC 5452 §9.1)', async () => {
  const { stack, b, server } = await setUp(() => null, { timeout: 2000, tries: 1 });
  const stranger = b.dgram.createSocket('udp4');
  server.socket.on('message', (_, from) => {
    const { packet } = server.asked[0];
    const base = { type: 'response', id: packet.id, questions: packet.questions } as const;
    const name = 'target.test';
    const id = ((packet.id ?? 0) + 1) & 0xffff;
    const forged = [a(name, '203.0.113.66')];
    server.reply(encode({ ...base, id, answers: forged }), from);
    server.reply(encode({ ...base, questions: [{ type: 'A', name: 'other.test' }], answers: forged }), from);
    server.reply(encode({ ...base, questions: [{ type: 'AAAA', name }], answers: forged }), from);
    server.reply(encode({ ...base, questions: [], answers: forged }), from);
    server.reply(encode({ ...base, type: 'query', answers: forged }), from);
    server.reply(Buffer.from([0, 1, 2]), from);
    server.reply(Buffer.alloc(0), from);
    stranger.send(encode({ ...base, answers: forged }), from.port, from.address, () => {
      const question = { type: 'A', name: 'TARGET.test' } as const; // case does not matter (RFC 4343)
      server.reply(encode({ ...base, questions: [question], answers: [a(name, '192.0.2.1')] }), from);
    });
  });
  expect(await stack.dns.promises.resolve4('target.test')).toEqual(['192.0.2.1']);
});

test('records the answer did not need to contain are not believed (RFC 5452 §6)', async () => {
  const { stack, server } = await setUp(({ question: { name } }) => ({
    answers: name === 'a.test' ? [a('a.test', '192.0.2.1'), a('bank.test', '203.0.113.66')] : [a(name, '192.0.2.2')],
    additionals: [a('bank.test', '203.0.113.66')],
  }));
  await stack.dns.promises.resolve4('a.test');
  expect(await stack.dns.promises.resolve4('bank.test')).toEqual(['192.0.2.2']);
  expect(server.asked.length).toBe(2);
});

test('answers are remembered, the same question is asked once, and setServers() forgets', async () => {
  const { stack, server } = await setUp(({ question: { name } }) => ({
    answers: [a(name, '192.0.2.1', name === 'now.test' ? 0 : 60)],
  }));
  const dns = stack.dns.promises;
  await Promise.all([dns.resolve4('name.test'), dns.resolve4('NAME.test'), dns.resolve4('name.test.')]);
  await dns.resolve4('name.test');
  expect(server.asked.length).toBe(1);
  dns.setServers(dns.getServers());
  await dns.resolve4('name.test');
  expect(server.asked.length).toBe(2);
  // RFC 1035 §3.2.1: zero means for this transaction only.
  await dns.resolve4('now.test');
  await dns.resolve4('now.test');
  expect(server.asked.length).toBe(4);
});

test('that there is nothing is remembered as long as the SOA says, and not without one (RFC 2308 §5)', async () => {
  const { stack, server } = await setUp(({ question: { name } }) => ({
    flags: RCODE.nxdomain,
    authorities: name === 'with.test' ? [soa('test', 300)] : [],
  }));
  for (const [name, questions] of [
    ['with.test', 1],
    ['without.test', 2],
  ] as const) {
    server.asked.length = 0;
    for (let i = 0; i < 2; i++) expect((await failure(stack.dns.promises.resolve4(name))).code, name).toBe('ENOTFOUND');
    expect(server.asked.length, name).toBe(questions);
  }
});

test('reverse() and lookupService() ask for the name of an address (RFC 1035 §3.5, RFC 3596 §2.5)', async () => {
  const { stack, server } = await setUp(({ question: { name } }) => ({
    answers: [{ type: 'PTR', name, data: 'host.test', ttl: 0, class: 'IN' }],
  }));
  expect(await stack.dns.promises.reverse('192.0.2.10')).toEqual(['host.test']);
  await stack.dns.promises.reverse('2001:db8::ffff:192.0.2.1');
  expect(await stack.dns.promises.lookupService('192.0.2.10', 110)).toEqual({ hostname: 'host.test', service: 'pop3' });
  expect(server.asked.map(({ question }) => question.name)).toEqual([
    '10.2.0.192.in-addr.arpa',
    '1.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
    '10.2.0.192.in-addr.arpa',
  ]);
});

test('lookup uses the search list: few dots begin in it, many dots end in it, a dot at the end keeps out of it', async () => {
  const { stack, server } = await setUp(
    ({ question: { name } }) =>
      name === 'db.two.test' ? { answers: [a(name, '192.0.2.2')] } : { flags: RCODE.nxdomain },
    { search: ['one.test', 'two.test'], ndots: 1 },
  );
  const lookup = promisify(stack.dns.lookup);
  const names = (): (string | undefined)[] => server.asked.splice(0).map(({ question }) => question.name);
  expect(await lookup('db')).toEqual({ address: '192.0.2.2', family: 4 });
  expect(names()).toEqual(['db.one.test', 'db.two.test']);
  await failure(lookup('a.b'));
  expect(names()).toEqual(['a.b', 'a.b.one.test', 'a.b.two.test']);
  await failure(lookup('db.'));
  expect(names()).toEqual(['db']);
  // resolve4() takes a name as it stands.
  await failure(stack.dns.promises.resolve4('x'));
  expect(names()).toEqual(['x']);
  // RFC 6761 §6.4, §6.3: nobody is asked about these.
  await failure(lookup('any.invalid'));
  expect(await lookup('localhost')).toEqual({ address: '127.0.0.1', family: 4 });
  expect(names()).toEqual([]);
});

test('a hosts file comes before the servers, both ways, and is read again when it has changed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hosts-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const hostsFile = join(directory, 'hosts');
  writeFileSync(hostsFile, '# comment\n192.0.2.7  seven.test seven # and more\n2001:db8::7 seven\nnonsense\n');
  const { stack, server } = await setUp(() => ({ flags: RCODE.nxdomain }), { hostsFile });
  const lookup = promisify(stack.dns.lookup);
  expect(await lookup('SEVEN')).toEqual({ address: '192.0.2.7', family: 4 });
  expect(await lookup('seven', { family: 6, all: true })).toEqual([{ address: '2001:db8::7', family: 6 }]);
  expect(await stack.dns.promises.reverse('192.0.2.7')).toEqual(['seven.test', 'seven']);
  writeFileSync(hostsFile, '192.0.2.80 seven eight\n');
  expect(await lookup('seven')).toEqual({ address: '192.0.2.80', family: 4 });
  expect(server.asked.length).toBe(0);
  rmSync(hostsFile);
  expect((await failure(lookup('seven'))).code).toBe('ENOTFOUND');
});

test('sockets find their hosts by it, and datagrams theirs', async () => {
  const { stack, b, server } = await setUp(() => ({ answers: [a('web.test', B)] }));
  const listener = b.net.createServer((socket) => socket.end('hello'));
  listener.listen(80);
  await once(listener, 'listening');
  const socket = stack.net.connect({ host: 'web.test', port: 80 });
  const looked = once(socket, 'lookup');
  let text = '';
  for await (const chunk of socket) text += chunk;
  expect(text).toBe('hello');
  expect(await looked).toEqual([null, B, 4, 'web.test']);
  const echo = b.dgram.createSocket('udp4', (message, from) => echo.send(message, from.port, from.address));
  echo.bind(7);
  await once(echo, 'listening');
  const asker = stack.dgram.createSocket('udp4');
  asker.send('hi', 7, 'web.test');
  expect(String((await once(asker, 'message'))[0])).toBe('hi');
  expect(server.asked.length).toBe(1);
  expect((await stack.ping('web.test', { count: 1 })).received).toBe(1);
});

test('a Resolver has servers and memory of its own, and cancel() ends what it asks', async () => {
  const { stack, server, b } = await setUp(() => null, { timeout: 60_000 });
  const other = await DnsServer.on(b, ({ question: { name } }) => ({ answers: [a(name, '192.0.2.5')] }), 5353);
  const resolver = new stack.dns.Resolver({ timeout: 500, tries: 1 });
  expect(resolver.getServers()).toEqual([B]);
  resolver.setServers([`${B}:5353`]);
  expect(resolver.getServers()).toEqual([`${B}:5353`]);
  expect(stack.dns.getServers()).toEqual([B]);
  const found = await new Promise((done) =>
    resolver.resolve4('x.test', (error, addresses) => done([error, addresses])),
  );
  expect(found).toEqual([null, ['192.0.2.5']]);
  expect(other.asked.length).toBe(1);
  const waiting = new stack.dns.promises.Resolver();
  const cancelled = [failure(waiting.resolve4('a.test')), failure(waiting.resolveMx('b.test'))];
  await once(server.socket, 'message');
  waiting.cancel();
  expect((await Promise.all(cancelled)).map(({ code }) => code)).toEqual(['ECANCELLED', 'ECANCELLED']);
  server.script = ({ question: { name } }) => ({ answers: [a(name, '192.0.2.6')] });
  expect(await waiting.resolve4('a.test')).toEqual(['192.0.2.6']);
});

test('setLocalAddress() chooses the address to ask from', async () => {
  const { stack, server } = await setUp(() => ({ flags: RCODE.nxdomain }));
  const from = new Promise((done) => server.socket.once('message', (_, rinfo) => done(rinfo.address)));
  const resolver = new stack.dns.promises.Resolver();
  resolver.setLocalAddress('10.9.0.1');
  await failure(resolver.resolve4('x.test'));
  expect(await from).toBe('10.9.0.1');
  resolver.setLocalAddress('192.0.2.1');
  expect((await failure(resolver.resolve4('y.test'))).code).toBe('ECONNREFUSED');
});

test('a stack without servers says how to give it some', async () => {
  const [stack] = await twoStacks();
  expect((await failure(stack.dns.promises.resolve4('x.test'))).message).toBe(
    'queryA ECONNREFUSED x.test: there is no DNS server: give createStack dns.servers, or call dns.setServers()',
  );
});

test('nothing that a server can send makes the resolver throw', async () => {
  let round = 0;
  const seed = (i: number): number => (Math.imul(i ^ (round * 0x9e3779b9), 0x85ebca6b) >>> 13) & 0xff;
  const { stack } = await setUp(
    ({ packet }) => {
      const answers = [cname('f.test', 'g.test'), a('g.test', '192.0.2.1'), soa('test', 1)];
      const bytes = Buffer.from(encode({ type: 'response', id: packet.id, questions: packet.questions, answers }));
      const from = 12 + (packet.questions?.[0].name.length ?? 0) + 6;
      for (let k = 0; k < 4; k++) bytes[from + (seed(k) % (bytes.length - from))] = seed(k + 9);
      return round % 3 === 0 ? bytes.subarray(0, from + (seed(77) % (bytes.length - from))) : bytes;
    },
    { timeout: 4, tries: 1, cacheSize: 0 },
  );
  for (round = 0; round < 60; round++) {
    const outcome = await stack.dns.promises.resolve4('f.test').catch((error: NodeJS.ErrnoException) => error.code);
    if (typeof outcome === 'string')
      expect(['ETIMEOUT', 'ENODATA', 'ENOTFOUND', 'EBADRESP', 'EBADNAME']).toContain(outcome);
  }
});
