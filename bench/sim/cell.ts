// One cell of the grid: a bulk transfer, short flows, or competing flows over one simulated bottleneck.
//
// Everything is a function of the cell and its seed, so that a figure that changed means that the code changed.

import { Network } from '../../src/sim/network.ts';
import { Peer } from '../../src/sim/peer.ts';

export interface Cell {
  readonly congestion: string;
  /** Probability of loss per frame, on the way of the data. */
  readonly loss: number;
  /** Round-trip time, ms. */
  readonly rtt: number;
  /** Bits per second. */
  readonly rate: number;
}

export interface Result {
  /** Mbit/s of payload, from the SYN to the last byte. */
  readonly goodput: number;
  /** Segments sent again. */
  readonly retransmitted: number;
  /** ms */
  readonly completion: number;
}

const MEGA = 1e6;
const LEAST_QUEUE = 64 * 1024;
const BUFFER = 15 * 1024 * 1024;
const LIMIT = 4 * 3600 * 1000;
const SEED = 20260101;

export const LOSSES = [0, 0.0001, 0.001, 0.01, 0.03];
export const RTTS = [1, 10, 50, 100, 300];
export const RATES = [10 * MEGA, 100 * MEGA, 1000 * MEGA];
export const CONTROLS = ['cubic', 'reno', 'bbr'];
export const FLOWS = [2, 4, 8, 16];

export const nameOf = ({ congestion, loss, rtt, rate }: Cell): string =>
  `${congestion} ${rate / MEGA} Mbit/s ${rtt} ms ${loss * 100} %`;

/** Bytes of a long flow: 4 s at the full rate, but no more than 16 MB, and fewer where loss makes every byte slow. */
export function longLength({ rate, loss }: Cell): number {
  const most = loss >= 0.01 ? 4e6 : 16e6;
  return Math.min((rate / 8) * 4, most);
}

interface Bench {
  readonly net: Network;
  readonly finish: () => Result & { readonly received: number[] };
}

function bench(cell: Cell, lengths: readonly number[], seed: number): Bench {
  const { congestion, loss, rtt, rate } = cell;
  const net = new Network(seed);
  const tcp = { congestion, recvBufferMax: BUFFER, sendBufferMax: BUFFER };
  const sender = net.host('sender', { tcp });
  const receiver = net.host('receiver', { tcp });
  const queue = Math.max(LEAST_QUEUE, (rate * rtt) / 8000);
  net.link(sender, receiver, { delay: rtt / 2, rate, queue, outward: { loss } });
  const after = (delay: number, action: () => void): void => {
    net.after(delay, action);
  };
  const served: Peer[] = [];
  const listener = receiver.stack.tcp.listen({ port: 5001 });
  if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
  listener.owner = {
    onEvents: () => {
      for (let accepted = listener.accept(); accepted !== null; accepted = listener.accept()) {
        const peer = new Peer(accepted, { length: 0, sends: 1, expects: 0, after });
        peer.write();
        served.push(peer);
      }
    },
  };
  // ARP and the path are known when the clock starts: a connection to a port where nobody listens has seen to it.
  const probe = sender.stack.tcp.connect({ remote: receiver.address, remotePort: 9 });
  if (typeof probe === 'number') throw new Error(`connect: ${probe}`);
  net.run(LIMIT, () => probe.error !== 0);
  const start = net.elapsed;
  const before = sender.stack.stats.tcpRetransSegs;
  const senders = lengths.map((length) => {
    const connection = sender.stack.tcp.connect({ remote: receiver.address, remotePort: 5001 });
    if (typeof connection === 'number') throw new Error(`connect: ${connection}`);
    return new Peer(connection, { length, sends: 0, expects: 1, after });
  });
  const finish = () => {
    for (const peer of [...senders, ...served]) {
      if (peer.error !== 0 || peer.fault !== '') throw new Error(`${nameOf(cell)}: ${peer.error} ${peer.fault}`);
    }
    const received = served.map((peer) => peer.received);
    const completion = net.elapsed - start;
    const bytes = received.reduce((sum, n) => sum + n, 0);
    net.close();
    return {
      goodput: (bytes * 8) / (completion * 1000),
      retransmitted: sender.stack.stats.tcpRetransSegs - before,
      completion,
      received,
    };
  };
  const isOver = (): boolean => served.length === lengths.length && served.every((peer) => peer.ended);
  return {
    net,
    finish: () => {
      if (!net.run(LIMIT, isOver)) throw new Error(`${nameOf(cell)}: not over after ${LIMIT} ms`);
      return finish();
    },
  };
}

const round = ({ goodput, retransmitted, completion }: Result): Result => ({
  goodput: Math.round(goodput * 1000) / 1000,
  retransmitted,
  completion: Math.round(completion * 10) / 10,
});

/** One long flow. */
export const long = (cell: Cell): Result => round(bench(cell, [longLength(cell)], SEED).finish());

const SHORT = 64 * 1024;
const SHORTS = 10;

/** Ten flows of 64 KB, each alone: their mean. */
export function short(cell: Cell): Result {
  const results = Array.from({ length: SHORTS }, (_, i) => bench(cell, [SHORT], SEED + i).finish());
  const mean = (of: (result: Result) => number): number => results.reduce((sum, r) => sum + of(r), 0) / SHORTS;
  return round({
    goodput: mean((r) => r.goodput),
    retransmitted: results.reduce((sum, r) => sum + r.retransmitted, 0),
    completion: mean((r) => r.completion),
  });
}

/** Jain's index of what `flows` flows got of `rate` in 20 s, the first second left out: 1 is fair, 1/flows is all for one. */
export function fairness(congestion: string, flows: number, rate = 50 * MEGA): number {
  const cell: Cell = { congestion, loss: 0, rtt: 40, rate };
  const { net } = bench(cell, new Array<number>(flows).fill(1e9), SEED);
  const receiver = net.hosts[1].stack;
  const taken = (): number[] =>
    receiver.tcp
      .connections()
      .sort((a, b) => a.remotePort - b.remotePort)
      .map((connection) => connection.receiver.rcvNxt);
  net.run(1000);
  const before = taken();
  net.run(20_000);
  const shares = taken().map((at, i) => (at - before[i]) | 0);
  net.close();
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return Math.round(((sum * sum) / (shares.length * squares)) * 1000) / 1000;
}
