// Network addresses — RFC 791 §3.2, RFC 4291 §2.5.5.2.
//
// An address is four int32 words in network order. IPv4 is held in mapped form (::ffff:a.b.c.d), so that sockets, routes and
// tables need not know a family. `Address` is mutable because the receive path refills one scratch pair per packet:
// whoever keeps an address keeps a `clone()`.

const MAPPED = 0xffff;

/** An IPv4 address as an int32 in network order, e.g. 0x0a090002 for 10.9.0.2. */
export type Ipv4 = number;

export class Address {
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;

  static v4(value: Ipv4): Address {
    return new Address().setV4(value);
  }

  /** Parse dotted-quad notation; null when `text` is not an IPv4 address. */
  static parse(text: string): Address | null {
    const value = parseIpv4(text);
    return value === null ? null : Address.v4(value);
  }

  setV4(value: Ipv4): this {
    this.w0 = 0;
    this.w1 = 0;
    this.w2 = MAPPED;
    this.w3 = value | 0;
    return this;
  }

  set(other: Address): this {
    this.w0 = other.w0;
    this.w1 = other.w1;
    this.w2 = other.w2;
    this.w3 = other.w3;
    return this;
  }

  clone(): Address {
    return new Address().set(this);
  }

  equals(other: Address): boolean {
    return this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0;
  }

  get isV4(): boolean {
    return this.w2 === MAPPED && this.w1 === 0 && this.w0 === 0;
  }

  /** The IPv4 address; only meaningful when `isV4`. */
  get v4(): Ipv4 {
    return this.w3;
  }

  /** True for 0.0.0.0, the address of a host that has none yet (RFC 1122 §3.2.1.3 (a)). */
  get isUnspecified(): boolean {
    return this.isV4 && this.w3 === 0;
  }

  toString(): string {
    return this.isV4 ? formatIpv4(this.w3) : formatIpv6(this);
  }
}

/** Strict dotted quad, as inet_pton: four decimal octets, no leading zeros beyond a lone 0. Null when it is anything else. */
export function parseIpv4(text: string): Ipv4 | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return null;
    const octet = Number(part);
    if (octet > 255) return null;
    value = (value << 8) | octet;
  }
  return value;
}

export function formatIpv4(value: Ipv4): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function formatIpv6(address: Address): string {
  const groups: number[] = [];
  for (const word of [address.w0, address.w1, address.w2, address.w3]) groups.push(word >>> 16, word & 0xffff);
  // RFC 5952 §4.2: the longest run of two or more zero groups becomes "::", the first one on a tie.
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > bestLength) {
      best = i;
      bestLength = n;
    }
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return best < 0 ? hex(groups) : `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

/** True for 224.0.0.0/4 (RFC 1112 §4). */
export const isMulticastV4 = (value: Ipv4): boolean => (value & 0xf0000000) >> 28 === -2;
/** True for 127.0.0.0/8 (RFC 1122 §3.2.1.3 (g)). */
export const isLoopbackV4 = (value: Ipv4): boolean => value >>> 24 === 127;
export const LIMITED_BROADCAST: Ipv4 = -1;

/** An int32 mask with `prefix` leading ones, 0–32. */
export const maskOf = (prefix: number): number => (prefix === 0 ? 0 : -1 << (32 - prefix));

/** An Ethernet address: 48 bits as an unsigned number (it does not fit an int32, and fits a double exactly). */
export type Mac = number;
export const MAC_BROADCAST: Mac = 0xffffffffffff;

/** Parse aa:bb:cc:dd:ee:ff (or with dashes); null when it is anything else. */
export function parseMac(text: string): Mac | null {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return null;
  return Number.parseInt(text.replace(/[:-]/g, ''), 16);
}

export function formatMac(mac: Mac): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
}
