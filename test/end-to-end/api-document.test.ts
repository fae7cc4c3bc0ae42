/** Every example of the API document, and refusals of every kind, sent to a real node over real Postgres. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seedAccounts } from "../../demo/accounts.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { type ApiDocument, checkerOf, type Told } from "../support/api-document.ts";
import { eventually } from "../support/wait.ts";

const home = mkdtempSync(join(tmpdir(), "synod-api-document-"));
chmodSync(home, 0o755);
const statementsFile = join(home, "statements.json");
const MAX_OPEN = 4;
let cluster: LocalCluster;
let url: string;
let document: ApiDocument;
let undocumented: ReturnType<typeof checkerOf>;

beforeAll(async () => {
  const balance = { sql: "select balance from accounts where id = $1", params: 1 };
  writeFileSync(statementsFile, JSON.stringify({ statements: { balance } }));
  cluster = await startLocalCluster({
    coordinators: 1,
    shards: 2,
    directory: join(home, "cluster"),
    env: {
      SYNOD_STATEMENTS_FILE: statementsFile,
      SYNOD_MAX_OPEN_PER_CLIENT: String(MAX_OPEN),
    },
  });
  url = cluster.coordinators[0]!.url;
  await Promise.all(
    cluster.participants.map(({ shard, postgresUrl }, index) =>
      seedAccounts({ shard, url: postgresUrl }, [{ id: ["alice", "bob"][index]!, balance: 100 }]),
    ),
  );
  document = (await (await fetch(`${url}/openapi.json`)).json()) as ApiDocument;
  undocumented = checkerOf(document);
}, 60_000);

afterAll(async () => {
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

async function ask(path: string, init: RequestInit = {}): Promise<Told> {
  const response = await fetch(url + path, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const post = (
  body: unknown,
  headers: Record<string, string> = {},
  path = "/v1/transactions",
): Promise<Told> =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

function codeOf({ text }: Told): unknown {
  return (JSON.parse(text) as { code?: unknown }).code;
}

test("every example of a request is carried out, and answered as documented", async () => {
  let id = "";
  let sent = 0;
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { requestBody }] of Object.entries(methods)) {
      const { examples = {} } = requestBody?.content["application/json"] ?? {};
      for (const [name, { value }] of Object.entries(examples)) {
        const told = await post(value, {}, path.replace("{id}", id));
        expect([name, told.status, told.text]).toEqual([
          name,
          path.endsWith("/begin") ? 201 : 200,
          expect.anything(),
        ]);
        expect(undocumented(path, method, told)).toEqual([]);
        if (path.endsWith("/begin")) ({ id } = JSON.parse(told.text) as { id: string });
        sent += 1;
      }
    }
  }
  expect(sent).toBe(13);
});

test("an interactive transaction is rolled back as documented, and refuses as documented", async () => {
  const begin = await ask("/v1/transactions/begin", { method: "POST" });
  const { id } = JSON.parse(begin.text) as { id: string };
  const path = `/v1/transactions/${id}`;
  const gap = await post({ seq: 2, savepoint: "a" }, {}, `${path}/statements`);
  const deleted = await ask(path, { method: "DELETE" });
  const late = await post({ seq: 1, savepoint: "a" }, {}, `${path}/statements`);
  const commit = await post({}, {}, `${path}/commit`);
  expect([gap, deleted, late, commit].map(({ status }) => status)).toEqual([409, 200, 410, 410]);
  for (const told of [gap, late]) {
    expect(undocumented("/v1/transactions/{id}/statements", "post", told)).toEqual([]);
  }
  expect(undocumented("/v1/transactions/{id}/commit", "post", commit)).toEqual([]);
  expect(undocumented("/v1/transactions/{id}", "delete", deleted)).toEqual([]);
});

test("calls that come while a step runs, or after the commit, are refused as documented", async () => {
  const begin = await ask("/v1/transactions/begin", { method: "POST" });
  const { id } = JSON.parse(begin.text) as { id: string };
  const path = `/v1/transactions/${id}`;
  const step = { seq: 1, shard: "s1", sql: "select pg_sleep(1)" };
  const running = post(step, {}, `${path}/statements`);
  await eventually("the step runs", async () => {
    const { text } = await ask("/v1/transactions?state=active");
    const { transactions } = JSON.parse(text) as {
      transactions: { id: string; shards: string[] }[];
    };
    return transactions.some((one) => one.id === id && one.shards.length > 0);
  });
  const early = await post({}, {}, `${path}/commit`);
  expect((await running).status).toBe(200);
  const commit = await post({}, {}, `${path}/commit`);
  const late = await post({ ...step, seq: 2 }, {}, `${path}/statements`);
  const deleted = await ask(path, { method: "DELETE" });
  expect([early, commit, late, deleted].map(codeOf)).toEqual([
    "sequence-conflict",
    undefined,
    "already-committed",
    "already-committed",
  ]);
  for (const told of [early, commit]) {
    expect(undocumented("/v1/transactions/{id}/commit", "post", told)).toEqual([]);
  }
  expect(undocumented("/v1/transactions/{id}/statements", "post", late)).toEqual([]);
  expect(undocumented("/v1/transactions/{id}", "delete", deleted)).toEqual([]);
});

test("what a snapshot cannot be begun with, or used for, is refused as documented", async () => {
  const begin = (body: object): Promise<Told> => post(body, {}, "/v1/transactions/begin");
  const wrong = [
    await begin({ isolation: "snapshot" }),
    await begin({ shards: ["s1"] }),
    await begin({ isolation: "snapshot", shards: ["s1", "s9"] }),
  ];
  expect(wrong.map(codeOf)).toEqual(["invalid-request", "invalid-request", "unknown-shard"]);
  for (const told of wrong) {
    expect(undocumented("/v1/transactions/begin", "post", told)).toEqual([]);
  }
  const { text } = await begin({ isolation: "snapshot", shards: ["s1"] });
  const path = `/v1/transactions/${(JSON.parse(text) as { id: string }).id}`;
  const elsewhere = await post({ seq: 1, shard: "s2", sql: "select 1" }, {}, `${path}/statements`);
  expect(codeOf(elsewhere)).toBe("invalid-request");
  expect(undocumented("/v1/transactions/{id}/statements", "post", elsewhere)).toEqual([]);
  await ask(path, { method: "DELETE" });
});

test("a client that has too many open is told so as documented", async () => {
  const opened: string[] = [];
  let told = await ask("/v1/transactions/begin", { method: "POST" });
  while (told.status === 201 && opened.length < MAX_OPEN) {
    opened.push((JSON.parse(told.text) as { id: string }).id);
    told = await ask("/v1/transactions/begin", { method: "POST" });
  }
  expect([codeOf(told), told.headers.get("retry-after")]).toEqual(["too-many-open", "1"]);
  expect(undocumented("/v1/transactions/begin", "post", told)).toEqual([]);
  for (const id of opened) await ask(`/v1/transactions/${id}`, { method: "DELETE" });
});

test("every GET, with the examples of its parameters, is answered as documented", async () => {
  const asked: string[] = [];
  for (const [path, { get: operation }] of Object.entries(document.paths)) {
    if (operation === undefined) continue;
    const { parameters = [] } = operation;
    const query = new URLSearchParams();
    let filled = path;
    for (const { name, in: place, example } of parameters) {
      if (place === "query") query.set(name, String(example));
      if (place === "path") filled = filled.replace(`{${name}}`, String(example));
    }
    const told = await ask(query.size === 0 ? filled : `${filled}?${query.toString()}`);
    expect([path, told.status]).toEqual([path, 200]);
    expect(undocumented(path, "get", told)).toEqual([]);
    asked.push(path);
  }
  expect(asked).toHaveLength(6);
});

const operation = (sql: string, params: readonly unknown[] = [], shard = "s1"): object => {
  return { operations: [{ shard, sql, params }] };
};

test.each<[string, unknown, Record<string, string>?]>([
  ["malformed-json", "{"],
  ["invalid-request", { operations: [], colour: "red" }],
  ["unknown-shard", operation("select 1", [], "s9")],
  ["statement-not-allowed", operation("drop table accounts")],
  ["sql-error", operation("select 1 / $1::int", [0])],
  ["constraint-violation", operation("insert into accounts values ($1, $2)", ["alice", 1])],
  ["unsupported-media-type", "{}", { "content-type": "text/plain" }],
  ["idempotency-key-invalid", operation("select 1"), { "idempotency-key": "two words" }],
  ["body-too-large", `"${"x".repeat(300_000)}"`],
  [
    "expectation-failed",
    { operations: [{ shard: "s1", sql: "select 1", expect: { rowCount: 2 } }] },
  ],
])("%s is told as documented", async (code, body, headers = {}) => {
  const told = await post(body, headers);
  expect(JSON.parse(told.text)).toMatchObject({ code });
  expect(undocumented("/v1/transactions", "post", told)).toEqual([]);
  const { description } = document.paths["/v1/transactions"]!["post"]!.responses[told.status]!;
  expect(description).toContain(`\`${code}\``);
});

test.each<[string, unknown]>([
  ["malformed-json", "{"],
  ["invalid-request", { ...operation("select 1"), isolation: "serializable" }],
  ["unknown-shard", operation("select 1", [], "s9")],
  ["statement-not-allowed", operation("update accounts set balance = 0")],
  ["sql-error", operation("select 1 / $1::int", [0])],
])("%s of a read is told as documented", async (code, body) => {
  const told = await post(body, {}, "/v1/reads");
  expect(JSON.parse(told.text)).toMatchObject({ code });
  expect(undocumented("/v1/reads", "post", told)).toEqual([]);
  const { description } = document.paths["/v1/reads"]!["post"]!.responses[told.status]!;
  expect(description).toContain(`\`${code}\``);
});

test("wrong questions are refused as documented", async () => {
  const id = await ask("/v1/transactions/nonsense");
  expect(undocumented("/v1/transactions/{id}", "get", id)).toEqual([]);
  const list = await ask("/v1/transactions?limit=many");
  expect(undocumented("/v1/transactions", "get", list)).toEqual([]);
  expect([id.status, list.status]).toEqual([404, 400]);
});
