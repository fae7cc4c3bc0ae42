/** What the databases say of each key, against what its client was told. */
import pg from "pg";
import type { Call } from "./calls.ts";
import { HOT_ROWS } from "./calls.ts";

export interface Audit {
  readonly acknowledged: number;
  readonly aborted: number;
  readonly unresolved: number;
  /** Keys counted more than once somewhere. */
  readonly countedTwice: number;
  /** Keys that were acknowledged and are not counted on each of their shards. */
  readonly acknowledgedAndMissing: number;
  /** Keys that were called aborted and are counted somewhere. */
  readonly abortedAndCounted: number;
  /** Keys counted on one of their two shards only. */
  readonly halfCounted: number;
  /** Counted where nobody asked for it. */
  readonly strange: number;
}

export interface Database {
  readonly shard: string;
  readonly url: string;
}

export async function createCounters(databases: readonly Database[]): Promise<void> {
  await each(databases, async (client) => {
    await client.query("create table counters (key text primary key, value bigint not null)");
    await client.query("create table hot (id int primary key, value bigint not null)");
    await client.query("insert into hot select id, 0 from generate_series(0, $1) as id", [
      HOT_ROWS - 1,
    ]);
  });
}

export async function auditCounters(
  databases: readonly Database[],
  calls: readonly Call[],
): Promise<Audit> {
  const counts = new Map<string, Map<string, number>>();
  await each(databases, async (client, { shard }) => {
    const { rows } = await client.query<{ key: string; value: string }>(
      "select key, value from counters",
    );
    counts.set(shard, new Map(rows.map(({ key, value }) => [key, Number(value)])));
  });
  const of = ({ key, shards }: Call): readonly number[] =>
    shards.map((shard) => counts.get(shard)?.get(key) ?? 0);
  const many = (condition: (call: Call) => boolean): number => calls.filter(condition).length;
  const isTold = (kind: string) => (call: Call) => call.outcome?.kind === kind;
  const asked = calls.reduce((sum, call) => sum + of(call).filter((count) => count > 0).length, 0);
  const found = [...counts.values()].reduce((sum, rows) => sum + rows.size, 0);
  return {
    acknowledged: many(isTold("committed")),
    aborted: many(isTold("aborted")),
    unresolved: many((call) => !isTold("committed")(call) && !isTold("aborted")(call)),
    countedTwice: many((call) => of(call).some((count) => count > 1)),
    acknowledgedAndMissing: many((call) => isTold("committed")(call) && of(call).includes(0)),
    abortedAndCounted: many((call) => isTold("aborted")(call) && of(call).some((it) => it > 0)),
    halfCounted: many((call) => new Set(of(call).map((count) => count > 0)).size > 1),
    strange: found - asked,
  };
}

async function each(
  databases: readonly Database[],
  work: (client: pg.Client, database: Database) => Promise<void>,
): Promise<void> {
  await Promise.all(
    databases.map(async (database) => {
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      await work(client, database).finally(() => client.end());
    }),
  );
}
