import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  AccountError,
  FileAccounts,
  hashPassword,
  MemoryAccounts,
  removeAccount,
  saveAccount,
} from '../../src/service/accounts.ts';

// The real hash, watched: a test of time would tell how busy the machine is.
type Hashing = (password: Buffer, salt: Buffer, length: number, options: object) => void;
const hashing = vi.hoisted(() => vi.fn<Hashing>());
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  hashing.mockImplementation(crypto.scrypt as unknown as Hashing);
  return { ...crypto, scrypt: hashing };
});

const COST = { N: 16, r: 1, p: 1 };
let dir = '';
let users = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tapstack-users-'));
  users = join(dir, 'users');
});
afterEach(() => rm(dir, { recursive: true }));

const verify = async (name: string, password: string): Promise<string | null> =>
  (await (await FileAccounts.open(users)).verify(name, Buffer.from(password)))?.name ?? null;

describe('the users file', () => {
  test('name:scrypt$N$r$p$salt$hash:maildir, mode 0600, and no password in it', async () => {
    await saveAccount(users, { name: 'alice', password: 'correct horse', maildir: join(dir, 'a:b'), cost: COST });
    const text = await readFile(users, 'utf8');
    expect(text).toMatch(/^alice:scrypt\$16\$1\$1\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]{44}:\/.*a:b\n$/);
    expect(text).not.toContain('horse');
    expect((await stat(users)).mode & 0o777).toBe(0o600);
    expect(await verify('alice', 'correct horse')).toBe('alice');
    expect(await verify('alice', 'Correct horse')).toBe(null);
    expect(await verify('bob', 'correct horse')).toBe(null);
    expect((await (await FileAccounts.open(users)).list())[0].maildir).toBe(join(dir, 'a:b'));
  });

  test('an APOP secret is kept only for who wants it, apart, and goes with the account or its next password', async () => {
    await saveAccount(users, { name: 'alice', password: 'one', cost: COST });
    await expect(stat(`${users}.apop`)).rejects.toThrow('ENOENT');
    await saveAccount(users, { name: 'bob', password: 'two', apop: true, cost: COST });
    expect((await stat(`${users}.apop`)).mode & 0o777).toBe(0o600);
    const apop = async (): Promise<string[]> =>
      (await (await FileAccounts.open(users)).list()).filter((account) => account.apop).map((account) => account.name);
    expect(await apop()).toEqual(['bob']);
    await saveAccount(users, { name: 'bob', password: 'three', cost: COST }, true);
    expect(await apop()).toEqual([]);
    await removeAccount(users, 'bob');
    expect(await verify('bob', 'three')).toBe(null);
  });

  test('what a server has opened changes with the file', async () => {
    await saveAccount(users, { name: 'alice', password: 'one', cost: COST });
    const accounts = await FileAccounts.open(users);
    await saveAccount(users, { name: 'bob', password: 'two', cost: COST });
    expect((await accounts.verify('bob', Buffer.from('two')))?.name).toBe('bob');
    await removeAccount(users, 'bob');
    expect(await accounts.verify('bob', Buffer.from('two'))).toBe(null);
  });

  test('one that others may read, that is missing or malformed is refused, with what to do', async () => {
    await expect(FileAccounts.open(users)).rejects.toThrow(/tapstack user add/);
    await writeFile(users, '', { mode: 0o644 });
    await expect(FileAccounts.open(users)).rejects.toThrow(/chmod 600/);
    await rm(users);
    await writeFile(users, '# ok\n\nalice:plain:dir\n', { mode: 0o600 });
    await expect(FileAccounts.open(users)).rejects.toThrow(/users:3: the hash of alice/);
    await writeFile(users, 'alice\n');
    await expect(FileAccounts.open(users)).rejects.toThrow(/users:1: expected/);
    const line = `alice:${await hashPassword('x', COST)}:\n`;
    await writeFile(users, line + line);
    await expect(FileAccounts.open(users)).rejects.toThrow(/twice/);
    await writeFile(users, 'alice:scrypt$1073741824$8$1$AAAAAAAAAAAA$'.padEnd(100, 'A'));
    await expect(FileAccounts.open(users)).rejects.toThrow(AccountError); // nor does a hash take 1 TB
  });

  test('names that would leave the mail directory or the line are refused', async () => {
    for (const name of ['', '.', '..', '../x', 'a/b', 'a:b', 'a b', 'a\nb', '#a', '.hidden', 'x'.repeat(65)]) {
      await expect(saveAccount(users, { name, password: 'x', cost: COST }), name).rejects.toThrow(AccountError);
    }
    await saveAccount(users, { name: 'žofie@example.org', password: 'x', cost: COST });
  });

  test('an unknown user costs the very computation a known one costs', async () => {
    const accounts = await new MemoryAccounts().add('alice', 'x', { cost: { N: 2 ** 13, r: 8, p: 1 } });
    const costOf = async (name: string): Promise<unknown> => {
      hashing.mockClear();
      expect(await accounts.verify(name, Buffer.from('y'))).toBeFalsy();
      return hashing.mock.calls.map(([password, , length, options]) => [`${password}`, length, options]);
    };
    const known = await costOf('alice');
    expect(known).toMatchObject([['y', expect.any(Number), { N: 2 ** 13, r: 8, p: 1 }]]);
    expect(await costOf('nobody')).toEqual(known);
  });
});

describe('tapstack user', () => {
  const script = fileURLToPath(new URL('./users-main.ts', import.meta.url));
  const run = (args: string[], input = ''): Promise<{ status: number | null; out: string; err: string }> =>
    new Promise((done) => {
      const child = spawn(process.execPath, ['--import', 'tsx', script, ...args]);
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk) => (out += chunk));
      child.stderr.on('data', (chunk) => (err += chunk));
      child.stdin.on('error', () => undefined); // it may not read at all
      child.stdin.end(input);
      child.on('close', (status) => done({ status, out, err }));
    });

  test('adds, lists and removes', async () => {
    const add = await run(
      ['user', 'add', 'alice', '--users', users, '--password-stdin', '--maildir', join(dir, 'mail')],
      'épîkoi 1\nrest\n',
    );
    expect(add).toMatchObject({ status: 0, out: `added alice in ${users}\n` });
    expect(await verify('alice', 'épîkoi 1')).toBe('alice');
    expect((await stat(join(dir, 'mail', 'new'))).isDirectory()).toBe(true);
    const list = await run(['user', 'list', '--users', users, '--json']);
    expect(JSON.parse(list.out)).toEqual([{ name: 'alice', maildir: join(dir, 'mail'), apop: false }]);
    expect((await run(['user', 'passwd', 'alice', '--users', users, '--password-stdin'], 'two\n')).status).toBe(0);
    expect(await verify('alice', 'two')).toBe('alice');
    expect((await run(['user', 'remove', 'alice', '--users', users])).status).toBe(0);
    expect(await verify('alice', 'two')).toBe(null);
  });

  test('asked wrongly it says why in one line and exits with 2', async () => {
    const wrong = [
      ['user', 'add', 'alice'],
      ['user', 'add', '--users', users, '--password-stdin'],
      ['user', 'add', 'a/b', '--users', users, '--password-stdin'],
      ['user', 'add', 'alice', '--users', users],
      ['user', 'add', 'alice', '--users', users, '--password-stdin', '--demo'],
      ['user', 'add', 'alice', '--users', users, '--password-stdin', '--bogus'],
      ['user', 'remove', 'nobody', '--users', users],
      ['user', 'list', '--users', join(dir, 'none')],
    ];
    for (const args of wrong) {
      const { status, err } = await run(args, 'x\n');
      expect(status, args.join(' ')).toBe(2);
      expect(err.trim().split('\n').length, err).toBe(1);
    }
    expect((await run(['user', 'add', 'alice', '--users', users, '--password-stdin'], '\n')).err).toMatch(
      /empty password/,
    );
  });
});
