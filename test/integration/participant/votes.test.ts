/** What a vote means, on a real server. */
import type { Shard } from "../../../participant/shard/shard.ts";
import type { Vote } from "../../../shared/model/protocol.ts";
import { executeRequest, gidOf, LINK } from "../../participant/node-fixture.ts";
import { ADD, NOTE, operation, READ } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { anyStatement, createShard, openShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode, type PostgresNode } from "./postgres-node.ts";

let fixture: ShardFixture;
let node: PostgresNode;

beforeEach(async () => {
  // Most of what is tried here the parser would refuse; these are the fences behind it.
  fixture = await createShard({ check: anyStatement, branchConnections: 2 });
  node = createPostgresNode(fixture.shard);
});
afterEach(async () => {
  await fixture.close();
});

/** Of a statement that takes a server that is busy some time, and is not to time out. */
const PATIENCE_MS = 60_000;
const add = operation(ADD, 1, "a");
const codeOf = (vote: Vote): string => (vote.kind === "no" ? vote.refusal.code : vote.kind);

async function nothingIsLeft(): Promise<void> {
  await eventually("nothing is prepared", async () => (await fixture.prepared()).length === 0);
  expect(await fixture.valueOf("a")).toBe("100");
}

test("a failed transaction that is prepared all the same is a no, by its tag", async () => {
  // An application that swallows an error: the statement between is not part of the results.
  const swallowing: Shard = Object.assign(Object.create(fixture.shard) as Shard, {
    begin: async (options: Parameters<Shard["begin"]>[0]) => {
      const session = await fixture.shard.begin(options);
      return {
        execute: async (...args: Parameters<typeof session.execute>) => {
          const outcome = await session.execute(...args);
          await session.execute([operation("select 1 / 0")]);
          return outcome;
        },
        executeAndPrepare: session.executeAndPrepare.bind(session),
        prepare: session.prepare.bind(session),
        commit: session.commit.bind(session),
        rollback: session.rollback.bind(session),
        interrupt: session.interrupt.bind(session),
      };
    },
  });
  const vote = await createPostgresNode(swallowing).execute(1, [operation(READ, "a"), add]);
  expect(vote).toEqual({
    kind: "no",
    refusal: { code: "sql-error", sentence: "PREPARE TRANSACTION was answered by ROLLBACK" },
  });
  await nothingIsLeft();
});

test("a branch that wrote nothing is committed and votes readOnly", async () => {
  expect(await node.execute(1, [operation(READ, "a")])).toEqual({
    kind: "readOnly",
    results: [[{ rowCount: 1, rows: [{ value: "100" }] }]],
  });
  expect(codeOf(await node.execute(2, [operation(ADD, 1, "nobody")]))).toBe("readOnly");
  await nothingIsLeft();
});

test("a row lock is something written", async () => {
  const vote = await node.execute(1, [
    operation("select value from items where id = 'a' for update"),
  ]);
  expect(vote.kind).toBe("prepared");
  expect(await fixture.prepared()).toEqual([gidOf(1)]);
  await node.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
});

test("a deferred constraint is checked before the vote", async () => {
  await fixture.client.query(
    "create table pairs (id text unique deferrable initially deferred); insert into pairs values ('x')",
  );
  const vote = await node.execute(1, [add, operation("insert into pairs values ($1)", "x")]);
  expect(vote).toMatchObject({
    refusal: { code: "constraint-violation", sqlstate: "23505", constraint: "pairs_id_key" },
  });
  await nothingIsLeft();
});

test.each([
  ["notifies", "select pg_notify('channel', 'text')"],
  ["makes a temporary table", "select makes_table()"],
])("a branch that %s cannot be prepared", async (_, sql) => {
  await fixture.client.query(`create or replace function makes_table() returns void
    language plpgsql as 'begin create temporary table t (id int); end'`);
  expect(codeOf(await node.execute(1, [add, operation(sql)]))).toBe("not-preparable");
  await nothingIsLeft();
});

test("a session-level lock does not keep a branch from being prepared, nor outlive it", async () => {
  const locking = operation("select pg_advisory_lock(9), pg_advisory_xact_lock(9)");
  expect((await node.execute(1, [add, locking])).kind).toBe("prepared");
  await node.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  const { rows } = await fixture.client.query<{ free: boolean }>(
    "select pg_try_advisory_xact_lock(9) as free",
  );
  expect(rows).toEqual([{ free: true }]);
});

test.each(["commit", "rollback", "commit and chain", "prepare transaction 'mine'"])(
  "a statement that ends the transaction (%s) is a no",
  async (sql) => {
    const vote = await node.execute(1, [operation(READ, "a"), operation(sql)]);
    expect(vote.kind).toBe("no");
    expect((await fixture.prepared()).filter((gid) => gid !== "mine")).toEqual([]);
    await fixture.client.query("rollback prepared 'mine'").catch(() => undefined);
  },
);

test("leaving the transaction and beginning another is a no", async () => {
  const vote = await node.execute(1, [add, operation("rollback"), operation("begin"), add]);
  expect(codeOf(vote)).toBe("statement-not-allowed");
  await nothingIsLeft();
});

test("changing the role is a no: another role's branch could not be finished", async () => {
  await fixture.client.query("create role stranger; grant all on items to stranger");
  const changing = operation("select set_config('role', 'stranger', true)");
  expect(codeOf(await node.execute(1, [add, changing]))).toBe("statement-not-allowed");
  await nothingIsLeft();
  await fixture.client.query("drop owned by stranger; drop role stranger");
});

test("a branch that a function prepared under another role is rolled back under that role", async () => {
  await fixture.client.query(`
    create role votes_worker login password 'secret' in role pg_read_all_data, pg_write_all_data;
    create role votes_app in role pg_read_all_data, pg_write_all_data;
    grant votes_app to votes_worker;
    grant usage on schema synod to votes_worker, votes_app;
    alter role votes_worker set search_path = synod;
    create function becomes_app() returns void language plpgsql as
      $$ begin perform set_config('role', 'votes_app', false); end $$`);
  const url = new URL(fixture.url);
  url.username = "votes_worker";
  url.password = "secret";
  const shard = openShard(url.href, { check: anyStatement, branchConnections: 1 });
  const { execute, node: worker } = createPostgresNode(shard);
  const becoming = operation(
    "insert into entries select 'x', 'y' from (select becomes_app()) as app",
  );
  expect(await execute(1, [becoming])).toMatchObject({
    refusal: { sentence: "a statement ended the transaction or changed its role" },
  });
  await eventually("it is rolled back", async () => (await fixture.prepared()).length === 0);
  expect((await execute(2, [add])).kind).toBe("prepared");
  await worker.handle(LINK, { kind: "abort", gid: gidOf(2) });
  await shard.close();
  await fixture.client.query(
    "drop owned by votes_worker, votes_app; drop role votes_worker, votes_app",
  );
});

test("two statements in one text are refused by the server, and neither is run", async () => {
  const vote = await node.execute(1, [operation("update items set value = 7; commit")]);
  expect(vote).toMatchObject({ kind: "no", refusal: { sqlstate: "42601" } });
  await nothingIsLeft();
});

test("what the parser refuses is not sent", async () => {
  const checked = await createShard({ url: fixture.url });
  const { execute } = createPostgresNode(checked.shard, "boot-2");
  expect(await execute(1, [add, { ...operation("commit"), index: 5 }])).toMatchObject({
    refusal: { code: "statement-not-allowed", operation: 5 },
  });
  expect(await execute(2, [operation(ADD, 1)])).toMatchObject({
    refusal: { sentence: "the statement takes 2 parameters, but was given 1" },
  });
  await nothingIsLeft();
  await checked.close();
});

test("an unmet expectation is a no, and what was prepared with it is rolled back", async () => {
  const vote = await node.execute(1, [{ ...add, expect: { rowCount: 2 } }]);
  expect(codeOf(vote)).toBe("expectation-failed");
  await nothingIsLeft();
});

test("a serialization failure at PREPARE is a conflict", async () => {
  const skewed = (sequence: number, read: string, write: string) =>
    node.node.handle(
      LINK,
      executeRequest(sequence, [operation(READ, read), operation(ADD, 1, write)], {
        isolation: "serializable",
        timeoutMs: 5_000,
      }),
    );
  const votes = (await Promise.all([skewed(1, "a", "b"), skewed(2, "b", "a")])) as Vote[];
  const conflicts = votes.filter((vote) => codeOf(vote) === "participant-conflict");
  expect(conflicts.length).toBeGreaterThanOrEqual(1);
  for (const sequence of [1, 2])
    await node.node.handle(LINK, { kind: "abort", gid: gidOf(sequence) });
});

test("a lock that is not granted in time is a no, and says so", async () => {
  await fixture.client.query("begin; update items set value = 1 where id = 'a'");
  expect(codeOf(await node.execute(1, [add], 200))).toBe("lock-timeout");
  await fixture.client.query("rollback");
  await nothingIsLeft();
});

test("a statement that takes too long is a no, and says so", async () => {
  expect(codeOf(await node.execute(1, [add, operation("select pg_sleep(30)")], 200))).toBe(
    "transaction-timeout",
  );
  await nothingIsLeft();
});

test("when the server's places for prepared transactions are used up the vote is overloaded", async () => {
  const { rows } = await fixture.client.query<{ places: number }>(
    "select current_setting('max_prepared_transactions')::int as places",
  );
  const gids = Array.from({ length: rows[0]!.places }, (_, index) => `filler_${index}`);
  for (const gid of gids) {
    await fixture.client.query("begin");
    await fixture.client.query(NOTE, [gid, ""]);
    await fixture.client.query(`prepare transaction '${gid}'`);
  }
  expect(codeOf(await node.execute(1, [add]))).toBe("overloaded");
  for (const gid of gids) await fixture.client.query(`rollback prepared '${gid}'`);
  await nothingIsLeft();
});

test.each([
  [
    "many rows",
    "update items set value = value + 1 where id = 'a' returning (select string_agg(repeat('x', 1000), '') from generate_series(1, 300))",
  ],
  ["one giant value", "select repeat('x', 100000000)"],
])(
  "results that are too large (%s) are a no, and the next branch is not harmed",
  async (_, sql) => {
    const vote = await node.execute(1, [operation(sql)], PATIENCE_MS);
    expect(codeOf(vote)).toBe("result-too-large");
    await nothingIsLeft();
    expect((await node.execute(2, [add])).kind).toBe("prepared");
    await node.node.handle(LINK, { kind: "abort", gid: gidOf(2) });
  },
);
