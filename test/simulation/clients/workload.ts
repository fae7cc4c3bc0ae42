/**
 * What a client wants next: transfers between two shards, transactions on one shard, reads, and some that cannot succeed.
 */
import type { Operation } from "../../../shared/model/api.ts";
import type { Submission } from "../../../coordinator/transactions/gateway.ts";
import type { WorkloadKnobs } from "../knobs.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import type { Call } from "./history.ts";
import { mark, move, note, read } from "./statements.ts";

export function itemsOf(knobs: WorkloadKnobs): readonly string[] {
  return Array.from({ length: knobs.itemsPerShard }, (_, index) => `item${index}`);
}

export class Workload {
  readonly #knobs: WorkloadKnobs;
  readonly #shards: readonly string[];
  readonly #random: SeededRandom;

  constructor(knobs: WorkloadKnobs, shards: readonly string[], random: SeededRandom) {
    this.#knobs = knobs;
    this.#shards = shards;
    this.#random = random;
  }

  next(name: string): Call {
    const random = this.#random;
    const { oneShardChance, readOnlyChance, keyedChance, decidedChance, timeoutsMs } = this.#knobs;
    const [first, second] = this.#twoShards();
    const shards = random.chance(oneShardChance) ? [first] : [first, second];
    const plan = random.chance(readOnlyChance)
      ? { operations: shards.map((shard) => read(shard, this.#item())), writes: [] }
      : this.#writing(name, shards);
    const key = random.chance(keyedChance) ? name : null;
    const submission: Submission = {
      request: {
        operations: this.#perhapsRefused(plan.operations),
        isolation: "read committed",
        timeoutMs: random.pick(timeoutsMs),
        waitFor: random.chance(decidedChance) ? "decided" : "applied",
      },
      idempotency: key === null ? null : { key, fingerprint: `body of ${name}` },
    };
    return { name, submission, writes: plan.writes, verdict: "open", attempts: 0 };
  }

  /** Money moves between two shards, or within one; sometimes the second shard is only read. */
  #writing(
    name: string,
    shards: readonly string[],
  ): { readonly operations: Operation[]; readonly writes: readonly string[] } {
    const random = this.#random;
    const amount = 1 + random.integer(60);
    const [from = "", to = from] = shards;
    if (from !== to && random.chance(0.1)) {
      return { operations: [mark(from, name), read(to, this.#item())], writes: [from] };
    }
    const [source, target] = this.#twoItems(from === to);
    const operations = [move(from, source, -amount), mark(from, name), move(to, target, amount)];
    if (from !== to) operations.push(mark(to, name));
    if (random.chance(this.#knobs.noteChance)) operations.push(note(random.pick(shards), name));
    return { operations, writes: shards };
  }

  /** An expectation that no row meets, at any place. */
  #perhapsRefused(operations: Operation[]): Operation[] {
    if (!this.#random.chance(this.#knobs.refusedChance)) return operations;
    const index = this.#random.integer(operations.length);
    return operations.map((operation, place) =>
      place === index ? { ...operation, expect: { rowCount: 7 } } : operation,
    );
  }

  #twoShards(): readonly [string, string] {
    const first = this.#random.pick(this.#shards);
    return [first, this.#random.pick(this.#shards.filter((shard) => shard !== first))];
  }

  #item(): string {
    const items = itemsOf(this.#knobs);
    return this.#random.chance(this.#knobs.hotChance) ? "item0" : this.#random.pick(items);
  }

  #twoItems(distinct: boolean): readonly [string, string] {
    const source = this.#item();
    if (!distinct) return [source, this.#item()];
    const others = itemsOf(this.#knobs).filter((item) => item !== source);
    return [source, this.#random.pick(others)];
  }
}
