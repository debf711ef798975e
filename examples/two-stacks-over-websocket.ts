// Two hosts in two processes, on one Ethernet whose cable is a WebSocket. This one has a switch, a host plugged into it, and a server of
// frames; it starts the other, which connects and asks for a web page.
//
//   npx tsx examples/two-stacks-over-websocket.ts

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { createStack, createSwitch, WebSocketLink, WebSocketLinkServer } from '../src/index.ts';

const url = process.argv[2];
if (url === undefined) {
  const lan = createSwitch();
  const frames = await WebSocketLinkServer.listen({ port: 0 });
  frames.on('link', (link) => lan.add(link, 'websocket'));

  const alice = await createStack({ link: lan.plug({ name: 'alice' }), address: '10.9.0.1/24' });
  const web = createServer((request, response) => response.end(`hello ${request.socket.remoteAddress}`));
  const listener = alice.net.createServer((socket) => web.emit('connection', socket));
  await once(listener.listen(80), 'listening');

  const left = new Promise<string>((resolve) => {
    lan.onPortGone = ({ name, counters }) => resolve(`${name} has left after ${counters.inFrames} frames`);
  });
  fork(fileURLToPath(import.meta.url), [`ws://127.0.0.1:${frames.port}`]);
  console.log(await left);

  listener.close();
  await Promise.all([alice.close(), frames.close()]);
  lan.close();
} else {
  const bob = await createStack({ link: await WebSocketLink.connect(url), address: '10.9.0.2/24' });
  const { received } = await bob.ping('10.9.0.1', { count: 3, interval: 10 });
  console.log(`${received} of 3 echoes came back`);
  const request = get({ host: '10.9.0.1', createConnection: () => bob.net.connect(80, '10.9.0.1') as never });
  const [response] = await once(request, 'response');
  for await (const chunk of response) console.log(`alice says: ${chunk}`);
  await bob.close();
}
