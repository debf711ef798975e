// A peer made by hand: it says what the test tells it to, and shows every segment the stack sends.
//
//   const peer = new RawPeer();          // we are 10.9.0.2, the stack is 10.9.0.1
//   peer.send({ flags: SYN, seq: 1000, options: … });
//   peer.take()                          // what the stack answered

import { expect } from 'vitest';
import type { PipeEnd } from '../../src/link/pipe.ts';
import { pipe } from '../../src/link/pipe.ts';
import { FrameBatch, HEAD, LENGTH, STRIDE, VNET_LENGTH } from '../../src/mem/frame-batch.ts';
import { Memory, offsetOf } from '../../src/mem/memory.ts';
import type { Nic } from '../../src/net/nic.ts';
import type { Stack, StackOptions } from '../../src/stack.ts';
import type { TcpConnection } from '../../src/tcp/connection.ts';
import type { TcpListener } from '../../src/tcp/listener.ts';
import type { ConnectionOptions, ListenOptions } from '../../src/tcp/options.ts';
import { ACK, CWR, ECE, FIN, PSH, RST, SYN, URG } from '../../src/tcp/segment.ts';
import { STATE_NAMES } from '../../src/tcp/states.ts';
import { Address, parseIpv4 } from '../../src/wire/address.ts';
import * as arp from '../../src/wire/arp.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import { FAST_OPEN, find, parse, TcpOptions } from '../../src/wire/tcp-options.ts';
import { Network } from '../support/two-stacks.ts';
import { User } from './support.ts';

export { ACK, CWR, ECE, FIN, PSH, RST, SYN, URG };

export interface RawSegment {
  flags: number;
  seq: number;
  ack?: number;
  window?: number;
  urgent?: number;
  /** Option bytes; padded with zeros to a multiple of four. */
  options?: number[];
  data?: Uint8Array | string;
  srcPort?: number;
  dstPort?: number;
  src?: string;
  dst?: string;
  /** Of the IP header; its two low bits are the ECN field. */
  tos?: number;
}

export interface SeenSegment {
  flags: string;
  seq: number;
  ack: number;
  window: number;
  srcPort: number;
  dstPort: number;
  data: Uint8Array;
  tos: number;
  /** The fast-open option: a cookie, empty when it asks for one, null without. */
  cookie: Uint8Array | null;
  mss: number;
  windowScale: number;
  sackPermitted: boolean;
  hasTimestamp: boolean;
  tsVal: number;
  tsEcr: number;
  sack: number[];
}

// Shared by all peers, for tests that make a thousand of them.
const MEMORY = new Memory(64 * 1024 * 1024);
const TX = new FrameBatch(MEMORY, 1 << 20, 512);
const RX = new FrameBatch(MEMORY, 1 << 22, 512);

const OUR_MAC = 0x0200000000bb;
const STACK_MAC = 0x0200000000aa;
const NAMES: [number, string][] = [
  [SYN, 'S'],
  [FIN, 'F'],
  [RST, 'R'],
  [PSH, 'P'],
  [URG, 'U'],
  [ACK, '.'],
  [ECE, 'E'],
  [CWR, 'W'],
];

export const mss = (value: number): number[] => [2, 4, value >> 8, value & 255];
export const wscale = (shift: number): number[] => [1, 3, 3, shift];
export const sackOk = (): number[] => [1, 1, 4, 2];
const word = (v: number): number[] => [(v >>> 24) & 255, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
export const timestamps = (val: number, ecr: number): number[] => [1, 1, 8, 10, ...word(val), ...word(ecr)];
export const sack = (...edges: number[]): number[] => [1, 1, 5, 2 + 4 * edges.length, ...edges.flatMap(word)];

export class RawPeer {
  readonly net = new Network();
  readonly stack: Stack;
  readonly nic: Nic;
  readonly address = Address.parse('10.9.0.2') as Address;
  port = 40000;
  stackPort = 80;
  readonly #end: PipeEnd;
  readonly #tx: FrameBatch;
  readonly #rx: FrameBatch;
  readonly #seen: SeenSegment[] = [];
  readonly #options = new TcpOptions();

  constructor(options: Partial<StackOptions> = {}, mtu = 1500) {
    const [near, far] = pipe({ mtu });
    this.stack = this.net.addStack(7, options);
    this.nic = this.stack.addNic(near, { mac: STACK_MAC });
    this.nic.addAddress(parseIpv4('10.9.0.1') as number, 24, { acd: 'off' });
    this.#end = far;
    this.#tx = TX;
    this.#rx = RX;
    this.pull();
  }

  listen(options: Partial<ListenOptions> = {}): TcpListener {
    const listener = this.stack.tcp.listen({ port: 80, ...options });
    if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
    return listener;
  }

  connect(options: ConnectionOptions & { localPort?: number; fastOpen?: boolean } = {}): User {
    const connection = this.stack.tcp.connect({ remote: this.address, remotePort: this.port, ...options });
    if (typeof connection === 'number') throw new Error(`connect: ${connection}`);
    this.stackPort = connection.localPort;
    return new User(connection);
  }

  /** Let the stack do what is due now, and take in what it sends. */
  pull(): void {
    for (let round = 0; round < 100; round++) {
      this.net.settle();
      if (this.#end.receive(this.#rx) === 0) return;
      for (let i = 0; i < this.#rx.count; i++) {
        const at = i * STRIDE;
        this.#look(offsetOf(this.#rx.desc[at + HEAD]), this.#rx.desc[at + LENGTH]);
      }
    }
    throw new Error('the stack never stops sending');
  }

  /** Let `micros` pass. */
  wait(micros: number): void {
    const end = this.net.clock.now + micros;
    for (;;) {
      this.pull();
      const next = Math.max(this.net.nextDeadline(), this.net.clock.now + 1);
      if (next > end) break;
      this.net.clock.now = next;
    }
    this.net.clock.now = end;
    this.pull();
  }

  /** Segments sent by the stack since the last call. */
  take(): SeenSegment[] {
    this.pull();
    return this.#seen.splice(0);
  }

  /** The one segment the stack has sent. */
  one(): SeenSegment {
    const seen = this.take();
    expect(seen.map((s) => s.flags)).toHaveLength(1);
    return seen[0];
  }

  silent(): void {
    expect(this.take().map((s) => `${s.flags} ${s.seq} ${s.ack}`)).toEqual([]);
  }

  /** Send several segments that arrive in one batch. */
  send(...segments: RawSegment[]): void {
    this.#tx.clear();
    for (const segment of segments) this.#tx.push(this.build(segment));
    this.#end.send(this.#tx);
    this.pull();
  }

  /** Send a frame as it is. */
  sendFrame(frame: Uint8Array): void {
    this.#tx.clear();
    this.#tx.push(frame);
    this.#end.send(this.#tx);
    this.pull();
  }

  build(segment: RawSegment): Uint8Array {
    const options = [...(segment.options ?? [])];
    while (options.length % 4 !== 0) options.push(0);
    const data = typeof segment.data === 'string' ? new TextEncoder().encode(segment.data) : segment.data;
    const headerLength = 20 + options.length;
    const length = headerLength + (data?.length ?? 0);
    const frame = new Uint8Array(14 + 20 + length);
    const dv = new DataView(frame.buffer);
    const src = parseIpv4(segment.src ?? '10.9.0.2') as number;
    const dst = parseIpv4(segment.dst ?? '10.9.0.1') as number;
    ethernet.set(dv, 0, STACK_MAC, OUR_MAC, ethernet.TYPE_IPV4);
    ipv4.set(dv, 14, 20, segment.tos ?? 0, 20 + length, 1, ipv4.DONT_FRAGMENT, 64, ipv4.PROTOCOL_TCP, src, dst);
    ipv4.updateChecksum(dv, 14);
    const { srcPort = this.port, dstPort = this.stackPort, ack = 0, window = 65535 } = segment;
    tcp.set(dv, 34, srcPort, dstPort, segment.seq | 0, ack | 0, headerLength, segment.flags, window);
    if (segment.urgent !== undefined) tcp.setUrgentPointer(dv, 34, segment.urgent);
    frame.set(options, 54);
    if (data !== undefined) frame.set(data, 34 + headerLength);
    tcp.setChecksum(dv, 34, checksum.finish(checksum.sum(dv, 34, length, checksum.pseudoV4(src, dst, 6, length))));
    return frame;
  }

  #look(off: number, length: number): void {
    const { dv, bytes } = this.#rx;
    if (dv.getUint16(off + 12) === ethernet.TYPE_ARP) {
      this.#answerArp(off + 14);
      return;
    }
    const ip = off + 14;
    if (ipv4.protocol(dv, ip) !== ipv4.PROTOCOL_TCP) return;
    const at = ip + ipv4.headerLength(dv, ip);
    const end = Math.min(ip + ipv4.totalLength(dv, ip), off + length);
    const header = tcp.check(dv, at, end);
    expect(header, 'the stack sends only well-formed segments').toBeGreaterThan(0);
    parse(dv, at + 20, at + header, this.#options);
    const o = this.#options;
    const flags = tcp.flags(dv, at);
    const option = find(dv, at + 20, at + header, FAST_OPEN);
    this.#seen.push({
      flags: NAMES.map(([bit, name]) => (flags & bit ? name : '')).join(''),
      seq: tcp.seq(dv, at) >>> 0,
      ack: tcp.ack(dv, at) >>> 0,
      window: tcp.window(dv, at),
      srcPort: tcp.srcPort(dv, at),
      dstPort: tcp.dstPort(dv, at),
      data: bytes.slice(at + header, end),
      tos: dv.getUint8(ip + 1),
      cookie: option < 0 ? null : bytes.slice(option + 2, option + dv.getUint8(option + 1)),
      mss: o.mss,
      windowScale: o.windowScale,
      sackPermitted: o.sackPermitted,
      hasTimestamp: o.hasTimestamp,
      tsVal: o.tsVal,
      tsEcr: o.tsEcr,
      sack: [...o.sack.subarray(0, 2 * o.sackCount)].map((edge) => edge >>> 0),
    });
  }

  #answerArp(off: number): void {
    const { dv } = this.#rx;
    if (arp.op(dv, off) !== arp.REQUEST || arp.targetIp(dv, off) !== this.address.v4) return;
    const frame = new Uint8Array(60);
    const reply = new DataView(frame.buffer);
    ethernet.set(reply, 0, STACK_MAC, OUR_MAC, ethernet.TYPE_ARP);
    arp.set(reply, 14, arp.REPLY, OUR_MAC, this.address.v4, STACK_MAC, parseIpv4('10.9.0.1') as number);
    this.#tx.clear();
    this.#tx.push(frame);
    this.#end.send(this.#tx);
  }
}

/** A peer in an established connection that the stack accepted; sequence numbers are the next of each side. */
export class Dialogue extends RawPeer {
  /** Our next sequence number, and the stack's. */
  seq: number;
  ack: number;
  readonly irs: number;
  readonly iss: number;
  readonly user: User;
  readonly synAck: SeenSegment;

  constructor(
    options: {
      seq?: number;
      synOptions?: number[];
      ackOptions?: number[];
      window?: number;
      server?: Partial<ListenOptions>;
      stack?: Partial<StackOptions>;
    } = {},
  ) {
    super(options.stack);
    const listener = this.listen(options.server);
    this.irs = (options.seq ?? 1000) >>> 0;
    const window = options.window ?? 65535;
    this.send({ flags: SYN, seq: this.irs, window, options: options.synOptions ?? mss(1460) });
    this.synAck = this.one();
    expect(this.synAck.flags).toBe('S.');
    this.iss = this.synAck.seq;
    this.seq = (this.irs + 1) >>> 0;
    this.ack = (this.iss + 1) >>> 0;
    this.send({ flags: ACK, seq: this.seq, ack: this.ack, window, options: options.ackOptions });
    const connection = listener.accept() as TcpConnection;
    expect(connection).not.toBeNull();
    this.user = new User(connection);
    this.user.endOnEnd = false;
    this.pull();
    this.silent();
  }

  get connection(): TcpConnection {
    return this.user.connection;
  }

  get state(): string {
    return STATE_NAMES[this.connection.state];
  }

  /** Send with our present numbers unless told otherwise. */
  say(segment: Partial<RawSegment> = {}): void {
    this.send({ flags: ACK, seq: this.seq, ack: this.ack, ...segment });
  }
}

export { VNET_LENGTH };
