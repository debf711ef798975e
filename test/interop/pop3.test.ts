// POP3 with the programs people read their mail with: every message arrives byte for byte.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { STACK, useHost } from '../support/interop.ts';

const PASSWORD = 'korrekt horse';
const header = (subject: string): string =>
  `From: alice@example.org\nTo: bob@example.org\nSubject: ${subject}\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\n`;

/** Messages that programs stumble over, with LF line ends as a Maildir holds them. */
const MESSAGES = [
  `${header('plain')}Hello Bob.\n`,
  `${header('dots')}.\n..\n...three\nin . the middle\n.end\n`,
  `${header('no newline at the end')}last line`,
  `${header('empty body')}`,
  `${header('From')}From the start of a line\n>From quoted\n`,
  `${header('UTF-8')}Größe, naïve, 日本語, 🙂\n`,
  `${header('long line')}${'x'.repeat(990)}\n${'y'.repeat(5000)}\n`,
  `${header('large')}${'All work and no play makes Jack a dull boy.\n'.repeat(50_000)}`,
].map((text) => Buffer.from(text));
// 8-bit that is not UTF-8 stays what it is.
MESSAGES.push(Buffer.concat([Buffer.from(header('latin1')), Buffer.from('Gr\u00f6\u00dfe\n', 'latin1')]));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const withCrlf = (message: Buffer): Buffer => {
  const text = message.toString('latin1').replace(/\n/g, '\r\n');
  return Buffer.from(text.endsWith('\r\n') ? text : `${text}\r\n`, 'latin1');
};
const withLf = (message: Buffer): Buffer =>
  Buffer.from(withCrlf(message).toString('latin1').replace(/\r\n/g, '\n'), 'latin1');

function makeMaildir(directory: string): void {
  for (const part of ['new', 'cur', 'tmp']) mkdirSync(join(directory, part), { recursive: true });
  for (const [i, message] of MESSAGES.entries()) {
    writeFileSync(join(directory, 'new', `17000000${String(i).padStart(2, '0')}.M${i}.example`), message);
  }
}

const host = useHost({
  programs: ['curl', 'mpop', 'fetchmail', 'telnet', 'python3'],
  capture: true,
  // It takes whatever follows "+OK" for a length after TOP, and after a RETR that was pipelined with a QUIT.
  undissected: ['pop'],
  args: async (netns) => {
    const maildir = join(netns.directory, 'mail');
    makeMaildir(maildir);
    const users = join(netns.directory, 'users');
    const added = await netns.tapstack(
      ['user', 'add', 'bob', '--users', users, '--maildir', maildir, '--password-stdin'],
      {
        input: `${PASSWORD}\n`,
      },
    );
    expect(added.status, added.stderr).toBe(0);
    return ['--service', 'pop3', '--users', users, '--maildir', maildir];
  },
});
const shell = (line: string, timeout = 60_000) => host.netns.shell(line, { timeout });
const auth = `--user 'bob:${PASSWORD}'`;

test('a telnet session logs in, counts and leaves (RFC 1939 §5)', async () => {
  const telnet = host.netns.spawn('telnet', [STACK, '110']);
  await telnet.output(/^\+OK.*/m);
  for (const [line, answer] of [
    ['USER bob', /\+OK/],
    [`PASS ${PASSWORD}`, /\+OK/],
    ['STAT', /^\+OK 9 \d+/m],
    ['QUIT', /\+OK/],
  ] as const) {
    telnet.stdout = '';
    telnet.write(`${line}\r\n`);
    await telnet.output(answer);
  }
  await telnet.finish(10_000);
});

test('curl lists the messages (RFC 1939 §5)', async () => {
  const { status, stdout, stderr } = await shell(`curl -sS ${auth} pop3://${STACK}/`);
  expect(status, stderr).toBe(0);
  expect(stdout.trim().split(/\r?\n/)).toEqual(MESSAGES.map((message, i) => `${i + 1} ${withCrlf(message).length}`));
});

test('curl retrieves each message byte for byte (RFC 1939 §3)', async () => {
  for (const [i, message] of MESSAGES.entries()) {
    const { status, stdout, stderr } = await shell(`curl -sS ${auth} pop3://${STACK}/${i + 1} | sha256sum`);
    expect(status, stderr).toBe(0);
    expect(stdout.slice(0, 64), `message ${i + 1}`).toBe(sha256(withCrlf(message)));
  }
});

test('a wrong password is refused (RFC 1939 §7)', async () => {
  const { status } = await shell(`curl -sS --user bob:wrong pop3://${STACK}/`);
  expect(status).toBe(67);
});

test('poplib reads every line of every message, unique ids, and tops', async () => {
  const script = `
import poplib, hashlib, json
p = poplib.POP3('${STACK}', timeout=30)
p.user('bob'); p.pass_('${PASSWORD}')
count, size = p.stat()
out = {'count': count, 'size': size, 'sha': [], 'uidl': [l.split()[1].decode() for l in p.uidl()[1]], 'capa': sorted(p.capa().keys())}
for i in range(1, count + 1):
    out['sha'].append(hashlib.sha256(b'\\r\\n'.join(p.retr(i)[1]) + b'\\r\\n').hexdigest())
out['top'] = b'\\n'.join(p.top(1, 0)[1]).decode()
p.quit()
print(json.dumps(out))
`;
  // poplib bounds lines at 2048 octets unless told.
  const { status, stdout, stderr } = await host.netns.run(
    'python3',
    ['-c', `import poplib\npoplib._MAXLINE = 10000\n${script}`],
    {
      timeout: 60_000,
    },
  );
  expect(status, stderr).toBe(0);
  const out = JSON.parse(stdout) as {
    count: number;
    size: number;
    sha: string[];
    uidl: string[];
    capa: string[];
    top: string;
  };
  expect(out.count).toBe(MESSAGES.length);
  expect(out.size).toBe(MESSAGES.reduce((sum, message) => sum + withCrlf(message).length, 0));
  expect(out.sha).toEqual(MESSAGES.map((message) => sha256(withCrlf(message))));
  expect(new Set(out.uidl).size).toBe(MESSAGES.length);
  expect(out.capa).toEqual(expect.arrayContaining(['TOP', 'UIDL', 'USER']));
  expect(out.top).toContain('Subject: plain');
  expect(out.top).not.toContain('Hello Bob');
});

/** The messages a program delivered into a Maildir, sorted by content. */
const delivered = (maildir: string): string[] =>
  ['new', 'cur']
    .flatMap((part) => readdirSync(join(maildir, part)).map((name) => readFileSync(join(maildir, part, name))))
    .map(sha256)
    .sort();

const expected = (): string[] => MESSAGES.map((message) => sha256(withLf(message))).sort();

test('mpop delivers the Maildir byte for byte', async () => {
  const target = join(host.netns.directory, 'mpop');
  for (const part of ['new', 'cur', 'tmp']) mkdirSync(join(target, part), { recursive: true });
  const { status, stdout, stderr } = await shell(
    `HOME=${host.netns.directory} mpop --host=${STACK} --user=bob --auth=user --tls=off --passwordeval="echo '${PASSWORD}'" ` +
      `--delivery=maildir,${target} --received-header=off --keep=on --uidls-file=${host.netns.directory}/uidls`,
  );
  expect(status, stdout + stderr).toBe(0);
  expect(delivered(target)).toEqual(expected());
});

test('fetchmail fetches every message and keeps them there', async () => {
  const target = join(host.netns.directory, 'fetched');
  mkdirSync(target);
  const rc = join(host.netns.directory, 'fetchmailrc');
  const mda = `sh -c 'cat > ${target}/$$'`;
  writeFileSync(
    rc,
    `poll ${STACK} proto pop3 auth password user "bob" password "${PASSWORD}" mda "${mda}" keep fetchall no rewrite sslproto ""\n`,
    { mode: 0o600 },
  );
  const { status, stdout, stderr } = await shell(
    `HOME=${host.netns.directory} FETCHMAILHOME=${host.netns.directory} fetchmail --nodetach --nosyslog --invisible -f ${rc}`,
  );
  expect(status, stdout + stderr).toBe(0);
  expect(readdirSync(target)).toHaveLength(MESSAGES.length);
});

test('messages marked deleted are gone after QUIT, and only then (RFC 1939 §6)', async () => {
  const script = (end: string): string => `
import poplib
p = poplib.POP3('${STACK}', timeout=30)
p.user('bob'); p.pass_('${PASSWORD}')
print(p.stat()[0]); p.dele(1); ${end}
`;
  const run = async (end: string): Promise<string> =>
    (await host.netns.run('python3', ['-c', script(end)], { timeout: 30_000 })).stdout.trim();
  expect(await run('p.close()')).toBe('9');
  expect(await run('p.quit()')).toBe('9');
  expect(await run('p.rset(); p.quit()')).toBe('8');
  expect(await run('p.close()')).toBe('8');
});
