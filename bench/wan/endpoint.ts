// Our end of a race, in the namespace and on the TAP it is started with.
//
//   endpoint TAP ADDRESS sink PORT SKIP SECONDS [OPTIONS]
//   endpoint TAP ADDRESS source PEER PORT CC [OPTIONS]
//
// The counterpart of peer.c; OPTIONS is a JSON object of TCP options. Prints "ready", then "listening" as a sink, and at the end one line
// of JSON. A source starts when it reads a line.

import { execFileSync } from 'node:child_process';
import { createStack, type NodeStack, type Socket } from '../../src/index.ts';

const MAC = '02:00:0a:4d:00:02'; // the same in every run, or the other end would still know the one before
const MAX_BUFFER = 15 * 1024 * 1024; // as much as Linux may use here: tcp_rmem, tcp_wmem
const OTHER_END = '10.77.0.3';
const [tap, address, role, ...rest] = process.argv.slice(2);
if (tap === undefined || address === undefined || (role !== 'sink' && role !== 'source')) {
  console.error('usage: endpoint TAP ADDRESS sink PORT SKIP SECONDS | source PEER PORT CC [OPTIONS]');
  process.exit(2);
}

function sink(stack: NodeStack, port: number, skip: number, seconds: number): void {
  const server = stack.net.createServer((socket) => {
    server.close();
    const start = performance.now();
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      if (performance.now() >= start + skip * 1000) bytes += chunk.length;
    });
    socket.on('error', () => {}); // the other end may go first
    setTimeout(() => {
      console.log(JSON.stringify({ bytes, seconds: seconds - skip, info: socket.tcpInfo(), stats: moved(stack) }));
      socket.resetAndDestroy();
      setTimeout(() => process.exit(0), 50);
    }, seconds * 1000);
  });
  server.listen(port, () => console.log('listening'));
}

function source(stack: NodeStack, peer: string, port: number): void {
  const chunk = Buffer.alloc(128 * 1024);
  const socket: Socket = stack.net.connect({ host: peer, port });
  const trace: object[] = [];
  const pump = (): void => {
    while (socket.writable && socket.write(chunk));
  };
  let info = socket.tcpInfo();
  const watch = setInterval(() => {
    info = socket.tcpInfo() ?? info;
    if (process.env.WAN_TRACE !== undefined && info !== null) {
      const { caState, cwnd, ssthresh, srtt, rto, inFlight, lost, retransmitting, sendQueue } = info;
      trace.push({ caState, cwnd, ssthresh, srtt, rto, inFlight, lost, retransmitting, sendQueue });
    }
  }, 100);
  socket.on('connect', pump);
  socket.on('drain', pump);
  socket.on('error', () => {}); // the sink has had enough and resets
  socket.on('close', () => {
    clearInterval(watch);
    console.log(JSON.stringify({ info, stats: moved(stack), ...(trace.length > 0 ? { trace } : {}) }));
    process.exit(0);
  });
}

/** TCP's counters that are not zero. */
const moved = (stack: NodeStack): Record<string, number> =>
  Object.fromEntries(
    Object.entries(stack.core.stats).filter(
      ([name, count]) => (name.startsWith('tcp') || name.startsWith('drop')) && count !== 0,
    ),
  );

const options = rest[3] === undefined ? {} : (JSON.parse(rest[3]) as object);
const congestion = role === 'source' ? { congestion: rest[2] } : {};
const stack = await createStack({
  tap: { name: tap, exclusive: false, up: true, txQueueLength: 20_000 },
  address,
  mac: MAC,
  acd: 'off',
  tcp: { recvBufferMax: MAX_BUFFER, sendBufferMax: MAX_BUFFER, ...congestion, ...options } as object,
});
// Linux's TCP works in interrupts, whatever else the machine does: so ours has to come before other programs, too.
execFileSync('chrt', ['--all-tasks', '--rr', '--pid', '1', String(process.pid)]);
// Both ends know each other's MAC before the race, so that no first RTT sample holds an ARP exchange.
await stack.ping(OTHER_END, { count: 3, interval: 10 });
console.log('ready');
if (role === 'sink') sink(stack, Number(rest[0]), Number(rest[1]), Number(rest[2]));
else process.stdin.once('data', () => source(stack, rest[0], Number(rest[1])));
