// Network namespaces for the interop tests: each test file gets a private one, runs `tapstack up` and real programs inside, and leaves
// nothing behind, whatever happened.
//
// Every wait is bounded. Every process is started in a group of its own and ended by that group's id.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const SYSTEM_PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const PREFIX = 'ts';

export interface Result {
  /** Exit status; null when a signal ended the program. */
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Milliseconds until the program is killed and the promise rejects. */
  timeout?: number;
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
}

/** A program that is running; its output is kept. */
export class Running {
  readonly child: ChildProcess;
  readonly commandLine: string;
  readonly exited: Promise<Result>;
  stdout = '';
  stderr = '';
  readonly #chunks: Buffer[] = [];
  #changed: (() => void)[] = [];
  #result: Result | null = null;

  constructor(program: string, args: readonly string[], options: RunOptions = {}) {
    this.commandLine = [program, ...args].join(' ');
    this.child = spawn(program, args, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, PATH: SYSTEM_PATH, LC_ALL: 'C', ...options.env },
    });
    const notify = (): void => {
      const waiting = this.#changed;
      this.#changed = [];
      for (const wake of waiting) wake();
    };
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.stdout += chunk.toString('latin1');
      notify();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString('utf8');
      notify();
    });
    this.child.stdin?.on('error', () => notify()); // the program may end without reading its input
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (status, signal) => {
        this.stdout = Buffer.concat(this.#chunks).toString('utf8');
        this.#result = { status, signal, stdout: this.stdout, stderr: this.stderr };
        resolve(this.#result);
        notify();
      });
    });
    this.exited.catch(() => notify());
    if (options.input !== undefined) this.child.stdin?.end(options.input);
  }

  get hasExited(): boolean {
    return this.#result !== null;
  }

  /** Standard output as it came, for programs that print bytes. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Wait until standard output matches. */
  async output(pattern: RegExp, timeout = 15_000): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeout;
    for (;;) {
      const match = this.stdout.match(pattern);
      if (match !== null) return match;
      const left = deadline - Date.now();
      if (this.#result !== null || left <= 0) {
        const how = this.#result === null ? `within ${timeout} ms` : `before it ended with ${this.#result.status}`;
        throw new Error(`"${this.commandLine}" did not print ${pattern} ${how}\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#changed.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#result !== null || this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** Wait for the end; killed and rejected when it takes longer than `timeout`. */
  async finish(timeout = 30_000): Promise<Result> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.kill('SIGKILL');
        reject(new Error(`"${this.commandLine}" ran longer than ${timeout} ms\n${this.stdout}\n${this.stderr}`));
      }, timeout);
    });
    try {
      return await Promise.race([this.exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

const living = new Set<Netns>();
process.once('exit', () => {
  for (const netns of living) netns.destroyNow();
});

export class Netns {
  static #next = 0;
  readonly name: string;
  /** Of this namespace alone: control sockets and files of its stacks go here. */
  readonly directory: string;
  readonly #running = new Set<Running>();

  constructor() {
    removeAbandoned();
    this.name = `${PREFIX}-${process.pid}-${Netns.#next++}`;
    this.directory = mkdtempSync(join(tmpdir(), `${this.name}-`));
    living.add(this);
    ip('netns', 'add', this.name);
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
  }

  /** Start a program inside. */
  spawn(program: string, args: readonly string[] = [], options: RunOptions = {}): Running {
    const running = new Running('ip', ['netns', 'exec', this.name, program, ...args], {
      ...options,
      env: { XDG_RUNTIME_DIR: this.directory, ...options.env },
    });
    this.#running.add(running);
    running.exited.then(
      () => this.#running.delete(running),
      () => this.#running.delete(running),
    );
    return running;
  }

  /** Run a program inside to its end. */
  run(program: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    const running = this.spawn(program, args, options);
    if (options.input === undefined) running.child.stdin?.end();
    return running.finish(options.timeout);
  }

  /** Run a line of shell inside. */
  shell(line: string, options: RunOptions = {}): Promise<Result> {
    return this.run('bash', ['-c', line], options);
  }

  /** `ip -n NAMESPACE …`; throws when it fails. */
  ip(...args: string[]): string {
    return ip('-n', this.name, ...args);
  }

  /** Names of the interfaces inside, without lo. */
  interfaces(): string[] {
    return (JSON.parse(this.ip('-j', 'link', 'show')) as { ifname: string }[])
      .map((link) => link.ifname)
      .filter((name) => name !== 'lo');
  }

  /** Run the command line of this checkout inside. */
  tapstack(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return this.run(process.execPath, [...commandLine(), ...args], options);
  }

  /** Start `tapstack up` with `args` and wait until it is ready. */
  async up(args: readonly string[], options: RunOptions = {}): Promise<Running> {
    const running = this.spawn(process.execPath, [...commandLine(), 'up', ...args], options);
    await running.output(/^ready.*$/m, 30_000);
    return running;
  }

  /** End everything inside and remove the namespace. */
  async destroy(): Promise<void> {
    const ending = [...this.#running];
    for (const running of ending) running.kill('SIGTERM');
    const grace = Date.now() + 3_000;
    while (ending.some((running) => !running.hasExited) && Date.now() < grace) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.destroyNow();
  }

  /** The same at once, for the end of the process. */
  destroyNow(): void {
    if (!living.delete(this)) return;
    for (const running of this.#running) running.kill('SIGKILL');
    spawnSync('ip', ['netns', 'del', this.name], { env: { PATH: SYSTEM_PATH } });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Stop a stack as Ctrl-C does; resolves to how it ended. */
export function interrupt(stack: Running, signal: NodeJS.Signals = 'SIGINT'): Promise<Result> {
  stack.kill(signal);
  return stack.finish(15_000);
}

/** Why these tests cannot run here, or null. Root and the named programs are needed; `make test` as root installs them. */
export function missing(...programs: string[]): string | null {
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun (modprobe tun)';
  const absent = ['ip', ...programs].filter(
    (program) => !SYSTEM_PATH.split(':').some((directory) => existsSync(join(directory, program))),
  );
  return absent.length === 0 ? null : `needs ${absent.join(', ')} ("make clients" as root installs the programs)`;
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', env: { PATH: SYSTEM_PATH }, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A run that was killed could not clean up: remove namespaces whose creator is gone. */
function removeAbandoned(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = new RegExp(`^${PREFIX}-(\\d+)-\\d+$`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      spawnSync('ip', ['netns', 'del', name], { env: { PATH: SYSTEM_PATH } });
    }
  }
}

let command: string[] | null = null;

/** Node's arguments for the command line: what was built when that is current, the sources otherwise. */
export function commandLine(): string[] {
  command ??= isBuilt()
    ? [join(ROOT, 'dist/cli/main.js')]
    : ['--import', join(ROOT, 'node_modules/tsx/dist/esm/index.mjs'), join(ROOT, 'src/cli/main.ts')];
  return command;
}

function isBuilt(): boolean {
  const stamp = join(ROOT, 'dist/.built');
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  return readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true }).every(
    (entry) => !entry.isFile() || statSync(join(entry.parentPath, entry.name)).mtimeMs <= built,
  );
}
