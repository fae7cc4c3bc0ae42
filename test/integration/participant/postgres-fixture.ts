/** A real shard database with the tables of the contract, and the adapter on it. */
import pg from "pg";
import { PostgresShard } from "../../../participant/shard/postgres-shard.ts";
import type { CheckStatement } from "../../../participant/shard/postgres-session.ts";
import { preflight } from "../../../participant/shard/preflight.ts";
import { ServerPool } from "../../../participant/shard/server-pool.ts";
import type { ShardSession } from "../../../participant/shard/shard.ts";
import { clusterId, type GlobalId, shardId } from "../../../shared/model/ids.ts";
import { systemClock } from "../../../shared/runtime/clock.ts";
import { checkStatement, loadSqlParser } from "../../../shared/runtime/sql-statement.ts";
import { silent } from "../../participant/node-fixture.ts";
import { createTestDatabase } from "../../support/postgres.ts";

export interface ShardFixture {
  readonly url: string;
  readonly shard: PostgresShard;
  /** An ordinary client of the database, beside the adapter. */
  readonly client: pg.Client;
  readonly begin: (timeoutMs?: number) => Promise<ShardSession>;
  /** Of an item, as committed. */
  readonly valueOf: (id: string) => Promise<string>;
  readonly prepared: () => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
}

export interface FixtureOptions {
  readonly url?: string;
  /** Lets a test send what the parser would refuse. */
  readonly check?: CheckStatement;
  readonly branchConnections?: number;
}

const IDENTITY = { clusterId: clusterId("test"), shardId: shardId("s1") };

/** For tests of what happens behind the parser's back. */
export const anyStatement: CheckStatement = (sql) => {
  const parameters = [...sql.matchAll(/\$(\d+)/g)].map(([, digits]) => Number(digits));
  return { ok: true, parameterCount: Math.max(0, ...parameters), classes: ["select"] };
};

export function openShard(url: string, options: FixtureOptions = {}): PostgresShard {
  return new PostgresShard({
    ...IDENTITY,
    url,
    branchConnections: options.branchConnections ?? 8,
    finishingConnections: 2,
    connectTimeoutMs: 3_000,
    checkStatement: options.check ?? checkStatement,
    clock: systemClock,
    logger: silent,
  });
}

const READY = { ...IDENTITY, maxBranches: 8, connections: 14 };
let model: Promise<string> | undefined;

/** A database as a participant leaves it that has started, for the tests of this file to copy. */
async function makeModel(): Promise<string> {
  const url = await createTestDatabase();
  const shard = openShard(url);
  await preflight(shard.controlKnex, READY);
  await shard.close();
  return url;
}

/** One connection of the adapter's kind. */
export function openPool(url: string): ServerPool {
  const options = {
    ...{ url, applicationName: "test", maxConnections: 1, connectTimeoutMs: 3_000 },
    onError: () => undefined,
  };
  return new ServerPool(options, IDENTITY.clusterId, IDENTITY.shardId, systemClock);
}

export async function createShard(options: FixtureOptions = {}): Promise<ShardFixture> {
  await loadSqlParser();
  model ??= makeModel();
  const url = options.url ?? (await createTestDatabase(await model));
  const shard = openShard(url, options);
  await preflight(shard.controlKnex, READY);
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  await client.query(`
    create table if not exists items (id text primary key, value bigint check (value >= 0));
    create table if not exists entries (id text primary key, note text);
    insert into items values ('a', 100), ('b', 100) on conflict do nothing`);
  return {
    url,
    shard,
    client,
    begin: (timeoutMs = 5_000) => shard.begin({ isolation: "read committed", timeoutMs }),
    valueOf: async (id) => {
      const { rows } = await client.query<{ value: string }>(
        "select value from items where id = $1",
        [id],
      );
      return rows[0]!.value;
    },
    prepared: async () => {
      const { rows } = await client.query<{ gid: GlobalId }>(
        "select gid from pg_prepared_xacts where database = current_database() order by gid",
      );
      return rows.map(({ gid }) => gid);
    },
    close: async () => {
      await client.end();
      await shard.close();
      await rollBackAll(url);
    },
  };
}

/** Gids are the whole server's: what a test leaves prepared would be in the way of others. */
async function rollBackAll(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ gid: string }>(
    "select gid from pg_prepared_xacts where database = current_database()",
  );
  for (const { gid } of rows) await client.query(`rollback prepared '${gid}'`);
  await client.end();
}
