// What a net.Server holds on to: a listener of the core.

import { AsyncResource } from 'node:async_hooks';
import type { SocketOwner } from '../socket.ts';
import { EV_READABLE } from '../socket.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpListener } from '../tcp/listener.ts';
import type { Address } from '../wire/address.ts';
import { Hold } from './hold.ts';
import type { AddressObject, HandleContext } from './tcp-handle.ts';
import { addressObject, TcpHandle } from './tcp-handle.ts';
import type { ListenTuning } from './tuning.ts';

export class ListenHandle implements SocketOwner {
  readonly listener: TcpListener;
  onconnection: (handle: TcpHandle) => void = () => {};
  readonly #context: HandleContext;
  readonly #hold: Hold;
  readonly #resource = new AsyncResource('TCPSERVERWRAP');
  #closed = false;

  private constructor(context: HandleContext, listener: TcpListener) {
    this.#context = context;
    this.#hold = new Hold(context.driver);
    this.#hold.active = true;
    this.listener = listener;
    listener.owner = this;
  }

  static listen(
    context: HandleContext,
    local: Address | undefined,
    port: number,
    backlog: number,
    tuning: ListenTuning = {},
  ): ListenHandle | number {
    context.driver.enter();
    const listener = context.core.tcp.listen({ local, port, backlog, ...tuning });
    return typeof listener === 'number' ? listener : new ListenHandle(context, listener);
  }

  getsockname(): AddressObject {
    const { local, port } = this.listener;
    return local === null ? { address: '0.0.0.0', family: 'IPv4', port } : addressObject(local, port);
  }

  onEvents(events: number): void {
    if ((events & EV_READABLE) === 0) return;
    while (!this.#closed) {
      const connection = this.listener.accept();
      if (connection === null) return;
      this.#context.driver.callback(this.#resource, this.#accept, this, connection);
    }
  }

  #accept(connection: TcpConnection): void {
    this.onconnection(new TcpHandle(this.#context, connection));
  }

  getAsyncId(): number {
    return this.#resource.asyncId();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hold.active = false;
    this.listener.owner = null;
    this.#context.driver.enter();
    this.listener.close();
  }

  ref(): void {
    this.#hold.ref = true;
  }

  unref(): void {
    this.#hold.ref = false;
  }

  hasRef(): boolean {
    return this.#hold.ref && !this.#closed;
  }
}
