// Sequence-number arithmetic — RFC 9293 §3.4.
//
// A sequence number is an int32 (unsigned only when printed), so that V8 keeps it in a register and wrapping is `| 0`.
// Comparison is by the sign of the difference: right for any two numbers less than 2^31 apart. Plain `<` is never right.

export type Seq = number;

export const seqAdd = (a: Seq, n: number): Seq => (a + n) | 0;
/** a - b, in -2^31 .. 2^31-1. */
export const seqDiff = (a: Seq, b: Seq): number => (a - b) | 0;
export const seqLt = (a: Seq, b: Seq): boolean => ((a - b) | 0) < 0;
export const seqLeq = (a: Seq, b: Seq): boolean => ((a - b) | 0) <= 0;
export const seqGt = (a: Seq, b: Seq): boolean => ((a - b) | 0) > 0;
export const seqGeq = (a: Seq, b: Seq): boolean => ((a - b) | 0) >= 0;
export const seqMax = (a: Seq, b: Seq): Seq => (((a - b) | 0) >= 0 ? a : b);
export const seqMin = (a: Seq, b: Seq): Seq => (((a - b) | 0) <= 0 ? a : b);
