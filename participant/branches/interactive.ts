/**
 * Interactive branches from their first step until they prepare or leave. A branch is opened once (its carrier is met once)
 * and runs one step at a time; the last step again gets the last reply again, an earlier one is refused.
 *
 * An open branch holds its locks while its client thinks. The leader's word ends that, or its link, or another leader's
 * ballot; and should all of them be missing, the silence limit does, which no `keep` has put off.
 */
import type { Cancel, Clock, Logger } from "../../shared/model/ports.ts";
import type {
  KeepReply,
  KeepRequest,
  PrepareRequest,
  Refusal,
  StatementReply,
  StatementRequest,
  Vote,
} from "../../shared/model/protocol.ts";
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import type { Shard, ShardSession, StepOutcome } from "../shard/shard.ts";
import { OPENING } from "./branch.ts";
import type { CarrierMemory } from "./carrier-memory.ts";
import { judgeStep } from "./judgement.ts";
import { HIGHER_BALLOT, MET_BEFORE, NOT_OPEN, SILENCE } from "./refusals.ts";
import type { BranchRegistry, LiveBranch } from "./registry.ts";
import { type BranchRunner, refusalFromThrown } from "./runner.ts";

/** The leader gives word of open branches more often than this (coordinator/transactions/interactive). */
export const SILENCE_GRACE_MS = 5_000;

export interface InteractiveBranchesOptions {
  readonly shard: Shard;
  readonly carriers: CarrierMemory;
  readonly registry: BranchRegistry;
  readonly runner: BranchRunner;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Undefined: there is room for one more. */
  readonly overloaded: () => Refusal | undefined;
}

interface Watch {
  readonly silenceLimitMs: number;
  readonly cancel: Cancel;
}

export class InteractiveBranches {
  readonly #options: InteractiveBranchesOptions;
  /** Of branches that wait for their next step. */
  readonly #watches = new Map<LiveBranch, Watch>();

  constructor(options: InteractiveBranchesOptions) {
    this.#options = options;
  }

  statement(linkId: string, request: StatementRequest): Promise<StatementReply> {
    const { carriers, registry, overloaded } = this.#options;
    const { gid, carrierId, ballot, opens } = request;
    if (ballot < carriers.highestBallot) return no(HIGHER_BALLOT);
    const live = registry.live.get(gid);
    if (live !== undefined) return this.#next(live, request);
    if (opens === null) return no(NOT_OPEN);
    const refusal = overloaded();
    if (refusal !== undefined) return no(refusal);
    if (!carriers.meet(carrierId)) return no(MET_BEFORE);
    return this.#begin(registry.add(gid, carrierId, ballot, linkId, OPENING), request);
  }

  #next(branch: LiveBranch, request: StatementRequest): Promise<StatementReply> {
    const { lastStep, state } = branch;
    if (lastStep?.seq === request.seq) return lastStep.reply;
    if (lastStep === undefined || request.seq < lastStep.seq) return no(MET_BEFORE);
    if (state.kind !== "open") return no(NOT_OPEN);
    const goesBack = request.action.kind === "rollbackTo";
    if (state.failure !== null && !goesBack) {
      return Promise.resolve({ kind: "failed", refusal: state.failure });
    }
    this.#options.registry.advance(branch, { kind: "stepRequested", goesBack });
    return this.#begin(branch, request);
  }

  #begin(branch: LiveBranch, request: StatementRequest): Promise<StatementReply> {
    this.#unwatch(branch);
    const reply = this.#run(branch, request);
    branch.lastStep = { seq: request.seq, reply };
    return reply;
  }

  /** Never rejects for anything that the world can do. */
  async #run(branch: LiveBranch, request: StatementRequest): Promise<StatementReply> {
    const { registry, logger } = this.#options;
    const { action, outlivesFailure, silenceLimitMs } = request;
    const operation = action.kind === "operation" ? action.operation : undefined;
    let ran: StatementReply = { kind: "ran", result: null, fields: [] };
    try {
      branch.session ??= await this.#open(request);
      const performed = await perform(branch, branch.session, request);
      const { execution, fields, snapshot } = performed;
      const step = judgeStep(execution, operation);
      ran = {
        kind: "ran",
        result: step.result,
        fields: [...fields],
        ...(snapshot && { snapshot }),
      };
      registry.advance(branch, {
        kind: "ran",
        execution: step,
        outlivesFailure: outlivesFailure && step.isMendable,
      });
    } catch (error) {
      const refusal = refusalFromThrown(error);
      logger.debug({ gid: branch.gid, refusal }, "lost sight of an open branch");
      registry.advance(branch, { kind: "unreachable", refusal });
    }
    const { state } = branch;
    if (state.kind === "leaving") {
      await this.leave(branch);
      return { kind: "no", refusal: state.refusal };
    }
    this.#watch(branch, silenceLimitMs);
    const failure = state.kind === "open" ? state.failure : null;
    return failure === null ? ran : { kind: "failed", refusal: failure };
  }

  #open({ isolation, timeoutMs, opens }: StatementRequest): Promise<ShardSession> {
    const { maxStatementMs, lockTimeoutMs } = INTERACTIVE_LIMITS;
    return this.#options.shard.begin({
      isolation,
      timeoutMs: Math.min(timeoutMs, maxStatementMs),
      interactive: {
        savepoints: opens?.savepoints ?? [],
        lockTimeoutMs: Math.min(timeoutMs, lockTimeoutMs),
        maxIdleMs: timeoutMs + SILENCE_GRACE_MS,
      },
    });
  }

  /** The vote of a branch whose client has asked for the commit. */
  async prepare({ gid, ballot, timeoutMs }: PrepareRequest): Promise<Vote> {
    const { registry, carriers, runner } = this.#options;
    const branch = registry.live.get(gid);
    if (branch?.vote !== undefined) return branch.vote;
    if (ballot < carriers.highestBallot) return no(HIGHER_BALLOT);
    if (branch === undefined) return no(NOT_OPEN);
    const { state: before } = branch;
    if (before.kind !== "open") {
      this.#end(branch, NOT_OPEN);
      await this.whenLeft(branch);
      return no(NOT_OPEN);
    }
    this.#unwatch(branch);
    registry.advance(branch, { kind: "prepareRequested" });
    const { state } = branch;
    if (state.kind === "leaving") {
      await this.leave(branch);
      return no(state.refusal);
    }
    branch.vote = runner.conclude(branch, timeoutMs);
    return branch.vote;
  }

  /** The leader still wants these. */
  keep({ gids }: KeepRequest): KeepReply {
    const unknown = gids.filter((gid) => {
      const branch = this.#options.registry.live.get(gid);
      const watch = branch === undefined ? undefined : this.#watches.get(branch);
      if (branch === undefined || watch === undefined) return branch === undefined;
      this.#watch(branch, watch.silenceLimitMs);
      return false;
    });
    return { kind: "kept", unknown };
  }

  /** Gives the session of a branch back that is `leaving`, once. Never rejects. */
  leave(branch: LiveBranch): Promise<void> {
    branch.leaving ??= this.#leave(branch);
    return branch.leaving;
  }

  async #leave(branch: LiveBranch): Promise<void> {
    this.#unwatch(branch);
    await branch.session?.rollback();
    branch.session = undefined;
    this.#options.registry.advance(branch, { kind: "left" });
  }

  /** Resolves when a branch that was told to stop has left; at once where nothing has to be waited for. */
  async whenLeft(branch: LiveBranch): Promise<void> {
    await branch.lastStep?.reply;
    await branch.leaving;
  }

  #watch(branch: LiveBranch, silenceLimitMs: number): void {
    this.#unwatch(branch);
    const cancel = this.#options.clock.after(silenceLimitMs + SILENCE_GRACE_MS, () => {
      this.#options.logger.warn({ gid: branch.gid }, "an open branch was forgotten: rolled back");
      this.#end(branch, SILENCE);
    });
    this.#watches.set(branch, { silenceLimitMs, cancel });
  }

  #unwatch(branch: LiveBranch): void {
    this.#watches.get(branch)?.cancel();
    this.#watches.delete(branch);
  }

  #end(branch: LiveBranch, refusal: Refusal): void {
    this.#options.registry.advance(branch, { kind: "stopRequested", refusal });
    if (branch.state.kind === "leaving") void this.leave(branch);
    else branch.session?.interrupt();
  }
}

/** A branch that was stopped meanwhile has nothing more to run. */
async function perform(
  { state }: LiveBranch,
  session: ShardSession,
  { action }: StatementRequest,
): Promise<StepOutcome> {
  if (state.kind === "running" && state.stop !== null) {
    return { execution: { kind: "refused", index: 0, ...state.stop }, fields: [] };
  }
  if (action.kind === "operation") return session.runStep(action.operation);
  if (action.kind === "takeSnapshot") return session.takeSnapshot();
  return { execution: await session.savepoint(action), fields: [] };
}

function no(refusal: Refusal): Promise<Extract<Vote, { readonly kind: "no" }>> {
  return Promise.resolve({ kind: "no", refusal });
}
