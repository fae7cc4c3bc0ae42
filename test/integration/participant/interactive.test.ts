/** Interactive branches on a real server: what statements may not do, and what a branch leaves behind. */
import type { ParticipantNode } from "../../../participant/participant-node.ts";
import type { BranchAction, StatementReply, Vote } from "../../../shared/model/protocol.ts";
import { gidOf, LINK, prepareRequest, statementRequest } from "../../participant/node-fixture.ts";
import { ADD, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { anyStatement, createShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode } from "./postgres-node.ts";

let fixture: ShardFixture;
let node: ParticipantNode;

beforeEach(async () => {
  fixture = await createShard();
  node = createPostgresNode(fixture.shard).node;
});
afterEach(async () => {
  await node.stop();
  await fixture.close();
});

const sql = (text: string, ...params: string[]): BranchAction => ({
  kind: "operation",
  operation: operation(text, ...params),
});
const add = (amount: number, id = "a"): BranchAction => ({
  kind: "operation",
  operation: operation(ADD, amount, id),
});

const run = async (
  seq: number,
  action: BranchAction,
  more: Parameters<typeof statementRequest>[3] = {},
  sequence = 1,
): Promise<StatementReply> =>
  (await node.handle(LINK, statementRequest(sequence, seq, action, more))) as StatementReply;

const prepare = async (sequence = 1): Promise<Vote> =>
  (await node.handle(LINK, prepareRequest(sequence, { timeoutMs: 5_000 }))) as Vote;

/** What the server has open for branches, besides idle connections. */
async function openSessions(): Promise<number> {
  const { rows } = await fixture.client.query<{ count: string }>(
    `select count(*) from pg_stat_activity where datname = current_database()
     and application_name = 'synod-branch' and state <> 'idle'`,
  );
  return Number(rows[0]!.count);
}

test("a transaction is prepared after its steps and committed once told", async () => {
  await run(1, add(5));
  await run(2, add(-1, "b"));
  const vote = await prepare();
  if (vote.kind !== "prepared") throw new Error(JSON.stringify(vote));
  await node.handle(LINK, { kind: "commit", gid: gidOf(1), xid: vote.xid });
  expect([await fixture.valueOf("a"), await fixture.valueOf("b")]).toEqual(["105", "99"]);
});

test("a lost link frees the row locks of an open branch", async () => {
  await run(1, add(5));
  await expect(
    fixture.client.query("select from items where id = 'a' for update nowait"),
  ).rejects.toThrow("could not obtain lock");
  node.linkLost(LINK);
  await eventually("the session is given back", async () => (await openSessions()) === 0);
  await fixture.client.query("select from items where id = 'a' for update nowait");
});

test("the server ends a branch by itself whose participant is gone, soon after the transaction's time", async () => {
  const limit = "select setting from pg_settings where name = $1";
  const shown = await run(1, sql(limit, "idle_in_transaction_session_timeout"), {
    timeoutMs: 7_000,
  });
  expect(shown).toMatchObject({ result: { rows: [{ setting: "12000" }] } });
});

test("a statement of another class is refused, and mended by going back like any failure", async () => {
  await run(1, add(5), { opens: { savepoints: ["s"] } });
  expect(await run(2, sql("commit"), { outlivesFailure: true })).toMatchObject({
    kind: "failed",
    refusal: { code: "statement-not-allowed" },
  });
  expect(await run(3, { kind: "rollbackTo", name: "s" })).toMatchObject({ kind: "ran" });
  expect(await run(4, sql("savepoint t"))).toMatchObject({
    kind: "no",
    refusal: { code: "statement-not-allowed" },
  });
});

test.each([
  ["ends the transaction", "commit"],
  ["ends it and begins another", "commit and chain"],
  ["changes the role", "select set_config('role', 'other_role', true)"],
])(
  "a statement that %s behind the parser's back ends the branch, savepoint or not",
  async (_, text) => {
    await node.stop();
    await fixture.close();
    fixture = await createShard({ check: anyStatement });
    node = createPostgresNode(fixture.shard).node;
    await fixture.client.query(`do $$ begin
    if not exists (select from pg_roles where rolname = 'other_role') then create role other_role; end if;
  end $$`);
    await run(1, add(5), { opens: { savepoints: ["s"] }, outlivesFailure: true });
    expect(await run(2, sql(text), { outlivesFailure: true })).toMatchObject({
      kind: "no",
      refusal: { code: "statement-not-allowed" },
    });
    expect(await prepare()).toMatchObject({ kind: "no" });
    expect(await openSessions()).toBe(0);
  },
);

test("a search path that a function has changed does not reach the session's own statements", async () => {
  await fixture.client.query(`create schema trap;
    create function trap.pg_current_xact_id_if_assigned() returns text language sql as $$ select null $$;
    create function stray() returns text language sql as $$ select set_config('search_path', 'trap', true) $$`);
  await run(1, add(5));
  await run(2, sql("select stray()"));
  expect(await prepare()).toMatchObject({ kind: "prepared" });
});

test("a session-level lock that a failed statement took is gone after going back", async () => {
  await fixture.client.query(`create function grab() returns int language plpgsql as $$ begin
    perform pg_advisory_lock(77); raise exception 'failed'; end $$`);
  await run(1, add(5), { opens: { savepoints: ["s"] } });
  expect(await run(2, sql("select grab()"), { outlivesFailure: true })).toMatchObject({
    kind: "failed",
  });
  await run(3, { kind: "rollbackTo", name: "s" });
  const { rows } = await fixture.client.query("select from pg_locks where locktype = 'advisory'");
  expect(rows).toHaveLength(0);
});

test("a table that was altered between steps does not fail a statement that was prepared before", async () => {
  await fixture.client.query("create table shapes (id int)");
  const look = sql("select * from shapes");
  for (const sequence of [1, 2, 3]) {
    await run(1, look, { opens: { savepoints: [] } }, sequence);
    expect(await prepare(sequence)).toMatchObject({ kind: "readOnly" });
  }
  await run(1, add(5), {}, 4);
  await fixture.client.query("alter table shapes add column name text");
  expect(await run(2, look, {}, 4)).toMatchObject({
    kind: "ran",
    fields: [
      { name: "id", type: "int4" },
      { name: "name", type: "text" },
    ],
  });
});

test("a lock wait ends in its own time, long before the transaction's", async () => {
  await run(1, add(5));
  const startedMs = performance.now();
  expect(await run(1, add(5), {}, 2)).toMatchObject({
    kind: "no",
    refusal: { code: "lock-timeout" },
  });
  expect(performance.now() - startedMs).toBeGreaterThan(4_000);
});

test("an enumeration of the database's own has no name that all databases share", async () => {
  await fixture.client.query("create type mood as enum ('good')");
  expect(
    await run(1, sql("select 'good'::mood as mood, 1::numeric as n, now() as at")),
  ).toMatchObject({
    fields: [
      { name: "mood", type: "user-defined" },
      { name: "n", type: "numeric" },
      { name: "at", type: "timestamptz" },
    ],
  });
});
