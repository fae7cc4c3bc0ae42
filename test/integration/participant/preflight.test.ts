import pg from "pg";
import { findings, preflight, PreflightFailed } from "../../../participant/shard/preflight.ts";
import { clusterId, shardId } from "../../../shared/model/ids.ts";
import { createDatabasePool, createKnex } from "../../../shared/runtime/database.ts";
import { createTestDatabase } from "../../support/postgres.ts";

const OPTIONS = {
  clusterId: clusterId("test"),
  shardId: shardId("s1"),
  maxBranches: 64,
  connections: 76,
};
const GOOD = {
  version: 180_000,
  version_name: "18.0",
  prepared: 200,
  connections: 197,
  orphan_timeout: "0",
  synchronous_commit: "on",
  is_standby: false,
};

async function withKnex<Result>(
  url: string,
  work: (knex: ReturnType<typeof createKnex>) => Promise<Result>,
): Promise<Result> {
  const pool = createDatabasePool({
    url,
    applicationName: "test",
    maxConnections: 2,
    connectTimeoutMs: 3_000,
    onError: () => undefined,
  });
  try {
    return await work(createKnex(pool));
  } finally {
    await pool.end();
  }
}

test.each([
  [{ version: 130_009, version_name: "13.9" }, "Postgres 13.9 is too old: use 14 or later"],
  [{ prepared: 0 }, "set it to more than 64 in postgresql.conf"],
  [{ prepared: 64 }, "max_prepared_transactions is 64: set it to more than 64"],
  [{ connections: 75 }, "raise max_connections, or lower SYNOD_MAX_BRANCHES"],
  [{ orphan_timeout: "5min" }, "prepared_orphaned_transaction_timeout is 5min: set it to 0"],
  [{ synchronous_commit: "off" }, "synchronous_commit is off"],
  [{ is_standby: true }, "point SYNOD_DATABASE_URL at the primary"],
])("a server with %o is refused with a sentence that names the cure", (change, sentence) => {
  expect(findings({ ...GOOD, ...change }, OPTIONS)).toEqual([expect.stringContaining(sentence)]);
});

test("a good server has no findings, and several findings come at once", () => {
  expect(findings(GOOD, OPTIONS)).toEqual([]);
  expect(findings({ ...GOOD, prepared: 65, orphan_timeout: "0ms" }, OPTIONS)).toEqual([]);
  expect(findings({ ...GOOD, prepared: 0, connections: 1 }, OPTIONS)).toHaveLength(2);
});

test("a database that does not wait for its commits is not served", async () => {
  const url = await createTestDatabase();
  const database = new URL(url).pathname.slice(1);
  await withKnex(url, (knex) =>
    knex.raw(`alter database ${database} set synchronous_commit to off`),
  );
  const starting = withKnex(url, (knex) => preflight(knex, OPTIONS));
  await expect(starting).rejects.toThrow(PreflightFailed);
  await withKnex(url, (knex) => knex.raw(`alter database ${database} reset synchronous_commit`));
  await withKnex(url, (knex) => preflight(knex, OPTIONS));
});

test("a new database is migrated and claimed, once, however many start at once", async () => {
  const url = await createTestDatabase();
  await Promise.all([1, 2, 3].map(() => withKnex(url, (knex) => preflight(knex, OPTIONS))));
  await withKnex(url, async (knex) => {
    expect(await knex("synod.identity").select("cluster_id", "shard_id")).toEqual([
      { cluster_id: "test", shard_id: "s1" },
    ]);
    expect(await knex("synod.receipts")).toEqual([]);
  });
});

test("a migration that was killed in the middle does not lock the next one out", async () => {
  const url = await createTestDatabase();
  await withKnex(url, async (knex) => {
    await preflight(knex, OPTIONS);
    await knex("synod.migrations_lock").update({ is_locked: 1 });
    await preflight(knex, OPTIONS);
  });
});

test.each([
  [
    { shardId: shardId("s2") },
    "belongs to shard s1 of cluster test, not to shard s2 of cluster test",
  ],
  [{ clusterId: clusterId("other") }, "not to shard s1 of cluster other"],
])("a database that belongs to somebody else is refused", async (change, sentence) => {
  const url = await createTestDatabase();
  await withKnex(url, async (knex) => {
    await preflight(knex, OPTIONS);
    const attempt = preflight(knex, { ...OPTIONS, ...change });
    await expect(attempt).rejects.toThrow(PreflightFailed);
    await expect(preflight(knex, { ...OPTIONS, ...change })).rejects.toThrow(sentence);
  });
});

test("a server whose settings will not do is refused before anything is written", async () => {
  const url = await createTestDatabase();
  await withKnex(url, async (knex) => {
    await expect(preflight(knex, { ...OPTIONS, maxBranches: 200 })).rejects.toThrow(
      PreflightFailed,
    );
  });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query("select from pg_namespace where nspname = 'synod'");
  expect(rows).toEqual([]);
  await client.end();
});

test("a server that does not answer is not refused, but an error to try again after", async () => {
  const url = "postgres://nobody@127.0.0.1:1/nothing";
  const attempt = withKnex(url, (knex) => preflight(knex, OPTIONS));
  await expect(attempt).rejects.not.toThrow(PreflightFailed);
});
