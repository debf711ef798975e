// Answers worth remembering — RFC 1035 §7.4, negative ones by RFC 2308. Entries live as long as their TTL says; when the cache is full,
// the one that has not been used for longest makes room.
//
// Invariant: at most `capacity` entries, in order of use.

import type { Answer } from 'dns-packet';

/** Seconds an answer is believed at most, whatever it says (RFC 8767 §4 suggests days). */
const LONGEST = 86_400;
/** The same for answers that there is nothing: RFC 2308 §5 recommends one to three hours. */
const LONGEST_NEGATIVE = 10_800;

export interface Outcome {
  /** What was asked for; empty when there is nothing. */
  readonly records: readonly Answer[];
  /** Why there is nothing. */
  readonly missing: 'ENODATA' | 'ENOTFOUND' | null;
  /** Seconds it may be kept; 0 when it may not. */
  readonly ttl: number;
}

interface Entry {
  readonly outcome: Outcome;
  readonly storedAt: number;
  readonly expires: number;
}

const SECOND = 1_000_000;

export class DnsCache {
  readonly capacity: number;
  readonly #entries = new Map<string, Entry>();

  /** @param capacity entries; 0 remembers nothing */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What is known, with TTLs of `now` (µs). */
  get(key: string, now: number): Outcome | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#entries.delete(key);
    if (now >= entry.expires) return null;
    this.#entries.set(key, entry);
    return aged(entry.outcome, Math.floor((now - entry.storedAt) / SECOND));
  }

  put(key: string, outcome: Outcome, now: number): void {
    const ttl = Math.min(outcome.ttl, outcome.missing === null ? LONGEST : LONGEST_NEGATIVE);
    if (ttl <= 0 || this.capacity === 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { outcome, storedAt: now, expires: now + ttl * SECOND });
    if (this.#entries.size <= this.capacity) return;
    const [oldest] = this.#entries.keys();
    this.#entries.delete(oldest);
  }

  clear(): void {
    this.#entries.clear();
  }
}

function aged(outcome: Outcome, seconds: number): Outcome {
  if (seconds === 0) return outcome;
  const records = outcome.records.map((record) =>
    'ttl' in record && typeof record.ttl === 'number' ? { ...record, ttl: Math.max(record.ttl - seconds, 0) } : record,
  );
  return { ...outcome, records, ttl: outcome.ttl - seconds };
}
