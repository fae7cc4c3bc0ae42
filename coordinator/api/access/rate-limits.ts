/** How many requests a client may make: a bucket of one second's worth that fills evenly. */
import { SynodError } from "../../../shared/model/errors.ts";
import type { Clock } from "../../../shared/model/ports.ts";
import type { Client } from "./clients.ts";

const MS_PER_SECOND = 1_000;

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

export class RateLimits {
  readonly #clock: Clock;
  /** One for each client that has a limit; those are bounded by the file that names them. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws a SynodError that says when to come back. */
  take({ id, requestsPerSecond }: Client): void {
    if (requestsPerSecond === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(id) ?? { tokens: requestsPerSecond, filledAtMs: nowMs };
    const grown = ((nowMs - bucket.filledAtMs) * requestsPerSecond) / MS_PER_SECOND;
    const tokens = Math.min(requestsPerSecond, bucket.tokens + grown);
    const isEmpty = tokens < 1;
    this.#buckets.set(id, { tokens: isEmpty ? tokens : tokens - 1, filledAtMs: nowMs });
    if (!isEmpty) return;
    const retryAfterMs = Math.ceil(((1 - tokens) * MS_PER_SECOND) / requestsPerSecond);
    const sentence = `client ${id} may make ${requestsPerSecond} requests a second`;
    throw new SynodError("too-many-requests", sentence, { retryAfterMs });
  }
}
