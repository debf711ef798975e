// A generated script, and how the tables of this directory make them.

export interface Case {
  readonly name: string;
  readonly script: string;
}

/** A script from lines of events; each begins with its time. */
export const script = (...lines: readonly string[]): string => `${lines.filter((line) => line !== '').join('\n')}\n`;
