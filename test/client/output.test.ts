import { PassThrough } from "node:stream";
import { describeFailure, UsageError } from "../../client/commands/failure.ts";
import { cell, Output } from "../../client/commands/output.ts";
import { RequestRefusedError, TransactionAbortedError } from "../../client/sdk.ts";
import type { Problem } from "../../client/sdk.ts";
import type { Outcome } from "../../shared/model/errors.ts";

function outputTo(isTTY: boolean, env: NodeJS.ProcessEnv): { output: Output; said: () => string } {
  const out = Object.assign(new PassThrough(), { isTTY });
  const output = new Output({ out, err: out }, env);
  return { output, said: () => String(out.read() ?? "") };
}

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [true, { TERM: "dumb" }, false],
])("terminal %p with %j: coloured %p", (isTTY, env, coloured) => {
  const { output, said } = outputTo(isTTY, env);
  output.table(["shard", "reached"], [["s1", output.paint("red", "no")]]);
  output.talk(output.paintTalk("red", "error:"));
  expect(said().includes("\u001b[")).toBe(coloured);
});

test("tables have columns, and no blanks at the ends of lines", () => {
  const { output, said } = outputTo(false, {});
  output.table(
    ["shard", "reached"],
    [
      ["s1", "yes"],
      ["a-long-name", ""],
    ],
  );
  expect(said()).toBe("SHARD        REACHED\ns1           yes\na-long-name\n");
});

test("JSON is one line for programs, and indented for people", () => {
  const piped = outputTo(false, {});
  piped.output.json({ a: [1] });
  expect(piped.said()).toBe('{"a":[1]}\n');
  const seen = outputTo(true, {});
  seen.output.json({ a: [1] });
  expect(seen.said()).toContain('\n  "a"');
});

test("a cell holds any value in one line", () => {
  expect([null, "text", 1, { a: [true] }].map(cell)).toEqual(["", "text", "1", '{"a":[true]}']);
});

test.each([401, 403])("status %d is a denial, and the next step is a token", (status) => {
  const problem = {
    status,
    code: "denied",
    instance: "/v1/cluster",
    errors: [],
  } as unknown as Problem;
  const facts = { outcome: "not_started", retryable: false, problem } as const;
  const failure = describeFailure(new RequestRefusedError("denied", "denied", facts));
  expect(failure.exitCode).toBe(6);
  expect(failure.next).toMatch(/--token-file/);
});

test.each([
  ["sequence-conflict", 409, /--seq/],
  ["not-found", 404, /id as it was printed/],
  ["already-committed", 409, /nothing is left to do/],
  ["idempotency-key-reused", 422, /another --key/],
  ["sql-error", 422, /put the statement right/],
  ["invalid-request", 400, /put right what is named/],
  ["transaction-failed", 409, /rollback-to/],
])("after %s a next step is named", (code, status, next) => {
  const outcome = code === "already-committed" ? "committed" : "not_started";
  const instance = "/v1/transactions";
  const problem = { status, code, outcome, instance, errors: [] } as unknown as Problem;
  const error = new RequestRefusedError(code, code, { outcome, retryable: false, problem });
  expect(describeFailure(error)).toMatchObject({
    exitCode: 1,
    next: expect.stringMatching(next) as unknown,
  });
});

test("a statement that failed after others ran is told to have changed nothing", () => {
  const facts = { outcome: "aborted", retryable: false } as const;
  const failure = describeFailure(new TransactionAbortedError("sql-error", "sql-error", facts));
  expect(failure).toMatchObject({
    exitCode: 3,
    next: expect.stringContaining("nothing was changed on any shard") as unknown,
  });
});

test.each<[string, Outcome, boolean, RegExp]>([
  ["participant-conflict", "aborted", true, /begin again with synod tx begin/],
  ["constraint-violation", "aborted", false, /begin again with synod tx begin/],
  ["constraint-violation", "not_started", false, /synod tx exec --rollback-to/],
  ["sql-error", "not_started", false, /synod tx exec --rollback-to/],
])("after %s of a step (%s) a next step is named", (code, outcome, retryable, next) => {
  const instance = "/v1/transactions/1-1-1-a/statements";
  const problem = { code, outcome, instance, shard: "s1", errors: [] } as unknown as Problem;
  const kind = outcome === "aborted" ? TransactionAbortedError : RequestRefusedError;
  const failure = describeFailure(new kind(code, code, { outcome, retryable, problem }));
  expect(failure.next).toMatch(next);
});

test("what nobody foresaw is an error like any other", () => {
  expect(describeFailure(new RangeError("odd"))).toMatchObject({ exitCode: 1, message: "odd" });
  expect(describeFailure(new UsageError("wrong", "do this"))).toMatchObject({
    ...{ exitCode: 2, next: "do this" },
  });
});
