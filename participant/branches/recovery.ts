/**
 * Brings branches in doubt to their end: finds them on the shard, asks coordinators what was decided, and does exactly
 * that. Never decides alone: "undecided" and "forgotten" change nothing, however long it takes.
 *
 *   at start, and every `rescanIntervalMs`   list what is prepared; what memory does not hold is in doubt
 *   every `tickIntervalMs`                   branches that are due: in doubt → ask; owing an end → attempt it again
 */
import { unreachable } from "../../shared/model/assert.ts";
import { globalIdPrefix, parseGlobalId } from "../../shared/model/global-id.ts";
import type { ClusterId, ShardId, Xid } from "../../shared/model/ids.ts";
import { carrierOrigin } from "../../shared/model/ids.ts";
import type { Cancel, Clock, Logger, Random } from "../../shared/model/ports.ts";
import type { BranchOutcome } from "../../shared/model/inquiry.ts";
import { type Shard, ShardUnreachable } from "../shard/shard.ts";
import type { Incidents } from "./incidents.ts";
import type { OutcomeInquirer } from "./outcome-inquirer.ts";
import type { BranchRegistry, LiveBranch } from "./registry.ts";
import type { Settler } from "./settler.ts";

export interface RecoveryOptions {
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  readonly shard: Shard;
  readonly registry: BranchRegistry;
  readonly settler: Settler;
  readonly inquirer: OutcomeInquirer;
  readonly incidents: Incidents;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly tickIntervalMs: number;
  readonly rescanIntervalMs: number;
}

/** The protocol's bound of one inquiry. */
const MAX_BRANCHES_PER_INQUIRY = 256;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;

type InDoubt = LiveBranch & { readonly state: { readonly kind: "prepared"; readonly xid: Xid } };

export class Recovery {
  readonly #options: RecoveryOptions;
  #rescanAtMs = 0;
  #rescanning = false;
  #asking = false;
  #cancelTick: Cancel = () => undefined;
  #stopped = false;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** Never ends by itself; what fails is attempted again. */
  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
  }

  #tick(): void {
    if (this.#stopped) return;
    const { clock, registry, settler, tickIntervalMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#rescanAtMs && !this.#rescanning) void this.#rescan();
    const inDoubt: InDoubt[] = [];
    for (const branch of registry.live.values()) {
      if (branch.dueAtMs > nowMs || branch.settling !== undefined) continue;
      if (isInDoubt(branch)) {
        inDoubt.push(branch);
      } else if (owesItsEnd(branch)) {
        this.#postpone(branch);
        void settler.settle(branch);
      }
    }
    if (inDoubt.length > 0 && !this.#asking) void this.#ask(inDoubt);
    this.#cancelTick = clock.after(tickIntervalMs, () => {
      this.#tick();
    });
  }

  /** Exponential, with jitter, so that participants do not ask in step. */
  #postpone(branch: LiveBranch): void {
    const { clock, random } = this.#options;
    const backoffMs = Math.min(
      FIRST_BACKOFF_MS * 2 ** Math.min(branch.attempts, 16),
      MAX_BACKOFF_MS,
    );
    branch.attempts += 1;
    branch.dueAtMs = clock.monotonicMs() + backoffMs / 2 + random.integer(backoffMs / 2 + 1);
  }

  async #rescan(): Promise<void> {
    const { clock, logger, rescanIntervalMs, tickIntervalMs } = this.#options;
    this.#rescanning = true;
    let nextMs = tickIntervalMs;
    try {
      await this.#scan();
      await this.#options.shard.fence();
      nextMs = rescanIntervalMs;
    } catch (error) {
      if (!(error instanceof ShardUnreachable)) throw error;
      logger.debug({ sentence: error.message }, "prepared branches cannot be listed now");
    } finally {
      this.#rescanning = false;
      this.#rescanAtMs = clock.monotonicMs() + nextMs;
    }
  }

  /** Finds the branches that memory does not hold. Rejects with `ShardUnreachable`. */
  async #scan(): Promise<void> {
    const { clusterId, shardId, shard, registry, clock, logger } = this.#options;
    const startedAtMs = clock.monotonicMs();
    for (const { gid, xid } of await shard.listPrepared(globalIdPrefix(clusterId))) {
      const parts = parseGlobalId(clusterId, gid);
      const origin = parts === undefined ? undefined : carrierOrigin(parts.carrier);
      if (parts?.shard !== shardId || origin === undefined) continue;
      if (registry.live.has(gid) || registry.endedSince(gid, startedAtMs)) continue;
      logger.info({ gid, xid }, "found a branch in doubt");
      registry.adopt(gid, parts.carrier, origin.ballot, xid);
    }
  }

  /** Asks one coordinator after the other, until each branch is decided or all have been asked. Never rejects. */
  async #ask(due: readonly InDoubt[]): Promise<void> {
    const { inquirer, logger } = this.#options;
    this.#asking = true;
    for (const branch of due) this.#postpone(branch);
    let open = due.slice(0, MAX_BRANCHES_PER_INQUIRY);
    for (let asked = 0; asked < inquirer.coordinators && open.length > 0; asked += 1) {
      try {
        open = await this.#askOne(open);
      } catch (error) {
        logger.debug({ error, branches: open.length }, "no answer about branches in doubt");
      }
      open = open.filter(isInDoubt);
    }
    this.#asking = false;
  }

  /** Resolves with the branches that stay in doubt. */
  async #askOne(open: readonly InDoubt[]): Promise<InDoubt[]> {
    const { inquirer, shardId } = this.#options;
    const branches = open.map(({ carrierId, state }) => ({ carrierId, xid: state.xid }));
    const outcomes = await inquirer.ask({ shard: shardId, branches });
    return open.filter((branch, index) => {
      const outcome = outcomes[index];
      return outcome === undefined || !isInDoubt(branch) || !this.#act(branch, outcome);
    });
  }

  /** True when the branch is decided. */
  #act(branch: InDoubt, outcome: BranchOutcome): boolean {
    const { registry, settler, incidents } = this.#options;
    const { gid, state } = branch;
    switch (outcome.kind) {
      case "committed":
        if (outcome.xid !== null && outcome.xid !== state.xid) {
          incidents.raise(
            gid,
            `decided to commit transaction ${outcome.xid}, but the branch of this name is transaction ${state.xid}`,
          );
          return true;
        }
        registry.advance(branch, { kind: "commitDecided", xid: state.xid });
        break;
      case "aborted":
        registry.advance(branch, { kind: "abortDecided" });
        break;
      case "forgotten":
        incidents.raise(gid, "in doubt, but older than the decisions that are kept");
        return true;
      case "undecided":
        return false;
      default:
        return unreachable(outcome);
    }
    void settler.settle(branch);
    return true;
  }
}

function isInDoubt(branch: LiveBranch): branch is InDoubt {
  return branch.state.kind === "prepared";
}

function owesItsEnd({ state }: LiveBranch): boolean {
  return /^(?:committing|aborting|uncertain|undoing)$/.test(state.kind);
}
