// Checks of arguments, with Node's own errors.

import { badPort, invalidArgType, outOfRange } from './errors.ts';

export function validateNumber(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
}

export function validateString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw invalidArgType(name, 'string', value);
}

export function validateBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'boolean', value);
}

export function validateFunction(value: unknown, name: string): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalidArgType(name, 'Function', value);
}

export function validateObject(value: unknown, name: string): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgType(name, 'Object', value);
}

export function validateInteger(value: unknown, name: string, least: number, most: number): asserts value is number {
  validateNumber(value, name);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < least || value > most) throw outOfRange(name, `>= ${least} && <= ${most}`, value);
}

export const validateInt32 = (value: unknown, name: string, least = -2147483648): void =>
  validateInteger(value, name, least, 2147483647);

export const validateUint32 = (value: unknown, name: string): void => validateInteger(value, name, 0, 4294967295);

export function validateAbortSignal(value: unknown, name: string): asserts value is AbortSignal {
  if (value === null || typeof value !== 'object' || !('aborted' in value))
    throw invalidArgType(name, 'AbortSignal', value);
}

/** A port as a number: Node takes digits in a string too. */
export function validatePort(port: unknown, name = 'Port', allowZero = true): number {
  const wellFormed = typeof port === 'number' || (typeof port === 'string' && port.trim() !== '');
  if (!wellFormed || +port !== +port >>> 0 || +port > 0xffff || (+port === 0 && !allowZero)) {
    throw badPort(name, port, allowZero);
  }
  return +port | 0;
}

/** The delay of a timer as Node takes it: what does not fit is rounded down with a warning. */
export function validateDuration(value: unknown, name: string): number {
  validateNumber(value, name);
  if (value < 0 || !Number.isFinite(value)) throw outOfRange(name, 'a non-negative finite number', value);
  if (value <= 2147483647) return value;
  process.emitWarning(
    `${value} does not fit into a 32-bit signed integer.\nTimer duration was truncated to 2147483647.`,
    'TimeoutOverflowWarning',
  );
  return 2147483647;
}
