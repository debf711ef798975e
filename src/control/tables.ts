// The stack's tables as a control client sees and changes them: neighbours, routes.

import { NEIGHBOR_STATE_NAMES } from '../net/neighbor.ts';
import type { Nic } from '../net/nic.ts';
import type { Stack } from '../stack.ts';
import { formatIpv4, formatMac, type Ipv4, maskOf, parseIpv4, parseMac } from '../wire/address.ts';
import { ControlError, type Params } from './protocol.ts';
import type { NeighborView, RouteView } from './views.ts';

function address(params: Params, name: string): Ipv4 {
  const text = params.string(name);
  const value = parseIpv4(text);
  if (value === null) throw new ControlError('EINVAL', `"${name}": ${text} is not an IPv4 address`);
  return value;
}

function optionalAddress(params: Params, name: string): Ipv4 | null {
  return params.optionalString(name) === undefined ? null : address(params, name);
}

function destination(params: Params): { network: Ipv4; prefix: number; text: string } {
  const text = params.string('destination');
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  const network = match === null ? null : parseIpv4(match[1]);
  const prefix = Number(match?.[2]);
  if (network === null || prefix > 32 || (network & ~maskOf(prefix)) !== 0) {
    throw new ControlError('EINVAL', `"destination": ${text} is not a network such as 192.168.0.0/16`);
  }
  return { network, prefix, text };
}

/** The NIC whose network `neighbor` is in. */
function nicFor(stack: Stack, neighbor: Ipv4): Nic {
  const nic = stack.nics.find((candidate) => !candidate.isLoopback && candidate.isOnLink(neighbor));
  if (nic === undefined) {
    throw new ControlError('ENETUNREACH', `${formatIpv4(neighbor)} is on no network that this stack is attached to`);
  }
  return nic;
}

function nicNamed(stack: Stack, name: string): Nic {
  const nic = stack.nics.find((candidate) => candidate.name === name);
  if (nic === undefined) {
    const names = stack.nics.map((candidate) => candidate.name).join(', ');
    throw new ControlError('ENODEV', `no interface "${name}": there are ${names}`);
  }
  return nic;
}

export function listNeighbors(stack: Stack): NeighborView[] {
  const views: NeighborView[] = [];
  for (const nic of stack.nics) {
    for (const entry of nic.neighbors.entries()) {
      views.push({
        address: formatIpv4(entry.address),
        mac: entry.usable ? formatMac(entry.mac) : null,
        state: NEIGHBOR_STATE_NAMES[entry.state],
        interface: nic.name,
      });
    }
  }
  return views;
}

export function addNeighbor(stack: Stack, params: Params): null {
  const neighbor = address(params, 'address');
  const text = params.string('mac');
  const mac = parseMac(text);
  if (mac === null) throw new ControlError('EINVAL', `"mac": ${text} is not a hardware address`);
  params.finish();
  if (stack.isLocalAddress(neighbor)) {
    throw new ControlError('EINVAL', `${formatIpv4(neighbor)} is the stack's own address`);
  }
  nicFor(stack, neighbor).neighbors.pin(neighbor, mac);
  stack.touch();
  return null;
}

export function deleteNeighbor(stack: Stack, params: Params): null {
  const neighbor = address(params, 'address');
  params.finish();
  let found = false;
  for (const nic of stack.nics) if (nic.neighbors.remove(neighbor)) found = true;
  if (!found) throw new ControlError('ENOENT', `there is no neighbour ${formatIpv4(neighbor)}`);
  return null;
}

export function listRoutes(stack: Stack): RouteView[] {
  return stack.routes.list().map((route) => ({
    destination: `${formatIpv4(route.destination)}/${route.prefix}`,
    gateway: route.gateway === null ? null : formatIpv4(route.gateway),
    interface: route.nic.name,
    metric: route.metric,
    source: route.source === null ? null : formatIpv4(route.source),
  }));
}

export function addRoute(stack: Stack, params: Params): null {
  const { network, prefix } = destination(params);
  const gateway = optionalAddress(params, 'gateway');
  const source = optionalAddress(params, 'source');
  const metric = params.integer('metric', 0, 65535, 0);
  const device = params.optionalString('interface');
  params.finish();
  let nic = device === undefined ? null : nicNamed(stack, device);
  if (gateway !== null) {
    if (stack.isLocalAddress(gateway)) {
      throw new ControlError('EINVAL', `${formatIpv4(gateway)} is the stack's own address, not a gateway`);
    }
    // RFC 1122 §3.3.1.1: the next hop is on a connected network.
    const attached = nicFor(stack, gateway);
    if (nic !== null && nic !== attached) {
      throw new ControlError('EINVAL', `${formatIpv4(gateway)} is on ${attached.name}, not on ${nic.name}`);
    }
    nic = attached;
  }
  if (nic === null) throw new ControlError('EINVAL', 'a route needs a gateway or an interface');
  if (source !== null && !nic.owns(source)) {
    throw new ControlError('EADDRNOTAVAIL', `${formatIpv4(source)} is no address of ${nic.name}`);
  }
  stack.routes.add({ destination: network, prefix, gateway, nic, source, metric, origin: 'static' });
  return null;
}

export function deleteRoute(stack: Stack, params: Params): null {
  const { network, prefix, text } = destination(params);
  const gateway = optionalAddress(params, 'gateway');
  params.finish();
  const removed = stack.routes.remove(
    (route) =>
      route.destination === network && route.prefix === prefix && (gateway === null || route.gateway === gateway),
  );
  if (removed === 0) {
    const via = gateway === null ? '' : ` via ${formatIpv4(gateway)}`;
    throw new ControlError('ENOENT', `there is no route to ${text}${via}`);
  }
  return null;
}
