// The host we run on, asked without running any program: its interfaces, IPv4 addresses and routes, and the state of its clock.

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
