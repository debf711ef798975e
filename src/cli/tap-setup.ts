// The TAP `up` runs on: made, or borrowed when it exists, and in either case given back as it was found.

import { hostAddresses, hostInterface, hostRoutes } from '../link/host.ts';
import { isSystemError, native } from '../link/native.ts';
import { Tap } from '../link/tap.ts';
import { formatIpv4 } from '../wire/address.ts';
import { conflict, masterOf, parsePrefix } from './host-check.ts';
import { CommandError } from './usage.ts';

export interface TapRequest {
  name: string;
  /** Address and prefix of the stack. */
  address: string;
  /** Address and prefix for the host's end. */
  host?: string;
  mtu?: number;
}

export interface TapSetup {
  tap: Tap;
  /** True when the interface was there before us. */
  borrowed: boolean;
  /** Undo what was changed on a borrowed interface. The Tap has been released by then; one we made has vanished with it. */
  restore(): void;
}

function open(name: string, exists: boolean): Tap {
  try {
    return Tap.open({ name, exclusive: !exists });
  } catch (error) {
    if (exists && isSystemError(error) && error.code === 'EINVAL') return openMultiQueue(name);
    throw error;
  }
}

/** The kernel wants IFF_MULTI_QUEUE said again for an interface that was made with it, and EINVAL is all it says. */
function openMultiQueue(name: string): Tap {
  try {
    return Tap.open({ name, exclusive: false, multiQueue: true });
  } catch (error) {
    if (isSystemError(error) && error.code === 'EINVAL') {
      throw new CommandError(`interface ${name} exists and is not a TAP: choose another name for --tap`);
    }
    throw error;
  }
}

/**
 * Refuse what would step on something of the host's, then open and configure the TAP.
 * @throws Error in one line when that cannot be; nothing is left changed
 */
export function setUpTap(request: TapRequest): TapSetup {
  const { name } = request;
  const existing = hostInterface(name);
  const own = new Set<string>();
  if (existing !== null) {
    own.add(name);
    const master = masterOf(name);
    if (master !== null) own.add(master);
  }
  const wanted = [parsePrefix(request.address)];
  if (request.host !== undefined) wanted.push(parsePrefix(request.host));
  const addresses = hostAddresses();
  const inTheWay = conflict(wanted, addresses, hostRoutes(), own);
  if (inTheWay !== null) throw new CommandError(`${inTheWay}: choose another network for --address`);
  const held = addresses.find((entry) => own.has(entry.interface) && entry.address === wanted[0].address);
  if (held !== undefined) {
    throw new CommandError(
      `${formatIpv4(held.address)} is the host's own address on ${held.interface}: the stack needs one of its own`,
    );
  }

  const tap = open(name, existing !== null);
  const undo: (() => void)[] = [];
  const restore = (): void => {
    if (hostInterface(name) === null) return;
    for (const step of undo.reverse()) step();
    undo.length = 0;
  };
  try {
    if (request.mtu !== undefined && request.mtu !== tap.mtu) {
      const before = tap.mtu;
      tap.mtu = request.mtu;
      if (existing !== null) undo.push(() => native().setMtu(name, before));
    }
    if (request.host !== undefined) {
      const present = addresses
        .filter((entry) => own.has(entry.interface))
        .map((entry) => `${formatIpv4(entry.address)}/${entry.prefix}`);
      if (present.length > 0 && !present.includes(request.host)) {
        throw new CommandError(
          `${name} has the address ${present[0]} already: leave out --host, or remove that address`,
        );
      }
      if (present.length === 0) {
        tap.ipv4 = request.host;
        if (existing !== null) undo.push(() => native().setAddress(name, 0, -1));
      }
    }
    if (!tap.isUp) {
      tap.isUp = true;
      if (existing !== null) undo.push(() => native().setUp(name, false));
    }
  } catch (error) {
    tap.release();
    restore();
    throw error;
  }
  return { tap, borrowed: existing !== null, restore };
}
