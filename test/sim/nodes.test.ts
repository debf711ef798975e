import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import type { LinkOptions, Middlebox, Simulation } from '../../src/sim/index.ts';
import {
  bleachEcn,
  clampMss,
  clampWindowScale,
  firewall,
  NodeHost,
  simulate,
  stripOptions,
} from '../../src/sim/index.ts';
import { HEADER } from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';

function started(seed = 1): Simulation {
  const net = simulate(seed);
  onTestFinished(() => net.close());
  return net;
}

const LEFT = { address: '10.1.0.2/24', gateway: '10.1.0.1' };
const RIGHT = { address: '10.2.0.2/24', gateway: '10.2.0.1' };

/** Send `length` bytes from `client` to `server`; the sender's view of the connection at the end. */
async function upload(net: Simulation, client: NodeHost, server: NodeHost, length = 100_000) {
  let received = 0;
  const listener = server.net.createServer((socket) => {
    socket.on('data', (data) => {
      received += data.length;
    });
    socket.on('end', () => socket.end());
  });
  listener.listen(80);
  const socket = client.net.connect(80, server.address);
  await once(socket, 'connect');
  const peer = socket.tcpInfo();
  socket.write(Buffer.alloc(length, 7));
  await net.run({ until: () => received === length, for: 600_000 });
  const info = socket.tcpInfo();
  socket.destroy();
  listener.close();
  return { info, peer };
}

test('routers forward hop by hop, and traceroute sees each of them', async () => {
  const net = started();
  const left = await net.host('left', LEFT);
  const right = await net.host('right', RIGHT);
  const a = net.router('a');
  const b = net.router('b');
  net.link(left, a.port('10.1.0.1/24'), { delay: 1 });
  net.link(a.port('10.9.0.1/30'), b.port('10.9.0.2/30'), { delay: 10 });
  net.link(b.port('10.2.0.1/24'), right, { delay: 1 });
  a.route('10.2.0.0/24', '10.9.0.2');
  b.route('0.0.0.0/0', '10.9.0.1');
  const { hops } = await left.traceroute('10.2.0.2');
  expect(hops.map(({ probes }) => probes[0].from)).toEqual(['10.1.0.1', '10.9.0.2', '10.2.0.2']);
  await upload(net, left, right);
  expect(a.counters.dropped).toBe(0);
});

test('a router says what it cannot do: net unreachable, host unreachable (RFC 1812 §5.2.7)', async () => {
  const net = started();
  const left = await net.host('left', LEFT);
  const router = net.router('router');
  net.link(left, router.port('10.1.0.1/24'));
  router.port('10.2.0.1/24');
  const to = async (address: string): Promise<string> => {
    const socket = left.net.connect(80, address);
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    return error.code ?? '';
  };
  expect(await to('172.16.0.1')).toBe('ENETUNREACH');
  expect(await to('10.2.0.77')).toBe('EHOSTUNREACH');
});

test('a smaller MTU further on is found by ICMP (RFC 1191), and datagrams that may be are fragmented there', async () => {
  const net = started();
  const left = await net.host('left', LEFT);
  const right = await net.host('right', RIGHT);
  const router = net.router('router');
  net.link(left, router.port('10.1.0.1/24'), { delay: 5 });
  net.link(router.port('10.2.0.1/24', { mtu: 1006 }), right, { delay: 5 });
  const { info } = await upload(net, left, right);
  expect(info?.pathMtu).toBe(1006);
  const receiver = right.dgram.createSocket('udp4');
  receiver.bind(9);
  await once(receiver, 'listening');
  const sender = left.dgram.createSocket('udp4');
  sender.send(Buffer.alloc(5000, 3), 9, '10.2.0.2');
  const [message] = (await once(receiver, 'message')) as [Buffer];
  expect(message.equals(Buffer.alloc(5000, 3))).toBe(true);
  sender.close();
  receiver.close();
});

test('a switch floods what it does not know, and then sends only where it must', async () => {
  const net = started();
  const hub = net.switch('hub');
  const hosts = await Promise.all(['a', 'b', 'c'].map((name) => net.host(name)));
  const cables = hosts.map((host) => net.link(host, hub, { delay: 1 }));
  expect((await hosts[0].ping(hosts[1].address, { count: 5 })).received).toBe(5);
  // The third host saw the broadcast of ARP and no echo.
  expect(cables[2].homeward.counters.frames).toBe(1);
});

async function natted(net: Simulation, options = {}) {
  const inside = await net.host('inside', LEFT);
  const other = await net.host('other', { address: '10.1.1.2/24', gateway: '10.1.1.1' });
  const outside = await net.host('outside', { address: '198.51.100.9/24' });
  const nat = net.nat('nat', options);
  net.link(inside, nat.port('10.1.0.1/24'), { delay: 5 });
  net.link(other, nat.port('10.1.1.1/24'), { delay: 5 });
  net.link(nat.outside('198.51.100.1/24'), outside, { delay: 5 });
  return { inside, other, outside, nat };
}

test('hosts behind a NAT share one address, for TCP, UDP and ping, and cannot be reached unasked (RFC 4787, RFC 5382)', async () => {
  const net = started();
  const { inside, other, outside, nat } = await natted(net);
  const seen: string[] = [];
  outside.net
    .createServer((socket) => {
      seen.push(`${socket.remoteAddress}`);
      socket.end(`${socket.remotePort}`);
    })
    .listen(80);
  const ports = await Promise.all(
    [inside, other].map(async (host) => {
      const socket = host.net.connect({ port: 80, host: outside.address, localPort: 5555 });
      let text = '';
      for await (const chunk of socket) text += chunk;
      return text;
    }),
  );
  expect(seen).toEqual(['198.51.100.1', '198.51.100.1']);
  expect(new Set(ports).size).toBe(2);
  expect((await inside.ping(outside.address, { count: 2 })).received).toBe(2);
  expect((await other.ping(outside.address, { count: 2 })).received).toBe(2);
  expect((await outside.ping('198.51.100.1', { count: 1 })).received).toBe(1);
  expect(nat.size).toBeGreaterThanOrEqual(4);
  const unasked = outside.net.connect({ port: Number(ports[0]) + 1, host: '198.51.100.1' });
  unasked.setTimeout(5000);
  const outcome = await Promise.race([once(unasked, 'timeout'), once(unasked, 'error'), once(unasked, 'connect')]);
  expect(unasked.readyState).not.toBe('open');
  expect(outcome).toBeDefined();
  unasked.destroy();
});

test('a UDP mapping ends after its idle time (RFC 4787 REQ-5), and a NAT that forgets cuts connections', async () => {
  const net = started();
  const { inside, outside, nat } = await natted(net, { udpTimeout: 30_000 });
  const echoes = outside.dgram.createSocket('udp4');
  let last = { port: 0, address: '' };
  echoes.on('message', (_message, from) => {
    last = from;
  });
  echoes.bind(9);
  await once(echoes, 'listening');
  const socket = inside.dgram.createSocket('udp4');
  let answers = 0;
  socket.on('message', () => {
    answers++;
  });
  socket.send('hello', 9, outside.address);
  await net.run({ until: () => last.port !== 0 });
  echoes.send('within', last.port, last.address);
  await net.run({ until: () => answers === 1, for: 1000 });
  await net.sleep(31_000);
  expect(nat.size).toBe(0);
  echoes.send('too late', last.port, last.address);
  await net.sleep(1000);
  expect(answers).toBe(1);
  socket.close();
  echoes.close();
});

test('an ICMP error about a translated packet finds its way to who sent it (RFC 5508 REQ-4)', async () => {
  const net = started();
  const { inside, outside } = await natted(net);
  const socket = inside.dgram.createSocket('udp4');
  socket.connect(4444, outside.address);
  await once(socket, 'connect');
  socket.send('is anybody there');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNREFUSED');
  socket.close();
});

async function through(...boxes: Middlebox[]) {
  const net = started();
  const client = await net.host('client');
  const server = await net.host('server');
  const options: LinkOptions = { delay: 5, through: boxes };
  net.link(client, server, options);
  return upload(net, client, server);
}

test('boxes strip options one by one, and TCP does without them', async () => {
  expect((await through()).info).toMatchObject({ sack: true, timestamps: true, windowScaling: true, mss: 1448 });
  expect((await through(stripOptions('sack'))).info).toMatchObject({ sack: false, timestamps: true });
  expect((await through(stripOptions('timestamps'))).info).toMatchObject({ timestamps: false, sack: true, mss: 1460 });
  expect((await through(stripOptions('wscale'))).info).toMatchObject({ windowScaling: false, sendScale: 0 });
  expect((await through(stripOptions('mss', 'timestamps'))).info?.mss).toBe(536);
  expect((await through(clampMss(1200))).info?.mss).toBe(1188);
  expect((await through(clampWindowScale(2))).info).toMatchObject({ sendScale: 2, receiveScale: 8 });
});

test('a box that washes out ECN leaves valid headers, and one that blocks swallows', async () => {
  let marked = 0;
  const look: Middlebox = {
    pass(frame) {
      const dv = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
      if (dv.getUint16(12) !== 0x0800) return frame;
      if (ipv4.ecn(dv, HEADER) !== 0) marked++;
      expect(ipv4.checksumIsValid(dv, HEADER)).toBe(true);
      return frame;
    },
  };
  const mark: Middlebox = {
    pass(frame) {
      const dv = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
      if (dv.getUint16(12) !== 0x0800) return frame;
      dv.setUint8(HEADER + 1, ipv4.tos(dv, HEADER) | 1);
      ipv4.updateChecksum(dv, HEADER);
      return frame;
    },
  };
  const pings = async (...through: Middlebox[]): Promise<number> => {
    const net = started();
    const client = await net.host('client');
    const server = await net.host('server');
    net.link(client, server, { through });
    marked = 0;
    expect((await client.ping(server.address, { count: 3 })).received).toBe(3);
    return marked;
  };
  expect(await pings(look, mark)).toBe(3); // the answers come by it marked
  expect(await pings(look, bleachEcn(), mark)).toBe(0);
  const blocked = started(2);
  const a = await blocked.host('a');
  const b = await blocked.host('b');
  blocked.link(a, b, { through: [firewall((_frame, outward) => outward)] });
  const { received } = await a.ping(b.address, { count: 1, timeout: 500 });
  expect(received).toBe(0);
});

test('what is wired wrongly is refused in words', async () => {
  const net = started();
  const a = await net.host('a');
  const b = await net.host('b');
  const c = await net.host('c');
  net.link(a, b);
  expect(() => net.link(a, c)).toThrow('host a has no free port');
  expect(() => net.link(c, c)).toThrow(/cannot be joined with itself/);
  await expect(net.host('a')).rejects.toThrow('there is a node a already');
  await expect(net.host('d', { address: '10.0.0.300/24' })).rejects.toThrow(/10.0.0.300\/24 must be an address/);
  expect(() => net.router('r').port('x')).toThrow(/port x must be an address/);
  expect(() => net.router('s').route('0.0.0.0/0', '10.0.0.1')).toThrow(/leads nowhere/);
  expect(() => simulate(1.5)).toThrow(/seed 1.5 must be a whole number/);
  expect(NodeHost).toBeDefined();
});
