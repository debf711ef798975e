// Two stacks on one cable under a virtual clock: a week of network in the time it takes to compute it.
//
//   const { a, b, net } = twoStacks();
//   … commands on a.stack, b.stack …
//   net.run(5 * SECOND);          // jumps from event to event; stops early when nothing is left to happen with runUntilIdle()

import type { Link } from '../../src/link/link.ts';
import type { PipeOptions } from '../../src/link/pipe.ts';
import { pipe } from '../../src/link/pipe.ts';
import type { Memory } from '../../src/mem/memory.ts';
import type { AddressOptions } from '../../src/net/conflict.ts';
import type { Nic, NicOptions } from '../../src/net/nic.ts';
import { SeededEntropy } from '../../src/sim/seeded-entropy.ts';
import type { StackOptions } from '../../src/stack.ts';
import { Stack } from '../../src/stack.ts';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import type { World } from '../../src/world.ts';

export { SeededEntropy };

/** A clock that moves only when told, shared by all worlds of a test. */
export class VirtualClock {
  now: number;
  /** 2026-01-01T00:00:00Z, µs. */
  readonly epoch = 1_767_225_600_000_000;

  constructor(start = 1_000_000) {
    this.now = start;
  }

  world(seed: number): World {
    return {
      now: this.now,
      wallClock: () => this.epoch + this.now,
      entropy: new SeededEntropy(seed),
    };
  }
}

/** A link that holds frames back for a while, and knows when it will have some: `nextDeadline()`. */
export interface TimedLink extends Link {
  nextDeadline?(): number;
}

/** Stacks that run on one clock. */
export class Network {
  readonly clock = new VirtualClock();
  readonly stacks: Stack[] = [];

  addStack(seed: number, options: Partial<StackOptions> = {}): Stack {
    const stack = new Stack({ memory: 256 * 1024 * 1024, ...options, world: options.world ?? this.clock.world(seed) });
    this.stacks.push(stack);
    return stack;
  }

  /** Let everything happen that is due now: frames, timers, owners' callbacks. Returns false when nothing was. */
  settle(maxRounds = 10_000): boolean {
    let any = false;
    for (let round = 0; ; round++) {
      if (round === maxRounds) throw new Error(`the network does not come to rest at ${this.clock.now} µs`);
      let busy = false;
      for (const stack of this.stacks) {
        stack.world.now = this.clock.now;
        for (const nic of stack.nics) {
          if (nic.isLoopback) continue;
          for (let n = 0; n < 64; n++) {
            if (stack.receive(nic) === 0) break;
            busy = true;
          }
        }
        if (stack.nextDeadline() <= this.clock.now) busy = true;
        stack.advance();
        stack.flush();
        if (!stack.events.isEmpty) busy = true;
        stack.events.drain();
        stack.flush();
      }
      if (!busy) return any;
      any = true;
    }
  }

  /** When something happens next, µs. */
  nextDeadline(): number {
    let next = Infinity;
    for (const stack of this.stacks) {
      next = Math.min(next, stack.nextDeadline());
      for (const nic of stack.nics) next = Math.min(next, (nic.link as TimedLink).nextDeadline?.() ?? Infinity);
    }
    return next;
  }

  /** Advance the clock by `micros`, jumping from event to event. `until` may end the run earlier. */
  run(micros: number, until: () => boolean = () => false): void {
    const end = this.clock.now + micros;
    this.settle();
    while (!until()) {
      const next = Math.max(this.nextDeadline(), this.clock.now + 1);
      if (next > end) {
        this.clock.now = end;
        this.settle();
        return;
      }
      this.clock.now = next;
      this.settle();
    }
  }

  close(): void {
    for (const stack of this.stacks) stack.close();
  }
}

export interface Host {
  readonly stack: Stack;
  readonly nic: Nic;
  readonly address: Address;
}

export interface TwoStacksOptions extends PipeOptions {
  seed?: number;
  stack?: Partial<StackOptions>;
  nic?: NicOptions;
  acd?: AddressOptions['acd'];
  /** Put something between a stack and its end of the cable, e.g. loss and delay. */
  wrap?: (link: Link, side: 'a' | 'b', clock: VirtualClock, memory: Memory) => Link;
}

/** `a` is 10.9.0.1/24, `b` is 10.9.0.2/24, and neither has said a word yet. */
export function twoStacks(options: TwoStacksOptions = {}): { a: Host; b: Host; net: Network } {
  const net = new Network();
  const ends = pipe(options);
  const host = (i: 0 | 1): Host => {
    const stack = net.addStack((options.seed ?? 1) * 2 + i, options.stack);
    const link = options.wrap?.(ends[i], i === 0 ? 'a' : 'b', net.clock, stack.memory) ?? ends[i];
    const nic = stack.addNic(link, { mac: 0x020000000001 + i, ...options.nic });
    const text = `10.9.0.${i + 1}`;
    nic.addAddress(parseIpv4(text) as number, 24, { acd: options.acd ?? 'off' });
    return { stack, nic, address: Address.parse(text) as Address };
  };
  return { a: host(0), b: host(1), net };
}
