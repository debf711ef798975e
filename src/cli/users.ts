// `tapstack user`: the accounts of the POP3 service.

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { AccountError, checkName, FileAccounts, removeAccount, saveAccount } from '../service/accounts.ts';
import { createDemoMaildir } from '../service/pop3/demo.ts';
import { makeMaildir } from '../service/pop3/maildrop.ts';

const MISUSED = 2;
const MAX_PASSWORD = 1024;

interface UserOptions {
  users: string;
  passwordStdin?: boolean;
  maildir?: string;
  apop?: boolean;
  demo?: boolean;
  json?: boolean;
}

const usersOption = (): Option => new Option('-u, --users <file>', 'the file of accounts').makeOptionMandatory();

export function register(program: Command): void {
  const user = program
    .command('user')
    .description('Accounts of the POP3 service: add, change, remove, list.')
    .addHelpText(
      'after',
      `
Passwords are kept as scrypt hashes in a file that only its owner may read. A running server sees changes at once.

  $ tapstack user add alice --users users --maildir mail/alice
  $ printf '%s\\n' "$PASSWORD" | tapstack user add bob --users users --password-stdin
  $ sudo tapstack up … --service pop3 --users users --maildir mail

Without --maildir a user's mail is in the directory given to "up --maildir", below the user's name.`,
    );

  withPassword(user.command('add <name>').description('add an account; asks for its password')).action(
    (name: string, options: UserOptions, command: Command) => save(command, name, options, false),
  );
  withPassword(user.command('passwd <name>').description('change the password of an account')).action(
    (name: string, options: UserOptions, command: Command) => save(command, name, options, true),
  );
  user
    .command('remove <name>')
    .description('remove an account; its mail stays')
    .addOption(usersOption())
    .action(async (name: string, options: UserOptions, command: Command) => {
      await guard(command, () => removeAccount(options.users, name));
      process.stdout.write(`removed ${name} from ${options.users}\n`);
    });
  user
    .command('list')
    .description('list the accounts')
    .addOption(usersOption())
    .option('--json', 'as JSON')
    .action(async (options: UserOptions, command: Command) => {
      const accounts = await guard(command, async () => (await FileAccounts.open(options.users)).list());
      if (options.json) {
        process.stdout.write(`${JSON.stringify(accounts)}\n`);
        return;
      }
      for (const { name, maildir, apop } of accounts) {
        process.stdout.write(`${name}\t${maildir ?? '(below --maildir)'}${apop ? '\tAPOP' : ''}\n`);
      }
    });
}

function withPassword(command: Command): Command {
  return command
    .addOption(usersOption())
    .option('--password-stdin', 'read the password from the first line of standard input')
    .option('-m, --maildir <dir>', "the user's Maildir; made if it is absent")
    .option('--demo', 'put a few demo messages in a new Maildir (needs --maildir)')
    .option('--apop', 'allow APOP; its protocol needs the password itself, which is then kept readable in FILE.apop');
}

async function save(command: Command, name: string, options: UserOptions, replace: boolean): Promise<void> {
  const { users, maildir, apop, demo } = options;
  if (demo && maildir === undefined) command.error('error: --demo needs --maildir', { exitCode: MISUSED });
  await guard(command, async () => void checkName(name));
  const password = options.passwordStdin ? await firstLine(process.stdin) : await ask(command, name);
  await guard(command, () => saveAccount(users, { name, password, maildir, apop }, replace));
  if (maildir !== undefined) await (demo ? createDemoMaildir(maildir) : makeMaildir(maildir));
  process.stdout.write(`${replace ? 'changed' : 'added'} ${name} in ${users}\n`);
}

/** Misuse ends with one line and status 2; what the file system refuses is the caller's to report. */
async function guard<T>(command: Command, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof AccountError) return command.error(`error: ${error.message}`, { exitCode: MISUSED });
    throw error;
  }
}

async function firstLine(input: Readable): Promise<string> {
  let text = '';
  input.setEncoding('utf8');
  for await (const chunk of input as AsyncIterable<string>) {
    text += chunk;
    if (text.includes('\n') || text.length > MAX_PASSWORD) break;
  }
  return text.split(/\r?\n/, 1)[0] as string;
}

async function ask(command: Command, name: string): Promise<string> {
  if (!process.stdin.isTTY) {
    command.error('error: there is no terminal to ask for the password on: use --password-stdin', {
      exitCode: MISUSED,
    });
  }
  const password = await readHidden(`Password for ${name}: `);
  if ((await readHidden('Once more: ')) !== password) {
    command.error('error: the two passwords differ', { exitCode: MISUSED });
  }
  return password;
}

/** A line from the terminal that it does not show. */
function readHidden(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const lines = createInterface({ input: process.stdin, terminal: true }); // no output: no echo
  return new Promise((resolve, reject) => {
    let answered = false;
    lines.once('line', (line) => {
      answered = true;
      lines.close();
      resolve(line);
    });
    lines.once('SIGINT', () => lines.close());
    lines.once('close', () => {
      process.stderr.write('\n');
      if (!answered) reject(new Error('no password was given'));
    });
  });
}
