// What ICMP errors are called by ping(8) and traceroute(8).

import * as icmp from '../wire/icmpv4.ts';

const UNREACHABLE = [
  'Destination Net Unreachable',
  'Destination Host Unreachable',
  'Destination Protocol Unreachable',
  'Destination Port Unreachable',
  'Frag needed and DF set',
  'Source Route Failed',
  'Destination Net Unknown',
  'Destination Host Unknown',
  'Source Host Isolated',
  'Destination Net Prohibited',
  'Destination Host Prohibited',
  'Destination Net Unreachable for Type of Service',
  'Destination Host Unreachable for Type of Service',
  'Packet filtered',
  'Precedence Violation',
  'Precedence Cutoff',
];

/** ping(8)'s sentence for an ICMP error. */
export function describeError(type: number, code: number, mtu: number): string {
  switch (type) {
    case icmp.DESTINATION_UNREACHABLE: {
      const text = UNREACHABLE[code] ?? `Dest Unreachable, Bad Code: ${code}`;
      return code === icmp.FRAGMENTATION_NEEDED && mtu > 0 ? `${text} (mtu = ${mtu})` : text;
    }
    case icmp.TIME_EXCEEDED:
      return code === 0 ? 'Time to live exceeded' : 'Frag reassembly time exceeded';
    case icmp.PARAMETER_PROBLEM:
      return 'Parameter problem';
    default:
      return `ICMP type ${type}, code ${code}`;
  }
}

/** traceroute(8)'s mark behind a time; empty when the answer is what was hoped for. */
export function markOf(type: number, code: number): string {
  if (type !== icmp.DESTINATION_UNREACHABLE) return '';
  const marks = ['!N', '!H', '!P', '', '!F', '!S'];
  if (code < marks.length) return marks[code];
  return code === 9 || code === 10 || code === 13 ? '!X' : code === 14 ? '!V' : code === 15 ? '!C' : `!<${code}>`;
}
