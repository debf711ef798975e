// The loop guard of the small UDP services.
//
// echo answers whatever it gets, and so do chargen, daytime, qotd and time: one forged datagram from one such port to
// another starts a conversation that never ends (CERT CA-1996-01). A datagram whose source is such a port gets no answer.

/** echo, daytime, qotd, chargen, time: ports that answer anything. */
const ANSWERS_ANYTHING: ReadonlySet<number> = new Set([7, 13, 17, 19, 37]);

/** May a datagram from `port` be answered by the service on `ownPort`? (Source port 0 means "do not answer", RFC 768.) */
export function mayAnswer(port: number, ownPort: number): boolean {
  return port !== 0 && port !== ownPort && !ANSWERS_ANYTHING.has(port);
}
