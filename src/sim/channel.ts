// One direction of a cable.
//
//   send ─► boxes ─► MTU ─► bottleneck and its queue ─► loss, damage, doubling ─► delay, jitter, lateness ─► the port at the other end
//
// Invariant: every frame sent is counted once, and once more for what became of it: frames + duplicated = delivered + every kind of loss
// + those under way. Unless `reorder` says so, frames arrive in the order they were sent.

import { HEADER } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import type { DropReason, QueueOptions } from './bottleneck.ts';
import { Bottleneck } from './bottleneck.ts';
import { holdsIpv4, viewOf } from './ecn.ts';
import type { FaultOptions } from './faults.ts';
import { Faults } from './faults.ts';
import { fragmentationNeeded } from './icmp-reply.ts';
import type { Middlebox } from './middlebox.ts';
import type { Port } from './port.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

export interface ChannelOptions extends FaultOptions {
  /** ms, one way. */
  delay?: number;
  /** Added to the delay: anything from 0 to this, ms. Order is kept. */
  jitter?: number;
  /** Bits per second; without it the link takes no time to send. */
  rate?: number;
  /** What waits in front of a link with a rate; a number means bytes. */
  queue?: number | QueueOptions;
  /** Largest IP packet the cable carries, whatever its ends believe. */
  mtu?: number;
  /** What happens to larger packets: they vanish (the default, a black hole), or their sender is told (RFC 1191). */
  tooBig?: 'drop' | 'icmp';
}

export class ChannelCounters {
  frames = 0;
  delivered = 0;
  bytes = 0;
  lost = 0;
  duplicated = 0;
  reordered = 0;
  corrupted = 0;
  overflowed = 0;
  codelDropped = 0;
  marked = 0;
  tooBig = 0;
  /** ICMP errors handed back to the sender of what was too big. */
  told = 0;
  /** The cable was down. */
  cut = 0;
  /** A box on the way swallowed it. */
  filtered = 0;
}

const PROBABILITIES = ['loss', 'duplicate', 'reorder', 'corrupt'] as const;
const AMOUNTS = ['delay', 'jitter', 'reorderBy'] as const;

/** @throws RangeError that names the option */
export function checkChannel(options: ChannelOptions, at: string): void {
  const isWrong = (name: string, value: unknown, wants: string): never => {
    throw new RangeError(`${at}: ${name} is ${String(value)}, but must be ${wants}`);
  };
  for (const name of PROBABILITIES) {
    const value = options[name] ?? 0;
    if (!(value >= 0 && value <= 1)) isWrong(name, value, 'a probability from 0 to 1');
  }
  for (const name of AMOUNTS) {
    const value = options[name] ?? 0;
    if (!(value >= 0 && value < Infinity)) isWrong(name, value, 'milliseconds, 0 or more');
  }
  if (options.rate !== undefined && !(options.rate > 0)) isWrong('rate', options.rate, 'bits per second, more than 0');
  if (options.mtu !== undefined && !(options.mtu >= 68)) isWrong('mtu', options.mtu, 'at least 68 (RFC 791)');
}

export class Channel {
  readonly counters = new ChannelCounters();
  readonly to: Port;
  readonly from: Port;
  /** Boxes on the way, in order. */
  boxes: readonly Middlebox[] = [];
  readonly #outward: boolean;
  readonly #schedule: Schedule;
  readonly #random: Random;
  readonly #faults: Faults;
  #options: ChannelOptions;
  #bottleneck: Bottleneck | null;
  #isUp = true;
  /** Changes when the cable is cut: what was under way then does not arrive. */
  #cuts = 0;
  #lastDue = 0;
  #fate: string | null = null;

  constructor(schedule: Schedule, random: Random, from: Port, to: Port, options: ChannelOptions, outward: boolean) {
    this.#schedule = schedule;
    this.#random = random;
    this.from = from;
    this.to = to;
    this.#options = options;
    this.#outward = outward;
    this.#faults = new Faults(random, options);
    this.#bottleneck = this.#makeBottleneck();
  }

  get options(): Readonly<ChannelOptions> {
    return this.#options;
  }

  /** Change the weather from now on. A new rate or queue starts empty-handed: what waits in the old one still leaves at the old rate. */
  set(options: ChannelOptions): void {
    const requeue = 'rate' in options || 'queue' in options;
    this.#options = { ...this.#options, ...options };
    this.#faults.options = this.#options;
    if (requeue) this.#bottleneck = this.#makeBottleneck();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  set isUp(up: boolean) {
    if (up === this.#isUp) return;
    this.#isUp = up;
    if (up) return;
    this.#cuts++;
    this.counters.cut += this.#bottleneck?.clear() ?? 0;
  }

  /** Take `frame`, to do with as the options say. Returns what became of it when that is known at once and not good. */
  send(frame: Uint8Array): string | null {
    const { counters } = this;
    counters.frames++;
    counters.bytes += frame.length;
    this.#fate = null;
    if (!this.#isUp) {
      counters.cut++;
      return 'the cable is down';
    }
    let passed: Uint8Array | null = frame;
    for (const box of this.boxes) {
      passed = box.pass(passed, this.#outward, this.#schedule.now);
      if (passed === null) {
        counters.filtered++;
        return 'swallowed on the way';
      }
    }
    if (!this.#fits(passed)) return 'too big';
    if (this.#bottleneck === null) this.pass(passed);
    else this.#bottleneck.offer(passed);
    return this.#fate;
  }

  /** `frame` is through the bottleneck. */
  pass(frame: Uint8Array): void {
    const { counters } = this;
    if (!this.#isUp) {
      counters.cut++;
      return;
    }
    if (this.#faults.isLost(frame)) {
      counters.lost++;
      this.#fate = 'lost';
      return;
    }
    if (this.#faults.corrupt(frame)) {
      counters.corrupted++;
      this.#fate = 'corrupted';
    }
    this.#fly(frame);
    if (this.#faults.doubles()) {
      counters.duplicated++;
      this.#fly(frame.slice());
    }
  }

  drop(_frame: Uint8Array, reason: DropReason): void {
    if (reason === 'overflow') this.counters.overflowed++;
    else this.counters.codelDropped++;
    this.#fate = reason === 'overflow' ? 'queue full' : 'dropped by CoDel';
  }

  marked(): void {
    this.counters.marked++;
  }

  #fly(frame: Uint8Array): void {
    const { delay = 0, jitter = 0 } = this.#options;
    let due = this.#schedule.now + Math.round(delay * 1000);
    if (jitter > 0) due += this.#random.below(jitter * 1000 + 1);
    if (due < this.#lastDue) due = this.#lastDue;
    const late = this.#faults.lateness() * 1000;
    if (late > 0) this.counters.reordered++;
    else this.#lastDue = due;
    const cuts = this.#cuts;
    this.#schedule.add(due + late, () => {
      if (cuts !== this.#cuts) {
        this.counters.cut++;
        return;
      }
      this.counters.delivered++;
      this.to.deliver(frame);
    });
  }

  #fits(frame: Uint8Array): boolean {
    const { mtu, tooBig } = this.#options;
    if (mtu === undefined || frame.length <= HEADER + mtu) return true;
    const dv = viewOf(frame);
    if (!holdsIpv4(dv) || ipv4.totalLength(dv, HEADER) <= mtu) return true;
    this.counters.tooBig++;
    if (tooBig === 'icmp') {
      const reply = fragmentationNeeded(dv, frame, mtu);
      if (reply !== null) {
        this.counters.told++;
        this.#schedule.add(this.#schedule.now, () => this.from.deliver(reply));
      }
    }
    return false;
  }

  #makeBottleneck(): Bottleneck | null {
    const { rate, queue } = this.#options;
    if (rate === undefined) return null;
    return new Bottleneck(this.#schedule, this, rate, typeof queue === 'number' ? { bytes: queue } : (queue ?? {}));
  }
}
