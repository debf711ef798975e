// One POP3 session — RFC 1939, with CAPA and response codes (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034), [AUTH] (RFC 3206), UTF8 and
// LANG (RFC 6856).
//
//   AUTHORIZATION ──USER+PASS, APOP, AUTH──▶ TRANSACTION ──QUIT──▶ UPDATE
//
// Commands are read one at a time and answered in order, so pipelining (RFC 2449 §6.6) needs nothing but not flushing too early.
//
// Invariant: messages are removed in `quit` alone. However else a session ends, the maildrop is as it was (RFC 1939 §6).

import { setTimeout as sleep } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import type { Debugger } from 'debug';
import type { Account, Accounts } from '../accounts.ts';
import type { StreamSocket } from '../api.ts';
import type { Throttle } from '../throttle.ts';
import { AUTHORIZATION, TRANSACTION } from './commands.ts';
import { LineReader } from './line-reader.ts';
import { MailboxInUse } from './lock.ts';
import { Maildrop, type Message, type SizeCache } from './maildrop.ts';
import { decodePlain } from './sasl.ts';
import { startTls } from './starttls.ts';
import { CHUNK, WireText } from './wire-text.ts';

/** What sessions of one server share. */
export interface SessionContext {
  readonly accounts: Accounts;
  readonly throttle: Throttle;
  readonly sizes: SizeCache;
  readonly secureContext: SecureContext | null;
  readonly requireTls: boolean;
  readonly banner: string;
  readonly domain: string;
  readonly autologout: number;
  readonly loginDelay: number;
  readonly lastLogins: Map<string, number>;
  /** Where the mail of an account is. */
  directory(account: Account): Promise<string>;
  readonly log: Debugger;
}

/** The connection is gone, or has to go: ends the session without another word. */
class Gone extends Error {}

// RFC 2449 §4 lets a command be 255 octets; SASL answers are longer (RFC 5034 §4).
const COMMAND_LIMIT = 1024;
const SASL_LIMIT = 12_288;
const OUTPUT_LIMIT = 16 * 1024;
const MAX_FAILED_LOGINS = 3;
const MAX_BAD_COMMANDS = 20;
const LINGER = 5_000;

export class Session {
  readonly #context: SessionContext;
  readonly #address: string;
  readonly #stop = new AbortController();
  #socket: StreamSocket;
  #reader: LineReader;
  #output: Buffer[] = [];
  #outputLength = 0;
  #timer: NodeJS.Timeout | undefined;

  #challenge = '';
  #user: string | null = null;
  #maildrop: Maildrop | null = null;
  #tls = false;
  #failedLogins = 0;
  #badCommands = 0;
  #over = false;

  constructor(socket: StreamSocket, context: SessionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#address = socket.remoteAddress ?? '?';
    this.#reader = new LineReader(socket);
    socket.once('close', () => this.#stop.abort());
  }

  /** Resolves when the session is over and its maildrop released. */
  async run(): Promise<void> {
    try {
      await this.#greet();
      while (!this.#over) {
        if (!this.#reader.hasLine()) await this.#flush();
        this.#arm();
        const line = await this.#reader.next(COMMAND_LIMIT);
        if (line === null) break;
        await this.#command(line);
      }
      await this.#flush();
      this.#hangUp();
    } catch (error) {
      if (!(error instanceof Gone)) this.#context.log('%s: %O', this.#address, error);
      this.#socket.destroy();
    } finally {
      clearTimeout(this.#timer);
      await this.#release();
    }
  }

  /** The connection is to go now; nothing is removed. */
  abort(): void {
    this.#socket.destroy();
  }

  /** Close our side; the peer has a while to close its own. */
  #hangUp(): void {
    const socket = this.#socket;
    this.#reader.detach();
    socket.setTimeout(LINGER, () => socket.destroy());
    socket.resume();
    socket.end();
  }

  async #greet(): Promise<void> {
    const { accounts, banner, domain } = this.#context;
    if (await accounts.hasApop()) {
      // RFC 1939 §7: a msg-id, different each time.
      this.#challenge = ` <${process.pid}.${process.hrtime.bigint()}.${crypto.randomUUID()}@${domain}>`;
    }
    this.#reply(`+OK POP3 ${banner} server ready${this.#challenge}`);
  }

  async #command(line: Buffer): Promise<void> {
    if (this.#reader.overlong) return this.#bad('line too long');
    const space = line.indexOf(0x20);
    const keyword = (space < 0 ? line : line.subarray(0, space)).toString('latin1').toUpperCase();
    const raw = space < 0 ? line.subarray(line.length) : line.subarray(space + 1);
    const args = raw.toString('utf8');
    const secret = keyword === 'PASS' || keyword === 'AUTH' || keyword === 'APOP';
    this.#context.log('%s: C: %s', this.#address, secret ? `${keyword} …` : printable(line));
    const transaction = this.#maildrop !== null;
    const handler = (transaction ? TRANSACTION : AUTHORIZATION).get(keyword);
    if (handler === undefined) {
      const elsewhere = (transaction ? AUTHORIZATION : TRANSACTION).has(keyword);
      if (!elsewhere) return this.#bad('unknown command');
      return this.#bad(transaction ? 'you are logged in already' : 'log in first');
    }
    try {
      await handler(this, args, raw);
    } catch (error) {
      if (error instanceof Gone) throw error;
      this.#context.log('%s: %s: %O', this.#address, keyword, error);
      this.error('SYS/TEMP', 'something went wrong here, try again later');
    }
  }

  /** A command that should not have been sent. A peer that sends little else is not speaking POP3. */
  #bad(why: string): void {
    this.error('', why);
    if (++this.#badCommands < MAX_BAD_COMMANDS) return;
    this.error('', 'too many bad commands, goodbye');
    this.#over = true;
  }

  // Output

  ok(text: string): void {
    this.#reply(`+OK${text === '' ? '' : ' '}${text}`);
  }

  /** RFC 2449 §8: the code, if any, comes first, in brackets. */
  error(code: string, text: string): void {
    this.#reply(`-ERR ${code === '' ? '' : `[${code}] `}${text}`);
  }

  async list(first: string, lines: Iterable<string>): Promise<void> {
    this.ok(first);
    for (const line of lines) {
      this.#reply(line.startsWith('.') ? `.${line}` : line);
      if (this.#outputLength > OUTPUT_LIMIT) await this.#flush();
    }
    this.#reply('.');
  }

  #reply(line: string): void {
    if (/^(\+OK|-ERR)/.test(line)) this.#context.log('%s: S: %s', this.#address, line);
    this.#queue(Buffer.from(`${line}\r\n`));
  }

  #queue(octets: Buffer): void {
    this.#output.push(octets);
    this.#outputLength += octets.length;
  }

  async #flush(): Promise<void> {
    if (this.#outputLength === 0) return;
    const octets = this.#output.length === 1 ? this.#output[0] : Buffer.concat(this.#output);
    this.#output = [];
    this.#outputLength = 0;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) throw new Gone();
    if (socket.write(octets)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        socket.removeListener('drain', settle);
        socket.removeListener('close', settle);
        if (socket.destroyed) reject(new Gone());
        else resolve();
      };
      socket.on('drain', settle);
      socket.on('close', settle);
    });
    this.#arm(); // a slow reader is not an idle one
  }

  /** RFC 1939 §3: an autologout closes the connection and sends nothing. */
  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#context.log('%s: autologout', this.#address);
      this.#socket.destroy();
    }, this.#context.autologout);
  }

  // AUTHORIZATION state

  get tls(): boolean {
    return this.#tls;
  }

  /** May a password cross this connection? */
  get mayLogIn(): boolean {
    return this.#tls || !this.#context.requireTls;
  }

  capabilities(): string[] {
    const { loginDelay, secureContext } = this.#context;
    const authorizing = this.#maildrop === null;
    return [
      'TOP',
      'UIDL',
      'RESP-CODES',
      'AUTH-RESP-CODE',
      'PIPELINING',
      'EXPIRE NEVER',
      ...(loginDelay > 0 ? [`LOGIN-DELAY ${loginDelay}`] : []),
      ...(this.mayLogIn ? ['USER', 'SASL PLAIN'] : []),
      ...(authorizing && secureContext !== null && !this.#tls ? ['STLS'] : []), // RFC 2595 §4
      'UTF8 USER',
      'LANG',
      'IMPLEMENTATION tapstack',
    ];
  }

  user(name: string): void {
    if (!this.mayLogIn) {
      this.error('', 'not without TLS: STLS first');
    } else if (name === '') {
      this.error('', 'USER name');
    } else {
      this.#user = name; // whether there is such a user is not told here (RFC 1939 §13)
      this.ok('User name accepted, password please');
    }
  }

  async pass(password: Uint8Array): Promise<void> {
    const user = this.#user;
    this.#user = null;
    // RFC 1939 §7: PASS comes right after a USER that was accepted.
    if (user === null) return this.error('', 'USER first');
    await this.#logIn(() => this.#context.accounts.verify(user, password));
  }

  async apop(args: string): Promise<void> {
    const match = /^(.+) ([0-9a-fA-F]{32})$/.exec(args);
    if (this.#challenge === '') return this.error('', 'APOP is not available: no challenge was given');
    if (!match) return this.error('', 'APOP name digest');
    const challenge = this.#challenge.trim();
    await this.#logIn(() => this.#context.accounts.verifyApop(match[1], challenge, match[2].toLowerCase()));
  }

  async auth(args: string): Promise<void> {
    const [mechanism, initial] = args.split(' ');
    if (mechanism === '') return this.list('mechanisms follow', this.mayLogIn ? ['PLAIN'] : []);
    if (mechanism.toUpperCase() !== 'PLAIN') return this.error('', 'only PLAIN is known here');
    if (!this.mayLogIn) return this.error('', 'not without TLS: STLS first');
    let response = initial;
    if (response === undefined) {
      this.#reply('+ '); // RFC 5034 §4: an empty challenge
      await this.#flush();
      const line = await this.#reader.next(SASL_LIMIT);
      if (line === null) throw new Gone();
      if (this.#reader.overlong) return this.#bad('response too long');
      response = line.toString('latin1');
      if (response === '*') return this.error('', 'cancelled'); // RFC 5034 §4
    }
    const plain = decodePlain(response);
    if (plain === null) return this.error('', 'that is not the base64 of authzid NUL name NUL password');
    // RFC 4616 §2: acting for somebody else is not on offer.
    if (plain.authorization !== '' && plain.authorization !== plain.name) {
      return this.error('AUTH', 'you may be nobody but yourself');
    }
    await this.#logIn(() => this.#context.accounts.verify(plain.name, plain.password));
  }

  async #logIn(verify: () => Promise<Account | null>): Promise<void> {
    const { throttle, log, loginDelay, lastLogins } = this.#context;
    for (let wait = throttle.enter(this.#address); wait > 0; wait = throttle.enter(this.#address))
      await this.#wait(wait);
    const account = await verify();
    if (account === null) {
      const wait = throttle.failed(this.#address);
      log('%s: login failed, answering in %d ms', this.#address, wait);
      await this.#wait(wait);
      this.error('AUTH', 'wrong user name or password'); // RFC 3206 §4
      if (++this.#failedLogins >= MAX_FAILED_LOGINS) this.#over = true;
      return;
    }
    // RFC 2449 §8.1.1, only once it is certain who asks.
    const since = (Date.now() - (lastLogins.get(account.name) ?? 0)) / 1000;
    if (since < loginDelay) {
      return this.error('LOGIN-DELAY', `log in again in ${Math.ceil(loginDelay - since)} seconds`);
    }
    let maildrop: Maildrop;
    try {
      maildrop = await Maildrop.open(await this.#context.directory(account), this.#context.sizes);
    } catch (error) {
      if (!(error instanceof MailboxInUse)) throw error;
      return this.error('IN-USE', 'mailbox is open in another session'); // RFC 2449 §8.1.2
    }
    this.#maildrop = maildrop;
    if (this.#stop.signal.aborted) throw new Gone(); // it hung up meanwhile: run() releases
    if (loginDelay > 0) lastLogins.set(account.name, Date.now());
    log('%s: %s logged in', this.#address, account.name);
    this.ok(`Mailbox open, ${maildrop.count} messages`);
  }

  async #wait(milliseconds: number): Promise<void> {
    await this.#flush();
    await sleep(milliseconds, undefined, { signal: this.#stop.signal }).catch(() => {
      throw new Gone();
    });
  }

  async stls(): Promise<void> {
    const { secureContext } = this.#context;
    if (this.#tls) return this.error('', 'TLS is on already'); // RFC 2595 §4
    if (secureContext === null) return this.error('', 'no certificate here');
    this.ok('begin TLS negotiation');
    await this.#flush();
    // What came in the clear behind STLS could be anybody's: it must not be taken for commands under TLS (CVE-2011-0411).
    this.#reader.detach();
    this.#socket = await startTls(this.#socket, secureContext).catch((error: unknown) => {
      this.#context.log('%s: TLS: %s', this.#address, error instanceof Error ? error.message : error);
      throw new Gone();
    });
    this.#reader = new LineReader(this.#socket);
    this.#tls = true;
    this.#user = null; // RFC 2595 §4: what was learned before is discarded
  }

  utf8(): void {
    // RFC 6856 §2. Messages are sent as stored either way: that this server downgrades none outside UTF8 mode deviates from §2.1,
    // because hiding or rewriting mail that has worked with every client for decades would be worse.
    this.ok('UTF8 enabled');
  }

  async lang(args: string): Promise<void> {
    if (args === '') return this.list('languages follow', ['en English', 'i-default Default language']);
    if (args === '*') return this.ok('i-default the default language');
    if (/^(en|i-default)$/i.test(args)) return this.ok(`${args.toLowerCase()} it is`);
    this.error('', 'no such language here');
  }

  // TRANSACTION state

  get maildrop(): Maildrop {
    if (this.#maildrop === null) throw new Error('no maildrop outside the TRANSACTION state');
    return this.#maildrop;
  }

  /** The message an argument means, or null after an error has been sent. */
  message(args: string): Message | null {
    if (!/^[1-9]\d{0,8}$/.test(args)) {
      this.error('', 'a message number, please');
      return null;
    }
    const message = this.maildrop.get(Number(args));
    if (message === null) this.error('', 'no such message');
    return message;
  }

  /** RETR and TOP: the message, or its header and `lines` lines, in pieces of which few are in memory at a time. */
  async send(message: Message, lines: number): Promise<void> {
    const whole = lines === Number.POSITIVE_INFINITY;
    const file = await this.maildrop.read(message);
    if (file === null) return this.error('SYS/TEMP', 'another program has removed that message');
    try {
      this.ok(whole ? `${message.octets} octets` : 'top of message follows');
      const text = new WireText(lines);
      const chunk = Buffer.allocUnsafe(CHUNK);
      for (let position = 0; !text.done; ) {
        const { bytesRead } = await file.read(chunk, 0, CHUNK, position);
        if (bytesRead === 0) break;
        position += bytesRead;
        const piece = Buffer.allocUnsafe(2 * bytesRead);
        this.#queue(piece.subarray(0, text.push(chunk, bytesRead, piece)));
        await this.#flush();
      }
      if (!text.done) {
        const end = Buffer.allocUnsafe(2);
        this.#queue(end.subarray(0, text.finish(end)));
      }
      if (whole && text.octets !== message.octets) {
        this.#context.log('%s: %s has changed: %d octets', this.#address, message.file, text.octets);
      }
      if (whole) message.retrieved = true;
      this.#reply('.');
    } catch (error) {
      // The client has been promised a message: it must not mistake what follows for one.
      this.#context.log('%s: %s: %O', this.#address, message.file, error);
      throw new Gone();
    } finally {
      await file.close();
    }
  }

  async quit(): Promise<void> {
    this.#over = true;
    if (this.#maildrop === null) return this.ok('Sayonara');
    const failed = await this.#maildrop.update((file, error) => this.#context.log('%s: %O', file, error));
    // Released before the answer: who has read it may log in again at once.
    await this.#release();
    if (failed > 0) return this.error('SYS/TEMP', `${failed} deleted messages could not be removed`); // RFC 1939 §6
    this.ok('Sayonara');
  }

  async #release(): Promise<void> {
    const maildrop = this.#maildrop;
    this.#maildrop = null;
    await maildrop?.close().catch((error: unknown) => this.#context.log('%s: unlock: %O', this.#address, error));
  }
}

/** Nothing from the wire reaches a terminal unescaped. */
function printable(line: Buffer): string {
  return JSON.stringify(line.toString('latin1').slice(0, 80));
}
