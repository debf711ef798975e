// Writes the first N bytes of the http service's pattern to standard output: what a test uploads.

import { once } from 'node:events';
import { fillPattern } from '../../src/service/http.ts';

const length = Number(process.argv[2]);
const CHUNK = 1 << 18;
for (let at = 0; at < length; at += CHUNK) {
  const chunk = new Uint8Array(Math.min(CHUNK, length - at));
  fillPattern(chunk, at);
  if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
}
