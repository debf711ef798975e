// The host under test: a stack on a link that goes nowhere, under virtual time.
//
// What the stack sends lands in `sent`, in order, with the time it was sent at. Time moves only by `runUntil`.

import type { Link } from '../../link/link.ts';
import { OFFLOAD_ALL } from '../../link/link.ts';
import type { FrameBatch } from '../../mem/frame-batch.ts';
import { VNET_LENGTH } from '../../mem/frame-batch.ts';
import type { Nic } from '../../net/nic.ts';
import { Stack } from '../../stack.ts';
import { STATE_NAMES } from '../../tcp/states.ts';
import { Address } from '../../wire/address.ts';
import type { World } from '../../world.ts';
import { SeededEntropy } from '../seeded-entropy.ts';
import type { Ends, LivePacket } from './live.ts';
import { dissect } from './live.ts';
import type { Profile } from './profile.ts';

class ScriptLink implements Link {
  readonly mtu: number;
  readonly offload = OFFLOAD_ALL;
  readonly arp = false;
  readonly #world: World;
  readonly #inbox: Uint8Array[] = [];
  readonly sent: LivePacket[] = [];

  constructor(mtu: number, world: World) {
    this.mtu = mtu;
    this.#world = world;
  }

  deliver(frame: Uint8Array): void {
    this.#inbox.push(frame);
  }

  receive(rx: FrameBatch): number {
    rx.clear();
    while (this.#inbox.length > 0 && rx.push(this.#inbox[0])) this.#inbox.shift();
    return rx.count;
  }

  send(tx: FrameBatch): number {
    for (let i = 0; i < tx.count; i++) {
      const frame = new Uint8Array(VNET_LENGTH + tx.frameLength(i));
      tx.gather(i, frame, 0, true);
      const packet = dissect(frame, this.#world.now);
      if (packet !== null) this.sent.push(packet);
    }
    return tx.count;
  }
}

/** packetdrill's own defaults. */
const LOCAL_IP = '192.168.0.1';
const REMOTE_IP = '192.0.2.1';
/** The stack's clock when the script begins, µs: late enough that nothing is confused with "never". */
const START = 1_000_000_000;
const EPOCH = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
const MAX_ROUNDS = 10_000;

export class Host {
  readonly stack: Stack;
  readonly nic: Nic;
  readonly ends: Ends;
  readonly remote: Address;
  readonly #link: ScriptLink;
  readonly #world: World;

  constructor(profile: Profile, seed: number, local = LOCAL_IP, remote = REMOTE_IP) {
    const localAddress = Address.parse(local);
    const remoteAddress = Address.parse(remote);
    if (localAddress === null || remoteAddress === null || !localAddress.isV4 || !remoteAddress.isV4)
      throw new RangeError(`${local}, ${remote}: not two IPv4 addresses`);
    this.#world = { now: START, wallClock: () => EPOCH + this.#world.now, entropy: new SeededEntropy(seed) };
    this.stack = new Stack({ world: this.#world, memory: 256 * 1024 * 1024, tcp: profile.tcp });
    this.#link = new ScriptLink(profile.mtu, this.#world);
    this.nic = this.stack.addNic(this.#link, { name: 'tun0', mac: 0x020000000001 });
    this.nic.addAddress(localAddress.v4, 16, { acd: 'off' });
    this.stack.routes.add({
      destination: 0,
      prefix: 0,
      gateway: null,
      nic: this.nic,
      source: localAddress.v4,
      metric: 0,
      origin: 'static',
    });
    this.remote = remoteAddress;
    this.ends = { localIp: localAddress.v4, remoteIp: remoteAddress.v4 };
    this.settle();
    this.sent.length = 0; // what a host says when it comes up is not the script's business
  }

  /** What the stack has sent and the script has not looked at. */
  get sent(): LivePacket[] {
    return this.#link.sent;
  }

  /** µs since the script began. */
  get now(): number {
    return this.#world.now - START;
  }

  /** The same scale for a packet's time. */
  timeOf(packet: LivePacket): number {
    return packet.at - START;
  }

  /** When the stack next has something to do by itself, on the script's scale; Infinity for never. */
  get nextDeadline(): number {
    return this.stack.nextDeadline() - START;
  }

  inject(frame: Uint8Array): void {
    this.#link.deliver(frame);
  }

  /** Let everything happen that is due now. */
  settle(): void {
    const { stack } = this;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const received = stack.receive(this.nic);
      stack.advance();
      stack.flush();
      const heard = !stack.events.isEmpty;
      stack.events.drain();
      stack.flush();
      if (received === 0 && !heard && stack.nextDeadline() > this.#world.now) return;
    }
    throw new Error(`the stack does not come to rest at ${this.now} µs`);
  }

  /**
   * Let time pass up to `time`, and everything happen that is due before it. `isOver` may end it earlier, after any event.
   */
  runUntil(time: number, isOver: () => boolean = () => false): void {
    while (!isOver()) {
      const next = this.nextDeadline;
      if (next >= time) {
        this.#world.now = Math.max(this.#world.now, START + time);
        return;
      }
      this.#world.now = Math.max(this.#world.now, START + Math.ceil(next));
      this.settle();
    }
  }

  /** Every TCP endpoint as one line, states spelled as the dialect's tools do. */
  sockets(profile: Profile): string[] {
    const name = (state: number): string => {
      const text = STATE_NAMES[state];
      if (profile.dialect === 'freebsd') return BSD_STATES[text] ?? text.replaceAll('-', '_');
      return LINUX_STATES[text] ?? text;
    };
    return this.stack.tcp
      .endpoints()
      .map((e) => `root packetdrill 1 3 tcp4 ${e.local}:${e.localPort} ${e.remote}:${e.remotePort} ${name(e.state)}`);
  }
}

const BSD_STATES: Record<string, string> = { 'SYN-RECEIVED': 'SYN_RCVD' };
const LINUX_STATES: Record<string, string> = { ESTABLISHED: 'ESTAB', 'SYN-RECEIVED': 'SYN-RECV' };
