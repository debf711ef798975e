// What sockets can be told about TCP, and what they tell.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import type { CongestionControl } from '../../src/index.ts';
import { congestionNames, registerCongestion } from '../../src/index.ts';
import type { TcpCloseMessage, TcpMessage } from '../../src/node/diagnostics.ts';
import { B, connected, listening, twoStacks } from './support.ts';

/** Congestion control in a few lines: a window of ten segments, come what may. */
class TenSegments implements CongestionControl {
  readonly name = 'ten';
  readonly ownsRecovery = true;
  cwnd: number;
  ssthresh = Infinity;
  pacingRate = 0;
  acks = 0;

  constructor(mss: number) {
    this.cwnd = 10 * mss;
  }

  onAck(): void {
    this.acks++;
  }
  onLoss(): void {}
  onTimeout(): void {}
  onEcnEcho(): void {}
  onIdle(): void {}
  onRecoveryExit(): void {}
  undo(): void {}
  setMss(mss: number): void {
    this.cwnd = 10 * mss;
  }
}

test('congestion control is chosen per socket, and the other end keeps its own', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer({ congestion: 'reno' });
  const port = await listening(server);
  const accepted = once(server, 'connection');
  const client = a.net.connect({ port, host: B, congestion: 'bbr' });
  await once(client, 'connect');
  const [peer] = await accepted;
  expect(client.tcpInfo()?.congestion).toBe('bbr');
  expect(peer.tcpInfo()?.congestion).toBe('reno');
});

test('congestion control may be the program’s own, given to one socket or registered by name', async () => {
  const [a, b] = await twoStacks();
  const made: TenSegments[] = [];
  const factory = (mss: number): CongestionControl => {
    made.push(new TenSegments(mss));
    return made[made.length - 1];
  };
  registerCongestion('ten', factory);
  expect(congestionNames()).toContain('ten');
  for (const congestion of [factory, 'ten']) {
    const server = b.net.createServer((socket) => socket.resume());
    const client = a.net.connect({ port: await listening(server), host: B, congestion });
    client.end(new Uint8Array(300_000));
    await once(client, 'finish');
    const info = client.tcpInfo();
    expect(info?.congestion).toBe('ten');
    expect(info?.cwnd).toBe(10 * (info?.mss ?? 0));
    expect(made.at(-1)?.acks).toBeGreaterThan(5);
  }
});

test('wrong options are refused by name, before anything is sent', async () => {
  const [a] = await twoStacks();
  const connect = (options: object) => () => a.net.connect({ port: 1, host: B, ...options });
  expect(connect({ congestion: 'vegas' })).toThrow(/'options\.congestion' is not one of cubic, reno, bbr/);
  expect(connect({ congestion: 1 })).toThrow(/"options\.congestion" property must be/);
  expect(connect({ ecn: 'yes' })).toThrow(/'options\.ecn' is not one of on, passive, off/);
  expect(connect({ fastOpen: 1 })).toThrow(/"options\.fastOpen" property must be of type boolean/);
  expect(() => a.net.createServer({ fastOpen: -1 })).toThrow(/'options\.fastOpen' must be true, false or how many/);
});

test('ECN is agreed on when one side asks (RFC 3168 §6.1.1)', async () => {
  const [a, b] = await twoStacks();
  const [passive] = await connected(a, b);
  expect(passive.tcpInfo()?.ecn).toBe(false);
  const [asking] = await connected(a, b, { ecn: 'on' });
  expect(asking.tcpInfo()?.ecn).toBe(true);
});

test('with fastOpen, what is written before connect goes with the SYN the second time (RFC 7413 §4.2)', async () => {
  const [a, b] = await twoStacks();
  const server = b.net.createServer({ fastOpen: true }, (socket) => socket.pipe(socket));
  const port = await listening(server);
  for (const count of [0, 1]) {
    const client = a.net.connect({ port, host: B, fastOpen: true });
    client.end('hello');
    const parts: Buffer[] = [];
    for await (const part of client) parts.push(part as Buffer);
    expect(String(Buffer.concat(parts))).toBe('hello');
    expect(a.core.stats.tcpFastOpenActive).toBe(count);
    expect(b.core.stats.tcpFastOpenPassive).toBe(count);
  }
});

test('connections are announced on diagnostics channels, when the core is done with them', async () => {
  const heard: string[] = [];
  for (const name of ['connect', 'accept', 'close']) {
    const listener = (message: unknown): void => {
      const { localAddress, remotePort, info, code } = message as TcpMessage & Partial<TcpCloseMessage>;
      heard.push(`${name} ${localAddress} ${remotePort > 0} ${info.mss > 0} ${code}`);
    };
    subscribe(`tapstack.tcp.${name}`, listener);
    onTestFinished(() => {
      unsubscribe(`tapstack.tcp.${name}`, listener);
    });
  }
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  expect(heard.sort()).toEqual(['accept 10.9.0.2 true true undefined', 'connect 10.9.0.1 true true undefined']);
  heard.length = 0;
  client.resetAndDestroy();
  await expect(once(server, 'close')).rejects.toThrow(/ECONNRESET/);
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard.sort()).toEqual(['close 10.9.0.1 true true null', 'close 10.9.0.2 true true ECONNRESET']);
});

test('tcpInfo says what was sent and what was sent again', async () => {
  const [a, b] = await twoStacks();
  const [client, server] = await connected(a, b);
  client.write(new Uint8Array(50_000));
  for await (const _ of server) if (server.bytesRead === 50_000) break;
  const info = client.tcpInfo();
  // A machine that is held up for long makes a segment late, and then it goes twice.
  expect((info?.bytesSent ?? 0) - (info?.bytesRetransmitted ?? 0)).toBe(50_000);
  expect(info?.sendBuffer).toBeGreaterThanOrEqual(50_000);
});
