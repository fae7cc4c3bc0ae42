/** What must not happen behind a participant's back, on a real server. */
import { operation, ADD } from "../../participant/shard-contract.ts";
import { gidOf, LINK } from "../../participant/node-fixture.ts";
import { ShardUnreachable } from "../../../participant/shard/shard.ts";
import { eventually } from "../../support/wait.ts";
import { anyStatement, createShard, openShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode } from "./postgres-node.ts";
import { startTcpProxy, throughProxy } from "./tcp-proxy.ts";

const GATE = 42;
const add = operation(ADD, 1, "a");

let fixture: ShardFixture;

beforeEach(async () => {
  fixture = await createShard({ check: anyStatement, branchConnections: 1 });
});
afterEach(async () => {
  await fixture.close();
});

/** From now on a transaction that changes `a` waits at its PREPARE or COMMIT for the gate, which is shut. */
async function shutTheGate(): Promise<void> {
  await fixture.client.query(`
    create function wait_at_gate() returns trigger language plpgsql as
      'begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end';
    create constraint trigger gate after update on items deferrable initially deferred
      for each row execute function wait_at_gate();
    select pg_advisory_lock(${GATE})`);
}

async function openTheGate(): Promise<void> {
  await fixture.client.query(`select pg_advisory_unlock(${GATE})`);
}

async function countOf(sql: string): Promise<number> {
  const { rows } = await fixture.client.query<{ count: string }>(`select count(*) from ${sql}`);
  return Number(rows[0]!.count);
}

const waitingAtGate = () =>
  countOf(`pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())`);
const branchProcesses = () =>
  countOf(
    "pg_stat_activity where application_name = 'synod-branch' and datname = current_database()",
  );

test("a PREPARE whose connection is lost cannot come through later", async () => {
  await shutTheGate();
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy));
  const { execute, node } = createPostgresNode(shard);
  const vote = execute(1, [add], 20_000);
  await eventually("PREPARE waits", async () => (await waitingAtGate()) === 1);
  proxy.cut();
  expect(await vote).toMatchObject({ kind: "no", refusal: { code: "shard-unavailable" } });
  await eventually("the branch counts as ended", () => node.view().open === 0);
  await openTheGate();
  await eventually("its server process is gone", async () => (await branchProcesses()) === 0);
  expect(await fixture.prepared()).toEqual([]);
  await shard.close();
  await proxy.close();
});

test("a fence resolves when the lost server process is gone", async () => {
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy), { check: anyStatement });
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 60_000 });
  const lost = session.execute([operation("select pg_sleep(60)")]);
  await eventually(
    "it sleeps",
    async () =>
      (await countOf(
        "pg_stat_activity where query like '%pg_sleep(60)%' and wait_event = 'PgSleep'",
      )) === 1,
  );
  proxy.cut();
  await expect(lost).rejects.toThrow(ShardUnreachable);
  expect(await branchProcesses()).toBe(1);
  await shard.fence();
  expect(await branchProcesses()).toBe(0);
  await shard.close();
  await proxy.close();
});

test("a new incarnation ends what an earlier one left running", async () => {
  await shutTheGate();
  const earlier = createPostgresNode(fixture.shard);
  const vote = earlier.execute(1, [add], 20_000);
  await eventually("PREPARE waits", async () => (await waitingAtGate()) === 1);
  const next = openShard(fixture.url);
  await next.terminatePredecessors();
  await openTheGate();
  expect(await vote).toMatchObject({ kind: "no" });
  expect(await fixture.prepared()).toEqual([]);
  await next.close();
});

test("a new participant ends the reads of its predecessor too", async () => {
  const session = await fixture.shard.begin({ isolation: "one snapshot", timeoutMs: 20_000 });
  const reading = session.read([operation("select pg_sleep(20)")]);
  const lost = expect(reading).rejects.toThrow(ShardUnreachable);
  await eventually(
    "it sleeps",
    async () => (await countOf("pg_stat_activity where wait_event = 'PgSleep'")) === 1,
  );
  const next = openShard(fixture.url);
  await next.terminatePredecessors();
  await lost;
  await next.close();
});

test("a PREPARE that does not end is interrupted at its deadline, and the vote is no", async () => {
  await shutTheGate();
  const { execute } = createPostgresNode(fixture.shard);
  expect(await execute(1, [add], 300)).toMatchObject({ kind: "no" });
  await openTheGate();
  expect(await fixture.prepared()).toEqual([]);
  expect(await fixture.valueOf("a")).toBe("100");
});

test("a session that shrugged off one interrupt is interrupted again at its next deadline", async () => {
  await shutTheGate();
  const session = await fixture.begin(20_000);
  const shrugging = session.execute([
    add,
    operation("do 'begin perform pg_sleep(20); exception when query_canceled then null; end'"),
  ]);
  await eventually(
    "it sleeps",
    async () => (await countOf("pg_stat_activity where wait_event = 'PgSleep'")) === 1,
  );
  session.interrupt();
  expect(await shrugging).toMatchObject({ kind: "executed" });
  expect(await session.prepare(gidOf(1), 300)).toMatchObject({ kind: "failed", sqlstate: "57014" });
  await openTheGate();
});

test("an abort ends a PREPARE that waits", async () => {
  await shutTheGate();
  const { execute, node } = createPostgresNode(fixture.shard);
  const vote = execute(1, [add], 20_000);
  await eventually("PREPARE waits", async () => (await waitingAtGate()) === 1);
  expect(await node.handle(LINK, { kind: "abort", gid: gidOf(1) })).toEqual({ kind: "aborted" });
  expect(await vote).toMatchObject({ kind: "no" });
  expect(await waitingAtGate()).toBe(0);
});

test("branches that wait for locks do not keep a commit from going through", async () => {
  const { execute, node } = createPostgresNode(fixture.shard);
  const first = await execute(1, [add]);
  const waiting = execute(2, [add], 20_000);
  await eventually(
    "the second waits",
    async () => (await countOf("pg_locks where not granted")) === 1,
  );
  const xid = first.kind === "prepared" ? first.xid : undefined;
  expect(await node.handle(LINK, { kind: "commit", gid: gidOf(1), xid: xid! })).toMatchObject({
    kind: "committed",
  });
  expect(await waiting).toMatchObject({ kind: "prepared" });
  await node.handle(LINK, { kind: "abort", gid: gidOf(2) });
});

test.each([
  [
    "is prepared",
    async (session: Awaited<ReturnType<ShardFixture["begin"]>>) => {
      await session.prepare(gidOf(1), 5_000);
    },
  ],
  [
    "is rolled back",
    async (session: Awaited<ReturnType<ShardFixture["begin"]>>) => {
      await session.rollback();
    },
  ],
  [
    "is committed",
    async (session: Awaited<ReturnType<ShardFixture["begin"]>>) => {
      await session.commit(null);
    },
  ],
])("what a branch changes about its session is gone when it %s", async (_, end) => {
  const leaving = await fixture.begin();
  await leaving.execute([
    add,
    operation("select set_config('work_mem', '12345kB', false)"),
    operation("select set_config('search_path', 'elsewhere', false)"),
    operation("select pg_advisory_lock(77)"),
  ]);
  await end(leaving);
  await eventually("the lock is free", async () => {
    const { rows } = await fixture.client.query<{ free: boolean }>(
      "select pg_try_advisory_lock(77) as free",
    );
    return rows[0]!.free;
  });
  // The only connection of the pool, so the same session.
  const next = await fixture.begin();
  const outcome = await next.execute([
    operation(
      "select current_setting('work_mem') as memory, current_setting('search_path') as path",
    ),
  ]);
  expect(outcome).toMatchObject({
    results: [{ rows: [{ memory: "4MB", path: '"$user", public' }] }],
  });
  await next.rollback();
  await fixture.shard.rollbackPrepared(gidOf(1));
});

test("a connection whose process was ended is replaced", async () => {
  const session = await fixture.begin();
  await session.execute([add]);
  await fixture.client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'synod-branch' and datname = current_database()",
  );
  await expect(session.prepare(gidOf(1), 1_000)).rejects.toThrow(ShardUnreachable);
  await session.rollback();
  const next = await fixture.begin();
  expect(await next.execute([add])).toMatchObject({ kind: "executed" });
  await next.rollback();
  expect(await fixture.prepared()).toEqual([]);
});

test("the last words of a dying server process are not taken for its answer", async () => {
  await shutTheGate();
  const session = await fixture.begin(20_000);
  await session.execute([add]);
  const preparing = session.prepare(gidOf(1), 20_000);
  await eventually("PREPARE waits", async () => (await waitingAtGate()) === 1);
  await fixture.client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'synod-branch' and datname = current_database()",
  );
  // The server says 57P01, as an error like any other, and is gone.
  await expect(preparing).rejects.toThrow(ShardUnreachable);
  await openTheGate();
});

test("connections are opened ahead of the first branch, as many as there may be", async () => {
  await fixture.shard.warmUp();
  expect(await branchProcesses()).toBe(1);
  expect((await createPostgresNode(fixture.shard).execute(1, [add])).kind).toBe("prepared");
});

test("a database that is suddenly another shard's gets no branch", async () => {
  await fixture.client.query("update synod.identity set shard_id = 's2'");
  await expect(fixture.begin()).rejects.toThrow("the database is not that of shard s1");
  expect(await fixture.shard.trouble()).toBe("the database belongs to another shard");
});
