/**
 * What people must look at: a shard's evidence that contradicts a decision. Counted, listed and logged; never acted on.
 */
import type { GlobalId } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";

export interface Incident {
  readonly gid: GlobalId;
  readonly sentence: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** The newest are listed; all are counted. */
const MAX_LISTED = 256;

export class Incidents {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listed = new Map<string, Incident>();
  #count = 0;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** The same incident is raised once, however often it is met. */
  raise(gid: GlobalId, sentence: string): void {
    const key = `${gid} ${sentence}`;
    if (this.#listed.has(key)) return;
    this.#count += 1;
    this.#logger.error({ gid, sentence }, "a branch contradicts its decision");
    this.#listed.set(key, { gid, sentence, atMs: this.#clock.wallMs() });
    if (this.#listed.size <= MAX_LISTED) return;
    for (const oldest of this.#listed.keys()) {
      this.#listed.delete(oldest);
      return;
    }
  }

  get count(): number {
    return this.#count;
  }

  list(): readonly Incident[] {
    return [...this.#listed.values()];
  }
}
