// The host we run on, asked without running any program: its interfaces, IPv4 addresses and routes, and the state of its clock.

import { formatIpv4, type Ipv4, maskOf } from '../wire/address.ts';
import { attempt, type ClockState, type HostAddress, type HostRoute, type InterfaceInfo, native } from './native.ts';

export type { ClockState, HostAddress, HostRoute, InterfaceInfo } from './native.ts';

/** The interface called `name` in this network namespace, or null. */
export const hostInterface = (name: string): InterfaceInfo | null =>
  attempt(`look up interface ${name}`, () => native().getInterface(name));

export const hostAddresses = (): HostAddress[] => attempt("list the host's addresses", () => native().addresses());

/** Routes of every table, those the addresses imply included. */
export const hostRoutes = (): HostRoute[] => attempt("list the host's routes", () => native().routes());

/** How well the host's clock is kept, from the kernel. */
export const clockState = (): ClockState => attempt('read the state of the clock', () => native().clockState());

/** Nanoseconds since 1970-01-01T00:00:00Z. */
export const realtime = (): bigint => native().realtime();

/**
 * What on the host already covers part of `network`/`prefix`: a sentence for the user, or null when the range is free. The
 * default route covers everything and does not count.
 */
export function overlappingRoute(network: Ipv4, prefix: number): string | null {
  const overlaps = (other: Ipv4, otherPrefix: number): boolean => {
    const mask = maskOf(Math.min(prefix, otherPrefix));
    return ((network ^ other) & mask) === 0;
  };
  for (const at of hostAddresses()) {
    if (overlaps(at.address, at.prefix)) return `${at.interface} has address ${formatIpv4(at.address)}/${at.prefix}`;
  }
  for (const route of hostRoutes()) {
    if (route.prefix === 0 || !overlaps(route.destination, route.prefix)) continue;
    const via = route.gateway === null ? '' : ` via ${formatIpv4(route.gateway)}`;
    return `there is a route ${formatIpv4(route.destination)}/${route.prefix}${via} on ${route.interface}`;
  }
  return null;
}
