/**
 * What the results of a batch say about the transaction: pure readings, no conclusions.
 */
import type pg from "pg";
import type { OperationResult } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import type { Xid } from "../../shared/model/ids.ts";
import type { BatchEnd, StepResult } from "./batch.ts";
import { receiptFrom } from "./receipts.ts";
import type { BatchReport } from "./server-connection.ts";
import type {
  CommitOutcome,
  ExecutionOutcome,
  PrepareOutcome,
  ReadOutcome,
  ServerFailure,
} from "./shard.ts";
import { UNIQUE_VIOLATION } from "./sqlstate.ts";

const MAX_MESSAGE_LENGTH = 500;
/**
 * What a statement that leaves the transaction alone is answered with. Only a statement of its own can end a transaction
 * block (functions and procedures inside it cannot), and then its tag says so: also COMMIT AND CHAIN, which begins another.
 */
const ORDINARY_TAG = /^(?:SELECT|INSERT|UPDATE|DELETE|MERGE)\b/;
const IDLE_SQLSTATE = "25P01";

/** Where the client's statements lie among the steps; `look` comes right behind them. */
export interface Span {
  readonly first: number;
  readonly count: number;
  /** Right before them, if anything: the lookup of a receipt, or of the snapshot. */
  readonly before: "receipt" | "snapshot" | undefined;
}

export function readExecution(end: BatchEnd, span: Span, role: string): ExecutionOutcome {
  const { results } = end;
  const lookAt = span.first + span.count;
  const receipt = span.before === "receipt" ? results[span.first - 1]?.rows[0] : undefined;
  if (receipt !== undefined) return { kind: "receiptFound", receipt: receiptFrom(receipt) };
  if (end.kind === "failed" && results.length <= lookAt) {
    const index = Math.max(Math.min(results.length - span.first, span.count - 1), 0);
    return { ...readFailure(end.error), index };
  }
  const look = results[lookAt]?.rows[0];
  assert(look !== undefined, "the look at the transaction answers one row");
  const own = results.slice(span.first, lookAt);
  return {
    kind: "executed",
    results: own.map(operationResult),
    xid: look["xid"] as Xid | null,
    insideTransaction: own.every(({ tag }) => ORDINARY_TAG.test(tag)) && look["role"] === role,
  };
}

/** Of a transaction that was looked at and had none. */
export function readAssignedXid(
  end: BatchEnd,
  executed: ExecutionOutcome & { kind: "executed" },
): ExecutionOutcome {
  if (end.kind === "failed") {
    return { ...readFailure(end.error), index: Math.max(0, executed.results.length - 1) };
  }
  const row = end.results[0]?.rows[0];
  assert(row !== undefined, "the server names the transaction");
  return { ...executed, xid: row["xid"] as Xid };
}

/** The commit behind them may fail too (a deferred trigger cannot, as nothing was written): then nothing was read. */
export function readSnapshotRead(end: BatchEnd, span: Span, role: string): ReadOutcome {
  const execution = readExecution(end, span, role);
  assert(execution.kind !== "receiptFound", "a read looks for no receipt");
  if (execution.kind !== "executed") return execution;
  if (end.kind === "failed") return { ...readFailure(end.error), index: span.count - 1 };
  const { results, insideTransaction } = execution;
  return { kind: "read", snapshot: readSnapshot(end, span.first - 1), results, insideTransaction };
}

/** `step`: place of the question for it. */
export function readSnapshot({ results }: BatchEnd, step: number): string {
  const row = results[step]?.rows[0];
  assert(row !== undefined, "the server names the snapshot");
  return String(row["snapshot"]);
}

/** `step`: place of PREPARE TRANSACTION. What failed behind it does not unsay its answer. */
export function readPrepare({ end, warnings }: BatchReport, step: number): PrepareOutcome {
  const result = end.results[step];
  if (result !== undefined) {
    const own = warnings.filter((warning) => warning.step === step);
    return { kind: "answered", tag: result.tag, warnings: own.map(({ message }) => message) };
  }
  assert(end.kind === "failed", "a batch that is done has all results");
  return readFailure(end.error);
}

/** `step`: place of COMMIT; before it at most the receipt is written. */
export function readCommit({ end, warnings }: BatchReport, step: number): CommitOutcome {
  const result = end.results[step];
  if (result === undefined) {
    assert(end.kind === "failed", "a batch that is done has all results");
    const isConflict = end.results.length < step && end.error.code === UNIQUE_VIOLATION;
    return isConflict ? { kind: "conflict" } : readFailure(end.error);
  }
  if (result.tag !== "COMMIT") {
    const message = `the commit was answered by ${result.tag}`;
    return { kind: "failed", sqlstate: IDLE_SQLSTATE, message };
  }
  const own = warnings.filter((warning) => warning.step === step);
  return { kind: "committed", warnings: own.map(({ message }) => message) };
}

export function readFailure(error: pg.DatabaseError): ServerFailure {
  return {
    kind: "failed",
    sqlstate: error.code ?? "",
    message: error.message.slice(0, MAX_MESSAGE_LENGTH),
    ...(error.constraint !== undefined && { constraint: error.constraint }),
  };
}

function operationResult({ tag, rows }: StepResult): OperationResult {
  const count = /\d+$/.exec(tag);
  return { rowCount: count === null ? 0 : Number(count[0]), rows };
}
