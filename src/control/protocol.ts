// The control protocol: JSON lines over a UNIX socket, one request per connection.
//
//   client  {"op":"ping","params":{"host":"10.9.0.1"}}
//   server  {"item":…}            none or more, for requests that stream
//           {"result":…}  or  {"error":{"code":"EINVAL","message":"…"}}      exactly one, last
//
// A client that closes its end cancels the request. Lines are bounded, and what a peer sent is validated before it is used.

export const MAX_REQUEST = 64 * 1024;
export const MAX_REPLY = 4 * 1024 * 1024;

export interface ErrorBody {
  code: string;
  message: string;
}

export type Reply = { item: unknown } | { result: unknown } | { error: ErrorBody };

/** A failure to be told to the other side. */
export class ControlError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ControlError';
    this.code = code;
  }
}

export interface Request {
  op: string;
  params: Params;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @throws ControlError when `line` is no request */
export function parseRequest(line: string): Request {
  const value = parseJson(line);
  if (!isRecord(value) || typeof value.op !== 'string') {
    throw new ControlError('EINVAL', 'a request is {"op": name, "params": {…}}');
  }
  const params = value.params ?? {};
  if (!isRecord(params)) throw new ControlError('EINVAL', `params of ${value.op} must be an object`);
  return { op: value.op, params: new Params(value.op, params) };
}

/** @throws ControlError when `line` is no reply */
export function parseReply(line: string): Reply {
  const value = parseJson(line);
  if (isRecord(value)) {
    if ('item' in value) return { item: value.item };
    if ('result' in value) return { result: value.result };
    const { error } = value;
    if (isRecord(error) && typeof error.code === 'string' && typeof error.message === 'string') {
      return { error: { code: error.code, message: error.message } };
    }
  }
  throw new ControlError('EPROTO', 'the stack answered with something that is no reply; is it of another version?');
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new ControlError('EINVAL', 'not a line of JSON');
  }
}

/** The parameters of one request. Each is asked for by name and kind; `finish` rejects the ones nobody asked for. */
export class Params {
  readonly #op: string;
  readonly #values: Record<string, unknown>;
  readonly #asked = new Set<string>();

  constructor(op: string, values: Record<string, unknown>) {
    this.#op = op;
    this.#values = values;
  }

  #take(name: string): unknown {
    this.#asked.add(name);
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  #wrong(name: string, wanted: string): ControlError {
    return new ControlError('EINVAL', `${this.#op}: "${name}" must be ${wanted}`);
  }

  string(name: string): string {
    const value = this.#take(name);
    if (typeof value !== 'string' || value.length === 0 || value.length > 255) {
      throw this.#wrong(name, 'a string of 1 to 255 characters');
    }
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.#take(name) === undefined ? undefined : this.string(name);
  }

  /** A number in [min, max], fractions allowed. */
  number(name: string, min: number, max: number, otherwise: number): number {
    const value = this.#take(name) ?? otherwise;
    if (typeof value !== 'number' || !(value >= min && value <= max)) {
      throw this.#wrong(name, `a number from ${min} to ${max}`);
    }
    return value;
  }

  integer(name: string, min: number, max: number, otherwise: number): number {
    const value = this.number(name, min, max, otherwise);
    if (!Number.isInteger(value)) throw this.#wrong(name, 'a whole number');
    return value;
  }

  flag(name: string): boolean {
    const value = this.#take(name) ?? false;
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false');
    return value;
  }

  oneOf<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.#take(name) ?? otherwise;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) throw this.#wrong(name, `one of ${choices.join(', ')}`);
    return choice;
  }

  finish(): void {
    for (const name of Object.keys(this.#values)) {
      if (!this.#asked.has(name)) throw new ControlError('EINVAL', `${this.#op}: unknown parameter "${name}"`);
    }
  }
}

/** Cuts a byte stream into lines of at most `limit` bytes. */
export class LineReader {
  readonly #limit: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * The lines that `chunk` completes.
   * @throws ControlError when a line is longer than the limit
   */
  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (;;) {
      const newline = chunk.indexOf(10, start);
      const end = newline < 0 ? chunk.length : newline;
      this.#length += end - start;
      if (this.#length > this.#limit) throw new ControlError('EMSGSIZE', `a line of more than ${this.#limit} bytes`);
      if (end > start) this.#parts.push(chunk.subarray(start, end));
      if (newline < 0) return;
      const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#length = 0;
      start = newline + 1;
      yield line.toString('utf8');
    }
  }
}
