// What every core socket shares: events for its owner, delivered after the flush.
//
// The core never calls into user code while it is working. A socket posts event bits; when the batch is over and everything has been
// sent, the driver drains the queue and each owner hears once what happened, so nothing re-enters the core.

import { Worklist } from './mem/worklist.ts';

export const EV_CONNECTED = 1; // connect() completed
export const EV_READABLE = 2; // data (or a datagram, or a connection to accept) waits
export const EV_WRITABLE = 4; // room in the send buffer after it was full
export const EV_DRAINED = 8; // everything written has been acknowledged
export const EV_END = 16; // the peer sent FIN: no more data after what is readable
export const EV_ERROR = 32; // `error` holds a negative errno; for a stream the connection is gone
export const EV_CLOSED = 64; // the socket is gone: no further events

export interface SocketOwner {
  /** @param events EV_* bits since the last call */
  onEvents(events: number): void;
}

export abstract class Socket {
  owner: SocketOwner | null = null;
  /** Negative errno of the last failure, 0 for none. */
  error = 0;
  pendingEvents = 0;
}

/** The sockets that have something to tell their owners. */
export class EventQueue {
  #queue = new Worklist<Socket>();
  #spare = new Worklist<Socket>();

  get isEmpty(): boolean {
    return this.#queue.count === 0;
  }

  post(socket: Socket, events: number): void {
    if (socket.pendingEvents === 0) this.#queue.push(socket);
    socket.pendingEvents |= events;
  }

  /**
   * Tell every owner. Events posted meanwhile wait for the next call, so one call is bounded. When an owner throws, those behind it keep their
   * turn for the next call.
   */
  drain(): void {
    const batch = this.#queue;
    this.#queue = this.#spare;
    let done = 0;
    try {
      while (done < batch.count) {
        const socket = batch.take(done++);
        if (socket === null) continue;
        const events = socket.pendingEvents;
        socket.pendingEvents = 0;
        if (events !== 0) socket.owner?.onEvents(events);
      }
    } finally {
      if (done < batch.count) this.#putBack(batch, done);
      batch.clear();
      this.#spare = batch;
    }
  }

  /** What is left of `batch` from `first` on, in front of what was posted meanwhile. */
  #putBack(batch: Worklist<Socket>, first: number): void {
    const later = this.#queue;
    const queue = new Worklist<Socket>();
    for (const [list, from] of [
      [batch, first],
      [later, 0],
    ] as const) {
      for (let i = from; i < list.count; i++) {
        const socket = list.take(i);
        if (socket !== null) queue.push(socket);
      }
    }
    this.#queue = queue;
  }
}
