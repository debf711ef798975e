// Where control sockets live: a directory only its owner may enter, one socket per running stack.
//
// A socket is named TAP@NETNS.sock after the stack's TAP and the inode of its network namespace, because the same TAP name can exist in
// several namespaces while the file system is shared between them.

import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SUFFIX = '.sock';
/** sizeof(sockaddr_un.sun_path) less the terminating zero. */
const MAX_PATH = 107;

/** Inode of the network namespace this process is in. */
export function networkNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '0';
}

function candidates(): string[] {
  const uid = process.getuid?.() ?? 0;
  const list: string[] = [];
  if (process.env.XDG_RUNTIME_DIR) list.push(join(process.env.XDG_RUNTIME_DIR, 'tapstack'));
  if (uid === 0) list.push('/run/tapstack');
  list.push(`/run/user/${uid}/tapstack`, `/tmp/tapstack-${uid}`);
  return [...new Set(list)];
}

/** Why `directory` must not be trusted with control sockets, or null. */
function distrust(directory: string): string | null {
  const entry = lstatSync(directory);
  if (!entry.isDirectory()) return 'is not a directory';
  if (entry.uid !== process.getuid?.()) return `belongs to uid ${entry.uid}`;
  if ((entry.mode & 0o077) !== 0) return 'can be entered by others (chmod 700 it)';
  return null;
}

/**
 * The path for a new stack's socket; makes the directory.
 * @throws Error when no directory can be made that only this user may enter
 */
export function socketPathFor(tap: string): string {
  const reasons: string[] = [];
  for (const directory of candidates()) {
    const path = join(directory, `${tap}@${networkNamespace()}${SUFFIX}`);
    if (Buffer.byteLength(path) > MAX_PATH) {
      reasons.push(`${directory} is too long a path for a socket`);
      continue;
    }
    try {
      mkdirSync(directory, { mode: 0o700 });
      return path;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') {
        reasons.push(message);
        continue;
      }
    }
    const reason = distrust(directory);
    if (reason === null) return path;
    reasons.push(`${directory} ${reason}`);
  }
  throw new Error(
    `no place for the control socket: ${reasons.join('; ')}. Set XDG_RUNTIME_DIR to a directory of yours`,
  );
}

export interface SocketEntry {
  path: string;
  tap: string;
  /** Inode of the stack's network namespace. */
  namespace: string;
}

/** Every control socket of this user, live or stale. */
export function listSockets(): SocketEntry[] {
  const entries: SocketEntry[] = [];
  for (const directory of candidates()) {
    if (!existsSync(directory) || distrust(directory) !== null) continue;
    for (const file of readdirSync(directory)) {
      const match = /^(.+)@(\d+)\.sock$/.exec(file);
      if (match !== null) entries.push({ path: join(directory, file), tap: match[1], namespace: match[2] });
    }
  }
  return entries;
}

/** Remove a socket nobody serves any more, and the directory with the last one. */
export function removeSocket(path: string): void {
  rmSync(path, { force: true });
  try {
    rmdirSync(dirname(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'EACCES' && code !== 'EPERM') throw error;
  }
}
