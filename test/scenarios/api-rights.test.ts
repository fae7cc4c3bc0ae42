/** What a client may send: shards, classes of statements, and statements that have names. */
import { Clients, hashOf } from "../../coordinator/api/access/clients.ts";
import { Gate } from "../../coordinator/api/access/gate.ts";
import { Statements } from "../../coordinator/api/access/statements.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import { LIMITS } from "../../shared/model/api.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { loadSqlParser } from "../../shared/runtime/sql-statement.ts";
import { startApiNode, stopApiNodes, TwinGroup, type ApiNode } from "../support/api-node.ts";

const secret = new ClusterSecret("the secret of the cluster under test");
const clients = new Clients([
  { id: "all", role: "client", tokens: [hashOf("all")] },
  { id: "one", role: "client", tokens: [hashOf("one")], shards: ["s1"] },
  { id: "reader", role: "client", tokens: [hashOf("reader")], statementClasses: ["select"] },
  {
    ...{ id: "writer", role: "client", tokens: [hashOf("writer")] },
    statementClasses: ["insert", "update"],
  },
  { id: "named", role: "client", tokens: [hashOf("named")], rawSql: false },
  {
    ...{ id: "narrow", role: "client", tokens: [hashOf("narrow")], rawSql: false },
    ...{ shards: ["s2"], statementClasses: ["select"] },
  },
]);
const DEBIT = "update a set b = b - $1 where id = $2";
const LONG = `select '${"x".repeat(LIMITS.maxSqlLength - 100)}'`;
const statements = (): Statements =>
  new Statements({
    debit: { sql: DEBIT, params: 2, shards: ["s1"] },
    balance: { sql: "select b from a where id = $1", params: 1 },
    long: { sql: LONG, params: 0 },
  });

let group: TwinGroup;
let leader: ApiNode;
let follower: ApiNode;

beforeEach(async () => {
  await loadSqlParser();
  group = new TwinGroup();
  const coordinators = new Map<NodeId, string>();
  const start = (id: number): Promise<ApiNode> => {
    const gate = new Gate({ clients, secret, clock: systemClock });
    const known = id === 1 ? new Statements() : statements();
    return startApiNode({ group, id, coordinators, gate, secret, statements: known });
  };
  [leader, follower] = [await start(1), await start(2)];
});
afterEach(stopApiNodes);

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly outcome?: string;
  readonly id?: string;
  readonly errors?: readonly { readonly field: string }[];
}

async function call(
  token: string,
  path: string,
  body: object,
  headers: Record<string, string> = {},
  node = follower,
): Promise<{ status: number; headers: Headers; body: Problem }> {
  const response = await fetch(node.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const problem = (await response.json()) as Problem;
  return { status: response.status, headers: response.headers, body: problem };
}

const TRANSACTIONS = "/v1/transactions";

async function inAllThree(token: string, operation: object) {
  const { body: begun } = await call(token, `${TRANSACTIONS}/begin`, {});
  const steps = `${TRANSACTIONS}/${String(begun.id)}/statements`;
  return [
    { at: "operations[0].", ...(await call(token, TRANSACTIONS, { operations: [operation] })) },
    { at: "operations[0].", ...(await call(token, "/v1/reads", { operations: [operation] })) },
    { at: "", ...(await call(token, steps, { seq: 1, ...operation })) },
  ];
}

const raw = (sql: string, shard = "s1"): object => ({ shard, sql });
const debit = { shard: "s1", statement: "debit", params: [1, "alice"] };

const FORBIDDEN: readonly [what: string, token: string, operation: object, field: string][] = [
  ["another shard", "one", raw("select 1", "s2"), "shard"],
  ["a shard that does not exist", "one", raw("select 1", "s9"), "shard"],
  ["an update", "reader", raw("update a set b = 1"), "sql"],
  ["an insert", "reader", raw("insert into a values (1)"), "sql"],
  ["a delete", "reader", raw("delete from a"), "sql"],
  ["a merge", "reader", raw("merge into a using b on true when matched then delete"), "sql"],
  ["a write within WITH", "reader", raw("with x as (delete from a returning *) select 1"), "sql"],
  [
    "a write within WITH of a subquery",
    "reader",
    raw("select * from (with x as (select 1) select * from x) y for update"),
    "sql",
  ],
  ["row locks", "reader", raw("select * from a for key share"), "sql"],
  ["a select", "writer", raw("select 1"), "sql"],
  ["values", "writer", raw("values (1)"), "sql"],
  [
    "a delete within an insert",
    "writer",
    raw("with x as (delete from a) insert into b values (1)"),
    "sql",
  ],
  ["SQL", "named", raw("select 1"), "sql"],
  ["SQL, however named", "named", { ...debit, sql: DEBIT }, "statement"],
  ["a named statement that writes", "narrow", { ...debit, shard: "s2" }, "statement"],
  [
    "a named statement elsewhere",
    "narrow",
    { shard: "s1", statement: "balance", params: ["a"] },
    "shard",
  ],
];

test("a snapshot is refused of a shard that the client has no right to", async () => {
  const begin = { isolation: "snapshot", shards: ["s1", "s2"] };
  const { status, body } = await call("one", `${TRANSACTIONS}/begin`, begin);
  expect([status, body.code, body.outcome]).toEqual([403, "forbidden", "not_started"]);
  expect(body.errors).toMatchObject([{ field: "shards[1]" }]);
  expect(group.interactiveCalls).toEqual([]);
  expect(await call("all", `${TRANSACTIONS}/begin`, begin)).toMatchObject({ status: 201 });
});

test.each(FORBIDDEN)("%s is refused to client %s before anything begins", async (...of) => {
  const [, token, operation, field] = of;
  for (const { status, body, at } of await inAllThree(token, operation)) {
    const isForm = "sql" in operation && "statement" in operation;
    expect([status, body.code]).toEqual(isForm ? [400, "invalid-request"] : [403, "forbidden"]);
    expect(body.outcome).toBe("not_started");
    expect(body.errors?.map((error) => error.field)).toEqual([at + field]);
    if (!isForm) expect(body.detail).toMatch(/\(right: (shards|statementClasses|rawSql)\)$/);
  }
  expect(group.submissions).toEqual([]);
  expect(group.interactiveCalls).toHaveLength(1);
});

/** To write is no right that is missing; but a read does not take it. */
const ALLOWED: readonly [what: string, token: string, operation: object, read: number][] = [
  ["everything", "all", raw("with x as (delete from a) select 1", "s2"), 422],
  ["its own shard", "one", raw("delete from a"), 422],
  ["a select", "reader", raw("with x as (select 1) select * from x", "s2"), 200],
  [
    "an insert from a select",
    "writer",
    raw("insert into a select 1 on conflict (b) do update set b = 2"),
    422,
  ],
  ["a named statement", "named", debit, 422],
  [
    "a named statement where it may",
    "narrow",
    { shard: "s2", statement: "balance", params: ["a"] },
    200,
  ],
];

test.each(ALLOWED)("%s is allowed to client %s", async (_, token, operation, read) => {
  const told = await inAllThree(token, operation);
  expect(told.map(({ status }) => status)).toEqual([200, read, 200]);
});

test("`insert … on conflict do update` takes the right to update", async () => {
  const only = new Clients([
    { id: "adder", role: "client", tokens: [hashOf("adder")], statementClasses: ["insert"] },
  ]);
  const gate = new Gate({ clients: only, secret, clock: systemClock });
  const node = await startApiNode({ group, gate, secret });
  const status = async (sql: string): Promise<number> => {
    return (await call("adder", TRANSACTIONS, { operations: [raw(sql)] }, {}, node)).status;
  };
  const insert = "insert into a values (1) on conflict (b)";
  expect(await status(`${insert} do nothing`)).toBe(200);
  expect(await status(`${insert} do update set b = 2`)).toBe(403);
});

test("one forbidden operation of several keeps all of them from beginning", async () => {
  const operations = [raw("select 1"), raw("select 1", "s2")];
  const { status, body } = await call("one", TRANSACTIONS, { operations });
  expect([status, body.errors?.map(({ field }) => field)]).toEqual([403, ["operations[1].shard"]]);
  expect(group.submissions).toEqual([]);
});

test("the node that is asked puts the text in the place of the name; the leader need not know the name", async () => {
  const told = await inAllThree("all", debit);
  expect(told.map(({ status, body }) => body.code ?? status)).toEqual([
    ...[200, "statement-not-allowed", 200],
  ]);
  expect(group.submissions[0]?.request.operations).toMatchObject([{ sql: DEBIT, shard: "s1" }]);
  const [, , step] = group.interactiveCalls.at(-1) as [string, string, object];
  expect(step).toMatchObject({ step: { operation: { sql: DEBIT, params: [1, "alice"] } } });
});

const MISNAMED: readonly [string, object, number, string, string][] = [
  ["an unknown name", { ...debit, statement: "no" }, 400, "unknown-statement", "statement"],
  [
    "a name of Object's own",
    { ...debit, statement: "toString" },
    400,
    "unknown-statement",
    "statement",
  ],
  ["no name at all", { ...debit, statement: "a b" }, 400, "invalid-request", "statement"],
  ["too few values", { ...debit, params: [1] }, 400, "invalid-request", "params"],
  ["a shard where it does not run", { ...debit, shard: "s2" }, 400, "invalid-request", "shard"],
  ["a shard that does not exist", { ...debit, shard: "s9" }, 400, "unknown-shard", "shard"],
];

test.each(MISNAMED)("%s is refused with its place", async (_, operation, ...expected) => {
  for (const { status, body, at } of await inAllThree("all", operation)) {
    const [code, field] = [expected[1], at + expected[2]];
    expect([status, body.code, body.errors?.[0]?.field]).toEqual([expected[0], code, field]);
  }
});

test("an operation needs a text or a name", async () => {
  const { status, body } = await call("all", TRANSACTIONS, { operations: [{ shard: "s1" }] });
  expect([status, body.errors?.[0]?.field]).toEqual([400, "operations[0].sql"]);
});

test("a key belongs to what its client sent: the name, not the text that it had at the time", async () => {
  const key = { "idempotency-key": "key-1" };
  const send = (operation: object, node: ApiNode) =>
    call("all", TRANSACTIONS, { operations: [operation] }, key, node);
  const first = await send(debit, follower);
  const renamed = new Statements({ debit: { sql: `${DEBIT} and true`, params: 2 } });
  const gate = new Gate({ clients, secret, clock: systemClock });
  const coordinators = new Map<NodeId, string>([[1 as NodeId, leader.url]]);
  const newer = await startApiNode({
    group,
    id: 3,
    coordinators,
    gate,
    secret,
    statements: renamed,
  });
  const again = await send(debit, newer);
  expect(again.body.id).toBe(first.body.id);
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  expect((await send({ ...debit, statement: undefined, sql: DEBIT }, follower)).body.code).toBe(
    "idempotency-key-reused",
  );
});

test("names do not get more text onto a node than a body may hold", async () => {
  const operations = Array.from({ length: LIMITS.maxOperations }, () => {
    return { shard: "s1", statement: "long" };
  });
  const { status, body } = await call("all", TRANSACTIONS, { operations });
  expect([status, body.code]).toEqual([413, "body-too-large"]);
  const few = await call("all", TRANSACTIONS, { operations: operations.slice(0, 16) });
  expect(few.status).toBe(200);
});

describe("a statements' file", () => {
  const good = { sql: DEBIT, params: 2 };
  const file = (statement: object, name = "debit"): string =>
    JSON.stringify({ statements: { [name]: statement } });

  test.each([
    ["no JSON", "{", "it is not JSON"],
    ["no statements", "{}", "statements: is missing: it must be an object"],
    ["a name with a blank", file(good, "a b"), /^statements\.a b: a name must be a letter/],
    [
      "a misspelt field",
      file({ ...good, shard: "s1" }),
      /^statements\.debit\.shard: there is no such field$/,
    ],
    ["no SQL", file({ ...good, sql: "updat" }), /^statements\.debit\.sql: syntax error/],
    [
      "two statements",
      file({ ...good, sql: "select 1; commit" }),
      /^statements\.debit\.sql: there are 2/,
    ],
    [
      "one that ends the transaction",
      file({ sql: "commit", params: 0 }),
      /sql: COMMIT is not allowed/,
    ],
    ["a wrong count", file({ ...good, params: 1 }), /params: is 1, but the statement takes 2/],
    [
      "an empty list of shards",
      file({ ...good, shards: [] }),
      /^statements\.debit\.shards: must have at least 1 entry$/,
    ],
  ])("with %s is refused", (_, text, sentence) => {
    expect(() => Statements.parse(text)).toThrow(sentence);
  });

  test("is read", () => {
    const read = Statements.parse(file({ ...good, shards: ["s1"] }));
    expect(read.named("debit")).toEqual({ ...good, shards: ["s1"] });
    expect([...read.shards]).toEqual(["s1"]);
    expect(read.named("constructor")).toBeUndefined();
  });
});
