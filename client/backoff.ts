/**
 * How long a call may go on, and how long it pauses between attempts. Pauses are drawn with decorrelated jitter: each
 * from the lowest one up to three times the last, so that clients that failed together do not come back together.
 */
import { setTimeout } from "node:timers/promises";

export const DEFAULT_DEADLINE_MS = 30_000;
export const BACKOFF = { lowestMs: 50, highestMs: 2_000 } as const;

export class Deadline {
  readonly durationMs: number;
  readonly signal: AbortSignal | undefined;
  readonly #atMs: number;

  constructor(durationMs: number, signal?: AbortSignal) {
    this.durationMs = durationMs;
    this.signal = signal;
    this.#atMs = performance.now() + durationMs;
  }

  get leftMs(): number {
    return this.#atMs - performance.now();
  }

  get isOver(): boolean {
    return this.leftMs <= 0 || this.signal?.aborted === true;
  }
}

export class Backoff {
  readonly #random: () => number;
  #lastMs: number = BACKOFF.lowestMs;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  nextMs(): number {
    const span = Math.max(0, this.#lastMs * 3 - BACKOFF.lowestMs);
    this.#lastMs = Math.min(BACKOFF.highestMs, BACKOFF.lowestMs + this.#random() * span);
    return this.#lastMs;
  }

  /** Pauses, at least so long; false when the deadline or the signal ends it first. */
  async pause(deadline: Deadline, atLeastMs = 0): Promise<boolean> {
    const pauseMs = Math.max(this.nextMs(), Math.min(atLeastMs, BACKOFF.highestMs));
    if (deadline.isOver || pauseMs >= deadline.leftMs) return false;
    const { signal } = deadline;
    try {
      await setTimeout(pauseMs, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    }
    return !deadline.isOver;
  }
}
