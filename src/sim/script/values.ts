// What an argument of a system call is worth: numbers, structures' members, strings.

import type { Expression } from './ast.ts';
import { Unsupported } from './ast.ts';
import { ERRNO, SOCKET } from './symbols.ts';

/** The number an expression stands for; names may be those of constants and errnos. */
export function numberOf(expression: Expression | undefined, otherwise = 0): number {
  if (expression === undefined) return otherwise;
  switch (expression.kind) {
    case 'number':
      return expression.value;
    case 'name':
      return constant(expression.name);
    case 'or':
      return expression.items.reduce((value, item) => Number(BigInt(value) | BigInt(numberOf(item))), 0);
    case 'list':
      return numberOf(expression.items[0], otherwise);
    case 'struct':
      return numberOf(expression.fields[0]?.value, otherwise);
    case 'call':
      if (['htons', 'htonl', 'ntohs', 'ntohl'].includes(expression.name)) return numberOf(expression.args[0]);
      throw new Unsupported(`${expression.name}(…) as an argument`);
    case 'any':
      return otherwise;
    case 'string':
      throw new Unsupported(`the string "${expression.value}" where a number belongs`);
  }
}

function constant(name: string): number {
  if (Object.hasOwn(SOCKET, name)) return SOCKET[name as keyof typeof SOCKET];
  const errno = ERRNO.get(name);
  if (errno !== undefined) return errno;
  throw new Unsupported(`the constant ${name}`);
}

/** Member `name` of a structure, wherever brackets stand around it; undefined when it is not there. */
export function member(expression: Expression | undefined, name: string): Expression | undefined {
  if (expression === undefined) return undefined;
  if (expression.kind === 'list') return expression.items.length > 0 ? member(expression.items[0], name) : undefined;
  if (expression.kind !== 'struct') return undefined;
  return expression.fields.find((field) => field.name === name)?.value;
}

/** Without the brackets around a value that is passed by reference. */
export const dereference = (expression: Expression | undefined): Expression | undefined =>
  expression?.kind === 'list' && expression.items.length === 1 ? expression.items[0] : expression;

/** `{ … }` lists and `[ … ]` lists alike. */
export function itemsOf(expression: Expression | undefined): readonly Expression[] {
  if (expression?.kind === 'list') return expression.items;
  if (expression?.kind === 'struct') return expression.fields.map((field) => field.value);
  return [];
}

/** The address and port of a struct sockaddr, where it is spelt out. */
export function socketAddress(expression: Expression | undefined): {
  ip: string | null;
  port: number | null;
  family: string;
} {
  const port = member(expression, 'sin_port');
  const address = member(expression, 'sin_addr');
  const family = member(expression, 'sa_family') ?? member(expression, 'sin_family');
  const text = address?.kind === 'call' ? address.args[0] : undefined;
  return {
    ip: text?.kind === 'string' ? text.value : null,
    port: port === undefined ? null : numberOf(port),
    family: family?.kind === 'name' ? family.name : 'AF_INET',
  };
}

/** How many bytes an iovec array describes, `[{..., 10}, {..., 20}]`. */
export function iovecLength(expression: Expression | undefined): number {
  return itemsOf(expression).reduce((total, item) => {
    const length = member(item, 'iov_len') ?? itemsOf(item)[1];
    return total + numberOf(length);
  }, 0);
}
