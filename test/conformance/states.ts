// Every state x every kind of segment x where in the window it falls — RFC 9293 §3.10.7, RFC 5961, RFC 1337.
//
// Our numbers: `una` is SND.UNA, `nxt` SND.NXT, `rcv` RCV.NXT after the setup. The window is 65,535 and unscaled, there is no SACK.
// What is expected comes from the clauses named here, not from the implementation.

import type { Case } from './cases.ts';
import { script } from './cases.ts';

interface State {
  readonly name: string;
  readonly setup: readonly string[];
  readonly nxt: number;
  readonly rcv: number;
  /** Linux's tcpi_state. */
  readonly tcpi: string;
  /** The peer may still send text. */
  readonly receives: boolean;
}

const ACTIVE = [
  '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3',
  '+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0',
  '+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)',
  '+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>',
];
const ESTABLISHED = [...ACTIVE, '+.01 < S. 0:0(0) ack 1 win 65535 <mss 1460>', '+0 > . 1:1(0) ack 1'];
const PASSIVE = ['0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3', '+0 bind(3, ..., ...) = 0', '+0 listen(3, 1) = 0'];
const FIN_WAIT_1 = [...ESTABLISHED, '+.01 shutdown(3, SHUT_WR) = 0', '+0 > F. 1:1(0) ack 1'];
const CLOSE_WAIT = [...ESTABLISHED, '+.01 < F. 1:1(0) ack 1 win 65535', '+0~+.04 > . 1:1(0) ack 2'];

const SYNCHRONIZED: readonly State[] = [
  { name: 'ESTABLISHED', setup: ESTABLISHED, nxt: 1, rcv: 1, tcpi: 'TCP_ESTABLISHED', receives: true },
  { name: 'FIN-WAIT-1', setup: FIN_WAIT_1, nxt: 2, rcv: 1, tcpi: 'TCP_FIN_WAIT1', receives: true },
  {
    name: 'FIN-WAIT-2',
    setup: [...FIN_WAIT_1, '+.01 < . 1:1(0) ack 2 win 65535'],
    nxt: 2,
    rcv: 1,
    tcpi: 'TCP_FIN_WAIT2',
    receives: true,
  },
  { name: 'CLOSE-WAIT', setup: CLOSE_WAIT, nxt: 1, rcv: 2, tcpi: 'TCP_CLOSE_WAIT', receives: false },
  {
    name: 'CLOSING',
    setup: [...FIN_WAIT_1, '+.01 < F. 1:1(0) ack 1 win 65535', '+0~+.04 > . 2:2(0) ack 2'],
    nxt: 2,
    rcv: 2,
    tcpi: 'TCP_CLOSING',
    receives: false,
  },
  {
    name: 'LAST-ACK',
    setup: [...CLOSE_WAIT, '+.01 shutdown(3, SHUT_WR) = 0', '+0 > F. 1:1(0) ack 2'],
    nxt: 2,
    rcv: 2,
    tcpi: 'TCP_LAST_ACK',
    receives: false,
  },
];

const TIME_WAIT = [
  ...FIN_WAIT_1,
  '+.01 < F. 1:1(0) ack 2 win 65535',
  '+0 > . 2:2(0) ack 2',
  '+0 %{ assert tcpi_state == TCP_TIME_WAIT }%',
];

/** Acknowledges what has been acknowledged already, and disturbs nothing. */
const una = (state: State): number => (['FIN-WAIT-2'].includes(state.name) ? 2 : 1);

const segment = (flags: string, seq: number, length: number, ack: number | null, options = ''): string =>
  `+.01 < ${flags} ${seq}:${seq + length}(${length})${ack === null ? '' : ` ack ${ack}`} win 65535${options}`;

const POSITIONS = [
  ['left-of-window', -1],
  ['at-left-edge', 0],
  ['inside-window', 1000],
  ['right-of-window', 70_000],
] as const;

/** What came must leave the connection as it was: the state is the same, and an ACK of what is there still gets no answer. */
const unchanged = (state: State): string => `+.01 %{ assert tcpi_state == ${state.tcpi}, tcpi_state }%`;

function synchronizedCases(state: State): Case[] {
  const cases: Case[] = [];
  const { nxt, rcv } = state;
  const answer = `+0 > . ${nxt}:${nxt}(0) ack ${rcv}`;
  const add = (name: string, ...lines: string[]): void => {
    cases.push({ name: `${state.name}/${name}`, script: script(...state.setup, ...lines) });
  };
  for (const [where, offset] of POSITIONS) {
    const seq = rcv + offset;
    // RFC 5961 §3.2: only SEG.SEQ = RCV.NXT resets; in the window it is challenged, outside it is dropped.
    const dies = '+.01 %{ assert tcpi_state == TCP_CLOSE, tcpi_state }%';
    const rst = offset === 0 ? [dies] : offset === 1000 ? [answer, unchanged(state)] : [unchanged(state)];
    add(`RST ${where}`, segment('R', seq, 0, null), ...rst);
    add(`RST,ACK ${where}`, segment('R.', seq, 0, una(state)), ...rst);
    // RFC 5961 §4.2: a SYN, wherever it falls, is answered by a challenge ACK.
    add(`SYN ${where}`, segment('S', seq, 0, null, ' <mss 1460>'), answer, unchanged(state));
    add(`SYN,ACK ${where}`, segment('S.', seq, 0, una(state), ' <mss 1460>'), answer, unchanged(state));
    // RFC 9293 §3.10.7.4, first: an unacceptable segment is answered with an ACK.
    const isOutside = offset < 0 || offset > 65_535;
    add(`ACK ${where}`, segment('.', seq, 0, una(state)), isOutside ? answer : '', unchanged(state));
    // Fifth: no ACK bit, drop.
    if (!isOutside) add(`text without ACK ${where}`, segment('-', seq, 10, null), unchanged(state));
    if (offset > 0) {
      const answered = state.receives || isOutside;
      add(`text ${where}`, segment('P.', seq, 100, una(state)), answered ? answer : '', unchanged(state));
      add(`FIN ${where}`, segment('F.', seq, 0, una(state)), answered ? answer : '', unchanged(state));
    }
  }
  // Fifth: it acknowledges something not yet sent: an ACK, and drop.
  add('ACK of what was never sent', segment('.', rcv, 0, nxt + 1000), answer, unchanged(state));
  // RFC 5961 §5.2: it acknowledges something too long ago.
  add('ACK of long ago', segment('.', rcv, 0, 0xfff00000), answer, unchanged(state));
  if (state.receives) {
    const got = `+0~+.04 > . ${nxt}:${nxt}(0) ack ${rcv + 100}`;
    add('text at-left-edge', segment('P.', rcv, 100, una(state)), got, unchanged(state));
    // Half old, half new: what is new counts.
    add(
      'text across-left-edge',
      segment('P.', rcv, 100, una(state)),
      got,
      segment('P.', rcv + 50, 100, una(state)),
      `+0 > . ${nxt}:${nxt}(0) ack ${rcv + 150}`,
    );
    add(
      'FIN at-left-edge',
      segment('F.', rcv, 0, una(state)),
      `+0 > . ${nxt}:${nxt}(0) ack ${rcv + 1}`,
      `+0 %{ assert tcpi_state == ${FIN_LEADS_TO[state.name]}, tcpi_state }%`,
    );
    add(
      'text and FIN',
      segment('FP.', rcv, 100, una(state)),
      `+0 > . ${nxt}:${nxt}(0) ack ${rcv + 101}`,
      `+0 %{ assert tcpi_state == ${FIN_LEADS_TO[state.name]}, tcpi_state }%`,
    );
  } else {
    // Eighth: the FIN again, since our ACK was lost: it lies left of the window and is acknowledged again.
    add('FIN again', segment('F.', rcv - 1, 0, una(state)), answer, unchanged(state));
    // Seventh: text behind the FIN should not occur; it is ignored.
    add('text behind the FIN', segment('P.', rcv, 100, una(state)), unchanged(state));
  }
  if (ACK_LEADS_TO[state.name] !== undefined) {
    add(
      'ACK of our FIN',
      segment('.', rcv, 0, 2),
      `+0 %{ assert tcpi_state == ${ACK_LEADS_TO[state.name]}, tcpi_state }%`,
    );
  }
  return cases;
}

/** RFC 9293 §3.10.7.4, eighth. */
const FIN_LEADS_TO: Record<string, string> = {
  ESTABLISHED: 'TCP_CLOSE_WAIT',
  'FIN-WAIT-1': 'TCP_CLOSING',
  'FIN-WAIT-2': 'TCP_TIME_WAIT',
};

/** RFC 9293 §3.10.7.4, fifth. */
const ACK_LEADS_TO: Record<string, string> = {
  'FIN-WAIT-1': 'TCP_FIN_WAIT2',
  CLOSING: 'TCP_TIME_WAIT',
  'LAST-ACK': 'TCP_CLOSE',
};

/** RFC 9293 §3.10.7.1 and §3.10.7.2: a segment for nobody, or for a LISTEN, and its answer. */
function endpointCases(): Case[] {
  const cases: Case[] = [];
  const closed = PASSIVE.slice(0, 2);
  const rows: readonly (readonly [name: string, segment: string, closed: string, listen: string])[] = [
    ['SYN', 'S 17:17(0) win 1000 <mss 1460>', 'R. 0:0(0) ack 18', 'S. 0:0(0) ack 18 <...>'],
    ['SYN with text', 'S 17:20(3) win 1000 <mss 1460>', 'R. 0:0(0) ack 21', 'S. 0:0(0) ack 18 <...>'],
    ['SYN,ACK', 'S. 17:17(0) ack 34 win 1000', 'R 34:34(0)', 'R 34:34(0)'],
    ['ACK', '. 17:17(0) ack 34 win 1000', 'R 34:34(0)', 'R 34:34(0)'],
    ['ACK with text', 'P. 17:20(3) ack 34 win 1000', 'R 34:34(0)', 'R 34:34(0)'],
    ['FIN', 'F 17:17(0) win 1000', 'R. 0:0(0) ack 18', ''],
    ['FIN,ACK', 'F. 17:17(0) ack 34 win 1000', 'R 34:34(0)', 'R 34:34(0)'],
    ['text without ACK', '- 17:20(3) win 1000', 'R. 0:0(0) ack 20', ''],
    ['RST', 'R 17:17(0) win 1000', '', ''],
    ['RST,ACK', 'R. 17:17(0) ack 34 win 1000', '', ''],
  ];
  // That nothing was sent shows in the answer to a later segment being the next packet.
  const probe = ['+.01 < . 50:50(0) ack 99 win 1000', '+0 > R 99:99(0)'];
  for (const [name, line, fromClosed, fromListen] of rows) {
    const answer = (packet: string): string => (packet === '' ? '' : `+0 > ${packet}`);
    cases.push({ name: `CLOSED/${name}`, script: script(...closed, `+0 < ${line}`, answer(fromClosed), ...probe) });
    const after = fromListen.startsWith('S.') ? [] : probe;
    cases.push({ name: `LISTEN/${name}`, script: script(...PASSIVE, `+0 < ${line}`, answer(fromListen), ...after) });
  }
  return cases;
}

/** RFC 9293 §3.10.7.3. */
function synSentCases(): Case[] {
  const cases: Case[] = [];
  const still = '+.01 %{ assert tcpi_state == TCP_SYN_SENT, tcpi_state }%';
  const then = ['+.01 < S. 0:0(0) ack 1 win 65535 <mss 1460>', '+0 > . 1:1(0) ack 1'];
  const add = (name: string, ...lines: string[]): void => {
    cases.push({ name: `SYN-SENT/${name}`, script: script(...ACTIVE, ...lines) });
  };
  // First: SEG.ACK =< ISS or SEG.ACK > SND.NXT: <SEQ=SEG.ACK><CTL=RST>, unless it is a reset itself.
  for (const [flags, name] of [
    ['.', 'ACK'],
    ['P.', 'text'],
    ['F.', 'FIN,ACK'],
    ['S.', 'SYN,ACK'],
  ] as const) {
    const length = name === 'text' ? 10 : 0;
    for (const ack of [0, 2, 5000]) {
      add(`${name} of ${ack}`, segment(flags, 0, length, ack), `+0 > R ${ack}:${ack}(0)`, still, ...then);
    }
  }
  for (const ack of [0, 2]) add(`RST,ACK of ${ack}`, segment('R.', 0, 0, ack), still, ...then);
  // Second: RFC 5961 §3.2: a reset counts when it acknowledges our SYN.
  add(
    'RST,ACK of our SYN',
    segment('R.', 0, 0, 1),
    '+.01 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0',
  );
  add('RST without ACK', segment('R', 0, 0, null), still, ...then);
  // Fifth: neither SYN nor RST: drop.
  add('acceptable ACK without SYN', segment('.', 0, 0, 1), still, ...then);
  add('FIN without ACK', segment('F', 0, 0, null), still, ...then);
  add('text without ACK', segment('-', 0, 10, null), still, ...then);
  add('FIN,ACK of our SYN', segment('F.', 0, 0, 1), still, ...then);
  // Fourth: the SYN. §3.5: simultaneous open.
  add(
    'SYN,ACK',
    ...then,
    '+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0',
    '+0 %{ assert tcpi_state == TCP_ESTABLISHED }%',
  );
  add(
    'SYN',
    segment('S', 0, 0, null, ' <mss 1000>'),
    '+0 > S. 0:0(0) ack 1 <mss 1460>',
    '+.01 %{ assert tcpi_state == TCP_SYN_RECV, tcpi_state }%',
    '+.01 < . 1:1(0) ack 1 win 65535',
    '+0 %{ assert tcpi_state == TCP_ESTABLISHED, tcpi_state }%',
  );
  add(
    'SYN, then SYN,ACK',
    segment('S', 0, 0, null, ' <mss 1000>'),
    '+0 > S. 0:0(0) ack 1 <mss 1460>',
    '+.01 < S. 0:0(0) ack 1 win 65535 <mss 1000>',
    '+0 %{ assert tcpi_state == TCP_ESTABLISHED, tcpi_state }%',
  );
  add(
    'SYN,ACK with text',
    '+.01 < S. 0:10(10) ack 1 win 65535 <mss 1460>',
    '+0 > . 1:1(0) ack 11',
    '+0 read(3, ..., 100) = 10',
  );
  return cases;
}

/** RFC 9293 §3.10.7.4 for a SYN-RECEIVED that came from a LISTEN. */
function synReceivedCases(): Case[] {
  const cases: Case[] = [];
  const setup = [...PASSIVE, '+0 < S 0:0(0) win 65535 <mss 1460>', '+0 > S. 0:0(0) ack 1 <mss 1460>'];
  const answer = '+0 > . 1:1(0) ack 1';
  const completes = [
    '+.01 < . 1:1(0) ack 1 win 65535',
    '+0 accept(3, ..., ...) = 4',
    '+0 %{ assert tcpi_state == TCP_ESTABLISHED }%',
  ];
  const add = (name: string, ...lines: string[]): void => {
    cases.push({ name: `SYN-RECEIVED/${name}`, script: script(...setup, ...lines) });
  };
  // Second: back to LISTEN (MUST-11), from where a SYN begins again.
  add('RST at-left-edge', segment('R', 1, 0, null), '+.01 < . 1:1(0) ack 1 win 65535', '+0 > R 1:1(0)');
  add('RST inside-window', segment('R', 1000, 0, null), answer, ...completes);
  add('RST left-of-window', segment('R', 0, 0, null), ...completes);
  add('RST right-of-window', segment('R', 70_000, 0, null), ...completes);
  // The SYN again: our SYN,ACK was lost.
  add('SYN again', segment('S', 0, 0, null, ' <mss 1460>'), '+0 > S. 0:0(0) ack 1 <mss 1460>', ...completes);
  add('SYN inside-window', segment('S', 1000, 0, null, ' <mss 1460>'), answer, ...completes);
  // Fifth: an unacceptable acknowledgment is answered by <SEQ=SEG.ACK><CTL=RST>.
  for (const ack of [0, 2, 5000])
    add(`ACK of ${ack}`, segment('.', 1, 0, ack), `+0 > R ${ack}:${ack}(0)`, ...completes);
  add('ACK left-of-window', segment('.', 0, 0, 1), answer, ...completes);
  add('ACK right-of-window', segment('.', 70_000, 0, 1), answer, ...completes);
  add('text without ACK', segment('-', 1, 10, null), ...completes);
  add('ACK', ...completes);
  add(
    'ACK with text',
    '+.01 < P. 1:11(10) ack 1 win 65535',
    '+0~+.04 > . 1:1(0) ack 11',
    '+0 accept(3, ..., ...) = 4',
    '+0 read(4, ..., 100) = 10',
  );
  add(
    'FIN,ACK',
    '+.01 < F. 1:1(0) ack 1 win 65535',
    '+0 > . 1:1(0) ack 2',
    '+0 accept(3, ..., ...) = 4',
    '+0 %{ assert tcpi_state == TCP_CLOSE_WAIT }%',
    '+0 read(4, ..., 100) = 0',
  );
  add(
    'silence',
    '+1 > S. 0:0(0) ack 1 <mss 1460>',
    '+2 > S. 0:0(0) ack 1 <mss 1460>',
    '+4 > S. 0:0(0) ack 1 <mss 1460>',
  );
  return cases;
}

/** RFC 9293 §3.10.7.4 for TIME-WAIT, RFC 1337. */
function timeWaitCases(): Case[] {
  const cases: Case[] = [];
  const answer = '+0 > . 2:2(0) ack 2';
  const add = (name: string, ...lines: string[]): void => {
    const still = '+.01 `ss -tan | grep -c TIME-WAIT | grep 1`';
    cases.push({ name: `TIME-WAIT/${name}`, script: script(...TIME_WAIT, ...lines, still) });
  };
  for (const [where, offset] of POSITIONS) {
    const seq = 2 + offset;
    // RFC 1337 §3, fix 1: no reset ends it.
    add(`RST ${where}`, segment('R', seq, 0, null));
    add(`RST,ACK ${where}`, segment('R.', seq, 0, 2));
    const isOutside = offset < 0 || offset > 65_535;
    add(`ACK ${where}`, segment('.', seq, 0, 2), isOutside ? answer : '');
    add(`SYN ${where}`, segment('S', seq, 0, null, ' <mss 1460>'), answer);
    if (offset !== 0) add(`text ${where}`, segment('P.', seq, 100, 2), answer);
  }
  add('FIN again', segment('F.', 1, 0, 2), answer);
  add('FIN again, twice', segment('F.', 1, 0, 2), answer, segment('F.', 1, 0, 2), answer);
  add('for just under 2 MSL', '+59 < F. 1:1(0) ack 2 win 65535', answer);
  cases.push({
    name: 'TIME-WAIT/is over after 2 MSL',
    script: script(...TIME_WAIT, '+60.1 < . 2:2(0) ack 2 win 65535', '+0 > R 2:2(0)'),
  });
  return cases;
}

export function stateCases(): Case[] {
  return [
    ...endpointCases(),
    ...synSentCases(),
    ...synReceivedCases(),
    ...SYNCHRONIZED.flatMap(synchronizedCases),
    ...timeWaitCases(),
  ];
}
