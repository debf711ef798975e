import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MemoryAccounts } from '../../src/service/accounts.ts';
import type { NetApi, StreamSocket } from '../../src/service/api.ts';
import { createDemoMaildir } from '../../src/service/pop3/demo.ts';
import { LOCK_NAME, lockMailbox } from '../../src/service/pop3/lock.ts';
import { createPop3Server, type Pop3Options, type Pop3Server } from '../../src/service/pop3/server.ts';
import { selfSigned } from '../../src/service/self-signed.ts';
import { Pop3Client } from './pop3-client.ts';

const COST = { N: 16, r: 1, p: 1 };
let dir = '';
let mail = '';
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tapstack-pop3-'));
  mail = join(dir, 'chris');
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(dir, { recursive: true });
});

async function deliver(name: string, octets: string | Buffer, folder = 'new'): Promise<void> {
  for (const sub of ['', 'new', 'cur', 'tmp']) await mkdir(join(mail, sub), { recursive: true });
  await writeFile(join(mail, folder, name), typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets);
}

async function serve(options: Partial<Pop3Options> = {}): Promise<{ server: Pop3Server; port: number }> {
  const accounts = await new MemoryAccounts().add('chris', 'epikoi', { cost: COST });
  const server = createPop3Server({ net, accounts, maildir: dir, throttle: { first: 5, longest: 20 }, ...options });
  server.listen({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  cleanups.push(() => new Promise<void>((done) => void server.close(() => done())));
  return { server, port: (server.address() as AddressInfo).port };
}

/** Greeted. */
async function open(port: number): Promise<Pop3Client> {
  const client = await Pop3Client.connect(port);
  cleanups.push(async () => void client.socket.destroy());
  expect(await client.line()).toMatch(/^\+OK POP3 .* server ready/);
  return client;
}

async function loggedIn(port: number): Promise<Pop3Client> {
  const client = await open(port);
  expect(await client.logIn('chris', 'epikoi')).toMatch(/^\+OK/);
  return client;
}

describe('the dialogue', () => {
  test('the session captured in 2000 gets the same answers, octet for octet', async () => {
    const { port } = await serve({ banner: 'gateway1.maison.mrs v7.64' });
    const dialogue = JSON.parse(
      await readFile(new URL('../fixtures/pop3-dialogue-2000.json', import.meta.url), 'utf8'),
    ) as { from: 'client' | 'server'; octets: string }[];
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('latin1');
    const reading = socket[Symbol.asyncIterator]() as AsyncIterator<string>;
    for (const { from, octets } of dialogue) {
      if (from === 'client') {
        socket.write(Buffer.from(octets, 'latin1'));
        continue;
      }
      let got = '';
      while (got.length < octets.length) {
        const { value, done } = await reading.next();
        if (done) break;
        got += value;
      }
      expect(got).toBe(octets);
    }
    expect((await reading.next()).done).toBe(true);
  });

  test('RFC 1939 §5: STAT, LIST, UIDL, RETR, TOP, NOOP, DELE, RSET', async () => {
    await deliver('200.b.host', 'Subject: two\n\nline 1\n.line 2\nline 3');
    await deliver('100.a.host:2,S', 'Subject: one\r\n\r\nhello\r\n', 'cur');
    const { port } = await serve();
    const client = await loggedIn(port);
    expect(await client.ask('STAT')).toBe('+OK 2 64');
    expect(await client.ask('LIST')).toBe('+OK 2 messages (64 octets)');
    expect(await client.body()).toBe('1 23\r\n2 41\r\n');
    expect(await client.ask('list 2')).toBe('+OK 2 41');
    expect(await client.ask('LIST 3')).toMatch(/^-ERR/);
    expect(await client.ask('UIDL')).toMatch(/^\+OK/);
    expect(await client.body()).toBe('1 100.a.host\r\n2 200.b.host\r\n');
    expect(await client.ask('UIDL 1')).toBe('+OK 1 100.a.host');
    expect(await client.ask('RETR 2')).toBe('+OK 41 octets');
    expect(await client.body()).toBe('Subject: two\r\n\r\nline 1\r\n.line 2\r\nline 3\r\n');
    expect(await client.ask('TOP 2 2')).toMatch(/^\+OK/);
    expect(await client.body()).toBe('Subject: two\r\n\r\nline 1\r\n.line 2\r\n');
    expect(await client.ask('TOP 2 0')).toMatch(/^\+OK/);
    expect(await client.body()).toBe('Subject: two\r\n\r\n');
    expect(await client.ask('NOOP')).toBe('+OK');
    expect(await client.ask('DELE 1')).toMatch(/^\+OK/);
    expect(await client.ask('DELE 1')).toMatch(/^-ERR/);
    expect(await client.ask('RETR 1')).toMatch(/^-ERR/);
    expect(await client.ask('LIST 1')).toMatch(/^-ERR/);
    expect(await client.ask('STAT')).toBe('+OK 1 41');
    expect(await client.ask('LIST')).toMatch(/^\+OK 1 /);
    expect(await client.body()).toBe('2 41\r\n'); // numbers do not shift
    expect(await client.ask('RSET')).toMatch(/^\+OK/);
    expect(await client.ask('STAT')).toBe('+OK 2 64');
    for (const bad of [
      'RETR',
      'RETR 0',
      'RETR x',
      'RETR 99999999999',
      'TOP 1',
      'TOP 1 -1',
      'DELE 3',
      'XYZZY',
      'USER a',
    ]) {
      expect(await client.ask(bad), bad).toMatch(/^-ERR/);
    }
  });

  test('RFC 1939 §6: QUIT removes what is marked, and what was read is then seen', async () => {
    await deliver('1.a.h', 'A: 1\n\n');
    await deliver('2.b.h', 'A: 2\n\n');
    await deliver('3.c.h:2,F', 'A: 3\n\n', 'cur');
    const { port } = await serve();
    const client = await loggedIn(port);
    await client.ask('DELE 1');
    for (const n of [2, 3]) {
      await client.ask(`RETR ${n}`);
      await client.body();
    }
    expect(await client.ask('QUIT')).toBe('+OK Sayonara');
    expect(await client.line()).toBe(null);
    expect((await readdir(join(mail, 'cur'))).sort()).toEqual(['2.b.h:2,S', '3.c.h:2,FS']);
    expect(await readdir(join(mail, 'new'))).toEqual([]);
  });

  test('RFC 1939 §6: a session that ends otherwise removes nothing', async () => {
    await deliver('1.a.h', 'A: 1\n\n');
    const { port, server } = await serve();
    const client = await loggedIn(port);
    expect(await client.ask('DELE 1')).toMatch(/^\+OK/);
    client.socket.destroy();
    await vi.waitFor(() => expect(server.connections).toBe(0));
    expect(await readdir(join(mail, 'new'))).toEqual(['1.a.h']);
    expect((await readdir(mail)).sort()).toEqual(['cur', 'new', 'tmp']); // nor leaves a lock
  });

  test('RFC 2449 §6.6: a pipelined group is answered in order', async () => {
    await deliver('1.a.h', 'A: 1\n\n');
    const { port } = await serve();
    const client = await open(port);
    client.send('USER chris\r\nPASS epikoi\r\nSTAT\r\nRETR 1\r\nLIST\r\nDELE 1\r\nQUIT\r\n');
    const answers: (string | null)[] = [];
    for (let line = await client.line(); line !== null; line = await client.line()) answers.push(line);
    expect(answers).toEqual([
      '+OK User name accepted, password please',
      '+OK Mailbox open, 1 messages',
      '+OK 1 8',
      ...['+OK 8 octets', 'A: 1', '', '.'],
      ...['+OK 1 messages (8 octets)', '1 8', '.'],
      '+OK message 1 deleted',
      '+OK Sayonara',
    ]);
  });
});

describe('capabilities', () => {
  test('RFC 2449 §5: CAPA in both states; RFC 2595 §4: STLS only before login and without TLS', async () => {
    const { port } = await serve({ tls: selfSigned('localhost'), loginDelay: 0 });
    const client = await open(port);
    await client.ask('CAPA');
    const before = (await client.body()).split('\r\n');
    for (const tag of ['TOP', 'UIDL', 'RESP-CODES', 'PIPELINING', 'USER', 'SASL PLAIN', 'STLS', 'AUTH-RESP-CODE']) {
      expect(before).toContain(tag);
    }
    expect(await client.logIn('chris', 'epikoi')).toMatch(/^\+OK/);
    await client.ask('CAPA');
    expect(await client.body()).not.toContain('STLS');
    expect(await client.ask('STLS')).toMatch(/^-ERR/);
  });

  test('RFC 6856 §3: LANG', async () => {
    const { port } = await serve();
    const client = await open(port);
    expect(await client.ask('LANG')).toMatch(/^\+OK/);
    expect(await client.body()).toMatch(/^en /);
    expect(await client.ask('LANG en')).toMatch(/^\+OK en/);
    expect(await client.ask('LANG MUL')).toMatch(/^-ERR/);
    expect(await client.ask('UTF8')).toMatch(/^\+OK/);
  });
});

describe('logging in', () => {
  test('RFC 3206 §4: wrong password and unknown user get the same [AUTH], and three end the session', async () => {
    const { port } = await serve();
    const client = await open(port);
    const wrong = await client.logIn('chris', 'wrong');
    expect(wrong).toMatch(/^-ERR \[AUTH\]/);
    expect(await client.logIn('nobody', 'epikoi')).toBe(wrong);
    expect(await client.ask('PASS epikoi')).toMatch(/^-ERR USER first/);
    expect(await client.logIn('chris', 'Epikoi')).toBe(wrong);
    expect(await client.line()).toBe(null);
  });

  test('each failure of an address doubles the time its answers take, over connections too', async () => {
    const { port } = await serve({ throttle: { first: 30, longest: 120 } });
    const took: number[] = [];
    for (let i = 0; i < 4; i++) {
      const client = await open(port);
      const start = performance.now();
      await client.logIn('chris', `guess ${i}`);
      took.push(performance.now() - start);
      client.socket.destroy();
    }
    for (const [i, least] of [30, 60, 120, 120].entries())
      expect(took[i], `try ${i}: ${took}`).toBeGreaterThan(least - 2);
  });

  test('RFC 5034: AUTH PLAIN with an initial response, with a continuation, cancelled, and listed', async () => {
    const { port } = await serve();
    const plain = Buffer.from('\0chris\0epikoi').toString('base64');
    const one = await open(port);
    expect(await one.ask('AUTH')).toMatch(/^\+OK/);
    expect(await one.body()).toBe('PLAIN\r\n');
    expect(await one.ask('AUTH CRAM-MD5')).toMatch(/^-ERR/);
    expect(await one.ask('AUTH PLAIN')).toBe('+ ');
    expect(await one.ask('*')).toMatch(/^-ERR/);
    expect(await one.ask('AUTH PLAIN !!!!')).toMatch(/^-ERR/);
    expect(await one.ask('AUTH PLAIN =')).toMatch(/^-ERR/);
    const other = Buffer.from('root\0chris\0epikoi').toString('base64');
    expect(await one.ask(`AUTH PLAIN ${other}`)).toMatch(/^-ERR \[AUTH\]/); // RFC 4616 §2
    expect(await one.ask(`AUTH PLAIN ${plain}`)).toMatch(/^\+OK/);
    await one.ask('QUIT');
    const two = await open(port);
    expect(await two.ask('auth plain')).toBe('+ ');
    expect(await two.ask(plain)).toMatch(/^\+OK/);
  });

  test('RFC 1939 §7: APOP with the digest of challenge and secret, for those who have one', async () => {
    const accounts = await new MemoryAccounts().add('mrose', 'tanstaaf', { cost: COST, apop: true });
    await accounts.add('chris', 'epikoi', { cost: COST });
    const { port } = await serve({ accounts });
    const challenges = new Set<string>();
    const attempt = async (name: string, secret: string): Promise<string | null> => {
      const client = await Pop3Client.connect(port);
      cleanups.push(async () => void client.socket.destroy());
      const challenge = /<[^<>@ ]+@[^<>@ ]+>/.exec((await client.line()) ?? '')?.[0] ?? '';
      challenges.add(challenge);
      const answer = await client.ask(
        `APOP ${name} ${createHash('md5')
          .update(challenge + secret)
          .digest('hex')}`,
      );
      await client.ask('QUIT');
      return answer;
    };
    expect(await attempt('mrose', 'tanstaaf')).toMatch(/^\+OK/);
    expect(await attempt('mrose', 'tanstaaF')).toMatch(/^-ERR \[AUTH\]/);
    expect(await attempt('chris', 'epikoi')).toMatch(/^-ERR \[AUTH\]/);
    expect(challenges.size).toBe(3);
  });

  test('RFC 2449 §8.1.2: the second session of a mailbox gets [IN-USE], until the first is over', async () => {
    const { port } = await serve();
    const first = await loggedIn(port);
    const second = await open(port);
    expect(await second.logIn('chris', 'epikoi')).toMatch(/^-ERR \[IN-USE\]/);
    expect(await first.ask('QUIT')).toMatch(/^\+OK/);
    expect(await second.logIn('chris', 'epikoi')).toMatch(/^\+OK/);
  });

  test('RFC 2449 §6.5: [LOGIN-DELAY] for who comes back too soon', async () => {
    const { port } = await serve({ loginDelay: 600 });
    const first = await loggedIn(port);
    await first.ask('CAPA');
    expect(await first.body()).toContain('LOGIN-DELAY 600');
    await first.ask('QUIT');
    expect(await (await open(port)).logIn('chris', 'epikoi')).toMatch(/^-ERR \[LOGIN-DELAY\]/);
  });
});

describe('the lock', () => {
  test('one left by a process that has died is taken over, one of a living process is not', async () => {
    await deliver('1.a.h', 'x');
    const lock = join(mail, LOCK_NAME);
    const host = (await import('node:os')).hostname();
    await writeFile(lock, `4194304 77 ${host} abcdef\n`); // beyond the largest process id
    await (await lockMailbox(mail)).release();
    await writeFile(lock, `4194304 0 ${host} abcdef\n`);
    await (await lockMailbox(mail)).release();
    await writeFile(lock, `${process.pid} 1 ${host} abcdef\n`); // our id, of a process started at another time
    await (await lockMailbox(mail)).release();
    await writeFile(lock, `1 0 ${host} abcdef\n`); // process 1 lives
    await expect(lockMailbox(mail)).rejects.toThrow('held by 1 0');
    await writeFile(lock, '1 0 another.host abcdef\n');
    await expect(lockMailbox(mail)).rejects.toThrow('another.host');
    await rm(lock);
    const held = await lockMailbox(mail);
    await expect(lockMailbox(mail)).rejects.toThrow('in another session');
    await held.release();
    expect((await readdir(mail)).sort()).toEqual(['cur', 'new', 'tmp']);
  });
});

describe('STLS', () => {
  test('RFC 2595 §4: commands sent in the clear behind STLS are thrown away', async () => {
    const { port } = await serve({ tls: selfSigned('localhost') });
    const client = await open(port);
    client.send('USER mallory\r\nSTLS\r\nUSER chris\r\nNOOP\r\n');
    expect(await client.line()).toMatch(/^\+OK/);
    expect(await client.line()).toMatch(/^\+OK begin TLS/);
    await client.startTls();
    expect(await client.ask('PASS epikoi')).toMatch(/^-ERR USER first/); // neither name has survived
    expect(await client.logIn('chris', 'epikoi')).toMatch(/^\+OK/);
    expect(await client.ask('STAT')).toBe('+OK 0 0');
    expect(await client.ask('QUIT')).toBe('+OK Sayonara');
    expect(await client.line()).toBe(null);
  });

  test('with requireTls no password is taken in the clear, and CAPA says so', async () => {
    const { port } = await serve({ tls: selfSigned('localhost'), requireTls: true });
    const client = await open(port);
    await client.ask('CAPA');
    expect(await client.body()).not.toMatch(/^USER\r|^SASL/m);
    expect(await client.ask('USER chris')).toMatch(/^-ERR/);
    expect(await client.ask('AUTH PLAIN AGNocmlzAGVwaWtvaQ==')).toMatch(/^-ERR/);
    await client.ask('STLS');
    await client.startTls();
    expect(await client.logIn('chris', 'epikoi')).toMatch(/^\+OK/);
  });

  test('a peer that talks nonsense instead of TLS is dropped, and the server lives', async () => {
    const { port, server } = await serve({ tls: selfSigned('localhost') });
    const client = await open(port);
    await client.ask('STLS');
    client.send('this is no ClientHello\r\n'.repeat(10));
    while ((await client.line()) !== null) {
      // an alert, perhaps
    }
    await vi.waitFor(() => expect(server.connections).toBe(0));
    await loggedIn(port);
  });
});

describe('messages', () => {
  test('every octet value survives, and 8-bit, UTF-8, NUL and dot lines are counted exactly', async () => {
    const all = Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 0xff));
    await deliver('1.all.h', Buffer.concat([Buffer.from('H: é\n\n'), all, Buffer.from('\n.\n..\n\n.')]));
    const { port } = await serve();
    const client = await loggedIn(port);
    const size = Number(/^\+OK 1 (\d+)$/.exec((await client.ask('LIST 1')) ?? '')?.[1]);
    expect(await client.ask('RETR 1')).toBe(`+OK ${size} octets`);
    const text = await client.body();
    expect(text.length).toBe(size);
    const stored = (await readFile(join(mail, 'new', '1.all.h'))).toString('latin1');
    expect(text).toBe(`${stored.replace(/\r?\n/g, '\r\n')}\r\n`);
  });

  test('the demo mailbox is fetched octet for octet, and made once', async () => {
    const made = await createDemoMaildir(mail);
    expect(made).toBeGreaterThan(3);
    expect(await createDemoMaildir(mail)).toBe(0);
    const { port } = await serve();
    const client = await loggedIn(port);
    for (const [index, name] of (await readdir(join(mail, 'new'))).sort().entries()) {
      await client.ask(`RETR ${index + 1}`);
      const stored = (await readFile(join(mail, 'new', name))).toString('latin1');
      expect(await client.body()).toBe(stored.replace(/\n/g, '\r\n'));
    }
  });

  test('W= in a name is believed only where S= and the last line end agree with the file', async () => {
    await deliver('1.a,S=4,W=6', 'a\nb\n'); // true
    await deliver('2.b,S=5,W=7', 'a\nb\n'); // S= is not the size
    await deliver('3.c,S=3,W=4', 'a\nb'); // no end of line: one more is sent
    await deliver('4.d,S=4,W=900', 'a\nb\n'); // impossible
    const { port } = await serve();
    const client = await loggedIn(port);
    await client.ask('LIST');
    expect(await client.body()).toBe('1 6\r\n2 6\r\n3 6\r\n4 6\r\n');
    await client.ask('UIDL');
    expect(await client.body()).toBe('1 1.a\r\n2 2.b\r\n3 3.c\r\n4 4.d\r\n');
  });

  test('links, directories and dot files in a Maildir are no messages; names unfit for UIDL are hashed', async () => {
    await deliver('.hidden', 'x');
    await deliver('1.good', 'x');
    await mkdir(join(mail, 'new', '2.directory'));
    await (await import('node:fs/promises')).symlink('/etc/passwd', join(mail, 'new', '3.link'));
    await deliver(`4.${'x'.repeat(100)}`, 'x');
    const { port } = await serve();
    const client = await loggedIn(port);
    await client.ask('UIDL');
    expect(await client.body()).toMatch(/^1 1\.good\r\n2 [A-Za-z0-9_-]{43}\r\n$/);
  });

  test('a message another program has moved is found, one it has removed is an error', async () => {
    await deliver('1.a.h', 'A: 1\n\n');
    await deliver('2.b.h', 'A: 2\n\n');
    const { port } = await serve();
    const client = await loggedIn(port);
    await (await import('node:fs/promises')).rename(join(mail, 'new', '1.a.h'), join(mail, 'cur', '1.a.h:2,S'));
    await rm(join(mail, 'new', '2.b.h'));
    expect(await client.ask('RETR 1')).toMatch(/^\+OK/);
    expect(await client.body()).toBe('A: 1\r\n\r\n');
    expect(await client.ask('RETR 2')).toMatch(/^-ERR \[SYS\/TEMP\]/);
    await client.ask('DELE 1');
    await client.ask('DELE 2');
    expect(await client.ask('QUIT')).toMatch(/^\+OK/);
    expect(await readdir(join(mail, 'cur'))).toEqual([]);
  });

  test('20 MB go out in pieces: a client that does not read costs no memory', async () => {
    const line = `${'0123456789abcdef'.repeat(4)}.....\n`;
    await deliver('1.big.h', Buffer.from(`Subject: big\n\n${line.repeat(Math.ceil(20e6 / line.length))}`));
    let served: StreamSocket | undefined;
    const watched: NetApi = {
      createServer: (options, listener) =>
        net.createServer(options, (socket) => {
          served = socket;
          listener(socket);
        }),
    };
    const { port } = await serve({ net: watched });
    const client = await open(port);
    await client.logIn('chris', 'epikoi');
    client.socket.pause();
    client.send('RETR 1\r\n');
    await vi.waitFor(() => expect(served?.writableNeedDrain).toBe(true));
    for (let i = 0; i < 200; i++) await new Promise((go) => setImmediate(go));
    expect(served?.writableNeedDrain).toBe(true);
    expect(served?.writableLength).toBeLessThan(200_000);
    client.socket.removeAllListeners('data');
    const hash = createHash('sha256');
    let octets = 0;
    let tail = '';
    await new Promise<void>((done) => {
      client.socket.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        octets += chunk.length;
        tail = (tail + chunk.toString('latin1')).slice(-5);
        if (tail === '\r\n.\r\n') done();
      });
      client.socket.resume();
    });
    const wire = `Subject: big\r\n\r\n${line.replace('\n', '\r\n').repeat(Math.ceil(20e6 / line.length))}`;
    const want = `+OK ${wire.length} octets\r\n${wire}.\r\n`;
    expect(octets).toBe(want.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(want, 'latin1').digest('hex'));
  });
});

describe('hostile peers', () => {
  test('a line without end costs no memory, is one error, and the session goes on', async () => {
    const { port } = await serve();
    const client = await open(port);
    client.send(`USER ${'x'.repeat(3_000_000)}\r\nCAPA\r\n`);
    expect(await client.line()).toBe('-ERR line too long');
    expect(await client.line()).toMatch(/^\+OK/);
  });

  test('a peer that does not speak POP3 is sent away', async () => {
    const { port } = await serve();
    const client = await open(port);
    client.send('GET / HTTP/1.1\r\n'.repeat(50));
    let lines = 0;
    while ((await client.line()) !== null) lines++;
    expect(lines).toBe(21);
  });

  test('RFC 1939 §3: autologout closes without a word and removes nothing', async () => {
    await deliver('1.a.h', 'A: 1\n\n');
    const { port, server } = await serve({ autologout: 50 });
    const client = await loggedIn(port);
    await client.ask('DELE 1');
    expect(await client.line()).toBe(null);
    await vi.waitFor(() => expect(server.connections).toBe(0));
    expect(await readdir(join(mail, 'new'))).toEqual(['1.a.h']);
  });

  test('more connections than allowed get [SYS/TEMP] and are closed', async () => {
    const { port } = await serve({ maxConnections: 3, maxConnectionsPerAddress: 3 });
    for (let i = 0; i < 3; i++) await open(port);
    const fourth = await Pop3Client.connect(port);
    expect(await fourth.line()).toMatch(/^-ERR \[SYS\/TEMP\]/);
    expect(await fourth.line()).toBe(null);
  });

  test('random octets never crash it nor get anybody in', async () => {
    const { port } = await serve();
    let state = 99;
    for (let round = 0; round < 20; round++) {
      const noise = Buffer.alloc(3000);
      for (let i = 0; i < noise.length; i++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        noise[i] = state >>> 24;
      }
      const client = await open(port);
      client.send(Buffer.concat([noise, Buffer.from('\r\nSTAT\r\nQUIT\r\n')]));
      for (let line = await client.line(); line !== null; line = await client.line()) {
        expect(line, `round ${round}`).toMatch(/^-ERR|^\+OK Sayonara/);
      }
    }
    await loggedIn(port);
  });
});
