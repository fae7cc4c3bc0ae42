/**
 * Does what a branch owes after its vote: COMMIT PREPARED, ROLLBACK PREPARED, or finding out whether it is prepared.
 * One attempt at a time per branch; whoever wants the same joins. What fails is attempted again by recovery.ts.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { Xid } from "../../shared/model/ids.ts";
import type { Logger } from "../../shared/model/ports.ts";
import { type FinishOutcome, type Shard, ShardUnreachable } from "../shard/shard.ts";
import type { BranchRegistry, LiveBranch } from "./registry.ts";

export class Settler {
  readonly #shard: Shard;
  readonly #registry: BranchRegistry;
  readonly #logger: Logger;
  #replicationWarnings = 0;

  constructor(shard: Shard, registry: BranchRegistry, logger: Logger) {
    this.#shard = shard;
    this.#registry = registry;
    this.#logger = logger;
  }

  /** Commits that the server confirmed with a warning: done, but perhaps not replicated yet. */
  get replicationWarnings(): number {
    return this.#replicationWarnings;
  }

  /** Resolves when the branch owes nothing any more, or an attempt has failed. Never rejects. */
  settle(branch: LiveBranch): Promise<void> {
    branch.settling ??= this.#settle(branch).finally(() => {
      branch.settling = undefined;
    });
    return branch.settling;
  }

  async #settle(branch: LiveBranch): Promise<void> {
    for (;;) {
      const before = branch.state;
      try {
        await this.#perform(branch);
      } catch (error) {
        if (!(error instanceof ShardUnreachable)) throw error;
        this.#failed(branch, error.message);
        return;
      }
      if (branch.state === before) return;
    }
  }

  /** Changes the state, or leaves it as it is: then there is nothing to do, or not now. */
  async #perform(branch: LiveBranch): Promise<void> {
    const { state, gid } = branch;
    switch (state.kind) {
      case "uncertain":
        await this.#look(branch);
        return;
      case "undoing":
        this.#finished(branch, await this.#shard.rollbackPrepared(gid));
        return;
      case "committing":
        await this.#finishDecided(branch, await this.#shard.commitPrepared(gid), state.xid);
        return;
      case "aborting":
        await this.#finishDecided(branch, await this.#shard.rollbackPrepared(gid), state.xid);
        return;
      case "executing":
      case "running":
      case "open":
      case "leaving":
      case "preparing":
      case "closing":
      case "prepared":
      case "ended":
      case "contradicted":
        return;
      default:
        unreachable(state);
    }
  }

  /** The fence comes first: a PREPARE that is still on its way would be missed. */
  async #look(branch: LiveBranch): Promise<void> {
    await this.#shard.fence();
    const prepared = await this.#shard.listPrepared(branch.gid);
    const isPrepared = prepared.some(({ gid }) => gid === branch.gid);
    this.#registry.advance(branch, { kind: "looked", isPrepared });
  }

  async #finishDecided(branch: LiveBranch, outcome: FinishOutcome, xid: Xid): Promise<void> {
    if (outcome.kind !== "doesNotExist") {
      this.#finished(branch, outcome);
      return;
    }
    const status = await this.#shard.xidStatus(xid);
    this.#registry.advance(branch, { kind: "gone", status });
    branch.trouble = `transaction ${xid} is ${status}, and no longer prepared`;
  }

  #finished(branch: LiveBranch, outcome: FinishOutcome): void {
    switch (outcome.kind) {
      case "finished":
        this.#noteWarnings(branch, outcome.warnings);
        this.#registry.advance(branch, { kind: "finished" });
        return;
      case "doesNotExist":
        this.#registry.advance(branch, { kind: "gone", status: "aborted" });
        return;
      case "refused":
        this.#failed(branch, outcome.message);
        return;
      default:
        unreachable(outcome);
    }
  }

  #failed(branch: LiveBranch, sentence: string): void {
    branch.trouble = sentence;
    this.#logger.debug({ gid: branch.gid, state: branch.state.kind, sentence }, "not settled yet");
    this.#registry.advance(branch, {
      kind: "unreachable",
      refusal: { code: "shard-unavailable", sentence },
    });
  }

  #noteWarnings(branch: LiveBranch, warnings: readonly string[]): void {
    if (warnings.length === 0) return;
    this.#replicationWarnings += 1;
    this.#logger.warn({ gid: branch.gid, warnings }, "finished with a warning of the server");
  }
}
