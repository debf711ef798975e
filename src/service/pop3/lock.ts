// An exclusive lock on a mailbox — RFC 1939 §4: "the POP3 server acquires an exclusive-access lock on the maildrop".
//
// Within this process a set of names; between processes a file that tells who holds it. A holder that has died is recognised
// by its process id and start time, so a crash locks nobody out. The file appears complete, by link(2), or not at all.

import { randomBytes } from 'node:crypto';
import { link, lstat, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

export const LOCK_NAME = '.tapstack-pop3.lock';
const GARBAGE_AGE = 60_000;

const held = new Set<string>();

export class MailboxInUse extends Error {
  readonly code = 'ERR_MAILBOX_IN_USE';
}

export interface Lock {
  release(): Promise<void>;
}

/** @throws MailboxInUse when a living session, here or in another process, holds it. */
export async function lockMailbox(directory: string): Promise<Lock> {
  const real = await realpath(directory);
  if (held.has(real)) throw new MailboxInUse(`${real} is open in another session`);
  held.add(real);
  const path = join(real, LOCK_NAME);
  const mark = randomBytes(6).toString('hex');
  const own = `${path}.${mark}`;
  try {
    await writeFile(own, `${process.pid} ${(await startTime(process.pid)) ?? 0} ${hostname()} ${mark}\n`, {
      flag: 'wx',
      mode: 0o600,
    });
    try {
      await take(own, path, mark);
    } finally {
      await rm(own, { force: true });
    }
  } catch (error) {
    held.delete(real);
    throw error;
  }
  return {
    release: async () => {
      try {
        const owner = await readFile(path, 'utf8').catch(ignoreMissing);
        if (owner?.includes(mark)) await rm(path, { force: true });
      } finally {
        held.delete(real);
      }
    },
  };
}

async function take(own: string, path: string, mark: string): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await link(own, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = await readFile(path, 'utf8').catch(ignoreMissing);
    if (owner === null) continue; // released just now
    if (!(await isStale(path, owner))) throw new MailboxInUse(`${path} is held by ${owner.trim()}`);
    // Take it away by renaming: of two that try, one gets it. If what we got is not what we judged, give it back.
    const aside = `${path}.${mark}.stale`;
    await rename(path, aside).catch(ignoreMissing);
    const got = await readFile(aside, 'utf8').catch(ignoreMissing);
    if (got !== null && got !== owner) await link(aside, path).catch(ignoreExisting);
    await rm(aside, { force: true });
  }
  throw new MailboxInUse(`${path} is contended`);
}

async function isStale(path: string, owner: string): Promise<boolean> {
  const match = /^(\d+) (\d+) (\S+) [0-9a-f]+\n$/.exec(owner);
  if (!match) {
    // Not written by us: give whoever it was a minute.
    const age = await lstat(path).then((stat) => Date.now() - stat.mtimeMs, ignoreMissing);
    return age === null || age > GARBAGE_AGE;
  }
  if (match[3] !== hostname()) return false; // another machine's, over a network file system: not ours to judge
  const started = await startTime(Number(match[1]));
  return started === null || (Number(match[2]) !== 0 && started !== Number(match[2]));
}

/** When a process was started, in clock ticks since boot (proc(5), field 22); null when there is none. */
async function startTime(pid: number): Promise<number | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(ignoreMissing);
  if (stat === null) return null;
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

function ignoreMissing(error: unknown): null {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ESRCH') return null;
  throw error;
}

function ignoreExisting(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
  throw error;
}
