// The TAP against the kernel. Interfaces live in the namespace the tests run in, under names of their own, and go with their Tap.

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { hostAddresses, hostInterface, hostRoutes } from '../../src/link/host.ts';
import { OFFLOAD_CSUM, OFFLOAD_TSO4 } from '../../src/link/link.ts';
import { Tap, TapLink, type TapOptions } from '../../src/link/tap.ts';
import { ADDR1, FrameBatch, LEN1, STRIDE, VNET_LENGTH } from '../../src/mem/frame-batch.ts';
import { Memory, offsetOf, slabOf } from '../../src/mem/memory.ts';
import { formatMac, type Mac, parseIpv4, parseMac } from '../../src/wire/address.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as vnet from '../../src/wire/vnet.ts';
import { missing } from '../support/netns.ts';

const why = missing('ethtool', 'arping');
const run = promisify(execFile);
const path = `${process.env.PATH}:/usr/sbin:/sbin`;
const env = { ...process.env, PATH: path };
const ipJson = (...args: string[]) => JSON.parse(execFileSync('ip', ['-j', ...args], { encoding: 'utf8', env }))[0];
const descriptors = () => readdirSync('/proc/self/fd').length;

let number = 0;
const taps: Tap[] = [];
const open = (options: TapOptions = {}): Tap => {
  const tap = Tap.open({ name: `ts${process.pid}${'abcdefghijklmnopqrstuvwxyz'[number++ % 26]}`, ...options });
  taps.push(tap);
  return tap;
};
afterEach(() => {
  for (const tap of taps.splice(0)) tap.release();
});

const codeOf = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
  return 'no error';
};

const until = async (condition: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 5000; !condition(); ) {
    if (Date.now() > deadline) throw new Error('waited 5 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

describe.skipIf(why !== null)(`Tap${why === null ? '' : `: ${why}`}`, () => {
  test('what is set is what `ip` shows, and what `ip` sets is what is read', () => {
    const tap = open({ mac: '02:00:5e:10:00:07', mtu: 1400, ipv4: '10.209.1.1/24', up: true, txQueueLength: 777 });
    const link = ipJson('-d', 'link', 'show', tap.name);
    expect(link).toMatchObject({ address: '02:00:5e:10:00:07', mtu: 1400, txqlen: 777 });
    expect(link.linkinfo).toMatchObject({ info_kind: 'tun', info_data: { type: 'tap', pi: false, vnet_hdr: true } });
    expect(link.flags).toContain('UP');
    const [address] = ipJson('-4', 'addr', 'show', tap.name).addr_info;
    expect(address).toMatchObject({ local: '10.209.1.1', prefixlen: 24, broadcast: '10.209.1.255' });

    const { name } = tap;
    for (const line of [
      `link set ${name} address 02:aa:bb:cc:dd:ee mtu 9000 txqueuelen 50`,
      `link set ${name} down`,
      `addr flush dev ${name}`,
      `addr add 10.209.2.9/30 dev ${name}`,
    ])
      execFileSync('ip', line.split(' '), { env });
    expect([tap.mac, tap.mtu, tap.txQueueLength, tap.isUp, tap.ipv4]).toEqual([
      '02:aa:bb:cc:dd:ee',
      9000,
      50,
      false,
      '10.209.2.9/30',
    ]);
    expect(hostInterface(name)).toMatchObject({ mtu: 9000, up: false, txQueueLength: 50 });
  });

  test('setting an address replaces the others; null removes it; a /31 has no broadcast address (RFC 3021)', () => {
    const tap = open({ up: true, ipv4: '10.209.3.1/24' });
    execFileSync('ip', ['addr', 'add', '10.209.3.2/24', 'dev', tap.name], { env });
    execFileSync('ip', ['addr', 'add', '10.209.3.130/25', 'dev', tap.name], { env });
    tap.ipv4 = '10.209.4.0/31';
    tap.ipv4 = '10.209.4.0/31';
    const shown = ipJson('-4', 'addr', 'show', tap.name).addr_info;
    expect(shown.length).toBe(1);
    expect(shown[0]).toMatchObject({ local: '10.209.4.0', prefixlen: 31 });
    expect(shown[0].broadcast).toBeUndefined();
    expect(hostAddresses().filter((at) => at.interface === tap.name)).toEqual([
      { interface: tap.name, address: parseIpv4('10.209.4.0'), prefix: 31 },
    ]);
    const route = hostRoutes().find((each) => each.interface === tap.name);
    expect(route).toMatchObject({ destination: parseIpv4('10.209.4.0'), prefix: 31, gateway: null, table: 254 });
    tap.ipv4 = null;
    expect(tap.ipv4).toBe(null);
  });

  test('the kernel numbers a Tap without a name', () => {
    const tap = new Tap();
    taps.push(tap);
    expect(tap.name).toMatch(/^tap\d+$/);
    expect(hostInterface(tap.name)).not.toBe(null);
  });

  test('a renamed interface is still ours', () => {
    const tap = open();
    const renamed = `ts${process.pid}-r`;
    execFileSync('ip', ['link', 'set', tap.name, 'name', renamed], { env });
    expect(tap.name).toBe(renamed);
    tap.mtu = 1234;
    expect(ipJson('link', 'show', renamed).mtu).toBe(1234);
  });

  test('release removes the interface, may be called twice, and every use after it is told', () => {
    const tap = open();
    const { name } = tap;
    tap.release();
    tap.release();
    expect(hostInterface(name)).toBe(null);
    expect(codeOf(() => tap.mtu)).toBe('ERR_TAP_RELEASED');
  });

  test('opened and closed 1,000 times, watched each time: no descriptor and no interface stays behind', async () => {
    const { name } = open();
    taps.pop()?.release();
    new TapLink(new Tap(name)).close(); // whatever is created once
    const before = descriptors();
    for (let n = 0; n < 1000; n++) {
      const link = new TapLink(new Tap(name));
      link.watch(() => {});
      link.close();
      if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(descriptors()).toBe(before);
    expect(hostInterface(name)).toBe(null);
  });

  test('a worker that ends takes its interfaces with it', async () => {
    const { name } = open();
    taps.pop()?.release();
    const before = descriptors();
    const addon = new URL('../../native/build/tapstack.node', import.meta.url).pathname;
    const worker = new Worker(
      `const addon = require(${JSON.stringify(addon)});
       addon.watch(addon.open(${JSON.stringify(name)}, 1), () => {});
       require('node:worker_threads').parentPort.postMessage('open');`,
      { eval: true },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    expect(hostInterface(name)).not.toBe(null);
    await worker.terminate();
    expect(hostInterface(name)).toBe(null);
    await until(() => descriptors() <= before);
  });

  test('a watched link alone does not keep a process alive; with ref() it does', () => {
    const addon = new URL('../../native/build/tapstack.node', import.meta.url).pathname;
    const program = (ref: boolean) => `const addon = require(${JSON.stringify(addon)});
      const tap = addon.open('ts${process.pid}-w', 1);
      addon.setRef(tap, ${ref});
      addon.watch(tap, () => {});`;
    expect(spawnSync(process.execPath, ['-e', program(false)], { timeout: 10_000 }).status).toBe(0);
    expect(spawnSync(process.execPath, ['-e', program(true)], { timeout: 700 }).signal).toBe('SIGTERM');
  });
});

describe.skipIf(why !== null)('errors of Tap', () => {
  test('a name in use: EBUSY, exclusive or not', () => {
    const tap = open();
    expect(() => new Tap(tap.name)).toThrow(/exists or is in use/);
    expect(codeOf(() => new Tap(tap.name))).toBe('EBUSY');
    expect(codeOf(() => new Tap(tap.name, { exclusive: false }))).toBe('EBUSY');
  });

  test("an interface that is no TAP is refused, and so is its neighbour's persistent TAP unless asked for", () => {
    expect(codeOf(() => new Tap('lo'))).toBe('EBUSY');
    expect(() => new Tap('lo', { exclusive: false })).toThrow(/is no TAP/);
    const name = `ts${process.pid}-p`;
    execFileSync('ip', ['tuntap', 'add', name, 'mode', 'tap'], { env });
    try {
      expect(codeOf(() => new Tap(name))).toBe('EBUSY');
      const tap = new Tap(name, { exclusive: false });
      expect(tap.name).toBe(name);
      tap.release();
      expect(hostInterface(name)).not.toBe(null);
    } finally {
      execFileSync('ip', ['link', 'delete', name], { env });
    }
  });

  test('a bad value says what is wanted, and the interface that was half set up is gone', () => {
    const tap = open();
    expect(() => (tap.mtu = 20)).toThrow(/68 to 65521/);
    expect(codeOf(() => (tap.mtu = 1500.5))).toBe('ERR_INVALID_ARG_VALUE');
    expect(() => (tap.mac = '01:00:5e:00:00:01')).toThrow(/unicast/);
    expect(() => (tap.mac = 'zz')).toThrow(/six hexadecimal octets/);
    for (const bad of [
      '10.209.1.1',
      '10.209.1.1/33',
      '10.209.1.0/24',
      '10.209.1.255/24',
      '1.2.3/8',
      'x/8',
      '1.2.3.4/8/9',
    ])
      expect(
        codeOf(() => (tap.ipv4 = bad)),
        bad,
      ).toBe('ERR_INVALID_ARG_VALUE');
    const { name } = tap;
    tap.release();
    expect(codeOf(() => Tap.open({ name, mtu: 20 }))).toBe('EINVAL');
    expect(hostInterface(name)).toBe(null);
  });

  test('without permission the addon reports EPERM or EACCES, whatever the call', () => {
    const addon = new URL('../../native/build/tapstack.node', import.meta.url).pathname;
    const program = `try { require(${JSON.stringify(addon)}).setMtu('lo', 1400) } catch (error) { console.log(error.code, error.syscall) }
      try { require(${JSON.stringify(addon)}).open('tsdenied', 1) } catch (error) { console.log(error.code, error.errno) }`;
    const { stdout } = spawnSync(process.execPath, ['-e', program], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
      cwd: '/',
    });
    expect(stdout).toMatch(/^EPERM ioctl SIOCSIFMTU\nE(PERM|ACCES) -(1|13)\n$/);
  });

  test('frames go to one taker only', () => {
    const tap = open();
    new TapLink(tap);
    expect(() => new TapLink(tap)).toThrow(/already have a taker/);
    expect(() => tap.stream()).toThrow(/already have a taker/);
  });
});

// A peer of the kernel's: just enough ARP and TCP to be talked to, so that the link is tested and not a stack.
const OUR_MAC: Mac = 0x02_00_00_00_02_09;

class Host {
  readonly tap: Tap;
  readonly link: TapLink;
  readonly memory = new Memory();
  readonly rx: FrameBatch;
  readonly tx: FrameBatch;
  readonly seen: { type: number; length: number; gsoType: number; gsoSize: number; needsChecksum: boolean }[] = [];
  readonly received: Buffer[] = [];
  ip = 0;
  peerMac: Mac = 0;
  rcvNxt = 0;
  sndNxt = 5000;
  ports: [number, number] = [0, 0];
  error: Error | null = null;
  wakes = 0;

  constructor(tap: Tap) {
    this.tap = tap;
    this.peerMac = parseMac(tap.mac) ?? 0;
    this.ip = (parseIpv4((tap.ipv4 ?? '').split('/')[0]) ?? 0) + 1;
    this.link = new TapLink(tap);
    this.rx = new FrameBatch(this.memory, 1 << 20, 256);
    this.tx = new FrameBatch(this.memory, 1 << 18, 64);
    this.link.onError = (error) => {
      this.error = error;
    };
    this.link.watch(() => {
      this.wakes++;
      this.link.receive(this.rx);
      for (let i = 0; i < this.rx.count; i++) this.input(offsetOf(this.rx.desc[i * STRIDE]), this.rx.frameLength(i));
    });
  }

  input(off: number, length: number): void {
    const { dv } = this.rx;
    const type = ethernet.etherType(dv, off);
    const v = off - VNET_LENGTH;
    const needsChecksum = (vnet.flags(dv, v) & vnet.NEEDS_CSUM) !== 0;
    this.seen.push({ type, length, gsoType: vnet.gsoType(dv, v), gsoSize: vnet.gsoSize(dv, v), needsChecksum });
    const ip = off + 14;
    expect(ip % 4, 'the IP header is aligned').toBe(0);
    if (type === ethernet.TYPE_ARP && dv.getUint16(ip + 6) === 1 && dv.getInt32(ip + 24) === this.ip) {
      this.tx.clear();
      const to = this.tx.append(42);
      const out = this.tx.dv;
      this.tx.bytes.set(this.rx.bytes.subarray(off, off + 42), to);
      ethernet.set(out, to, ethernet.src(dv, off), OUR_MAC, ethernet.TYPE_ARP);
      out.setUint16(to + 20, 2);
      ethernet.setMac(out, to + 22, OUR_MAC);
      out.setInt32(to + 28, this.ip);
      ethernet.setMac(out, to + 32, ethernet.getMac(dv, ip + 8));
      out.setInt32(to + 38, dv.getInt32(ip + 14));
      this.link.send(this.tx);
    }
    if (type === ethernet.TYPE_IPV4 && ipv4.protocol(dv, ip) === ipv4.PROTOCOL_TCP) this.segment(ip, ip + 20);
  }

  segment(ip: number, at: number): void {
    const { dv } = this.rx;
    const length = ipv4.totalLength(dv, ip) - 20 - tcp.headerLength(dv, at);
    const flags = tcp.flags(dv, at);
    this.ports = [tcp.dstPort(dv, at), tcp.srcPort(dv, at)];
    if ((flags & tcp.SYN) !== 0) {
      this.rcvNxt = (tcp.seq(dv, at) + 1) | 0;
      this.send(tcp.SYN | tcp.ACK, null, 0);
      this.sndNxt++;
    } else if (length > 0 && tcp.seq(dv, at) === this.rcvNxt) {
      const start = at + tcp.headerLength(dv, at);
      this.received.push(Buffer.from(this.rx.bytes.subarray(start, start + length)));
      this.rcvNxt = (this.rcvNxt + length) | 0;
      this.send(tcp.ACK, null, 0);
    }
  }

  /** A segment with a partial checksum; its payload, in two extents, is to be cut into `gsoSize` pieces. */
  send(flags: number, payload: Uint8Array | null, gsoSize: number): void {
    const header = (flags & tcp.SYN) !== 0 ? 28 : 20; // window scale 8 and MSS 1460 with a SYN
    const length = payload?.length ?? 0;
    const source = parseIpv4((this.tap.ipv4 ?? '').split('/')[0]) ?? 0;
    this.tx.clear();
    const off = this.tx.append(34 + header);
    const { dv } = this.tx;
    ethernet.set(dv, off, this.peerMac, OUR_MAC, ethernet.TYPE_IPV4);
    ipv4.set(dv, off + 14, 20, 0, 20 + header + length, 1, ipv4.DONT_FRAGMENT, 64, ipv4.PROTOCOL_TCP, this.ip, source);
    ipv4.updateChecksum(dv, off + 14);
    tcp.set(dv, off + 34, this.ports[0], this.ports[1], this.sndNxt, this.rcvNxt, header, flags, 65535);
    if (header === 28) {
      dv.setUint32(off + 54, 0x020405b4);
      dv.setUint32(off + 58, 0x01030308);
    }
    tcp.setChecksum(dv, off + 34, checksum.pseudoV4(this.ip, source, ipv4.PROTOCOL_TCP, header + length));
    const type = gsoSize > 0 ? vnet.GSO_TCPV4 : vnet.GSO_NONE;
    vnet.set(dv, off - VNET_LENGTH, vnet.NEEDS_CSUM, type, 34 + header, gsoSize, 34, tcp.CHECKSUM_OFFSET);
    if (payload !== null) {
      for (const [slot, part] of [payload.subarray(0, 3333), payload.subarray(3333)].entries()) {
        const address = this.memory.alloc(part.length);
        this.memory.bytes[slabOf(address)].set(part, offsetOf(address));
        this.tx.desc[ADDR1 + 2 * slot] = address;
        this.tx.desc[LEN1 + 2 * slot] = part.length;
      }
    }
    expect(this.link.send(this.tx)).toBe(1);
    this.sndNxt += length;
  }

  async connect(): Promise<Socket> {
    const address = `10.209.${(this.ip >> 8) & 255}.${this.ip & 255}`;
    const socket = connect(80, address);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket;
  }
}

describe.skipIf(why !== null)('frames', () => {
  test('a request of the kernel is received and our answer reaches the program that asked', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.11.1/24' }));
    const { stdout } = await run('arping', ['-c', '1', '-w', '3', '-I', host.tap.name, '10.209.11.2'], { env });
    expect(stdout.toLowerCase()).toContain(formatMac(OUR_MAC));
    expect(host.link.errors()).toEqual({ receive: 0, send: 0, last: 0 });
  });

  test('the kernel leaves cutting and checksums to us: `ethtool -k` says so, and super-segments arrive', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.12.1/24' }));
    expect(host.tap.receiveOffload & (OFFLOAD_CSUM | OFFLOAD_TSO4)).toBe(OFFLOAD_CSUM | OFFLOAD_TSO4);
    const features = execFileSync('ethtool', ['-k', host.tap.name], { encoding: 'utf8', env });
    expect(features).toMatch(/^tx-checksumming: on$/m);
    expect(features).toMatch(/^\ttx-tcp-segmentation: on$/m);
    const socket = await host.connect();
    const sent = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7) ^ (i >> 8)));
    socket.write(sent);
    await until(() => host.received.reduce((sum, part) => sum + part.length, 0) === sent.length);
    socket.destroy();
    expect(Buffer.concat(host.received).equals(sent)).toBe(true);
    const large = host.seen.filter((frame) => frame.gsoType === vnet.GSO_TCPV4);
    expect(Math.max(...large.map((frame) => frame.length))).toBeGreaterThan(1514);
    for (const frame of large) expect(frame).toMatchObject({ gsoSize: 1460, needsChecksum: true });
  });

  test('our super-segment of two extents is cut and summed by the kernel: the program reads the same bytes', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.13.1/24' }));
    const socket = await host.connect();
    const parts: Buffer[] = [];
    socket.on('data', (data) => parts.push(data));
    const sent = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 13) ^ (i >> 7));
    host.send(tcp.ACK | tcp.PSH, sent, 1460);
    await until(() => parts.reduce((sum, part) => sum + part.length, 0) === sent.length);
    socket.destroy();
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
  });

  test('a frame the kernel refuses is counted and does not hold up the next', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.14.1/24' }));
    host.tx.clear();
    const off = host.tx.append(60);
    host.tx.bytes[off - VNET_LENGTH + 1] = 9; // no such gso_type
    host.tx.append(60);
    expect(host.link.send(host.tx)).toBe(2);
    expect(host.link.errors()).toMatchObject({ send: 1, last: -22 });
  });

  test('taken down and up again, the link swallows frames meanwhile and then goes on', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.15.1/24' }));
    host.tap.isUp = false;
    host.tx.clear();
    host.tx.append(60);
    expect(host.link.send(host.tx)).toBe(1);
    expect(host.link.errors()).toMatchObject({ send: 1, last: -5 });
    const wakes = host.wakes;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(host.wakes - wakes, 'it does not spin').toBeLessThan(10);
    host.tap.isUp = true;
    host.tap.ipv4 = '10.209.15.1/24';
    const { stdout } = await run('arping', ['-c', '1', '-w', '3', '-I', host.tap.name, '10.209.15.2'], { env });
    expect(stdout.toLowerCase()).toContain(formatMac(OUR_MAC));
    expect(host.error).toBe(null);
  });

  test('an interface that is deleted under us is reported once, without spinning', async () => {
    const host = new Host(open({ up: true, ipv4: '10.209.16.1/24' }));
    execFileSync('ip', ['link', 'delete', host.tap.name], { env });
    await until(() => host.error !== null);
    expect(host.error).toMatchObject({ code: 'ENODEV', message: expect.stringContaining('gone') });
    expect(host.link.receive(host.rx)).toBe(0);
    expect(() => host.tap.mtu).toThrow(/deleted|gone/);
    host.link.close();
  });

  test('as a raw stream: plain whole frames in both directions, paused when nobody reads', async () => {
    const tap = open({ up: true, ipv4: '10.209.17.1/24' });
    const frames: Buffer[] = [];
    const stream = tap.stream();
    stream.on('data', (frame: Buffer) => {
      frames.push(frame);
      if (frame.readUInt16BE(12) !== ethernet.TYPE_ARP || frame.readUInt16BE(20) !== 1) return;
      const reply = Buffer.from(frame.subarray(0, 42));
      reply.writeUInt16BE(2, 20);
      frame.copy(reply, 0, 6, 12);
      reply.writeUIntBE(OUR_MAC, 6, 6);
      reply.writeUIntBE(OUR_MAC, 22, 6);
      frame.copy(reply, 28, 38, 42);
      frame.copy(reply, 32, 22, 28);
      frame.copy(reply, 38, 28, 32);
      stream.write(reply);
    });
    const { stdout } = await run('arping', ['-c', '1', '-w', '3', '-I', tap.name, '10.209.17.2'], { env });
    expect(stdout.toLowerCase()).toContain(formatMac(OUR_MAC));
    const features = execFileSync('ethtool', ['-k', tap.name], { encoding: 'utf8', env });
    expect(features).toMatch(/^\ttx-tcp-segmentation: off/m);
    expect(frames.length).toBeGreaterThan(0);
    const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
    stream.write('not a frame');
    expect((await failed).message).toMatch(/one Ethernet frame/);
    await until(() => tap.isReleased);
  });
});
