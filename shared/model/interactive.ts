/**
 * What clients say and hear of interactive transactions: a transaction that is begun, runs statements one by one, and is then
 * committed or rolled back. Bodies are strict, as in api.ts.
 */
import { z } from "zod";
import { Isolation, LIMITS, Operation, type OperationResult, WaitFor } from "./api.ts";
import { SHARD_ID_PATTERN } from "./ids.ts";

export const INTERACTIVE_LIMITS = {
  /** Of one leader. */
  maxOpen: 64,
  /** Of one client of one leader: a half is left to the others. */
  defaultMaxOpenPerClient: 32,
  /** Set at one time in one transaction. */
  maxSavepoints: 64,
  minTimeoutMs: 10,
  maxIdleTimeoutMs: 60_000,
  defaultIdleTimeoutMs: 10_000,
  maxTimeoutMs: 600_000,
  defaultTimeoutMs: 60_000,
  /** One statement may take so long, within its transaction's time. */
  maxStatementMs: 60_000,
  /** A statement waits so long for a lock. */
  lockTimeoutMs: 4_500,
  /** That one transaction sees in one snapshot. */
  maxSnapshotShards: 16,
  /** Until their snapshots agree, `begin` waits so long. */
  maxOpeningMs: 4_000,
} as const;

/** Postgres keeps 63 characters of a name. */
export const SAVEPOINT_PATTERN = /^[a-z_][a-z0-9_]{0,62}$/;

/** `snapshot`: repeatable read on each shard, and of every transaction the shards show all or nothing. */
export const InteractiveIsolation = z.enum([...Isolation.options, "snapshot"]);
export type InteractiveIsolation = z.infer<typeof InteractiveIsolation>;

const BeginTerms = z.strictObject({
  isolation: InteractiveIsolation.default("read committed"),
  shards: z
    .array(z.string().regex(SHARD_ID_PATTERN, "must be the name of a shard"))
    .min(1)
    .max(INTERACTIVE_LIMITS.maxSnapshotShards)
    .refine((shards) => new Set(shards).size === shards.length, "names a shard twice")
    .optional()
    .describe("With `snapshot`, and only then: all shards that the transaction may use."),
  /** How long the transaction may wait for its client. */
  idleTimeoutMs: z
    .int()
    .min(INTERACTIVE_LIMITS.minTimeoutMs)
    .max(INTERACTIVE_LIMITS.maxIdleTimeoutMs)
    .default(INTERACTIVE_LIMITS.defaultIdleTimeoutMs),
  /** How long the transaction may take until its commit is asked for. */
  timeoutMs: z
    .int()
    .min(INTERACTIVE_LIMITS.minTimeoutMs)
    .max(INTERACTIVE_LIMITS.maxTimeoutMs)
    .default(INTERACTIVE_LIMITS.defaultTimeoutMs),
});
export const BeginRequest = BeginTerms.superRefine(({ isolation, shards }, context) => {
  const message =
    isolation === "snapshot"
      ? "is needed with isolation snapshot: it is of shards that are named beforehand"
      : "goes with isolation snapshot only";
  if ((isolation === "snapshot") === (shards !== undefined)) return;
  context.addIssue({ code: "custom", path: ["shards"], message });
});
export type BeginRequest = z.infer<typeof BeginRequest>;

export interface BeginResponse {
  readonly id: string;
  /** ISO 8601: the end of `timeoutMs`. */
  readonly expiresAt: string;
  readonly idleTimeoutMs: number;
  readonly timeoutMs: number;
}

const savepoint = z
  .string()
  .regex(SAVEPOINT_PATTERN, "must be 1 to 63 of a-z, 0-9 and _, not beginning with a digit");

/** One of a statement on a shard, or something done to a savepoint on all of them. */
export const StepRequest = z
  .strictObject({
    /** 1, 2, 3 … per transaction, over all shards. */
    seq: z.int().min(1),
    ...Operation.partial({ shard: true }).omit({ params: true }).shape,
    params: Operation.shape.params.unwrap().optional(),
    savepoint: savepoint.optional(),
    rollbackTo: savepoint.optional(),
    release: savepoint.optional(),
  })
  .superRefine((step, context) => {
    const object = (field: string, message: string): void => {
      context.addIssue({ code: "custom", path: [field], message });
    };
    const asked: string[] = MARKS.filter((field) => step[field] !== undefined);
    const isStatement = step.sql !== undefined || step.statement !== undefined;
    if (isStatement) asked.unshift("sql");
    if (asked.length !== 1) {
      const which = "sql or statement, savepoint, rollbackTo and release";
      object(asked[1] ?? "sql", `exactly one of ${which} is needed`);
    } else if (!isStatement) {
      for (const field of OF_STATEMENTS) {
        if (step[field] !== undefined) object(field, "belongs to a statement: sql is missing");
      }
    } else if (step.shard === undefined) {
      object("shard", "a statement runs on a shard");
    }
  });
export type StepRequest = z.infer<typeof StepRequest>;

const MARKS = ["savepoint", "rollbackTo", "release"] as const;
const OF_STATEMENTS = ["shard", "params", "expect"] as const;

export interface ResultField {
  readonly name: string;
  /** Postgres' name of the type, such as `int4` or `text[]`. */
  readonly type: string;
}

/** Only a statement has more than its `seq`. */
export type StepResponse =
  | { readonly seq: number }
  | (OperationResult & { readonly seq: number; readonly fields: readonly ResultField[] });

/** Results were told statement by statement; the answer is that of a one-shot transaction, without any. */
export const CommitBody = z.strictObject({
  timeoutMs: z
    .int()
    .min(LIMITS.minTimeoutMs)
    .max(LIMITS.maxTimeoutMs)
    .default(LIMITS.defaultTimeoutMs),
  waitFor: WaitFor.default("applied"),
});
export type CommitBody = z.infer<typeof CommitBody>;

export interface RollbackResponse {
  readonly id: string;
  readonly outcome: "aborted";
}
