// A cursor over a script's text that skips blanks and comments: `// …`, `/* … */` and `# …`.

import { ScriptError } from './ast.ts';

export class Scanner {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  get line(): number {
    return this.lineOf(this.at);
  }

  lineOf(at: number): number {
    let line = 1;
    for (let i = this.text.indexOf('\n'); i >= 0 && i < at; i = this.text.indexOf('\n', i + 1)) line++;
    return line;
  }

  fail(message: string): never {
    throw new ScriptError(this.line, message);
  }

  skip(): void {
    const blank = /(?:\s+|\/\/[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/)*/y;
    blank.lastIndex = this.at;
    blank.test(this.text);
    this.at = blank.lastIndex;
  }

  get isAtEnd(): boolean {
    this.skip();
    return this.at >= this.text.length;
  }

  /** What `pattern` (sticky) finds here, and moves behind it; null when it does not match. */
  take(pattern: RegExp): RegExpExecArray | null {
    const from = this.at;
    this.skip();
    const found = this.takeHere(pattern);
    if (found === null) this.at = from;
    return found;
  }

  /** The same without skipping blanks. */
  takeHere(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found !== null) this.at = pattern.lastIndex;
    return found;
  }

  peek(pattern: RegExp): boolean {
    const from = this.at;
    this.skip();
    pattern.lastIndex = this.at;
    this.at = from;
    return pattern.test(this.text);
  }

  /** True when `token` comes next, and moves behind it. */
  accept(token: string): boolean {
    const from = this.at;
    this.skip();
    if (this.text.startsWith(token, this.at)) {
      this.at += token.length;
      return true;
    }
    this.at = from;
    return false;
  }

  expect(token: string, where: string): void {
    if (!this.accept(token)) this.fail(`expected '${token}' ${where}, found ${this.#found()}`);
  }

  #found(): string {
    this.skip();
    const rest = this.text.slice(this.at, this.at + 24).split('\n', 1)[0];
    return rest === '' ? 'the end' : `'${rest}'`;
  }

  /** A decimal or hexadecimal number. */
  integer(what: string): number {
    const found = this.take(/0x[0-9a-fA-F]+|\d+/y);
    if (found === null) this.fail(`expected ${what}, found ${this.#found()}`);
    return Number(found[0]);
  }

  word(what: string): string {
    const found = this.take(/[A-Za-z_][A-Za-z0-9_]*/y);
    if (found === null) this.fail(`expected ${what}, found ${this.#found()}`);
    return found[0];
  }
}
