/**
 * A participant, assembled on ports alone: what production runs over sockets and Postgres, the simulator runs on virtual
 * time over its twins.
 */
import { unreachable } from "../shared/model/assert.ts";
import type { ClusterId, ShardId } from "../shared/model/ids.ts";
import type { Clock, Logger, Random } from "../shared/model/ports.ts";
import {
  type BranchReplies,
  type BranchRequest,
  type ParticipantHello,
  PROTOCOL_VERSION,
  type Refusal,
} from "../shared/model/protocol.ts";
import { BranchService } from "./branches/branch-service.ts";
import { CarrierMemory } from "./branches/carrier-memory.ts";
import { type Incident, Incidents } from "./branches/incidents.ts";
import { InteractiveBranches } from "./branches/interactive.ts";
import { OnePhase } from "./branches/one-phase.ts";
import { Reads } from "./branches/reads.ts";
import type { OutcomeInquirer } from "./branches/outcome-inquirer.ts";
import { Recovery } from "./branches/recovery.ts";
import { type BranchCounts, BranchRegistry, type LiveBranch } from "./branches/registry.ts";
import { BranchRunner } from "./branches/runner.ts";
import { Settler } from "./branches/settler.ts";
import { WaitReporter } from "./branches/wait-reporter.ts";
import type { Shard } from "./shard/shard.ts";

export interface ParticipantLimits {
  /** Branches that may be open or prepared at once; below the server's max_prepared_transactions. */
  readonly maxBranches: number;
  /** How long a branch may be in doubt before somebody is asked. */
  readonly inquiryAfterMs: number;
  /** How often branches that are due are looked for. */
  readonly tickIntervalMs: number;
  /** How often the shard is asked for branches that memory lost sight of. */
  readonly rescanIntervalMs: number;
  /** How long `stop` lets branches come to their end by themselves. */
  readonly drainTimeoutMs: number;
}

export const DEFAULT_PARTICIPANT_LIMITS: ParticipantLimits = {
  maxBranches: 64,
  inquiryAfterMs: 1_000,
  tickIntervalMs: 50,
  rescanIntervalMs: 5_000,
  drainTimeoutMs: 3_000,
};

const DRAIN_CHECK_INTERVAL_MS = 10;

export interface ParticipantNodeOptions {
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  /** Never used before: it names this incarnation. */
  readonly bootId: string;
  readonly shard: Shard;
  readonly inquirer: OutcomeInquirer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: ParticipantLimits;
}

export interface ParticipantView {
  /** Branches that run and have not voted. */
  readonly open: number;
  /** Branches that voted yes and whose end is not confirmed. */
  readonly prepared: number;
  /** Those of them that have been so for longer than `inquiryAfterMs`, or were found on the shard. */
  readonly inDoubt: number;
  /** Of the one that has been prepared for longest among those in doubt; 0 when there is none. */
  readonly oldestInDoubtMs: number;
  /** Transactions of this shard alone. */
  readonly onePhase: number;
  readonly counts: Readonly<BranchCounts>;
  readonly replicationWarnings: number;
  readonly incidentCount: number;
  readonly incidents: readonly Incident[];
}

export type BranchReply = BranchReplies[keyof BranchReplies];

const STOPPING: Refusal = { code: "draining", sentence: "the participant is shutting down" };
const RESTARTED: Refusal = {
  code: "shard-unavailable",
  sentence: "the participant was restarted since",
};

export class ParticipantNode {
  readonly #options: ParticipantNodeOptions;
  readonly #incidents: Incidents;
  readonly #registry: BranchRegistry;
  readonly #settler: Settler;
  readonly #branches: BranchService;
  readonly #interactive: InteractiveBranches;
  readonly #onePhase: OnePhase;
  readonly #reads: Reads;
  readonly #recovery: Recovery;
  readonly #waits: WaitReporter;
  #stopping = false;

  constructor(options: ParticipantNodeOptions) {
    const { clusterId, shardId, shard, clock, logger, limits } = options;
    this.#options = options;
    const carriers = new CarrierMemory();
    const incidents = new Incidents(clock, logger);
    const registry = new BranchRegistry(clock, incidents, limits.inquiryAfterMs);
    const settler = new Settler(shard, registry, logger);
    const overloaded = (): Refusal | undefined => this.#overloaded();
    this.#incidents = incidents;
    this.#registry = registry;
    this.#settler = settler;
    this.#onePhase = new OnePhase({ shard, carriers, logger, overloaded });
    this.#reads = new Reads({
      ...{ shard, clock },
      refusal: () => (this.#stopping ? STOPPING : undefined),
    });
    const runner = new BranchRunner(shard, registry, settler, logger);
    const common = { shard, carriers, registry, runner, clock, overloaded };
    this.#interactive = new InteractiveBranches({ ...common, logger });
    const interactive = this.#interactive;
    this.#branches = new BranchService({
      ...{ ...common, clusterId, shardId, settler, incidents, interactive },
    });
    this.#recovery = new Recovery({ ...options, ...limits, registry, settler, incidents });
    this.#waits = new WaitReporter(clusterId, shard, registry, this.#onePhase);
  }

  hello(): ParticipantHello {
    const { clusterId, shardId: shard, bootId, limits } = this.#options;
    const { maxBranches } = limits;
    return { protocol: PROTOCOL_VERSION, clusterId, shard, bootId, maxBranches };
  }

  /** Rejects only for requests that are none: a gid of another shard, say. */
  async handle(linkId: string, request: BranchRequest): Promise<BranchReply> {
    switch (request.kind) {
      case "execute":
        if (!this.#isForMe(request)) return { kind: "no", refusal: RESTARTED };
        return this.#branches.execute(linkId, request);
      case "executeOnePhase":
        // Not "no": the incarnation that was meant may have committed it, or an earlier attempt under its key.
        if (!this.#isForMe(request)) {
          return Promise.resolve({ kind: "unknown", sentence: RESTARTED.sentence });
        }
        this.#branches.hear(request.ballot);
        return this.#onePhase.execute(linkId, request);
      case "commit":
        return this.#branches.commit(request);
      case "abort":
        return this.#branches.abort(request);
      case "list":
        return this.#branches.list(request);
      case "settle":
        return this.#onePhase.settle(request);
      case "read":
        return this.#reads.read(linkId, request);
      case "waits":
        return this.#waits.report();
      case "statement":
        if (!this.#isForMe(request)) return { kind: "no", refusal: RESTARTED };
        return this.#branches.statement(linkId, request);
      case "prepare":
        if (!this.#isForMe(request)) return { kind: "no", refusal: RESTARTED };
        return this.#branches.prepare(request);
      case "keep":
        return this.#interactive.keep(request);
      default:
        return unreachable(request);
    }
  }

  /** An earlier incarnation may have run it already. */
  #isForMe({ bootId }: { readonly bootId: string }): boolean {
    return bootId === this.#options.bootId;
  }

  #overloaded(): Refusal | undefined {
    if (this.#stopping) return STOPPING;
    const { maxBranches } = this.#options.limits;
    if (this.#held < maxBranches) return undefined;
    return { code: "overloaded", sentence: `the shard holds ${maxBranches} branches already` };
  }

  get #held(): number {
    return this.#registry.live.size + this.#onePhase.size;
  }

  /** The connection of that name has ended. */
  linkLost(linkId: string): void {
    this.#branches.linkLost(linkId);
    this.#onePhase.linkLost(linkId);
    this.#reads.linkLost(linkId);
  }

  /** Begins to look for branches in doubt, which goes on until the shard answers. */
  start(): void {
    this.#recovery.start();
  }

  /**
   * Takes no more branches and waits for those there are, boundedly; then stops those that have not voted. What stays
   * prepared is found by the next incarnation.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    const { clock, limits } = this.#options;
    const untilMs = clock.monotonicMs() + limits.drainTimeoutMs;
    while (this.#held > 0 && clock.monotonicMs() < untilMs) {
      await new Promise<void>((resolve) => {
        clock.after(DRAIN_CHECK_INTERVAL_MS, resolve);
      });
    }
    this.#branches.stopAll(STOPPING);
    this.#onePhase.stopAll(STOPPING);
    const live = [...this.#registry.live.values()];
    const votes = live.map(({ vote }) => vote);
    const leaving = live.map((branch) => this.#interactive.whenLeft(branch));
    const others = [this.#onePhase.ended(), this.#reads.stopAll()];
    await Promise.allSettled([...votes, ...leaving, ...others]);
    this.#recovery.stop();
  }

  view(): ParticipantView {
    const live = [...this.#registry.live.values()];
    const prepared = live.filter(({ state }) =>
      /^(?:prepared|committing|aborting)$/.test(state.kind),
    );
    const nowMs = this.#options.clock.monotonicMs();
    const inDoubt = prepared.filter((branch) => isInDoubt(branch, nowMs));
    return {
      open: live.length - prepared.length,
      prepared: prepared.length,
      inDoubt: inDoubt.length,
      oldestInDoubtMs: Math.max(
        0,
        ...inDoubt.map(({ preparedAtMs = nowMs }) => nowMs - preparedAtMs),
      ),
      onePhase: this.#onePhase.size,
      counts: { ...this.#registry.counts },
      replicationWarnings: this.#settler.replicationWarnings,
      incidentCount: this.#incidents.count,
      incidents: this.#incidents.list(),
    };
  }
}

export function createParticipantNode(options: ParticipantNodeOptions): ParticipantNode {
  return new ParticipantNode(options);
}

function isInDoubt({ linkId, dueAtMs, attempts }: LiveBranch, nowMs: number): boolean {
  return linkId === null || attempts > 0 || dueAtMs <= nowMs;
}
