// Parsers for option values. Each returns the value or says in one line what it wanted.

import { InvalidArgumentError } from 'commander';
import { Address, isLoopbackV4, isMulticastV4, maskOf, parseIpv4, parseMac } from '../wire/address.ts';

const MAC_MULTICAST_BIT = 2 ** 40;

/** An interface name as the kernel takes it (IFNAMSIZ, dev_valid_name). */
export function interfaceName(text: string): string {
  if (text.length === 0 || text.length > 15)
    throw new InvalidArgumentError('An interface name has 1 to 15 characters.');
  if (text === '.' || text === '..' || /[\s/:%]/.test(text)) {
    throw new InvalidArgumentError('An interface name holds no space, "/", ":" or "%".');
  }
  return text;
}

export function ipv4(text: string): string {
  if (parseIpv4(text) === null) throw new InvalidArgumentError('Expected an IPv4 address such as 10.9.0.1.');
  return text;
}

/** An address a host can have, with its prefix length: 10.9.0.2/24. */
export function hostPrefix(text: string): string {
  const match = /^([^/]+)\/(\d{1,2})$/.exec(text);
  const value = match === null ? null : parseIpv4(match[1]);
  const prefix = match === null ? -1 : Number(match[2]);
  if (value === null || prefix > 32) {
    throw new InvalidArgumentError('Expected an address with its prefix length, such as 10.9.0.2/24.');
  }
  if (prefix === 0) throw new InvalidArgumentError('A prefix length of 0 would put every address on this link.');
  // RFC 1122 §3.2.1.3: what cannot be a host's address.
  if (value >>> 24 === 0 || isLoopbackV4(value) || isMulticastV4(value) || value >>> 28 === 15) {
    throw new InvalidArgumentError(`${match?.[1]} cannot be the address of a host on a link.`);
  }
  // RFC 3021: both addresses of a /31 are hosts.
  if (prefix < 31) {
    const host = value & ~maskOf(prefix);
    if (host === 0) throw new InvalidArgumentError(`${match?.[1]} is the address of the network itself.`);
    if (host === ~maskOf(prefix))
      throw new InvalidArgumentError(`${match?.[1]} is the broadcast address of its network.`);
  }
  return text;
}

/** A destination: a network with prefix length, a single address, or "default". */
export function network(text: string): string {
  if (text === 'default') return '0.0.0.0/0';
  const [address, prefix = '32', ...rest] = text.split('/');
  const value = parseIpv4(address);
  if (value === null || rest.length > 0 || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) {
    throw new InvalidArgumentError('Expected a network such as 192.168.0.0/16, an address, or "default".');
  }
  if ((value & ~maskOf(Number(prefix))) !== 0) {
    const base = Address.v4(value & maskOf(Number(prefix)));
    throw new InvalidArgumentError(`${text} has bits set behind its prefix; did you mean ${base}/${prefix}?`);
  }
  return `${address}/${prefix}`;
}

/** The hardware address of one station. */
export function unicastMac(text: string): string {
  const mac = parseMac(text);
  if (mac === null) throw new InvalidArgumentError('Expected a hardware address such as 02:00:00:00:00:01.');
  if (Math.floor(mac / MAC_MULTICAST_BIT) % 2 === 1) {
    throw new InvalidArgumentError('That is a group address; the first octet of a station is even.');
  }
  if (mac === 0) throw new InvalidArgumentError('The hardware address of a station is not zero.');
  return text;
}

/** A parser for whole numbers in [min, max]. */
export const integer =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    }
    return value;
  };

/** A parser for numbers in [min, max]. */
export const decimal =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
    }
    return value;
  };

/** A parser for a list of names separated by commas, each one of `choices`. */
export const listOf =
  (choices: readonly string[]) =>
  (text: string, previous: string[] = []): string[] => {
    const names = text.split(',').map((name) => name.trim());
    for (const name of names) {
      if (!choices.includes(name)) {
        throw new InvalidArgumentError(
          `${name === '' ? 'An empty name' : `"${name}"`} is none of ${choices.join(', ')}.`,
        );
      }
    }
    return [...new Set([...previous, ...names])];
  };
