// Opens COUNT connections to HOST:7 at once, sends SIZE bytes of its own on each, and compares what comes back:
// node parallel-echo.mjs HOST COUNT SIZE. Prints one JSON object.

import { connect } from 'node:net';

const [host, count, size] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

function echo(number) {
  return new Promise((resolve) => {
    const sent = Buffer.alloc(size);
    for (let i = 0; i < size; i++) sent[i] = (i * 31 + number * 7 + (i >> 8)) & 255;
    const parts = [];
    let length = 0;
    const socket = connect({ host, port: 7, allowHalfOpen: true }, () => {
      open++;
      most = Math.max(most, open);
      if (open === count) release();
    });
    held.then(() => socket.end(sent));
    socket.on('data', (chunk) => {
      parts.push(chunk);
      length += chunk.length;
    });
    socket.on('error', (error) => resolve(error.code));
    socket.on('end', () =>
      resolve(length === size && Buffer.concat(parts).equals(sent) ? 'ok' : `wrong (${length} bytes)`),
    );
  });
}

let open = 0;
let most = 0;
let release;
// Nobody sends before everybody is connected.
const held = new Promise((resolve) => {
  release = resolve;
});
setTimeout(release, 20_000).unref();
const results = await Promise.all(Array.from({ length: count }, (_, number) => echo(number)));
const tally = {};
for (const result of results) tally[result] = (tally[result] ?? 0) + 1;
console.log(JSON.stringify({ most, tally }));
