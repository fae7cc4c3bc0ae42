/**
 * The leader's watch for deadlocks between shards, which no Postgres can see.
 *
 * Nobody is asked while votes and answers come in soon. When transactions have been waiting for at least two shards, those
 * are asked who waits for whom. Their answers are of different moments, so a cycle in them may never have been there at
 * any one moment: its shards are asked again, after all have answered, and only waits that have lasted from the first answer to
 * the second count. All of those were there together in between, so a cycle of them is a deadlock, and does not go away
 * by itself but for a timeout. The youngest of it that may still yield is aborted.
 */
import type { CarrierId, ShardId } from "../../../shared/model/ids.ts";
import type { Cancel, Clock, Logger } from "../../../shared/model/ports.ts";
import type { ParticipantLinks } from "../../transport/participant-link.ts";
import { type Deadlock, findDeadlocks, lastingWaits, type ShardWait } from "./wait-graph.ts";

/** Together, with some 20 ms for two looks at every shard, a deadlock ends within a quarter of a second. */
const DETECTION_TIMES = {
  /** A vote, or an answer to a step, that takes less than this is not called slow. */
  slowAfterMs: 50,
  /** From the end of one look to the next. */
  intervalMs: 100,
  requestTimeoutMs: 1_000,
} as const;

export interface SlowCarrier {
  readonly carrierId: CarrierId;
  /** Where something of it runs that may be waiting. */
  readonly shards: readonly ShardId[];
}

/** Transactions that may wait for others and can be made to yield. */
export interface DeadlockParties {
  /** Those of which something has been running for at least that long. */
  slow(forMs: number): readonly SlowCarrier[];
  /** It is known here and something of it runs that may be waiting: it has neither ended nor is it on its way to commit. */
  mayYield(carrierId: CarrierId): boolean;
  /** Aborts it with the code `deadlock`. */
  yieldToOthers(carrierId: CarrierId): void;
}

export interface DeadlockDetectorOptions {
  readonly parties: readonly DeadlockParties[];
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class DeadlockDetector {
  readonly #options: DeadlockDetectorOptions;
  /** Which leadership it is: a look ends with the one it was begun under. */
  #term = 0;
  #cancelNext: Cancel = () => undefined;

  constructor(options: DeadlockDetectorOptions) {
    this.#options = options;
  }

  startLeading(): void {
    this.stopLeading();
    this.#lookLater(this.#term);
  }

  stopLeading(): void {
    this.#term += 1;
    this.#cancelNext();
  }

  #lookLater(term: number): void {
    this.#cancelNext = this.#options.clock.after(DETECTION_TIMES.intervalMs, () => {
      void this.#look(term).then(() => {
        if (this.#term === term) this.#lookLater(term);
      });
    });
  }

  async #look(term: number): Promise<void> {
    const suspected = this.#suspectedShards();
    if (suspected.length === 0) return;
    const first = await this.#ask(suspected);
    const shards = shardsOf(this.#deadlocksIn(first));
    if (shards.length === 0 || this.#term !== term) return;
    const second = await this.#ask(shards);
    if (this.#term !== term) return;
    for (const deadlock of this.#deadlocksIn(lastingWaits(first, second))) this.#break(deadlock);
  }

  /** None unless two transactions may each wait on a shard of their own. */
  #suspectedShards(): readonly ShardId[] {
    const slow = this.#options.parties.flatMap((parties) =>
      parties.slow(DETECTION_TIMES.slowAfterMs),
    );
    const shards = new Set(slow.flatMap((carrier) => carrier.shards));
    return slow.length < 2 || shards.size < 2 ? [] : [...shards];
  }

  #deadlocksIn(waits: readonly ShardWait[]): readonly Deadlock[] {
    return findDeadlocks(waits, (carrierId) => this.#partiesOf(carrierId) !== undefined);
  }

  #partiesOf(carrierId: CarrierId): DeadlockParties | undefined {
    return this.#options.parties.find((parties) => parties.mayYield(carrierId));
  }

  /** Never rejects: of a shard that does not answer no waits are known. */
  async #ask(shards: readonly ShardId[]): Promise<readonly ShardWait[]> {
    return (await Promise.all(shards.map((shard) => this.#askOne(shard)))).flat();
  }

  async #askOne(shard: ShardId): Promise<readonly ShardWait[]> {
    const { links, logger } = this.#options;
    try {
      const request = { kind: "waits" } as const;
      const reply = await links.request(shard, request, DETECTION_TIMES.requestTimeoutMs);
      if (reply.kind === "waits") return reply.waits.map((wait) => ({ ...wait, shard }));
      logger.debug({ shard, sentence: reply.sentence }, "the shard does not tell who waits");
    } catch (error) {
      logger.debug({ error, shard }, "the shard was not asked who waits");
    }
    return [];
  }

  #break({ victim, cycle }: Deadlock): void {
    this.#options.logger.debug({ victim, cycle }, "deadlock between shards");
    this.#partiesOf(victim)?.yieldToOthers(victim);
  }
}

function shardsOf(deadlocks: readonly Deadlock[]): readonly ShardId[] {
  return [...new Set(deadlocks.flatMap(({ cycle }) => cycle.map(({ shard }) => shard)))];
}
