// `tapstack services`: from port to name and back, by the IANA list.

import type { Command } from 'commander';
import { IANA_SERVICES } from './iana-services.ts';
import { CommandError, misuse } from './usage.ts';

export interface Service {
  readonly port: number;
  readonly protocols: readonly string[];
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
}

const PROTOCOLS: Record<string, string> = { t: 'tcp', u: 'udp', s: 'sctp', d: 'dccp' };

let parsed: Service[] | null = null;

/** Every known service, by port. Parsed when first asked for. */
export function allServices(): readonly Service[] {
  parsed ??= IANA_SERVICES.trim().split('\n').map(parseLine);
  return parsed;
}

function parseLine(line: string): Service {
  const [fields, description = ''] = line.split('\t');
  const [port, protocols, name, ...aliases] = fields.split(' ');
  return {
    port: Number(port),
    protocols: [...protocols].map((letter) => PROTOCOLS[letter]),
    name,
    aliases,
    description,
  };
}

/** The name of a port, or null. */
export const serviceName = (port: number, protocol: string): string | null =>
  allServices().find((service) => service.port === port && service.protocols.includes(protocol))?.name ?? null;

const isCalled = (service: Service, name: string): boolean =>
  service.name.toLowerCase() === name || service.aliases.some((alias) => alias.toLowerCase() === name);

/** The port of a service called by name or alias, or null. */
export const portOf = (name: string): number | null =>
  allServices().find((service) => isCalled(service, name.toLowerCase()))?.port ?? null;

/**
 * What a query means: a port (`110`, `110/tcp`), a range (`20-25`), a name or alias (`pop3`, `www/udp`), or else any part of a name or
 * description.
 * @throws CommandError when it is none of these
 */
export function findServices(query: string): Service[] {
  const slash = query.lastIndexOf('/');
  const protocol = slash < 0 ? null : query.slice(slash + 1).toLowerCase();
  if (protocol !== null && !Object.values(PROTOCOLS).includes(protocol)) {
    throw misuse(`services: "${protocol}" is not a protocol: tcp, udp, sctp or dccp`);
  }
  const what = (slash < 0 ? query : query.slice(0, slash)).toLowerCase();
  if (what === '')
    throw misuse('services: a query is a port such as 110, a range such as 20-25, or a name such as pop3');
  const speaks = (service: Service): boolean => protocol === null || service.protocols.includes(protocol);
  const range = /^(\d+)(?:-(\d+))?$/.exec(what);
  if (range !== null) {
    const low = Number(range[1]);
    const high = Number(range[2] ?? range[1]);
    if (high > 65535 || low > high) throw misuse(`services: "${what}" is not a port or range from 0 to 65535`);
    return allServices().filter((service) => service.port >= low && service.port <= high && speaks(service));
  }
  const exact = allServices().filter((service) => isCalled(service, what) && speaks(service));
  if (exact.length > 0) return exact;
  const partly = (service: Service): boolean =>
    service.name.toLowerCase().includes(what) ||
    service.aliases.some((alias) => alias.toLowerCase().includes(what)) ||
    service.description.toLowerCase().includes(what);
  return allServices().filter((service) => partly(service) && speaks(service));
}

/** One line per service, in the columns of /etc/services. */
export function formatServices(services: readonly Service[]): string {
  return services
    .map(({ name, port, protocols, aliases, description }) =>
      [
        name.padEnd(16),
        `${port}/${protocols.join(',')}`.padEnd(18),
        aliases.join(' '),
        description === '' ? '' : `# ${description}`,
      ]
        .filter((column) => column !== '')
        .join(' ')
        .trimEnd(),
    )
    .join('\n');
}

export function register(program: Command): void {
  program
    .command('services')
    .description('look up ports and service names in the IANA list')
    .argument(
      '[query...]',
      'ports (110, 110/tcp), ranges (20-25), names (pop3), or part of a name; all services without',
    )
    .option('--json', 'print JSON for scripts')
    .addHelpText(
      'after',
      `
Examples:
  $ tapstack services 110            which service has this port
  $ tapstack services pop3 ntp       which ports these services have
  $ tapstack services 20-25/tcp      what is in a range
  $ tapstack services "mail"         everything that mentions mail`,
    )
    .action((queries: string[], options: { json?: boolean }) => {
      const found = queries.length === 0 ? [...allServices()] : queries.flatMap(findAtLeastOne);
      const text = options.json === true ? JSON.stringify(found, null, 2) : formatServices(found);
      process.stdout.write(`${text}\n`);
    });
}

function findAtLeastOne(query: string): Service[] {
  const found = findServices(query);
  if (found.length === 0) throw new CommandError(`services: no service for "${query}"`);
  return found;
}
