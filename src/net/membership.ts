// Multicast groups a NIC listens to — RFC 1112 §7.1.
//
// Every host is in 224.0.0.1, for ever and without saying so (RFC 1112 §4).

import type { Ipv4 } from '../wire/address.ts';
import type { Nic } from './nic.ts';

export const ALL_HOSTS: Ipv4 = 0xe0000001 | 0;

export class Membership {
  readonly nic: Nic;
  /** How many sockets are in each group. */
  readonly #members = new Map<Ipv4, number>();

  constructor(nic: Nic) {
    this.nic = nic;
  }

  has(group: Ipv4): boolean {
    return group === ALL_HOSTS || this.#members.has(group);
  }

  join(group: Ipv4): void {
    this.#members.set(group, (this.#members.get(group) ?? 0) + 1);
  }

  leave(group: Ipv4): void {
    const members = this.#members.get(group) ?? 0;
    if (members <= 1) this.#members.delete(group);
    else this.#members.set(group, members - 1);
  }

  addressesChanged(): void {}

  close(): void {
    this.#members.clear();
  }
}
