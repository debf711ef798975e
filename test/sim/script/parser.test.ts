import { describe, expect, it } from 'vitest';
import type { Event, PacketEvent } from '../../../src/sim/script/ast.ts';
import { ScriptError, Unsupported } from '../../../src/sim/script/ast.ts';
import { parseScript } from '../../../src/sim/script/parser.ts';

const one = (text: string): Event => {
  const { events } = parseScript(text);
  expect(events).toHaveLength(1);
  return events[0];
};
const packet = (text: string) => (one(text) as PacketEvent).packet;

describe('times', () => {
  it.each([
    ['0.1 sync() = 0', { any: false, relative: false, at: 100_000, until: null, end: null }],
    ['.1 sync() = 0', { any: false, relative: false, at: 100_000, until: null, end: null }],
    ['+.002 sync() = 0', { any: false, relative: true, at: 2000, until: null, end: null }],
    ['* sync() = 0', { any: true, relative: false, at: 0, until: null, end: null }],
    ['+.1~+.2 sync() = 0', { any: false, relative: true, at: 100_000, until: 200_000, end: null }],
    ['0...0.2 sync() = 0', { any: false, relative: false, at: 0, until: null, end: 200_000 }],
    ['+.1...0.200 sync() = 0', { any: false, relative: true, at: 100_000, until: null, end: 200_000 }],
    ['sync() = 0', null],
  ])('%s', (text, when) => {
    expect(one(text).when).toEqual(when);
  });
});

describe('header options', () => {
  it.each([
    ['--tolerance_usecs=75000\n0 sync() = 0', 'tolerance_usecs', '75000'],
    ['--mss 1000\n0 sync() = 0', 'mss', '1000'],
    ['--windows\n0 sync() = 0', 'windows', ''],
    ['--ip_version=ipv4 --mtu=1280\n`true`', 'mtu', '1280'],
  ])('%s', (text, name, value) => {
    expect(parseScript(text).options.get(name)).toBe(value);
  });
});

describe('comments', () => {
  it('of all three kinds are skipped, also at the end of a line', () => {
    const text = '// one\n# two\n/* three\n lines */ 0 sync() = 0 // four\n+0 sync() = 0 # five\n';
    expect(parseScript(text).events).toHaveLength(2);
  });
});

describe('packets', () => {
  it('have flags, numbers, window and options', () => {
    expect(packet('+0 < S. 0:10(10) ack 1 win 32792 <mss 1460,sackOK,TS val 100 ecr 7,nop,wscale 6>')).toMatchObject({
      protocol: 'tcp',
      flags: 0x12,
      seq: 0,
      length: 10,
      ack: 1,
      window: 32792,
      options: [
        { kind: 'mss', value: 1460 },
        { kind: 'sackOK' },
        { kind: 'TS', val: 100, ecr: 7 },
        { kind: 'nop' },
        { kind: 'wscale', value: 6 },
      ],
    });
  });

  it.each([
    ['+0 > . 1:1(0) ack 1', 0x10],
    ['+0 > - 1:1(0)', 0],
    ['+0 > SEW 0:0(0)', 0xc2],
    ['+0 > SEWA 0:0(0)', 0x1c2],
    ['+0 > FPU. 1:1(0) ack 1 urg 5', 0x39],
    ['+0 > .5 1:1(0) ack 1', 0x10 | 0x100 | 0x40],
  ])('%s', (text, flags) => {
    expect(packet(text)).toMatchObject({ flags });
  });

  it('may leave options open with <...>', () => {
    expect(packet('+0 > S 0:0(0) <...>')).toMatchObject({ options: null });
  });

  it('have several SACK blocks', () => {
    expect(packet('+0 > . 1:1(0) ack 1 <nop, nop, sack 7001:8001 4001:5001>')).toMatchObject({
      options: [
        { kind: 'nop' },
        { kind: 'nop' },
        {
          kind: 'sack',
          blocks: [
            [7001, 8001],
            [4001, 5001],
          ],
        },
      ],
    });
  });

  it('carry IP information', () => {
    expect(packet('+0 > [ect0] . 1:1(0) ack 1').ip).toEqual({ ecn: 2, tos: null, ttl: null });
    expect(packet('+0 > (tos 0x10, ttl 5) . 1:1(0) ack 1').ip).toEqual({ ecn: null, tos: 16, ttl: 5 });
  });

  it('are followed by packets without a time on lines of their own', () => {
    const { events } = parseScript('+0 < . 1:1(0) ack 1 win 5\n< . 1:1(0) ack 1 win 6\n> . 1:1(0) ack 1\n');
    expect(events.map((event) => event.kind)).toEqual(['packet', 'packet', 'packet']);
  });

  it('may be ICMP, with what is quoted in front or behind', () => {
    const expected = { protocol: 'icmp', type: 3, code: 3, quoted: { protocol: 'tcp', seq: 1, length: 1460 } };
    expect(packet('+0 < icmp unreachable port_unreachable [1:1461(1460)]')).toMatchObject(expected);
    expect(packet('+0 < [1:1461(1460)] icmp unreachable port_unreachable')).toMatchObject(expected);
    expect(packet('+0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]')).toMatchObject({ code: 4, mtu: 1200 });
  });

  it('may be UDP', () => {
    expect(packet('+0 > udp 53 > 8080 (100)')).toMatchObject({
      protocol: 'udp',
      srcPort: 53,
      dstPort: 8080,
      length: 100,
    });
  });

  it('whose numbers do not add up are wrong', () => {
    expect(() => parseScript('0 sync() = 0\n+0 > . 1:100(100) ack 1')).toThrow(/line 2: 1:100\(100\)/);
  });

  it.each(['gre: . 1:1(0)', 'mpls (label 0, tc 0, [S], ttl 0): . 1:1(0)', 'ipv6 ::1 > ::2: . 1:1(0)'])(
    'of %s are unsupported',
    (text) => {
      expect(() => parseScript(`+0 < ${text}`)).toThrow(Unsupported);
    },
  );
});

describe('calls', () => {
  it('have arguments of all kinds, a result, an errno and a note', () => {
    const event = one(
      '+0 sendmsg(3, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {"ab" "c", 3}], msg_flags=0}, MSG_MORE|MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)',
    );
    expect(event).toMatchObject({ kind: 'call', name: 'sendmsg', errno: 'EAGAIN', result: { value: -1 } });
  });

  it('may show flags behind the result', () => {
    expect(one('+0 fcntl(3, F_GETFL) = 0x02 (flags O_RDWR)')).toMatchObject({ result: { value: 2 }, errno: null });
  });
});

describe('what is not a script', () => {
  it.each(['hello', '+0 < X 0:0(0)', '+0 foo(', '+0 foo()', '+0 < S 0:0(0) <mss>', '+', '`open', '%{ open'])(
    '%s',
    (text) => {
      expect(() => parseScript(text)).toThrow(ScriptError);
    },
  );
});
