// The user command alone, ended as the whole command line ends.

import { Command, CommanderError } from 'commander';
import { CommandError, MISUSED } from '../../src/cli/usage.ts';
import { register } from '../../src/cli/users.ts';

const program = new Command('tapstack').exitOverride();
register(program);
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommandError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode;
  } else if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : MISUSED;
  } else {
    throw error;
  }
}
