// From the text of a script to its events. Packets are read in packet-parser.ts, arguments of calls in expression.ts.

import type { Event, Script, When } from './ast.ts';
import { expression, expressionList } from './expression.ts';
import { packet } from './packet-parser.ts';
import { Scanner } from './scanner.ts';

const NUMBER = /(?:\d+(?:\.(?!\.)\d*)?|\.\d+)/y;

/**
 * @param standard what `#ifdef STANDARD` asks for, instead of FreeBSD's own ways
 * @throws ScriptError for what is not a script, Unsupported for what we do not do
 */
export function parseScript(text: string, standard = false): Script {
  const s = new Scanner(preprocess(text, standard ? STANDARD : FREEBSD));
  const options = new Map<string, string>();
  while (!s.isAtEnd && s.peek(/--?[A-Za-z]/y)) headerOption(s, options);
  const events: Event[] = [];
  while (!s.isAtEnd) events.push(event(s));
  return { options, events };
}

/** Names a script may ask for with `#ifdef`: FreeBSD's own ways in FreeBSD's scripts, or what the RFCs say where FreeBSD differs. */
const FREEBSD: ReadonlySet<string> = new Set(['FreeBSD', '__FreeBSD__']);
const STANDARD: ReadonlySet<string> = new Set(['STANDARD']);

/** The script tells what FreeBSD does from what the RFCs say. */
export const hasStandard = (text: string): boolean => /^#\s*ifdef\s+STANDARD\b/m.test(text);

/** Blank out what `#ifdef`, `#ifndef`, `#else` and `#endif` exclude; lines keep their numbers. */
function preprocess(text: string, defined: ReadonlySet<string>): string {
  if (!/^#\s*ifn?def\b/m.test(text)) return text;
  const open: boolean[] = [];
  return text
    .split('\n')
    .map((line) => {
      const directive = /^#\s*(ifdef|ifndef|else|endif)\b\s*(\w*)/.exec(line);
      if (directive === null) return open.every(Boolean) ? line : '';
      const [, word, name] = directive;
      if (word === 'endif') open.pop();
      else if (word === 'else') open.push(!(open.pop() ?? true));
      else open.push(defined.has(name) === (word === 'ifdef'));
      return '';
    })
    .join('\n');
}

/** `--name=value`, `--name value`, `--name`, `-D NAME=value`. */
function headerOption(s: Scanner, options: Map<string, string>): void {
  const found = s.take(/-(?:-([A-Za-z][\w-]*)|([A-Za-z]))/y);
  if (found === null) s.fail('expected an option');
  const name = found[1] ?? found[2];
  const value = s.takeHere(/[ \t]*(?:=[ \t]*|[ \t])(?!--)([^\s/#`+*][^\s]*)/y);
  options.set(name, value?.[1] ?? '');
}

function event(s: Scanner): Event {
  const when = time(s);
  s.skip();
  const start = s.at;
  const line = s.line;
  const textSince = (): string => s.text.slice(start, s.at).replace(/\s+/g, ' ').trim();
  const quoted = s.take(/`([^`]*)`/y);
  if (quoted !== null) return { kind: 'command', line, when, text: s.text.slice(start, s.at), command: quoted[1] };
  const code = s.take(/%\{([\s\S]*?)\}%/y);
  if (code !== null) return { kind: 'code', line, when, text: s.text.slice(start, s.at), code: code[1] };
  const direction = s.take(/[<>]/y);
  if (direction !== null) {
    const spec = packet(s);
    return { kind: 'packet', line, when, text: textSince(), inbound: direction[0] === '<', packet: spec };
  }
  if (!s.peek(/[A-Za-z_]\w*\s*\(/y))
    s.fail(`expected a packet, a call, a command or code, found '${s.text.slice(s.at, s.at + 20).split('\n', 1)[0]}'`);
  const name = s.word('a system call');
  s.expect('(', `after ${name}`);
  const args = s.accept(')') ? [] : expressionList(s, ')');
  s.expect('=', `after ${name}(…): what does it return?`);
  const result = expression(s);
  const errno = s.take(/E[A-Z][A-Z0-9]*\b/y)?.[0] ?? null;
  s.take(/\([^\n]*?\)(?=\s*(?:\/\/|#|\n|$))/y);
  return { kind: 'call', line, when, text: textSince(), name, args, result, errno };
}

/** `0.1`, `+.1`, `*`, `+.1~+.2`, `0.1~0.2`, and `...end` in front of a call that blocks. */
function time(s: Scanner): When | null {
  if (s.accept('*')) return { any: true, relative: false, at: 0, until: null, end: null };
  if (!s.peek(/\+|\d|\.\d/y)) return null;
  const relative = s.accept('+');
  const at = micros(s);
  let until: number | null = null;
  let end: number | null = null;
  if (s.accept('~')) {
    s.accept('+');
    until = micros(s);
  }
  if (s.accept('...')) {
    s.accept('+');
    end = micros(s);
  }
  return { any: false, relative, at, until, end };
}

function micros(s: Scanner): number {
  const found = s.take(NUMBER);
  if (found === null) s.fail('expected a time in seconds');
  return Math.round(Number(found[0]) * 1e6);
}
