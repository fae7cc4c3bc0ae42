/**
 * What clients say and hear: the bodies of the REST API as zod schemas, which are also the types.
 * Objects are strict: an unknown field is an error, because a misspelt `expect` must not be ignored.
 */
import { z } from "zod";
import { SHARD_ID_PATTERN } from "./ids.ts";

export const LIMITS = {
  maxBodyBytes: 256 * 1024,
  maxOperations: 64,
  /** Values travel as parameters, so this is ample; it bounds the depth of a syntax tree (sql-statement.ts). */
  maxSqlLength: 8 * 1024,
  maxParams: 1000,
  maxResultBytes: 256 * 1024,
  minTimeoutMs: 10,
  maxTimeoutMs: 60_000,
  defaultTimeoutMs: 5_000,
} as const;

const UNSAFE_INTEGER = "an integer beyond 2^53 loses digits in JSON: send it as a string";

const Scalar = z.union([
  z.string(),
  z
    .number()
    .refine((value) => !Number.isInteger(value) || Number.isSafeInteger(value), UNSAFE_INTEGER),
  z.boolean(),
  z.null(),
]);
export type Param = z.infer<typeof Scalar> | Param[] | { [key: string]: Param };
/** Arrays become Postgres arrays, objects become json. */
export const Param: z.ZodType<Param> = z.lazy(() =>
  z.union([Scalar, z.array(Param), z.record(z.string(), Param)]),
);

/** Of statements that operators have named. */
export const STATEMENT_NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/;

/** What is run is given by its text or by its name; a node that forwards gives both. */
export const Operation = z
  .strictObject({
    shard: z.string().regex(SHARD_ID_PATTERN, "must be the name of a shard"),
    sql: z.string().min(1).max(LIMITS.maxSqlLength).optional().describe("This, or `statement`."),
    statement: z
      .string()
      .regex(STATEMENT_NAME_PATTERN, "must be the name of a statement")
      .optional()
      .describe("The name of a statement that an operator has registered; in place of `sql`."),
    params: z.array(Param).max(LIMITS.maxParams).default([]),
    /** The transaction aborts unless the statement touched exactly so many rows. */
    expect: z.strictObject({ rowCount: z.int().min(0) }).optional(),
  })
  .meta({ oneOf: [{ required: ["sql"] }, { required: ["statement"] }] });
export type AskedOperation = z.infer<typeof Operation>;
/** With the text of its statement. */
export type Operation = AskedOperation & { readonly sql: string };
type WithTexts<Request> = Omit<Request, "operations"> & { readonly operations: Operation[] };

export const Isolation = z.enum(["read committed", "repeatable read", "serializable"]);
export type Isolation = z.infer<typeof Isolation>;

/** `applied`: answer when every reachable branch has committed. `decided`: as soon as the decision is on a quorum. */
export const WaitFor = z.enum(["applied", "decided"]);
export type WaitFor = z.infer<typeof WaitFor>;

export const TransactionRequest = z.strictObject({
  operations: z.array(Operation).min(1).max(LIMITS.maxOperations),
  isolation: Isolation.default("read committed"),
  timeoutMs: z
    .int()
    .min(LIMITS.minTimeoutMs)
    .max(LIMITS.maxTimeoutMs)
    .default(LIMITS.defaultTimeoutMs),
  waitFor: WaitFor.default("applied"),
  lane: z
    .boolean()
    .optional()
    .describe("False: this transaction shares no Postgres transaction with others."),
});
export type TransactionRequest = WithTexts<z.infer<typeof TransactionRequest>>;

/** What only reads: every transaction is in all of the results or in none. */
export const ReadRequest = TransactionRequest.pick({ operations: true, timeoutMs: true });
export type ReadRequest = WithTexts<z.infer<typeof ReadRequest>>;
export interface ReadResponse {
  readonly results: readonly OperationResult[];
}

/** One operation's result, in the order of the request. int8 and numeric stay strings. */
export interface OperationResult {
  readonly rowCount: number;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

export interface TransactionResponse {
  readonly id: string;
  readonly outcome: "committed";
  readonly results: readonly OperationResult[];
  /**
   * Shards whose branch is decided but not known to be confirmed; they commit as soon as they can be reached. Known to the node
   * that answers: others than the leader learn of confirmations from the log, which has them a moment later, and a new
   * leader asks every shard of which the log does not have it. So a shard may be named once more after it was not.
   */
  readonly pendingShards: readonly string[];
}

/** What `GET /v1/transactions/{id}` knows. `forgotten`: older than what is kept; no claim either way. */
export type TransactionState = "active" | "committed" | "aborted" | "unknown" | "forgotten";
export interface TransactionStatus {
  readonly id: string;
  readonly state: TransactionState;
  readonly pendingShards: readonly string[];
}
