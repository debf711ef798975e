// One figure about the core, from two stacks on a cable in memory: `core.ts allocation | idle-core N | idle-socket N | segment N`.
//
//   allocation    bytes of JavaScript heap per packet, over 10^6 packets of a transfer in steady state
//   idle-core     bytes per established connection without an owner
//   idle-socket   the same with its net.Socket, on the side that accepted
//   segment       ns per segment of one busy connection while N - 1 others are open

import type { Link } from '../src/link/link.ts';
import type { FrameBatch } from '../src/mem/frame-batch.ts';
import type { TcpConnection } from '../src/tcp/connection.ts';
import type { TcpListener } from '../src/tcp/listener.ts';
import type { World } from '../src/world.ts';
import { matches, pattern, placeOf } from './pattern.ts';
import { load, tapstack } from './subject.ts';

type StackModule = typeof import('../src/stack.ts');
type Stack = InstanceType<StackModule['Stack']>;

const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error('run with --expose-gc');
const { pipe, Address, parseIpv4 } = await tapstack();
const { Stack: StackClass } = await load<StackModule>('stack');
const own = (i: number): InstanceType<typeof Address> => Address.parse(`10.9.0.${i}`) as InstanceType<typeof Address>;

const VNET = 12; // bytes of virtio header in front of a frame
const STRIDE = 8; // integers of a descriptor
const OFFLOAD_ALL = 31;
const PORT = 80;
const PER_PORT = 25_000;
const AT_ONCE = 100;

function heap(): number {
  collect?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const world = (now: number, seed: number): World => {
  let x = seed;
  const int32 = (): number => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return x ^ (x >>> 15);
  };
  return {
    now,
    wallClock: () => 1.7e15,
    entropy: {
      int32,
      fill: (target) => {
        for (let i = 0; i < target.length; i++) target[i] = int32();
      },
    },
  };
};

/** A cable that moves one frame at a time and allocates nothing, so that whatever is allocated is the stack's doing. */
class Wire implements Link {
  readonly mtu = 1500;
  readonly offload = OFFLOAD_ALL;
  peer: Wire | null = null;
  readonly #frames = new Uint8Array(1 << 20);
  readonly #lengths = new Int32Array(256);
  #count = 0;
  #fill = 0;

  receive(rx: FrameBatch): number {
    rx.clear();
    for (let i = 0, from = 0; i < this.#count; i++) {
      const length = this.#lengths[i];
      const to = rx.append(length - VNET) - VNET;
      for (let k = 0; k < length; k++) rx.bytes[to + k] = this.#frames[from + k];
      from += length;
    }
    this.#count = 0;
    this.#fill = 0;
    return rx.count;
  }

  send(tx: FrameBatch): number {
    for (let i = 0; i < tx.count; i++) this.peer?.push(tx, i * STRIDE);
    return tx.count;
  }

  push(tx: FrameBatch, at: number): void {
    const start = this.#fill;
    this.#take(tx, tx.desc[at] - VNET, tx.desc[at + 1] + VNET);
    this.#take(tx, tx.desc[at + 2], tx.desc[at + 3]);
    this.#take(tx, tx.desc[at + 4], tx.desc[at + 5]);
    this.#lengths[this.#count++] = this.#fill - start;
  }

  #take(tx: FrameBatch, address: number, length: number): void {
    const bytes = tx.memory.bytes[address >>> 24];
    const from = address & 0xffffff;
    for (let k = 0; k < length; k++) this.#frames[this.#fill++] = bytes[from + k];
  }
}

function cable(): [Wire, Wire] {
  const ends: [Wire, Wire] = [new Wire(), new Wire()];
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  return ends;
}

/** A server and a client on one cable, and the time of both. */
class Pair {
  now = 1_000_000;
  readonly server: Stack;
  readonly client: Stack;
  readonly #ends: readonly [Link, Link];
  readonly #listeners = new Map<number, TcpListener>();

  constructor(ends: readonly [Link, Link] = pipe()) {
    this.#ends = ends;
    [this.server, this.client] = [1, 2].map((i) => {
      const stack = new StackClass({ world: world(this.now, i) });
      const nic = stack.addNic(this.#ends[i - 1], { mac: 0x020000000000 + i });
      nic.addAddress(parseIpv4(`10.9.0.${i}`) as number, 24, { acd: 'off' });
      return stack;
    });
  }

  /** Let everything happen that is due. */
  settle(): void {
    // What one sends in a round the other receives in the next.
    for (let quiet = 0; quiet < 3; quiet++) {
      for (const stack of [this.server, this.client]) {
        stack.world.now = this.now;
        while (stack.receive(stack.nics[1]) > 0) quiet = 0;
        stack.advance();
        stack.flush();
        stack.events.drain();
      }
    }
  }

  /** Let `micros` pass. */
  pass(micros: number): void {
    for (const end = this.now + micros; this.now < end; ) {
      const next = Math.min(this.server.nextDeadline(), this.client.nextDeadline(), end);
      this.now = Math.max(next, this.now + 10_000);
      this.settle();
    }
  }

  listener(port: number): TcpListener {
    let listener = this.#listeners.get(port);
    if (listener !== undefined) return listener;
    const made = this.server.tcp.listen({ port, backlog: 1024 });
    if (typeof made === 'number') throw new Error(`listen: ${made}`);
    listener = made;
    this.#listeners.set(port, listener);
    return listener;
  }

  /** Open `count` connections: both ends, in order. */
  open(count: number): [TcpConnection, TcpConnection][] {
    const pairs: [TcpConnection, TcpConnection][] = [];
    while (pairs.length < count) {
      const port = PORT + Math.floor(pairs.length / PER_PORT);
      const listener = this.listener(port);
      const clients: TcpConnection[] = [];
      for (let i = 0; i < AT_ONCE && pairs.length + i < count; i++) {
        const localPort = 20_000 + ((pairs.length + i) % PER_PORT);
        const connection = this.client.tcp.connect({ remote: own(1), remotePort: port, localPort });
        if (typeof connection === 'number') throw new Error(`connect: ${connection}`);
        clients.push(connection);
      }
      this.now += 1000;
      this.settle();
      for (const client of clients) {
        const accepted = listener.accept();
        if (accepted === null) throw new Error('a connection is missing');
        pairs.push([accepted, client]);
      }
    }
    return pairs;
  }

  /** One segment there and its acknowledgment back; returns the bytes that came. */
  turn(
    from: TcpConnection,
    to: TcpConnection,
    piece: Uint8Array,
    start: number,
    length: number,
    target: Uint8Array,
  ): number {
    const { server, client } = this;
    this.now += 50;
    server.world.now = this.now;
    client.world.now = this.now;
    from.write(piece, start, length);
    client.flush();
    server.receive(server.nics[1]);
    server.advance();
    const got = to.read(target, 0, target.length);
    server.flush();
    client.receive(client.nics[1]);
    client.advance();
    return got;
  }
}

/** Move `turns` segments and check them; returns nanoseconds and packets. */
function transfer(
  pair: Pair,
  [to, from]: [TcpConnection, TcpConnection],
  turns: number,
): { ns: number; packets: number } {
  const target = Buffer.alloc(65536);
  const count = (): number => pair.server.stats.ifInFrames + pair.client.stats.ifInFrames;
  const before = count();
  const length = 1448;
  let sent = 0;
  let received = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < turns; i++) {
    const got = pair.turn(from, to, pattern, placeOf(0, sent), length, target);
    sent += length;
    // The ends suffice in the loop: comparing all of it would be most of what is measured.
    if (
      got > 0 &&
      (target[0] !== pattern[placeOf(0, received)] || target[got - 1] !== pattern[placeOf(0, received + got - 1)])
    )
      throw new Error(`wrong bytes at ${received}`);
    received += got;
  }
  const ns = Number(process.hrtime.bigint() - start);
  const got = pair.turn(from, to, pattern, placeOf(0, sent), length, target);
  if (received + got !== sent + length || !matches(target.subarray(0, got), 0, received, true))
    throw new Error(`${received + got} bytes of ${sent + length} came`);
  return { ns, packets: count() - before };
}

/**
 * Segments of 1,448 bytes and their ACKs. The user writes one array whole and reads in pieces of 16 bytes, which the stack copies without a
 * view: what user code asks for between packets is not what is measured.
 */
function allocation(): number {
  const pair = new Pair(cable());
  const [[to, from]] = pair.open(1);
  const piece = new Uint8Array(pattern.subarray(0, 1448));
  const target = new Uint8Array(16);
  const { server, client } = pair;
  const packets = (): number => server.stats.ifInFrames + client.stats.ifInFrames;
  let place = 0;
  const turns = (wanted: number): void => {
    for (const end = packets() + wanted; packets() < end; ) {
      pair.now += 50;
      server.world.now = pair.now;
      client.world.now = pair.now;
      if (from.writable >= piece.length) from.write(piece, 0, piece.length);
      client.flush();
      server.receive(server.nics[1]);
      server.advance();
      for (let got = to.read(target, 0, 16); got > 0; got = to.read(target, 0, 16)) {
        for (let i = 0; i < got; i++)
          if (target[i] !== piece[(place + i) % 1448]) throw new Error(`wrong byte at ${place + i}`);
        place += got;
      }
      server.flush();
      client.receive(client.nics[1]);
      client.advance();
    }
  };
  turns(200_000);
  collect?.();
  const before = process.memoryUsage().heapUsed;
  turns(1_000_000);
  return Math.max(0, process.memoryUsage().heapUsed - before) / 1_000_000;
}

function idleCore(count: number): number {
  const pair = new Pair();
  pair.open(1000);
  const before = heap();
  const used = pair.server.memory.used + pair.client.memory.used;
  const rest = new Pair();
  const base = heap();
  const kept = rest.open(count);
  // Lingering timers of the handshake have run.
  rest.pass(2_000_000);
  const after = heap();
  const rings = rest.server.memory.used + rest.client.memory.used - used;
  if (kept.length !== count || rest.server.tcp.connections().length !== count)
    throw new Error('connections are missing');
  return (after - base + Math.max(0, rings) + Math.min(0, base - before)) / (2 * count);
}

async function idleSocket(count: number): Promise<number> {
  const { createStack } = await tapstack();
  const [near, far] = pipe();
  const server = await createStack({ link: near, address: '10.9.0.1/24', acd: 'off' });
  const client = await createStack({ link: far, address: '10.9.0.2/24', acd: 'off' });
  const sockets: unknown[] = [];
  const listening = server.net.createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => {
    listening.listen(PORT, '10.9.0.1', 1024, resolve);
  });
  const clients: TcpConnection[] = [];
  const open = async (total: number): Promise<void> => {
    while (clients.length < total) {
      client.driver.enter();
      for (let i = 0; i < AT_ONCE; i++) {
        const made = client.core.tcp.connect({ remote: own(1), remotePort: PORT, localPort: 10_000 + clients.length });
        if (typeof made === 'number') throw new Error(`connect: ${made}`);
        clients.push(made);
      }
      while (sockets.length < clients.length) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await open(1000);
  const weigh = (): number => heap() + server.core.memory.used + client.core.memory.used;
  const before = weigh();
  await open(1000 + count);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const bytes = (weigh() - before) / count;
  // The client's side has no socket: take its core connection off.
  return bytes - idleCore(count);
}

function segment(count: number): number {
  const pair = new Pair();
  const all = pair.open(count);
  pair.pass(2_000_000);
  const busy = all[count >> 1];
  transfer(pair, busy, 100_000);
  collect?.();
  const times = Array.from({ length: 5 }, () => {
    const { ns, packets } = transfer(pair, busy, 50_000);
    return ns / packets;
  });
  return times.sort((a, b) => a - b)[0];
}

const [what, number] = process.argv.slice(2);
const count = Number(number ?? 1);
const rows: Record<string, () => number | Promise<number>> = {
  allocation,
  'idle-core': () => idleCore(count),
  'idle-socket': () => idleSocket(count),
  segment: () => segment(count),
};
if (rows[what] === undefined) throw new Error(`core.ts: one of ${Object.keys(rows).join(', ')}`);
console.log(await rows[what]());
process.exit(0);
