// `tapstack user`: the accounts of the POP3 service.

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { AccountError, checkName, FileAccounts, removeAccount, saveAccount } from '../service/accounts.ts';
import { createDemoMaildir } from '../service/pop3/demo.ts';
import { makeMaildir } from '../service/pop3/maildrop.ts';
import { CommandError, misuse } from './usage.ts';

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
    (name: string, options: UserOptions) => save(name, options, false),
  );
  withPassword(user.command('passwd <name>').description('change the password of an account')).action(
    (name: string, options: UserOptions) => save(name, options, true),
  );
  user
    .command('remove <name>')
    .description('remove an account; its mail stays')
    .addOption(usersOption())
    .action(async (name: string, options: UserOptions) => {
      await guard(() => removeAccount(options.users, name));
      process.stdout.write(`removed ${name} from ${options.users}\n`);
    });
  user
    .command('list')
    .description('list the accounts')
    .addOption(usersOption())
    .option('--json', 'as JSON')
    .action(async (options: UserOptions) => {
      const accounts = await guard(async () => (await FileAccounts.open(options.users)).list());
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

async function save(name: string, options: UserOptions, replace: boolean): Promise<void> {
  const { users, maildir, apop, demo } = options;
  if (demo && maildir === undefined) throw misuse('user: --demo needs --maildir');
  await guard(async () => void checkName(name));
  const password = options.passwordStdin ? await firstLine(process.stdin) : await ask(name);
  await guard(() => saveAccount(users, { name, password, maildir, apop }, replace));
  if (maildir !== undefined) await (demo ? createDemoMaildir(maildir) : makeMaildir(maildir));
  process.stdout.write(`${replace ? 'changed' : 'added'} ${name} in ${users}\n`);
}

/** Misuse ends with one line and status 2; what the file system refuses is the caller's to report. */
async function guard<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof AccountError) throw misuse(`user: ${error.message}`);
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

async function ask(name: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw misuse('user: there is no terminal to ask for the password on: use --password-stdin');
  }
  const password = await readHidden(`Password for ${name}: `);
  if ((await readHidden('Once more: ')) !== password) {
    throw misuse('user: the two passwords differ');
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
      if (!answered) reject(new CommandError('user: no password was given'));
    });
  });
}
