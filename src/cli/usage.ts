// How commands end: 0 when they did what was asked, 1 when they could not, 2 when they were asked wrongly. Failures are one line.

export const FAILED = 1;
export const MISUSED = 2;

/** A failure to be printed as one line, without a stack trace. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = FAILED) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** The command was asked wrongly: one line, exit status 2. */
export const misuse = (message: string): CommandError => new CommandError(message, MISUSED);
