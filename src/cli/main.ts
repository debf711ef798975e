#!/usr/bin/env node
// The command line: `tapstack COMMAND …`. One file per command; each registers itself.

import { Command, CommanderError } from 'commander';
import createDebug from 'debug';
import { register as registerArp } from './arp.ts';
import { register as registerBuildAddon } from './build-addon.ts';
import { register as registerDump } from './dump.ts';
import { register as registerIpcalc } from './ipcalc.ts';
import { register as registerList } from './list.ts';
import { register as registerPing } from './ping.ts';
import { register as registerRoute } from './route.ts';
import { register as registerScript } from './script.ts';
import { register as registerServices } from './services.ts';
import { register as registerSim } from './sim.ts';
import { register as registerSs } from './ss.ts';
import { register as registerStats } from './stats.ts';
import { register as registerTraceroute } from './traceroute.ts';
import { register as registerUp } from './up.ts';
import { CommandError, FAILED, MISUSED } from './usage.ts';
import { register as registerUser } from './users.ts';
import { packageVersion } from './version.ts';

const debug = createDebug('tapstack:cli');

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, ' ');

export function createProgram(): Command {
  const program = new Command('tapstack')
    .description('A TCP/IP stack of its own, in user space, on a Linux TAP interface.')
    .version(packageVersion())
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${oneLine(text).replace(/^error: /, 'tapstack: ')}\n`) })
    .addHelpText(
      'after',
      `
Start a host and look at it from the machine it runs on:
  $ sudo tapstack up --tap tap0 --address 10.9.0.2/24 --host 10.9.0.1/24 --service echo,http
  $ ping 10.9.0.2
  $ curl http://10.9.0.2/

Ask a running host (as the user who started it):
  $ sudo tapstack ss -i
  $ sudo tapstack dump -v

DEBUG=tapstack:* prints what goes on inside. Exit status: 0 done, 1 failed, 2 asked wrongly.`,
    );

  registerUp(program);
  registerList(program);
  registerPing(program);
  registerTraceroute(program);
  registerArp(program);
  registerRoute(program);
  registerSs(program);
  registerStats(program);
  registerDump(program);
  registerIpcalc(program);
  registerServices(program);
  registerSim(program);
  registerScript(program);
  registerUser(program);
  registerBuildAddon(program);
  inheritSettings(program);
  return program;
}

/** Commands made by themselves and added have commander's own way to fail: give all of them ours. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed its line. Help and version that were asked for are no errors.
    return error.exitCode === 0 ? 0 : MISUSED;
  }
  debug('%O', error);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`tapstack: ${oneLine(message)}\n`);
  return error instanceof CommandError ? error.exitCode : FAILED;
}

// A reader that closes the pipe (`tapstack dump | head`) ends the command as SIGPIPE does elsewhere, only in order.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.stderr.write(`tapstack: cannot write: ${error.message}\n`);
  process.kill(process.pid, 'SIGTERM');
});

try {
  await createProgram().parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
