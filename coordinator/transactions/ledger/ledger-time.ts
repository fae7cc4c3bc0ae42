/**
 * What ages in the ledger are counted in: milliseconds that have passed by the leaders' clocks, the same on every replica at
 * the same slot. Wall clocks are wrong now and then, by a year as easily as by a second, and what a leader wrote with one stays
 * in the log. So only the distance from one command to the next counts, and of that no more than a bound: a clock that is
 * wrong costs the bound once, when it is first heard of, and nothing once a right one is heard again.
 *
 * Where commands are rarer than the bound, time goes slower than the clocks, and what ages is kept for longer.
 */

export const MAX_ADVANCE_PER_COMMAND_MS = 10_000;

export interface LedgerTimeImage {
  readonly passedMs: number;
  /** What the last command said. */
  readonly lastAtMs: number;
}

export class LedgerTime {
  readonly #maxAdvanceMs: number;
  #passedMs = 0;
  #lastAtMs = 0;

  constructor(maxAdvanceMs: number) {
    this.#maxAdvanceMs = maxAdvanceMs;
  }

  /** Never goes back. */
  get passedMs(): number {
    return this.#passedMs;
  }

  heard(atMs: number): void {
    this.#passedMs += Math.min(this.#maxAdvanceMs, Math.max(0, atMs - this.#lastAtMs));
    this.#lastAtMs = atMs;
  }

  image(): LedgerTimeImage {
    return { passedMs: this.#passedMs, lastAtMs: this.#lastAtMs };
  }

  restore({ passedMs, lastAtMs }: LedgerTimeImage): void {
    this.#passedMs = passedMs;
    this.#lastAtMs = lastAtMs;
  }
}
