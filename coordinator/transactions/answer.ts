/** From what branches reported to what a client hears: results in the order of the request, reasons as typed errors. */
import { assert, unreachable } from "../../shared/model/assert.ts";
import type {
  OperationResult,
  TransactionRequest,
  TransactionResponse,
} from "../../shared/model/api.ts";
import type { ErrorDetail } from "../../shared/model/errors.ts";
import { outcomeOfRefusal, SynodError } from "../../shared/model/errors.ts";
import type { ShardId, TransactionId } from "../../shared/model/ids.ts";
import type { BranchOperation, Refusal } from "../../shared/model/protocol.ts";
import type { AbortReason } from "./transaction.ts";

/** What becomes of a carrier. */
export type CarrierAnswer =
  /** One response for each member, in their order. */
  | { readonly kind: "committed"; readonly responses: readonly TransactionResponse[] }
  /** For ever, all members. */
  | { readonly kind: "aborted"; readonly reason: AbortReason }
  /** The deadline has passed, and the decision is on its way. */
  | { readonly kind: "unknown" };

/** The request's operations, grouped by shard, each with its place in the request. */
export function operationsByShard(
  request: Pick<TransactionRequest, "operations">,
): ReadonlyMap<ShardId, readonly BranchOperation[]> {
  const byShard = new Map<ShardId, BranchOperation[]>();
  request.operations.forEach(({ shard, sql, params, expect }, index) => {
    const ofShard = byShard.get(shard as ShardId) ?? [];
    ofShard.push(expect === undefined ? { sql, params, index } : { sql, params, expect, index });
    byShard.set(shard as ShardId, ofShard);
  });
  return byShard;
}

/** Puts each shard's results back into the order of the request. */
export function inRequestOrder(
  byShard: ReadonlyMap<ShardId, readonly BranchOperation[]>,
  resultsOn: (shard: ShardId) => readonly OperationResult[] | undefined,
): readonly OperationResult[] {
  const ordered: OperationResult[] = [];
  for (const [shard, operations] of byShard) {
    const results = resultsOn(shard);
    operations.forEach(({ index }, place) => {
      const result = results?.[place];
      assert(result !== undefined, "a branch that did not refuse has a result for each operation");
      ordered[index] = result;
    });
  }
  return ordered;
}

/** Of a carrier with one member: resolves to what its client hears, or throws it. */
export function soleAnswer(
  answer: CarrierAnswer,
  transactionId: TransactionId,
): TransactionResponse {
  switch (answer.kind) {
    case "committed": {
      const [response] = answer.responses;
      assert(response !== undefined, "every member is answered");
      return response;
    }
    case "aborted":
      throw abortError(answer.reason, transactionId);
    case "unknown":
      throw unknownOutcome(transactionId);
    default:
      return unreachable(answer);
  }
}

export function unknownOutcome(transactionId: TransactionId): SynodError {
  const sentence = "the decision was proposed, but no quorum has confirmed it before the deadline";
  return new SynodError("outcome-unknown", sentence, { transactionId });
}

export function refusalError(
  shard: ShardId,
  refusal: Refusal,
  transactionId: TransactionId,
): SynodError {
  return new SynodError(refusal.code, refusal.sentence, {
    ...refusalDetail(shard, refusal),
    transactionId,
  });
}

/** Of a read, which is no transaction. */
export function refusedRead(shard: ShardId, refusal: Refusal): SynodError {
  return new SynodError(refusal.code, refusal.sentence, refusalDetail(shard, refusal));
}

function refusalDetail(shard: ShardId, refusal: Refusal): ErrorDetail {
  return {
    shard,
    ...(refusal.operation !== undefined && { field: `operations[${refusal.operation}]` }),
    ...(refusal.sqlstate !== undefined && { sqlstate: refusal.sqlstate }),
    ...(refusal.constraint !== undefined && { constraint: refusal.constraint }),
    outcome: outcomeOfRefusal(refusal.code),
  };
}

export const DEADLOCK_SENTENCE =
  "it waited for transactions that waited for it, on several shards, and was the youngest of them";

export function deadlockError(transactionId: TransactionId): SynodError {
  return new SynodError("deadlock", DEADLOCK_SENTENCE, { transactionId });
}

export function abortError(reason: AbortReason, transactionId: TransactionId): SynodError {
  switch (reason.kind) {
    case "refused":
      return refusalError(reason.shard, reason.refusal, transactionId);
    case "unreachable":
      return new SynodError("shard-unavailable", `shard ${reason.shard} did not answer`, {
        shard: reason.shard,
        transactionId,
      });
    case "deadline":
      return new SynodError(
        "transaction-timeout",
        "not every shard had voted when the deadline passed",
        { transactionId },
      );
    case "deadlock":
      return deadlockError(transactionId);
    case "leadershipLost":
      return new SynodError(
        "coordinator-changed",
        "the coordinator stopped leading before the decision",
        { transactionId },
      );
    case "resultTooLarge":
      return new SynodError("result-too-large", "the results are too large to be kept", {
        transactionId,
      });
    default:
      return unreachable(reason);
  }
}

export function keyExpired(): SynodError {
  return new SynodError(
    "idempotency-key-expired",
    "the key is older than the answers that are kept: whether it was used cannot be told",
  );
}

/** Of an id that is mistyped, somebody else's, or not given yet: which of them it is, nobody is told. */
export function noSuchTransaction(): SynodError {
  return new SynodError(
    "not-found",
    "there is no transaction of this id: ids are to be given whole, what follows a dot included",
  );
}
