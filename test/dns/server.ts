// A name server for tests: answers come from a function, so it can also misbehave.

import { once } from 'node:events';
import type { Answer, DecodedPacket, Packet, Question } from 'dns-packet';
import { decode, encode, streamEncode } from 'dns-packet';
import type { DgramSocket, RemoteInfo } from '../../src/node/dgram.ts';
import type { NodeStack } from '../../src/node/node-stack.ts';

export interface Asked {
  readonly question: Question;
  readonly packet: DecodedPacket;
  readonly overTcp: boolean;
  readonly port: number;
}

/** Fields of the answer; null for silence. */
export type Script = (asked: Asked) => Partial<Packet> | Buffer | null;

export const RCODE = { formerr: 1, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 };
export const TRUNCATED = 0x0200;

export const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl, class: 'IN' });
export const cname = (name: string, data: string, ttl = 60): Answer => ({
  type: 'CNAME',
  name,
  data,
  ttl,
  class: 'IN',
});
export const soa = (name: string, minimum: number, ttl = 3600): Answer => ({
  type: 'SOA',
  name,
  ttl,
  class: 'IN',
  data: { mname: `ns.${name}`, rname: `admin.${name}`, serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
});

export class DnsServer {
  /** Everything that was asked, in order. */
  readonly asked: Asked[] = [];
  script: Script;
  readonly socket: DgramSocket;

  private constructor(socket: DgramSocket, script: Script) {
    this.socket = socket;
    this.script = script;
  }

  static async on(stack: NodeStack, script: Script, port = 53): Promise<DnsServer> {
    const socket = stack.dgram.createSocket('udp4');
    const server = new DnsServer(socket, script);
    socket.on('message', (bytes, from) => {
      const answer = server.answer(bytes, from.port, false);
      if (answer === null) return;
      socket.send(Buffer.isBuffer(answer) ? answer : encode(answer), from.port, from.address);
    });
    socket.bind(port);
    await once(socket, 'listening');
    const listener = stack.net.createServer((connection) => {
      connection.on('error', () => {});
      connection.on('data', (bytes: Buffer) => {
        const answer = server.answer(bytes.subarray(2), connection.remotePort ?? 0, true);
        if (answer === null) connection.end();
        else if (Buffer.isBuffer(answer)) connection.write(answer);
        else {
          // In pieces, as TCP may bring it.
          const stream = streamEncode(answer);
          connection.write(stream.subarray(0, 1));
          connection.write(stream.subarray(1, 7));
          connection.write(stream.subarray(7));
        }
      });
    });
    listener.listen(port);
    await once(listener, 'listening');
    return server;
  }

  reply(bytes: Buffer, to: RemoteInfo): void {
    this.socket.send(bytes, to.port, to.address);
  }

  private answer(bytes: Buffer, port: number, overTcp: boolean): Packet | Buffer | null {
    const packet = decode(bytes);
    const question = packet.questions?.[0] as Question;
    const asked = { question, packet, overTcp, port };
    this.asked.push(asked);
    const answer = this.script(asked);
    if (answer === null || Buffer.isBuffer(answer)) return answer;
    return { type: 'response', id: packet.id, questions: packet.questions, ...answer };
  }
}
