// Ask a time server for the time. Here both are stacks, on a cable in one process, and need no root:
//
//   npx tsx examples/ntp-client.ts

import { once } from 'node:events';
import { createNtpServer, createStack, ntpQuery, pipe } from '../src/index.ts';

const [left, right] = pipe();
const clock = await createStack({ link: left, address: '10.9.0.1/24' });
const asker = await createStack({ link: right, address: '10.9.0.2/24' });

const server = createNtpServer({ dgram: clock.dgram, stratum: 3 });
await once(server.listen({ port: 123 }), 'listening');

const { offset, delay, stratum } = await ntpQuery('10.9.0.1', { dgram: asker.dgram, samples: 3, interval: 50 });
console.log(`stratum ${stratum}, offset ${(offset * 1000).toFixed(3)} ms, delay ${(delay * 1000).toFixed(3)} ms`);

server.close();
await Promise.all([clock.close(), asker.close()]);
