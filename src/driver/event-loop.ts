// The batch loop: Node's event loop drives one stack.
//
//   link wakes → now = clock → receive, advance, flush, drain events → arm the timer for the next deadline
//
// Commands from user code call `enter()` first, so that the core acts at the present time, and mark work; one flush at the end of the tick
// sends what all of them caused, which is how small writes coalesce.
//
// The loop itself keeps no process alive. Handles do, through `hold` and `release`, exactly as long as Node's own would; so does what
// the kernel would do for a process that has gone: bytes on their way out are held until they are acknowledged.
//
// Between one handle's callback and the next, ticks and microtasks run, as they do between callbacks of libuv: a program that awaits one event
// and then listens for another does not miss it because both came in one batch.
//
// Invariant: the core is never entered while it is working; user callbacks run only from `events.drain()` and from ticks of their own.

import type { AsyncResource } from 'node:async_hooks';
import type { Stack } from '../stack.ts';
import type { Clock, ClockTimer } from './clock.ts';

// One visit handles at most this much, then other work of the event loop has its turn.
const BATCHES_PER_TURN = 16;
const MICROSECONDS_PER_TURN = 4_000;
// Node's timers do not count further than 2^31 - 1 ms.
const LONGEST_DELAY = 1_000_000_000;

/** What a link offers to the driver beyond the core's needs. */
interface Watchable {
  watch?(wake: (() => void) | null): void;
}

/** Runs what waits for the present callback to return: Node has it for whoever emulates such a return in JavaScript. */
const runTicks = (process as { _tickCallback?: () => void })._tickCallback ?? (() => {});

// Drivers whose work is under way. A link may wake one driver from within another's flush (a pipe does): that has to wait.
let depth = 0;

const live = new Set<Driver>();
let hooked = false;

/** The kernel sends what a process wrote before it exited; nobody does that for us. */
function lastFlush(): void {
  for (const driver of live) driver.finish();
}

export class Driver {
  readonly stack: Stack;
  readonly clock: Clock;
  /** Counts up whenever user code runs or commands something: a simulation lets such code finish before time goes on. */
  activity = 0;
  #timer: ClockTimer | null = null;
  #timerAt = Infinity;
  #flushPending = false;
  #turnPending: NodeJS.Immediate | null = null;
  #running = false;
  #draining = false;
  #dirty = false;
  #closed = false;
  readonly #watched: Watchable[] = [];

  /** @param stack whose world is `clock`'s: the driver sets `stack.world.now` */
  constructor(stack: Stack, clock: Clock) {
    this.stack = stack;
    this.clock = clock;
    stack.onWork = () => this.#scheduleFlush();
    live.add(this);
    if (!hooked) {
      hooked = true;
      process.on('exit', lastFlush);
    }
  }

  /** Serve `link`, which has been added to the stack. */
  watch(link: Watchable): void {
    this.#watched.push(link);
    link.watch?.(() => this.#wake());
  }

  /** True when there is work to be done at this very moment, in a later tick or turn. */
  get isBusy(): boolean {
    return this.#turnPending !== null || this.#flushPending;
  }

  /** Bring the core's time up to date: to be called before every command from user code. */
  enter(): void {
    this.activity++;
    if (!this.#running) this.stack.world.now = this.clock.now();
  }

  /** Keep the process alive until as many calls of `release`. */
  hold(): void {
    this.clock.hold();
  }

  release(): void {
    this.clock.release();
  }

  /**
   * Call back into user code on behalf of a handle, in the asynchronous context the handle was made in, and let ticks run. What either
   * throws ends the turn as an uncaught exception; when the program survives that, the next turn goes on where this one stopped.
   */
  callback<T, A extends unknown[]>(
    resource: AsyncResource,
    fn: (this: T, ...args: A) => unknown,
    self: T,
    ...args: A
  ): void {
    this.activity++;
    resource.runInAsyncScope(fn, self, ...args);
    if (this.#draining) runTicks();
  }

  /** Send what is waiting, without listening for answers: the process is about to end. */
  finish(): void {
    if (this.#closed || this.#running) return;
    this.stack.world.now = this.clock.now();
    this.stack.flush();
  }

  /** Stop driving. The stack is left as it is. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    live.delete(this);
    this.stack.onWork = null;
    for (const link of this.#watched) link.watch?.(null);
    this.#watched.length = 0;
    this.#timer?.close();
    this.#timer = null;
    if (this.#turnPending !== null) clearImmediate(this.#turnPending);
    this.#turnPending = null;
  }

  #wake(): void {
    if (depth > 0) this.#scheduleTurn();
    else this.#turn();
  }

  #scheduleTurn(): void {
    if (this.#turnPending !== null || this.#closed) return;
    this.#turnPending = setImmediate(() => {
      this.#turnPending = null;
      this.#turn();
    });
  }

  #scheduleFlush(): void {
    if (this.#draining) this.#dirty = true; // flushed when all have had their say
    // A turn flushes what input has marked by itself.
    if (this.#flushPending || this.#closed || this.#running) return;
    this.#flushPending = true;
    process.nextTick(Driver.#flushLater, this);
  }

  static #flushLater(driver: Driver): void {
    driver.#flushPending = false;
    if (driver.#closed) return;
    if (driver.#running) {
      driver.#dirty = true; // a tick between two callbacks of a turn, which flushes at its end
      return;
    }
    driver.#running = true;
    depth++;
    try {
      driver.stack.world.now = driver.clock.now();
      driver.stack.flush();
    } finally {
      depth--;
      driver.#running = false;
    }
    // A flush may have news of its own: a refused connection to ourselves, room in a buffer.
    if (!driver.stack.events.isEmpty) driver.#scheduleTurn();
    driver.#arm();
  }

  #turn(): void {
    if (this.#running || this.#closed) return;
    const { stack, clock } = this;
    this.#running = true;
    depth++;
    let more = true;
    try {
      const start = clock.now();
      stack.world.now = start;
      for (let batch = 0; more && !this.#closed && batch < BATCHES_PER_TURN; batch++) {
        if (batch > 0) {
          stack.world.now = clock.now();
          if (stack.world.now - start > MICROSECONDS_PER_TURN) break;
        }
        more = false;
        for (const nic of stack.nics) if (stack.receive(nic) > 0) more = true;
        stack.advance();
        stack.flush();
        this.#draining = true;
        stack.events.drain();
        this.#draining = false;
        if (this.#dirty && !this.#closed) {
          this.#dirty = false;
          stack.world.now = clock.now();
          stack.flush();
        }
      }
    } finally {
      depth--;
      this.#running = false;
      this.#draining = false;
      if (more || this.#dirty || !stack.events.isEmpty) this.#scheduleTurn();
    }
    this.#arm();
  }

  /** Have the timer go off no later than the core's next deadline. One that goes off early costs less than moving it each time. */
  #arm(): void {
    if (this.#closed) return;
    const deadline = this.stack.nextDeadline();
    if (deadline <= this.stack.world.now) {
      this.#scheduleTurn();
      return;
    }
    if (deadline >= this.#timerAt) return;
    this.#timer?.close();
    this.#timerAt = deadline;
    const delay = Math.min(Math.max(deadline - this.clock.now(), 0) / 1000, LONGEST_DELAY);
    this.#timer = this.clock.timer(() => {
      this.#timer = null;
      this.#timerAt = Infinity;
      this.#turn();
    }, delay);
  }
}
