// Accounts: a file of names, scrypt hashes and mailboxes — one `name:scrypt$N$r$p$salt$hash:maildir` a line, # for comments.
//
// APOP (RFC 1939 §7) needs the password itself, or what is worth as much: who reads it can log in. So an account has an APOP
// secret only when asked for, and secrets live in a file of their own, `USERS.apop`, that does not exist otherwise.
//
// Invariant: neither the answer nor the time it takes tells an unknown name from a wrong password.

import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

export interface Account {
  readonly name: string;
  /** Where its mail is; null: where the server keeps mailboxes. */
  readonly maildir: string | null;
}

interface Entry extends Account {
  readonly hash: string;
}

/** The parameters of RFC 7914: memory is 128·N·r octets. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

export const DEFAULT_COST: ScryptCost = { N: 2 ** 15, r: 8, p: 1 }; // 32 MB, about 80 ms
const MAX_MEMORY = 256 * 1024 * 1024;
const HASH_LENGTH = 32;
const MAX_FILE = 16 * 1024 * 1024;

export class AccountError extends Error {
  readonly code = 'ERR_ACCOUNTS';
}

export function checkName(name: string): string {
  if (name.length === 0 || Buffer.byteLength(name) > 64) {
    throw new AccountError(`user name ${JSON.stringify(name)}: give 1 to 64 octets`);
  }
  // It names a directory and stands in a colon-separated line.
  if (/[\p{C}\p{Z}/:\\#]/u.test(name) || name.startsWith('.')) {
    throw new AccountError(
      `user name ${JSON.stringify(name)}: no spaces, control characters or any of / \\ : #, and no dot in front`,
    );
  }
  return name;
}

export async function hashPassword(password: Uint8Array | string, cost: ScryptCost = DEFAULT_COST): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, cost);
  return `scrypt$${cost.N}$${cost.r}$${cost.p}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

interface Hash {
  readonly cost: ScryptCost;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function parseHash(text: string): Hash | null {
  const match = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/=]{8,})\$([A-Za-z0-9+/=]{40,})$/.exec(text);
  if (!match) return null;
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (N < 2 || (N & (N - 1)) !== 0 || r < 1 || p < 1 || p > 16 || 128 * N * r > MAX_MEMORY / 2) return null;
  const hash = Buffer.from(match[5], 'base64');
  return hash.length === HASH_LENGTH ? { cost: { N, r, p }, salt: Buffer.from(match[4], 'base64'), hash } : null;
}

// Each derivation takes tens of megabytes and a thread of libuv's four: a flood of logins must not take them all.
const MAX_RUNNING = 2;
const MAX_WAITING = 256;
let running = 0;
const waiting: (() => void)[] = [];

async function derive(password: Uint8Array | string, salt: Buffer, cost: ScryptCost): Promise<Buffer> {
  if (running >= MAX_RUNNING) {
    if (waiting.length >= MAX_WAITING) throw new AccountError('too many logins at once');
    await new Promise<void>((go) => waiting.push(go)); // its slot is handed on, `running` stays
  } else {
    running++;
  }
  try {
    return await new Promise((done, fail) => {
      scrypt(password, salt, HASH_LENGTH, { ...cost, maxmem: MAX_MEMORY }, (error, key) =>
        error ? fail(error) : done(key),
      );
    });
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

/** Who may log in. */
export interface Accounts {
  /** The account, or null when name and password do not belong together. */
  verify(name: string, password: Uint8Array): Promise<Account | null>;
  /** RFC 1939 §7: `digest` is the MD5 of `challenge` and the account's secret, in lower-case hex. */
  verifyApop(name: string, challenge: string, digest: string): Promise<Account | null>;
  /** Does any account have an APOP secret? Without one there is no challenge in the greeting. */
  hasApop(): Promise<boolean>;
  list(): Promise<(Account & { readonly apop: boolean })[]>;
}

abstract class BaseAccounts implements Accounts {
  readonly #decoySecret = randomBytes(16).toString('hex');
  #decoy: Hash | null = null;

  protected abstract find(name: string): Promise<Entry | null>;
  protected abstract anyEntry(): Promise<Entry | null>;
  protected abstract secret(name: string): Promise<string | null>;
  abstract hasApop(): Promise<boolean>;
  abstract list(): Promise<(Account & { readonly apop: boolean })[]>;

  async verify(name: string, password: Uint8Array): Promise<Account | null> {
    const entry = await this.find(name);
    const hash = entry ? parseHash(entry.hash) : await this.#decoyHash();
    if (hash === null) throw new AccountError(`the hash of user ${JSON.stringify(name)} is not one of ours`);
    const given = await derive(password, hash.salt, hash.cost);
    const same = timingSafeEqual(given, hash.hash);
    return entry && same ? entry : null;
  }

  async verifyApop(name: string, challenge: string, digest: string): Promise<Account | null> {
    const entry = await this.find(name);
    const secret = await this.secret(name);
    const wanted = createHash('md5')
      .update(challenge)
      .update(secret ?? this.#decoySecret)
      .digest();
    const given = /^[0-9a-f]{32}$/.test(digest) ? Buffer.from(digest, 'hex') : Buffer.alloc(16);
    const same = timingSafeEqual(given, wanted);
    return entry && secret !== null && same ? entry : null;
  }

  /** What a password for an unknown name is compared with: as costly as the hashes in use. */
  async #decoyHash(): Promise<Hash> {
    const model = await this.anyEntry();
    const cost = (model && parseHash(model.hash)?.cost) ?? DEFAULT_COST;
    if (this.#decoy === null || JSON.stringify(this.#decoy.cost) !== JSON.stringify(cost)) {
      this.#decoy = { cost, salt: randomBytes(16), hash: randomBytes(HASH_LENGTH) };
    }
    return this.#decoy;
  }
}

/** Accounts in memory, for tests and demonstrations. */
export class MemoryAccounts extends BaseAccounts {
  readonly #entries = new Map<string, Entry>();
  readonly #secrets = new Map<string, string>();

  async add(
    name: string,
    password: string,
    options: { maildir?: string; apop?: boolean; cost?: ScryptCost } = {},
  ): Promise<this> {
    checkName(name);
    const hash = await hashPassword(password, options.cost);
    this.#entries.set(name, { name, hash, maildir: options.maildir ?? null });
    if (options.apop) this.#secrets.set(name, password);
    return this;
  }

  protected override find(name: string): Promise<Entry | null> {
    return Promise.resolve(this.#entries.get(name) ?? null);
  }
  protected override anyEntry(): Promise<Entry | null> {
    return Promise.resolve(this.#entries.values().next().value ?? null);
  }
  protected override secret(name: string): Promise<string | null> {
    return Promise.resolve(this.#secrets.get(name) ?? null);
  }
  override hasApop(): Promise<boolean> {
    return Promise.resolve(this.#secrets.size > 0);
  }
  override list(): Promise<(Account & { readonly apop: boolean })[]> {
    const apop = (name: string): boolean => this.#secrets.has(name);
    return Promise.resolve(
      [...this.#entries.values()].map(({ name, maildir }) => ({ name, maildir, apop: apop(name) })),
    );
  }
}

/** Accounts in a file, read again when it has changed. */
export class FileAccounts extends BaseAccounts {
  readonly path: string;
  #stamp = '';
  #entries = new Map<string, Entry>();
  #secretStamp = '';
  #secrets = new Map<string, string>();

  private constructor(path: string) {
    super();
    this.path = resolve(path);
  }

  /** @throws AccountError when the file is missing, is open to others, or a line of it is wrong. */
  static async open(path: string): Promise<FileAccounts> {
    const accounts = new FileAccounts(path);
    await accounts.#load();
    await accounts.#loadSecrets();
    return accounts;
  }

  get secretsPath(): string {
    return `${this.path}.apop`;
  }

  override async list(): Promise<(Account & { readonly apop: boolean })[]> {
    await this.#load();
    await this.#loadSecrets();
    return [...this.#entries.values()].map(({ name, maildir }) => ({ name, maildir, apop: this.#secrets.has(name) }));
  }

  protected override async find(name: string): Promise<Entry | null> {
    await this.#load();
    return this.#entries.get(name) ?? null;
  }
  protected override async anyEntry(): Promise<Entry | null> {
    await this.#load();
    return this.#entries.values().next().value ?? null;
  }
  protected override async secret(name: string): Promise<string | null> {
    await this.#loadSecrets();
    return this.#secrets.get(name) ?? null;
  }
  override async hasApop(): Promise<boolean> {
    await this.#loadSecrets();
    return this.#secrets.size > 0;
  }

  async #load(): Promise<void> {
    const read = await readPrivate(this.path, this.#stamp);
    if (read === 'missing') {
      throw new AccountError(`no users file ${this.path}: make one with "tapstack user add NAME --users ${this.path}"`);
    }
    if (read === 'unchanged') return;
    this.#entries = new Map(parseAccounts(read.text, this.path).map((entry) => [entry.name, entry]));
    this.#stamp = read.stamp;
  }

  async #loadSecrets(): Promise<void> {
    const read = await readPrivate(this.secretsPath, this.#secretStamp);
    if (read === 'unchanged') return;
    this.#secrets = read === 'missing' ? new Map() : parseSecrets(read.text);
    this.#secretStamp = read === 'missing' ? '' : read.stamp;
  }
}

export function parseAccounts(text: string, path: string): Entry[] {
  const entries = new Map<string, Entry>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [name, hash, ...rest] = line.split(':');
    const where = `${path}:${index + 1}`;
    if (hash === undefined || rest.length === 0) throw new AccountError(`${where}: expected name:hash:maildir`);
    checkName(name);
    if (parseHash(hash) === null) throw new AccountError(`${where}: the hash of ${name} is not scrypt$N$r$p$salt$hash`);
    if (entries.has(name)) throw new AccountError(`${where}: ${name} is there twice`);
    const maildir = rest.join(':');
    entries.set(name, { name, hash, maildir: maildir === '' ? null : resolve(dirname(path), maildir) });
  }
  return [...entries.values()];
}

function parseSecrets(text: string): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) secrets.set(line.slice(0, colon), Buffer.from(line.slice(colon + 1), 'base64').toString());
  }
  return secrets;
}

/** The text of a file that nobody else may read or write. */
async function readPrivate(
  path: string,
  stamp: string,
): Promise<'missing' | 'unchanged' | { text: string; stamp: string }> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'missing';
    throw error;
  }
  try {
    const stat = await file.stat({ bigint: true });
    const now = `${stat.ino}/${stat.size}/${stat.mtimeNs}/${stat.ctimeNs}`;
    if (now === stamp) return 'unchanged';
    if (!stat.isFile()) throw new AccountError(`${path} is not a file`);
    const mode = Number(stat.mode & 0o777n);
    if ((mode & 0o077) !== 0) {
      throw new AccountError(`${path} is open to others (mode 0${mode.toString(8)}): chmod 600 ${path}`);
    }
    const us = process.geteuid?.() ?? 0;
    if (us !== 0 && Number(stat.uid) !== us && stat.uid !== 0n) {
      throw new AccountError(`${path} belongs to another user (uid ${stat.uid})`);
    }
    if (stat.size > BigInt(MAX_FILE)) throw new AccountError(`${path} is larger than ${MAX_FILE} octets`);
    return { text: await file.readFile('utf8'), stamp: now };
  } finally {
    await file.close();
  }
}

// Editing, for the command line

export interface NewAccount {
  name: string;
  password: string;
  maildir?: string | undefined;
  apop?: boolean | undefined;
  cost?: ScryptCost | undefined;
}

/** Add an account, or with `replace` change it (what is not given stays). Makes the file, readable by its owner only. */
export async function saveAccount(path: string, account: NewAccount, replace = false): Promise<void> {
  checkName(account.name);
  if (account.password === '') throw new AccountError('an empty password is no password');
  if (/[\r\n\0]/.test(account.password)) throw new AccountError('a password is one line of text');
  if (account.maildir !== undefined && /[\r\n\0]/.test(account.maildir)) throw new AccountError('a path is one line');
  const hash = await hashPassword(account.password, account.cost);
  const maildir = account.maildir === undefined ? undefined : resolve(account.maildir);
  await edit(path, (lines) => {
    const at = findLine(lines, account.name);
    if (at >= 0 && !replace) throw new AccountError(`user ${account.name} exists in ${path}`);
    if (at < 0 && replace) throw new AccountError(`no user ${account.name} in ${path}`);
    const kept = at < 0 ? '' : lines[at].split(':').slice(2).join(':');
    const line = `${account.name}:${hash}:${maildir ?? kept}`;
    if (at < 0) lines.push(line);
    else lines[at] = line;
  });
  const secretsPath = `${path}.apop`;
  const secret = account.apop ? Buffer.from(account.password).toString('base64') : null;
  await setSecret(secretsPath, account.name, secret);
}

export async function removeAccount(path: string, name: string): Promise<void> {
  await edit(path, (lines) => {
    const at = findLine(lines, name);
    if (at < 0) throw new AccountError(`no user ${name} in ${path}`);
    lines.splice(at, 1);
  });
  await setSecret(`${path}.apop`, name, null);
}

async function setSecret(path: string, name: string, secret: string | null): Promise<void> {
  if (secret === null && (await readPrivate(path, '')) === 'missing') return;
  await edit(path, (lines) => {
    const at = findLine(lines, name);
    if (at >= 0) lines.splice(at, 1);
    if (secret !== null) lines.push(`${name}:${secret}`);
  });
}

const findLine = (lines: string[], name: string): number => lines.findIndex((line) => line.startsWith(`${name}:`));

/** Replace a private file in one step, under a lock so that two edits do not lose one. */
async function edit(path: string, change: (lines: string[]) => void): Promise<void> {
  const next = `${path}.new`;
  let file: FileHandle;
  try {
    file = await open(next, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new AccountError(`${path} is being edited; if it is not, remove ${next}`);
  }
  try {
    const read = await readPrivate(path, '');
    const lines = read === 'missing' || read === 'unchanged' ? [] : read.text.split('\n').filter((line) => line !== '');
    change(lines);
    await file.writeFile(lines.map((line) => `${line}\n`).join(''));
    await file.sync();
    await file.close();
    await rename(next, path);
  } catch (error) {
    await file.close().catch(() => undefined); // closed already: the error below is the one to tell
    await rm(next, { force: true });
    throw error;
  }
}
