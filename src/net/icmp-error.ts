// What an ICMP error says, on its way to the transport whose packet it quotes — RFC 792, RFC 1122 §3.2.2, §3.2.2.4 (time
// exceeded), §3.2.2.5 (parameter problem).
//
// One scratch object per stack, refilled for every message: clone what is kept.

import {
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
} from '../errno.ts';
import { Address } from '../wire/address.ts';
import * as icmpv4 from '../wire/icmpv4.ts';
import type { Nic } from './nic.ts';

export class IcmpError {
  type = 0;
  code = 0;
  /** Next-hop MTU of a "fragmentation needed" (RFC 1191 §4), already estimated when the router did not say; else 0. */
  mtu = 0;
  /** Octet a parameter problem points at. */
  pointer = 0;
  /** Negative errno for the socket. */
  errno = 0;
  /** RFC 1122 §4.2.3.9: the condition is not expected to pass. */
  hard = false;
  /** Who says so. */
  readonly from = new Address();
  /** True when it was us: no neighbour answered. */
  fromSelf = false;
  nic: Nic;
  /** The quoted packet: we sent it from `local` to `remote`. */
  protocol = 0;
  readonly local = new Address();
  readonly remote = new Address();
  /** Total length of the quoted packet as its header says. */
  totalLength = 0;
  dv: DataView;
  /** Offset of the quoted transport header, and how many bytes are there (at least 8). */
  off = 0;
  quotedLength = 0;

  constructor(nic: Nic, dv: DataView) {
    this.nic = nic;
    this.dv = dv;
  }
}

/** What each code of "destination unreachable" means to a socket, as Linux has it. Hard ones are marked. */
const UNREACHABLE: readonly (readonly [errno: number, hard: boolean])[] = [
  [ENETUNREACH, false],
  [EHOSTUNREACH, false],
  [ENOPROTOOPT, true],
  [ECONNREFUSED, true],
  [EMSGSIZE, false],
  [EOPNOTSUPP, false],
  [ENETUNREACH, true],
  [EHOSTDOWN, true],
  [EHOSTUNREACH, true],
  [ENETUNREACH, true],
  [EHOSTUNREACH, true],
  [ENETUNREACH, false],
  [EHOSTUNREACH, false],
  [EHOSTUNREACH, true],
  [EHOSTUNREACH, true],
  [EHOSTUNREACH, true],
];

/** Fill in `errno` and `hard`. False for types and codes that are no error for a socket. */
export function judge(error: IcmpError): boolean {
  switch (error.type) {
    case icmpv4.DESTINATION_UNREACHABLE: {
      const meaning = UNREACHABLE[error.code];
      // RFC 1122 §3.2.2.1: codes we do not know are still "unreachable".
      error.errno = meaning === undefined ? EHOSTUNREACH : meaning[0];
      error.hard = meaning?.[1] ?? false;
      return true;
    }
    case icmpv4.TIME_EXCEEDED:
      error.errno = EHOSTUNREACH;
      error.hard = false;
      return true;
    case icmpv4.PARAMETER_PROBLEM:
      error.errno = EPROTO;
      error.hard = false;
      return true;
    default:
      return false; // RFC 6633: source quench is ignored
  }
}
