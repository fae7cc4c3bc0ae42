/** Every route of the public API: what it takes, what it answers, and examples that are sent to a real node by the tests. */
import { LIMITS } from "../../../shared/model/api.ts";
import { ERROR_CODES, type ErrorCode } from "../../../shared/model/errors.ts";
import { ListRequest } from "../../../shared/model/listing.ts";
import { INTERACTIVE_ROUTES } from "./interactive-routes.ts";
import { AT_THE_GATE, type Parameter, type Route } from "./route.ts";
import { querySchemas } from "./schemas.ts";

/** What any request may meet. */
const EVERYWHERE: readonly ErrorCode[] = ["overloaded", "draining", "internal-error"];
const READS: readonly ErrorCode[] = [...EVERYWHERE, ...AT_THE_GATE, "no-quorum"];

const ELSEWHERE: readonly ErrorCode[] = [
  ...(["not-found", "method-not-allowed", "sequence-conflict"] as const),
  ...(["transaction-failed", "transaction-expired", "already-committed", "too-many-open"] as const),
];

/** Of a transaction that commits: a read has no key, locks nothing and is never unclear. */
const ONLY_COMMITTING: readonly ErrorCode[] = [
  ...(["idempotency-key-invalid", "idempotency-key-too-long", "idempotency-key-reused"] as const),
  ...(["idempotency-key-expired", "idempotency-in-progress", "outcome-unknown"] as const),
  ...(["deadlock", "not-preparable", "constraint-violation"] as const),
];

const DEBIT =
  "update accounts set balance = balance - $1 where id = $2 and balance >= $1 returning balance";
const CREDIT = "update accounts set balance = balance + $1 where id = $2";

export const ROUTES: readonly Route[] = [
  {
    ...{ method: "post", path: "/v1/transactions", tag: "transactions" },
    operationId: "runTransaction",
    summary: "Run a transaction: all of it or nothing",
    description:
      "Any node may be asked. Operations of one shard run in the order given, shards run in parallel. After an answer " +
      "whose outcome is `unknown`, send the same request with the same `Idempotency-Key`.",
    parameters: [
      {
        ...{ name: "Idempotency-Key", in: "header" },
        description: "Under one key a transaction commits once. Visible ASCII without quotes.",
        schema: { type: "string", minLength: 1, maxLength: 255 },
      },
    ],
    body: {
      schema: "TransactionRequest",
      examples: {
        transfer: {
          summary: "Move 10 from alice to bob, on two databases",
          value: {
            operations: [
              { shard: "s1", sql: DEBIT, params: [10, "alice"], expect: { rowCount: 1 } },
              { shard: "s2", sql: CREDIT, params: [10, "bob"], expect: { rowCount: 1 } },
            ],
          },
        },
        read: {
          summary: "Read from one database, with every option given",
          value: {
            operations: [{ shard: "s1", sql: "select id, balance from accounts", params: [] }],
            ...{ isolation: "repeatable read", timeoutMs: LIMITS.defaultTimeoutMs },
            waitFor: "decided",
          },
        },
        named: {
          summary: "Run a statement that an operator has named",
          value: { operations: [{ shard: "s1", statement: "balance", params: ["alice"] }] },
        },
        values: {
          summary: "Every kind of value; integers beyond 2^53 are strings",
          value: {
            operations: [
              {
                shard: "s1",
                sql: "select $1::int8 as n, $2::numeric as x, $3::boolean as yes, $4::text as nothing, $5::int[] as list, $6::jsonb as document",
                params: ["9223372036854775807", 1.5, true, null, [1, 2], { a: [1, null] }],
              },
            ],
          },
        },
      },
    },
    answers: { 200: { description: "Committed", schema: "Committed" } },
    answerHeaders: ["Synod-Leader", "Idempotent-Replayed"],
    problems: ERROR_CODES.filter((code) => !ELSEWHERE.includes(code)),
  },
  {
    ...{ method: "post", path: "/v1/reads", tag: "reads" },
    operationId: "read",
    summary: "Read several shards, and see every transaction whole",
    description:
      "Every transaction that went through Synod is in all of the results or in none. No lock is taken and no writer waits. " +
      "It is not one moment for all shards: a transaction on one may be shown, and an earlier one on another may not. " +
      "What a session of its own writes to one shard is seen as that shard shows it.",
    body: {
      schema: "ReadRequest",
      examples: {
        sum: {
          summary: "Count all money while it moves",
          value: {
            operations: [
              { shard: "s1", sql: "select sum(balance) from accounts" },
              { shard: "s2", sql: "select sum(balance) from accounts" },
            ],
            timeoutMs: LIMITS.defaultTimeoutMs,
          },
        },
      },
    },
    answers: { 200: { description: "The results, in the order asked", schema: "ReadResults" } },
    answerHeaders: ["Synod-Leader"],
    problems: ERROR_CODES.filter(
      (code) => !ELSEWHERE.includes(code) && !ONLY_COMMITTING.includes(code),
    ),
  },
  {
    ...{ method: "get", path: "/v1/transactions", tag: "transactions" },
    operationId: "listTransactions",
    summary: "List what is not finished, as the leader knows it",
    description:
      "Transactions that run, and committed ones that a shard has not confirmed, in the order of their ids.",
    parameters: listParameters(),
    answers: { 200: { description: "A page", schema: "TransactionList" } },
    answerHeaders: ["Synod-Leader"],
    problems: [...READS, "invalid-request"],
  },
  {
    ...{ method: "get", path: "/v1/transactions/{id}", tag: "transactions" },
    operationId: "getTransaction",
    summary: "Tell what became of a transaction",
    parameters: [
      {
        ...{ name: "id", in: "path", description: "As an answer named it." },
        ...{ schema: { type: "string" }, example: "1-1-1-az05k0d3m9x2" },
      },
    ],
    answers: { 200: { description: "Its state", schema: "TransactionStatus" } },
    answerHeaders: ["Synod-Leader"],
    problems: [...READS, "not-found"],
  },
  ...INTERACTIVE_ROUTES,
  {
    ...{ method: "get", path: "/v1/cluster", tag: "cluster" },
    operationId: "getCluster",
    summary: "The group and the shards, as the node that answers sees them",
    answers: { 200: { description: "Its view", schema: "Cluster" } },
    answerHeaders: ["Synod-Leader"],
    problems: [...AT_THE_GATE, "internal-error"],
  },
  {
    ...{ method: "get", path: "/livez", tag: "health", operationId: "getLiveness" },
    summary: "Whether the process is alive",
    answers: { 200: { description: "It is", schema: "Liveness" } },
    problems: ["internal-error"],
  },
  {
    ...{ method: "get", path: "/readyz", tag: "health", operationId: "getReadiness" },
    summary: "Whether a leader is known and the node is not shutting down",
    answers: {
      200: { description: "Ready", schema: "Readiness" },
      503: { description: "Not ready", schema: "Readiness" },
    },
    problems: ["internal-error"],
  },
  {
    ...{ method: "get", path: "/metrics", tag: "health", operationId: "getMetrics" },
    summary: "What this node has counted, for Prometheus",
    answers: { 200: { description: "Prometheus' text format", schema: "Metrics" } },
    contentType: "text/plain",
    problems: [...AT_THE_GATE, "internal-error"],
  },
];

function listParameters(): readonly Parameter[] {
  const { state = {}, limit = {}, cursor = {} } = querySchemas(ListRequest);
  return [
    {
      ...{ name: "state", in: "query", schema: state, example: "committed" },
      description: "`active`: not decided. `committed`: decided, but a shard has not confirmed.",
    },
    { ...{ name: "limit", in: "query", schema: limit, example: 50 }, description: "How many." },
    {
      ...{ name: "cursor", in: "query", schema: cursor, example: "1-1-1-az05k0d3m9x2" },
      description: "`nextCursor` of the page before.",
    },
  ];
}
