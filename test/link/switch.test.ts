import { afterEach, describe, expect, test } from 'vitest';
import type { Link } from '../../src/link/link.ts';
import { lower } from '../../src/link/lower.ts';
import { pipe } from '../../src/link/pipe.ts';
import { Switch, type SwitchOptions } from '../../src/link/switch.ts';
import * as probe from '../../src/link/switch-probe.ts';
import { FrameBatch } from '../../src/mem/frame-batch.ts';
import { Memory } from '../../src/mem/memory.ts';
import type { TcpConnection } from '../../src/tcp/connection.ts';
import type { TcpListener } from '../../src/tcp/listener.ts';
import type { Mac } from '../../src/wire/address.ts';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import { SECOND } from '../../src/world.ts';
import { Network, SeededEntropy } from '../support/two-stacks.ts';

const memory = new Memory();
const tx = new FrameBatch(memory, 1 << 17, 64);
const rx = new FrameBatch(memory, 1 << 20, 512);
const BROADCAST = 0xffff_ffff_ffff;

const frame = (dst: Mac, src: Mac, mark = 0, length = 60): Uint8Array => {
  const bytes = new Uint8Array(length).fill(mark, 14);
  ethernet.set(new DataView(bytes.buffer), 0, dst, src, 0x0800);
  return bytes;
};

/** A host at a port of the switch: it sends frames and tells what has come, probes aside. */
class Station {
  readonly link: Link;
  probes = 0;

  constructor(link: Link) {
    this.link = link;
  }

  send(...frames: Uint8Array[]): void {
    tx.clear();
    for (const bytes of frames) tx.push(bytes);
    expect(this.link.send(tx)).toBe(frames.length);
  }

  /** The marks of frames received. */
  heard(): number[] {
    const marks: number[] = [];
    for (;;) {
      this.link.receive(rx);
      if (rx.count === 0) return marks;
      for (let i = 0; i < rx.count; i++) {
        const bytes = new Uint8Array(rx.frameLength(i));
        rx.gather(i, bytes, 0);
        if (probe.check(new DataView(bytes.buffer), 0, bytes.length)) this.probes++;
        else marks.push(bytes[14]);
      }
    }
  }
}

const switches: Switch[] = [];
afterEach(() => {
  for (const one of switches.splice(0)) one.close();
});

function setUp(
  options: SwitchOptions = {},
  seed = 1,
): { lan: Switch; clock: { time: number; now(): number }; deferred: (() => void)[] } {
  const clock = {
    time: SECOND,
    now(): number {
      return this.time;
    },
  };
  const deferred: (() => void)[] = [];
  const lan = new Switch({ clock, entropy: new SeededEntropy(seed), defer: (call) => deferred.push(call) }, options);
  switches.push(lan);
  return { lan, clock, deferred };
}

const A: Mac = 0x02000000000a;
const B: Mac = 0x02000000000b;

describe('learning (IEEE 802.1D §7.7, §7.8)', () => {
  test('a frame to an unknown address goes to all other ports, to a known one to its port alone, and never back', () => {
    const { lan } = setUp();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Station(lan.plug({ name })));
    a.send(frame(B, A, 1));
    expect([a.heard(), b.heard(), c.heard()]).toEqual([[], [1], [1]]);
    b.send(frame(A, B, 2));
    expect([a.heard(), b.heard(), c.heard()]).toEqual([[2], [], []]);
    a.send(frame(B, A, 3), frame(BROADCAST, A, 4), frame(A, A, 5), frame(0x01005e000001, A, 6));
    expect([a.heard(), b.heard(), c.heard()]).toEqual([[], [3, 4, 6], [4, 6]]);
    expect(lan.addresses.map(({ mac, port }) => [mac, port])).toEqual([
      [A, 1],
      [B, 2],
    ]);
    expect(
      lan.ports.map(({ name, counters }) => [name, counters.inFrames, counters.flooded, counters.filtered]),
    ).toEqual([
      ['a', 5, 3, 1],
      ['b', 1, 0, 0],
      ['c', 0, 0, 0],
    ]);
    expect(lan.ports[0].counters.inBytes).toBe(300);
    expect(a.probes).toBeGreaterThan(0);
    expect(lan.ports[0].counters).toMatchObject({ outFrames: 1 + a.probes, outBytes: 60 * (1 + a.probes) });
  });

  test('an address that has moved is found where it is now; one that is silent is forgotten', () => {
    const { lan, clock } = setUp({ age: 10 });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Station(lan.plug({ name })));
    b.send(frame(BROADCAST, B));
    c.send(frame(BROADCAST, B));
    for (const station of [a, b, c]) station.heard();
    a.send(frame(B, A, 1));
    expect([b.heard(), c.heard()]).toEqual([[], [1]]);
    clock.time += 10 * SECOND;
    a.send(frame(B, A, 2));
    expect([b.heard(), c.heard()]).toEqual([[2], [2]]);
    expect(lan.addresses.map(({ mac }) => mac)).toEqual([A]);
  });

  test('addresses for the switch itself, sources that are groups and stumps are not forwarded (IEEE 802.1D §7.12.6)', () => {
    const { lan } = setUp();
    const [a, b] = ['a', 'b'].map((name) => new Station(lan.plug({ name })));
    const tagged = frame(BROADCAST, A, 0, 16);
    new DataView(tagged.buffer).setUint16(12, 0x8100);
    a.send(frame(0x0180c2000000, A), frame(0x0180c200000f, A), frame(B, BROADCAST), tagged);
    expect(b.heard()).toEqual([]);
    expect(lan.ports[0].counters.filtered).toBe(4);
    a.send(frame(0x0180c2000010, A, 7));
    expect(b.heard()).toEqual([7]);
    expect(lan.addresses.length).toBe(1);
  });

  test('no more addresses are remembered than there is room for; the rest is flooded', () => {
    const { lan } = setUp({ addresses: 4 });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Station(lan.plug({ name })));
    for (let i = 0; i < 100; i++) a.send(frame(BROADCAST, A + 16 * i));
    expect(lan.addresses.length).toBe(4);
    b.send(frame(A + 16 * 99, B, 9));
    expect([b.heard().length, c.heard().at(-1)]).toEqual([100, 9]);
  });

  test('a port that is removed is forgotten with what was behind it, and its link is closed', () => {
    const { lan } = setUp();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Station(lan.plug({ name })));
    b.send(frame(BROADCAST, B));
    expect(lan.remove(2)).toBe(true);
    expect(lan.remove(2)).toBe(false);
    a.send(frame(B, A, 1));
    expect([b.heard(), c.heard()]).toEqual([[], [0, 1]]);
    expect(lan.ports.map(({ name }) => name)).toEqual(['a', 'c']);
  });
});

describe('what does not fit', () => {
  test('a frame larger than a link takes is not sent on it', () => {
    const { lan } = setUp();
    const [a, b] = [new Station(lan.plug({ mtu: 9000 })), new Station(lan.plug({ mtu: 1500 }))];
    a.send(frame(BROADCAST, A, 1, 1514), frame(BROADCAST, A, 2, 1515));
    expect(b.heard()).toEqual([1]);
    expect(lan.ports[1].counters.oversized).toBe(1);
  });

  test('a link that does not keep up makes its port drop, not grow, and delivers in order when it goes on', () => {
    const { lan } = setUp();
    const a = new Station(lan.plug());
    const taken: number[] = [];
    let room = 3;
    let wake = (): void => {};
    const slow: Link = {
      mtu: 1500,
      offload: 31,
      receive: (batch) => {
        batch.clear();
        return 0;
      },
      send: (batch) => {
        let n = 0;
        for (; n < batch.count && room > 0; n++, room--) {
          const bytes = new Uint8Array(batch.frameLength(n));
          batch.gather(n, bytes, 0);
          if (bytes[12] === 8) taken.push(bytes[14]);
        }
        return n;
      },
      watch: (call) => {
        if (call !== null) wake = call;
      },
    };
    lan.add(slow, 'slow');
    for (let i = 0; i < 1000; i++) a.send(frame(BROADCAST, A, i & 0x7f));
    const { overflowed } = lan.ports[1].counters;
    expect(overflowed).toBeGreaterThan(400);
    room = 10_000;
    wake();
    expect(taken.length).toBe(1000 - overflowed);
    expect(taken.slice(0, 300)).toEqual(Array.from({ length: 300 }, (_, i) => i & 0x7f));
  });

  test('a storm is cut down to what may be flooded; known addresses are not concerned', () => {
    const { lan, clock } = setUp({ floodLimit: 100 });
    const [a, b] = ['a', 'b'].map((name) => new Station(lan.plug({ name })));
    for (let i = 0; i < 500; i++) a.send(frame(BROADCAST, A, 1));
    expect(b.heard().length).toBe(100);
    expect(lan.ports[0].counters.suppressed).toBe(400);
    b.send(frame(BROADCAST, B, 2));
    for (let i = 0; i < 500; i++) a.send(frame(B, A, 3));
    expect(b.heard().length).toBe(500);
    clock.time += SECOND / 2;
    for (let i = 0; i < 500; i++) a.send(frame(BROADCAST, A, 1));
    expect(b.heard().length).toBe(50);
  });
});

describe('loops', () => {
  /** Let what has been put off happen, for a while. */
  const settle = (...lists: (() => void)[][]): number => {
    let rounds = 0;
    for (; rounds < 2000 && lists.some((list) => list.length > 0); rounds++)
      for (const list of lists) for (const call of list.splice(0)) call();
    return rounds;
  };

  test('two ports on one segment: the higher one is taken out of use before the flood goes round', () => {
    const { lan, clock, deferred } = setUp();
    const loops: string[] = [];
    lan.onLoop = ({ name }) => loops.push(name);
    const a = new Station(lan.plug({ name: 'a' }));
    const [left, right] = pipe();
    lan.add(left, 'left');
    lan.add(right, 'right');
    expect(loops).toEqual(['right']);
    clock.time += 2 * SECOND;
    a.send(frame(BROADCAST, A, 1));
    expect(settle(deferred)).toBeLessThan(10);
    expect(lan.ports.map(({ blocked }) => blocked)).toEqual([false, false, true]);
    expect(lan.addresses.map(({ port }) => port)).toEqual([1]);
    // As long as the loop is there, the port stays out of use.
    for (let second = 0; second < 100; second++) {
      clock.time += SECOND;
      a.send(frame(BROADCAST, A, 2));
      settle(deferred);
      expect(lan.ports[2].blocked, `second ${second}`).toBe(true);
    }
    const total = lan.ports.reduce((sum, { counters }) => sum + counters.inFrames, 0);
    expect(total).toBeLessThan(500);
    expect(a.heard()).toEqual([]);
    // When it has gone, the port comes back.
    lan.remove(2);
    for (let second = 0; second < 40; second++) {
      clock.time += SECOND;
      a.send(frame(BROADCAST, A, 3));
    }
    expect(lan.ports.map(({ blocked }) => blocked)).toEqual([false, false]);
  });

  test('a loop that is made under way is found with the next probe, and what was learnt in it is forgotten', () => {
    const { lan, clock, deferred } = setUp();
    const a = new Station(lan.plug({ name: 'a' }));
    const [one, two] = [pipe(), pipe()];
    lan.add(one[0]);
    lan.add(two[0]);
    clock.time += 2 * SECOND;
    a.send(frame(BROADCAST, A, 1));
    expect(lan.addresses.map(({ port }) => port)).toEqual([1]);
    // Somebody bridges the two.
    for (const [from, to] of [
      [one[1], two[1]],
      [two[1], one[1]],
    ])
      from.watch(() => {
        while (from.receive(rx) > 0) to.send(rx);
      });
    settle(deferred);
    clock.time += SECOND;
    a.send(frame(BROADCAST, A, 2));
    settle(deferred);
    expect(lan.ports.map(({ blocked }) => blocked)).toEqual([false, false, true]);
    clock.time += 2 * SECOND;
    a.send(frame(BROADCAST, A, 3));
    settle(deferred);
    expect(lan.addresses.map(({ port }) => port)).toEqual([1]);
  });

  test('two switches on two cables, crossed or not: one of them opens the loop, and hosts reach each other once', () => {
    for (const crossed of [false, true]) {
      for (let seed = 1; seed <= 10; seed++) {
        const one = setUp({}, seed);
        const two = setUp({}, seed + 100);
        const a = new Station(one.lan.plug());
        const b = new Station(two.lan.plug());
        const cables = [pipe(), pipe()];
        one.lan.add(cables[0][0]);
        one.lan.add(cables[1][0]);
        two.lan.add(cables[crossed ? 1 : 0][1]);
        two.lan.add(cables[crossed ? 0 : 1][1]);
        for (const { clock } of [one, two]) clock.time += 2 * SECOND;
        a.send(frame(BROADCAST, A, 1));
        expect(settle(one.deferred, two.deferred), `seed ${seed}`).toBeLessThan(1000);
        const blocked = [...one.lan.ports, ...two.lan.ports].filter((port) => port.blocked);
        expect(blocked.length, `seed ${seed}, crossed ${crossed}`).toBe(1);
        a.heard();
        b.heard();
        b.send(frame(A, B, 2));
        a.send(frame(B, A, 3));
        b.send(frame(BROADCAST, B, 4));
        settle(one.deferred, two.deferred);
        expect([a.heard(), b.heard()], `seed ${seed}`).toEqual([[2, 4], [3]]);
      }
    }
  });
});

test('stacks whose links can do different things exchange data over it, in super-segments and without', () => {
  const net = new Network();
  const clock = { now: () => net.clock.now };
  const lan = new Switch({ clock, entropy: new SeededEntropy(5), defer: () => expect.fail('too much at once') });
  switches.push(lan);
  const stacks = [31, 31, 0].map((offload, i) => {
    const stack = net.addStack(i + 1);
    const nic = stack.addNic(lower(lan.plug({ offload }), stack.memory), { mac: 0x020000000001 + i });
    nic.addAddress(parseIpv4(`10.9.0.${i + 1}`) as number, 24, { acd: 'off' });
    return stack;
  });
  const payload = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  for (const [from, to] of [
    [0, 1],
    [0, 2],
    [2, 0],
  ]) {
    const port = 1000 + 10 * from + to;
    const listener = stacks[to].tcp.listen({ port, backlog: 1 }) as TcpListener;
    const remote = Address.parse(`10.9.0.${to + 1}`) as Address;
    const sender = stacks[from].tcp.connect({ remote, remotePort: port }) as TcpConnection;
    let receiver: TcpConnection | null = null;
    const received = new Uint8Array(payload.length);
    let written = 0;
    let read = 0;
    net.run(10 * SECOND, () => {
      if (sender.writable > 0) written += Math.max(0, sender.write(payload, written, payload.length - written));
      receiver ??= listener.accept();
      if (receiver !== null && receiver.readable > 0) {
        const chunk = new Uint8Array(receiver.readable);
        received.set(chunk.subarray(0, receiver.read(chunk, 0, chunk.length)), read);
        read += chunk.length;
      }
      return read === payload.length;
    });
    expect(Buffer.compare(received, payload), `${from} to ${to}`).toBe(0);
  }
  // Between the two that can, frames stayed large.
  expect(lan.ports[1].counters.outFrames).toBeLessThan(lan.ports[2].counters.outFrames + 100);
  for (const stack of stacks) expect(stack.stats.tcpInErrs).toBe(0);
  net.close();
});
