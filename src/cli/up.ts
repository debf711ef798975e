// `tapstack up`: attach a stack to a TAP and run it until SIGINT or SIGTERM.

import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { formatIpv4, maskOf } from '../wire/address.ts';
import { contains, parsePrefix } from './host-check.ts';
import { misuse } from './usage.ts';
import { hostPrefix, integer, interfaceName, ipv4, listOf, unicastMac } from './values.ts';

export const SERVICES = ['pop3', 'ntp', 'echo', 'discard', 'daytime', 'time', 'chargen', 'http'] as const;

/** Linux limits a TAP to 65535 bytes of frame less the Ethernet header; RFC 791 §3.2 wants 68 bytes at least. */
const MIN_MTU = 68;
const MAX_MTU = 65521;

export interface UpOptions {
  tap: string;
  address: string;
  host?: string;
  gateway?: string;
  mac?: string;
  mtu?: number;
  service: string[];
  maildir?: string;
  users?: string;
  ntpStratum?: number;
  pcap?: string;
  hints?: boolean;
}

/** What the parsers of single values cannot see. */
export function checkTogether({ address, host, gateway, maildir, users, pcap }: UpOptions): void {
  const own = parsePrefix(address);
  const network = `${formatIpv4(own.address & maskOf(own.length))}/${own.length}`;
  if (host !== undefined) {
    const other = parsePrefix(host);
    if (other.address === own.address) {
      throw misuse(`up: --host and --address are the same address, ${formatIpv4(own.address)}: each end needs its own`);
    }
    if (!contains(own, other.address) || !contains(other, own.address)) {
      throw misuse(`up: --host ${host} and --address ${address} are not in the same network`);
    }
  }
  if (gateway !== undefined) {
    const hop = parsePrefix(`${gateway}/32`).address;
    if (hop === own.address) throw misuse(`up: --gateway ${gateway} is the stack's own address`);
    if (!contains(own, hop)) throw misuse(`up: --gateway ${gateway} is not in the stack's network ${network}`);
  }
  if (pcap !== undefined) {
    const directory = dirname(resolve(pcap));
    if (!existsSync(directory)) throw misuse(`up: --pcap ${pcap}: there is no directory ${directory}`);
    if (existsSync(pcap) && statSync(pcap).isDirectory()) throw misuse(`up: --pcap ${pcap} is a directory`);
  }
  if (users !== undefined) {
    if (!existsSync(users))
      throw misuse(`up: there is no users file ${users}: "tapstack user add NAME --users ${users}" makes one`);
    if (statSync(users).isDirectory()) throw misuse(`up: --users ${users} is a directory`);
  }
  if (maildir !== undefined && existsSync(maildir) && !statSync(maildir).isDirectory()) {
    throw misuse(`up: --maildir ${maildir} is not a directory`);
  }
}

export function register(program: Command): void {
  program
    .command('up')
    .description('attach a stack to a TAP interface and run it until Ctrl-C')
    .requiredOption('--tap <name>', 'TAP interface to make, or to use when it exists', interfaceName)
    .requiredOption('--address <address/prefix>', "the stack's own address, e.g. 10.9.0.2/24", hostPrefix)
    .option('--host <address/prefix>', "address for the host's end of the TAP, e.g. 10.9.0.1/24", hostPrefix)
    .option('--gateway <address>', 'next hop for everything beyond the network', ipv4)
    .option('--mac <mac>', "the stack's own hardware address; made up otherwise", unicastMac)
    .option('--mtu <bytes>', 'largest IP packet on this link', integer(MIN_MTU, MAX_MTU))
    .option('--service <names>', `what to serve: ${SERVICES.join(',')}`, listOf(SERVICES), [])
    .option('--maildir <dir>', 'Maildir that POP3 serves; a demo one is made there when it does not exist')
    .option(
      '--users <file>',
      'accounts of POP3, as "tapstack user add" writes them; without it there is one: demo, password demo',
    )
    .option('--ntp-stratum <n>', "stratum to claim, whatever the state of the host's clock", integer(1, 15))
    .option('--pcap <file>', 'record every frame as pcapng, for Wireshark')
    .option('--hints', 'print commands to try once it is ready')
    .addHelpText(
      'after',
      `
A line that starts with "ready" is printed once the stack answers. SIGINT or SIGTERM ends it; an interface it made goes with it, one
that was there before stays as it was. It refuses to use an interface that is no TAP, and a network the host has a route to already.

Examples:
  $ sudo tapstack up --tap tap0 --address 10.9.0.2/24 --host 10.9.0.1/24
  $ sudo tapstack up --tap tap0 --address 10.9.0.2/24 --host 10.9.0.1/24 --service http,echo --pcap frames.pcapng

On a TAP of your own, without root afterwards:
  $ sudo ip tuntap add dev tap0 mode tap user $USER && sudo ip addr add 10.9.0.1/24 dev tap0 && sudo ip link set tap0 up
  $ tapstack up --tap tap0 --address 10.9.0.2/24

A mailbox:
  $ tapstack user add alice --users users
  $ sudo tapstack up --tap tap0 --address 10.9.0.2/24 --host 10.9.0.1/24 --service pop3 --users users --maildir mail`,
    )
    .action(async (options: UpOptions) => {
      checkTogether(options);
      const { runHost } = await import('./running-host.ts');
      await runHost(options);
    });
}
