// What must not be on the host before `up` changes anything there: somebody else's interface, address or route in our way.

import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { HostAddress, HostRoute } from '../link/host.ts';
import { formatIpv4, type Ipv4, maskOf, parseIpv4 } from '../wire/address.ts';

export interface Prefix {
  address: Ipv4;
  length: number;
}

/** "10.9.0.2/24" as numbers; the text has been validated. */
export function parsePrefix(text: string): Prefix {
  const [address, length] = text.split('/');
  return { address: parseIpv4(address) ?? 0, length: Number(length) };
}

export const contains = (prefix: Prefix, address: Ipv4): boolean =>
  ((prefix.address ^ address) & maskOf(prefix.length)) === 0;

const overlaps = (a: Prefix, b: Prefix): boolean => {
  const mask = maskOf(Math.min(a.length, b.length));
  return ((a.address ^ b.address) & mask) === 0;
};

/** The bridge or bond that `name` is a port of: its addresses and routes are the interface's own. */
export function masterOf(name: string): string | null {
  try {
    return basename(readlinkSync(`/sys/class/net/${name}/master`));
  } catch {
    return null; // no such link: it has no master
  }
}

/**
 * The first address or route of the host, not on an interface of `own`, that covers part of `wanted`; null when it is free.
 * Default routes cover everything and are not in the way: a longer prefix beats them, as it should.
 */
export function conflict(
  wanted: readonly Prefix[],
  addresses: readonly HostAddress[],
  routes: readonly HostRoute[],
  own: ReadonlySet<string>,
): string | null {
  for (const network of wanted) {
    const name = `${formatIpv4(network.address & maskOf(network.length))}/${network.length}`;
    for (const { interface: on, address, prefix } of addresses) {
      if (!own.has(on) && overlaps(network, { address, length: prefix })) {
        return `${name} overlaps ${formatIpv4(address)}/${prefix}, the address of ${on}`;
      }
    }
    for (const { interface: on, destination, prefix, gateway } of routes) {
      if (prefix > 0 && !own.has(on) && overlaps(network, { address: destination, length: prefix })) {
        const via = gateway === null ? '' : ` via ${formatIpv4(gateway)}`;
        return `${name} overlaps the host's route to ${formatIpv4(destination)}/${prefix}${via}${on === '' ? '' : ` on ${on}`}`;
      }
    }
  }
  return null;
}
