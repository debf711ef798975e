// The subset of Python that scripts put between `%{` and `}%`: assert, print, assignments, if/else; no loops, no functions, no objects.
//
// An evaluator over a table of names. It cannot reach anything else.

import { ScriptError, Unsupported } from './ast.ts';

export type Value = number | string | boolean | null | readonly Value[];

export class AssertionFailed extends Error {
  override name = 'AssertionFailed';
}

interface Line {
  readonly indent: number;
  readonly text: string;
  readonly line: number;
}

/**
 * Run `code`.
 * @param names what it may read and what it assigns
 * @throws AssertionFailed when an assert does not hold
 */
export function runPython(
  code: string,
  names: Map<string, Value>,
  firstLine: number,
  print: (text: string) => void,
): void {
  const lines: Line[] = [];
  // A bracket that is open at the end of a line continues it, and so does a backslash.
  let pending = '';
  for (const [i, raw] of code.split('\n').entries()) {
    const text = stripComment(pending + raw);
    if (text.endsWith('\\')) pending = text.slice(0, -1);
    else if (isOpen(text)) pending = `${text} `;
    else {
      pending = '';
      if (text.trim() !== '') lines.push({ indent: text.search(/\S/), text: text.trim(), line: firstLine + i });
    }
  }
  block(lines, 0, lines.length, names, print);
}

const stripComment = (text: string): string => text.replace(/^((?:[^#"']|"[^"]*"|'[^']*')*)#.*$/, '$1').trimEnd();

function isOpen(text: string): boolean {
  let depth = 0;
  for (const c of text.replace(/"[^"]*"|'[^']*'/g, '')) {
    if ('([{'.includes(c)) depth++;
    else if (')]}'.includes(c)) depth--;
  }
  return depth > 0;
}

function block(
  lines: Line[],
  from: number,
  to: number,
  names: Map<string, Value>,
  print: (text: string) => void,
): void {
  let taken = true;
  for (let i = from; i < to; ) {
    const { text, line, indent } = lines[i];
    const branch = /^(if|elif|else)\b(.*?):(.*)$/.exec(text);
    if (branch === null) {
      if (/^(for|while|def|class|import|from|try|with)\b/.test(text))
        throw new Unsupported(`Python's ${text.split(/\W/, 1)[0]} (line ${line})`);
      for (const part of splitTop(text, ';')) if (part.trim() !== '') statement(part.trim(), line, names, print);
      i++;
      continue;
    }
    let end = i + 1;
    while (end < to && lines[end].indent > indent) end++;
    const [, keyword, condition, inline] = branch;
    if (keyword === 'if') taken = false;
    const runs = !taken && (keyword === 'else' || truth(evaluate(condition, line, names)));
    if (runs) {
      taken = true;
      if (inline.trim() !== '') statement(inline.trim(), line, names, print);
      else block(lines, i + 1, end, names, print);
    }
    i = end;
  }
}

function statement(text: string, line: number, names: Map<string, Value>, print: (text: string) => void): void {
  if (text === 'pass') return;
  const asserted = /^assert\b(.*)$/s.exec(text);
  if (asserted !== null) {
    const [condition, ...message] = splitTop(asserted[1], ',');
    if (truth(evaluate(condition, line, names))) return;
    const said = message.length > 0 ? `: ${show(evaluate(message.join(','), line, names))}` : '';
    throw new AssertionFailed(`assert ${condition.trim()}${said}${explain(condition, names)}`);
  }
  const printed = /^print\s*\(?(.*?)\)?$/s.exec(text);
  if (printed !== null && /^print\b/.test(text)) {
    const value = printed[1].trim() === '' ? '' : evaluate(`(${printed[1]},)`, line, names);
    print(Array.isArray(value) ? value.map((item: Value) => show(item)).join(' ') : show(value as Value));
    return;
  }
  const assignment = /^([A-Za-z_]\w*)\s*([-+*/|&]?)=(?!=)(.*)$/s.exec(text);
  if (assignment !== null) {
    const [, name, operator, source] = assignment;
    const value = operator === '' ? source : `${name} ${operator} (${source})`;
    names.set(name, evaluate(value, line, names));
    return;
  }
  evaluate(text, line, names);
}

/** What the names in a failed condition were. */
function explain(condition: string, names: Map<string, Value>): string {
  const used = [...new Set(condition.match(/[A-Za-z_]\w*/g) ?? [])].filter(
    (name) => names.has(name) && !/^[A-Z]/.test(name),
  );
  if (used.length === 0) return '';
  return ` (${used.map((name) => `${name} = ${show(names.get(name) ?? null)}`).join(', ')})`;
}

/** Split at `separator` outside quotes and brackets. */
function splitTop(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = '';
  let part = '';
  for (const c of text) {
    if (quote !== '') {
      if (c === quote) quote = '';
    } else if (c === '"' || c === "'") quote = c;
    else if ('([{'.includes(c)) depth++;
    else if (')]}'.includes(c)) depth--;
    else if (c === separator && depth === 0) {
      parts.push(part);
      part = '';
      continue;
    }
    part += c;
  }
  parts.push(part);
  return parts;
}

const truth = (value: Value): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value));

function show(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'object') return `(${value.map(show).join(', ')})`;
  return String(value);
}

const evaluate = (text: string, line: number, names: Map<string, Value>): Value =>
  new Evaluator(text, line, names).whole();

const TOKEN =
  /\s*(0[xX][0-9a-fA-F]+|\d+\.\d*|\.\d+|\d+|[A-Za-z_]\w*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\*\*|\/\/|<<|>>|<=|>=|==|!=|[-+*/%<>&|^~()[\],])/y;

/** Recursive descent, loosest operator first. */
class Evaluator {
  readonly #tokens: string[] = [];
  readonly #names: Map<string, Value>;
  readonly #line: number;
  #at = 0;

  constructor(text: string, line: number, names: Map<string, Value>) {
    this.#names = names;
    this.#line = line;
    TOKEN.lastIndex = 0;
    const trimmed = text.trimEnd();
    while (TOKEN.lastIndex < trimmed.length) {
      const from = TOKEN.lastIndex;
      const found = TOKEN.exec(trimmed);
      if (found === null) throw new Unsupported(`Python's '${trimmed.slice(from).trim()}' (line ${line})`);
      this.#tokens.push(found[1]);
    }
  }

  whole(): Value {
    const value = this.#tuple();
    if (this.#at < this.#tokens.length) this.#fail();
    return value;
  }

  #fail(): never {
    throw new ScriptError(this.#line, `cannot understand '${this.#tokens.slice(this.#at).join(' ')}' in the code`);
  }

  #accept(...tokens: string[]): string | null {
    const token = this.#tokens[this.#at];
    if (token === undefined || !tokens.includes(token)) return null;
    this.#at++;
    return token;
  }

  #tuple(): Value {
    const first = this.#conditional();
    if (this.#tokens[this.#at] !== ',') return first;
    const items = [first];
    while (this.#accept(',') !== null) {
      if (this.#at >= this.#tokens.length || this.#tokens[this.#at] === ')') break;
      items.push(this.#conditional());
    }
    return items;
  }

  #conditional(): Value {
    const value = this.#or();
    if (this.#accept('if') === null) return value;
    const condition = this.#or();
    if (this.#accept('else') === null) this.#fail();
    const other = this.#conditional();
    return truth(condition) ? value : other;
  }

  #or(): Value {
    let value = this.#and();
    while (this.#accept('or') !== null) {
      const right = this.#and();
      value = truth(value) ? value : right;
    }
    return value;
  }

  #and(): Value {
    let value = this.#not();
    while (this.#accept('and') !== null) {
      const right = this.#not();
      value = truth(value) ? right : value;
    }
    return value;
  }

  #not(): Value {
    if (this.#accept('not') !== null) return !truth(this.#not());
    return this.#comparison();
  }

  #comparison(): Value {
    let left = this.#binary(0);
    let holds = true;
    let compared = false;
    for (;;) {
      let operator = this.#accept('<', '<=', '>', '>=', '==', '!=', 'in', 'is');
      if (operator === null && this.#tokens[this.#at] === 'not' && this.#tokens[this.#at + 1] === 'in') {
        this.#at += 2;
        operator = 'not in';
      }
      if (operator === 'is' && this.#accept('not') !== null) operator = '!=';
      if (operator === null) return compared ? holds : left;
      const right = this.#binary(0);
      holds = holds && compare(operator, left, right);
      left = right;
      compared = true;
    }
  }

  #binary(level: number): Value {
    if (level === LEVELS.length) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = this.#accept(...LEVELS[level]);
      if (operator === null) return left;
      left = arithmetic(operator, left, this.#binary(level + 1), this.#line);
    }
  }

  #unary(): Value {
    const operator = this.#accept('-', '+', '~');
    if (operator === null) return this.#power();
    const value = Number(this.#unary());
    return operator === '-' ? -value : operator === '+' ? value : ~value;
  }

  #power(): Value {
    const base = this.#primary();
    return this.#accept('**') === null ? base : Number(base) ** Number(this.#unary());
  }

  #primary(): Value {
    const token = this.#tokens[this.#at++];
    if (token === undefined) this.#fail();
    if (token === '(' || token === '[') {
      const close = token === '(' ? ')' : ']';
      const value = this.#accept(close) === null ? this.#tuple() : [];
      if (value !== null && !(Array.isArray(value) && value.length === 0) && this.#accept(close) === null) this.#fail();
      return token === '[' && !Array.isArray(value) ? [value] : value;
    }
    if (/^[\d.]/.test(token)) return Number(token);
    if (token.startsWith('"') || token.startsWith("'")) return token.slice(1, -1);
    if (!/^[A-Za-z_]/.test(token)) {
      this.#at--;
      this.#fail();
    }
    if (this.#tokens[this.#at] === '(') return this.#call(token);
    if (token === 'True') return true;
    if (token === 'False') return false;
    if (token === 'None') return null;
    const value = this.#names.get(token);
    if (value === undefined) throw new Unsupported(`the name ${token} in code (line ${this.#line})`);
    return value;
  }

  #call(name: string): Value {
    this.#at++;
    const args: Value[] = [];
    while (this.#accept(')') === null) {
      args.push(this.#conditional());
      if (this.#accept(',') === null && this.#tokens[this.#at] !== ')') this.#fail();
    }
    const values = args.flat().map(Number);
    switch (name) {
      case 'abs':
        return Math.abs(values[0]);
      case 'min':
        return Math.min(...values);
      case 'max':
        return Math.max(...values);
      case 'int':
        return Math.trunc(Number(args[0]));
      case 'float':
        return values[0];
      case 'round':
        return Math.round(values[0]);
      case 'bool':
        return truth(args[0]);
      case 'str':
      case 'repr':
      case 'hex':
        return name === 'hex' ? `0x${values[0].toString(16)}` : show(args[0]);
      case 'len': {
        const [what] = args;
        return typeof what === 'string' || Array.isArray(what) ? what.length : 0;
      }
      default:
        throw new Unsupported(`Python's ${name}() (line ${this.#line})`);
    }
  }
}

const LEVELS: readonly (readonly string[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/', '//', '%']];

function compare(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
    case 'is':
      return show(left) === show(right) || Number(left) === Number(right);
    case '!=':
      return !compare('==', left, right);
    case 'in':
      return typeof right === 'string'
        ? right.includes(String(left))
        : Array.isArray(right) && right.some((item) => compare('==', left, item));
    case 'not in':
      return !compare('in', left, right);
    case '<':
      return Number(left) < Number(right);
    case '<=':
      return Number(left) <= Number(right);
    case '>':
      return Number(left) > Number(right);
    default:
      return Number(left) >= Number(right);
  }
}

function arithmetic(operator: string, left: Value, right: Value, line: number): Value {
  if (operator === '+' && typeof left === 'string' && typeof right === 'string') return left + right;
  if (operator === '%' && typeof left === 'string') return format(left, Array.isArray(right) ? right : [right]);
  const a = Number(left);
  const b = Number(right);
  if (Number.isNaN(a) || Number.isNaN(b))
    throw new ScriptError(line, `cannot compute ${show(left)} ${operator} ${show(right)}`);
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '//':
      return Math.floor(a / b);
    case '%':
      return a - b * Math.floor(a / b);
    case '<<':
      return a * 2 ** b;
    case '>>':
      return Math.floor(a / 2 ** b);
    case '&':
      return Number(BigInt(Math.trunc(a)) & BigInt(Math.trunc(b)));
    case '|':
      return Number(BigInt(Math.trunc(a)) | BigInt(Math.trunc(b)));
    default:
      return Number(BigInt(Math.trunc(a)) ^ BigInt(Math.trunc(b)));
  }
}

function format(template: string, values: readonly Value[]): string {
  let next = 0;
  return template.replace(/%(?:%|[-+0-9.]*[a-zA-Z])/g, (directive) =>
    directive === '%%' ? '%' : show(values[next++] ?? null),
  );
}
