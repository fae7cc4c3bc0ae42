/**
 * Interactive transactions over real processes and real Postgres servers: through any node, with savepoints, time limits,
 * and leaders that are killed while transactions are open, and right after a commit.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axios, { type AxiosResponse } from "axios";
import pg from "pg";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { eventually } from "../support/wait.ts";

const home = mkdtempSync(join(tmpdir(), "synod-interactive-"));
chmodSync(home, 0o755);

const ADD = "update accounts set balance = balance + $1 where id = $2";
const READ = "select id, balance, tags from accounts where id = $1";

let cluster: LocalCluster;
let shards: readonly [pg.Client, pg.Client];
/** Calls go to one node after the other: most of them are forwarded. */
let turn = 0;

beforeAll(async () => {
  cluster = await startLocalCluster({
    shards: 2,
    directory: join(home, "cluster"),
    // Only those leaders are to change that are killed here, however busy the machine is.
    env: { SYNOD_ELECTION_TIMEOUT_MS: "3000", SYNOD_LEADER_WAIT_MS: "15000" },
  });
  const clients = cluster.participants.map(({ postgresUrl }) => new pg.Client(postgresUrl));
  for (const client of clients) {
    await client.connect();
    await client.query(
      "create table accounts (id text primary key, balance int check (balance >= 0), tags text[])",
    );
  }
  shards = [clients[0]!, clients[1]!];
}, 120_000);

beforeEach(async () => {
  for (const shard of shards) {
    await shard.query("delete from accounts");
    await shard.query("insert into accounts values ('a', 100, '{x}'), ('b', 100, null)");
  }
});

afterAll(async () => {
  for (const shard of shards) await shard.end();
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

type Answer = AxiosResponse<Record<string, unknown>>;

async function call(method: string, path: string, data?: unknown): Promise<Answer> {
  const nodes = cluster.coordinators.filter((node) => node.isRunning());
  turn += 1;
  return axios.request({
    method,
    url: `${nodes[turn % nodes.length]!.url}/v1/transactions${path}`,
    ...(data !== undefined && { data }),
    proxy: false,
    timeout: 20_000,
    validateStatus: () => true,
  });
}

interface Transaction {
  readonly id: string;
  readonly step: (body: object) => Promise<Answer>;
  readonly add: (seq: number, shard: string, amount: number, id?: string) => Promise<Answer>;
  readonly commit: (body?: object) => Promise<Answer>;
  readonly rollBack: () => Promise<Answer>;
}

async function begin(body?: object): Promise<Transaction> {
  const begun = await call("POST", "/begin", body);
  expect(begun.status).toBe(201);
  const id = begun.data["id"] as string;
  const step = (one: object): Promise<Answer> => call("POST", `/${id}/statements`, one);
  return {
    id,
    step,
    add: (seq, shard, amount, of = "a") => step({ seq, shard, sql: ADD, params: [amount, of] }),
    commit: (terms) => call("POST", `/${id}/commit`, terms),
    rollBack: () => call("DELETE", `/${id}`),
  };
}

const balances = async (id = "a"): Promise<readonly number[]> =>
  Promise.all(
    shards.map(async (shard) => {
      const { rows } = await shard.query<{ balance: number }>(
        "select balance from accounts where id = $1",
        [id],
      );
      return rows[0]!.balance;
    }),
  );

/** Waits for nobody: a lock that is held is an error. */
const lockIsFree = (shard: pg.Client, id = "a"): Promise<boolean> =>
  shard.query("select from accounts where id = $1 for update nowait", [id]).then(
    () => true,
    (error: unknown) => {
      expect((error as { code?: string }).code).toBe("55P03");
      return false;
    },
  );

async function leader() {
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined);
  return (await cluster.leader())!;
}

test("statements through any node, with their rows, columns and types, commit on both shards", async () => {
  const transaction = await begin();
  expect((await transaction.add(1, "s1", -30)).data).toEqual({
    seq: 1,
    rowCount: 1,
    rows: [],
    fields: [],
  });
  await transaction.add(2, "s2", 30);
  expect((await transaction.step({ seq: 3, shard: "s2", sql: READ, params: ["a"] })).data).toEqual({
    seq: 3,
    rowCount: 1,
    rows: [{ id: "a", balance: 130, tags: ["x"] }],
    fields: [
      { name: "id", type: "text" },
      { name: "balance", type: "int4" },
      { name: "tags", type: "text[]" },
    ],
  });
  expect(await balances()).toEqual([100, 100]);
  expect((await call("GET", `/${transaction.id}`)).data).toMatchObject({ state: "active" });
  const answer = { id: transaction.id, outcome: "committed", results: [] };
  const first = await transaction.commit();
  expect(first).toMatchObject({ status: 200, data: { ...answer, pendingShards: [] } });
  // What is pending a follower knows a moment later than the leader.
  for (let times = 1; times <= 3; times += 1) {
    expect(await transaction.commit()).toMatchObject({ status: 200, data: answer });
  }
  expect(await balances()).toEqual([70, 130]);
  expect((await call("GET", `/${transaction.id}`)).data).toMatchObject({ state: "committed" });
  const late = { status: 409, data: { code: "already-committed", outcome: "committed" } };
  expect(await transaction.rollBack()).toMatchObject(late);
  expect(await transaction.add(4, "s1", 1)).toMatchObject(late);
});

test("a repeated step is answered again and not run again; a gap and another body are conflicts", async () => {
  const transaction = await begin();
  const first = await transaction.add(1, "s1", 5);
  const again = await transaction.add(1, "s1", 5);
  expect(again.data).toEqual(first.data);
  expect(again.headers["idempotent-replayed"]).toBe("true");
  expect(first.headers["idempotent-replayed"]).toBeUndefined();
  const conflict = { status: 409, data: { code: "sequence-conflict", outcome: "not_started" } };
  expect(await transaction.add(1, "s1", 6)).toMatchObject(conflict);
  expect(await transaction.add(3, "s1", 5)).toMatchObject(conflict);
  await transaction.commit();
  expect(await balances()).toEqual([105, 100]);
});

test("a savepoint means the same moment on both shards, on the one that joins later, too", async () => {
  const transaction = await begin();
  await transaction.add(1, "s1", 1);
  expect((await transaction.step({ seq: 2, savepoint: "before" })).data).toEqual({ seq: 2 });
  await transaction.add(3, "s1", 10);
  await transaction.add(4, "s2", 20);
  expect((await transaction.step({ seq: 5, rollbackTo: "before" })).data).toEqual({ seq: 5 });
  await transaction.add(6, "s2", 3);
  await transaction.step({ seq: 7, release: "before" });
  expect(await transaction.step({ seq: 8, rollbackTo: "before" })).toMatchObject({
    status: 400,
    data: { code: "invalid-request", errors: [{ field: "rollbackTo" }] },
  });
  await transaction.commit();
  expect(await balances()).toEqual([101, 103]);
});

test("without a savepoint a failed statement rolls all back at once; later calls name the cause", async () => {
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  expect(await transaction.add(2, "s2", -500)).toMatchObject({
    status: 422,
    data: { code: "constraint-violation", outcome: "aborted", shard: "s2" },
  });
  expect(await transaction.commit()).toMatchObject({
    status: 410,
    data: {
      code: "transaction-expired",
      outcome: "aborted",
      retryable: true,
      detail: expect.stringContaining("accounts_balance_check") as unknown,
    },
  });
  await eventually("the other shard has let go", () => lockIsFree(shards[0]));
  expect(await balances()).toEqual([100, 100]);
});

test("under a savepoint a failed statement waits for going back", async () => {
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  await transaction.step({ seq: 2, savepoint: "s" });
  expect(await transaction.add(3, "s2", -500)).toMatchObject({
    status: 422,
    data: { code: "constraint-violation", outcome: "not_started" },
  });
  const refused = { status: 409, data: { code: "transaction-failed", retryable: false } };
  expect(await transaction.add(4, "s1", 1)).toMatchObject(refused);
  expect(await transaction.commit()).toMatchObject(refused);
  await transaction.step({ seq: 4, rollbackTo: "s" });
  await transaction.add(5, "s2", 7);
  expect(await transaction.commit()).toMatchObject({ status: 200 });
  expect(await balances()).toEqual([105, 107]);
});

test("an unmet expectation and results that are too large are failures like others", async () => {
  const transaction = await begin();
  await transaction.step({ seq: 1, savepoint: "s" });
  const nobody = { shard: "s1", sql: ADD, params: [1, "nobody"], expect: { rowCount: 1 } };
  expect(await transaction.step({ seq: 2, ...nobody })).toMatchObject({
    status: 422,
    data: { code: "expectation-failed", outcome: "not_started" },
  });
  await transaction.step({ seq: 3, rollbackTo: "s" });
  const sql = "select repeat('x', 1000) as x from generate_series(1, 1000)";
  expect(await transaction.step({ seq: 4, shard: "s1", sql })).toMatchObject({
    status: 422,
    data: { code: "result-too-large", outcome: "aborted" },
  });
  expect(await transaction.commit()).toMatchObject({ status: 410 });
});

test.each([
  ["its client waits too long", { idleTimeoutMs: 400 }],
  ["its time is over", { timeoutMs: 400 }],
])("when %s, the row locks are free again", async (_, limits) => {
  const transaction = await begin(limits);
  await transaction.add(1, "s1", 5);
  await transaction.add(2, "s2", 5);
  await eventually("both locks are free", async () => {
    const free = await Promise.all(shards.map((shard) => lockIsFree(shard)));
    return free.every(Boolean);
  });
  expect(await transaction.add(3, "s1", 5)).toMatchObject({
    status: 410,
    data: { code: "transaction-expired", outcome: "aborted" },
  });
  expect(await transaction.rollBack()).toMatchObject({ status: 200, data: { outcome: "aborted" } });
});

test("a rollback is answered when the row locks are free", async () => {
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  await transaction.add(2, "s2", 5);
  expect(await lockIsFree(shards[0])).toBe(false);
  expect(await transaction.rollBack()).toMatchObject({ status: 200, data: { outcome: "aborted" } });
  expect(await Promise.all(shards.map((shard) => lockIsFree(shard)))).toEqual([true, true]);
});

test("of two that take rows on two shards in opposite order the younger is a deadlock, the older commits", async () => {
  const [older, younger] = [await begin(), await begin()];
  await older.add(1, "s1", 5);
  await younger.add(1, "s2", 50);
  const goesOn = older.add(2, "s2", 5);
  const deadlock = { status: 409, data: { code: "deadlock", outcome: "aborted", retryable: true } };
  expect(await younger.add(2, "s1", 50)).toMatchObject(deadlock);
  expect(await goesOn).toMatchObject({ status: 200 });
  expect(await younger.commit()).toMatchObject({
    status: 410,
    data: { detail: expect.stringContaining("waited for transactions that waited") as unknown },
  });
  expect(await older.commit()).toMatchObject({ status: 200 });
  expect(await balances()).toEqual([105, 105]);
});

test("beside a transaction in one request it is the younger as well that gives way", async () => {
  const transaction = await begin();
  await transaction.add(1, "s2", 5);
  const operations = ["s1", "s2"].map((shard) => ({ shard, sql: ADD, params: [50, "a"] }));
  const other = call("POST", "", { operations, timeoutMs: 20_000 });
  await eventually("the other one has its first row", async () => !(await lockIsFree(shards[0])));
  expect(await transaction.add(2, "s1", 5)).toMatchObject({ status: 200 });
  expect(await other).toMatchObject({ status: 409, data: { code: "deadlock" } });
  expect(await transaction.commit()).toMatchObject({ status: 200 });
  expect(await balances()).toEqual([105, 105]);
});

test("serializable on every shard is not serializable across shards: a write skew commits", async () => {
  // At least one of the two accounts `a`, of s1 and of s2, is to keep its money. Each transaction looks at both, and takes one.
  const both = [
    await begin({ isolation: "serializable" }),
    await begin({ isolation: "serializable" }),
  ] as const;
  for (const transaction of both) {
    for (const [index, shard] of ["s1", "s2"].entries()) {
      const read = { seq: index + 1, shard, sql: READ, params: ["a"] };
      expect((await transaction.step(read)).data["rows"]).toMatchObject([{ balance: 100 }]);
    }
  }
  await both[0].add(3, "s1", -100);
  await both[1].add(3, "s2", -100);
  expect(await both[0].commit()).toMatchObject({ status: 200 });
  expect(await both[1].commit()).toMatchObject({ status: 200 });
  expect(await balances()).toEqual([0, 0]);
});

test("on one shard serializable keeps the same write skew from happening", async () => {
  const both = [
    await begin({ isolation: "serializable" }),
    await begin({ isolation: "serializable" }),
  ] as const;
  for (const transaction of both) {
    const sql = "select sum(balance)::int as sum from accounts";
    expect((await transaction.step({ seq: 1, shard: "s1", sql })).data["rows"]).toEqual([
      { sum: 200 },
    ]);
  }
  await both[0].add(2, "s1", -100, "a");
  const second = await both[1].add(2, "s1", -100, "b");
  const ends = [await both[0].commit(), second.status === 200 ? await both[1].commit() : second];
  expect(ends.map(({ status }) => status).sort()).toEqual([200, 409]);
  expect(ends.find(({ status }) => status === 409)?.data).toMatchObject({
    code: "participant-conflict",
    outcome: "aborted",
  });
});

test("a leader that is killed takes its open transactions with it: 410, and the locks are free", async () => {
  const killed = await leader();
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  await transaction.add(2, "s2", 5);
  await cluster.kill(killed);
  await eventually("both locks are free", async () => {
    const free = await Promise.all(shards.map((shard) => lockIsFree(shard)));
    return free.every(Boolean);
  });
  const expired = { status: 410, data: { code: "transaction-expired", outcome: "aborted" } };
  expect(await transaction.add(3, "s1", 5)).toMatchObject(expired);
  expect(await transaction.commit()).toMatchObject(expired);
  expect(await transaction.rollBack()).toMatchObject({ status: 200, data: { outcome: "aborted" } });
  expect(await balances()).toEqual([100, 100]);
  await cluster.restart(killed);
}, 60_000);

test("a commit that is asked for again after its leader was killed is the same commit", async () => {
  const killed = await leader();
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  await transaction.add(2, "s2", 5);
  expect(await transaction.commit({ waitFor: "decided" })).toMatchObject({ status: 200 });
  await cluster.kill(killed);
  expect(await transaction.commit()).toMatchObject({
    status: 200,
    data: { id: transaction.id, outcome: "committed", results: [] },
  });
  expect(await transaction.rollBack()).toMatchObject({
    status: 409,
    data: { code: "already-committed" },
  });
  await eventually("both shards have it", async () => {
    return (await balances()).every((balance) => balance === 105);
  });
  await cluster.restart(killed);
}, 60_000);

test("a participant that is killed ends the transactions it has a branch of", async () => {
  const transaction = await begin();
  await transaction.add(1, "s1", 5);
  await transaction.add(2, "s2", 5);
  const participant = cluster.participants[0]!;
  await cluster.kill(participant);
  await eventually("the other shard has let go", () => lockIsFree(shards[1]));
  expect(await transaction.commit()).toMatchObject({
    status: 410,
    data: { code: "transaction-expired" },
  });
  await cluster.restart(participant);
  await eventually("this one, too", () => lockIsFree(shards[0]));
  expect(await balances()).toEqual([100, 100]);
}, 60_000);
