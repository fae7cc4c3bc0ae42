import { inspect } from "node:util";
import {
  OutcomeUnknownError,
  RequestRefusedError,
  sql,
  Synod,
  TransactionAbortedError,
  UnavailableError,
  type SynodOptions,
} from "../../client/sdk.ts";
import { freePort } from "../../demo/ports.ts";
import type { ErrorCode } from "../../shared/model/errors.ts";
import {
  committed,
  failure,
  problem,
  type ScriptedApi,
  startScriptedApi,
  stopScriptedApis,
} from "../support/scripted-api.ts";

const UUIDV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const DEBIT = { shard: "s1", ...sql`update accounts set balance = balance - ${10}` };

const clients: Synod[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopScriptedApis();
});

function open(apis: readonly ScriptedApi[], more: Partial<SynodOptions> = {}): Synod {
  const client = new Synod({ endpoints: apis.map(({ url }) => url), ...more });
  clients.push(client);
  return client;
}

const keys = (api: ScriptedApi): unknown[] => api.asked.map(({ key }) => key);

test("sends the operations under a key of its own, and answers what was committed", async () => {
  const api = await startScriptedApi(committed({ "Idempotent-Replayed": "true" }));
  const client = open([api], { token: "secret" });
  const result = await client.transaction([{ ...DEBIT, expect: { rowCount: 1 } }], {
    isolation: "serializable",
    waitFor: "decided",
    timeoutMs: 2_000,
  });
  const [asked] = api.asked;
  expect(asked).toMatchObject({
    method: "POST",
    path: "/v1/transactions",
    authorization: "Bearer secret",
    body: {
      operations: [
        {
          shard: "s1",
          sql: "update accounts set balance = balance - $1",
          params: [10],
          expect: { rowCount: 1 },
        },
      ],
      ...{ isolation: "serializable", waitFor: "decided", timeoutMs: 2_000 },
    },
  });
  expect(asked?.key).toMatch(UUIDV7);
  expect(result).toMatchObject({
    ...{ id: "1-1-1-abcdefgh", outcome: "committed", replayed: true, idempotencyKey: asked?.key },
    results: [{ rowCount: 1, rows: [{ balance: "12345678901234567890" }] }],
  });
});

test("an unclear answer is asked again with the same key", async () => {
  const api = await startScriptedApi(
    "lose the connection",
    problem("outcome-unknown"),
    { status: 502, body: "<html>bad gateway</html>" },
    { status: 200, body: { outcome: "half an answer" } },
    committed(),
  );
  const { idempotencyKey } = await open([api]).transaction([DEBIT]);
  expect(keys(api)).toEqual(Array(5).fill(idempotencyKey));
});

test("what has not begun is sent again with the same key", async () => {
  const api = await startScriptedApi(problem("draining"), problem("no-quorum"), committed());
  await open([api]).transaction([DEBIT]);
  expect(new Set(keys(api)).size).toBe(1);
  expect(api.asked).toHaveLength(3);
});

test("an abort is an outcome, and not tried again unless that is allowed", async () => {
  const api = await startScriptedApi(problem("lock-timeout"), committed());
  const error = await failure(open([api]).transaction([DEBIT]));
  expect(error).toBeInstanceOf(TransactionAbortedError);
  expect(error).toMatchObject({ code: "lock-timeout", outcome: "aborted", retryable: true });
  expect(api.asked).toHaveLength(1);
});

test("where it is allowed, a passing abort is begun again under a new key", async () => {
  const api = await startScriptedApi(
    problem("participant-conflict"),
    "lose the connection",
    problem("lock-timeout"),
    committed(),
  );
  await open([api]).transaction([DEBIT], { retryAborted: true });
  const [first, second, third, fourth] = keys(api);
  expect(new Set([first, second, fourth]).size).toBe(3);
  expect(third).toBe(second);
});

test("an abort that does not pass is not begun again", async () => {
  const api = await startScriptedApi(problem("constraint-violation"), committed());
  const error = await failure(open([api]).transaction([DEBIT], { retryAborted: true }));
  expect(error).toMatchObject({ code: "constraint-violation", retryable: false });
  expect(api.asked).toHaveLength(1);
});

test("a key of the caller's is used as it is, and excludes new keys", async () => {
  const api = await startScriptedApi(committed());
  const client = open([api]);
  await client.transaction([DEBIT], { idempotencyKey: "rent-november" });
  expect(keys(api)).toEqual(["rent-november"]);
  const both = client.transaction([DEBIT], { idempotencyKey: "k", retryAborted: true });
  expect(await failure(both)).toBeInstanceOf(TypeError);
  expect(api.asked).toHaveLength(1);
});

const REFUSALS: readonly ErrorCode[] = [
  ...(["invalid-request", "unknown-shard", "statement-not-allowed", "body-too-large"] as const),
  ...(["unsupported-media-type", "idempotency-key-reused", "forbidden", "not-found"] as const),
];

test.each(REFUSALS)("what is refused as %s at once has not begun", async (code) => {
  const api = await startScriptedApi(problem(code));
  const error = await failure(open([api]).transaction([DEBIT]));
  expect(error).toBeInstanceOf(RequestRefusedError);
  expect(error).toMatchObject({ code, outcome: "not_started" });
});

test.each(REFUSALS)("%s after an unclear attempt leaves the outcome unknown", async (code) => {
  const api = await startScriptedApi("lose the connection", problem(code));
  const error = await failure(open([api]).transaction([DEBIT]));
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(error).toMatchObject({ outcome: "unknown", idempotencyKey: keys(api)[0] });
  expect(api.asked).toHaveLength(2);
});

test("what is refused after a node that was not reached has not begun", async () => {
  const down = `http://127.0.0.1:${await freePort()}`;
  const api = await startScriptedApi(problem("invalid-request"));
  const client = new Synod({ endpoints: [down, api.url] });
  clients.push(client);
  expect(await failure(client.transaction([DEBIT]))).toBeInstanceOf(RequestRefusedError);
});

test("a key older than what is remembered is unknown for ever, and not asked again", async () => {
  const api = await startScriptedApi(problem("idempotency-key-expired"));
  const error = await failure(open([api]).transaction([DEBIT], { idempotencyKey: "old" }));
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(error).toMatchObject({ code: "idempotency-key-expired", retryable: false });
  expect(api.asked).toHaveLength(1);
});

test("the leader that an answer names is asked from then on", async () => {
  const [one, two] = [await startScriptedApi(), await startScriptedApi(committed())];
  one.script.push(committed({ "Synod-Leader": `2; url="${two.url}"` }));
  const client = open([one, two]);
  for (let turn = 0; turn < 3; turn += 1) await client.transaction([DEBIT]);
  expect([one.asked.length, two.asked.length]).toEqual([1, 2]);
});

test("a leader at an address that was not given is not followed", async () => {
  const stranger = await startScriptedApi(committed());
  const api = await startScriptedApi(committed({ "Synod-Leader": `2; url="${stranger.url}"` }));
  const client = open([api], { token: "secret" });
  await client.transaction([DEBIT]);
  await client.transaction([DEBIT]);
  expect([api.asked.length, stranger.asked.length]).toEqual([2, 0]);
});

test("a leader that is lost is left for the next coordinator", async () => {
  const [one, two] = [await startScriptedApi(), await startScriptedApi(committed())];
  one.script.push(committed({ "Synod-Leader": `1; url="${one.url}"` }), "lose the connection");
  const client = open([one, two]);
  await client.transaction([DEBIT]);
  const { idempotencyKey } = await client.transaction([DEBIT]);
  expect(keys(one)[1]).toBe(idempotencyKey);
  expect(keys(two)).toEqual([idempotencyKey]);
});

test("a coordinator that stands still is not waited for: another one is asked under the same key, for the full time", async () => {
  const [still, other] = [await startScriptedApi("never answer"), await startScriptedApi()];
  other.script.push(committed());
  const startedMs = performance.now();
  const { idempotencyKey } = await open([still, other]).transaction([DEBIT], { timeoutMs: 5_000 });
  expect(performance.now() - startedMs).toBeLessThan(4_500);
  expect([keys(still), keys(other)]).toEqual([[idempotencyKey], [idempotencyKey]]);
  const asked = [still, other].flatMap((api) => api.asked);
  expect(asked.map(({ body }) => body["timeoutMs"])).toEqual([5_000, 5_000]);
});

test("what just takes long is asked for less and less often", async () => {
  const [one, two] = [
    await startScriptedApi("never answer"),
    await startScriptedApi("never answer"),
  ];
  await failure(open([one, two]).transaction([DEBIT], { deadlineMs: 5_500 }));
  expect(one.asked.length + two.asked.length).toBe(2);
});

test("a coordinator that is down is passed over, and leaves nothing unclear", async () => {
  const port = await freePort();
  const client = new Synod({ endpoints: [`http://127.0.0.1:${port}`] });
  clients.push(client);
  const error = await failure(client.transaction([DEBIT], { deadlineMs: 300 }));
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error).toMatchObject({ code: "unreachable", outcome: "not_started", retryable: true });
  const api = await startScriptedApi(committed());
  const both = new Synod({ endpoints: [`http://127.0.0.1:${port}`, api.url] });
  clients.push(both);
  await both.transaction([DEBIT]);
  expect(api.asked).toHaveLength(1);
});

test("the deadline ends it: with what the cluster said, if nothing may have begun", async () => {
  const api = await startScriptedApi(problem("no-quorum"));
  const startedMs = performance.now();
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 1_500 }));
  expect(performance.now() - startedMs).toBeLessThan(2_100);
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error).toMatchObject({ code: "no-quorum" });
  expect(api.asked.length).toBeGreaterThan(1);
});

test("what has not begun is not sent again when too little time is left for an answer", async () => {
  const api = await startScriptedApi(problem("shard-unavailable"), "never answer");
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 500 }));
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error).toMatchObject({ code: "shard-unavailable", outcome: "not_started" });
  expect(api.asked).toHaveLength(1);
});

test("the deadline ends it with an unknown outcome, if something may have begun", async () => {
  const api = await startScriptedApi("never answer");
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 200 }));
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(error).toMatchObject({ code: "outcome-unknown", idempotencyKey: keys(api)[0] });
});

test("the server is not given more time than the deadline leaves", async () => {
  const api = await startScriptedApi(committed());
  await open([api]).transaction([DEBIT], { deadlineMs: 1_000, timeoutMs: 60_000 });
  expect(api.asked[0]?.body["timeoutMs"]).toBeLessThan(1_000);
  expect(api.asked[0]?.body["timeoutMs"]).toBeGreaterThan(500);
});

test("resolve asks again with the same key, as often as it must", async () => {
  const api = await startScriptedApi("lose the connection");
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 200 }));
  const unknown = error as OutcomeUnknownError;
  const again = await failure(unknown.resolve({ deadlineMs: 200 }));
  expect(again).toBeInstanceOf(OutcomeUnknownError);
  api.script.splice(0, 1, problem("outcome-unknown"), committed());
  expect(await unknown.resolve({ deadlineMs: 5_000 })).toMatchObject({
    outcome: "committed",
    idempotencyKey: unknown.idempotencyKey,
  });
  expect(new Set(keys(api))).toEqual(new Set([unknown.idempotencyKey]));
});

test.each<ErrorCode>(["overloaded", "too-many-requests", "no-quorum", "not-found"])(
  "resolve that meets only %s does not say that nothing has begun",
  async (code) => {
    const api = await startScriptedApi("lose the connection");
    const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 150 }));
    api.script[0] = problem(code, { retryAfterMs: 50 });
    const again = await failure((error as OutcomeUnknownError).resolve({ deadlineMs: 200 }));
    expect(again).toBeInstanceOf(OutcomeUnknownError);
    expect(again).toMatchObject({ outcome: "unknown" });
  },
);

test("resolve that is given up at once is still unknown", async () => {
  const api = await startScriptedApi("lose the connection");
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 150 }));
  const signal = AbortSignal.abort(new Error("the user left"));
  const again = await failure((error as OutcomeUnknownError).resolve({ signal }));
  expect(again).toBeInstanceOf(OutcomeUnknownError);
});

test("resolve tells an abort as the call would have", async () => {
  const api = await startScriptedApi("lose the connection");
  const error = await failure(open([api]).transaction([DEBIT], { deadlineMs: 150 }));
  api.script[0] = problem("lock-timeout");
  expect(await failure((error as OutcomeUnknownError).resolve())).toBeInstanceOf(
    TransactionAbortedError,
  );
});

test("errors carry neither the token nor the values", async () => {
  const api = await startScriptedApi("never answer");
  const port = await freePort();
  for (const endpoint of [api.url, `http://127.0.0.1:${port}`]) {
    const client = new Synod({ endpoints: [endpoint], token: "top-secret" });
    clients.push(client);
    const operation = { shard: "s1", ...sql`select ${"a-value"}` };
    const error = await failure(client.transaction([operation], { deadlineMs: 150 }));
    expect(inspect(error, { depth: 20 })).not.toMatch(/top-secret|a-value/);
  }
});

test("a signal ends the call: at once before it begins, with an unknown outcome after", async () => {
  const api = await startScriptedApi("never answer");
  const reason = new Error("the user left");
  const before = open([api]).transaction([DEBIT], { signal: AbortSignal.abort(reason) });
  expect(await failure(before)).toBe(reason);
  expect(api.asked).toHaveLength(0);
  const controller = new AbortController();
  api.onAsked = () => {
    controller.abort(reason);
  };
  const error = await failure(open([api]).transaction([DEBIT], { signal: controller.signal }));
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(error).toMatchObject({ cause: reason });
});

test("a signal ends a pause with its reason, if nothing may have begun", async () => {
  const api = await startScriptedApi(problem("overloaded", { retryAfterMs: 2_000 }));
  const controller = new AbortController();
  const afterAttempt = (): void => {
    setImmediate(() => {
      controller.abort("enough");
    });
  };
  const client = open([api], { hooks: { afterAttempt } });
  const startedMs = performance.now();
  const call = client.transaction([DEBIT], { signal: controller.signal });
  expect(await failure(call)).toBe("enough");
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  expect(api.asked).toHaveLength(1);
});

test("an overloaded coordinator is left alone for as long as it says", async () => {
  const api = await startScriptedApi(problem("overloaded", { retryAfterMs: 700 }), committed());
  await open([api]).transaction([DEBIT]);
  const [first, second] = api.asked;
  expect(second!.atMs - first!.atMs).toBeGreaterThanOrEqual(699);
});

test("more calls than the client holds are refused here", async () => {
  const api = await startScriptedApi("never answer");
  const client = open([api], { maxInFlight: 1 });
  const controller = new AbortController();
  const held = failure(client.transaction([DEBIT], { signal: controller.signal }));
  const error = await failure(client.transaction([DEBIT]));
  expect(error).toMatchObject({ code: "client-overloaded", outcome: "not_started" });
  controller.abort();
  await held;
});

test("hooks see every attempt, and may add headers", async () => {
  const api = await startScriptedApi("lose the connection", committed());
  const seen: unknown[] = [];
  const client = open([api], {
    hooks: {
      beforeAttempt: ({ attempt }) => ({ traceparent: `trace-${attempt}` }),
      afterAttempt: (info, { ended, status }) => {
        seen.push([info.call, info.attempt, info.url, ended, status]);
      },
    },
  });
  await client.transaction([DEBIT]);
  expect(api.asked.map(({ traceparent }) => traceparent)).toEqual(["trace-1", "trace-2"]);
  expect(seen).toEqual([
    ["transaction", 1, api.url, "unclear", undefined],
    ["transaction", 2, api.url, "done", 200],
  ]);
});

test.each([[[]], [["ftp://127.0.0.1"]], [["not an address"]]])(
  "endpoints %j are refused when the client is made",
  (endpoints) => {
    expect(() => new Synod({ endpoints })).toThrow(TypeError);
  },
);
