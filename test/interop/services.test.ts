// The sample services, used by the programs people use them with.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { STACK, useHost } from '../support/interop.ts';

const host = useHost({
  programs: ['telnet', 'nc', 'curl', 'socat', 'ntpdate', 'ntpdig', 'chronyd'],
  args: ['--service', 'echo,discard,daytime,chargen,http,ntp'],
  capture: true,
});
const shell = (line: string, timeout = 30_000) => host.netns.shell(line, { timeout });

describe('echo, discard, daytime, chargen', () => {
  test('a telnet session is echoed line by line (RFC 862)', async () => {
    const telnet = host.netns.spawn('telnet', [STACK, '7']);
    await telnet.output(/Connected to/);
    for (const line of ['hello', 'is anybody there?', 'x'.repeat(200)]) {
      telnet.write(`${line}\n`);
      await telnet.output(new RegExp(line.replace('?', '\\?')));
    }
    telnet.kill();
    await telnet.finish(5_000);
  });

  test('nc gets back what it sent, and the close (RFC 862)', async () => {
    const { status, stdout } = await shell(`printf 'one\\ntwo\\n' | nc -N -w 10 ${STACK} 7`);
    expect(stdout).toBe('one\ntwo\n');
    expect(status).toBe(0);
  });

  test('nc gets a datagram back (RFC 862)', async () => {
    expect((await shell(`printf 'datagram' | nc -u -w 1 ${STACK} 7`)).stdout).toBe('datagram');
  });

  test('a half-closed connection still answers: 4 MB through socat come back whole (RFC 9293 §3.6)', async () => {
    const { status, stdout } = await shell(
      `f=$(mktemp -p ${host.netns.directory}); head -c 4000000 /dev/urandom >$f; socat -t 20 - TCP:${STACK}:7 <$f | cmp - $f && echo same`,
      60_000,
    );
    expect(stdout).toBe('same\n');
    expect(status).toBe(0);
  });

  test('daytime says the day and closes (RFC 867)', async () => {
    const { status, stdout } = await shell(`nc -w 10 ${STACK} 13 </dev/null`);
    expect(status).toBe(0);
    expect(stdout).toContain(String(new Date().getFullYear()));
  });

  test('discard takes everything and answers nothing (RFC 863)', async () => {
    const { status, stdout } = await shell(`head -c 1000000 /dev/zero | nc -N -w 10 ${STACK} 9`);
    expect(status).toBe(0);
    expect(stdout).toBe('');
  });

  test('chargen runs until the reader leaves (RFC 864)', async () => {
    const { stdout } = await shell(`socat -u TCP:${STACK}:19 - 2>/dev/null | head -c 1000000`);
    expect(stdout).toHaveLength(1_000_000);
    const [first, second] = stdout.split('\r\n');
    expect(first).toHaveLength(72);
    expect(second.slice(0, 71)).toBe(first.slice(1));
  });
});

describe('http', () => {
  test('curl fetches the page', async () => {
    const { status, stdout } = await shell(`curl -sS -i http://${STACK}/`);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(stdout).toContain('<!doctype html>');
  });

  test('a hundred requests go over one connection', async () => {
    const { status, stdout } = await shell(
      `curl -sS -w '%{num_connects}\\n' -o /dev/null 'http://${STACK}/bytes/[1000-1099]'`,
    );
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .reduce((sum, line) => sum + Number(line), 0),
    ).toBe(1);
  });

  test('a closed port is refused at once (RFC 9293 §3.10.7.1)', async () => {
    const { status, stderr } = await shell(`curl -sS --max-time 10 http://${STACK}:81/`);
    expect(status).toBe(7);
    expect(stderr).toMatch(/refused|Couldn't connect/);
  });
});

describe('ntp', () => {
  test('ntpdate -q reads the time (RFC 5905)', async () => {
    const { status, stdout, stderr } = await shell(`ntpdate -q ${STACK}`, 60_000);
    expect(status, stdout + stderr).toBe(0);
    const offset = Number(
      / ([+-]\d+\.\d+) (?:\+\/-|sec)/.exec(stdout)?.[1] ?? /offset ([+-]?\d+\.\d+)/.exec(stdout)?.[1],
    );
    expect(Math.abs(offset)).toBeLessThan(0.5);
  });

  test('ntpdig reads the time (RFC 5905)', async () => {
    const { status, stdout, stderr } = await shell(`ntpdig --json ${STACK}`, 60_000);
    expect(status, stdout + stderr).toBe(0);
    expect(Math.abs((JSON.parse(stdout) as { offset: number }).offset)).toBeLessThan(0.5);
  });

  test('chronyd -Q synchronises to it (RFC 5905)', async () => {
    const pidfile = join(host.netns.directory, 'chronyd.pid');
    const { status, stdout, stderr } = await shell(
      `chronyd -Q -t 30 -u root 'pidfile ${pidfile}' 'cmdport 0' 'bindcmdaddress /' 'server ${STACK} iburst' 2>&1`,
      60_000,
    );
    expect(status, stdout + stderr).toBe(0);
    expect(Math.abs(Number(/System clock wrong by (-?[\d.]+) seconds/.exec(stdout)?.[1]))).toBeLessThan(0.5);
  });

  test('control messages of mode 6 get no answer', async () => {
    const { stdout } = await shell(
      `printf '\\x16\\x02\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00' | nc -u -w 1 ${STACK} 123`,
    );
    expect(stdout).toBe('');
  });
});

describe('the capture', () => {
  let frames: string;
  beforeAll(async () => {
    if (host.netns === undefined) return;
    frames = (
      await host.netns.run('tshark', ['-r', host.pcap, '-T', 'fields', '-e', 'frame.time_epoch', '-e', 'eth.src'])
    ).stdout;
  });

  test('holds both directions, in order of time, with nanosecond stamps', () => {
    const rows = frames
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(new Set(rows.map(([, source]) => source)).size).toBeGreaterThanOrEqual(2);
    expect(rows.every(([time]) => /\.\d{9}$/.test(time))).toBe(true);
    const times = rows.map(([time]) => BigInt(time.replace('.', '')));
    expect(times.every((time, i) => i === 0 || time >= times[i - 1])).toBe(true);
  });

  test('is the only file made', () => {
    expect(readdirSync(host.netns.directory).filter((name) => name.endsWith('.pcapng'))).toEqual(['frames.pcapng']);
    // pcapng: Section Header Block.
    expect(readFileSync(host.pcap).readUInt32LE(0)).toBe(0x0a0d0d0a);
  });
});
