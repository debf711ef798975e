// Rate limit per client — RFC 5905 §7.4, RFC 8633 §5.2: a token bucket each, and a kiss-o'-death now and then for who overdoes it.
//
// Invariant: bounded memory, and no work that depends on how many clients there are. The client heard longest ago is forgotten first.

export type Verdict = 'answer' | 'kiss' | 'drop';

export interface LimiterOptions {
  /** Requests in a row that are answered. */
  burst?: number | undefined;
  /** Answers per second in the long run; 0 turns the limit off. */
  rate?: number | undefined;
  capacity?: number | undefined;
}

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  filled: number;
  kissed: number;
}

const KISS_INTERVAL = 2_000; // a kiss is a packet too: whoever forges sources gets few of them

export class Limiter {
  readonly #burst: number;
  readonly #rate: number;
  readonly #capacity: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: LimiterOptions = {}) {
    this.#burst = options.burst ?? 32;
    this.#rate = options.rate ?? 1;
    this.#capacity = options.capacity ?? 16_384;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** `now` in milliseconds. */
  judge(client: string, now: number): Verdict {
    if (this.#rate === 0) return 'answer';
    let bucket = this.#buckets.get(client);
    if (bucket === undefined) {
      bucket = { tokens: this.#burst, filled: now, kissed: Number.NEGATIVE_INFINITY };
      if (this.#buckets.size >= this.#capacity) this.#buckets.delete(this.#buckets.keys().next().value as string);
    } else {
      this.#buckets.delete(client);
    }
    this.#buckets.set(client, bucket); // at the young end
    const elapsed = Math.max(0, now - bucket.filled) / 1000;
    bucket.tokens = Math.min(this.#burst, bucket.tokens + elapsed * this.#rate);
    bucket.filled = now;
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 'answer';
    }
    return this.#kiss(bucket, now);
  }

  #kiss(bucket: Bucket, now: number): Verdict {
    if (now - bucket.kissed < KISS_INTERVAL) return 'drop';
    bucket.kissed = now;
    return 'kiss';
  }
}
