import { InvariantViolation } from "../../shared/model/assert.ts";
import { ERROR_CODES, ERRORS, SynodError } from "../../shared/model/errors.ts";
import { nodeId } from "../../shared/model/ids.ts";
import {
  get,
  post,
  startApiNode,
  stopApiNodes,
  TRANSFER,
  TwinGroup,
  type ApiNode,
} from "../support/api-node.ts";

let group: TwinGroup;
let node: ApiNode;

beforeEach(async () => {
  group = new TwinGroup();
  node = await startApiNode({ group, maxInFlight: 4 });
});
afterEach(stopApiNodes);

function failWith(error: Error): void {
  group.duringSubmit = () => {
    throw error;
  };
}

test.each(ERROR_CODES)("tells %s as the table says", async (code) => {
  failWith(new SynodError(code, "a sentence", { transactionId: "1-1-1-abcdefgh" }));
  const answer = await post(node.url, TRANSFER);
  const { status, title, outcome, retryable } = ERRORS[code];
  expect(answer.status).toBe(status);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.body).toMatchObject({
    ...{ type: `urn:synod:problem:${code}`, title, status, detail: "a sentence" },
    ...{ instance: "/v1/transactions", code, outcome, retryable },
    transactionId: "1-1-1-abcdefgh",
  });
  expect(answer.headers.get("retry-after")).toBe(status === 503 ? "1" : null);
  const location = outcome === "unknown" ? "/v1/transactions/1-1-1-abcdefgh" : null;
  expect(answer.headers.get("location")).toBe(location);
});

test("no title says more than its outcome, which may be another where the same thing happens", async () => {
  failWith(new SynodError("sql-error", "a sentence", { outcome: "not_started" }));
  const { body } = await post(node.url, TRANSFER);
  expect(body).toMatchObject({ title: "A statement failed", outcome: "not_started" });
  for (const { title } of Object.values(ERRORS)) expect(title).not.toMatch(/abort/i);
});

test("tells what is known beyond the code", async () => {
  failWith(
    new SynodError("participant-conflict", "shard s2 could not serialize access", {
      ...{ shard: "s2", field: "operations[1]", sqlstate: "40001", retryAfterMs: 2_500 },
      ...{ outcome: "aborted", constraint: "c" },
    }),
  );
  const answer = await post(node.url, TRANSFER);
  expect(answer.body).toMatchObject({
    ...{ shard: "s2", sqlstate: "40001", constraint: "c", retryAfterMs: 2_500 },
    errors: [{ field: "operations[1]", sentence: "shard s2 could not serialize access" }],
  });
  expect(answer.headers.get("retry-after")).toBe("3");
});

test("says nothing about an error that nobody foresaw, and goes on", async () => {
  failWith(new TypeError("cannot read 'alice' of /secret/path"));
  const answer = await post(node.url, TRANSFER);
  expect([answer.status, answer.body["code"]]).toEqual([500, "internal-error"]);
  expect(JSON.stringify(answer.body)).not.toMatch(/alice|secret|TypeError|at /);
  expect(node.fatal).toEqual([]);
  expect((await get(node.url, "/livez")).status).toBe(200);
});

test("a broken invariant is reported as fatal", async () => {
  failWith(new InvariantViolation("a decision never changes"));
  expect((await post(node.url, TRANSFER)).status).toBe(500);
  expect(node.fatal).toHaveLength(1);
});

test("refuses more requests than it may hold at once, and takes them again afterwards", async () => {
  let open: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (open = resolve));
  group.duringSubmit = () => held;
  const running = Array.from({ length: 4 }, () => post(node.url, TRANSFER));
  while (group.submissions.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  const refused = await post(node.url, TRANSFER);
  expect(refused.body).toMatchObject({ code: "overloaded", outcome: "not_started" });
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect((await get(node.url, "/livez")).status).toBe(200);
  open();
  const statuses = (await Promise.all(running)).map(({ status }) => status);
  expect(statuses).toEqual([200, 200, 200, 200]);
  expect((await post(node.url, TRANSFER)).status).toBe(200);
});

test("while draining it finishes what runs, refuses what is new, and ends connections", async () => {
  let open: () => void = () => undefined;
  group.duringSubmit = () => new Promise<void>((resolve) => (open = resolve));
  const running = post(node.url, TRANSFER);
  while (group.submissions.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  node.drain();
  expect(await post(node.url, TRANSFER)).toMatchObject({ status: 503, body: { code: "draining" } });
  expect(await get(node.url, "/readyz")).toMatchObject({
    status: 503,
    body: { ready: false, draining: true },
  });
  expect((await get(node.url, "/livez")).status).toBe(200);
  open();
  const finished = await running;
  expect([finished.status, finished.headers.get("connection")]).toEqual([200, "close"]);
});

test("is ready while a leader is known", async () => {
  expect(await get(node.url, "/readyz")).toMatchObject({ status: 200, body: { ready: true } });
  group.leader = undefined;
  expect(await get(node.url, "/readyz")).toMatchObject({ status: 503, body: { ready: false } });
  group.leader = nodeId(2);
  expect(await get(node.url, "/readyz")).toMatchObject({ status: 200, body: { leader: 2 } });
});

test("describes the group and the shards as this node sees them", async () => {
  await post(node.url, TRANSFER);
  const url2 = "http://127.0.0.1:2";
  const coordinators = new Map([[nodeId(2), url2]]);
  group.leader = nodeId(2);
  const follower = await startApiNode({ group, id: 1, coordinators });
  expect((await get(follower.url, "/v1/cluster")).body).toEqual({
    ...{ node: 1, leader: 2, serving: true, ballot: { round: 7, node: 1 } },
    ...{ chosenUpTo: 1, appliedUpTo: 1, inFlight: 0, incidents: [] },
    members: [
      { id: 2, url: url2, role: "leader" },
      { id: 1, url: follower.url, role: "follower" },
    ],
    shards: [
      { shard: "s1", reachable: true },
      { shard: "s2", reachable: false },
    ],
  });
  group.leader = undefined;
  const { body } = await get(follower.url, "/v1/cluster");
  expect(body["leader"]).toBeNull();
  expect(body["members"]).toContainEqual({ id: 2, url: url2, role: "unknown" });
});

test.each([
  ["/", 404],
  ["/v1/transactions/", 200],
  ["/v1/transactions/not-an-id", 404],
  ["/v1/transactions/1-1-1-abcdefgh/statements", 405],
  ["/v1/transactions/%ff", 404],
  ["/V1/cluster", 404],
  ["/v1/cluster?verbose=1", 200],
])("GET %s answers %d", async (path, status) => {
  expect((await get(node.url, path)).status).toBe(status);
});

test.each([
  ["PUT", "/v1/transactions", "GET, HEAD, POST"],
  ["PUT", "/v1/transactions/1-1-1-abcdefgh", "GET, HEAD, DELETE"],
  ["DELETE", "/v1/transactions/1-1-1-abcdefgh/commit", "POST"],
  ["POST", "/v1/cluster", "GET, HEAD"],
  ["POST", "/readyz", "GET, HEAD"],
  ["GET", "/internal/v1/outcomes", "POST"],
])("%s %s is not allowed, and the answer says what is", async (method, path, allow) => {
  const response = await fetch(node.url + path, { method });
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe(allow);
  expect(await response.json()).toMatchObject({ code: "method-not-allowed", instance: path });
});

test("lists what is not finished, a page at a time", async () => {
  expect(await get(node.url, "/v1/transactions?state=committed&limit=7")).toMatchObject({
    status: 200,
    body: { transactions: [{ state: "committed" }], nextCursor: "7" },
  });
  expect((await get(node.url, "/v1/transactions")).body["nextCursor"]).toBe("50");
});

test.each([
  ["limit=0", "limit"],
  ["limit=201", "limit"],
  ["limit=many", "limit"],
  ["state=aborted", "state"],
  ["cursor=7", "cursor"],
  ["colour=red", "colour"],
  ["limit=1&limit=2", "limit"],
])("a list with %s is refused, and %s is named", async (query, field) => {
  expect(await get(node.url, `/v1/transactions?${query}`)).toMatchObject({
    status: 400,
    body: { code: "invalid-request", errors: [{ field }] },
  });
});

test("answers HEAD without a body", async () => {
  const response = await fetch(`${node.url}/livez`, { method: "HEAD" });
  expect([response.status, await response.text()]).toEqual([200, ""]);
});
