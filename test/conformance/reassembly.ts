// Segments in every order — RFC 9293 §3.10.7.4 (seventh), RFC 2018 §4, RFC 2883 §4, RFC 5681 §4.2.
//
// A model of a receiver that knows nothing of ours: it keeps bytes in a set, and blocks by how lately they changed.

import type { Case } from './cases.ts';
import { script } from './cases.ts';

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly fin: boolean;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) =>
    permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}

class Model {
  #next = 1;
  #held: [number, number][] = [];
  #fin = -1;
  readonly #sack: boolean;

  constructor(sack: boolean) {
    this.#sack = sack;
  }

  /** What the receiver must say to `piece`: its ACK with the blocks RFC 2018 §4 asks for, the latest first. */
  receive(piece: Piece): string {
    if (piece.fin) this.#fin = piece.to;
    // RFC 2883 §4: what was there already is reported first, once.
    let duplicate: [number, number] | null = null;
    if (piece.from < this.#next) duplicate = [piece.from, Math.min(piece.to, this.#next)];
    const whole = this.#held.find(([from, to]) => from <= piece.from && piece.to <= to);
    if (whole !== undefined) duplicate = [piece.from, piece.to];
    if (piece.to > this.#next) this.#merge([Math.max(piece.from, this.#next), piece.to]);
    const filled = this.#held.findIndex(([from]) => from <= this.#next);
    if (filled >= 0) {
      this.#next = this.#held[filled][1];
      this.#held.splice(filled, 1);
    }
    const isDone = this.#fin === this.#next;
    const ack = this.#next + (isDone ? 1 : 0);
    if (!this.#sack) return `+0 > . 1:1(0) ack ${ack}`;
    const blocks = isDone ? [] : [...(duplicate === null ? [] : [duplicate]), ...this.#held].slice(0, 4);
    const options =
      blocks.length === 0 ? '' : ` <nop,nop,sack ${blocks.map(([from, to]) => `${from}:${to}`).join(' ')}>`;
    return `+0 > . 1:1(0) ack ${ack}${options}`;
  }

  /** Join `block` with what it touches, and put the result first. */
  #merge(block: [number, number]): void {
    let [from, to] = block;
    const apart = this.#held.filter(([left, right]) => {
      const touches = left <= to && from <= right;
      if (touches) [from, to] = [Math.min(from, left), Math.max(to, right)];
      return !touches;
    });
    this.#held = [[from, to], ...apart];
  }
}

const setup = (sack: boolean): string[] => [
  '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3',
  '+0 bind(3, ..., ...) = 0',
  '+0 listen(3, 1) = 0',
  `+0 < S 0:0(0) win 65535 <mss 1460${sack ? ',nop,nop,sackOK' : ''}>`,
  `+0 > S. 0:0(0) ack 1 <mss 1460${sack ? ',nop,nop,sackOK' : ''}>`,
  '+.01 < . 1:1(0) ack 1 win 65535',
  '+0 accept(3, ..., ...) = 4',
];

function orderCase(name: string, order: readonly Piece[], sack: boolean): Case {
  const model = new Model(sack);
  const end = Math.max(...order.map((piece) => piece.to));
  const lines = order.flatMap((piece) => [
    `+.001 < ${piece.fin ? 'F.' : '.'} ${piece.from}:${piece.to}(${piece.to - piece.from}) ack 1 win 65535`,
    model.receive(piece),
  ]);
  const hasFin = order.some((piece) => piece.fin);
  return {
    name,
    script: script(
      ...setup(sack),
      ...lines,
      `+0 read(4, ..., 100000) = ${end - 1}`,
      hasFin ? '+0 read(4, ..., 100000) = 0' : '',
    ),
  };
}

const pieces = (count: number, finAt = -1): Piece[] =>
  Array.from({ length: count }, (_, i) => ({ from: 1 + 100 * i, to: 101 + 100 * i, fin: i === finAt }));

const label = (order: readonly Piece[]): string => order.map((piece) => Math.floor(piece.from / 100) + 1).join('');

export function reassemblyCases(): Case[] {
  const cases: Case[] = [];
  for (const order of permutations(pieces(4))) {
    cases.push(orderCase(`reassembly/order ${label(order)} with SACK`, order, true));
    cases.push(orderCase(`reassembly/order ${label(order)} without SACK`, order, false));
  }
  for (const order of permutations(pieces(3, 2)))
    cases.push(orderCase(`reassembly/order ${label(order)}, FIN with the last`, order, true));
  // One of them twice, whole: RFC 2883 §4.1.
  for (const twice of [0, 1, 2]) {
    const order = pieces(3);
    cases.push(orderCase(`reassembly/${twice + 1} again at once`, order.toSpliced(twice, 0, order[twice]), true));
    cases.push(orderCase(`reassembly/${twice + 1} again at the end`, [...order, order[twice]], true));
  }
  return cases;
}
