// The program under test, the same for both: a server on Node's own `net` and `dgram`, or on a stack of ours.
//
//   server.ts kernel ADDRESS           on the host's interfaces
//   server.ts offload TAP ADDRESS/N    on a stack, with all the TAP can do
//   server.ts plain TAP ADDRESS/N      on a stack, with 1,500-byte packets both ways and every checksum computed here
//
// Port 5001 receives and answers the end with a count (5011: compares every byte), 5002 sends, 5003 echoes, 5004 speaks HTTP, UDP 5005 echoes,
// UDP 5006 counts what it gets and TCP 5007 tells, UDP 5008 sends. It prints `ready` and runs until it is ended.

import nodeDgram from 'node:dgram';
import http from 'node:http';
import nodeNet from 'node:net';
import { matches, pattern, placeOf, SPAN } from './pattern.ts';
import { withoutOffload } from './plain-link.ts';
import { tapstack } from './subject.ts';

type Net = Pick<typeof nodeNet, 'createServer'>;
type Dgram = Pick<typeof nodeDgram, 'createSocket'>;

const CHUNK = 65536;
const DATAGRAM = 64;

async function environment(): Promise<{ net: Net; dgram: Dgram; host: string }> {
  const [kind, where, address] = process.argv.slice(2);
  if (kind === 'kernel') return { net: nodeNet, dgram: nodeDgram, host: where };
  const { createStack, Tap, TapLink } = await tapstack();
  const stack =
    kind === 'offload'
      ? await createStack({ tap: where, address })
      : await createStack({
          link: withoutOffload(new TapLink(new Tap(where, { exclusive: false, offload: 0 }))),
          address,
        });
  stack.on('error', (error) => {
    throw error;
  });
  if (process.env.BENCH_STATS !== undefined) process.once('exit', () => console.error(stack.core.stats));
  return {
    net: stack.net as unknown as Net,
    dgram: stack.dgram as unknown as Dgram,
    host: address.split('/')[0],
  };
}

const { net, dgram, host } = await environment();
const ignore = (): void => {}; // a client that has seen enough resets its connection

const sink = (full: boolean): nodeNet.Server =>
  net.createServer({ allowHalfOpen: true }, (socket) => {
    const port = socket.remotePort ?? 0;
    let count = 0;
    socket.on('error', ignore);
    socket.on('data', (chunk: Buffer) => {
      if (!matches(chunk, port, count, full)) {
        console.error(`server: wrong bytes between ${count} and ${count + chunk.length}`);
        socket.resetAndDestroy();
        return;
      }
      count += chunk.length;
    });
    socket.on('end', () => {
      const answer = Buffer.alloc(8);
      answer.writeBigUInt64LE(BigInt(count));
      socket.end(answer);
    });
  });

const source = net.createServer((socket) => {
  const port = socket.remotePort ?? 0;
  let count = 0;
  const fill = (): void => {
    for (let more = true; more && !socket.destroyed; ) {
      const place = placeOf(port, count);
      count += CHUNK;
      more = socket.write(pattern.subarray(place, place + CHUNK));
    }
  };
  socket.on('error', ignore);
  socket.on('drain', fill);
  socket.resume();
  fill();
});

const echo = net.createServer({ noDelay: true }, (socket) => {
  socket.on('error', ignore);
  socket.on('data', (chunk) => socket.write(chunk));
});

const web = http.createServer((_request, response) => {
  response.end('Hello, world!\n');
});
web.keepAliveTimeout = 60_000;
const webServer = net.createServer((socket) => {
  web.emit('connection', socket);
});

let counted = 0;
const counter = dgram.createSocket('udp4');
counter.on('message', (message) => {
  const place = (message.readUInt32LE(0) * DATAGRAM) % 65521;
  if (message.length === DATAGRAM && message[8] === pattern[place + 8] && message[63] === pattern[place + 63])
    counted++;
});
const teller = net.createServer((socket) => {
  socket.on('error', ignore);
  socket.end(`${counted} ${performance.now()}\n`);
});

const udpEcho = dgram.createSocket('udp4');
udpEcho.on('message', (message, from) => udpEcho.send(message, from.port, from.address));

// For as many milliseconds as the request says, to whoever asks.
const udpSource = dgram.createSocket('udp4');
udpSource.on('message', (request, from) => {
  const socket = dgram.createSocket('udp4');
  let number = 0;
  const end = performance.now() + Number(request.toString());
  const pieces = Array.from({ length: 1024 }, () => Buffer.alloc(DATAGRAM));
  const some = (): void => {
    for (let i = 0; i < 64; i++) {
      const piece = pieces[number % pieces.length];
      const place = (number * DATAGRAM) % 65521;
      pattern.copy(piece, 0, place, place + DATAGRAM);
      piece.writeUInt32LE(number >>> 0);
      number++;
      if (i < 63) socket.send(piece);
      else socket.send(piece, again);
    }
  };
  const again = (): void => {
    if (performance.now() < end) setImmediate(some);
    else socket.close();
  };
  socket.on('error', () => socket.close());
  socket.bind(0, host, () => socket.connect(from.port, from.address, some));
});

function listening(server: nodeNet.Server, port: number): Promise<void> {
  return new Promise((resolve) => {
    server.listen(port, host, 1024, resolve);
  });
}

function bound(socket: nodeDgram.Socket, port: number): Promise<void> {
  return new Promise((resolve) => {
    socket.bind(port, host, resolve);
  });
}

if (SPAN < CHUNK) throw new Error('the pattern is too short for a chunk');
await Promise.all([
  listening(sink(false), 5001),
  listening(sink(true), 5011),
  listening(source, 5002),
  listening(echo, 5003),
  listening(webServer, 5004),
  bound(udpEcho, 5005),
  bound(counter, 5006),
  listening(teller, 5007),
  bound(udpSource, 5008),
]);
process.once('SIGTERM', () => process.exit(0)); // so that --cpu-prof leaves its file
console.log('ready');
