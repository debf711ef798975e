// `tapstack ipcalc`: the tables of an address and its mask, in decimal and binary, in the layout of Debian's ipcalc.

import type { Command } from 'commander';
import { formatIpv4, type Ipv4, maskOf } from '../wire/address.ts';
import {
  type AddressClass,
  blocksOfRange,
  broadcastOf,
  type Cidr,
  classOf,
  classPrefix,
  formatCidr,
  hostMaxOf,
  hostMinOf,
  hostsOf,
  lastOf,
  networkOf,
  parseAddress,
  parseCidr,
  parsePrefix,
  specialUse,
  split,
} from '../wire/cidr.ts';
import { misuse } from './usage.ts';

/** What is assumed without a mask; Debian's ipcalc assumes the same. */
const DEFAULT_PREFIX = 24;
/** Subnets listed in full; the rest are counted. */
const MAX_SUBNETS = 1000;

export interface Calculation {
  readonly address: string;
  readonly prefix: number;
  readonly netmask: string;
  readonly wildcard: string;
  readonly network: string;
  readonly hostMin: string;
  readonly hostMax: string;
  /** Null for /31 and /32, which have none (RFC 3021). */
  readonly broadcast: string | null;
  readonly hosts: number;
  readonly class: AddressClass;
  /** Prefix length the class implied before CIDR; null for D and E. */
  readonly classPrefix: number | null;
  /** What the network is set aside for, or null. */
  readonly note: string | null;
  readonly binary: {
    readonly address: string;
    readonly netmask: string;
    readonly wildcard: string;
    readonly network: string;
    readonly hostMin: string;
    readonly hostMax: string;
    readonly broadcast: string | null;
  };
}

/** 32 bits in four octets, a space where the network part ends. */
export function binary(value: Ipv4, prefix: number): string {
  let text = '';
  for (let bit = 0; bit < 32; bit++) {
    if (bit > 0 && bit % 8 === 0) text += '.';
    if (bit > 0 && bit === prefix) text += ' ';
    text += (value >>> (31 - bit)) & 1;
  }
  return text;
}

export function calculate(cidr: Cidr): Calculation {
  const { address, prefix } = cidr;
  const mask = maskOf(prefix);
  const values = {
    address,
    netmask: mask,
    wildcard: ~mask,
    network: networkOf(cidr),
    hostMin: hostMinOf(cidr),
    hostMax: hostMaxOf(cidr),
  };
  const broadcast = broadcastOf(cidr);
  const name = classOf(address);
  const inBinary = (value: Ipv4): string => binary(value, prefix);
  return {
    address: formatIpv4(address),
    prefix,
    netmask: formatIpv4(mask),
    wildcard: formatIpv4(~mask),
    network: `${formatIpv4(values.network)}/${prefix}`,
    hostMin: formatIpv4(values.hostMin),
    hostMax: formatIpv4(values.hostMax),
    broadcast: broadcast === null ? null : formatIpv4(broadcast),
    hosts: hostsOf(cidr),
    class: name,
    classPrefix: classPrefix(name),
    note: specialUse(cidr),
    binary: {
      address: inBinary(address),
      netmask: inBinary(mask),
      wildcard: inBinary(values.wildcard),
      network: inBinary(values.network),
      hostMin: inBinary(values.hostMin),
      hostMax: inBinary(values.hostMax),
      broadcast: broadcast === null ? null : inBinary(broadcast),
    },
  };
}

const row = (name: string, decimal: string, bits: string): string =>
  `${`${name}:`.padEnd(10)} ${decimal.padEnd(20)} ${bits}`.trimEnd();

function maskLines({ netmask, prefix, wildcard, binary }: Calculation): string[] {
  return [row('Netmask', `${netmask} = ${prefix}`, binary.netmask), row('Wildcard', wildcard, binary.wildcard)];
}

function networkLines(of: Calculation): string[] {
  const lines: string[] = [];
  if (of.prefix === 32) {
    lines.push(row('Hostroute', of.address, of.binary.network));
  } else {
    lines.push(row('Network', of.network, of.binary.network));
    lines.push(row('HostMin', of.hostMin, of.binary.hostMin));
    lines.push(row('HostMax', of.hostMax, of.binary.hostMax));
    if (of.broadcast !== null) lines.push(row('Broadcast', of.broadcast, of.binary.broadcast ?? ''));
  }
  const notes = [`Class ${of.class}`];
  if (of.note !== null) notes.push(of.note);
  if (of.prefix === 31) notes.push('point-to-point link, RFC 3021');
  lines.push(row('Hosts/Net', String(of.hosts), ` ${notes.join(', ')}`));
  return lines;
}

export function formatCalculation(of: Calculation): string {
  return [row('Address', of.address, of.binary.address), ...maskLines(of), '=>', ...networkLines(of)].join('\n');
}

interface Options {
  readonly json?: boolean;
  readonly split?: string[];
}

export function register(program: Command): void {
  program
    .command('ipcalc')
    .description('compute network, hosts and broadcast of an address and mask, in decimal and binary')
    .argument('<address...>', 'ADDRESS[/MASK], ADDRESS MASK, NETWORK NEW-MASK, or FIRST - LAST')
    .option('-s, --split <hosts...>', 'divide the network into subnets for these numbers of hosts')
    .option('--json', 'print JSON for scripts')
    .addHelpText(
      'after',
      `
A mask may be written 24, 255.255.255.0, 0.0.0.255 (wildcard) or 0xffffff00; without one it is ${DEFAULT_PREFIX}.

Examples:
  $ tapstack ipcalc 192.168.0.10/24
  $ tapstack ipcalc 10.9.0.2 255.255.240.0
  $ tapstack ipcalc 192.168.0.0/24 26               its four subnets
  $ tapstack ipcalc 192.168.0.0/24 -s 50 20 10      subnets for so many hosts
  $ tapstack ipcalc 10.0.0.1 - 10.0.0.20            the blocks that make up a range`,
    )
    .action((words: string[], options: Options) => {
      process.stdout.write(`${run(words, options)}\n`);
    });
}

/** @throws CommandError when the words are no address, mask or range */
export function run(words: readonly string[], options: Options): string {
  const print = (value: object, text: () => string): string =>
    options.json === true ? JSON.stringify(value, null, 2) : text();
  const range = parseRange(words.join(' '));
  if (range !== null) {
    if (options.split !== undefined) throw misuse('ipcalc: --split wants one network, not a range');
    const blocks = range.map(formatCidr);
    return print(blocks, () => blocks.join('\n'));
  }
  const { cidr, subnetPrefix } = parseWords(words);
  const whole = calculate(cidr);
  if (options.split !== undefined) {
    if (subnetPrefix !== null) throw misuse('ipcalc: a new mask and --split exclude each other');
    return printSplit(cidr, whole, options.split, print);
  }
  if (subnetPrefix !== null && subnetPrefix !== cidr.prefix) return printSubnets(cidr, whole, subnetPrefix, print);
  return print(whole, () => formatCalculation(whole));
}

function parseRange(text: string): Cidr[] | null {
  const match = /^(\S+?)\s*-\s*(\S+)$/.exec(text);
  if (match === null) return null;
  const [first, last] = match.slice(1).map(parseAddress);
  if (first === null || last === null) throw misuse(`ipcalc: "${text}" is not a range such as 10.0.0.1 - 10.0.0.20`);
  if (first >>> 0 > last >>> 0) throw misuse(`ipcalc: the range ${text} ends before it begins`);
  return blocksOfRange(first, last);
}

function parseWords(words: readonly string[]): { cidr: Cidr; subnetPrefix: number | null } {
  const text = words.join(' ');
  const wrong = (what: string): never => {
    throw misuse(`ipcalc: ${what}: expected an address and a mask such as 192.168.0.10/24 or 10.9.0.2 255.255.255.0`);
  };
  // With a mask of its own, the first word is a network and what follows is the mask of its subnets.
  const masked = words[0].includes('/') ? 1 : Math.min(2, words.length);
  const first = words.slice(0, masked).join(' ');
  const cidr = parseCidr(first, DEFAULT_PREFIX) ?? wrong(`"${first}" is not understood`);
  if (words.length === masked) return { cidr, subnetPrefix: null };
  if (words.length > masked + 1) return wrong(`"${text}" is too much`);
  const subnetPrefix = parsePrefix(words[masked]) ?? wrong(`"${words[masked]}" is not a mask`);
  return { cidr, subnetPrefix };
}

type Print = (value: object, text: () => string) => string;

function printSubnets(cidr: Cidr, whole: Calculation, prefix: number, print: Print): string {
  const count = 2 ** Math.max(0, prefix - cidr.prefix);
  const listed = Math.min(count, MAX_SUBNETS);
  const size = 2 ** (32 - prefix);
  const start = (cidr.address & maskOf(Math.min(prefix, cidr.prefix))) >>> 0;
  const subnets: Calculation[] = [];
  for (let i = 0; i < listed; i++) subnets.push(calculate({ address: (start + i * size) | 0, prefix }));
  return print({ ...whole, subnetCount: count, subnets }, () => {
    const title = prefix > cidr.prefix ? 'Subnets' : 'Supernet';
    const blocks = subnets.map((subnet, i) => ` ${i + 1}.\n${networkLines(subnet).join('\n')}`);
    const more = count > listed ? [`… and ${count - listed} more`] : [];
    return [
      formatCalculation(whole),
      `\n${title} after transition from /${cidr.prefix} to /${prefix}\n`,
      maskLines(subnets[0]).join('\n'),
      ...blocks.map((block) => `\n${block}`),
      ...more,
      `\nSubnets:   ${count}\nHosts:     ${count * subnets[0].hosts}`,
    ].join('\n');
  });
}

function printSplit(cidr: Cidr, whole: Calculation, wanted: readonly string[], print: Print): string {
  const hosts = wanted.map((text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > 2 ** 32 - 2) {
      throw misuse(`ipcalc: --split wants numbers of hosts, not "${text}"`);
    }
    return value;
  });
  const result = split(cidr, hosts);
  if (result === null) {
    throw misuse(
      `ipcalc: ${formatIpv4(networkOf(cidr))}–${formatIpv4(lastOf(cidr))} has no room for subnets of ${hosts.join(', ')} hosts`,
    );
  }
  const subnets = result.subnets.map(calculate);
  const unused = result.unused.map(formatCidr);
  return print({ ...whole, subnets: subnets.map((subnet, i) => ({ requested: hosts[i], ...subnet })), unused }, () =>
    [
      formatCalculation(whole),
      ...subnets.map((subnet, i) =>
        [`\n${i + 1}. Requested size: ${hosts[i]} hosts`, maskLines(subnet)[0], ...networkLines(subnet)].join('\n'),
      ),
      `\nUnused:${unused.length === 0 ? ' nothing' : `\n${unused.join('\n')}`}`,
    ].join('\n'),
  );
}
