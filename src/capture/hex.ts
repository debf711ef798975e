// Bytes as people read them: sixteen to a line, offset in front, characters behind.

/** The lines of a hex dump of `bytes`, each indented by `indent`. */
export function hexLines(bytes: Uint8Array, indent = ''): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    let hex = '';
    let characters = '';
    for (let i = 0; i < 16; i++) {
      if (i < row.length) {
        hex += row[i].toString(16).padStart(2, '0');
        characters += row[i] > 31 && row[i] < 127 ? String.fromCharCode(row[i]) : '.';
      } else {
        hex += '  ';
      }
      if (i % 2 === 1) hex += ' ';
    }
    lines.push(`${indent}0x${at.toString(16).padStart(4, '0')}:  ${hex} ${characters}`);
  }
  return lines;
}
