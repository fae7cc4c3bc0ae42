/**
 * Whether what the shard answered can carry a yes: pure readings of its outcomes into the words of a vote.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import type { BranchOperation, Refusal } from "../../shared/model/protocol.ts";
import type {
  ExecutionOutcome,
  PrepareOutcome,
  ReadOutcome,
  Receipt,
  ServerFailure,
  StatementFailure,
  StatementRefusal,
} from "../shard/shard.ts";
import { type BranchStep, errorCodeOf } from "../shard/sqlstate.ts";
import type { Execution, Preparation } from "./branch.ts";

/** Said of a branch of several: the receipt is of what this shard did alone, so of another body. */
const KEY_USED = "the idempotency key was used before with another body";

/** The only tag that means prepared: a failed transaction "prepares" with tag ROLLBACK and no error. */
const PREPARED_TAG = "PREPARE TRANSACTION";

/** With its member's place in the branch, where there are several. */
export type PlacedOperation = BranchOperation & { readonly member?: number };

export type JudgedExecution = Execution & {
  readonly results: readonly OperationResult[];
  readonly receipt?: Receipt;
};

export type JudgedRead =
  | {
      readonly kind: "fine";
      readonly snapshot: string;
      readonly results: readonly OperationResult[];
    }
  | { readonly kind: "refused"; readonly refusal: Refusal };

export function judgeRead(
  outcome: ReadOutcome,
  operations: readonly PlacedOperation[],
): JudgedRead {
  if (outcome.kind === "refused") return judgeStatement(outcome, operations);
  if (outcome.kind === "failed") return judgeFailure(outcome, operations, "read");
  const refusal = objectionTo(outcome, operations);
  if (refusal !== undefined) return { kind: "refused", refusal };
  return { kind: "fine", snapshot: outcome.snapshot, results: outcome.results };
}

export function judgeExecution(
  outcome: ExecutionOutcome,
  operations: readonly PlacedOperation[],
): JudgedExecution {
  switch (outcome.kind) {
    case "executed":
      return judgeResults(outcome, operations);
    case "receiptFound":
      return {
        ...refused({ code: "idempotency-key-reused", sentence: KEY_USED }),
        receipt: outcome.receipt,
      };
    case "refused":
      return { ...judgeStatement(outcome, operations), results: [] };
    case "failed":
      return { ...judgeFailure(outcome, operations, "execute"), results: [] };
    default:
      return unreachable(outcome);
  }
}

type Refused = Extract<Execution, { kind: "refused" }>;

function judgeStatement(
  { code, sentence, index }: StatementRefusal,
  operations: readonly PlacedOperation[],
): Refused {
  return { kind: "refused", refusal: { code, sentence, ...place(operations, index) } };
}

function judgeFailure(
  failure: StatementFailure,
  operations: readonly PlacedOperation[],
  step: BranchStep,
): Refused {
  const refusal = refusalFromServer(failure, step);
  return { kind: "refused", refusal: { ...refusal, ...place(operations, failure.index) } };
}

function refused(refusal: Refusal): Execution & { readonly results: readonly [] } {
  return { kind: "refused", refusal, results: [] };
}

function place(
  operations: readonly PlacedOperation[],
  index: number,
): Pick<Refusal, "member" | "operation"> {
  const operation = operations[index];
  if (operation === undefined) return {};
  const { member } = operation;
  return { operation: operation.index, ...(member !== undefined && { member }) };
}

function judgeResults(
  outcome: ExecutionOutcome & { kind: "executed" },
  operations: readonly PlacedOperation[],
): JudgedExecution {
  const refusal = objectionTo(outcome, operations);
  if (refusal !== undefined) return refused(refusal);
  return { kind: "fine", xid: outcome.xid, results: outcome.results };
}

interface Results {
  readonly results: readonly OperationResult[];
  readonly insideTransaction: boolean;
}

function objectionTo(
  { results, insideTransaction }: Results,
  operations: readonly PlacedOperation[],
): Refusal | undefined {
  if (!insideTransaction) {
    const sentence = "a statement ended the transaction or changed its role";
    return { code: "statement-not-allowed", sentence };
  }
  for (const [index, { rowCount }] of results.entries()) {
    const operation = operations[index];
    if (operation === undefined || isAsExpected(operation, rowCount)) continue;
    return {
      ...unmet(`operations[${operation.index}]`, operation, rowCount),
      ...place(operations, index),
    };
  }
  return undefined;
}

function isAsExpected({ expect }: BranchOperation, rowCount: number): boolean {
  return expect === undefined || expect.rowCount === rowCount;
}

function unmet(name: string, { expect }: BranchOperation, rowCount: number): Refusal {
  const sentence = `${name} touched ${rowCount} rows, expected ${expect?.rowCount ?? 0}`;
  return { code: "expectation-failed", sentence };
}

export type JudgedStep = Execution & {
  readonly result: OperationResult | null;
  /** Going back to a savepoint can mend it. */
  readonly isMendable: boolean;
};

/** One step of an interactive branch; `operation` is undefined for what was done to a savepoint. */
export function judgeStep(
  outcome: ExecutionOutcome,
  operation: BranchOperation | undefined,
): JudgedStep {
  const judged = judgeExecution(outcome, []);
  if (judged.kind === "refused") {
    return { ...judged, result: null, isMendable: outcome.kind !== "executed" };
  }
  const result = judged.results[0] ?? null;
  if (operation === undefined || result === null || isAsExpected(operation, result.rowCount)) {
    return { ...judged, result, isMendable: false };
  }
  const refusal = unmet("the statement", operation, result.rowCount);
  return { kind: "refused", refusal, result: null, isMendable: true };
}

export function judgePrepare(outcome: PrepareOutcome): Preparation {
  if (outcome.kind === "failed") {
    return { isPrepared: false, refusal: refusalFromServer(outcome, "prepare") };
  }
  const { tag, warnings } = outcome;
  if (tag !== PREPARED_TAG) {
    const sentence = `PREPARE TRANSACTION was answered by ${tag}`;
    return { isPrepared: false, refusal: { code: "sql-error", sentence } };
  }
  const [warning] = warnings;
  if (warning === undefined) return { isPrepared: true, refusal: null };
  // Prepared here, but perhaps not where a failover would look for it.
  const sentence = `prepared with a warning, which may mean not replicated: ${warning}`;
  return { isPrepared: true, refusal: { code: "shard-unavailable", sentence } };
}

export function refusalFromServer(failure: ServerFailure, step: BranchStep): Refusal {
  const { sqlstate, message, constraint } = failure;
  return {
    code: errorCodeOf(sqlstate, step),
    sentence: message,
    sqlstate,
    ...(constraint !== undefined && { constraint }),
  };
}
