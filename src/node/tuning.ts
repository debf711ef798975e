// What a socket or server can be told about TCP when it is made, beyond what Node has names for.

import type { CongestionFactory } from '../tcp/congestion/congestion.ts';
import { congestionNames } from '../tcp/congestion/congestion.ts';
import type { EcnMode } from '../tcp/ecn.ts';
import { ECN_MODES } from '../tcp/ecn.ts';
import { invalidArgType, invalidArgValue } from './errors.ts';
import { validateBoolean } from './validate.ts';

/** For `net.connect` and `net.createServer`; what is left out is as the stack's `tcp` options say. */
export interface Tuning {
  /** 'cubic', 'reno', 'bbr', a name given to `registerCongestion`, or a factory of one's own. */
  congestion?: string | CongestionFactory;
  /** RFC 3168: 'on' asks for it, 'passive' takes it when asked, 'off' refuses. */
  ecn?: EcnMode;
}

export interface ConnectTuning extends Tuning {
  /** RFC 7413: what is written before 'connect' goes with the SYN where the server has given us a cookie. */
  fastOpen?: boolean;
}

export interface ListenTuning extends Tuning {
  /** RFC 7413: take data that comes with a SYN, from so many clients at once that are not proven yet; true: 256. */
  fastOpen?: boolean | number;
}

function checkTuning(given: Tuning): Tuning {
  const { congestion, ecn } = given;
  const tuning: Tuning = {};
  if (congestion !== undefined) {
    if (typeof congestion !== 'string' && typeof congestion !== 'function')
      throw invalidArgType('options.congestion', ['string', 'Function'], congestion);
    if (typeof congestion === 'string' && !congestionNames().includes(congestion))
      throw invalidArgValue('options.congestion', congestion, `is not one of ${congestionNames().join(', ')}`);
    tuning.congestion = congestion;
  }
  if (ecn !== undefined) {
    if (!ECN_MODES.includes(ecn)) throw invalidArgValue('options.ecn', ecn, `is not one of ${ECN_MODES.join(', ')}`);
    tuning.ecn = ecn;
  }
  return tuning;
}

/** @throws TypeError that names the option and what it may be */
export function connectTuning(given: ConnectTuning): ConnectTuning {
  const { fastOpen } = given;
  if (fastOpen === undefined) return checkTuning(given);
  validateBoolean(fastOpen, 'options.fastOpen');
  return { ...checkTuning(given), fastOpen };
}

/** @throws TypeError that names the option and what it may be */
export function listenTuning(given: ListenTuning): ListenTuning {
  const { fastOpen } = given;
  if (fastOpen === undefined) return checkTuning(given);
  if (typeof fastOpen !== 'boolean' && !(typeof fastOpen === 'number' && Number.isInteger(fastOpen) && fastOpen >= 0))
    throw invalidArgValue('options.fastOpen', fastOpen, 'must be true, false or how many may be pending');
  return { ...checkTuning(given), fastOpen };
}
