// A file of names and addresses, in the format of hosts(5). It is read when it is first needed, and again when it has changed.

import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { canonical } from './message.ts';

interface Table {
  readonly byName: ReadonlyMap<string, readonly string[]>;
  readonly byAddress: ReadonlyMap<string, readonly string[]>;
}

const EMPTY: Table = { byName: new Map(), byAddress: new Map() };

export function parseHosts(text: string): Table {
  const byName = new Map<string, string[]>();
  const byAddress = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of names.map(canonical)) {
      add(byName, name, address);
      add(byAddress, address.toLowerCase(), name);
    }
  }
  return { byName, byAddress };
}

function add(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else if (!list.includes(value)) list.push(value);
}

export class HostsFile {
  readonly path: string;
  #table = EMPTY;
  #version = '';

  constructor(path: string) {
    this.path = path;
  }

  async addresses(name: string): Promise<readonly string[]> {
    await this.#refresh();
    return this.#table.byName.get(canonical(name)) ?? [];
  }

  async names(address: string): Promise<readonly string[]> {
    await this.#refresh();
    return this.#table.byAddress.get(address.toLowerCase()) ?? [];
  }

  async #refresh(): Promise<void> {
    try {
      const { mtimeMs, size, ino } = await stat(this.path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version === this.#version) return;
      this.#table = parseHosts(await readFile(this.path, 'utf8'));
      this.#version = version;
    } catch (error) {
      // A file that is not there says nothing, as in hosts(5).
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#table = EMPTY;
      this.#version = '';
    }
  }
}
