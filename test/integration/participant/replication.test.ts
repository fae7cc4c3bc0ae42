/**
 * A server that waits for a replica which does not come: PREPARE and COMMIT hang, and what ends the wait leaves a warning
 * instead of an error. These tests change the whole server, so they have it for themselves.
 */
import pg from "pg";
import { gidOf, LINK, onePhaseRequest } from "../../participant/node-fixture.ts";
import { ADD, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { createShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode, type PostgresNode } from "./postgres-node.ts";

const add = operation(ADD, 1, "a");

let fixture: ShardFixture;
let node: PostgresNode;
let admin: pg.Client;

beforeEach(async () => {
  fixture = await createShard();
  node = createPostgresNode(fixture.shard);
  admin = new pg.Client({ connectionString: fixture.url });
  await admin.connect();
});
afterEach(async () => {
  await waitForReplica("");
  await admin.end();
  await fixture.close();
});

/** Which replica every commit has to wait for; none when empty. */
async function waitForReplica(name: string): Promise<void> {
  await admin.query(`alter system set synchronous_standby_names = '${name}'`);
  await admin.query("select pg_reload_conf()");
  await eventually("the setting is in force", async () => {
    const { rows } = await admin.query<{ names: string }>(
      "select current_setting('synchronous_standby_names') as names",
    );
    return rows[0]!.names === name;
  });
}

const waiting = async (): Promise<number> => {
  const { rows } = await admin.query<{ count: string }>(
    "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()",
  );
  return Number(rows[0]!.count);
};

test("statement_timeout does not end a PREPARE that waits, the deadline does, and the warning is a no", async () => {
  await waitForReplica("nobody");
  const startedAt = performance.now();
  const vote = await node.execute(1, [add], 200);
  expect(vote).toMatchObject({ kind: "no", refusal: { code: "shard-unavailable" } });
  expect(vote).toMatchObject({
    refusal: { sentence: expect.stringContaining("replica") as string },
  });
  expect(performance.now() - startedAt).toBeLessThan(8_000);
  expect(node.node.view().prepared).toBe(0);
  await waitForReplica("");
  await eventually("it is rolled back", async () => (await fixture.prepared()).length === 0);
});

test("without a deadline of ours such a PREPARE waits beyond its statement_timeout", async () => {
  await waitForReplica("nobody");
  const session = await fixture.begin(200);
  await session.execute([add]);
  const prepared = session.prepare(gidOf(1), 60_000);
  await eventually("PREPARE waits", async () => (await waiting()) === 1);
  const outcome = await Promise.race([
    prepared,
    new Promise((resolve) => setTimeout(resolve, 1_500, "it waits")),
  ]);
  expect(outcome).toBe("it waits");
  session.interrupt();
  expect(await prepared).toMatchObject({
    kind: "answered",
    tag: "PREPARE TRANSACTION",
    warnings: [expect.stringContaining("synchronous replication")],
  });
});

test("a branch that was interrupted while it waited is rolled back, not left in doubt", async () => {
  await waitForReplica("nobody");
  const vote = node.execute(1, [add], 20_000);
  await eventually("PREPARE waits", async () => (await waiting()) === 1);
  const abort = node.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expect(await vote).toMatchObject({ kind: "no" });
  await waitForReplica("");
  expect(await abort).toEqual({ kind: "aborted" });
  expect(await fixture.prepared()).toEqual([]);
});

test("a commit that was not replicated is confirmed, and counted", async () => {
  const vote = await node.execute(1, [add]);
  const xid = vote.kind === "prepared" ? vote.xid : undefined;
  await waitForReplica("nobody");
  const commit = node.node.handle(LINK, { kind: "commit", gid: gidOf(1), xid: xid! });
  await eventually("COMMIT PREPARED waits", async () => (await waiting()) === 1);
  await admin.query(
    "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
  );
  expect(await commit).toMatchObject({ kind: "committed" });
  expect(node.node.view().replicationWarnings).toBe(1);
});

test("a one-phase commit that was not replicated is unknown until it is", async () => {
  await waitForReplica("nobody");
  const reply = node.executeOnePhase(1, [add], "k");
  await eventually("COMMIT waits", async () => (await waiting()) === 1);
  await admin.query(
    "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
  );
  expect(await reply).toMatchObject({ kind: "unknown" });
  const { carrierId, members } = onePhaseRequest(1, [add]);
  const { transactionId } = members[0]!;
  const settled = node.node.handle(LINK, { kind: "settle", carrierId, transactionId });
  await eventually("settling waits for the replica", async () => (await waiting()) === 1);
  await waitForReplica("");
  expect(await settled).toMatchObject({ kind: "committed" });
});
