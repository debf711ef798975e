// The POP3 server: a listener of any `net` shaped network, and what its sessions share.
//
//   const server = createPop3Server({ net: stack.net, accounts: await FileAccounts.open('users'), maildir: '/var/mail' });
//   server.listen({ port: 110 });

import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import debug from 'debug';
import { type Account, AccountError, type Accounts } from '../accounts.ts';
import type { NetApi, StreamServer, StreamSocket } from '../api.ts';
import { Throttle, type ThrottleOptions } from '../throttle.ts';
import { SizeCache } from './maildrop.ts';
import { Session, type SessionContext } from './session.ts';

const log = debug('tapstack:pop3');

export interface Pop3Options {
  net: NetApi;
  accounts: Accounts;
  /**
   * Where accounts without a Maildir of their own have their mail: in a Maildir of their name below this directory; or, if it
   * is a Maildir itself, in it, as long as there is only one such account.
   */
  maildir?: string | undefined;
  /** Key and certificate for STLS; without them STLS is not offered. */
  tls?: SecureContextOptions | undefined;
  /** Refuse passwords on a connection without TLS. */
  requireTls?: boolean | undefined;
  /** What the greeting says between "+OK POP3" and "server ready". */
  banner?: string | undefined;
  /** The domain in APOP challenges. */
  domain?: string | undefined;
  /** Milliseconds of silence after which a session is closed. At least ten minutes in operation (RFC 1939 §3). */
  autologout?: number | undefined;
  /** Seconds between two logins of one account (RFC 2449 §6.5); 0: any. */
  loginDelay?: number | undefined;
  throttle?: ThrottleOptions | undefined;
  maxConnections?: number | undefined;
  /** Of these, how many may come from one address. */
  maxConnectionsPerAddress?: number | undefined;
}

export const POP3_PORT = 110;
const AUTOLOGOUT = 10 * 60_000;
const MAX_CONNECTIONS = 1024;

/** Shaped like a `net.Server`: `listen`, `close`, `address`, 'listening', 'close', 'error'. */
export class Pop3Server extends EventEmitter {
  readonly #server: StreamServer;
  readonly #context: SessionContext;
  readonly #sessions = new Map<Session, Promise<void>>();
  readonly #perAddress = new Map<string, number>();
  readonly #limit: number;
  readonly #limitPerAddress: number;

  constructor(options: Pop3Options) {
    super();
    this.#limit = options.maxConnections ?? MAX_CONNECTIONS;
    this.#limitPerAddress = options.maxConnectionsPerAddress ?? Math.ceil(this.#limit / 2);
    this.#context = {
      accounts: options.accounts,
      throttle: new Throttle(options.throttle),
      sizes: new SizeCache(),
      secureContext: options.tls ? createSecureContext(options.tls) : null,
      requireTls: options.requireTls ?? false,
      banner: singleLine(options.banner ?? `${hostname()} tapstack`, 'banner'),
      domain: singleLine(options.domain ?? hostname(), 'domain'),
      autologout: options.autologout ?? AUTOLOGOUT,
      loginDelay: options.loginDelay ?? 0,
      lastLogins: new Map(),
      directory: (account) => mailboxOf(account, options.accounts, options.maildir),
      log,
    };
    if (this.#context.requireTls && this.#context.secureContext === null) {
      throw new TypeError('createPop3Server: requireTls needs tls: { key, cert }');
    }
    this.#server = options.net.createServer({ allowHalfOpen: false }, (socket) => this.#accept(socket));
    for (const event of ['listening', 'error', 'close']) {
      this.#server.on(event, (...args: unknown[]) => void this.emit(event, ...args));
    }
    this.#server.on('error', (error: Error) => log('listener: %s', error.message));
  }

  listen(options: { port?: number; host?: string; backlog?: number } = {}, callback?: () => void): this {
    this.#server.listen({ port: POP3_PORT, ...options }, callback);
    return this;
  }

  address(): AddressInfo | string | null {
    return this.#server.address();
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** Stop listening and end all sessions, none of which deletes anything. */
  close(callback?: (error?: Error) => void): this {
    this.#server.close((error) => {
      // The mailbox locks go with the sessions.
      void Promise.all(this.#sessions.values()).then(() => callback?.(error));
    });
    for (const session of this.#sessions.keys()) session.abort();
    return this;
  }

  #accept(socket: StreamSocket): void {
    const address = socket.remoteAddress ?? '?';
    socket.on('error', (error) => log('%s: %s', address, error.message));
    const here = this.#perAddress.get(address) ?? 0;
    if (this.#sessions.size >= this.#limit || here >= this.#limitPerAddress) {
      log('%s: refused, %d sessions, %d of them its own', address, this.#sessions.size, here);
      socket.end('-ERR [SYS/TEMP] too many connections, try again later\r\n');
      socket.resume();
      socket.setTimeout(1_000, () => socket.destroy());
      return;
    }
    this.#perAddress.set(address, here + 1);
    socket.setNoDelay(true); // one write per answer; they need not wait for each other's ACK
    const session = new Session(socket, this.#context);
    const over = session.run().finally(() => {
      this.#sessions.delete(session);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(address, left);
      else this.#perAddress.delete(address);
    });
    this.#sessions.set(session, over);
  }
}

export function createPop3Server(options: Pop3Options): Pop3Server {
  return new Pop3Server(options);
}

/** Is this directory a Maildir, rather than one that holds Maildirs? */
export const isMaildir = (directory: string): boolean =>
  existsSync(join(directory, 'cur')) || existsSync(join(directory, 'new'));

/**
 * Where the mail of an account is: in its own Maildir; else in `maildir` if that is a Maildir; else in the one of its name below.
 * @throws AccountError when there is no place for it, or when it would share one with another account.
 */
export async function mailboxOf(account: Account, accounts: Accounts, maildir: string | undefined): Promise<string> {
  if (account.maildir !== null) return account.maildir;
  if (maildir === undefined) {
    throw new AccountError(`user ${account.name} has no Maildir, and there is no directory of Maildirs to look in`);
  }
  const base = resolve(maildir);
  if (!isMaildir(base)) return join(base, account.name); // names are checked: no slash, no dot in front
  const sharing = (await accounts.list()).filter((other) => other.maildir === null).map((other) => other.name);
  if (sharing.length > 1) {
    throw new AccountError(`users ${sharing.join(', ')} would share the Maildir ${base}: give each one of its own`);
  }
  return base;
}

function singleLine(text: string, what: string): string {
  if (/[\r\n]/.test(text) || text.length > 400) throw new TypeError(`createPop3Server: ${what} must be one short line`);
  return text;
}
