/**
 * Whether what the shard answered can carry a yes: pure readings of its outcomes into the words of a vote.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import type { BranchOperation, Refusal } from "../../shared/model/protocol.ts";
import type { ExecutionOutcome, PrepareOutcome, Receipt, ServerFailure } from "../shard/shard.ts";
import { type BranchStep, errorCodeOf } from "../shard/sqlstate.ts";
import type { Execution, Preparation } from "./branch.ts";

/** The only tag that means prepared: a failed transaction "prepares" with tag ROLLBACK and no error. */
const PREPARED_TAG = "PREPARE TRANSACTION";

export type JudgedExecution = Execution & {
  readonly results: readonly OperationResult[];
  readonly receipt?: Receipt;
};

export function judgeExecution(
  outcome: ExecutionOutcome,
  operations: readonly BranchOperation[],
): JudgedExecution {
  switch (outcome.kind) {
    case "executed":
      return judgeResults(outcome, operations);
    case "receiptFound":
      return {
        ...refused({ code: "idempotency-key-reused", sentence: "the key is used up" }),
        receipt: outcome.receipt,
      };
    case "refused": {
      const { code, sentence, index } = outcome;
      return refused({ code, sentence, ...place(operations, index) });
    }
    case "failed":
      return refused({
        ...refusalFromServer(outcome, "execute"),
        ...place(operations, outcome.index),
      });
    default:
      return unreachable(outcome);
  }
}

function refused(refusal: Refusal): Execution & { readonly results: readonly [] } {
  return { kind: "refused", refusal, results: [] };
}

function place(
  operations: readonly BranchOperation[],
  index: number,
): { readonly operation?: number } {
  const operation = operations[index];
  return operation === undefined ? {} : { operation: operation.index };
}

function judgeResults(
  { results, xid, insideTransaction }: ExecutionOutcome & { kind: "executed" },
  operations: readonly BranchOperation[],
): JudgedExecution {
  if (!insideTransaction) {
    const sentence = "a statement ended the transaction or changed its role";
    return refused({ code: "statement-not-allowed", sentence });
  }
  for (const [index, { rowCount }] of results.entries()) {
    const operation = operations[index];
    if (operation === undefined || isAsExpected(operation, rowCount)) continue;
    return refused({
      ...unmet(`operations[${operation.index}]`, operation, rowCount),
      operation: operation.index,
    });
  }
  return { kind: "fine", xid, results };
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
