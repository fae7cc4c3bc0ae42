import { connect } from "node:net";
import { LIMITS } from "../../shared/model/api.ts";
import {
  get,
  post,
  startApiNode,
  stopApiNodes,
  TRANSFER,
  TwinGroup,
  type ApiNode,
} from "../support/api-node.ts";
import { wholeId } from "../support/ids.ts";

let group: TwinGroup;
let node: ApiNode;

beforeEach(async () => {
  group = new TwinGroup();
  node = await startApiNode({ group });
});
afterEach(stopApiNodes);

const [first, second] = TRANSFER.operations as [object, object];
const withFirst = (change: object): object => ({ operations: [{ ...first, ...change }, second] });
const withSecond = (change: object): object => ({ operations: [first, { ...second, ...change }] });
/** JSON.stringify would turn it into null. */
const withParam = (literal: string): string =>
  JSON.stringify(withFirst({ params: ["PARAM", "alice"] })).replace('"PARAM"', literal);

test("what could tell of others in its Postgres transaction, or asks for it, is to have one of its own", async () => {
  const lasting = withFirst({ sql: "select set_config('app.user', $1::text, true), $2::text" });
  for (const body of [TRANSFER, lasting, { ...TRANSFER, lane: false }]) await post(node.url, body);
  expect(group.submissions.map(({ request }) => request.lane)).toEqual([undefined, false, false]);
});

test("runs a transaction and answers its results", async () => {
  const answer = await post(node.url, TRANSFER);
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    id: wholeId("1-1-1"),
    outcome: "committed",
    results: [
      { rowCount: 1, rows: [] },
      { rowCount: 1, rows: [] },
    ],
    pendingShards: [],
  });
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(answer.headers.get("synod-leader")).toBe(`1; url="${node.url}"`);
  expect(answer.headers.get("x-powered-by")).toBeNull();
  expect(answer.headers.get("etag")).toBeNull();
  expect(group.submissions[0]?.request.isolation).toBe("read committed");
});

const refusals: [what: string, body: unknown, status: number, code: string, field: string][] = [
  ["an unknown field", { ...TRANSFER, wait: 1 }, 400, "invalid-request", "wait"],
  ["a misspelt one", withSecond({ expct: 1 }), 400, "invalid-request", "operations[1].expct"],
  ["no operations", { operations: [] }, 400, "invalid-request", "operations"],
  ["a list as body", [TRANSFER], 400, "invalid-request", ""],
  ["null as body", null, 400, "invalid-request", ""],
  ["operations that are null", { operations: [null] }, 400, "invalid-request", "operations[0]"],
  [
    "a missing shard",
    withSecond({ shard: undefined }),
    400,
    "invalid-request",
    "operations[1].shard",
  ],
  ["an unknown shard", withSecond({ shard: "s9" }), 400, "unknown-shard", "operations[1].shard"],
  ["an empty statement", withFirst({ sql: "" }), 400, "invalid-request", "operations[0].sql"],
  ["too few values", withFirst({ params: [1] }), 400, "invalid-request", "operations[0].params"],
  [
    "too many values",
    withFirst({ params: [1, 2, 3] }),
    400,
    "invalid-request",
    "operations[0].params",
  ],
  ["1e999", withParam("1e999"), 400, "invalid-request", "operations[0].params[0]"],
  [
    "half of a character",
    withParam(String.raw`["x\ud83d"]`),
    400,
    "invalid-request",
    "operations[0].params[0][0]",
  ],
  [
    "a name with half of one",
    withParam(String.raw`{"\ude00": 1}`),
    400,
    "invalid-request",
    "operations[0].params[0].\ude00",
  ],
  [
    "-1e999 inside",
    withParam('{"a":[0,-1e999]}'),
    400,
    "invalid-request",
    "operations[0].params[0].a[1]",
  ],
  [
    "lost digits",
    withParam("12345678901234567890"),
    400,
    "invalid-request",
    "operations[0].params[0]",
  ],
  [
    "half a surrogate pair",
    withParam('["x", "\\ud83d"]'),
    400,
    "invalid-request",
    "operations[0].params[0][1]",
  ],
  [
    "a bottomless value",
    withParam("[".repeat(99) + "]".repeat(99)),
    400,
    "invalid-request",
    `operations[0].params[0]${"[0]".repeat(16)}`,
  ],
  ["an endless timeout", { ...TRANSFER, timeoutMs: 1e9 }, 400, "invalid-request", "timeoutMs"],
  ["a wrong isolation", { ...TRANSFER, isolation: "dirty" }, 400, "invalid-request", "isolation"],
  ["COMMIT", withFirst({ sql: "commit" }), 422, "statement-not-allowed", "operations[0].sql"],
  ["DDL", withSecond({ sql: "drop table a" }), 422, "statement-not-allowed", "operations[1].sql"],
  [
    "two statements",
    withFirst({ sql: "select 1; select 2" }),
    422,
    "statement-not-allowed",
    "operations[0].sql",
  ],
  [
    "a hidden COMMIT",
    withFirst({ sql: "select 1;\n commit" }),
    422,
    "statement-not-allowed",
    "operations[0].sql",
  ],
  ["broken SQL", withFirst({ sql: "selec 1" }), 422, "sql-error", "operations[0].sql"],
];

test.each(refusals)(
  "refuses %s, names the field, and begins nothing",
  async (_, body, status, code, field) => {
    const answer = await post(node.url, body);
    expect([answer.status, answer.body["code"], answer.body["outcome"]]).toEqual([
      status,
      code,
      "not_started",
    ]);
    const [error] = answer.body["errors"] as { field: string; sentence: string }[];
    expect(error?.field).toBe(field);
    if (field !== "") expect(answer.body["detail"]).toMatch(`${field}: `);
    expect(group.submissions).toHaveLength(0);
  },
);

test("names unknown fields before what may be missing because of them, and says what is allowed", async () => {
  const { body } = await post(node.url, {
    operation: TRANSFER.operations,
    ...{ isolation: "snapshots", timeoutMs: 1, waitFor: 7 },
  });
  expect(body["detail"]).toBe("operation: there is no such field");
  expect(body["errors"]).toEqual([
    { field: "operation", sentence: "there is no such field" },
    { field: "operations", sentence: "is missing: it must be a list" },
    {
      field: "isolation",
      sentence: expect.stringMatching(/^must be one of read committed, /) as unknown,
    },
    { field: "timeoutMs", sentence: "must be at least 10" },
    { field: "waitFor", sentence: "must be one of applied, decided" },
  ]);
});

test("refuses the 65th operation", async () => {
  const most = Array.from({ length: LIMITS.maxOperations }, () => first);
  expect((await post(node.url, { operations: most })).status).toBe(200);
  const answer = await post(node.url, { operations: [...most, first] });
  expect([answer.status, answer.body["code"]]).toEqual([400, "invalid-request"]);
  expect(group.submissions).toHaveLength(1);
});

test.each(["{", "", "nonsense", '{"operations": "alice-secret" oops}', "\ufeff{}"])(
  "refuses a body that is not JSON without quoting it: %s",
  async (body) => {
    const answer = await post(node.url, body);
    expect([answer.status, answer.body["code"]]).toEqual([400, "malformed-json"]);
    expect(JSON.stringify(answer.body)).not.toMatch(/secret|oops|nonsense/);
  },
);

test.each([
  ["", "the body is empty: JSON is needed"],
  ['{"operations": [', "the body is not JSON: it ends too early"],
  ["{'operations': []}", "the body is not JSON at position 1"],
])("says what is wrong with the body %s", async (body, detail) => {
  expect((await post(node.url, body)).body).toMatchObject({ detail });
});

test("refuses a body that is not UTF-8", async () => {
  const response = await fetch(`${node.url}/v1/transactions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: Buffer.from([0x22, 0xff, 0x22]),
  });
  expect(response.status).toBe(400);
});

test.each([LIMITS.maxBodyBytes + 1, 4 * LIMITS.maxBodyBytes, 8 * 1024 * 1024])(
  "refuses a body of %d bytes with 413",
  async (bytes) => {
    const answer = await post(node.url, " ".repeat(bytes)).catch((error: unknown) => error);
    // A client that is still sending may see the connection end before it reads the answer.
    if (answer instanceof Error) expect(bytes).toBeGreaterThan(1024 * 1024);
    else expect(answer).toMatchObject({ status: 413, body: { code: "body-too-large" } });
    expect(group.submissions).toHaveLength(0);
  },
);

test("refuses an oversized body that does not announce its length", async () => {
  const answer = await rawExchange(
    `POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Transfer-Encoding: chunked\r\n\r\n` +
      `${(300 * 1024).toString(16)}\r\n${" ".repeat(300 * 1024)}\r\n0\r\n\r\n`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  expect(group.submissions).toHaveLength(0);
});

test("begins nothing for a client that goes away in the middle of its body", async () => {
  const { port } = new URL(node.url);
  const socket = connect(Number(port), "127.0.0.1");
  const text = JSON.stringify(TRANSFER);
  socket.write(
    `POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${text.length}\r\n\r\n${text.slice(0, -1)}`,
  );
  await new Promise<void>((resolve) => {
    socket.end(resolve);
  });
  expect((await get(node.url, "/livez")).status).toBe(200);
  expect(group.submissions).toHaveLength(0);
});

test.each([
  "text/plain",
  "application/x-www-form-urlencoded",
  "application/json; charset=latin1",
  "",
])("refuses the content type '%s' with 415", async (type) => {
  const answer = await post(node.url, Buffer.from(JSON.stringify(TRANSFER)).toString(), {
    "content-type": type,
  });
  expect([answer.status, answer.body["code"]]).toEqual([415, "unsupported-media-type"]);
});

test("accepts application/json with a charset of UTF-8", async () => {
  const answer = await post(node.url, TRANSFER, {
    "content-type": "application/json; charset=utf-8",
  });
  expect(answer.status).toBe(200);
});

test.each([
  ['"a b"', "invalid"],
  ["", "invalid"],
  ['"open', "invalid"],
  ["ä", "invalid"],
  ['"back\\slash"', "invalid"],
  ['""', "invalid"],
  ["k".repeat(256), "too-long"],
])("refuses the idempotency key %s as %s", async (key, how) => {
  const answer = await rawExchange(
    `POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Idempotency-Key: ${key}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toMatch(`"idempotency-key-${how}"`);
});

test("takes an idempotency key of 255 characters", async () => {
  const answer = await post(node.url, TRANSFER, { "idempotency-key": "k".repeat(255) });
  expect(answer.status).toBe(200);
});

test("replays the first answer under the same key, quoted or bare, and says so", async () => {
  const one = await post(node.url, TRANSFER, { "idempotency-key": "key-1" });
  const two = await post(
    node.url,
    { ...TRANSFER, timeoutMs: 999 },
    { "idempotency-key": '"key-1"' },
  );
  expect(one.headers.get("idempotent-replayed")).toBeNull();
  expect(two.headers.get("idempotent-replayed")).toBe("true");
  expect(two.body).toEqual(one.body);
});

test("takes bodies for the same only when they ask for the same effects", async () => {
  const json = (value: object): object => withFirst({ params: [value, "x"] });
  const key = { "idempotency-key": "key-2" };
  expect((await post(node.url, json({ a: 1, b: [1, { c: 2, d: 3 }] }), key)).status).toBe(200);
  expect((await post(node.url, json({ b: [1, { d: 3, c: 2 }], a: 1 }), key)).status).toBe(200);
  const others = [
    json({ a: 1, b: [1, { c: 2, d: 4 }] }),
    json([["a", 1]]),
    json({ a: 1, b: [{ c: 2, d: 3 }, 1] }),
    { ...json({ a: 1, b: [1, { c: 2, d: 3 }] }), isolation: "serializable" },
    withFirst({ params: [{ a: 1, b: [1, { c: 2, d: 3 }] }, "x"], expect: { rowCount: 1 } }),
  ];
  for (const other of others) {
    const answer = await post(node.url, other, key);
    expect([answer.status, answer.body["code"]]).toEqual([422, "idempotency-key-reused"]);
  }
});

async function rawExchange(text: string): Promise<string> {
  const { port } = new URL(node.url);
  const socket = connect(Number(port), "127.0.0.1");
  let answer = "";
  socket.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk: string) => {
      answer += chunk;
      if (!answer.includes("\r\n\r\n") || !answer.includes("}")) return;
      socket.destroy();
      resolve(answer);
    });
    socket.write(text);
  });
}
