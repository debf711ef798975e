import dgram from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type NtpError, ntpQuery } from '../../src/service/ntp/client.ts';
import { type ClockState, derivedClock, measurePrecision, systemVariables } from '../../src/service/ntp/clock.ts';
import { Limiter } from '../../src/service/ntp/limiter.ts';
import * as ntp from '../../src/service/ntp/packet.ts';
import { createNtpServer, type NtpServer, type NtpServerOptions } from '../../src/service/ntp/server.ts';
import { fromShort, fromUnix, toShort, toUnix } from '../../src/service/ntp/timestamp.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const kept: ClockState = { synchronized: true, state: 0, maxError: 0.02 };
const wall = (): bigint => BigInt(Date.now()) * 1_000_000n;

async function serve(options: Partial<NtpServerOptions> = {}): Promise<{ server: NtpServer; port: number }> {
  const server = createNtpServer({ dgram, clock: () => kept, ...options });
  server.listen({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  cleanups.push(() => new Promise((done) => void server.close(done)));
  return { server, port: server.address().port };
}

/** A server that answers whatever `answer` makes of the request. */
async function impostor(answer: (request: ntp.Packet) => (Partial<ntp.Packet> | Uint8Array)[]): Promise<number> {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (message, from) => {
    const request = ntp.decode(message) as ntp.Packet;
    const now = fromUnix(wall());
    for (const changes of answer(request)) {
      const good: ntp.Packet = {
        ...{ leap: 0, version: request.version, mode: 4, stratum: 2, poll: 0, precision: -20, rootDelay: 0 },
        ...{ rootDispersion: 0, referenceId: 0x7f000001, reference: now - (1n << 36n) },
        ...{ origin: request.transmit, receive: now, transmit: now },
      };
      socket.send(
        changes instanceof Uint8Array ? changes : ntp.encode({ ...good, ...changes }),
        from.port,
        from.address,
      );
    }
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  cleanups.push(async () => void socket.close());
  return socket.address().port;
}

const failure = async (port: number): Promise<NtpError> =>
  ntpQuery('127.0.0.1', { dgram, port, timeout: 100, now: wall }).then(
    () => expect.unreachable('it was believed'),
    (error: NtpError) => error,
  );

const request = (changes: Partial<ntp.Packet> = {}): Uint8Array =>
  ntp.encode({
    ...{ leap: 0, version: 4, mode: 3, stratum: 0, poll: 6, precision: 0, rootDelay: 0, rootDispersion: 0 },
    ...{ referenceId: 0, reference: 0n, origin: 0n, receive: 0n, transmit: 0x1234_5678_9abc_def0n },
    ...changes,
  });

/** What comes back for each message; null for what is not answered, known by a plain request behind it that is. */
async function converse(port: number, messages: Uint8Array[]): Promise<(Buffer | null)[]> {
  const socket = dgram.createSocket('udp4');
  cleanups.push(async () => void socket.close());
  const answers: (Buffer | null)[] = [];
  const marker = 0xffff_0000_ffff_0000n;
  for (const message of messages) {
    socket.send(message, port, '127.0.0.1');
    socket.send(request({ transmit: marker }), port, '127.0.0.1');
    let answer: Buffer | null = null;
    for (;;) {
      const [got] = (await once(socket, 'message')) as [Buffer];
      if (got.readBigUInt64BE(24) === marker) break;
      answer = got;
    }
    answers.push(answer);
  }
  return answers;
}

describe('timestamps', () => {
  test('RFC 5905 figure 4: the dates it lists have the seconds it lists', () => {
    const cases: [string, bigint][] = [
      ['1900-01-01', 0n],
      ['1970-01-01', 2_208_988_800n],
      ['1972-01-01', 2_272_060_800n],
      ['1999-12-31', 3_155_587_200n],
      ['2036-02-08', 63_104n + 0n],
    ];
    for (const [date, seconds] of cases)
      expect(fromUnix(BigInt(Date.parse(date)) * 1_000_000n) >> 32n, date).toBe(seconds);
  });

  test('there and back is exact to the nanosecond in every era near the pivot (RFC 5905 §6)', () => {
    const year = 31_556_952n * 1_000_000_000n;
    fc.assert(
      fc.property(
        fc.bigInt({ min: -100n * year, max: 400n * year }),
        fc.bigInt({ min: -67n * year, max: 67n * year }),
        (instant, away) => toUnix(fromUnix(instant), instant + away) === instant,
      ),
    );
  });

  test('the short format rounds an error bound up, and saturates', () => {
    expect(toShort(0)).toBe(0);
    expect(toShort(1)).toBe(65536);
    expect(toShort(1e-9)).toBe(1);
    expect(toShort(1e9)).toBe(0xffff_ffff);
    expect(fromShort(toShort(0.5))).toBe(0.5);
  });
});

describe('packets', () => {
  test('decode of encode is the same packet', () => {
    const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const i8 = fc.integer({ min: -128, max: 127 });
    const packets = fc.record({
      leap: fc.nat(3),
      version: fc.nat(7),
      mode: fc.nat(7),
      stratum: fc.nat(255),
      poll: i8,
      precision: i8,
      rootDelay: u32,
      rootDispersion: u32,
      referenceId: u32,
      reference: u64,
      origin: u64,
      receive: u64,
      transmit: u64,
    });
    fc.assert(
      fc.property(packets, (packet) => {
        expect(ntp.decode(ntp.encode(packet))).toEqual({ ...packet, macLength: 0 });
      }),
    );
  });

  test('octets from the wire never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const packet = ntp.decode(octets);
        return packet !== null || octets.length < 48 || octets.length > 48;
      }),
    );
  });

  test('RFC 7822 §3: extension fields are stepped over, MACs recognised, the rest is malformed', () => {
    const grow = (extra: number, ...head: number[]): Uint8Array => {
      const message = new Uint8Array(48 + extra);
      message.set(request());
      message.set(head, 48);
      return message;
    };
    expect(ntp.decode(grow(20))?.macLength).toBe(20);
    expect(ntp.decode(grow(24))?.macLength).toBe(24);
    expect(ntp.decode(grow(4))?.macLength).toBe(4);
    expect(ntp.decode(grow(32, 1, 4, 0, 32))?.macLength).toBe(0);
    expect(ntp.decode(grow(32 + 20, 1, 4, 0, 32))?.macLength).toBe(20);
    for (const bad of [grow(1), grow(8), grow(28, 1, 4, 0, 0), grow(32, 1, 4, 0, 30), grow(32, 1, 4, 1, 0)]) {
      expect(ntp.decode(bad)).toBe(null);
    }
    expect(ntp.decode(new Uint8Array(47))).toBe(null);
  });

  test('reference ids are four letters or an address', () => {
    expect(ntp.formatReferenceId(ntp.parseReferenceId('GPS'), 1)).toBe('GPS');
    expect(ntp.formatReferenceId(ntp.parseReferenceId('192.0.2.255'), 2)).toBe('192.0.2.255');
    for (const bad of ['', 'ABCDE', '300.1.1.1', 'a b', 'é'])
      expect(() => ntp.parseReferenceId(bad), bad).toThrow(/reference id/);
  });
});

describe('the clock', () => {
  test('a clock nobody keeps is served as such: leap 3, stratum 16 (RFC 5905 §7.3)', () => {
    const state = { synchronized: false, state: 5, maxError: 16 };
    expect(systemVariables({}, state)).toMatchObject({ leap: 3, stratum: 16, rootDispersion: 16 });
    expect(systemVariables({}, null)).toMatchObject({ leap: 3, stratum: 16 });
    expect(systemVariables({ unsynchronisedStratum: 10 }, state)).toMatchObject({ leap: 0, stratum: 10 });
    expect(systemVariables({ stratum: 1, refid: 'GPS' }, state)).toMatchObject({ stratum: 1, referenceId: 0x47505300 });
  });

  test('a kept clock passes on its error bound and its leap second', () => {
    expect(systemVariables({}, { ...kept, state: 1 })).toMatchObject({ leap: 1, rootDispersion: 0.02 });
    expect(systemVariables({}, { ...kept, state: 2 })).toMatchObject({ leap: 2 });
  });

  test('time from Date.now() and a monotonic clock follows when the date is set', () => {
    let mono = 5_000_000_000n;
    let set = 0;
    const date = (): number => {
      mono += 1000n; // reading takes a microsecond
      return Math.floor(Number(mono) / 1e6) + 1_700_000_000_000 + set;
    };
    const now = derivedClock(date, () => mono);
    const truth = (): bigint => mono + 1_700_000_000_000_000_000n + BigInt(set) * 1_000_000n;
    const away = (): number => Math.abs(Number(now() - truth()));
    expect(away()).toBeLessThan(10_000);
    mono += 3_600_000_000_000n;
    expect(away()).toBeLessThan(10_000);
    set = -777;
    expect(away()).toBeLessThan(10_000);
    expect(measurePrecision(now)).toBeLessThan(-15);
  });
});

describe('the server', () => {
  test('RFC 5905 §9.2: versions 1 to 4 get their version back, and their transmit timestamp as origin', async () => {
    const { port } = await serve();
    const asked = [1, 2, 3, 4].map((version) => request({ version, mode: version === 1 ? 0 : 3, poll: 7 }));
    for (const [i, answer] of (await converse(port, asked)).entries()) {
      const packet = ntp.decode(answer as Buffer) as ntp.Packet;
      expect(packet).toMatchObject({ version: i + 1, mode: 4, leap: 0, stratum: 10, poll: 7 });
      expect(packet.origin).toBe(0x1234_5678_9abc_def0n);
      expect(packet.transmit >= packet.receive && packet.receive >= packet.reference).toBe(true);
      const off = Number(toUnix(packet.transmit, wall()) - wall()) / 1e9;
      expect(Math.abs(off)).toBeLessThan(0.5);
    }
  });

  test('symmetric active is answered by symmetric passive', async () => {
    const { port } = await serve();
    const [answer] = await converse(port, [request({ mode: 1 })]);
    expect(ntp.decode(answer as Buffer)?.mode).toBe(2);
  });

  test('answers, broadcasts, control and private messages and malformed ones get nothing', async () => {
    const { port, server } = await serve({ limit: { rate: 0 } });
    const readvar = Buffer.from('160200010000000000000000', 'hex'); // mode 6, as ntpq sends it
    const monlist = Buffer.concat([Buffer.from('1700032a', 'hex'), Buffer.alloc(44)]); // mode 7, the famous amplifier
    const padded = new Uint8Array(1400);
    padded.set(request());
    const messages = [
      ...[2, 4, 5, 6, 7].map((mode) => request({ mode })),
      ...[0, 5, 6, 7].map((version) => request({ version })),
      ...[request({ version: 4, mode: 0 }), readvar, monlist, padded, new Uint8Array(0), new Uint8Array(47)],
    ];
    expect(await converse(port, messages)).toEqual(messages.map(() => null));
    expect(server.counters.answered).toBe(messages.length); // the markers
  });

  test('no answer is longer than its question, whatever the question', async () => {
    const { port } = await serve({ limit: { rate: 0 } });
    const messages: Uint8Array[] = [];
    for (const extra of [0, 4, 12, 16, 20, 24, 28, 36, 68]) {
      for (const version of [3, 4]) {
        const message = new Uint8Array(48 + extra);
        message.set(request({ version }));
        if (extra > 24) message.set([1, 4, 0, extra > 36 ? extra - 20 : extra], 48);
        messages.push(message);
      }
    }
    const answers = await converse(port, messages);
    for (const [i, answer] of answers.entries()) {
      expect(answer?.length ?? 0, `${messages[i].length} octets`).toBeLessThanOrEqual(messages[i].length);
    }
    expect(answers.filter((answer) => answer !== null).length).toBeGreaterThan(8);
  });

  test('RFC 5905 §9.2: a MAC of unknown key is answered by a crypto-NAK', async () => {
    const { port } = await serve();
    const message = new Uint8Array(68);
    message.set(request());
    message[51] = 1;
    const [answer] = await converse(port, [message]);
    expect(answer?.length).toBe(52);
    expect(ntp.decode(answer as Buffer)?.macLength).toBe(4);
  });

  test('RFC 5905 §7.4: who asks too often is told RATE once in a while, and gets nothing otherwise', async () => {
    const { port, server } = await serve({ limit: { burst: 3, rate: 0.001 } });
    const socket = dgram.createSocket('udp4');
    cleanups.push(async () => void socket.close());
    const kisses: ntp.Packet[] = [];
    socket.on('message', (message) => kisses.push(ntp.decode(message) as ntp.Packet));
    for (let i = 0; i < 50; i++) socket.send(request(), port, '127.0.0.1');
    while (server.counters.received < 50 || kisses.length < 4) await new Promise((go) => setImmediate(go));
    expect(server.counters).toMatchObject({ answered: 3, kissed: 1, limited: 46 });
    expect(kisses[3]).toMatchObject({ stratum: 0, leap: 3, mode: 4, referenceId: 0x52415445 });
    expect(kisses[3].origin).toBe(0x1234_5678_9abc_def0n);
  });

  test('DENY, RSTR and silence by address', async () => {
    for (const [access, kiss] of [
      ['deny', 'DENY'],
      ['restrict', 'RSTR'],
    ] as const) {
      const { port } = await serve({ access: () => access });
      expect(await failure(port)).toMatchObject({ code: 'ERR_NTP_KISS', kiss });
    }
    const { port } = await serve({ access: () => 'ignore' });
    expect((await failure(port)).code).toBe('ERR_NTP_TIMEOUT');
  });

  test('misconfiguration is refused', () => {
    expect(() => createNtpServer({ dgram, stratum: 16 })).toThrow(/stratum/);
    expect(() => createNtpServer({ dgram, refid: 'TOOLONG' })).toThrow(/reference id/);
  });

  test('the arrival time the network reports is the receive timestamp', async () => {
    const at = wall() - 250_000_000n;
    const late = {
      createSocket: (options: { type: 'udp4' | 'udp6' }) => {
        const socket = dgram.createSocket(options);
        const emit = socket.emit.bind(socket) as (event: string, ...args: unknown[]) => boolean;
        socket.emit = ((event: string, ...args: unknown[]) => {
          if (event === 'message') Object.defineProperty(args[1], 'receivedAt', { value: Number(at) / 1e6 });
          return emit(event, ...args);
        }) as typeof socket.emit;
        return socket;
      },
    };
    const { port } = await serve({ dgram: late });
    const [answer] = await converse(port, [request()]);
    const packet = ntp.decode(answer as Buffer) as ntp.Packet;
    expect(Math.abs(Number(toUnix(packet.receive, at) - at))).toBeLessThan(1e6);
    expect(packet.transmit - packet.receive > (1n << 32n) / 5n).toBe(true);
  });
});

describe('the limiter', () => {
  test('memory is bounded, and a client that waits is answered again', () => {
    const limiter = new Limiter({ burst: 2, rate: 1, capacity: 100 });
    expect(['a', 'a', 'a', 'a'].map((client) => limiter.judge(client, 0))).toEqual([
      'answer',
      'answer',
      'kiss',
      'drop',
    ]);
    expect(limiter.judge('a', 1_000)).toBe('answer');
    expect(limiter.judge('a', 1_001)).toBe('drop');
    expect(limiter.judge('a', 2_500)).toBe('answer');
    for (let i = 0; i < 10_000; i++) limiter.judge(`${i}`, 3_000);
    expect(limiter.size).toBe(100);
  });
});

describe('ntpQuery', () => {
  test('RFC 5905 §8: offset and delay of a server whose clock is off by a known amount', async () => {
    const skew = 12_345_000_000n;
    const { port } = await serve({ now: () => wall() + skew, stratum: 3, refid: '192.0.2.1' });
    const result = await ntpQuery('127.0.0.1', { dgram, port, samples: 3, interval: 1, now: wall });
    expect(Math.abs(result.offset - 12.345)).toBeLessThan(0.05);
    expect(result.delay).toBeLessThan(0.1);
    expect(result).toMatchObject({ stratum: 3, refid: '192.0.2.1', leap: 0, version: 4, address: '127.0.0.1' });
    expect(result.samples.length).toBe(3);
    expect(Math.abs(result.time.getTime() - Date.now() - 12_345)).toBeLessThan(100);
  });

  test('it works across the change of era in 2036', async () => {
    const era = BigInt(Date.parse('2036-02-07T06:28:16Z')) * 1_000_000n;
    const { port } = await serve({ now: () => era + 500_000_000n, stratum: 1 });
    const result = await ntpQuery('127.0.0.1', { dgram, port, now: () => era - 500_000_000n });
    expect(result.offset).toBeCloseTo(1, 6);
  });

  test('all versions', async () => {
    const { port } = await serve();
    for (const version of [1, 2, 3, 4]) {
      expect((await ntpQuery('127.0.0.1', { dgram, port, version })).version).toBe(version);
    }
  });

  test('a forged answer is ignored, and the true one still counts', async () => {
    const port = await impostor((asked) => [
      { origin: asked.transmit ^ 1n, stratum: 1 },
      { origin: 0n },
      { mode: 3 },
      new Uint8Array(3),
      { stratum: 7 },
    ]);
    expect((await ntpQuery('127.0.0.1', { dgram, port })).stratum).toBe(7);
  });

  test('a timeout tells what came instead', async () => {
    const port = await impostor(() => [{ origin: 1n }]);
    expect(await failure(port)).toMatchObject({ code: 'ERR_NTP_TIMEOUT' });
    expect((await failure(port)).message).toMatch(/origin timestamp/);
  });

  test.each<[string, Partial<ntp.Packet>, string]>([
    ['a kiss', { stratum: 0, leap: 3, referenceId: 0x52415445 }, 'ERR_NTP_KISS'],
    ['an unsynchronised server', { leap: 3, stratum: 2 }, 'ERR_NTP_UNSYNCHRONIZED'],
    ['stratum 16', { stratum: 16 }, 'ERR_NTP_UNSYNCHRONIZED'],
    ['INIT', { stratum: 0, leap: 3, referenceId: 0x494e4954 }, 'ERR_NTP_UNSYNCHRONIZED'],
    ['a missing transmit timestamp', { transmit: 0n }, 'ERR_NTP_INVALID'],
    ['a root distance of 16 s', { rootDispersion: 16 * 65536 }, 'ERR_NTP_INVALID'],
    ['an answer from before the question', { receive: fromUnix(wall()) + (10n << 32n) }, 'ERR_NTP_INVALID'],
    ['a reference time in the future', { reference: fromUnix(wall()) + (999n << 32n) }, 'ERR_NTP_INVALID'],
  ])('RFC 5905 §8: %s is not believed', async (_what, changes, code) => {
    expect((await failure(await impostor(() => [changes]))).code).toBe(code);
  });

  test('no two requests have the same transmit timestamp, and none is the time', async () => {
    const seen = new Set<bigint>();
    const port = await impostor((asked) => {
      seen.add(asked.transmit);
      expect(Math.abs(Number((asked.transmit >> 32n) - (fromUnix(wall()) >> 32n)))).toBeGreaterThan(0);
      return [{}];
    });
    for (let i = 0; i < 20; i++) await ntpQuery('127.0.0.1', { dgram, port, now: wall });
    expect(seen.size).toBe(20);
  });

  test('it can be aborted, and refuses senseless options', async () => {
    const port = await impostor(() => []);
    const aborted = ntpQuery('127.0.0.1', { dgram, port, signal: AbortSignal.timeout(20) });
    await expect(aborted).rejects.toThrow(/abort|timeout/i);
    await expect(ntpQuery('127.0.0.1', { dgram, port: 0 })).rejects.toThrow(/port/);
    await expect(ntpQuery('127.0.0.1', { dgram, samples: 0 })).rejects.toThrow(/samples/);
  });
});
