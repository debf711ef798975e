// The eleven states and how one leads to another — RFC 9293 §3.3.2, figure 5, and §3.10.
//
// The table is the only place that knows. Code names an event; the table names the state that follows. Effects live elsewhere.
//
// Invariant: a (state, event) pair that is not in the table cannot happen. Tests fail on one, production counts it
// (`tcpIllegalTransitions`) and stays where it is.

export const CLOSED = 0;
export const LISTEN = 1;
export const SYN_SENT = 2;
export const SYN_RECEIVED = 3;
export const ESTABLISHED = 4;
export const FIN_WAIT_1 = 5;
export const FIN_WAIT_2 = 6;
export const CLOSE_WAIT = 7;
export const CLOSING = 8;
export const LAST_ACK = 9;
export const TIME_WAIT = 10;
export const STATES = 11;

export const STATE_NAMES = [
  'CLOSED',
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

export const PASSIVE_OPEN = 0;
export const ACTIVE_OPEN = 1;
export const RCV_SYN = 2;
export const RCV_SYN_ACK = 3; // in SYN-SENT: a SYN that acknowledges ours
export const RCV_ACK_OF_SYN = 4;
export const RCV_FIN = 5;
export const RCV_ACK_OF_FIN = 6;
export const RCV_RST = 7;
export const RCV_RST_PASSIVE = 8; // the connection came from a LISTEN: it goes back there (RFC 9293 §3.10.7.4, MUST-11)
export const CLOSE = 9; // the user has no more to send
export const ABORT = 10;
export const TIMEOUT = 11; // R2, user timeout, keep-alive, FIN-WAIT-2, or a hard ICMP error
export const TIMEOUT_2MSL = 12;
export const EVENTS = 13;

export const EVENT_NAMES = [
  'passive OPEN',
  'active OPEN',
  'rcv SYN',
  'rcv SYN,ACK',
  'rcv ACK of SYN',
  'rcv FIN',
  'rcv ACK of FIN',
  'rcv RST',
  'rcv RST (passive)',
  'CLOSE',
  'ABORT',
  'timeout',
  '2MSL timeout',
];

type Transition = readonly [from: number, event: number, to: number];

const TRANSITIONS: readonly Transition[] = [
  [CLOSED, PASSIVE_OPEN, LISTEN],
  [CLOSED, ACTIVE_OPEN, SYN_SENT],
  [LISTEN, ACTIVE_OPEN, SYN_SENT],
  [LISTEN, RCV_SYN, SYN_RECEIVED],
  [LISTEN, CLOSE, CLOSED],
  [LISTEN, ABORT, CLOSED],
  [SYN_SENT, RCV_SYN, SYN_RECEIVED], // simultaneous open, RFC 9293 §3.5 (MUST-10)
  [SYN_SENT, RCV_SYN_ACK, ESTABLISHED],
  [SYN_SENT, RCV_RST, CLOSED],
  [SYN_SENT, ABORT, CLOSED],
  [SYN_SENT, TIMEOUT, CLOSED],
  [SYN_RECEIVED, RCV_ACK_OF_SYN, ESTABLISHED],
  [SYN_RECEIVED, RCV_RST, CLOSED],
  [SYN_RECEIVED, RCV_RST_PASSIVE, LISTEN],
  // CLOSE in SYN-SENT and SYN-RECEIVED waits for ESTABLISHED, as RFC 9293 §3.10.4 allows: what was written goes first.
  [SYN_RECEIVED, ABORT, CLOSED],
  [SYN_RECEIVED, TIMEOUT, CLOSED],
  [ESTABLISHED, RCV_FIN, CLOSE_WAIT],
  [ESTABLISHED, RCV_RST, CLOSED],
  [ESTABLISHED, CLOSE, FIN_WAIT_1],
  [ESTABLISHED, ABORT, CLOSED],
  [ESTABLISHED, TIMEOUT, CLOSED],
  [FIN_WAIT_1, RCV_FIN, CLOSING],
  [FIN_WAIT_1, RCV_ACK_OF_FIN, FIN_WAIT_2],
  [FIN_WAIT_1, RCV_RST, CLOSED],
  [FIN_WAIT_1, ABORT, CLOSED],
  [FIN_WAIT_1, TIMEOUT, CLOSED],
  [FIN_WAIT_2, RCV_FIN, TIME_WAIT],
  [FIN_WAIT_2, RCV_RST, CLOSED],
  [FIN_WAIT_2, ABORT, CLOSED],
  [FIN_WAIT_2, TIMEOUT, CLOSED],
  [CLOSE_WAIT, RCV_RST, CLOSED],
  [CLOSE_WAIT, CLOSE, LAST_ACK],
  [CLOSE_WAIT, ABORT, CLOSED],
  [CLOSE_WAIT, TIMEOUT, CLOSED],
  [CLOSING, RCV_ACK_OF_FIN, TIME_WAIT],
  [CLOSING, RCV_RST, CLOSED],
  [CLOSING, ABORT, CLOSED],
  [CLOSING, TIMEOUT, CLOSED],
  [LAST_ACK, RCV_ACK_OF_FIN, CLOSED],
  [LAST_ACK, RCV_RST, CLOSED],
  [LAST_ACK, ABORT, CLOSED],
  [LAST_ACK, TIMEOUT, CLOSED],
  [TIME_WAIT, RCV_SYN, SYN_RECEIVED], // a new incarnation, RFC 9293 §3.6.1 (MAY-2), RFC 6191
  [TIME_WAIT, ABORT, CLOSED],
  [TIME_WAIT, TIMEOUT_2MSL, CLOSED],
];

const TABLE = new Int8Array(STATES * EVENTS).fill(-1);
for (const [from, event, to] of TRANSITIONS) TABLE[from * EVENTS + event] = to;

/** The state after `event` in `state`, or -1 when that cannot happen. */
export const next = (state: number, event: number): number => TABLE[state * EVENTS + event];

/** The peer's SYN has arrived and RCV.NXT means something. */
export const isSynchronized = (state: number): boolean => state >= SYN_RECEIVED;

/** We have not sent our FIN: the user may still write (RFC 9293 §3.10.2). */
export const canSend = (state: number): boolean =>
  state === ESTABLISHED || state === CLOSE_WAIT || state === SYN_SENT || state === SYN_RECEIVED;

/** The peer has not sent its FIN: text may still arrive (RFC 9293 §3.10.7.4, seventh). */
export const canReceive = (state: number): boolean =>
  state === ESTABLISHED || state === FIN_WAIT_1 || state === FIN_WAIT_2 || state === SYN_RECEIVED;

/** The state diagram as text, one line per transition, drawn from the table. */
export function diagram(): string {
  const lines: string[] = [];
  for (let from = 0; from < STATES; from++) {
    for (let event = 0; event < EVENTS; event++) {
      const to = next(from, event);
      if (to < 0) continue;
      lines.push(`${STATE_NAMES[from].padEnd(12)} --${` ${EVENT_NAMES[event]} `.padEnd(20, '-')}> ${STATE_NAMES[to]}`);
    }
  }
  return lines.join('\n');
}

/** Every (state, event) pair as a grid: rows are states, columns events, `.` what cannot happen. */
export function grid(): string {
  const width = 13;
  const header = ''.padEnd(width) + EVENT_NAMES.map((name) => name.padEnd(18)).join('');
  const rows = STATE_NAMES.map((name, from) => {
    let row = name.padEnd(width);
    for (let event = 0; event < EVENTS; event++) row += (STATE_NAMES[next(from, event)] ?? '.').padEnd(18);
    return row.trimEnd();
  });
  return [header.trimEnd(), ...rows].join('\n');
}
