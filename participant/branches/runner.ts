/**
 * Runs a branch from its first statement to its vote.
 *
 * PREPARE goes out together with the statements when all of them write, which is the usual case and saves a round trip;
 * results that turn out unacceptable then cost a ROLLBACK PREPARED. Otherwise (a read may be all there is, and a branch
 * that wrote nothing is not prepared at all) the results are seen first.
 */
import { assert } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import type { Logger } from "../../shared/model/ports.ts";
import type {
  BranchMember,
  ExecuteRequest,
  KeyedMember,
  Refusal,
  Vote,
} from "../../shared/model/protocol.ts";
import { ResultTooLarge, type Shard, type ShardSession, ShardUnreachable } from "../shard/shard.ts";
import {
  judgeExecution,
  type JudgedExecution,
  judgePrepare,
  type PlacedOperation,
  refusalFromServer,
} from "./judgement.ts";
import type { BranchRegistry, LiveBranch } from "./registry.ts";
import type { Settler } from "./settler.ts";

const WRITES = /^\s*(?:insert|update|delete|merge)\b/i;

export class BranchRunner {
  readonly #shard: Shard;
  readonly #registry: BranchRegistry;
  readonly #settler: Settler;
  readonly #logger: Logger;

  constructor(shard: Shard, registry: BranchRegistry, settler: Settler, logger: Logger) {
    this.#shard = shard;
    this.#registry = registry;
    this.#settler = settler;
    this.#logger = logger;
  }

  /** Never rejects for anything that the world can do. */
  run(branch: LiveBranch, request: ExecuteRequest): Promise<Vote> {
    const operations = operationsOf(request.members);
    return this.#toItsVote(branch, async () => {
      const { isolation, timeoutMs, lockTimeoutMs } = request;
      const session = await this.#shard.begin({ isolation, timeoutMs, lockTimeoutMs });
      branch.session = session;
      await this.#execute(branch, session, operations, request);
      await this.#prepare(branch, session, timeoutMs);
      return session;
    });
  }

  /** As `run`, for an interactive branch that has run its last step and has left its open state. */
  conclude(branch: LiveBranch, deadlineMs: number): Promise<Vote> {
    const { session } = branch;
    assert(session !== undefined, "a branch that was open has a session");
    return this.#toItsVote(branch, async () => {
      await this.#prepare(branch, session, deadlineMs);
      return session;
    });
  }

  async #toItsVote(branch: LiveBranch, work: () => Promise<ShardSession>): Promise<Vote> {
    try {
      const session = await work();
      if (branch.state.kind !== "prepared") await session.rollback();
    } catch (error) {
      const refusal = refusalFromThrown(error);
      this.#logger.debug({ gid: branch.gid, refusal }, "lost sight of a branch");
      this.#registry.advance(branch, { kind: "unreachable", refusal });
    }
    branch.session = undefined;
    if (branch.state.kind === "undoing" || branch.state.kind === "uncertain") {
      const settled = this.#settler.settle(branch);
      if (voteOf(branch) === undefined) await settled;
    }
    const vote = voteOf(branch);
    assert(vote !== undefined, "a branch that has run has a vote");
    return vote;
  }

  async #execute(
    branch: LiveBranch,
    session: ShardSession,
    operations: readonly PlacedOperation[],
    request: ExecuteRequest,
  ): Promise<void> {
    const sendsPrepare = operations.every(({ sql }) => WRITES.test(sql));
    this.#registry.advance(branch, { kind: "begun", sendsPrepare });
    assert(branch.state.kind === "executing", "a branch that was begun is executing");
    if (branch.state.stop !== null) {
      const execution = { kind: "refused", refusal: branch.state.stop } as const;
      this.#registry.advance(branch, { kind: "executed", execution, preparation: null });
      return;
    }
    const { timeoutMs, members } = request;
    const keys = members.flatMap(({ idempotencyKey }) => idempotencyKey ?? []);
    const { execution: outcome, prepare } = sendsPrepare
      ? await session.executeAndPrepare(operations, branch.gid, timeoutMs, keys)
      : { execution: await session.execute(operations, keys), prepare: null };
    const execution = withKeyHolder(judgeExecution(outcome, operations), members);
    branch.results = resultsByMember(members, execution.results);
    const preparation = prepare === null ? null : judgePrepare(prepare);
    this.#registry.advance(branch, { kind: "executed", execution, preparation });
  }

  async #prepare(branch: LiveBranch, session: ShardSession, deadlineMs: number): Promise<void> {
    if (branch.state.kind === "closing") {
      const outcome = await session.commit(null);
      const refusal = outcome.kind === "failed" ? refusalFromServer(outcome, "commit") : null;
      this.#registry.advance(branch, { kind: "closed", refusal });
    } else if (branch.state.kind === "preparing") {
      const preparation = judgePrepare(await session.prepare(branch.gid, deadlineMs));
      this.#registry.advance(branch, { kind: "prepareAnswered", preparation });
    }
  }
}

/** Undefined while it is open. */
function voteOf({ state, results }: LiveBranch): Vote | undefined {
  if (state.kind === "prepared") return { kind: "prepared", xid: state.xid, results };
  if (state.kind === "ended" && state.outcome === "readOnly") return { kind: "readOnly", results };
  const refusal =
    state.kind === "uncertain" ||
    state.kind === "undoing" ||
    (state.kind === "ended" && state.outcome === "aborted")
      ? state.refusal
      : null;
  return refusal === null ? undefined : { kind: "no", refusal };
}

export function operationsOf(members: readonly BranchMember[]): readonly PlacedOperation[] {
  const [only] = members;
  if (members.length === 1 && only !== undefined) return only.operations;
  return members.flatMap(({ operations }, member) =>
    operations.map((operation) => ({ ...operation, member })),
  );
}

function withKeyHolder(
  execution: JudgedExecution,
  members: readonly KeyedMember[],
): JudgedExecution {
  const { receipt } = execution;
  if (members.length === 1 || receipt === undefined || execution.kind !== "refused") {
    return execution;
  }
  const member = members.findIndex(
    ({ idempotencyKey }) => idempotencyKey === receipt.idempotencyKey,
  );
  assert(member >= 0, "a receipt is found by the key of a member");
  return { ...execution, refusal: { ...execution.refusal, member } };
}

export function resultsByMember(
  members: readonly BranchMember[],
  results: readonly OperationResult[],
): OperationResult[][] {
  let from = 0;
  return members.map(({ operations }) => {
    from += operations.length;
    return results.slice(from - operations.length, from);
  });
}

/** Rethrows what is a mistake of ours. Where the database is, its clients are not told: of the failure only its code. */
export function refusalFromThrown(error: unknown): Refusal {
  if (!(error instanceof ShardUnreachable)) throw error;
  const isTooLarge = error instanceof ResultTooLarge;
  return {
    code: isTooLarge ? "result-too-large" : "shard-unavailable",
    sentence: isTooLarge ? "the results are too large" : sentenceOfUnreachable(error),
  };
}

function sentenceOfUnreachable({ cause }: ShardUnreachable): string {
  const { code } = (cause ?? {}) as { readonly code?: unknown };
  const why = typeof code === "string" ? ` (${code})` : "";
  return `the shard's database cannot be reached, or its connection was lost${why}`;
}
