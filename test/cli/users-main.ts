// The user command alone, ended as the whole command line ends.

import { Command, CommanderError } from 'commander';
import { register } from '../../src/cli/users.ts';

const program = new Command('tapstack').exitOverride();
register(program);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
