// A TCP server with an IP address of its own, on a TAP that this program makes. As root:
//
//   npx tsx examples/twenty-line-server.ts
//   nc 10.9.0.2 7777
//
// Say something, and it answers in capitals; Ctrl-C takes server, address and interface away.

import { createStack } from '../src/index.ts';

const stack = await createStack({ tap: 'tap0', address: '10.9.0.2/24', host: '10.9.0.1/24' });

const server = stack.net.createServer((socket) => {
  socket.write(`You are ${socket.remoteAddress}, I am ${socket.localAddress}.\n`);
  socket.on('data', (data) => socket.write(data.toString().toUpperCase()));
  socket.on('error', (error) => console.error(error.message));
});

server.listen(7777, () => console.log('ready: nc 10.9.0.2 7777'));
