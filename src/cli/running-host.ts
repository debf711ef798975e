// A host that `up` keeps running: TAP, stack, services, recording and control socket, started in that order and ended in the reverse.
//
// Invariant: whatever was started is ended again, also when a later part cannot start.

import createDebug from 'debug';
import { socketPathFor } from '../control/directory.ts';
import { createHandlers } from '../control/handlers.ts';
import { ControlServer } from '../control/server.ts';
import type { StackView } from '../control/views.ts';
import { createStack } from '../node/node-stack.ts';
import type { Service } from '../service/api.ts';
import { isServiceName, startServices } from '../service/index.ts';
import { formatMac } from '../wire/address.ts';
import { PcapFile } from './pcap-file.ts';
import { setUpTap } from './tap-setup.ts';
import type { UpOptions } from './up.ts';
import { CommandError } from './usage.ts';
import { packageVersion } from './version.ts';

const debug = createDebug('tapstack:up');

/** How often to look whether npx is still there, ms. */
const PARENT_CHECK = 250;

/** A second signal this long after the first ends the process at once. */
const PATIENCE = 2_000;

/** Run the host that `options` describes; resolves when a signal has ended it, rejects when something else did. */
export async function runHost(options: UpOptions): Promise<void> {
  const closers: (() => void | Promise<void>)[] = [];
  const ended = untilStopped();
  try {
    await start(options, closers, ended.fail);
    await ended.promise;
  } finally {
    let failure: unknown;
    for (const close of closers.reverse()) {
      try {
        await close();
      } catch (error) {
        debug('%O', error);
        failure ??= error;
      }
    }
    ended.release();
    if (failure !== undefined) process.exitCode = 1;
  }
}

async function start(
  options: UpOptions,
  closers: (() => void | Promise<void>)[],
  fail: (error: Error) => void,
): Promise<void> {
  const { tap: name, address, host, gateway, mac, mtu } = options;
  const setup = setUpTap({ name, address, host, mtu });
  closers.push(() => setup.restore());
  closers.push(() => setup.tap.release());
  debug('%s %s', setup.borrowed ? 'using' : 'made', name);

  const stack = await createStack({ tap: setup.tap, address, gateway, mac });
  closers.push(() => stack.close());
  stack.on('error', fail);

  if (options.pcap !== undefined) {
    const file = await PcapFile.create(options.pcap, name, fail);
    const stop = stack.capture(file.write);
    closers.push(() => file.close());
    closers.push(stop);
  }

  let services: Service[] = [];
  const started = Date.now();
  const describe = (): StackView => {
    const nic = stack.nic;
    return {
      tap: name,
      pid: process.pid,
      version: packageVersion(),
      addresses: [address],
      gateway: gateway ?? null,
      mac: formatMac(nic.mac),
      mtu: nic.mtu,
      uptime: (Date.now() - started) / 1000,
      services: services.map((service) => service.name),
    };
  };
  const control = await ControlServer.listen(socketPathFor(name), createHandlers(stack, describe));
  closers.push(() => control.close());

  services = await startServices(options.service.filter(isServiceName), stack, {
    maildir: options.maildir,
    users: options.users,
    ntp: options.ntpStratum === undefined ? undefined : { stratum: options.ntpStratum },
  });
  closers.push(async () => {
    await Promise.all(services.map((service) => service.close()));
  });

  announce(options, describe(), services);
}

function announce(options: UpOptions, view: StackView, services: readonly Service[]): void {
  const served = services.flatMap(({ name, endpoints }) =>
    endpoints.map(({ protocol, port }) => `${name} ${port}/${protocol}`),
  );
  const serving = served.length === 0 ? '' : `, serving ${served.join(', ')}`;
  const lines = [`ready: ${options.address} on ${view.tap}, ${view.mac}${serving}`];
  for (const { notes } of services) for (const note of notes) lines.push(`  ${note}`);
  if (options.hints) lines.push(...hints(options), '');
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Commands to try against what is served. */
export function hints({ address, service, users }: Pick<UpOptions, 'address' | 'service' | 'users'>): string[] {
  const [host] = address.split('/');
  const account = users === undefined ? 'demo:demo' : 'USER:PASSWORD';
  const byService: Record<string, string[]> = {
    pop3: [`telnet ${host} 110`, `curl -u ${account} pop3://${host}/`, `curl -u ${account} pop3://${host}/1`],
    ntp: [`ntpdate -q ${host}`],
    echo: [`nc ${host} 7`],
    discard: [`nc ${host} 9 < FILE`],
    daytime: [`nc ${host} 13`],
    chargen: [`nc ${host} 19 | head`],
    http: [`curl http://${host}/`],
  };
  const commands = [`ping ${host}`, ...service.flatMap((name) => byService[name] ?? [])];
  return ['try, in another terminal:', ...commands.map((command) => `  ${command}`), 'Ctrl-C ends it.'];
}

interface Ending {
  /** Resolves at SIGINT or SIGTERM, rejects at `fail`. */
  promise: Promise<void>;
  fail(error: Error): void;
  /** Stop listening for signals. */
  release(): void;
}

function untilStopped(): Ending {
  let fail: (error: Error) => void = () => undefined;
  let stop: () => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    stop = resolve;
    fail = (error) => reject(new CommandError(error.message));
  });
  promise.catch(() => undefined); // it may fail before anybody waits for it
  let first = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    debug('%s', signal);
    if (first === 0) first = Date.now();
    else if (Date.now() - first > PATIENCE) process.exit(1);
    stop();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const watch = watchNpx(stop);
  return {
    promise,
    fail,
    release: () => {
      clearInterval(watch);
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

/** npx puts a shell between itself and us, which dies of a SIGTERM without passing it on: then nobody could end us any more. */
function watchNpx(stop: () => void): NodeJS.Timeout | undefined {
  if (process.env.npm_command !== 'exec') return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    debug('npx is gone');
    stop();
  }, PARENT_CHECK);
  return watch.unref();
}
