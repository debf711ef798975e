// A stack for Node programs: made with `createStack`, used through `net` and `dgram`, ended with `close`.

import { lookup as hostLookup } from 'node:dns';
import { EventEmitter } from 'node:events';
import type { CapturedFrame } from '../capture/frame.ts';
import { LINKTYPE_ETHERNET, nanosOf } from '../capture/frame.ts';
import type { Dns } from '../dns/dns.ts';
import { createDns } from '../dns/dns.ts';
import { Driver } from '../driver/event-loop.ts';
import { SystemClock } from '../driver/system-clock.ts';
import { SystemEntropy } from '../driver/system-entropy.ts';
import { CaptureLink } from '../link/capture.ts';
import { DuplexLink } from '../link/duplex.ts';
import type { Link } from '../link/link.ts';
import { lower } from '../link/lower.ts';
import type { NicAddress } from '../net/conflict.ts';
import type { Nic } from '../net/nic.ts';
import { EV_CONNECTED, EV_ERROR } from '../socket.ts';
import { Stack } from '../stack.ts';
import { Address, formatIpv4, formatMac } from '../wire/address.ts';
import type { World } from '../world.ts';
import type { Lookup, NetContext } from './context.ts';
import type { Dgram } from './dgram.ts';
import { createDgram } from './dgram.ts';
import { Diagnostics } from './diagnostics.ts';
import { errnoException, invalidAddress } from './errors.ts';
import { createLookup } from './lookup.ts';
import type { Net } from './net.ts';
import { createNet } from './net.ts';
import type { CheckedInterface, CheckedOptions, InterfaceOptions, StackOptions } from './options.ts';
import { checkOptions } from './options.ts';
import type { PingOptions } from './ping.ts';
import { Ping } from './ping.ts';
import { Server } from './server.ts';
import { Socket } from './socket.ts';
import type { TracerouteOptions } from './traceroute.ts';
import { Traceroute } from './traceroute.ts';
import { validateFunction, validateInteger, validateString } from './validate.ts';
import type { ConnectOptions, SocketAddress, SocketStreams } from './web-streams.ts';
import { connectStreams } from './web-streams.ts';

/** Sees one frame; its bytes are valid until it returns. */
export type CaptureSink = (frame: CapturedFrame) => void;

export interface CloseOptions {
  /** Milliseconds open connections have to deliver what was written, default 1000; then they are reset. */
  timeout?: number;
}

/** Links that tell when they are gone for good. */
interface FallibleLink extends Link {
  onError?: ((error: Error) => void) | null;
}

export interface NodeStackEvents {
  /** A link is gone for good. */
  error: [error: Error];
  /** Another host uses one of our addresses. */
  conflict: [address: string, mac: string];
  close: [];
}

export class NodeStack extends EventEmitter<NodeStackEvents> {
  /** The protocol stack itself. */
  readonly core: Stack;
  readonly driver: Driver;
  readonly net: Net;
  readonly dgram: Dgram;
  readonly dns: Dns;
  readonly #context: NetContext;
  readonly #captures: CaptureLink[] = [];
  readonly #nics: Nic[] = [];
  #closing: Promise<void> | null = null;

  private constructor(options: StackOptions) {
    super();
    const clock = options.world?.clock ?? new SystemClock();
    const world: World = {
      now: clock.now(),
      wallClock: () => clock.wallClock(),
      entropy: options.world?.entropy ?? new SystemEntropy(),
    };
    const { hostname, memory, tcp, udp, icmp, reassembly, acceptSourceRoute } = options;
    this.core = new Stack({ world, hostname, memory, tcp, udp, icmp, reassembly, acceptSourceRoute });
    this.core.tcp.monitor = new Diagnostics(this);
    this.driver = new Driver(this.core, clock);
    // Without servers of its own, the stack knows the names its host knows.
    const resolve: Lookup = (...args) => (dns.lookup() ?? (hostLookup as Lookup))(...args);
    this.#context = {
      core: this.core,
      driver: this.driver,
      lookup: createLookup({ hosts: options.hosts, lookup: options.lookup ?? resolve }),
      defaults: { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 250 },
      open: new Set(),
      Socket,
      Server,
    };
    this.net = createNet(this.#context);
    this.dgram = createDgram(this.#context);
    const { net, dgram } = this;
    const random = (): number => world.entropy.int32();
    const dns = createDns({ net, dgram, clock, random }, options.dns ?? {}, this.#context.lookup);
    this.dns = dns.module;
  }

  /** @internal use `createStack` */
  static async create(options: StackOptions): Promise<NodeStack> {
    const checked = checkOptions(options);
    const stack = new NodeStack(options);
    try {
      for (const one of checked.interfaces) await stack.#attach(one);
      stack.#addRoutes(checked);
    } catch (error) {
      stack.core.close();
      stack.driver.close();
      throw error;
    }
    return stack;
  }

  /** The first interface; undefined when there is only the loopback. */
  get nic(): Nic {
    return this.#nics[0] ?? this.core.loopback;
  }

  /** Own addresses, the loopback's aside. */
  get addresses(): string[] {
    return this.#nics.flatMap((nic) => nic.addresses.filter((own) => own.usable).map((own) => formatIpv4(own.address)));
  }

  async #attach({ given, addresses, mac }: CheckedInterface): Promise<void> {
    const { core, driver } = this;
    const { link, name } = await openLink(given);
    const capture = new CaptureLink(link, core.world);
    let nic: Nic;
    try {
      // Captures see frames as they are on the wire: below what cuts and completes for the device.
      const options = { name: name ?? `eth${this.#nics.length}`, mac, mtu: given.mtu, vlan: given.vlan };
      nic = core.addNic(lower(capture, core.memory), options);
    } catch (error) {
      link.close?.();
      throw error;
    }
    this.#captures.push(capture);
    this.#nics.push(nic);
    if ('onError' in link) link.onError = (error) => this.emit('error', error);
    driver.watch(link);
    driver.enter();
    const added = addresses.map((own) => nic.addAddress(own.address, own.prefix, { acd: given.acd }));
    core.touch();
    await Promise.all(added.map((address) => this.#untilUsable(address, given.acd === 'probe')));
  }

  /** Hear of conflicts; wait for the probes of an address that is only then ours. */
  async #untilUsable(address: NicAddress, wait: boolean): Promise<void> {
    const { driver } = this;
    let settle: ((usable: boolean) => void) | null = null;
    address.owner = {
      onEvents: (events) => {
        const conflict = (events & EV_ERROR) !== 0;
        if (settle !== null) settle(!conflict);
        else if (conflict) this.emit('conflict', formatIpv4(address.address), formatMac(address.conflictMac));
        if ((events & EV_CONNECTED) !== 0) settle = null;
      },
    };
    if (!wait || address.usable) return;
    driver.hold();
    const usable = await new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    driver.release();
    if (!usable) {
      const error = errnoException(address.error, 'bind');
      error.message += `: ${formatIpv4(address.address)} is in use by ${formatMac(address.conflictMac)}`;
      throw error;
    }
  }

  #addRoutes({ routes }: CheckedOptions): void {
    for (const { destination, prefix, gateway, metric } of routes) {
      const nic = this.#nics.find((candidate) => candidate.isOnLink(gateway)) ?? this.nic;
      this.core.routes.add({ destination, prefix, gateway, nic, source: null, metric, origin: 'static' });
    }
  }

  /** Echo requests to `host`: await it for the summary, iterate it for every reply as it comes. */
  ping(host: string, options: PingOptions = {}): Ping {
    validateString(host, 'host');
    return new Ping(this.#context, host, () => this.#resolve(host), options);
  }

  /** The way to `host`: await it for all hops, iterate it for each as it answers. */
  traceroute(host: string, options: TracerouteOptions = {}): Traceroute {
    validateString(host, 'host');
    return new Traceroute(this.#context, host, () => this.#resolve(host), options);
  }

  #resolve(host: string): Promise<Address> {
    return new Promise((resolve, reject) => {
      this.#context.lookup(host, { family: 4 }, (error, found) => {
        const text = typeof found === 'string' ? found : (found?.[0]?.address ?? '');
        const address = Address.parse(text);
        if (error) reject(error);
        else if (address === null) reject(invalidAddress(text));
        else resolve(address);
      });
    });
  }

  /** A connection to "host:port" as Web Streams: { readable, writable, opened, closed, close() }. */
  connect(address: string | SocketAddress, options: ConnectOptions = {}): SocketStreams {
    return connectStreams(this.net, address, options);
  }

  /** Show every frame of every interface to `sink`, both ways. Returns the function that ends it. */
  capture(sink: CaptureSink): () => void {
    validateFunction(sink, 'sink');
    const stops = this.#captures.map((capture, i) => {
      const { name } = this.#nics[i];
      return capture.observe((bytes, off, length, direction, micros) =>
        guarded(sink, {
          time: nanosOf(micros),
          bytes: bytes.subarray(off, off + length),
          wireLength: length,
          linkType: LINKTYPE_ETHERNET,
          direction,
          interfaceName: name,
          comment: null,
        }),
      );
    });
    return () => {
      for (const stop of stops) stop();
    };
  }

  /**
   * End the stack: servers stop listening, connections are ended and get a moment to deliver what was written, whatever is left after that
   * is reset, and the links are given back. Idempotent.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const { timeout = 1000 } = options;
    validateInteger(timeout, 'options.timeout', 0, 2147483647);
    this.#closing ??= this.#close(timeout);
    return this.#closing;
  }

  async #close(timeout: number): Promise<void> {
    const { core, driver } = this;
    driver.hold();
    try {
      for (const closable of [...this.#context.open]) closable.shutDown();
      if (timeout > 0) await this.#drained(timeout);
      for (const closable of [...this.#context.open]) closable.abandon();
      // What the two have asked for goes out, and sockets say 'close', while there is somebody to do it.
      await new Promise((resolve) => setImmediate(resolve));
      driver.finish();
    } finally {
      core.close();
      core.events.drain();
      driver.close();
      driver.release();
    }
    this.emit('close');
  }

  /** Until everything is closed and delivered, or `timeout` ms have passed. */
  async #drained(timeout: number): Promise<void> {
    const { core, driver } = this;
    const busy = (): boolean =>
      this.#context.open.size > 0 || core.tcp.connections().some((connection) => connection.unacknowledged > 0);
    const end = driver.clock.now() + timeout * 1000;
    let wait = 1;
    // The tick in which sockets write their FINs has to pass first.
    await new Promise((resolve) => setImmediate(resolve));
    while (busy() && driver.clock.now() < end) {
      await new Promise<void>((resolve) => driver.clock.timer(resolve, wait));
      wait = Math.min(wait * 2, 50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A TCP/IP stack of one's own on the given TAP or link, ready when the promise resolves. */
export function createStack(options: StackOptions = {}): Promise<NodeStack> {
  return NodeStack.create(options);
}

/** A sink runs in the middle of the core's work: what it throws has to wait. */
function guarded(sink: CaptureSink, frame: CapturedFrame): void {
  try {
    sink(frame);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

async function openLink(given: InterfaceOptions): Promise<{ link: FallibleLink; name: string | undefined }> {
  const { link, tap, host, mtu } = given;
  if (link !== undefined) {
    return {
      link: 'receive' in link ? link : new DuplexLink(link, mtu === undefined ? {} : { mtu }),
      name: given.name,
    };
  }
  // Loaded only here: everything else works without the addon.
  const { Tap, TapLink } = await import('../link/tap.ts');
  const isOurs = !(tap instanceof Tap);
  const device = isOurs ? openTap(Tap, tap) : tap;
  try {
    if (isOurs && mtu !== undefined) device.mtu = mtu;
    if (host !== undefined) device.ipv4 = host;
    if (isOurs || host !== undefined) device.isUp = true;
    return { link: new TapLink(device), name: given.name ?? device.name };
  } catch (error) {
    if (isOurs) device.release();
    throw error;
  }
}

function openTap(
  TapClass: typeof import('../link/tap.ts').Tap,
  tap: InterfaceOptions['tap'],
): import('../link/tap.ts').Tap {
  return TapClass.open(typeof tap === 'string' ? { name: tap, exclusive: false } : { ...(tap as object) });
}
