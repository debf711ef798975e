// UDP on its own IP address: every datagram goes back to where it came from. As root:
//
//   npx tsx examples/udp-echo.ts
//   nc -u 10.9.0.2 7

import { createStack } from '../src/index.ts';

const stack = await createStack({ tap: 'tap0', address: '10.9.0.2/24', host: '10.9.0.1/24' });

const socket = stack.dgram.createSocket('udp4');
socket.on('message', (message, { port, address }) => socket.send(message, port, address));
socket.bind(7, () => console.log('ready: nc -u 10.9.0.2 7'));
