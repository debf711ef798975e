// A stub resolver — RFC 1034 §5.3.1: it asks servers that do the work, and is responsible for asking well. It repeats questions, goes from
// one server to the next, repeats over TCP what did not fit into a datagram, follows aliases and remembers answers.
//
// Invariant: the same question is never under way twice (RFC 5452 §5: each copy would help who guesses answers).

import { setMaxListeners } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Answer, DecodedPacket } from 'dns-packet';
import { DnsCache, type Outcome } from './cache.ts';
import { follow } from './chain.ts';
import { Failure, type FailureCode } from './errors.ts';
import { askOverTcp, askOverUdp, type DnsHost, type ExchangeOptions } from './exchange.ts';
import {
  BADVERS,
  canonical,
  checkName,
  FORMERR,
  hasEdns,
  NOERROR,
  NOTIMP,
  NXDOMAIN,
  type QueryType,
  question,
  REFUSED,
  rcodeOf,
} from './message.ts';
import type { ServerAddress } from './server-address.ts';

export interface StubOptions {
  /** Milliseconds the first try waits for a server, default 2000; each round over the servers doubles it. */
  timeout?: number;
  /** Rounds over the servers, default 4. */
  tries?: number;
  /** Longest wait for one server, ms; 0 for no bound. */
  maxTimeout?: number;
  /** Begin with another server every time. */
  rotate?: boolean;
  /** Answers remembered, default 1000; 0 for none. */
  cacheSize?: number;
}

/** Questions one name may cost when servers leave its aliases to us. */
const LONGEST_CHAIN = 8;

export class StubResolver {
  readonly cache: DnsCache;
  /** Own addresses to ask from. */
  local4: string | undefined;
  local6: string | undefined;
  readonly #host: DnsHost;
  readonly #timeout: number;
  readonly #tries: number;
  readonly #maxTimeout: number;
  readonly #rotate: boolean;
  #servers: readonly ServerAddress[];
  #next = 0;
  readonly #pending = new Map<string, Promise<Outcome>>();
  #abort = manyListeners();

  constructor(host: DnsHost, servers: readonly ServerAddress[], options: StubOptions = {}) {
    const { timeout = 2000, tries = 4, maxTimeout = 0, rotate = false, cacheSize = 1000 } = options;
    this.#host = host;
    this.#servers = servers;
    this.#timeout = timeout < 0 ? 2000 : timeout;
    this.#tries = tries;
    this.#maxTimeout = maxTimeout;
    this.#rotate = rotate;
    this.cache = new DnsCache(cacheSize);
  }

  get servers(): readonly ServerAddress[] {
    return this.#servers;
  }

  /** Others may know other names: what these have said is forgotten. */
  set servers(servers: readonly ServerAddress[]) {
    this.#servers = servers;
    this.#next = 0;
    this.cache.clear();
  }

  /** Everything under way fails with ECANCELLED. */
  cancel(): void {
    const abort = this.#abort;
    this.#abort = manyListeners();
    this.#pending.clear();
    abort.abort();
  }

  /** Records of `type` at `name`, which is taken as it stands. Rejects with a Failure. */
  async query(name: string, type: QueryType): Promise<readonly Answer[]> {
    checkName(name);
    const { clock } = this.#host;
    const key = `${type} ${canonical(name)}`;
    const known = this.cache.get(key, clock.now());
    const { records, missing } = known ?? (await this.#shared(key, name, type));
    if (missing !== null) throw new Failure(missing);
    return records;
  }

  #shared(key: string, name: string, type: QueryType): Promise<Outcome> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const servers = this.#servers;
    const asked = this.#resolve(name, type, this.#abort.signal).then(
      (outcome) => {
        if (this.#pending.get(key) === asked) this.#pending.delete(key);
        if (servers === this.#servers) this.cache.put(key, outcome, this.#host.clock.now());
        return outcome;
      },
      (reason: unknown) => {
        if (this.#pending.get(key) === asked) this.#pending.delete(key);
        throw reason;
      },
    );
    this.#pending.set(key, asked);
    return asked;
  }

  async #resolve(name: string, type: QueryType, signal: AbortSignal): Promise<Outcome> {
    let target = name;
    let ttl = Infinity;
    const passed = new Set<string>();
    while (passed.size < LONGEST_CHAIN && !passed.has(canonical(target))) {
      passed.add(canonical(target));
      const chain = follow(await this.#ask(target, type, signal), target, type);
      if (chain.isLoop) break;
      ttl = Math.min(ttl, chain.ttl);
      if (!chain.isDangling) {
        const records = chain.records.map((record) =>
          'ttl' in record && typeof record.ttl === 'number' ? { ...record, ttl: Math.min(record.ttl, ttl) } : record,
        );
        return { records, missing: chain.missing, ttl };
      }
      target = chain.target;
    }
    throw new Failure('EBADRESP', 'its aliases lead nowhere');
  }

  /** A response of NOERROR or NXDOMAIN from one of the servers. */
  async #ask(name: string, type: QueryType, signal: AbortSignal): Promise<DecodedPacket> {
    const servers = this.#servers;
    if (servers.length === 0)
      throw new Failure(
        'ECONNREFUSED',
        'there is no DNS server: give createStack dns.servers, or call dns.setServers()',
      );
    const first = this.#rotate ? this.#next++ % servers.length : 0;
    let last: Failure | null = null;
    for (let round = 0; round < this.#tries; round++) {
      let timeout = this.#timeout * 2 ** round;
      if (this.#maxTimeout > 0) timeout = Math.min(timeout, this.#maxTimeout);
      timeout = Math.min(timeout, 2 ** 31 - 1);
      for (let i = 0; i < servers.length; i++) {
        const server = servers[(first + i) % servers.length];
        try {
          return await this.#askServer(server, name, type, timeout, signal);
        } catch (reason) {
          if (!(reason instanceof Failure) || reason.code === 'ECANCELLED') throw reason;
          last = worse(last, reason);
        }
      }
      // Asking again helps against loss and overload, not against a server that has said no.
      if (last !== null && last.code !== 'ETIMEOUT' && last.code !== 'ESERVFAIL') break;
    }
    throw last ?? new Failure('ETIMEOUT');
  }

  async #askServer(
    server: ServerAddress,
    name: string,
    type: QueryType,
    timeout: number,
    signal: AbortSignal,
  ): Promise<DecodedPacket> {
    const host = this.#host;
    const local = isIPv6(server.address) ? this.local6 : this.local4;
    const options = (edns: boolean): ExchangeOptions => ({
      server,
      // RFC 5452 §4.3, §9.2: an id nobody can guess, another one for every question.
      query: question(host.random() & 0xffff, name, type, edns),
      timeout,
      local,
      signal,
    });
    let edns = true;
    let packet = await askOverUdp(host, options(edns));
    let rcode = rcodeOf(packet);
    // RFC 6891 §6.2.2, §7: a server that does not know EDNS says so in one way or other, or another version of it: ask without.
    if (rcode === BADVERS || ((rcode === FORMERR || rcode === NOTIMP) && !hasEdns(packet))) {
      edns = false;
      packet = await askOverUdp(host, options(edns));
      rcode = rcodeOf(packet);
    }
    // RFC 1123 §6.1.3.2, RFC 7766 §5: what is truncated is asked for again over TCP, and not used.
    if (packet.flag_tc) {
      packet = await askOverTcp(host, options(edns));
      rcode = rcodeOf(packet);
    }
    if (rcode === NOERROR || rcode === NXDOMAIN) return packet;
    throw new Failure(codeOf(rcode));
  }
}

/** One signal ends any number of questions. */
function manyListeners(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}

function codeOf(rcode: number): FailureCode {
  if (rcode === FORMERR) return 'EFORMERR';
  if (rcode === NOTIMP) return 'ENOTIMP';
  return rcode === REFUSED ? 'EREFUSED' : 'ESERVFAIL';
}

/** Of the answers of several servers, the one that is worth asking again about; then the first. */
function worse(a: Failure | null, b: Failure): Failure {
  if (a === null || a.code === b.code) return b;
  const isPassing = (code: FailureCode): boolean => code === 'ETIMEOUT' || code === 'ESERVFAIL';
  return isPassing(b.code) || !isPassing(a.code) ? b : a;
}
