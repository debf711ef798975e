// A maildrop: the messages of a Maildir as one POP3 session sees them — RFC 1939 §5.
//
//   Maildir/new/1700000000.M1P2.host            not yet seen
//   Maildir/cur/1700000000.M1P2.host,S=9:2,S    seen, with flags
//
// Message numbers are fixed while it is open: mail that arrives later is for the next session, mail that another program takes away
// leaves a hole. Nothing is removed before `update` (RFC 1939 §6).

import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Lock, lockMailbox } from './lock.ts';
import { countOctets } from './wire-text.ts';

export interface Message {
  /** Path below the Maildir. */
  file: string;
  /** RFC 1939 §7 (UIDL): 1 to 70 characters 0x21 … 0x7e, never used again in this maildrop. */
  readonly uid: string;
  /** Octets as sent, lines ending in CRLF (RFC 1939 §11). */
  readonly octets: number;
  deleted: boolean;
  retrieved: boolean;
}

const PARALLEL = 16;

/** Sizes that had to be counted, by file, so that they are counted once. The oldest is forgotten first. */
export class SizeCache {
  readonly #sizes = new Map<string, number>();
  readonly #capacity: number;

  constructor(capacity = 65_536) {
    this.#capacity = capacity;
  }

  async of(path: string, stat: Stats): Promise<number> {
    const key = `${stat.dev}/${stat.ino}/${stat.size}/${stat.mtimeMs}`; // survives the move from new to cur
    const known = this.#sizes.get(key);
    if (known !== undefined) return known;
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const octets = await countOctets(file).finally(() => file.close());
    if (this.#sizes.size >= this.#capacity) this.#sizes.delete(this.#sizes.keys().next().value as string);
    this.#sizes.set(key, octets);
    return octets;
  }
}

export class Maildrop {
  readonly messages: readonly Message[];
  /** Of the messages not marked as deleted. */
  count: number;
  octets: number;

  readonly #directory: string;
  readonly #lock: Lock;

  private constructor(directory: string, lock: Lock, messages: Message[]) {
    this.#directory = directory;
    this.#lock = lock;
    this.messages = messages;
    this.count = messages.length;
    this.octets = messages.reduce((sum, message) => sum + message.octets, 0);
  }

  /** Lock and list. An absent Maildir is made. @throws MailboxInUse, or the error of the file system. */
  static async open(directory: string, sizes: SizeCache): Promise<Maildrop> {
    await makeMaildir(directory);
    const lock = await lockMailbox(directory);
    try {
      return new Maildrop(directory, lock, await list(directory, sizes));
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The message with this number if it is there and not marked as deleted. */
  get(number: number): Message | null {
    const message = this.messages[number - 1];
    return message === undefined || message.deleted ? null : message;
  }

  delete(message: Message): void {
    message.deleted = true;
    this.count--;
    this.octets -= message.octets;
  }

  /** RSET: unmark everything (RFC 1939 §5). */
  reset(): void {
    for (const message of this.messages) {
      if (!message.deleted) continue;
      message.deleted = false;
      this.count++;
      this.octets += message.octets;
    }
  }

  /** Null when another program has removed it. */
  async read(message: Message): Promise<FileHandle | null> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await open(join(this.#directory, message.file), constants.O_RDONLY | constants.O_NOFOLLOW);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      if (attempt > 0 || !(await this.#findAgain(message))) return null;
    }
  }

  /**
   * The UPDATE state (RFC 1939 §6): remove what is marked, mark as seen what was retrieved. How many could not be removed.
   * A failure stops at the message it concerns; the rest is still done.
   */
  async update(log: (what: string, error: unknown) => void): Promise<number> {
    let failed = 0;
    for (const message of this.messages) {
      try {
        if (message.deleted) await this.#change(message, (path) => unlink(path));
        else if (message.retrieved) await this.#markSeen(message);
      } catch (error) {
        log(message.file, error);
        if (message.deleted) failed++;
      }
    }
    return failed;
  }

  close(): Promise<void> {
    return this.#lock.release();
  }

  /** Do something to its file; done already if the file is gone. */
  async #change(message: Message, action: (path: string) => Promise<void>): Promise<void> {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        await action(join(this.#directory, message.file));
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      if (!(await this.#findAgain(message))) return;
    }
  }

  async #markSeen(message: Message): Promise<void> {
    await this.#change(message, async (path) => {
      const name = message.file.slice(4);
      const [unique, info] = splitName(name);
      const flags = info.startsWith('2,') ? info.slice(2) : '';
      if (message.file.startsWith('cur/') && flags.includes('S')) return;
      const seen = [...new Set(`${flags}S`)].sort().join(''); // flags are kept in ASCII order
      await rename(path, join(this.#directory, 'cur', `${unique}:2,${seen}`));
    });
  }

  /** Another program may have moved it, from new to cur or to other flags: look for its unique name. */
  async #findAgain(message: Message): Promise<boolean> {
    const unique = splitName(message.file.slice(4))[0];
    for (const folder of ['cur', 'new']) {
      for (const name of await readdir(join(this.#directory, folder))) {
        if (splitName(name)[0] !== unique) continue;
        message.file = `${folder}/${name}`;
        return true;
      }
    }
    return false;
  }
}

/** cur, new and tmp, for the owner only. */
export async function makeMaildir(directory: string): Promise<void> {
  for (const folder of ['', 'cur', 'new', 'tmp']) {
    await mkdir(join(directory, folder), { recursive: folder === '', mode: 0o700 }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  }
}

/** Unique name and info: "1.2.host:2,S" → ["1.2.host", "2,S"]. */
function splitName(name: string): [string, string] {
  const colon = name.lastIndexOf(':');
  return colon < 0 ? [name, ''] : [name.slice(0, colon), name.slice(colon + 1)];
}

async function list(directory: string, sizes: SizeCache): Promise<Message[]> {
  const files: string[] = [];
  // new first: a message moved to cur meanwhile is then seen twice rather than not at all.
  for (const folder of ['new', 'cur']) {
    for (const name of await readdir(join(directory, folder))) {
      if (!name.startsWith('.')) files.push(`${folder}/${name}`);
    }
  }
  const byUnique = new Map<string, string>();
  for (const file of files) byUnique.set(splitName(file.slice(4))[0], file);
  const ordered = [...byUnique].sort(([a], [b]) => arrival(a) - arrival(b) || (a < b ? -1 : 1));

  const messages: (Message | null)[] = new Array(ordered.length).fill(null);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < ordered.length) {
      const index = next++;
      const [unique, file] = ordered[index];
      messages[index] = await describe(directory, unique, file, sizes);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, ordered.length) }, work));
  return messages.filter((message) => message !== null);
}

async function describe(directory: string, unique: string, file: string, sizes: SizeCache): Promise<Message | null> {
  const path = join(directory, file);
  try {
    const stat = await lstat(path);
    if (!stat.isFile()) return null; // no following of links, no waiting at a FIFO
    const named = sizeFromName(unique, stat.size);
    // A last line without an end gets one on the way out, which no W= has counted.
    const octets = named !== null && (await endsInLf(path, stat)) ? named : await sizes.of(path, stat);
    return { file, uid: uidOf(unique), octets, deleted: false, retrieved: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null; // moved or removed meanwhile
    throw error;
  }
}

async function endsInLf(path: string, stat: Stats): Promise<boolean> {
  if (stat.size === 0) return true;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const last = Buffer.alloc(1);
    await file.read(last, 0, 1, stat.size - 1);
    return last[0] === 0x0a;
  } finally {
    await file.close();
  }
}

/** Maildir names start with the second of delivery; names that do not sort first. */
function arrival(unique: string): number {
  const match = /^(\d{1,15})\./.exec(unique);
  return match ? Number(match[1]) : 0;
}

/**
 * Maildir++ and Dovecot put sizes in the name: S= is the file's, W= counts lines ending in CRLF, which is the one POP3 wants.
 * Believed only where it fits the file.
 */
export function sizeFromName(unique: string, fileSize: number): number | null {
  const wire = /,W=(\d{1,15})(?=[,:]|$)/.exec(unique);
  const stored = /,S=(\d{1,15})(?=[,:]|$)/.exec(unique);
  if (!wire || !stored || Number(stored[1]) !== fileSize) return null;
  const octets = Number(wire[1]);
  return octets >= fileSize && octets <= 2 * fileSize ? octets : null;
}

/** The unique name itself where it is fit for UIDL, else a hash of it. */
export function uidOf(unique: string): string {
  const name = unique.replace(/,[SW]=\d+/g, '');
  if (/^[\x21-\x7e]{1,70}$/.test(name)) return name;
  return createHash('sha256').update(unique).digest('base64url');
}
