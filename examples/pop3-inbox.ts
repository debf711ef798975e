// A mailbox on its own IP address: the POP3 service with its demo account. As root:
//
//   npx tsx examples/pop3-inbox.ts
//   curl -u demo:demo pop3://10.9.0.2/1

import { createStack, startService } from '../src/index.ts';

const stack = await createStack({ tap: 'tap0', address: '10.9.0.2/24', host: '10.9.0.1/24' });
const inbox = await startService('pop3', stack);

for (const note of inbox.notes) console.log(note);
console.log('ready: curl -u demo:demo pop3://10.9.0.2/1');

process.once('SIGINT', async () => {
  await inbox.close();
  await stack.close();
});
