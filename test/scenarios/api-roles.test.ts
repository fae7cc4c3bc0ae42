/** Every route for every role, tokens that are no longer good, and all that is too large. */
import { Clients, hashOf } from "../../coordinator/api/access/clients.ts";
import { Gate } from "../../coordinator/api/access/gate.ts";
import { ROUTES } from "../../coordinator/api/openapi/routes.ts";
import { LIMITS } from "../../shared/model/api.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { CLUSTER_HEADER, ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { startApiNode, stopApiNodes, TwinGroup } from "../support/api-node.ts";
import { wholeId } from "../support/ids.ts";

const secret = new ClusterSecret("the secret of the cluster under test");
const ROLES = ["observer", "client", "operator"] as const;
const gateFor = (tokenOf: (role: string) => string): Gate => {
  const entries = ROLES.map((role) => ({ id: role, role, tokens: [hashOf(tokenOf(role))] }));
  return new Gate({ clients: new Clients(entries), secret, clock: systemClock });
};
const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const AS_NODE = { [CLUSTER_HEADER]: secret.httpToken };

let group: TwinGroup;
let url: string;
beforeEach(async () => {
  group = new TwinGroup();
  ({ url } = await startApiNode({ group, gate: gateFor((role) => `${role}-1`), secret }));
});
afterEach(stopApiNodes);

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

const statement = { shard: "s1", sql: "select 1" };
const BODIES: Readonly<Record<string, unknown>> = {
  "/v1/transactions": { operations: [statement] },
  "/v1/reads": { operations: [statement] },
  "/v1/transactions/begin": {},
  "/v1/transactions/{id}/statements": { seq: 1, ...statement },
  "/v1/transactions/{id}/commit": {},
};
const DOCUMENTED: readonly Asked[] = ROUTES.map(({ method, path }) => {
  const upper = method.toUpperCase();
  return { method: upper, path, ...(upper === "POST" && { body: BODIES[path] ?? {} }) };
});
const UNDOCUMENTED = ["/openapi.json", "/docs", "/docs/start.js"];
const CALLS: readonly Asked[] = [
  ...DOCUMENTED,
  ...UNDOCUMENTED.map((path) => ({ method: "GET", path })),
];
const OPEN = new Set(["/livez", "/readyz", ...UNDOCUMENTED]);

async function status(
  { method, path, body }: Asked,
  headers: Record<string, string>,
  id: string = wholeId("1-1-9"),
): Promise<number> {
  const response = await fetch(url + path.replace("{id}", id), {
    method,
    headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** The last transaction that the client has begun. */
async function begun(): Promise<string> {
  await status({ method: "POST", path: "/v1/transactions/begin", body: {} }, as("client-1"));
  return group.ids.at(-1) ?? "";
}

test.each(CALLS)("$method $path is for those whose role allows it", async (asked) => {
  const id = await begun();
  const { method, path } = asked;
  const well = path === "/v1/transactions/begin" ? 201 : 200;
  const strangers = OPEN.has(path) ? well : 401;
  for (const headers of [{}, as("guessed"), AS_NODE]) {
    expect(await status(asked, headers, id)).toBe(strangers);
  }
  const seen = OPEN.has(path) || method === "GET";
  expect(await status(asked, as("observer-1"), id)).toBe(seen ? well : 403);
  for (const role of ["client", "operator"]) {
    expect(await status(asked, as(`${role}-1`), id)).toBe(well);
  }
});

test("what nodes ask each other is for nodes, whatever the role", async () => {
  const body = { shard: "s1", branches: [{ carrierId: "1-1-1", xid: "7" }] };
  const inquiry = { method: "POST", path: "/internal/v1/outcomes", body };
  for (const role of ROLES) expect(await status(inquiry, as(`${role}-1`))).toBe(401);
  expect(await status(inquiry, AS_NODE)).toBe(200);
});

test("a token that was replaced is worth nothing any more, however it is replayed", async () => {
  const gate = gateFor((role) => `${role}-2`);
  ({ url } = await startApiNode({ group, gate, secret }));
  const list = { method: "GET", path: "/v1/transactions" };
  expect(await status(list, as("client-2"))).toBe(200);
  for (const headers of [
    as("client-1"),
    as(hashOf("client-2")),
    { authorization: "Bearer client-1, Bearer client-2" },
    { authorization: "client-2" },
    { authorization: `Basic ${Buffer.from("client:client-2").toString("base64")}` },
    { cookie: "authorization=Bearer client-2" },
    { "proxy-authorization": "Bearer client-2" },
    { ...AS_NODE, ...as("client-1") },
    { "synod-forwarded": "1", ...AS_NODE, ...as("client-2") },
  ]) {
    expect(await status(list, headers)).toBe(401);
  }
  expect(await status({ ...list, path: "/v1/transactions?access_token=client-2" }, {})).toBe(401);
});

const text = (length: number): string => "x".repeat(length);
const transaction = (change: object): Asked => {
  const body = { operations: [{ ...statement, ...change }] };
  return { method: "POST", path: "/v1/transactions", body };
};
const step = (body: object): Asked => {
  return { method: "POST", path: "/v1/transactions/{id}/statements", body: { seq: 1, ...body } };
};
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
const OVERSIZED: readonly [string, Asked, number][] = [
  ["a body", transaction({ params: [text(LIMITS.maxBodyBytes)] }), 413],
  ["a text of SQL", transaction({ sql: `select '${text(LIMITS.maxSqlLength)}'` }), 400],
  [
    "a statement's depth",
    transaction({ sql: `select ${"(".repeat(900)}1${")".repeat(900)}` }),
    422,
  ],
  ["a list of values", transaction({ params: Array(LIMITS.maxParams + 1).fill(1) }), 400],
  ["a value's depth", transaction({ sql: "select $1", params: [nested(17)] }), 400],
  ["an integer", transaction({ sql: "select $1", params: [2 ** 53] }), 400],
  ["a name of a shard", transaction({ shard: text(64) }), 400],
  ["a name of a statement", transaction({ sql: undefined, statement: text(64) }), 400],
  ["an expectation", transaction({ expect: { rowCount: 1e300 } }), 400],
  [
    "a list of operations",
    {
      ...{ method: "POST", path: "/v1/transactions" },
      body: { operations: Array(LIMITS.maxOperations + 1).fill(statement) },
    },
    400,
  ],
  ["a name of a savepoint", step({ savepoint: text(64) }), 400],
  ["a seq", step({ seq: 2 ** 60, savepoint: "a" }), 400],
  ["a time", { method: "POST", path: "/v1/transactions/begin", body: { timeoutMs: 1e9 } }, 400],
  ["an id", { method: "GET", path: `/v1/transactions/1-1-1-${text(33)}` }, 404],
  ["a page", { method: "GET", path: "/v1/transactions?limit=201" }, 400],
  ["a path", { method: "GET", path: `/${text(20_000)}` }, 431],
];

test.each(OVERSIZED)(
  "%s that is too large is refused, and nothing begins",
  async (_, asked, refusal) => {
    const id = await begun();
    const calls = group.interactiveCalls.length;
    expect(await status(asked, as("client-1"), id)).toBe(refusal);
    expect(group.submissions).toEqual([]);
    expect(group.interactiveCalls).toHaveLength(calls);
  },
);

test.each([
  ["a token", as(text(600)), 401],
  ["a key", { ...as("client-1"), "idempotency-key": text(256) }, 400],
  ["a header", { ...as("client-1"), "x-large": text(20_000) }, 431],
])("%s that is too long is refused, and nothing begins", async (_, headers, refusal) => {
  expect(await status(transaction({}), headers)).toBe(refusal);
  expect(group.submissions).toEqual([]);
});
