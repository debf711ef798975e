import { describe, expect, it } from 'vitest';
import { runScript } from '../../../src/sim/script/index.ts';

const SERVER = `
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
+.1 < . 1:1(0) ack 1 win 320
+0 accept(3, ..., ...) = 4
`;

const outcome = (lines: string, options = {}): string => {
  const { outcome, reason } = runScript(SERVER + lines, options);
  return `${outcome} ${reason}`.trim();
};

describe('a script passes', () => {
  it('when the stack does what it says', () => {
    expect(outcome('+0 write(4, ..., 1000) = 1000\n+0 > P. 1:1001(1000) ack 1')).toBe('passed');
  });

  it('when a super-segment is written as several segments', () => {
    expect(outcome('+0 write(4, ..., 2000) = 2000\n+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:2001(1000) ack 1')).toBe(
      'passed',
    );
  });

  it('when several segments are written as one', () => {
    const writes =
      '+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+0 write(4, ..., 100) = 100\n+0 write(4, ..., 100) = 100';
    expect(outcome(`${writes}\n+0 > P. 1:201(200) ack 1`)).toBe('passed');
  });

  it('when options stand in another order and with other padding', () => {
    expect(
      runScript(SERVER.replace('<mss 1460,nop,nop,sackOK,nop,wscale 8>', '<wscale 3,sackOK,mss 1460>')).outcome,
    ).toBe('passed');
  });

  it('when a packet is off by less than the tolerance', () => {
    expect(outcome('+0 write(4, ..., 10) = 10\n+.003 > P. 1:11(10) ack 1')).toBe('passed');
  });

  it('when a shell command answers as expected', () => {
    expect(outcome('+0 `ss -tan | grep -c ESTAB | grep 1`')).toBe('passed');
  });
});

describe('a script fails, and says what is different,', () => {
  const write = '+0 write(4, ..., 1000) = 1000\n';
  it.each([
    ['flags', `${write}+0 > F. 1:1001(1000) ack 1`, /expected flags F\., got P\./],
    ['a PSH too few', `${write}+0 > . 1:1001(1000) ack 1`, /expected flags \., got P\./],
    ['sequence number', `${write}+0 > P. 2:1002(1000) ack 1`, /expected sequence number 2, got 1/],
    ['length', `${write}+0 > P. 1:501(500) ack 1`, /expected 500 bytes of payload, got 1000/],
    ['ack', `${write}+0 > P. 1:1001(1000) ack 2`, /expected ack 2, got 1/],
    [
      'an option too many',
      `${write}+0 > P. 1:1001(1000) ack 1 <nop,nop,TS val 1 ecr 2>`,
      /expected the option TS .* not there/,
    ],
    ['time', `${write}+.1 > P. 1:1001(1000) ack 1`, /sent at 0\.100000, expected at 0\.200000/],
    ['silence', '+0 > P. 1:1001(1000) ack 1', /the stack sent nothing/],
    ['TOS', `${write}+0 > (tos 0x20) P. 1:1001(1000) ack 1`, /expected TOS 32, got 0/],
    ['a result', '+0 write(4, ..., 1000) = 999', /write returned 1000, not 999/],
    [
      'an errno',
      '+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n+0 read(4, ..., 1) = -1 EPIPE',
      /read returned -1 EAGAIN, not -1 EPIPE/,
    ],
    ['a call that blocks', '+0 read(4, ..., 1) = 1', /read blocks/],
    [
      'when a call returns',
      '+0...0.5 read(4, ..., 9) = 1\n+.1 < . 1:2(1) ack 1 win 320',
      /read returned at 0\.200000, not at 0\.600000/,
    ],
    ['a call that never returns', '+0...0.5 read(4, ..., 9) = 1', /read still blocks/],
    ['an option value', '+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [999], [4]) = 0', /expected TCP_MAXSEG 999, got 1000/],
    ['an assertion', '+0 %{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }%', /assert tcpi_snd_cwnd == 11: 10/],
    ['a command', '+0 `ss -tan | grep -c ESTAB | grep 2`', /the command ended with status 1/],
    ['revents', '+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1', /expected revents POLLIN, got POLLOUT/],
    [
      'a packet nobody expected',
      `${write}${write}+0 > P. 1001:2001(1000) ack 1`,
      /expected sequence number 1001, got 1/,
    ],
  ])('%s', (_, lines, reason) => {
    expect(outcome(lines)).toMatch(/^failed line \d+, at \d\.\d{6}: /);
    expect(outcome(lines)).toMatch(reason);
  });

  it('with the expected and the actual packet and the trace so far', () => {
    const report = runScript(`${SERVER}${write}+0 > P. 1:1001(1000) ack 2`);
    expect(report.details).toBe('  expected: > P. 1:1001(1000) ack 2\n  actual:   > P. 1:1001(1000) ack 1 win 512');
    expect(report.trace.at(-1)).toBe('0.100000 > P. 1:1001(1000) ack 1 win 512');
  });
});

describe('windows and window scales', () => {
  const script = `--windows\n${SERVER.replace('> S. 0:0(0) ack 1 <', '> S. 0:0(0) ack 1 win 65535 <')}`;
  it('are compared on request only', () => {
    expect(runScript(script.replace('wscale 8', 'wscale 7')).outcome).toBe('passed');
    expect(runScript(script).reason).toMatch(/expected the option wscale 8, got wscale 7/);
    expect(runScript(script.replace('65535 <', '1000 <').replace('wscale 8', 'wscale 7')).reason).toMatch(
      /expected win 1000, got 65535/,
    );
    expect(runScript(SERVER.replace('ack 1 <', 'ack 1 win 7 <')).outcome).toBe('passed');
  });
});

describe('timestamps', () => {
  const script = (echo: number, header = ''): string => `${header}
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 700 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr ${echo}>
+.1 < . 1:1(0) ack 1 win 320 <nop,nop,TS val 800 ecr 100>
+0 accept(3, ..., ...) = 4
+.1 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1 <nop,nop,TS val 150 ecr 800>`;

  it('are mapped, and the echo must be right', () => {
    expect(runScript(script(700)).outcome).toBe('passed');
    expect(runScript(script(701)).reason).toMatch(/expected timestamp echo 701, got 700/);
  });

  it('are compared when the script says how long a tick is', () => {
    expect(runScript(script(700, '--tcp_ts_tick_usecs=1000')).reason).toMatch(/expected TS val 150, got 300/);
  });
});

describe('a setting the stack refuses', () => {
  it('is unsupported, with its reason', () => {
    const report = runScript(`\`sysctl -q net.ipv4.tcp_rmem="100 100 100"\`${SERVER}`);
    expect(report.outcome).toBe('unsupported');
    expect(report.reason).toContain('recvBufferMax');
  });
});

describe('what is not there', () => {
  it.each([
    ['--ip_version=ipv6\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3', 'IPv6 (--ip_version=ipv6)'],
    ['0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3', 'IPv6 sockets'],
    ['0 socket(..., SOCK_STREAM, IPPROTO_MPTCP) = 3', 'sockets of IPPROTO_MPTCP'],
    ['0 frobnicate(3) = 0', 'the system call frobnicate'],
    ['`./run-other-program.py`', 'the command ./run-other-program.py'],
    ['0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 %{ import os }%', "Python's import"],
    ['0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 %{ assert nonsense == 1 }%', 'the name nonsense in code'],
    ['+0 < S 0:0(0) <frob 1>', 'TCP option frob'],
  ])('is unsupported, not failed: %s', (script, reason) => {
    const report = runScript(script);
    expect(report.outcome).toBe('unsupported');
    expect(report.reason).toContain(reason);
  });

  it('is a reason to doubt a failure only: a script that passes all the same, passes', () => {
    expect(runScript(`\`sysctl -q net.ipv4.tcp_dsack=0\`${SERVER}`).outcome).toBe('passed');
    const report = runScript(`\`sysctl -q net.ipv4.tcp_dsack=0\`${SERVER}+0 > . 1:1(0) ack 1`);
    expect(report.outcome).toBe('unsupported');
    expect(report.reason).toMatch(/^setting net\.ipv4\.tcp_dsack=0 \(then: .*the stack sent nothing/);
  });
});

describe('the trace', () => {
  it('is a script that passes again', () => {
    const first = runScript(
      `${SERVER}+.1 write(4, ..., 3000) = 3000
* > P. 1:3001(3000) ack 1
+.1 < P. 1:101(100) ack 3001 win 320
+0...0.5 poll([{fd=4, events=POLLOUT, revents=POLLOUT}], 1, 100) = 1`.replace('+0...0.5', '+0'),
    );
    expect(first.reason).toBe('');
    const again = runScript(first.trace.join('\n'), { windows: true });
    expect(`${again.outcome} ${again.reason}`).toBe('passed ');
    expect(again.trace).toEqual(first.trace);
  });

  it('is the same for the same seed', () => {
    const lines = `${SERVER}+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n`;
    expect(runScript(lines, { seed: 5 }).trace).toEqual(runScript(lines, { seed: 5 }).trace);
  });
});

describe('settings', () => {
  it('reach the stack', () => {
    const script = `\`sysctl -q net.ipv4.tcp_sack=0 net.ipv4.tcp_timestamps=0
sysctl -w net.ipv4.tcp_window_scaling=0; ip route change default dev tun0 initcwnd 3 advmss 1200\`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <mss 1200>
+.1 < S. 0:0(0) ack 1 win 65535 <mss 1000>
+0 > . 1:1(0) ack 1
+0 write(3, ..., 9000) = 9000
+0 > . 1:3001(3000) ack 1
+0 %{ assert tcpi_snd_cwnd == 3 }%`;
    const report = runScript(script);
    expect(`${report.outcome} ${report.reason}`).toBe('passed ');
  });

  it('of FreeBSD say whose dialect it is: its buffer, its states', () => {
    const script = `0 \`sysctl -w net.inet.tcp.recvspace=65536\`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 getsockopt(3, SOL_SOCKET, SO_RCVBUF, [65536], [4]) = 0
+0 %{ assert tcpi_state == TCPI_CLOSED }%`;
    expect(runScript(script).reason).toBe('');
  });
});

describe('a script of FreeBSD', () => {
  const connecting = `0 \`sysctl -w net.inet.tcp.icmp_may_rst=1\`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0
+0 setsockopt(3, IPPROTO_IP, IP_TOS, [IPTOS_DSCP_CS1], 4) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > (tos 0x20) S 0:0(0) <mss 1460,nop,wscale 6,sackOK,TS val 100 ecr 0>
`;

  it('passes by what it calls the standard as well as by what it calls FreeBSD', () => {
    const either = (fits: string, fitsNot: string): string => `${connecting}+.1 < S. 0:0(0) ack 1 win 100 <mss 1000>
+0 > . 1:1(0) ack 1
#ifdef ${fits}
+0 write(3, ..., 10) = 10
+0 > P. 1:11(10) ack 1
#endif
#ifdef ${fitsNot}
+0 write(3, ..., 10) = 20
#endif`;
    expect(runScript(either('FreeBSD', 'STANDARD')).reason).toBe('');
    expect(runScript(either('STANDARD', 'FreeBSD')).reason).toBe('');
    expect(runScript(either('OTHER', 'FreeBSD')).outcome).toBe('failed');
  });

  it('calls refused what an administrator prohibits', () => {
    const script = `${connecting}+.1 < [0:0(0)] icmp unreachable net_prohibited
+.1 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0`;
    expect(runScript(script).reason).toBe('');
    expect(runScript(script.replace('ECONNREFUSED', 'EHOSTUNREACH')).outcome).toBe('failed');
  });

  it('may name ICMP codes by number; that Time Exceeded ends an attempt is unsupported', () => {
    const script = (code: string, error: string): string => `${connecting}+.1 < icmp ${code} [0:0(0)]
+.1 getsockopt(3, SOL_SOCKET, SO_ERROR, [${error}], [4]) = 0`;
    expect(runScript(script('parameter_problem code_2', '0')).reason).toBe('');
    expect(runScript(script('time_exceeded ttl_exceeded_in_transit', '0')).reason).toBe('');
    expect(runScript(script('time_exceeded ttl_exceeded_in_transit', 'EHOSTUNREACH')).outcome).toBe('unsupported');
  });
});

it('TCP_MAXSEG of a listener holds for its connections', () => {
  const script = SERVER.replace('<mss 1460,', '<mss 900,').replace(
    '+0 < S ',
    '+0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [900], 4) = 0\n+0 < S ',
  );
  expect(runScript(`${script}+0 %{ assert tcpi_snd_mss == 900, tcpi_snd_mss }%`).reason).toBe('');
});

describe('two connections', () => {
  it('have numbers and ports of their own', () => {
    const second = `+0 close(4) = 0
+0 > F. 1:1(0) ack 1
+.1 < R. 1:1(0) ack 2 win 0
+1 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 5
+0 write(5, ..., 10) = 10
+0 > P. 1:11(10) ack 1`;
    expect(outcome(second)).toBe('passed');
  });
});
