// What keeps a process alive on behalf of sockets.

import type { ClockTimer } from '../driver/clock.ts';
import type { Driver } from '../driver/event-loop.ts';
import type { SocketOwner } from '../socket.ts';
import { EV_CLOSED, EV_DRAINED, EV_ERROR } from '../socket.ts';
import type { TcpConnection } from '../tcp/connection.ts';

// How long a process outlives its last socket for the sake of bytes nobody acknowledges. Linux would try for a quarter of an hour.
const LINGER = 30_000;

/** A handle's hold on the process: at most one, while it is referenced and active. */
export class Hold {
  readonly #driver: Driver;
  #ref = true;
  #active = false;
  #held = false;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  get ref(): boolean {
    return this.#ref;
  }

  set ref(value: boolean) {
    this.#ref = value;
    this.#update();
  }

  set active(value: boolean) {
    if (value === this.#active) return;
    this.#active = value;
    this.#update();
  }

  #update(): void {
    const wanted = this.#ref && this.#active;
    if (wanted === this.#held) return;
    this.#held = wanted;
    if (wanted) this.#driver.hold();
    else this.#driver.release();
  }
}

/** Owner of a connection whose handle is closed: holds the process until everything is delivered, or nobody cares any more. */
export class Lingering implements SocketOwner {
  readonly #driver: Driver;
  readonly #connection: TcpConnection;
  readonly #timer: ClockTimer;
  #done = false;

  constructor(driver: Driver, connection: TcpConnection) {
    this.#driver = driver;
    this.#connection = connection;
    driver.hold();
    this.#timer = driver.clock.timer(() => this.#finish(), LINGER);
  }

  onEvents(events: number): void {
    if ((events & (EV_DRAINED | EV_ERROR | EV_CLOSED)) !== 0) this.#finish();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer.close();
    if (this.#connection.owner === this) this.#connection.owner = null;
    this.#driver.release();
  }
}
