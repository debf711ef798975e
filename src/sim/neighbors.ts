// A router's neighbours: their MACs as ARP tells them, and what waits for an answer — RFC 826, RFC 1122 §2.3.2.

import type { Ipv4, Mac } from '../wire/address.ts';
import { setMac } from '../wire/ethernet.ts';
import { SECOND } from '../world.ts';
import { viewOf } from './ecn.ts';
import type { Schedule } from './schedule.ts';

const TRIES = 3;
const RETRY = SECOND; // RFC 1122 §2.3.2.1: at most one request per second
const LIFETIME = 60 * SECOND;
const MAX_WAITING = 64;

interface Neighbor {
  /** -1 until an answer comes. */
  mac: Mac;
  learnedAt: number;
  tries: number;
  waiting: Uint8Array[];
}

export class Neighbors {
  readonly #table = new Map<Ipv4, Neighbor>();
  readonly #schedule: Schedule;
  readonly #ask: (target: Ipv4) => void;
  readonly #send: (frame: Uint8Array) => void;
  readonly #failed: (frame: Uint8Array) => void;

  /** @param failed is told of a frame whose next hop does not answer */
  constructor(
    schedule: Schedule,
    ask: (target: Ipv4) => void,
    send: (frame: Uint8Array) => void,
    failed: (frame: Uint8Array) => void,
  ) {
    this.#schedule = schedule;
    this.#ask = ask;
    this.#send = send;
    this.#failed = failed;
  }

  /** Send `frame` to the neighbour `to`, as soon as its MAC is known. */
  send(frame: Uint8Array, to: Ipv4): void {
    let neighbor = this.#table.get(to);
    if (neighbor !== undefined && neighbor.mac >= 0) {
      if (this.#schedule.now - neighbor.learnedAt < LIFETIME) {
        this.#dispatch(frame, neighbor.mac);
        return;
      }
      this.#table.delete(to);
      neighbor = undefined;
    }
    if (neighbor === undefined) {
      neighbor = { mac: -1, learnedAt: 0, tries: 0, waiting: [] };
      this.#table.set(to, neighbor);
      this.#try(to, neighbor);
    }
    neighbor.waiting.push(frame);
    if (neighbor.waiting.length > MAX_WAITING) neighbor.waiting.shift();
  }

  /** `address` is at `mac`. Nothing is made of it unless it is `wanted` or known. */
  learn(address: Ipv4, mac: Mac, wanted: boolean): void {
    let neighbor = this.#table.get(address);
    if (neighbor === undefined) {
      if (!wanted) return;
      neighbor = { mac, learnedAt: 0, tries: 0, waiting: [] };
      this.#table.set(address, neighbor);
    }
    neighbor.mac = mac;
    neighbor.learnedAt = this.#schedule.now;
    for (const frame of neighbor.waiting.splice(0)) this.#dispatch(frame, mac);
  }

  #try(to: Ipv4, neighbor: Neighbor): void {
    neighbor.tries++;
    this.#ask(to);
    this.#schedule.add(this.#schedule.now + RETRY, () => {
      if (neighbor.mac >= 0) return;
      if (neighbor.tries < TRIES) {
        this.#try(to, neighbor);
        return;
      }
      this.#table.delete(to);
      for (const frame of neighbor.waiting) this.#failed(frame);
    });
  }

  #dispatch(frame: Uint8Array, mac: Mac): void {
    setMac(viewOf(frame), 0, mac);
    this.#send(frame);
  }
}
