/** What clients of interactive transactions are told when something does not go on. */
import { unreachable } from "../../../shared/model/assert.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { ShardId, TransactionId } from "../../../shared/model/ids.ts";
import type { Refusal } from "../../../shared/model/protocol.ts";
import { DEADLOCK_SENTENCE, deadlockError, refusalError } from "../answer.ts";
import type { EndReason, Objection } from "./machine.ts";

export function objectionError(
  { code, sentence, field }: Objection,
  id: TransactionId,
): SynodError {
  const detail = { transactionId: id, outcome: "not_started" } as const;
  return new SynodError(code, sentence, field === undefined ? detail : { ...detail, field });
}

/** A statement failed under a savepoint: nothing is decided yet. */
export function failureError(shard: ShardId, refusal: Refusal, id: TransactionId): SynodError {
  const { code, message, detail } = refusalError(shard, refusal, id);
  return new SynodError(code, message, { ...detail, outcome: "not_started" });
}

/** For the call that is under way when the transaction ends. */
export function endError(reason: EndReason, id: TransactionId): SynodError {
  if (reason.kind === "refused") return asEnded(refusalError(reason.shard, reason.refusal, id));
  if (reason.kind === "deadlock") return deadlockError(id);
  if (reason.kind === "noAgreement") {
    return new SynodError("transaction-timeout", sentenceOf(reason), { transactionId: id });
  }
  if (reason.kind !== "unreachable") return expired(id, sentenceOf(reason));
  const { shard } = reason;
  const detail = { shard, transactionId: id };
  return asEnded(new SynodError("shard-unavailable", sentenceOf(reason), detail));
}

/** Where a transaction in one request may be tried again under its key, this one has ended: there is no key. */
export function asEnded(error: SynodError): SynodError {
  if (error.outcome !== "not_started") return error;
  return new SynodError(error.code, error.message, { ...error.detail, outcome: "aborted" }, error);
}

/** For every call after that. */
export function expired(transactionId: TransactionId, cause: string): SynodError {
  return new SynodError("transaction-expired", `the transaction is rolled back: ${cause}`, {
    transactionId,
  });
}

export const UNKNOWN_HERE = "the leader does not know it, or not any more";

export function sentenceOf(reason: EndReason): string {
  switch (reason.kind) {
    case "refused":
      return reason.refusal.sentence;
    case "unreachable":
      return `shard ${reason.shard} did not answer`;
    case "participantLost":
      return `shard ${reason.shard} has lost its branch`;
    case "noAgreement":
      return "the shards did not agree on every transaction in time";
    case "rolledBack":
      return "its client asked for that";
    case "idle":
      return "it waited too long for its client";
    case "tooLong":
      return "its time was over";
    case "deadlock":
      return DEADLOCK_SENTENCE;
    case "leadershipLost":
      return "the leader has changed";
    default:
      return unreachable(reason);
  }
}

export function alreadyCommitted(transactionId: TransactionId): SynodError {
  return new SynodError("already-committed", "the transaction has committed", { transactionId });
}

export function notInteractive(transactionId: TransactionId): SynodError {
  return new SynodError("not-found", "this is not an interactive transaction", { transactionId });
}

export function stillDeciding(transactionId: TransactionId): SynodError {
  const sentence = "whether the transaction commits is not known yet: ask again";
  return new SynodError("outcome-unknown", sentence, { transactionId });
}
