// What goes wrong with names, in the shape of Node's DNS errors: `code errno syscall hostname`.
//
// A Failure is what the parts below the API throw: a code and nothing else. The API makes an error of it, once, for whom it concerns.

export interface DnsError extends Error {
  code: string;
  errno: number | undefined;
  syscall: string;
  hostname?: string;
}

/** Codes of c-ares, as Node has them in `dns.NODATA` and so on. */
export type FailureCode =
  | 'ENODATA'
  | 'EFORMERR'
  | 'ESERVFAIL'
  | 'ENOTFOUND'
  | 'ENOTIMP'
  | 'EREFUSED'
  | 'EBADNAME'
  | 'EBADRESP'
  | 'ECONNREFUSED'
  | 'ETIMEOUT'
  | 'ECANCELLED';

export class Failure extends Error {
  readonly code: FailureCode;
  /** What to do about it, when there is something to be done. */
  readonly hint: string;

  constructor(code: FailureCode, hint = '') {
    super(code);
    this.code = code;
    this.hint = hint;
  }
}

function dnsError(code: string, errno: number | undefined, syscall: string, hostname: string, hint = ''): DnsError {
  const name = hostname === '' ? '' : ` ${hostname}`;
  const error = new Error(`${syscall} ${code}${name}${hint && `: ${hint}`}`);
  return Object.assign(error, { errno, code, syscall }, hostname === '' ? {} : { hostname });
}

/** `queryA ENOTFOUND example.org` */
export function queryError(reason: unknown, syscall: string, hostname: string): Error {
  if (reason instanceof Failure) return dnsError(reason.code, undefined, syscall, hostname, reason.hint);
  return reason instanceof Error ? reason : new Error(String(reason));
}

const EAI_AGAIN = -3001;
const EAI_NODATA = -3007;
const EAI_NONAME = -3008;

/** What getaddrinfo(3) makes of it: there is no such name, or it is worth trying again later. */
export function lookupError(reason: unknown, syscall: string, hostname: string): Error {
  if (!(reason instanceof Failure)) return queryError(reason, syscall, hostname);
  if (reason.code === 'ENODATA') return dnsError('ENOTFOUND', EAI_NODATA, syscall, hostname);
  if (reason.code === 'ENOTFOUND' || reason.code === 'EBADNAME')
    return dnsError('ENOTFOUND', EAI_NONAME, syscall, hostname);
  return dnsError('EAI_AGAIN', EAI_AGAIN, syscall, hostname, reason.hint);
}

/** `getHostByAddr EINVAL x`: not an address. */
export const notAnAddress = (address: string): DnsError => dnsError('EINVAL', -22, 'getHostByAddr', address);
