// Arguments of system calls: numbers, names or'ed together, strings, lists, C structures with named members.

import type { Expression, Field } from './ast.ts';
import type { Scanner } from './scanner.ts';

const ANY: Expression = { kind: 'any' };

/** Expressions separated by commas up to and including `close`. */
export function expressionList(s: Scanner, close: string): Expression[] {
  const items: Expression[] = [];
  for (;;) {
    items.push(expression(s));
    if (s.accept(close)) return items;
    s.expect(',', `or '${close}' between arguments`);
  }
}

export function expression(s: Scanner): Expression {
  const first = primary(s);
  if (!s.peek(/\|(?!\|)/y)) return first;
  const items = [first];
  while (s.accept('|')) items.push(primary(s));
  return { kind: 'or', items };
}

function primary(s: Scanner): Expression {
  if (s.accept('...')) return ANY;
  const number = s.take(/-?(?:0x[0-9a-fA-F]+|\d+)/y);
  if (number !== null) return { kind: 'number', value: numberOf(number[0]), text: number[0] };
  if (s.peek(/"/y)) return string(s);
  if (s.accept('[')) return { kind: 'list', items: s.accept(']') ? [] : expressionList(s, ']') };
  if (s.accept('{')) return structure(s);
  const name = s.word('an argument');
  if (s.accept('(')) return { kind: 'call', name, args: s.accept(')') ? [] : expressionList(s, ')') };
  if (s.peek(/=(?!=)/y)) {
    // `symbol = value` stands for the value.
    s.accept('=');
    return { kind: 'struct', fields: [{ name, value: expression(s) }] };
  }
  return { kind: 'name', name };
}

const numberOf = (text: string): number => (text.startsWith('-') ? -Number(text.slice(1)) : Number(text));

/** One or several string literals, which are joined; `"…"...` is the beginning of something longer. */
function string(s: Scanner): Expression {
  let value = '';
  for (;;) {
    const found = s.take(/"((?:[^"\\]|\\.)*)"/y);
    if (found === null) break;
    value += unquote(found[1]);
    s.accept('...');
  }
  return { kind: 'string', value };
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', '0': '\0', f: '\f', v: '\v' };

const unquote = (text: string): string =>
  text.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (_, hex: string | undefined, other: string) =>
    hex !== undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : (ESCAPES[other] ?? other),
  );

function structure(s: Scanner): Expression {
  const fields: Field[] = [];
  if (s.accept('}')) return { kind: 'struct', fields };
  for (;;) {
    const name = s.take(/([A-Za-z_]\w*)\s*(?:\(\s*(?:\.\.\.|\d+)\s*\)\s*)?=(?!=)/y);
    fields.push({ name: name?.[1] ?? '', value: expression(s) });
    if (s.accept('}')) return { kind: 'struct', fields };
    s.expect(',', "or '}' between members");
  }
}
