// `tapstack build-addon`: compile the native addon in place, for a platform the package brought no fitting build for.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CommandError } from './usage.ts';

const FOLDER = fileURLToPath(new URL('../../native', import.meta.url));

function make(target: string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('make', ['-C', FOLDER, ...target], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, NODE: process.execPath },
    });
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT'
          ? new CommandError('"make" is not installed (Debian/Ubuntu: apt-get install make gcc libc6-dev)')
          : error,
      ),
    );
    child.once('close', resolve);
  });
}

export function register(program: Command): void {
  program
    .command('build-addon')
    .description("compile the native addon again (npm may refuse to run a package's install scripts)")
    .option('--clean', 'forget the present build first')
    .addHelpText('after', "\nNeeds make, a C compiler and Node's headers, and write access to the installed package.")
    .action(async ({ clean }: { clean?: boolean }) => {
      if (clean && (await make(['clean'])) !== 0) throw new CommandError(`cannot clean ${FOLDER}`);
      if ((await make([])) !== 0) throw new CommandError('the addon was not built; the lines above say why');
    });
}
