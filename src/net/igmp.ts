// IGMP packets go to the NIC they came in on — RFC 3376, RFC 2236.

import type { Transport } from '../stack.ts';
import type { Packet } from './packet.ts';

export class Igmp implements Transport {
  input(packet: Packet): void {
    packet.nic.membership.input(packet);
  }

  /** Nobody reports problems with messages to groups (RFC 1122 §3.2.2), so whoever seems to is making it up. */
  icmpError(): void {}
}
