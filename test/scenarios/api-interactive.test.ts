/** The routes of interactive transactions: what is refused before anybody is asked, and what reaches the leader. */
import { LIMITS } from "../../shared/model/api.ts";
import { type ErrorCode, ERRORS, type Outcome, SynodError } from "../../shared/model/errors.ts";
import { nodeId, type NodeId } from "../../shared/model/ids.ts";
import {
  startApiNode,
  stopApiNodes,
  TwinGroup,
  type Answer,
  type ApiNode,
} from "../support/api-node.ts";
import { problem, startScriptedApi, stopScriptedApis } from "../support/scripted-api.ts";
import { wholeId } from "../support/ids.ts";

const ID = wholeId("1-1-9");
const BASE = "/v1/transactions";
let group: TwinGroup;
let node: ApiNode;

beforeEach(async () => {
  group = new TwinGroup();
  node = await startApiNode({ group });
});
afterEach(async () => {
  await stopApiNodes();
  await stopScriptedApis();
});

async function call(
  method: string,
  path: string,
  body?: unknown,
  at: ApiNode = node,
): Promise<Answer> {
  const response = await fetch(at.url + BASE + path, {
    method,
    ...(body !== undefined && {
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: JSON.parse(text) as Record<string, unknown>,
  };
}

const step = (body: unknown): Promise<Answer> => call("POST", `/${ID}/statements`, body);

test("begin needs no body, has defaults, and names the transaction it began", async () => {
  const answer = await call("POST", "/begin");
  expect(answer).toMatchObject({ status: 201, body: { id: ID, idleTimeoutMs: 10_000 } });
  expect(answer.headers.get("location")).toBe(`${BASE}/${ID}`);
  expect(group.interactiveCalls).toEqual([
    ["begin", { isolation: "read committed", idleTimeoutMs: 10_000, timeoutMs: 60_000 }],
  ]);
});

test("a statement reaches the leader with its place, its shard and a fingerprint of all of it", async () => {
  const sql = "update a set b = $1";
  const bodies = [
    { seq: 1, shard: "s1", sql, params: [{ x: 1, y: 2 }], expect: { rowCount: 1 } },
    { expect: { rowCount: 1 }, params: [{ y: 2, x: 1 }], seq: 1, shard: "s1", sql },
    { seq: 1, shard: "s1", sql, params: [{ x: 1, y: 3 }], expect: { rowCount: 1 } },
    { seq: 1, shard: "s1", sql, params: [{ x: 1, y: 2 }] },
    { seq: 1, shard: "s2", sql, params: [{ x: 1, y: 2 }], expect: { rowCount: 1 } },
    { seq: 1, savepoint: "s" },
    { seq: 1, rollbackTo: "s" },
  ];
  for (const body of bodies) expect(await step(body)).toMatchObject({ status: 200 });
  const asked = group.interactiveCalls.map((one) => (one as [string, string, object])[2]);
  expect(asked[0]).toMatchObject({
    seq: 1,
    step: {
      kind: "operation",
      shard: "s1",
      operation: { sql, params: [{ x: 1, y: 2 }], expect: { rowCount: 1 }, index: 0 },
    },
  });
  expect(asked[5]).toMatchObject({ step: { kind: "savepoint", name: "s" } });
  const prints = asked.map((one) => (one as { fingerprint: string }).fingerprint);
  expect(prints[1]).toBe(prints[0]);
  expect(new Set(prints).size).toBe(bodies.length - 1);
});

const SQL = { seq: 1, shard: "s1", sql: "select 1" };
const refusals: [what: string, body: unknown, status: number, code: string, field: string][] = [
  ["an unknown field", { ...SQL, parms: [] }, 400, "invalid-request", "parms"],
  ["no seq", { ...SQL, seq: undefined }, 400, "invalid-request", "seq"],
  ["seq 0", { ...SQL, seq: 0 }, 400, "invalid-request", "seq"],
  ["a seq with a fraction", { ...SQL, seq: 1.5 }, 400, "invalid-request", "seq"],
  ["nothing to do", { seq: 1 }, 400, "invalid-request", "sql"],
  ["two things to do", { ...SQL, savepoint: "s" }, 400, "invalid-request", "savepoint"],
  ["no shard", { ...SQL, shard: undefined }, 400, "invalid-request", "shard"],
  ["a strange shard", { ...SQL, shard: "s9" }, 400, "unknown-shard", "shard"],
  [
    "params of a savepoint",
    { seq: 1, savepoint: "s", params: [] },
    400,
    "invalid-request",
    "params",
  ],
  [
    "a shard of a savepoint",
    { seq: 1, release: "s", shard: "s1" },
    400,
    "invalid-request",
    "shard",
  ],
  ["a quoted name", { seq: 1, savepoint: 's"' }, 400, "invalid-request", "savepoint"],
  ["a capital in a name", { seq: 1, rollbackTo: "S" }, 400, "invalid-request", "rollbackTo"],
  ["a name of 64", { seq: 1, release: "s".repeat(64) }, 400, "invalid-request", "release"],
  ["transaction control", { ...SQL, sql: "commit" }, 422, "statement-not-allowed", "sql"],
  ["a savepoint as sql", { ...SQL, sql: "savepoint s" }, 422, "statement-not-allowed", "sql"],
  ["two statements", { ...SQL, sql: "select 1; select 2" }, 422, "statement-not-allowed", "sql"],
  ["no SQL", { ...SQL, sql: "selekt" }, 422, "sql-error", "sql"],
  ["params too many", { ...SQL, params: [1] }, 400, "invalid-request", "params"],
  [
    "a big integer",
    '{"seq":1,"shard":"s1","sql":"select $1","params":[9007199254740993]}',
    400,
    "invalid-request",
    "params[0]",
  ],
  ["a list as body", [SQL], 400, "invalid-request", ""],
  ["null as body", null, 400, "invalid-request", ""],
];

test.each(refusals)("refuses %s and names the field", async (_, body, status, code, field) => {
  const answer = await step(body === undefined ? "" : body);
  expect(answer).toMatchObject({ status, body: { code, outcome: "not_started" } });
  const errors = answer.body["errors"] as readonly { field: string }[];
  expect(errors[0]?.field).toBe(field);
  expect(group.interactiveCalls).toEqual([]);
});

test.each([
  ["/begin", { isolation: "dirty" }, "isolation"],
  ["/begin", { idleTimeoutMs: 9 }, "idleTimeoutMs"],
  ["/begin", { idleTimeoutMs: 60_001 }, "idleTimeoutMs"],
  ["/begin", { timeoutMs: 600_001 }, "timeoutMs"],
  ["/begin", { timeout: 5 }, "timeout"],
  ["/begin", { isolation: "snapshot" }, "shards"],
  ["/begin", { isolation: "snapshot", shards: [] }, "shards"],
  ["/begin", { isolation: "snapshot", shards: ["s1", "s1"] }, "shards"],
  ["/begin", { shards: ["s1"] }, "shards"],
  ["/begin", { isolation: "repeatable read", shards: ["s1"] }, "shards"],
  [`/${ID}/commit`, { waitFor: "ever" }, "waitFor"],
  [`/${ID}/commit`, { timeoutMs: 9 }, "timeoutMs"],
  [`/${ID}/commit`, { results: true }, "results"],
])("POST %s %j is refused for %s", async (path, body, field) => {
  const answer = await call("POST", path, body);
  expect(answer).toMatchObject({ status: 400, body: { code: "invalid-request" } });
  expect(answer.body["errors"]).toMatchObject([{ field }]);
});

test("a snapshot is of shards that there are", async () => {
  const body = { isolation: "snapshot", shards: ["s1", "s2", "s9"] };
  const answer = await call("POST", "/begin", body);
  expect(answer).toMatchObject({ status: 400, body: { code: "unknown-shard" } });
  expect(answer.body["errors"]).toMatchObject([{ field: "shards[2]" }]);
  expect(await call("POST", "/begin", { ...body, shards: ["s2", "s1"] })).toMatchObject({
    status: 201,
  });
  expect(group.interactiveCalls).toMatchObject([
    ["begin", { isolation: "snapshot", shards: ["s2", "s1"] }],
  ]);
});

test("a body that is too large, not JSON, or of another type is refused", async () => {
  const large = { ...SQL, params: ["x".repeat(LIMITS.maxBodyBytes)] };
  expect(await step(large)).toMatchObject({ status: 413, body: { code: "body-too-large" } });
  expect(await step("{")).toMatchObject({ status: 400, body: { code: "malformed-json" } });
  const response = await fetch(`${node.url}${BASE}/begin`, {
    method: "POST",
    headers: { "content-type": "text/plain" },
    body: "{}",
  });
  expect(response.status).toBe(415);
});

test.each([
  ["POST", "/not-an-id/statements", SQL],
  ["POST", "/not-an-id/commit", undefined],
  ["DELETE", "/not-an-id", undefined],
])("%s %s is not found", async (method, path, body) => {
  expect(await call(method, path, body)).toMatchObject({
    status: 404,
    body: { code: "not-found" },
  });
});

test("commit and rollback need no body", async () => {
  expect(await call("POST", `/${ID}/commit`)).toMatchObject({
    status: 200,
    body: { id: ID, outcome: "committed", results: [], pendingShards: [] },
  });
  expect(await call("DELETE", `/${ID}`)).toEqual(
    expect.objectContaining({ status: 200, body: { id: ID, outcome: "aborted" } }),
  );
  expect(group.interactiveCalls).toMatchObject([
    ["commit", ID, { waitFor: "applied", timeoutMs: 5_000 }],
    ["rollBack", ID],
  ]);
});

describe("over nodes", () => {
  let follower: ApiNode;
  let leader: ApiNode;
  let coordinators: Map<NodeId, string>;

  beforeEach(async () => {
    coordinators = new Map();
    leader = await startApiNode({ group, id: 1, coordinators });
    follower = await startApiNode({ group, id: 2, coordinators });
  });

  test("a follower brings every call to the leader, and its answer back", async () => {
    const begun = await call("POST", "/begin", { timeoutMs: 1_000 }, follower);
    expect(begun.status).toBe(201);
    expect(begun.headers.get("location")).toBe(`${BASE}/${ID}`);
    expect(begun.headers.get("synod-leader")).toBe(`1; url="${leader.url}"`);
    expect((await call("POST", `/${ID}/statements`, SQL, follower)).body).toEqual({ seq: 1 });
    expect((await call("POST", `/${ID}/commit`, { timeoutMs: 700 }, follower)).status).toBe(200);
    expect((await call("DELETE", `/${ID}`, undefined, follower)).status).toBe(200);
    expect(group.interactiveCalls).toHaveLength(4);
    const terms = (group.interactiveCalls[2] as [string, string, { timeoutMs: number }])[2];
    expect(terms.timeoutMs).toBeLessThanOrEqual(700);
  });

  test("a call whose leader is lost is made again at the next one, whose word about it counts", async () => {
    const third = await startApiNode({ group, id: 3, coordinators });
    const asked: unknown[] = [];
    group.beforeInteractiveAnswer = async (name) => {
      asked.push(name);
      if (asked.length > 1) return;
      group.leader = nodeId(3);
      await leader.kill();
    };
    const answer = await call("POST", `/${ID}/commit`, { timeoutMs: 4_000 }, follower);
    expect(answer).toMatchObject({ status: 200, body: { outcome: "committed" } });
    expect(answer.headers.get("synod-leader")).toBe(`3; url="${third.url}"`);
    expect(asked).toEqual(["commit", "commit"]);
  });

  test("a commit whose leader is lost, with none to follow, is not called anything", async () => {
    group.beforeInteractiveAnswer = async () => {
      group.leader = undefined;
      await leader.kill();
    };
    const answer = await call("POST", `/${ID}/commit`, { timeoutMs: 500 }, follower);
    expect(answer).toMatchObject({ status: 504, body: { code: "outcome-unknown" } });
    expect(answer.body["detail"]).toMatch(/ask the same again: it is carried out once$/);
  });
});

describe("after a lost attempt", () => {
  let follower: ApiNode;
  let coordinators: Map<NodeId, string>;

  beforeEach(async () => {
    coordinators = new Map();
    follower = await startApiNode({ group, id: 2, coordinators });
  });

  const losing = async (then: ErrorCode, outcome: Outcome): Promise<void> => {
    const leading = await startScriptedApi("lose the connection", problem(then, { outcome }));
    coordinators.set(nodeId(1), leading.url);
  };

  test.each<ErrorCode>([
    ...(["overloaded", "too-many-requests", "no-quorum", "draining"] as const),
    ...(["coordinator-changed", "shard-unavailable", "sequence-conflict", "forbidden"] as const),
  ])("%s does not say that a commit has not begun", async (code) => {
    await losing(code, "not_started");
    expect(await call("POST", `/${ID}/commit`, {}, follower)).toMatchObject({
      status: 504,
      body: { code: "outcome-unknown", outcome: "unknown" },
    });
  });

  test.each<[ErrorCode, Outcome]>([
    ["transaction-expired", "aborted"],
    ["shard-unavailable", "aborted"],
    ["already-committed", "committed"],
    ["internal-error", "unknown"],
  ])("%s, %s, speaks of the whole transaction", async (code, outcome) => {
    await losing(code, outcome);
    expect(await call("POST", `/${ID}/commit`, {}, follower)).toMatchObject({
      status: ERRORS[code].status,
      body: { code, outcome },
    });
  });

  test.each<[ErrorCode, ErrorCode]>([
    ["sequence-conflict", "outcome-unknown"],
    ["transaction-expired", "transaction-expired"],
  ])("the node itself, when it leads now and would say %s, answers %s", async (code, told) => {
    const lost = await startScriptedApi("lose the connection");
    coordinators.set(nodeId(1), lost.url);
    lost.onAsked = () => {
      group.leader = nodeId(2);
    };
    group.beforeInteractiveAnswer = () => {
      throw new SynodError(code, "a reason");
    };
    const answer = await call("POST", `/${ID}/commit`, {}, follower);
    expect(answer.body).toMatchObject({ code: told });
  });
});
