/**
 * Compares this node's wall clock with what leaders wrote into the log, so that whoever looks after it is told when the two are
 * far apart. Nothing else depends on it: the ledger keeps its own time (ledger/ledger-time.ts).
 *
 * A command that was applied as it was chosen tells the time exactly enough. One that was learned later tells only that it
 * cannot be earlier now.
 */
import type { Clock, Logger } from "../../shared/model/ports.ts";

/** Clocks that somebody keeps in time are closer than this, with room for a command's way. */
const MAX_CLOCK_DIFFERENCE_MS = 60_000;

interface Heard {
  readonly atMs: number;
  /** When it was applied; undefined for what may have been chosen long before. */
  readonly appliedAtMs: number | undefined;
}

export class ClockWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  #last: Heard | undefined;
  #isTold = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  applied(atMs: number, isFresh: boolean): void {
    this.#last = { atMs, appliedAtMs: isFresh ? this.#clock.monotonicMs() : undefined };
  }

  /** This node is to write its own clock into the log. */
  elected(): void {
    this.#isTold = false;
    this.#compare();
  }

  /** All that earlier leaders wrote is applied here, and nothing else. */
  closedLower(): void {
    this.#compare();
  }

  #compare(): void {
    if (this.#isTold) return;
    if (this.#last === undefined) return;
    const { atMs, appliedAtMs } = this.#last;
    const sinceMs = appliedAtMs === undefined ? 0 : this.#clock.monotonicMs() - appliedAtMs;
    const aheadMs = Math.round(this.#clock.wallMs() - atMs - sinceMs);
    const isBehind = aheadMs < -MAX_CLOCK_DIFFERENCE_MS;
    const isAhead = aheadMs > MAX_CLOCK_DIFFERENCE_MS && appliedAtMs !== undefined;
    if (!isBehind && !isAhead) return;
    this.#isTold = true;
    const way = isBehind ? "behind" : "ahead of";
    this.#logger.warn({ aheadMs }, `this node's clock is far ${way} that of the leader before`);
  }
}
