// The shell commands scripts use — a table, not a shell.
//
// Known are settings (sysctl, defaults.sh, ip route …), questions about the sockets there are (sockstat, netstat, ss, filtered by grep and
// wc), and what has no effect here. Everything else is unsupported.

import { Unsupported } from './ast.ts';
import type { Profile } from './profile.ts';

export interface ShellHost {
  readonly profile: Profile;
  /** One line per TCP socket, as sockstat and ss would print it: state in the dialect's spelling. */
  sockets(): string[];
  /** Let time pass. */
  sleep(micros: number): void;
}

interface Outcome {
  readonly status: number;
  readonly output: readonly string[];
}

const DONE: Outcome = { status: 0, output: [] };
/** What set_sysctls.py leaves behind, by the name scripts call it. */
const RESTORE = 'sysctl_restore_$' + '{PPID}.sh';

/** Run `text`; returns the exit status of its last command. */
export function runCommand(text: string, host: ShellHost): number {
  let status = 0;
  const script = text.replace(/\\\n/g, ' ').replace(/(^|\s)#[^\n]*/g, '$1');
  for (const line of splitOutsideQuotes(script, /^(?:\n|;)/)) {
    // `a || b`: b only when a has failed.
    for (const [i, alternative] of splitOutsideQuotes(line, /^\|\|/).entries()) {
      if (i > 0 && status === 0) break;
      status = conjunction(alternative, host);
    }
  }
  return status;
}

/** `a && b`: b only when a has not failed. */
function conjunction(text: string, host: ShellHost): number {
  let status = 0;
  for (const part of splitOutsideQuotes(text, /^&&/)) {
    if (status === 0 && part.trim() !== '') status = pipeline(part.trim(), host);
  }
  return status;
}

/** Split at what `separator` matches, quotes respected. */
function splitOutsideQuotes(text: string, separator: RegExp): string[] {
  const parts: string[] = [];
  let part = '';
  let quote = '';
  for (let i = 0; i < text.length; ) {
    const found = quote === '' ? separator.exec(text.slice(i)) : null;
    if (found !== null) {
      parts.push(part);
      part = '';
      i += found[0].length;
      continue;
    }
    const c = text[i++];
    if (quote === '' && (c === '"' || c === "'")) quote = c;
    else if (c === quote) quote = '';
    part += c;
  }
  parts.push(part);
  return parts;
}

function words(command: string): string[] {
  const found = command.match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) ?? [];
  return found.map((word) => arithmetic(word.replace(/["']/g, '')));
}

/** `$((256*1024))` */
const arithmetic = (word: string): string =>
  word.replace(/\$\(\(([\d\s*]+)\)\)/g, (_, product: string) =>
    String(product.split('*').reduce((value, factor) => value * Number(factor), 1)),
  );

function pipeline(text: string, host: ShellHost): number {
  const negated = text.startsWith('! ');
  let outcome = DONE;
  const stages = splitOutsideQuotes(negated ? text.slice(2) : text, /^\|/);
  for (const [i, stage] of stages.entries()) {
    const withoutRedirect = stage.replace(/\s[12&]?>{1,2}\s*(?:\/dev\/null|&[12])/g, ' ').trim();
    outcome = i === 0 ? source(withoutRedirect, host) : filter(words(withoutRedirect), outcome);
  }
  return negated ? (outcome.status === 0 ? 1 : 0) : outcome.status;
}

function source(command: string, host: ShellHost): Outcome {
  const echo = /^echo\s+(.*?)\s*>\s*(\/proc\/sys\/\S+)$/.exec(command);
  if (echo !== null) {
    host.profile.set(echo[2], echo[1].replace(/["']/g, ''));
    return DONE;
  }
  const [path, ...args] = words(command.replace(/^(?:sudo|sh|bash|source|\.)\s+/, ''));
  const program = path.slice(path.lastIndexOf('/') + 1);
  switch (program) {
    case 'sysctl':
    case 'set_sysctls.py':
      for (const arg of args) setting(arg, host.profile);
      return DONE;
    case 'defaults.sh':
      host.profile.useLinuxDefaults();
      return DONE;
    case 'ip':
      return ip(args, command, host);
    case 'sockstat':
    case 'netstat':
    case 'ss':
      return { status: 0, output: host.sockets() };
    case 'sleep':
      host.sleep(Math.round(Number(args[0]) * 1e6));
      return DONE;
    case 'ifconfig':
      return mtu(args, command, host);
    case 'echo':
      return { status: 0, output: [args.join(' ')] };
    case 'tc':
      // The fq queue discipline paces below TCP; here TCP does it itself.
      if (args.includes('fq')) host.profile.tcp.pacing = 'on';
      else if (args.includes('limit')) throw new Unsupported('a queue below the stack that drops');
      return DONE;
    // An offload below us, a module, a cache: there is none.
    case 'ethtool':
    case 'modprobe':
    case 'kldload':
    case 'nstat':
    case 'sync':
    case 'true':
    case ':':
    case 'clear':
    case 'set':
      return DONE;
    // Settings of a script die with its host.
    case RESTORE:
      return DONE;
    case 'false':
      return { status: 1, output: [] };
    default:
      throw new Unsupported(`the command ${command.split('\n', 1)[0]}`);
  }
}

function setting(arg: string, profile: Profile): void {
  const at = arg.indexOf('=');
  if (arg.startsWith('-') || at < 0) {
    // A question (`sysctl net.inet.tcp.…`) has no consequences, but it says whose world this is.
    if (arg.startsWith('net.inet.') || arg.startsWith('kern.')) profile.useFreebsd();
    return;
  }
  profile.set(arg.slice(0, at), arg.slice(at + 1));
}

function ip(args: string[], command: string, host: ShellHost): Outcome {
  const object = args.find((arg) => !arg.startsWith('-')) ?? '';
  if (['tcp_metrics', 'rule', 'neigh', 'netns'].includes(object)) return DONE;
  if (object === 'link') return mtu(args, command, host);
  if (!['route', 'ro', 'r'].includes(object)) throw new Unsupported(`the command ${command}`);
  const value = (name: string): string | undefined => {
    const at = args.indexOf(name);
    if (at < 0) return undefined;
    return args[at + 1] === 'lock' ? args[at + 2] : args[at + 1];
  };
  const { profile } = host;
  const initcwnd = value('initcwnd');
  if (initcwnd !== undefined) profile.tcp.initialWindow = Number(initcwnd);
  const rtoMin = value('rto_min');
  if (rtoMin !== undefined) profile.tcp.minRto = duration(rtoMin);
  const advmss = value('advmss');
  if (advmss !== undefined) profile.tcp.maxSegment = Number(advmss);
  const congctl = value('congctl');
  if (congctl !== undefined) profile.set('net.ipv4.tcp_congestion_control', congctl);
  for (const name of ['mtu', 'cwnd', 'window', 'features', 'ssthresh', 'quickack', 'reordering', 'fastopen_no_cookie'])
    if (value(name) !== undefined) profile.doubt(`the route attribute ${name} ${value(name)}`);
  return DONE;
}

/** `200ms`, `1s`, `0.2s` or a plain number of ms, in µs. */
function duration(text: string): number {
  const value = Number.parseFloat(text);
  return Math.round(value * (text.endsWith('us') ? 1 : /\ds$/.test(text) ? 1e6 : 1e3));
}

function mtu(args: string[], command: string, host: ShellHost): Outcome {
  const at = args.indexOf('mtu');
  if (at < 0) {
    if (args.includes('up') || args.includes('gso_max_size') || args.includes('gso_max_segs')) return DONE;
    throw new Unsupported(`the command ${command}`);
  }
  host.profile.mtu = Number(args[at + 1]);
  return DONE;
}

function filter(args: string[], input: Outcome): Outcome {
  const [program, ...rest] = args;
  const flags = rest.filter((arg) => arg.startsWith('-')).join('');
  const [pattern] = rest.filter((arg) => !arg.startsWith('-'));
  if (program === 'wc' && flags.includes('l')) return { status: 0, output: [String(input.output.length)] };
  if (program === 'cat') return input;
  if ((program !== 'grep' && program !== 'egrep') || pattern === undefined)
    throw new Unsupported(`a pipe into ${args.join(' ')}`);
  const test = new RegExp(pattern, flags.includes('i') ? 'i' : '');
  const lines = input.output.filter((line) => test.test(line) !== flags.includes('v'));
  const status = lines.length > 0 ? 0 : 1;
  return { status, output: flags.includes('c') ? [String(lines.length)] : lines };
}
