// Two hosts on a cable, in one process: no TAP, no root, no kernel network.
//
//   npx tsx examples/two-stacks-on-a-pipe.ts

import { once } from 'node:events';
import { createStack, pipe } from '../src/index.ts';

const [left, right] = pipe();
const alice = await createStack({ link: left, address: '10.9.0.1/24' });
const bob = await createStack({ link: right, address: '10.9.0.2/24' });

const { received, rtt } = await alice.ping('10.9.0.2', { count: 3, interval: 10 });
console.log(`${received} of 3 echoes came back, the fastest in ${rtt?.min.toFixed(2)} ms`);

const server = bob.net.createServer((socket) => socket.pipe(socket));
await once(server.listen(7), 'listening');

const socket = alice.net.connect(7, '10.9.0.2');
socket.end('hello over the cable');
for await (const data of socket) console.log(`echoed: ${data}`);

const { tcpOutSegs, tcpInSegs } = alice.core.stats;
console.log(`that took ${tcpOutSegs} TCP segments out and ${tcpInSegs} in`);

server.close();
await Promise.all([alice.close(), bob.close()]);
