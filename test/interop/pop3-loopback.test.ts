// The POP3 server on `node:net` and the loopback: whatever goes wrong here is the server's own, not the stack's.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemoryAccounts } from '../../src/service/accounts.ts';
import { createDemoMaildir } from '../../src/service/pop3/demo.ts';
import { createPop3Server, type Pop3Options, type Pop3Server } from '../../src/service/pop3/server.ts';
import { selfSigned } from '../../src/service/self-signed.ts';
import { missing } from '../support/netns.ts';

const run = promisify(execFile);
const PASSWORD = 'épîkoi horse';
let dir = '';
let mail = '';
let server: Pop3Server | undefined;

beforeEach(async (context) => {
  const reason = missing('curl', 'python3', 'mpop', 'fetchmail');
  if (reason !== null) context.skip(reason);
  dir = await mkdtemp(join(tmpdir(), 'tapstack-pop3-'));
  mail = join(dir, 'mail');
});
afterEach(async () => {
  const closing = server;
  server = undefined;
  if (closing) await new Promise<void>((done) => void closing.close(() => done()));
  if (dir !== '') await rm(dir, { recursive: true });
  dir = '';
});

async function serve(options: Partial<Pop3Options> = {}): Promise<number> {
  const accounts = await new MemoryAccounts().add('chris', PASSWORD, { apop: true, maildir: mail });
  server = createPop3Server({ net, accounts, tls: selfSigned('localhost'), throttle: { first: 10 }, ...options });
  server.listen({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The demo messages in the order they are numbered, line ends as on the wire. */
async function stored(): Promise<Buffer[]> {
  const names = (await readdir(join(mail, 'new'))).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(mail, 'new', name), 'latin1')));
  return texts.map((text) => Buffer.from(text.replace(/\n/g, '\r\n'), 'latin1'));
}

test('curl fetches every message octet for octet: in the clear, under TLS, by APOP and by SASL PLAIN', async () => {
  await createDemoMaildir(mail);
  const messages = await stored();
  const port = await serve();
  const ways = [
    [],
    ['--ssl-reqd', '-k'],
    ['--login-options', 'AUTH=+APOP'],
    ['--login-options', 'AUTH=PLAIN', '--sasl-ir'],
  ];
  for (const way of ways) {
    for (const [i, message] of messages.entries()) {
      const url = `pop3://127.0.0.1:${port}/${i + 1}`;
      const { stdout } = await run('curl', ['-sS', ...way, '--user', `chris:${PASSWORD}`, url], { encoding: 'buffer' });
      expect(stdout.equals(message), `${way.join(' ')} message ${i + 1}`).toBe(true);
    }
  }
  const { stdout } = await run('curl', ['-sS', '--user', `chris:${PASSWORD}`, `pop3://127.0.0.1:${port}/`]);
  expect(stdout).toBe(messages.map((message, i) => `${i + 1} ${message.length}\r\n`).join(''));
});

test("curl's wrong password is refused", async () => {
  const port = await serve();
  await expect(run('curl', ['-sS', '--user', 'chris:x', `pop3://127.0.0.1:${port}/`])).rejects.toMatchObject({
    code: 67,
  });
});

const POPLIB = `
import hashlib, json, poplib, ssl, sys
port, password, secure = int(sys.argv[1]), sys.argv[2], sys.argv[3] == 'stls'
box = poplib.POP3('127.0.0.1', port, timeout=20)
box.encoding = 'UTF-8'
capabilities = box.capa()
if secure:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    box.stls(context)
    box.user('chris')
    box.pass_(password)
else:
    box.apop('chris', password)
count, size = box.stat()
result = {'count': count, 'size': size, 'capabilities': sorted(capabilities), 'sha256': [], 'octets': []}
for line in box.list()[1]:
    result['octets'].append(int(line.split()[1]))
for number in range(1, count + 1):
    lines = box.retr(number)[1]
    result['sha256'].append(hashlib.sha256(b''.join(line + b'\\r\\n' for line in lines)).hexdigest())
result['uidl'] = [line.decode() for line in box.uidl()[1]]
result['top'] = len(box.top(1, 2)[1])
box.noop()
box.dele(1)
box.rset()
if secure:
    for number in range(1, count + 1):
        box.dele(number)
box.quit()
print(json.dumps(result))
`;

test("Python's poplib: APOP, STLS, LIST, RETR, UIDL, TOP, and what it deletes is gone after QUIT", async () => {
  await createDemoMaildir(mail);
  const messages = await stored();
  const port = await serve();
  await writeFile(join(dir, 'client.py'), POPLIB);
  for (const how of ['apop', 'stls']) {
    const { stdout } = await run('python3', [join(dir, 'client.py'), `${port}`, PASSWORD, how]);
    const result = JSON.parse(stdout);
    expect(result.octets).toEqual(messages.map((message) => message.length));
    expect(result.size).toBe(messages.reduce((sum, message) => sum + message.length, 0));
    expect(result.sha256).toEqual(messages.map((message) => createHash('sha256').update(message).digest('hex')));
    expect(result.capabilities).toContain('STLS');
    expect(new Set(result.uidl).size).toBe(messages.length);
  }
  expect([...(await readdir(join(mail, 'new'))), ...(await readdir(join(mail, 'cur')))]).toEqual([]);
});

/** What a client has put in a Maildir, with LF line ends, without the headers of delivery clients put on top. */
async function fetched(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, 'new'));
  const texts = await Promise.all(names.map((name) => readFile(join(directory, 'new', name), 'latin1')));
  return texts.map((text) => text.replace(/^(Received: .*\n([ \t].*\n)*)+/, '')).sort();
}

async function plain(): Promise<string[]> {
  return (await stored()).map((message) => message.toString('latin1').replace(/\r\n/g, '\n')).sort();
}

test('mpop delivers every message byte for byte to a Maildir, over STLS, pipelining', async () => {
  await createDemoMaildir(mail);
  const messages = await plain();
  const port = await serve();
  const inbox = join(dir, 'inbox');
  for (const sub of ['new', 'cur', 'tmp']) await mkdir(join(inbox, sub), { recursive: true });
  const config = `account default
host 127.0.0.1
port ${port}
user chris
passwordeval "printf %s '${PASSWORD}'"
auth plain
tls on
tls_starttls on
tls_certcheck off
pipelining on
keep off
received_header off
uidls_file ${join(dir, 'uidls')}
delivery maildir ${inbox}
`;
  await writeFile(join(dir, 'mpoprc'), config, { mode: 0o600 });
  await run('mpop', ['-C', join(dir, 'mpoprc'), '-q']);
  expect(await fetched(inbox)).toEqual(messages);
  expect([...(await readdir(join(mail, 'new'))), ...(await readdir(join(mail, 'cur')))]).toEqual([]);
});

test('fetchmail hands on every message byte for byte and keeps them when told to', async () => {
  await createDemoMaildir(mail);
  const messages = await plain();
  const port = await serve();
  const inbox = join(dir, 'inbox');
  for (const sub of ['new', 'cur', 'tmp']) await mkdir(join(inbox, sub), { recursive: true });
  const deliver = join(dir, 'deliver');
  await writeFile(deliver, `#!/bin/sh\nexec cat > "${inbox}/new/$$"\n`, { mode: 0o755 });
  const config = `set no bouncemail
set invisible
poll 127.0.0.1 protocol pop3 port ${port}
  user "chris" password "${PASSWORD}" keep sslproto "" mda "${deliver}" no mimedecode no pass8bits no rewrite stripcr
`;
  await writeFile(join(dir, 'fetchmailrc'), config, { mode: 0o600 });
  await run('fetchmail', ['-f', join(dir, 'fetchmailrc'), '--pidfile', join(dir, 'pid'), '--nosyslog', '-s'], {
    env: { ...process.env, FETCHMAILHOME: dir, HOME: dir },
  });
  expect(await fetched(inbox)).toEqual(messages);
  expect((await readdir(join(mail, 'cur'))).every((name) => name.endsWith(':2,S'))).toBe(true);
});

test('a message of 100 MB arrives whole and leaves the server small', async () => {
  await mkdir(join(mail, 'new'), { recursive: true });
  const file = await open(join(mail, 'new', '1.big.host'), 'w');
  const block = Buffer.from(`${'.dots and octets \u00e9 '.repeat(4)}\n`.repeat(1000), 'latin1');
  await file.write('Subject: big\n\n');
  for (let size = 0; size < 100e6; size += block.length) await file.write(block);
  await file.close();
  const port = await serve();
  const got = join(dir, 'got');
  let peak = 0;
  const watch = setInterval(() => {
    const { external, heapUsed } = process.memoryUsage();
    peak = Math.max(peak, external + heapUsed);
  }, 5);
  const before = process.memoryUsage();
  await run('curl', ['-sS', '--user', `chris:${PASSWORD}`, '-o', got, `pop3://127.0.0.1:${port}/1`]);
  clearInterval(watch);
  expect(peak - before.external - before.heapUsed).toBeLessThan(60e6);
  const want = createHash('sha256');
  for await (const chunk of createReadStream(join(mail, 'cur', '1.big.host:2,S'), 'latin1')) {
    want.update(Buffer.from((chunk as string).replace(/\n/g, '\r\n'), 'latin1'));
  }
  const have = createHash('sha256');
  for await (const chunk of createReadStream(got)) have.update(chunk as Buffer);
  expect(have.digest('hex')).toBe(want.digest('hex'));
});
