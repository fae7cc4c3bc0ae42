/**
 * A participant that breaks a rule of voting or of evidence: what it ought to look at is hidden from it. Only for showing
 * that the checkers notice.
 */
import type {
  FinishOutcome,
  PrepareOutcome,
  Shard,
  ShardSession,
} from "../../../participant/shard/shard.ts";
import type { Mutation } from "../mutation.ts";

function withAnyTag(outcome: PrepareOutcome): PrepareOutcome {
  return outcome.kind === "answered" ? { ...outcome, tag: "PREPARE TRANSACTION" } : outcome;
}

function carelessSession(session: ShardSession): ShardSession {
  return {
    execute: (operations, key) => session.execute(operations, key),
    executeAndPrepare: async (operations, gid, deadlineMs) => {
      const outcome = await session.executeAndPrepare(operations, gid, deadlineMs);
      return { ...outcome, prepare: outcome.prepare && withAnyTag(outcome.prepare) };
    },
    prepare: async (gid, deadlineMs) => withAnyTag(await session.prepare(gid, deadlineMs)),
    commit: (receipt) => session.commit(receipt),
    rollback: () => session.rollback(),
    interrupt: () => {
      session.interrupt();
    },
  };
}

async function absenceAsDone(outcome: Promise<FinishOutcome>): Promise<FinishOutcome> {
  const { kind } = await outcome;
  return kind === "doesNotExist" ? { kind: "finished", warnings: [] } : outcome;
}

export function carelessShard(shard: Shard, mutation: Mutation): Shard {
  if (mutation !== "any tag is a vote" && mutation !== "absence is evidence") return shard;
  return {
    begin: async (options) => {
      const session = await shard.begin(options);
      return mutation === "any tag is a vote" ? carelessSession(session) : session;
    },
    commitPrepared: (gid) =>
      mutation === "absence is evidence"
        ? absenceAsDone(shard.commitPrepared(gid))
        : shard.commitPrepared(gid),
    rollbackPrepared: (gid) => shard.rollbackPrepared(gid),
    listPrepared: (prefix) => shard.listPrepared(prefix),
    xidStatus: (xid) => shard.xidStatus(xid),
    fence: () => shard.fence(),
    findReceiptByKey: (key) => shard.findReceiptByKey(key),
    settleReceipt: (transactionId) => shard.settleReceipt(transactionId),
  };
}
