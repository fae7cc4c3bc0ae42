/**
 * Participants that break a rule of voting, of evidence or of memory: what they ought to look at is hidden from them. Only for
 * showing that the checkers notice.
 */
import type { OutcomeInquirer } from "../../../participant/branches/outcome-inquirer.ts";
import type { ParticipantNode } from "../../../participant/participant-node.ts";
import type {
  FinishOutcome,
  PrepareOutcome,
  Shard,
  ShardSession,
} from "../../../participant/shard/shard.ts";
import type { BranchRequest, ExecuteRequest, Vote } from "../../../shared/model/protocol.ts";
import type { Mutation } from "../mutation.ts";

function withAnyTag(outcome: PrepareOutcome): PrepareOutcome {
  return outcome.kind === "answered" ? { ...outcome, tag: "PREPARE TRANSACTION" } : outcome;
}

function carelessSession(session: ShardSession, mutation: Mutation): ShardSession {
  const seen = (outcome: PrepareOutcome): PrepareOutcome =>
    mutation === "any tag is a vote" ? withAnyTag(outcome) : outcome;
  return {
    execute: (operations, key) => session.execute(operations, key),
    executeAndPrepare: async (operations, gid, deadlineMs, key) => {
      const outcome = await session.executeAndPrepare(operations, gid, deadlineMs, key);
      return { ...outcome, prepare: outcome.prepare && seen(outcome.prepare) };
    },
    read: (operations) => session.read(operations),
    runStep: (operation) => session.runStep(operation),
    takeSnapshot: () => session.takeSnapshot(),
    savepoint: (action) => session.savepoint(action),
    prepare: async (gid, deadlineMs) => seen(await session.prepare(gid, deadlineMs)),
    commit: (receipt) => session.commit(mutation === "receipt left out" ? null : receipt),
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

export function mutatedShard(shard: Shard, mutation: Mutation): Shard {
  const isOfSessions = mutation === "any tag is a vote" || mutation === "receipt left out";
  if (!isOfSessions && mutation !== "absence is evidence") return shard;
  return {
    begin: async (options) => {
      const session = await shard.begin(options);
      return isOfSessions ? carelessSession(session, mutation) : session;
    },
    commitPrepared: (gid) =>
      mutation === "absence is evidence"
        ? absenceAsDone(shard.commitPrepared(gid))
        : shard.commitPrepared(gid),
    rollbackPrepared: (gid) => shard.rollbackPrepared(gid),
    listPrepared: (prefix) => shard.listPrepared(prefix),
    xidStatus: (xid) => shard.xidStatus(xid),
    lockWaits: (runningForMs) => shard.lockWaits(runningForMs),
    fence: () => shard.fence(),
    findReceiptByKey: (key) => shard.findReceiptByKey(key),
    keysForgottenUpToMs: shard.keysForgottenUpToMs,
    settleReceipt: (transactionId) => shard.settleReceipt(transactionId),
  };
}

export function mutatedInquirer(inquirer: OutcomeInquirer, mutation: Mutation): OutcomeInquirer {
  if (mutation !== "decides alone") return inquirer;
  return {
    coordinators: inquirer.coordinators,
    ask: ({ branches }) => Promise.resolve(branches.map(() => ({ kind: "aborted" }))),
  };
}

type Handle = (linkId: string, request: BranchRequest) => Promise<unknown>;

/** `createTwin`: another participant on the same shard, which remembers nothing of what the first has met. */
export function mutatedHandle(
  node: ParticipantNode,
  createTwin: () => ParticipantNode,
  mutation: Mutation,
): Handle {
  const handle: Handle = (linkId, request) => node.handle(linkId, request);
  const isExecution = ({ kind }: BranchRequest): boolean =>
    kind === "execute" || kind === "executeOnePhase";
  if (mutation === "any incarnation") {
    const { bootId } = node.hello();
    return (linkId, request) =>
      handle(linkId, isExecution(request) ? ({ ...request, bootId } as BranchRequest) : request);
  }
  if (mutation === "a member is left out") return withoutFailed(handle, createTwin);
  if (mutation !== "carriers forgotten") return handle;
  const met = new Set<string>();
  return (linkId, request) => {
    if (request.kind !== "execute") return handle(linkId, request);
    const isRepeated = met.has(request.carrierId);
    met.add(request.carrierId);
    return isRepeated ? createTwin().handle(linkId, request) : handle(linkId, request);
  };
}

function withoutFailed(handle: Handle, createTwin: () => ParticipantNode): Handle {
  return async (linkId, request) => {
    const reply = await handle(linkId, request);
    if (request.kind !== "execute") return reply;
    const vote = reply as Vote;
    const failed = vote.kind === "no" ? vote.refusal.member : undefined;
    if (failed === undefined) return reply;
    const others = request.members.filter((_, place) => place !== failed);
    const again: ExecuteRequest = { ...request, members: others };
    const second = (await createTwin().handle(linkId, again)) as Vote;
    if (second.kind === "no") return reply;
    const made = request.members[failed]?.operations.map(() => ({ rowCount: 1, rows: [] })) ?? [];
    return { ...second, results: second.results.toSpliced(failed, 0, made) };
  };
}
