// A web server on its own IP address: node:http takes connections from a stack as it does from the kernel. As root:
//
//   npx tsx examples/http-server.ts
//   curl http://10.9.0.2/

import http from 'node:http';
import { createStack } from '../src/index.ts';

const stack = await createStack({ tap: 'tap0', address: '10.9.0.2/24', host: '10.9.0.1/24' });

const web = http.createServer((request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end(`${request.method} ${request.url} from ${request.socket.remoteAddress}, through no kernel socket\n`);
});

const server = stack.net.createServer({ allowHalfOpen: true }, (socket) => web.emit('connection', socket));
server.listen(80, () => console.log('ready: curl http://10.9.0.2/'));
