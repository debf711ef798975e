// A cable between two ports: two channels, and the hand that pulls it out and puts it back.

import type { ChannelOptions } from './channel.ts';
import { Channel, checkChannel } from './channel.ts';
import type { Middlebox } from './middlebox.ts';
import type { Port } from './port.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

export interface Outage {
  /** When the cable goes down, ms from now. */
  at: number;
  /** For how long, ms. */
  for: number;
}

export interface LinkOptions extends ChannelOptions {
  /** What is different on the way from the first node to the second, and back. */
  outward?: ChannelOptions;
  homeward?: ChannelOptions;
  /** Boxes on the way, in order from the first node to the second. */
  through?: readonly Middlebox[];
  /** When the cable is down. */
  outages?: readonly Outage[];
}

export class Cable {
  readonly name: string;
  readonly outward: Channel;
  readonly homeward: Channel;
  readonly #schedule: Schedule;
  /** How many reasons there are for the cable to be down. */
  #downs = 0;

  /** @throws RangeError when an option is out of range */
  constructor(schedule: Schedule, random: Random, a: Port, b: Port, options: LinkOptions) {
    this.name = `${a.name}–${b.name}`;
    this.#schedule = schedule;
    const { outward, homeward, through = [], outages = [], ...both } = options;
    checkChannel(both, `link ${this.name}`);
    checkChannel(outward ?? {}, `link ${this.name}, outward`);
    checkChannel(homeward ?? {}, `link ${this.name}, homeward`);
    this.outward = new Channel(schedule, random.fork('outward'), a, b, { ...both, ...outward }, true);
    this.homeward = new Channel(schedule, random.fork('homeward'), b, a, { ...both, ...homeward }, false);
    this.outward.boxes = through;
    this.homeward.boxes = [...through].reverse();
    a.channel = this.outward;
    b.channel = this.homeward;
    for (const outage of outages) this.interrupt(outage);
  }

  /** Change both directions from now on. */
  set(options: ChannelOptions): void {
    checkChannel(options, `link ${this.name}`);
    this.outward.set(options);
    this.homeward.set(options);
  }

  get isUp(): boolean {
    return this.#downs === 0;
  }

  /** Pull the cable: what is under way is gone. Every `down` needs its `up`. */
  down(): void {
    this.#downs++;
    this.#update();
  }

  up(): void {
    if (this.#downs > 0) this.#downs--;
    this.#update();
  }

  /** Down `at` ms from now, and up again after `for` ms more. */
  interrupt(outage: Outage): void {
    const start = this.#schedule.now + outage.at * 1000;
    this.#schedule.add(start, () => this.down());
    this.#schedule.add(start + outage.for * 1000, () => this.up());
  }

  #update(): void {
    this.outward.isUp = this.isUp;
    this.homeward.isUp = this.isUp;
  }
}
