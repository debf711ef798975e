// The arithmetic of capture filters: `tcp[tcpflags] & (tcp-syn|tcp-fin) != 0`, `ip[6:2] & 0x1fff != 0`, `len > 1000`.
//
// A comparison is false for a frame that has not the header or the bytes it asks for.

import type { Subject } from './filter-subject.ts';
import type { Layer } from './layers.ts';
import { layerOf } from './layers.ts';

/** What is wrong with a filter. */
export class FilterError extends Error {
  constructor(message: string) {
    super(`filter: ${message}`);
    this.name = 'FilterError';
  }
}

const TOKEN = /\s*(&&|\|\||!=|==|<=|>=|<<|>>|[()[\]!&|=<>]|[^\s()[\]!&|=<>]+)/y;

/** The words of a filter, with a position that may be put back. */
export class Tokens {
  at = 0;
  readonly #words: string[] = [];

  constructor(text: string) {
    TOKEN.lastIndex = 0;
    for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) this.#words.push(match[1]);
  }

  peek(ahead = 0): string | null {
    return this.#words[this.at + ahead] ?? null;
  }

  /** @throws FilterError when nothing is left */
  next(wanted: string): string {
    const word = this.peek();
    if (word === null) throw new FilterError(`it ends where ${wanted} should follow`);
    this.at++;
    return word;
  }

  /** Take the next word if it is one of `words`. */
  accept(...words: string[]): boolean {
    const word = this.peek();
    if (word === null || !words.includes(word)) return false;
    this.at++;
    return true;
  }

  /** Take the next words if they are exactly these, in order. */
  acceptRun(...words: string[]): boolean {
    if (words.some((word, i) => this.peek(i) !== word)) return false;
    this.at += words.length;
    return true;
  }
}

/** A number of a frame, or null when the frame has none. */
type Value = (subject: Subject) => number | null;

const LAYERS: Record<string, Layer['layer'] | null> = {
  ether: null, // from the start of the frame
  ip: 'ipv4',
  ip6: 'ipv6',
  arp: 'arp',
  tcp: 'tcp',
  udp: 'udp',
  icmp: 'icmp',
  icmp6: 'icmp6',
  igmp: 'igmp',
};

const NAMED: Record<string, number> = {
  tcpflags: 13,
  'tcp-fin': 0x01,
  'tcp-syn': 0x02,
  'tcp-rst': 0x04,
  'tcp-push': 0x08,
  'tcp-ack': 0x10,
  'tcp-urg': 0x20,
  'tcp-ece': 0x40,
  'tcp-cwr': 0x80,
  icmptype: 0,
  icmpcode: 1,
  'icmp-echoreply': 0,
  'icmp-unreach': 3,
  'icmp-sourcequench': 4,
  'icmp-redirect': 5,
  'icmp-echo': 8,
  'icmp-timxceed': 11,
  'icmp-paramprob': 12,
  'icmp-tstamp': 13,
  'icmp-tstampreply': 14,
  'icmp-maskreq': 17,
  'icmp-maskreply': 18,
};

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  '=': (a, b) => a === b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
};

/** True when an arithmetic comparison begins here: `tcp[…`, `len …`, a number, or parentheses around one of those. */
export function isComparison(tokens: Tokens): boolean {
  let ahead = 0;
  while (tokens.peek(ahead) === '(') ahead++;
  const word = tokens.peek(ahead);
  if (word === null) return false;
  if (word === 'len' || Object.hasOwn(NAMED, word)) return true;
  if (/^(0x[0-9a-f]+|\d+)$/i.test(word)) return isOperator(tokens.peek(ahead + 1));
  if (!Object.hasOwn(LAYERS, word) || tokens.peek(ahead + 1) !== '[') return false;
  // "(tcp[13] = 2 or udp)" is a condition in parentheses: the comparison is inside.
  return ahead === 0 || closesAsValue(tokens, ahead);
}

const isOperator = (word: string | null): boolean =>
  word !== null && (Object.hasOwn(COMPARE, word) || ['&', '|', '<<', '>>'].includes(word));

/** True when the first parenthesis holds no comparison of its own, so that it is part of one. */
function closesAsValue(tokens: Tokens, opened: number): boolean {
  let depth = opened;
  for (let ahead = opened; depth > 0; ahead++) {
    const word = tokens.peek(ahead);
    if (word === null) return true;
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (Object.hasOwn(COMPARE, word) || word === 'and' || word === 'or' || word === '&&' || word === '||')
      return false;
  }
  return true;
}

/** @throws FilterError */
export function parseComparison(tokens: Tokens): (subject: Subject) => boolean {
  const left = parseValue(tokens);
  const operator = tokens.next('a comparison');
  if (!Object.hasOwn(COMPARE, operator)) throw new FilterError(`"${operator}" should be a comparison such as != 0`);
  const compare = COMPARE[operator];
  const right = parseValue(tokens);
  return (subject) => {
    const a = left(subject);
    const b = right(subject);
    return a !== null && b !== null && compare(a, b);
  };
}

/** Operands joined by & | << >>, from left to right. */
function parseValue(tokens: Tokens): Value {
  let left = parseOperand(tokens);
  for (;;) {
    const operator = tokens.peek();
    if (operator !== '&' && operator !== '|' && operator !== '<<' && operator !== '>>') return left;
    tokens.next('an operator');
    const a = left;
    const b = parseOperand(tokens);
    left = (subject) => {
      const x = a(subject);
      const y = b(subject);
      if (x === null || y === null) return null;
      if (operator === '&') return (x & y) >>> 0;
      if (operator === '|') return (x | y) >>> 0;
      return operator === '<<' ? (x << y) >>> 0 : x >>> y;
    };
  }
}

function parseOperand(tokens: Tokens): Value {
  if (tokens.accept('(')) {
    const value = parseValue(tokens);
    if (!tokens.accept(')')) throw new FilterError('a "(" is not closed');
    return value;
  }
  const word = tokens.next('a number');
  if (word === 'len') return ({ frame }) => frame.wireLength;
  if (Object.hasOwn(LAYERS, word) && tokens.accept('[')) {
    const inside = tokens.next('an offset');
    if (!tokens.accept(']')) throw new FilterError(`"${word}[" is not closed`);
    return bytesAt(word, inside);
  }
  const value = constant(word);
  return () => value;
}

function constant(word: string): number {
  if (Object.hasOwn(NAMED, word)) return NAMED[word];
  if (!/^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(word)) throw new FilterError(`"${word}" is not a number`);
  return Number(word);
}

function bytesAt(protocol: string, inside: string): Value {
  const [offset, size = '1', ...rest] = inside.split(':');
  const at = constant(offset);
  if (rest.length > 0 || !['1', '2', '4'].includes(size)) {
    throw new FilterError(`"${protocol}[${inside}]" should be an offset and 1, 2 or 4 bytes, such as ip[6:2]`);
  }
  const length = Number(size);
  const name = LAYERS[protocol];
  return ({ frame, layers }) => {
    const start = name === null ? 0 : layerOf(layers, name)?.off;
    if (start === undefined || start + at + length > frame.bytes.length) return null;
    let value = 0;
    for (let i = 0; i < length; i++) value = value * 256 + frame.bytes[start + at + i];
    return value;
  };
}
