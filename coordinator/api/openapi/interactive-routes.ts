/** The routes of interactive transactions; the examples of one id are sent in this order. */
import type { ErrorCode } from "../../../shared/model/errors.ts";
import { AT_THE_GATE, type Parameter, type Route } from "./route.ts";

const EVERY: readonly ErrorCode[] = [
  ...AT_THE_GATE,
  ...(["overloaded", "draining", "internal-error", "no-quorum", "body-too-large"] as const),
];
const OF_BODIES: readonly ErrorCode[] = [
  ...(["invalid-request", "malformed-json", "unsupported-media-type"] as const),
];
const OF_ONE: readonly ErrorCode[] = [
  ...EVERY,
  ...(["not-found", "transaction-expired", "already-committed", "outcome-unknown"] as const),
];
/** What branches may answer, or end with. */
const OF_BRANCHES: readonly ErrorCode[] = [
  ...(["transaction-failed", "shard-unavailable", "coordinator-changed"] as const),
  ...(["participant-conflict", "deadlock", "lock-timeout", "transaction-timeout"] as const),
  ...(["constraint-violation", "sql-error", "not-preparable", "sequence-conflict"] as const),
];
const OF_STATEMENTS: readonly ErrorCode[] = [
  ...(["unknown-shard", "unknown-statement", "statement-not-allowed"] as const),
  ...(["expectation-failed", "result-too-large"] as const),
];

const ID: Parameter = {
  ...{ name: "id", in: "path", description: "As `begin` answered it.", schema: { type: "string" } },
  example: "1-1-1-az05k0d3m9x2",
};

export const INTERACTIVE_ROUTES: readonly Route[] = [
  {
    ...{ method: "post", path: "/v1/transactions/begin", tag: "interactive" },
    operationId: "beginTransaction",
    summary: "Begin an interactive transaction",
    description:
      "It holds row locks: idle or too old, it is rolled back. The body may be empty. With isolation `snapshot` it is answered when the snapshots of all named shards agree.",
    body: {
      schema: "BeginRequest",
      examples: {
        begin: {
          summary: "With every option",
          value: { isolation: "read committed", idleTimeoutMs: 10_000, timeoutMs: 60_000 },
        },
        snapshot: {
          summary: "On one snapshot of two shards, which shows every transaction whole",
          value: { isolation: "snapshot", shards: ["s1", "s2"] },
        },
      },
    },
    answers: { 201: { description: "Begun", schema: "Begun" } },
    answerHeaders: ["Synod-Leader", "Location"],
    problems: [
      ...EVERY,
      ...OF_BODIES,
      ...(["too-many-open", "unknown-shard", "shard-unavailable", "transaction-timeout"] as const),
      ...(["transaction-expired", "coordinator-changed"] as const),
    ],
  },
  {
    ...{ method: "post", path: "/v1/transactions/{id}/statements", tag: "interactive" },
    operationId: "runStep",
    summary: "Run a statement, or set, go back to or release a savepoint",
    description:
      "`seq` counts 1, 2, 3 … over all steps. The last one sent again with the same body is answered again and not run again.",
    parameters: [ID],
    body: {
      schema: "StepRequest",
      examples: {
        savepoint: { summary: "Set a savepoint", value: { seq: 1, savepoint: "before" } },
        statement: {
          summary: "Run a statement",
          value: {
            ...{ seq: 2, shard: "s1", params: ["alice"], expect: { rowCount: 1 } },
            sql: "select balance from accounts where id = $1",
          },
        },
        named: {
          summary: "Run a statement that an operator has named",
          value: { seq: 3, shard: "s1", statement: "balance", params: ["alice"] },
        },
        rollbackTo: { summary: "Undo what came after it", value: { seq: 4, rollbackTo: "before" } },
        release: { summary: "Forget it", value: { seq: 5, release: "before" } },
      },
    },
    answers: { 200: { description: "Done", schema: "Step" } },
    answerHeaders: ["Synod-Leader", "Idempotent-Replayed"],
    problems: [...OF_ONE, ...OF_BODIES, ...OF_BRANCHES, ...OF_STATEMENTS],
  },
  {
    ...{ method: "post", path: "/v1/transactions/{id}/commit", tag: "interactive" },
    operationId: "commitTransaction",
    summary: "Commit it: on every shard, or on none",
    description: "Asked again, it answers the same outcome. The body may be empty.",
    parameters: [ID],
    body: {
      schema: "CommitRequest",
      examples: { commit: { summary: "Wait for every shard", value: { waitFor: "applied" } } },
    },
    answers: { 200: { description: "Committed", schema: "Committed" } },
    answerHeaders: ["Synod-Leader"],
    problems: [...OF_ONE, ...OF_BODIES, ...OF_BRANCHES].filter(
      (code) => code !== "already-committed",
    ),
  },
  {
    ...{ method: "delete", path: "/v1/transactions/{id}", tag: "interactive" },
    operationId: "rollBackTransaction",
    summary: "Roll it back",
    description: "Asked again, it answers the same.",
    parameters: [ID],
    answers: { 200: { description: "Rolled back", schema: "RolledBack" } },
    answerHeaders: ["Synod-Leader"],
    problems: OF_ONE,
  },
];
