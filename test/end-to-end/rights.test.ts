/**
 * Clients that are told apart, on the built programs and real Postgres: whose transactions are whose through leaders that are
 * killed and nodes that start again, what a client may send, and statements that have names.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axios, { type AxiosResponse } from "axios";
import pg from "pg";
import { createClient, type Synod } from "../../client/sdk.ts";
import type { ClusterNode } from "../../demo/cluster/members.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { eventually } from "../support/wait.ts";

const home = mkdtempSync(join(tmpdir(), "synod-rights-"));
chmodSync(home, 0o755);
const hashed = (token: string): string => createHash("sha256").update(token).digest("hex");
const clientsFile = join(home, "clients.json");
const statementsFile = join(home, "statements.json");

const OPS = { id: "ops", role: "operator", tokens: [hashed("ops-1")] };
const BILLING = { id: "billing", role: "client" };
const writeClients = (billing: object): void => {
  const clients = [
    billing,
    { id: "rival", role: "client", tokens: [hashed("rival-1")] },
    { id: "shop", role: "client", tokens: [hashed("shop-1")], shards: ["s1"], rawSql: false },
    { id: "reports", role: "client", tokens: [hashed("reports-1")], statementClasses: ["select"] },
    OPS,
  ];
  writeFileSync(clientsFile, JSON.stringify({ clients }));
};
const ADD = "update accounts set balance = balance + $1 where id = $2 returning balance";
const STATEMENTS = {
  add: { sql: ADD, params: 2 },
  balance: { sql: "select balance from accounts where id = $1", params: 1 },
  escape: { sql: "select escape()", params: 0 },
};

let cluster: LocalCluster;
let shards: readonly [pg.Client, pg.Client];

beforeAll(async () => {
  writeClients({ ...BILLING, tokens: [hashed("billing-1"), hashed("billing-2")] });
  writeFileSync(statementsFile, JSON.stringify({ statements: STATEMENTS }));
  cluster = await startLocalCluster({
    ...{ shards: 2, directory: join(home, "cluster"), token: "ops-1" },
    env: {
      SYNOD_CLIENTS_FILE: clientsFile,
      SYNOD_STATEMENTS_FILE: statementsFile,
      // Only those leaders are to change that are killed here, however busy the machine is.
      SYNOD_ELECTION_TIMEOUT_MS: "1500",
      SYNOD_LEADER_WAIT_MS: "15000",
    },
  });
  const clients = cluster.participants.map(({ postgresUrl }) => new pg.Client(postgresUrl));
  for (const client of clients) {
    await client.connect();
    await client.query("create table accounts (id text primary key, balance int)");
    await client.query("insert into accounts values ('a', 100)");
    await client.query(
      "create procedure leave() language plpgsql as 'begin commit; end'; " +
        "create function escape() returns void language plpgsql as 'begin call leave(); end'",
    );
  }
  shards = [clients[0]!, clients[1]!];
}, 120_000);

afterAll(async () => {
  for (const shard of shards) await shard.end();
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

type Answer = AxiosResponse<Record<string, unknown>>;

interface Asked {
  readonly token: string;
  readonly data?: unknown;
  readonly key?: string;
  readonly node?: ClusterNode;
}

let turn = 0;
/** To one node after the other: most calls are forwarded. */
async function call(method: string, path: string, asked: Asked): Promise<Answer> {
  const { token, data, key, node } = asked;
  const running = cluster.coordinators.filter((each) => each.isRunning());
  turn += 1;
  return axios.request({
    ...{ method, url: `${(node ?? running[turn % running.length]!).url}${path}` },
    ...(data !== undefined && { data }),
    headers: {
      Authorization: `Bearer ${token}`,
      ...(key !== undefined && { "Idempotency-Key": key }),
    },
    ...{ proxy: false, timeout: 20_000, validateStatus: () => true },
  });
}

const PATH = "/v1/transactions";
const add = (shard: string, amount = 1) => ({ shard, statement: "add", params: [amount, "a"] });

async function balances(): Promise<readonly number[]> {
  const found = shards.map(async (shard) => {
    const { rows } = await shard.query<{ balance: number }>("select balance from accounts");
    return rows[0]!.balance;
  });
  return Promise.all(found);
}

async function leader(): Promise<ClusterNode> {
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined, 30_000);
  return (await cluster.leader())!;
}

test("a transaction is its client's on every node, after its leader is killed and all nodes have started again", async () => {
  const send = async (operations: object[]): Promise<string> => {
    const answer = await call("POST", PATH, { token: "billing-1", data: { operations } });
    expect(answer.status).toBe(200);
    return String(answer.data["id"]);
  };
  const ids = [await send([add("s1"), add("s2")]), await send([add("s1")])];
  const begun = await call("POST", `${PATH}/begin`, { token: "billing-1" });
  const open = String(begun.data["id"]);
  const seen = async (id: string, token: string): Promise<readonly unknown[]> => {
    const running = cluster.coordinators.filter((node) => node.isRunning());
    const told = running.map(async (node) => {
      const { status, data } = await call("GET", `${PATH}/${id}`, { token, node });
      return status === 200 ? data["state"] : data["code"];
    });
    return Promise.all(told);
  };
  const everywhere = (what: string): readonly string[] =>
    cluster.coordinators.filter((node) => node.isRunning()).map(() => what);
  const check = async (tokens: readonly string[]): Promise<void> => {
    for (const id of ids) {
      for (const token of tokens) expect(await seen(id, token)).toEqual(everywhere("committed"));
      expect(await seen(id, "rival-1")).toEqual(everywhere("not-found"));
    }
  };
  await check(["billing-1", "billing-2", "ops-1"]);
  for (const [method, suffix, data] of [
    ["POST", "/statements", { seq: 1, ...add("s1") }],
    ["POST", "/commit", {}],
    ["DELETE", "", undefined],
  ] as const) {
    const asked = { token: "rival-1", ...(data !== undefined && { data }) };
    expect((await call(method, `${PATH}/${open}${suffix}`, asked)).status).toBe(404);
  }
  expect(await seen(open, "billing-2")).toEqual(everywhere("active"));
  expect(await seen(open, "rival-1")).toEqual(everywhere("not-found"));
  const listed = await call("GET", PATH, { token: "rival-1" });
  expect(listed.data["transactions"]).toEqual([]);

  const first = await leader();
  await cluster.kill(first);
  await check(["billing-1"]);
  writeClients({ ...BILLING, tokens: [hashed("billing-3")] });
  const others = cluster.coordinators.filter((node) => node !== first);
  await Promise.all(others.map((node) => cluster.kill(node)));
  await Promise.all(cluster.coordinators.map((node) => cluster.restart(node)));
  await leader();
  await check(["billing-3", "ops-1"]);
  const revoked = await call("GET", `${PATH}/${ids[0]}`, { token: "billing-1" });
  expect([revoked.status, revoked.data["code"]]).toEqual([401, "unauthenticated"]);
}, 120_000);

test("two clients' transactions under one key both run, each once, on one shard and on two", async () => {
  const before = await balances();
  for (const operations of [[add("s1")], [add("s1"), add("s2")]]) {
    const key = `same-${operations.length}`;
    for (const token of ["billing-3", "rival-1", "billing-3", "rival-1"]) {
      const { status } = await call("POST", PATH, { token, key, data: { operations } });
      expect(status).toBe(200);
    }
  }
  expect(await balances()).toEqual([before[0]! + 4, before[1]! + 2]);
});

test("what a client has no right to is refused on every node, and no shard sees anything of it", async () => {
  const before = await balances();
  const one = { shard: "s1", params: [], sql: "update accounts set balance = 0" };
  const forbidden: readonly [token: string, operation: object, right: string][] = [
    ["shop-1", one, "rawSql"],
    ["shop-1", add("s2"), "shards"],
    ["reports-1", one, "statementClasses"],
    [
      "reports-1",
      { ...one, sql: `with x as (${one.sql} returning 1) select 1` },
      "statementClasses",
    ],
    ["reports-1", add("s1"), "statementClasses"],
  ];
  for (const [token, operation, right] of forbidden) {
    for (const node of cluster.coordinators) {
      const answer = await call("POST", PATH, { token, node, data: { operations: [operation] } });
      expect([answer.status, answer.data["outcome"]]).toEqual([403, "not_started"]);
      expect(answer.data["detail"]).toContain(`(right: ${right})`);
    }
  }
  expect(await balances()).toEqual(before);
  const read = { shard: "s1", statement: "balance", params: ["a"] };
  const { data } = await call("POST", "/v1/reads", {
    token: "shop-1",
    data: { operations: [read] },
  });
  expect(data).toEqual({ results: [{ rowCount: 1, rows: [{ balance: before[0] }] }] });
});

test("named statements run one-shot and step by step, through the client", async () => {
  const synod: Synod = createClient({
    ...{ endpoints: cluster.coordinators.map(({ url }) => url), token: "shop-1" },
  });
  const before = await balances();
  const once = await synod.transaction([{ shard: "s1", statement: "add", params: [5, "a"] }]);
  expect(once.results[0]?.rows).toEqual([{ balance: before[0]! + 5 }]);
  const rows = await synod.begin(async (tx) => {
    await tx.query("s1", { statement: "add", params: [2, "a"] });
    return (await tx.query("s1", { statement: "balance", params: ["a"] })).rows;
  });
  expect(rows).toEqual([{ balance: before[0]! + 7 }]);
  expect(await balances()).toEqual([before[0]! + 7, before[1]]);
});

test("SQL that tries to leave the transaction through a named statement leaves nothing behind", async () => {
  const before = await balances();
  const operations = [add("s1"), { shard: "s1", statement: "escape" }, add("s2")];
  const answer = await call("POST", PATH, { token: "billing-3", data: { operations } });
  expect([answer.status, answer.data["outcome"]]).toEqual([422, "aborted"]);
  const begun = await call("POST", `${PATH}/begin`, { token: "billing-3" });
  const steps = `${PATH}/${String(begun.data["id"])}/statements`;
  const step = (data: object): Promise<Answer> => call("POST", steps, { token: "billing-3", data });
  expect((await step({ seq: 1, ...add("s1") })).status).toBe(200);
  const left = await step({ seq: 2, shard: "s1", statement: "escape" });
  expect([left.status, left.data["outcome"]]).toEqual([422, "aborted"]);
  expect(await balances()).toEqual(before);
});
