// Character generator — RFC 864. TCP: the rotating 72-column pattern for as long as the peer reads. UDP: a piece of the pattern.
//
// RFC 864 answers any datagram by up to 512 characters. That made chargen the classic amplifier, so here the answer is never
// longer than the question: what a forged source address earns its victim is what it cost the sender.

import { Readable } from 'node:stream';
import type { SmallService } from './pair.ts';

const COLUMNS = 72;
const PRINTABLE = 95; // ' ' … '~'
const LINE = COLUMNS + 2;
const MAX_DATAGRAM = 512;

/** The pattern repeats after 95 lines; one period is kept and sent again and again. */
const PERIOD: Uint8Array = (() => {
  const period = new Uint8Array(PRINTABLE * LINE);
  for (let line = 0; line < PRINTABLE; line++) {
    const start = line * LINE;
    for (let column = 0; column < COLUMNS; column++) period[start + column] = 0x20 + ((line + column) % PRINTABLE);
    period[start + COLUMNS] = 0x0d;
    period[start + COLUMNS + 1] = 0x0a;
  }
  return period;
})();

export const chargen: SmallService = {
  name: 'chargen',
  port: 19,
  accept: (socket) => {
    const source = new Readable({
      read() {
        this.push(PERIOD);
      },
    });
    socket.resume(); // "any data received is thrown away" (RFC 864)
    socket.once('close', () => source.destroy());
    socket.once('end', () => {
      // The peer has sent its FIN. It may still want to read, but nothing it can send would ever stop us: finish here.
      source.destroy();
      socket.end();
    });
    source.pipe(socket);
  },
  answer: (message) => PERIOD.subarray(0, Math.min(message.length, MAX_DATAGRAM)),
};
