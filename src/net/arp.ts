// Address resolution — RFC 826, RFC 1122 §2.3.2, RFC 5227.
//
// Invariant: we answer for, and speak as, only those addresses of the NIC the request came in on that are ours beyond doubt.

import type { Ipv4, Mac } from '../wire/address.ts';
import { isMulticastV4, LIMITED_BROADCAST, MAC_BROADCAST } from '../wire/address.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import { INCOMPLETE, PROBE } from './neighbor.ts';
import type { Nic } from './nic.ts';

export class Arp {
  readonly #nic: Nic;

  constructor(nic: Nic) {
    this.#nic = nic;
  }

  /** Packet reception of RFC 826, with its conditions in its order. `off` is the ARP packet, `end` the end of the frame. */
  input(dv: DataView, off: number, end: number): void {
    const nic = this.#nic;
    const { stats } = nic.stack;
    if (!nic.hasArp || arp.check(dv, off, end) === 0) {
      stats.dropMalformedArp++;
      return;
    }
    const op = arp.op(dv, off);
    const senderMac = arp.senderMac(dv, off);
    const senderIp = arp.senderIp(dv, off);
    const targetIp = arp.targetIp(dv, off);
    if (ethernet.isGroup(senderMac) || senderMac === 0 || isMulticastV4(senderIp) || senderIp === LIMITED_BROADCAST) {
      stats.dropMalformedArp++; // RFC 1812 §3.3.2: nobody's address is a broadcast
      return;
    }
    if (op === arp.REQUEST) stats.arpInRequests++;
    else if (op === arp.REPLY) stats.arpInReplies++;
    else {
      stats.dropMalformedArp++;
      return;
    }
    if (senderMac === nic.mac) return; // our own, come back

    if (nic.checkConflict(senderIp, targetIp, senderMac, op === arp.REQUEST)) return;

    let merged = false;
    const known = senderIp === 0 ? null : nic.neighbors.find(senderIp);
    if (known !== null) {
      const asked = op === arp.REPLY && nic.owns(targetIp) && (known.state === INCOMPLETE || known.state === PROBE);
      known.learn(senderMac, asked);
      merged = true;
    }
    if (!nic.owns(targetIp) || targetIp === senderIp) return;
    // A probe has no sender address (RFC 5227 §1.1), and an off-link sender is nobody we would ever ask for.
    if (!merged && senderIp !== 0 && nic.isOnLink(senderIp)) nic.neighbors.learn(senderIp, senderMac);
    if (op === arp.REQUEST) {
      stats.arpOutReplies++;
      this.#send(arp.REPLY, senderMac, nic.mac, targetIp, senderMac, senderIp);
    }
  }

  /** Ask who has `address`: everybody, or just `mac`. */
  request(address: Ipv4, mac: Mac | null): void {
    const nic = this.#nic;
    this.#request(mac ?? MAC_BROADCAST, nic.sourceFor(address) ?? 0, address);
  }

  /** RFC 5227 §1.1: ask for an address without claiming it. */
  probe(address: Ipv4): void {
    this.#request(MAC_BROADCAST, 0, address);
  }

  /** RFC 5227 §2.3: claim an address; everybody who had another MAC for it updates (RFC 826). */
  announce(address: Ipv4): void {
    this.#request(MAC_BROADCAST, address, address);
  }

  #request(destination: Mac, senderIp: Ipv4, targetIp: Ipv4): void {
    this.#nic.stack.stats.arpOutRequests++;
    this.#send(arp.REQUEST, destination, this.#nic.mac, senderIp, 0, targetIp);
  }

  #send(op: number, destination: Mac, senderMac: Mac, senderIp: Ipv4, targetMac: Mac, targetIp: Ipv4): void {
    const { tx } = this.#nic;
    const off = tx.raw(destination, ethernet.TYPE_ARP, arp.LENGTH);
    arp.set(tx.dv, off, op, senderMac, senderIp, targetMac, targetIp);
  }
}
