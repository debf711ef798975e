// The services by name, for `tapstack up --service …`, and the same for programs:
//
//   const services = await startServices(['pop3', 'ntp'], stack, { maildir: '/var/mail', users: '/etc/tapstack/users' });

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { type Accounts, FileAccounts, MemoryAccounts } from './accounts.ts';
import type { Endpoint, Service, StackLike } from './api.ts';
import { startHttp } from './http.ts';
import type { Listening } from './listen.ts';
import { DEFAULT_STRATUM } from './ntp/clock.ts';
import type { LimiterOptions } from './ntp/limiter.ts';
import { NTP_PORT, NtpServer } from './ntp/server.ts';
import { createDemoMaildir } from './pop3/demo.ts';
import { isMaildir, mailboxOf, POP3_PORT, Pop3Server } from './pop3/server.ts';
import { selfSigned } from './self-signed.ts';
import { chargen } from './small/chargen.ts';
import { daytime, time } from './small/daytime.ts';
import { discard } from './small/discard.ts';
import { echo } from './small/echo.ts';
import { type SmallService, startPair } from './small/pair.ts';

export const SERVICE_NAMES = ['pop3', 'ntp', 'echo', 'discard', 'daytime', 'time', 'chargen', 'http'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export interface ServiceOptions {
  /** The address to listen on; by default all of them. */
  host?: string | undefined;
  /** Ports other than the registered ones, by service. */
  ports?: Partial<Record<ServiceName, number>> | undefined;
  /**
   * pop3: the Maildir of the one account without a Maildir of its own, or a directory with one for each, named after them.
   * Who has none there gets a demo mailbox. Without it the demo account's is a temporary one.
   */
  maildir?: string | undefined;
  /** pop3: the accounts (see `tapstack user add`). Without it there is one: demo, password demo. */
  users?: string | undefined;
  /** pop3: key and certificate for STLS; by default a self-signed certificate is made. */
  tls?: SecureContextOptions | undefined;
  /** pop3: refuse passwords without TLS. */
  requireTls?: boolean | undefined;
  /** ntp: what to claim when the host's clock is not kept by anybody, or in any case. */
  ntp?: { stratum?: number; refid?: string; limit?: LimiterOptions } | undefined;
  /** How the stack calls itself in greetings and pages. */
  name?: string | undefined;
}

interface Definition {
  readonly port: number;
  readonly description: string;
  start(stack: StackLike, options: ServiceOptions): Promise<Service>;
}

export const DEMO_USER = 'demo';
export const DEMO_PASSWORD = 'demo';

const small = (service: SmallService, description: string): Definition => ({
  port: service.port,
  description,
  start: async (stack, options) => {
    const port = options.ports?.[service.name as ServiceName];
    return wrap(service.name, await startPair(stack, service, { host: options.host, port }));
  },
});

export const SERVICES: Readonly<Record<ServiceName, Definition>> = {
  pop3: { port: POP3_PORT, description: 'mailboxes (RFC 1939) in Maildirs, with STLS', start: startPop3 },
  ntp: { port: NTP_PORT, description: "the host's time (RFC 5905)", start: startNtp },
  echo: small(echo, 'sends back what it gets (RFC 862)'),
  discard: small(discard, 'throws away what it gets (RFC 863)'),
  daytime: small(daytime, 'the time as text (RFC 867)'),
  time: small(time, 'the time as 32 bits (RFC 868)'),
  chargen: small(chargen, 'endless characters (RFC 864)'),
  http: {
    port: 80,
    description: 'a status page, /bytes/N and /sink, for trying things out',
    start: async (stack, { host, ports, name }) =>
      wrap('http', [
        await startHttp({
          net: stack.net,
          host,
          port: ports?.http,
          title: name === undefined ? undefined : `tapstack ${name}`,
        }),
      ]),
  },
};

export const isServiceName = (name: string): name is ServiceName => Object.hasOwn(SERVICES, name);

export function startService(name: ServiceName, stack: StackLike, options: ServiceOptions = {}): Promise<Service> {
  return SERVICES[name].start(stack, options);
}

/** All of them, or none: when one cannot start, those that have are closed and its error is thrown. */
export async function startServices(
  names: Iterable<ServiceName>,
  stack: StackLike,
  options: ServiceOptions = {},
): Promise<Service[]> {
  const started: Service[] = [];
  try {
    for (const name of new Set(names)) started.push(await startService(name, stack, options));
  } catch (error) {
    await Promise.all(started.map((service) => service.close()));
    throw error;
  }
  return started;
}

function wrap(name: string, listening: Listening[]): Service {
  return {
    name,
    endpoints: listening.map(({ protocol, address, port }) => ({ protocol, address, port })),
    notes: [],
    close: async () => void (await Promise.all(listening.map((one) => one.close()))),
  };
}

/** What both servers with classes of their own have in common. */
interface Listener {
  listen(options: { port: number; host?: string }, callback: () => void): unknown;
  once(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

function listening(server: Listener, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(host === undefined ? { port } : { port, host }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

async function startPop3(stack: StackLike, options: ServiceOptions): Promise<Service> {
  const { name = hostname(), users } = options;
  const notes: string[] = [];
  let temporary: string | null = null;
  let accounts: Accounts;
  if (users === undefined) {
    accounts = await new MemoryAccounts().add(DEMO_USER, DEMO_PASSWORD);
    notes.push(`pop3: no users file, so there is one account: ${DEMO_USER}, password ${DEMO_PASSWORD}`);
    if (options.maildir === undefined) temporary = await mkdtemp(join(tmpdir(), 'tapstack-mail-'));
  } else {
    accounts = await FileAccounts.open(users);
  }
  const maildir = options.maildir ?? temporary ?? undefined;
  const tidy = async (): Promise<void> => {
    if (temporary !== null) await rm(temporary, { recursive: true, force: true });
  };
  try {
    const everybody = await accounts.list();
    const homeless = everybody.filter((account) => account.maildir === null);
    // A new directory becomes the Maildir of the only account that needs one, and a directory of Maildirs for several.
    if (maildir !== undefined && homeless.length === 1 && (await isEmpty(maildir))) await createDemoMaildir(maildir);
    for (const account of everybody) {
      const directory = await mailboxOf(account, accounts, maildir);
      // A Maildir that is there is left alone, even an empty one.
      if (!isMaildir(directory)) await createDemoMaildir(directory);
      notes.push(`pop3: ${account.name}'s mail is in ${directory}`);
    }
    if (options.tls === undefined) notes.push('pop3: STLS uses a self-signed certificate made for this run');
    const server = new Pop3Server({
      net: stack.net,
      accounts,
      maildir,
      tls: options.tls ?? selfSigned(name),
      requireTls: options.requireTls,
      banner: `${name} tapstack`,
      domain: name,
    });
    await listening(server, options.ports?.pop3 ?? POP3_PORT, options.host);
    server.on('error', () => undefined); // logged by the server
    return {
      name: 'pop3',
      endpoints: [endpoint('tcp', server.address())],
      notes,
      close: async () => {
        await new Promise<void>((resolve) => void server.close(() => resolve()));
        await tidy();
      },
    };
  } catch (error) {
    await tidy();
    throw error;
  }
}

/** Absent, or there with nothing in it. */
async function isEmpty(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

async function startNtp(stack: StackLike, options: ServiceOptions): Promise<Service> {
  const { stratum, refid, limit } = options.ntp ?? {};
  const notes: string[] = [];
  const server = new NtpServer({ dgram: stack.dgram, refid, limit, stratum, unsynchronisedStratum: DEFAULT_STRATUM });
  if (!server.hostSynchronised && stratum === undefined) {
    notes.push(`ntp: nobody keeps this host's clock; it is served as it is, at stratum ${DEFAULT_STRATUM}`);
  }
  await listening(server, options.ports?.ntp ?? NTP_PORT, options.host);
  server.on('error', () => undefined); // logged by the server
  return {
    name: 'ntp',
    endpoints: [endpoint('udp', server.address())],
    notes,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

function endpoint(protocol: 'tcp' | 'udp', at: { address: string; port: number } | string | null): Endpoint {
  if (at === null || typeof at === 'string') return { protocol, address: at ?? '', port: 0 };
  return { protocol, address: at.address, port: at.port };
}
