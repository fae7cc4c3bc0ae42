/** Each transaction counts once, under a name of its own, on one shard or on two: what was acknowledged must be what is counted. */
import { newIdempotencyKey } from "../../../client/sdk.ts";
import type { Operation as HistoryOperation } from "../../histories/history/event.ts";
import type { Transaction } from "../../histories/history/transactions.ts";
import type { Database } from "../cluster.ts";
import { withClient } from "../database.ts";
import { mark } from "./tables.ts";
import { oneShot, type Task, type Workload } from "./task.ts";

/** Few enough to be fought for a little. */
const COUNTERS = 8;
const KEY_PREFIX = "counter-";

const COUNT = `insert into counters (name, value) values ($1, 1)
  on conflict (name) do update set value = counters.value + 1`;

export class Counters implements Workload {
  readonly #shards: readonly string[];
  #value = 0;

  constructor(shards: readonly string[]) {
    this.#shards = shards;
  }

  next(): Task {
    const name = newIdempotencyKey();
    const counter = `${KEY_PREFIX}${Math.floor(Math.random() * COUNTERS)}`;
    const first = Math.floor(Math.random() * this.#shards.length);
    const shards = [first, (first + 1) % this.#shards.length]
      .slice(0, Math.random() < 0.5 ? 1 : 2)
      .map((place) => this.#shards[place] ?? "");
    this.#value += 1;
    const value = this.#value;
    const operations = shards.map((shard): HistoryOperation => {
      return { kind: "append", shard, key: counter, value };
    });
    const statements = shards.flatMap((shard) => [
      { shard, sql: COUNT, params: [counter] },
      mark(shard, name),
    ]);
    return { name, operations, run: (synod) => oneShot(synod, name, statements, operations) };
  }
}

/** What is counted, against what was acknowledged: neither less, nor more than that and what is unclear. */
export async function auditCounters(
  databases: readonly Database[],
  transactions: readonly Transaction[],
): Promise<readonly string[]> {
  const findings = await Promise.all(
    databases.map(async ({ shard, url }) => {
      const { rows } = await withClient(url, (client) =>
        client.query<{ name: string; value: string }>("select name, value from counters"),
      );
      const counted = new Map(rows.map(({ name, value }) => [name, Number(value)]));
      return wrongsOf(shard, counted, transactions);
    }),
  );
  return findings.flat();
}

function wrongsOf(
  shard: string,
  counted: ReadonlyMap<string, number>,
  transactions: readonly Transaction[],
): readonly string[] {
  const least = new Map<string, number>();
  const most = new Map<string, number>();
  for (const { outcome, operations } of transactions) {
    if (outcome === "aborted") continue;
    for (const { shard: where, key } of operations) {
      if (where !== shard || !key.startsWith(KEY_PREFIX)) continue;
      if (outcome === "committed") least.set(key, (least.get(key) ?? 0) + 1);
      most.set(key, (most.get(key) ?? 0) + 1);
    }
  }
  return [...new Set([...most.keys(), ...counted.keys()])].flatMap((name) => {
    const [is, from, to] = [counted, least, most].map((it) => it.get(name) ?? 0);
    const isRight = is !== undefined && from !== undefined && is >= from && is <= (to ?? 0);
    return isRight ? [] : [`${name} on ${shard} is ${is}, and must be ${from} to ${to}`];
  });
}
