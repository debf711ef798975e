// The routing table, filled by hand (RFC 1122 §3.3.1.6): longest prefix, then lowest metric — RFC 1122 §3.3.1, RFC 1812 §5.2.4.3.
//
// Routes lie in one map per prefix length, from network to the routes that share it in order of metric, so a lookup costs one probe
// per prefix length in use. Paths cache what they were told and ask again when `generation` has changed.
//
// Invariant: bit p of `#lengths` says whether some route has prefix length p; every route's destination has no bit beyond its prefix.

import type { Ipv4 } from '../wire/address.ts';
import { formatIpv4, maskOf } from '../wire/address.ts';
import type { Nic } from './nic.ts';

/** How a route came to be: by an address on a NIC, by configuration, or by an ICMP redirect. */
export type RouteOrigin = 'connected' | 'static' | 'redirect';

export interface Route {
  readonly destination: Ipv4;
  readonly prefix: number;
  /** Next hop; null when the destination is on the link. */
  readonly gateway: Ipv4 | null;
  readonly nic: Nic;
  /** Preferred source address; null leaves the choice to the NIC. */
  readonly source: Ipv4 | null;
  readonly metric: number;
  readonly origin: RouteOrigin;
}

// RFC 1122 §3.3.1.2 wants redirect routes bounded in number and in time; Linux keeps them 300 s too.
const MAX_REDIRECTS = 256;
const REDIRECT_LIFETIME = 300_000_000;

interface Redirect {
  readonly route: Route;
  readonly expires: number;
}

export class RouteTable {
  /** Changes with every change that may send a packet another way. */
  generation = 1;
  readonly #byLength: (Map<Ipv4, Route[]> | null)[] = new Array<Map<Ipv4, Route[]> | null>(33).fill(null);
  /** Prefix lengths in use, longest first. */
  #lengths: number[] = [];
  readonly #redirects = new Map<Ipv4, Redirect>();
  /** When `expire` may have work, µs. */
  nextExpiry = Infinity;

  /**
   * Add a route. Of routes to one network the lowest metric wins; the same network, metric and gateway replaces the old.
   * @throws RangeError when `destination` has bits set beyond `prefix`
   */
  add(route: Route): void {
    if (route.prefix < 0 || route.prefix > 32 || (route.destination & ~maskOf(route.prefix)) !== 0)
      throw new RangeError(
        `route ${formatIpv4(route.destination)}/${route.prefix}: the address has bits set beyond the prefix; use ${formatIpv4(route.destination & maskOf(route.prefix))}/${route.prefix}`,
      );
    let map = this.#byLength[route.prefix];
    if (map === null) {
      map = new Map();
      this.#byLength[route.prefix] = map;
      this.#lengths = [...this.#lengths, route.prefix].sort((a, b) => b - a);
    }
    const list = (map.get(route.destination) ?? []).filter(
      (r) => r.metric !== route.metric || r.gateway !== route.gateway || r.nic !== route.nic,
    );
    list.push(route);
    list.sort((a, b) => a.metric - b.metric);
    map.set(route.destination, list);
    this.changed();
  }

  /** Remove every route that `matches`. Returns how many. */
  remove(matches: (route: Route) => boolean): number {
    let removed = 0;
    for (const prefix of this.#lengths) {
      const map = this.#byLength[prefix];
      if (map === null) continue;
      for (const [network, list] of map) {
        const kept = list.filter((route) => !matches(route));
        removed += list.length - kept.length;
        if (kept.length === 0) map.delete(network);
        else map.set(network, kept);
      }
      if (map.size === 0) this.#byLength[prefix] = null;
    }
    this.#lengths = this.#lengths.filter((prefix) => this.#byLength[prefix] !== null);
    for (const [destination, redirect] of this.#redirects) {
      if (!matches(redirect.route)) continue;
      this.#redirects.delete(destination);
      removed++;
    }
    if (removed > 0) this.changed();
    return removed;
  }

  /**
   * The route to `remote`, or null. Routes over a NIC that is down are passed over, and of equally good ones that over the
   * NIC which owns `local` is preferred.
   */
  lookup(remote: Ipv4, local: Ipv4 | null, now: number): Route | null {
    if (this.#redirects.size > 0) {
      const redirect = this.#redirects.get(remote);
      if (redirect !== undefined && redirect.expires > now && redirect.route.nic.up) return redirect.route;
    }
    for (const prefix of this.#lengths) {
      const list = this.#byLength[prefix]?.get(remote & maskOf(prefix));
      if (list === undefined) continue;
      let best: Route | null = null;
      let dead: Route | null = null;
      for (const route of list) {
        if (!route.nic.up) continue;
        // RFC 1122 §3.3.1.4, §3.3.1.5: a gateway that does not answer is passed over while there is another.
        if (route.gateway !== null && route.nic.neighbors.hasFailed(route.gateway)) dead ??= route;
        else if (best === null) best = route;
        else if (local !== null && route.metric === best.metric && !best.nic.owns(local) && route.nic.owns(local))
          best = route;
      }
      if (best !== null) return best;
      if (dead !== null) return dead;
    }
    return null;
  }

  /** Send packets for the host `destination` to `gateway` from now on (RFC 1122 §3.3.1.2). */
  redirect(destination: Ipv4, gateway: Ipv4, nic: Nic, source: Ipv4 | null, now: number): void {
    if (this.#redirects.size >= MAX_REDIRECTS && !this.#redirects.has(destination)) {
      const [oldest] = this.#redirects.keys();
      this.#redirects.delete(oldest);
    }
    this.#redirects.set(destination, {
      route: { destination, prefix: 32, gateway, nic, source, metric: 0, origin: 'redirect' },
      expires: now + REDIRECT_LIFETIME,
    });
    this.nextExpiry = Math.min(this.nextExpiry, now + REDIRECT_LIFETIME);
    this.changed();
  }

  /** Forget redirects that are too old. */
  expire(now: number): void {
    if (now < this.nextExpiry) return;
    this.nextExpiry = Infinity;
    for (const [destination, redirect] of this.#redirects) {
      if (redirect.expires <= now) this.#redirects.delete(destination);
      else this.nextExpiry = Math.min(this.nextExpiry, redirect.expires);
    }
    this.changed();
  }

  /** `gateway` on `nic` does not answer: forget redirects to it, and let paths look for another (RFC 1122 §3.3.1.4). */
  gatewayFailed(gateway: Ipv4, nic: Nic): void {
    const uses = (route: Route): boolean => route.gateway === gateway && route.nic === nic;
    this.remove((route) => route.origin === 'redirect' && uses(route));
    if (this.list().some(uses)) this.changed();
  }

  /** Every route, most specific first. */
  list(): Route[] {
    const routes = [...this.#redirects.values()].map((redirect) => redirect.route);
    for (const prefix of this.#lengths) for (const list of this.#byLength[prefix]?.values() ?? []) routes.push(...list);
    return routes;
  }

  /** Tell every path to ask again. */
  changed(): void {
    this.generation++;
  }
}
