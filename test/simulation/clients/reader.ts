/**
 * A client that counts the money: it reads every item of every shard, in one read or on one snapshot. Transfers move money and make none, so
 * whatever happens meanwhile the sum is the opening one, unless some transfer was seen on one shard and not on another.
 */
import type { ReadRequest } from "../../../shared/model/api.ts";
import type { Tally } from "../checkers/tally.ts";
import { demand } from "../checkers/violation.ts";
import type { WorkloadKnobs } from "../knobs.ts";
import type { CoordinatorHost } from "../world/coordinator-host.ts";
import type { Scheduler } from "../world/scheduler.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import type { Trace } from "../world/trace.ts";
import type { SimulatedApi } from "./simulated-api.ts";
import { OPENING_VALUE, read } from "./statements.ts";
import { itemsOf } from "./workload.ts";

const SNAPSHOT_CHANCE = 0.3;

export interface ReaderOptions {
  readonly name: string;
  readonly knobs: WorkloadKnobs;
  readonly shards: readonly string[];
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly random: SeededRandom;
  readonly hosts: readonly CoordinatorHost[];
  readonly api: SimulatedApi;
  readonly tally: Tally;
  /** False when somebody has meddled with a shard by hand: then the books cannot be right. */
  readonly isBalanced: () => boolean;
  readonly isStopping: () => boolean;
}

export class Reader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { random, knobs, scheduler, isStopping } = this.#options;
    for (;;) {
      await new Promise<void>((resolve) => {
        scheduler.after(random.exponential(knobs.meanThinkMs), undefined, resolve);
      });
      if (isStopping()) return;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    const { name, random, hosts, api, shards, knobs, tally, trace, isBalanced } = this.#options;
    const items = itemsOf(knobs);
    const request: ReadRequest = {
      operations: shards.flatMap((shard) => items.map((item) => read(shard, item))),
      timeoutMs: random.pick([100, 1_000]),
    };
    const isOnSnapshot = random.chance(SNAPSHOT_CHANCE);
    const answer = await api.read(name, random.pick(hosts), request, isOnSnapshot);
    const values = answer.kind === "answered" ? answer.value : answer.kind;
    if (typeof values === "string") {
      tally.count(`${isOnSnapshot ? "snapshot" : "read"}: ${values}`);
      return;
    }
    const sum = values.reduce((total, value) => total + value, 0n);
    tally.count(isOnSnapshot ? "snapshot: whole" : "read: whole");
    trace.line(name, `counts ${sum}`);
    const expected = BigInt(shards.length * items.length * OPENING_VALUE);
    demand(
      sum === expected || !isBalanced(),
      "whole reads",
      () => `${name} counts ${sum} instead of ${expected}: ${values.join(" ")}`,
    );
  }
}
