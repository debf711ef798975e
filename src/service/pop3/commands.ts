// The commands of POP3 by state — RFC 1939 §4 and §5, and what the extensions add. What a command does is in the session; what
// arguments it takes is here.

import type { Message } from './maildrop.ts';
import type { Session } from './session.ts';

/** `args` is what follows the keyword, `raw` its octets. */
export type Handler = (session: Session, args: string, raw: Buffer) => Promise<void> | void;

const capa: Handler = (session) => session.list('capabilities follow', session.capabilities());
const quit: Handler = (session) => session.quit();
const lang: Handler = (session, args) => session.lang(args);

export const AUTHORIZATION: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['CAPA', capa],
  ['QUIT', quit],
  ['USER', (session, args) => session.user(args)],
  ['PASS', (session, _args, raw) => session.pass(raw)], // all of the line: a password may hold spaces (RFC 1939 §7)
  ['APOP', (session, args) => session.apop(args)],
  ['AUTH', (session, args) => session.auth(args)],
  ['STLS', (session) => session.stls()],
  ['UTF8', (session) => session.utf8()],
  ['LANG', lang],
]);

export const TRANSACTION: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['CAPA', capa],
  ['QUIT', quit],
  ['LANG', lang],
  ['NOOP', (session) => session.ok('')],
  ['STAT', (session) => session.ok(`${session.maildrop.count} ${session.maildrop.octets}`)],
  ['LIST', (session, args) => scan(session, args, (message) => `${message.octets}`)],
  ['UIDL', (session, args) => scan(session, args, (message) => message.uid)],
  [
    'RETR',
    async (session, args) => {
      const message = session.message(args);
      if (message !== null) await session.send(message, Number.POSITIVE_INFINITY);
    },
  ],
  [
    'TOP',
    async (session, args) => {
      const [number, lines = ''] = args.split(' ');
      if (!/^\d{1,9}$/.test(lines)) return session.error('', 'TOP message lines');
      const message = session.message(number);
      if (message !== null) await session.send(message, Number(lines));
    },
  ],
  [
    'DELE',
    (session, args) => {
      const message = session.message(args);
      if (message === null) return;
      session.maildrop.delete(message);
      session.ok(`message ${args} deleted`);
    },
  ],
  [
    'RSET',
    (session) => {
      session.maildrop.reset();
      session.ok(`maildrop has ${session.maildrop.count} messages (${session.maildrop.octets} octets)`);
    },
  ],
]);

/** LIST and UIDL: one line for one message, or all of them. */
async function scan(session: Session, args: string, of: (message: Message) => string): Promise<void> {
  if (args !== '') {
    const message = session.message(args);
    if (message !== null) session.ok(`${args} ${of(message)}`);
    return;
  }
  const { messages, count, octets } = session.maildrop;
  await session.list(`${count} messages (${octets} octets)`, lines());
  function* lines(): Iterable<string> {
    for (const [index, message] of messages.entries()) {
      if (!message.deleted) yield `${index + 1} ${of(message)}`;
    }
  }
}
