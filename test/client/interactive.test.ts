import {
  OutcomeUnknownError,
  RequestRefusedError,
  sql,
  Synod,
  TransactionAbortedError,
  type InteractiveTransaction,
  type SynodOptions,
} from "../../client/sdk.ts";
import type { ErrorCode } from "../../shared/model/errors.ts";
import {
  committed,
  problem,
  type Reply,
  type ScriptedApi,
  startScriptedApi,
  stopScriptedApis,
} from "../support/scripted-api.ts";

const ID = "1-1-1-abcdefgh";
const clients: Synod[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopScriptedApis();
});

function open({ url }: ScriptedApi, more: Partial<SynodOptions> = {}): Synod {
  const client = new Synod({ endpoints: [url], ...more });
  clients.push(client);
  return client;
}

const BEGUN = {
  status: 201,
  body: {
    ...{ id: ID, expiresAt: "2026-11-25T01:02:03.004Z" },
    ...{ idleTimeoutMs: 10_000, timeoutMs: 60_000 },
  },
};
const ROLLED_BACK: Reply = { status: 200, body: { id: ID, outcome: "aborted" } };
const answered = (seq: number): Reply => ({
  status: 200,
  body: { seq, rowCount: 1, rows: [{ n: seq }], fields: [{ name: "n", type: "int4" }] },
});
const step = (seq: number): Reply => ({ status: 200, body: { seq } });

/** A code that only interactive transactions know. */
function refused(
  code: string,
  status: number,
  outcome: string,
  retryable: boolean,
  transactionId?: string,
): Reply {
  const title = "A title";
  const more = { type: code, title, detail: code, instance: "/", errors: [], transactionId };
  return { status, body: { code, status, outcome, retryable, ...more } };
}
const EXPIRED = refused("transaction-expired", 410, "aborted", true);
const EXPIRED_HERE = refused("transaction-expired", 410, "aborted", true, ID);

const requests = (api: ScriptedApi): string[] =>
  api.asked.map(({ method, path, body }) => {
    const where = path.replace(`/v1/transactions`, "").replace(ID, "id");
    const what = ["seq", "savepoint", "rollbackTo", "release", "waitFor"].flatMap((name) => {
      const value = body[name] as string | number | undefined;
      if (value === undefined) return [];
      return name === "seq" ? [value] : [name, value];
    });
    return [method, where, ...what].join(" ");
  });

const read = (tx: InteractiveTransaction): Promise<unknown> => tx.query("s1", sql`select ${1}`);

test("begins, runs the statements in order, and commits", async () => {
  const api = await startScriptedApi(BEGUN, answered(1), answered(2), committed());
  const sum = await open(api).begin(
    async (tx) => {
      expect(tx.id).toBe(ID);
      const [one, two] = await Promise.all([
        tx.query<{ n: number }>("s1", sql`select ${1}`),
        tx.query<{ n: number }>("s2", "select $1", [2n], { expect: { rowCount: 1 } }),
      ]);
      expect(one.fields).toEqual([{ name: "n", type: "int4" }]);
      return one.rows[0]!.n + two.rows[0]!.n;
    },
    { isolation: "serializable", idleTimeoutMs: 500, timeoutMs: 9_000, waitFor: "decided" },
  );
  expect(sum).toBe(3);
  expect(api.asked.map(({ body }) => body)).toEqual([
    { isolation: "serializable", idleTimeoutMs: 500, timeoutMs: 9_000 },
    { seq: 1, shard: "s1", sql: "select $1", params: [1] },
    { seq: 2, shard: "s2", sql: "select $1", params: ["2"], expect: { rowCount: 1 } },
    { waitFor: "decided" },
  ]);
  expect(requests(api)[3]).toBe("POST /id/commit waitFor decided");
});

test("a step whose answer is lost is sent again with the same number", async () => {
  const api = await startScriptedApi(
    BEGUN,
    "lose the connection",
    refused("sequence-conflict", 409, "not_started", false),
    answered(1),
    answered(2),
    committed(),
  );
  await open(api).begin(async (tx) => {
    await read(tx);
    await read(tx);
  });
  expect(api.asked.map(({ body }) => body["seq"])).toEqual([
    ...[undefined, 1, 1, 1],
    ...[2, undefined],
  ]);
});

test("a sequence conflict at the first sending is no reason to send again", async () => {
  const conflict = refused("sequence-conflict", 409, "not_started", false);
  const api = await startScriptedApi(BEGUN, conflict, ROLLED_BACK);
  await expect(open(api).begin(read)).rejects.toMatchObject({ code: "sequence-conflict" });
  expect(requests(api)).toEqual(["POST /begin", "POST /id/statements 1", "DELETE /id"]);
});

test.each<[string, ErrorCode, object]>([
  ["was not allowed", "statement-not-allowed", {}],
  ["could not be sent to its shard", "shard-unavailable", { shard: "s1" }],
  ["names no savepoint that is set", "invalid-request", { transactionId: ID }],
])("a step that %s leaves its number to the next one", async (_, code, more) => {
  const api = await startScriptedApi(
    ...[BEGUN, step(1), problem(code, more), step(2), step(3), answered(4), committed()],
  );
  await open(api).begin(async (tx) => {
    await expect(tx.savepoint(() => read(tx))).rejects.toMatchObject({ code });
    await read(tx);
  });
  expect(requests(api).slice(1, -1)).toEqual([
    "POST /id/statements 1 savepoint synod_client_1",
    "POST /id/statements 2",
    "POST /id/statements 2 rollbackTo synod_client_1",
    "POST /id/statements 3 release synod_client_1",
    "POST /id/statements 4",
  ]);
});

test("a snapshot is asked for with its shards", async () => {
  const api = await startScriptedApi(BEGUN, answered(1), committed());
  await open(api).begin(read, { isolation: "snapshot", shards: ["s1", "s2"] });
  expect(api.asked[0]?.body).toEqual({ isolation: "snapshot", shards: ["s1", "s2"] });
});

test("an aborted attempt runs the closure again, in a new transaction", async () => {
  const api = await startScriptedApi(
    ...[BEGUN, EXPIRED_HERE, BEGUN, answered(1), problem("participant-conflict"), ROLLED_BACK],
    ...[BEGUN, answered(1), committed()],
  );
  let runs = 0;
  await open(api).begin(async (tx) => {
    runs += 1;
    await read(tx);
  });
  expect(runs).toBe(3);
  const again = ["POST /begin", "POST /id/statements 1", "POST /id/commit"];
  expect(requests(api).slice(0, 3)).toEqual([
    "POST /begin",
    "POST /id/statements 1",
    "POST /begin",
  ]);
  expect(requests(api).slice(-3)).toEqual(again);
});

test("an error of the closure's rolls back and is thrown as it is, once", async () => {
  const api = await startScriptedApi(BEGUN, answered(1), ROLLED_BACK);
  const own = new Error("not enough money");
  const run = open(api).begin(async (tx) => {
    await read(tx);
    throw own;
  });
  await expect(run).rejects.toBe(own);
  expect(requests(api)).toEqual(["POST /begin", "POST /id/statements 1", "DELETE /id"]);
});

test.each<[ErrorCode, unknown]>([
  ["constraint-violation", TransactionAbortedError],
  ["statement-not-allowed", RequestRefusedError],
])("%s does not run the closure again", async (code, type) => {
  const api = await startScriptedApi(BEGUN, problem(code), ROLLED_BACK);
  await expect(open(api).begin(read)).rejects.toBeInstanceOf(type);
  expect(requests(api).filter((request) => request === "POST /begin")).toHaveLength(1);
});

test("the closure runs as often as allowed, and not beyond the deadline", async () => {
  const api = await startScriptedApi(BEGUN, EXPIRED, ROLLED_BACK);
  api.onAsked = ({ path }) => {
    api.script[0] = path.endsWith("/begin") ? BEGUN : path.endsWith("s") ? EXPIRED : ROLLED_BACK;
  };
  api.script.splice(1);
  await expect(open(api).begin(read, { maxRuns: 2 })).rejects.toMatchObject({
    code: "transaction-expired",
  });
  const begins = (): number => requests(api).filter((it) => it === "POST /begin").length;
  expect(begins()).toBe(2);
  const startedMs = performance.now();
  await expect(open(api).begin(read, { deadlineMs: 300, maxRuns: 1_000 })).rejects.toMatchObject({
    code: "transaction-expired",
  });
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});

test("a begin that the deadline cuts short leaves the last abort to be told", async () => {
  const api = await startScriptedApi(BEGUN, EXPIRED, ROLLED_BACK, "never answer");
  await expect(open(api).begin(read, { deadlineMs: 1_000 })).rejects.toMatchObject({
    code: "transaction-expired",
  });
  expect(requests(api).at(-1)).toBe("POST /begin");
});

test("a commit whose answer is lost is asked for again, for the same transaction", async () => {
  const api = await startScriptedApi(BEGUN, "lose the connection", committed());
  await open(api).begin(() => Promise.resolve());
  expect(requests(api)).toEqual(["POST /begin", "POST /id/commit", "POST /id/commit"]);
});

test("a commit that stays unclear is unknown, can be resolved, and is not rolled back", async () => {
  const api = await startScriptedApi(BEGUN, "lose the connection");
  const run = open(api).begin(() => Promise.resolve(), { timeoutMs: 200 });
  api.script[0] = {
    status: 201,
    body: { ...(BEGUN as { body: object }).body, timeoutMs: 200 },
  };
  const error: unknown = await run.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(requests(api)).not.toContain("DELETE /id");
  api.script[0] = committed();
  const unknown = error as OutcomeUnknownError;
  expect(await unknown.resolve()).toMatchObject({ id: ID, outcome: "committed" });
});

test.each<ErrorCode>(["overloaded", "too-many-requests", "no-quorum", "draining"])(
  "a commit whose answer is lost and that meets %s from then on stays unknown, and is not rolled back",
  async (code) => {
    const begun = { status: 201, body: { ...BEGUN.body, timeoutMs: 300 } };
    const refusal = problem(code, { retryAfterMs: 50 });
    const api = await startScriptedApi(begun, "lose the connection", refusal);
    const error: unknown = await open(api)
      .begin(() => Promise.resolve())
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const unknown = error as OutcomeUnknownError;
    await expect(unknown.resolve({ deadlineMs: 200 })).rejects.toMatchObject({
      outcome: "unknown",
    });
    expect(requests(api)).not.toContain("DELETE /id");
    expect(requests(api).filter((request) => request === "POST /begin")).toHaveLength(1);
  },
);

test("a commit that is refused leaves no transaction open", async () => {
  const failed = refused("transaction-failed", 409, "not_started", false);
  const api = await startScriptedApi(BEGUN, failed, ROLLED_BACK);
  await expect(open(api).begin(() => Promise.resolve())).rejects.toMatchObject({
    code: "transaction-failed",
  });
  expect(requests(api)).toEqual(["POST /begin", "POST /id/commit", "DELETE /id"]);
});

test("a savepoint undoes what its body did, and the transaction goes on", async () => {
  const here = { outcome: "not_started", transactionId: ID, shard: "s1" } as const;
  const conflict = problem("lock-timeout", here);
  const api = await startScriptedApi(
    ...[BEGUN, step(1), conflict, step(3), step(4), step(5), answered(6), step(7), committed()],
  );
  const survived = await open(api).begin(async (tx) => {
    const lost = await tx.savepoint(() => read(tx)).catch((error: unknown) => error);
    await tx.savepoint(() => read(tx));
    return lost;
  });
  expect(survived).toMatchObject({ code: "lock-timeout", outcome: "not_started" });
  expect(requests(api)).toEqual([
    "POST /begin",
    "POST /id/statements 1 savepoint synod_client_1",
    "POST /id/statements 2",
    "POST /id/statements 3 rollbackTo synod_client_1",
    "POST /id/statements 4 release synod_client_1",
    "POST /id/statements 5 savepoint synod_client_2",
    "POST /id/statements 6",
    "POST /id/statements 7 release synod_client_2",
    "POST /id/commit",
  ]);
});

test("an abort of the whole transaction is no matter of its savepoints", async () => {
  const api = await startScriptedApi(BEGUN, step(1), EXPIRED, ROLLED_BACK);
  const run = open(api).begin((tx) => tx.savepoint(() => read(tx)), { maxRuns: 1 });
  await expect(run).rejects.toMatchObject({ code: "transaction-expired" });
  expect(requests(api)[3]).toBe("DELETE /id");
});

test("a signal rolls back, and no commit is asked for", async () => {
  const api = await startScriptedApi(BEGUN, answered(1), ROLLED_BACK);
  const controller = new AbortController();
  const run = open(api).begin(
    async (tx) => {
      await read(tx);
      controller.abort(new Error("the user left"));
    },
    { signal: controller.signal },
  );
  await expect(run).rejects.toThrow("the user left");
  expect(requests(api)).toEqual(["POST /begin", "POST /id/statements 1", "DELETE /id"]);
});

test("a rollback that fails is told to the hooks; the closure's error stays the error", async () => {
  const api = await startScriptedApi(BEGUN, problem("not-found"));
  const told: unknown[] = [];
  const hooks = { rollbackFailed: (id: string, error: unknown) => told.push(id, error) };
  const run = open(api, { hooks }).begin(() => Promise.reject(new Error("mine")));
  await expect(run).rejects.toThrow("mine");
  expect(told).toMatchObject([ID, { code: "not-found" }]);
});
