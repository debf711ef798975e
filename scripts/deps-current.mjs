// Exits 0 when node_modules holds exactly what package-lock.json asks for, so that `make` need not reinstall
// because of a file's date alone.

import { existsSync, readFileSync } from 'node:fs';

const INSTALLED = 'node_modules/.package-lock.json';

function isCurrent() {
  if (!existsSync(INSTALLED)) return false;
  const wanted = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
  const installed = JSON.parse(readFileSync(INSTALLED, 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue;
    const found = installed[path];
    if (found === undefined) {
      if (entry.optional || entry.peer) continue; // another platform's binary
      return false;
    }
    if (found.version !== entry.version || !existsSync(`${path}/package.json`)) return false;
  }
  return true;
}

process.exit(isCurrent() ? 0 : 1);
