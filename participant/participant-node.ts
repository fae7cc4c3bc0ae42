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
import { OnePhase } from "./branches/one-phase.ts";
import type { OutcomeInquirer } from "./branches/outcome-inquirer.ts";
import { Recovery } from "./branches/recovery.ts";
import { type BranchCounts, BranchRegistry, type LiveBranch } from "./branches/registry.ts";
import { Settler } from "./branches/settler.ts";
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

export interface ParticipantNode {
  hello(): ParticipantHello;
  /** Rejects only for requests that are none: a gid of another shard, say. */
  handle(linkId: string, request: BranchRequest): Promise<BranchReply>;
  linkLost(linkId: string): void;
  /** Begins to look for branches in doubt, which goes on until the shard answers. */
  start(): void;
  /**
   * Takes no more branches and waits for those there are, boundedly; then stops those that have not voted. What stays
   * prepared is found by the next incarnation.
   */
  stop(): Promise<void>;
  view(): ParticipantView;
}

export function createParticipantNode(options: ParticipantNodeOptions): ParticipantNode {
  const { clusterId, shardId, bootId, shard, clock, logger, limits } = options;
  const { maxBranches, inquiryAfterMs } = limits;
  const carriers = new CarrierMemory();
  const incidents = new Incidents(clock, logger);
  const registry = new BranchRegistry(clock, incidents, inquiryAfterMs);
  const settler = new Settler(shard, registry, logger);
  let stopping = false;
  const overloaded = (): Refusal | undefined => {
    if (stopping) return STOPPING;
    if (registry.live.size + onePhase.size < maxBranches) return undefined;
    return { code: "overloaded", sentence: `the shard holds ${maxBranches} branches already` };
  };
  const onePhase = new OnePhase({ shard, carriers, logger, overloaded });
  const branches = new BranchService({
    ...{ clusterId, shardId, shard, carriers, registry, settler, incidents, clock, logger },
    overloaded,
  });
  const recovery = new Recovery({
    ...{ ...options, ...limits, registry, settler, incidents },
  });

  const handle = (linkId: string, request: BranchRequest): Promise<BranchReply> => {
    switch (request.kind) {
      case "execute":
        if (request.bootId !== bootId) return Promise.resolve({ kind: "no", refusal: RESTARTED });
        return branches.execute(linkId, request);
      case "executeOnePhase":
        if (request.bootId !== bootId) return Promise.resolve({ kind: "no", refusal: RESTARTED });
        branches.hear(request.ballot);
        return onePhase.execute(linkId, request);
      case "commit":
        return branches.commit(request);
      case "abort":
        return branches.abort(request);
      case "list":
        return branches.list(request);
      case "settle":
        return onePhase.settle(request);
      default:
        return unreachable(request);
    }
  };

  return {
    hello: () => ({ protocol: PROTOCOL_VERSION, clusterId, shard: shardId, bootId, maxBranches }),
    handle,
    linkLost: (linkId) => {
      branches.linkLost(linkId);
      onePhase.linkLost(linkId);
    },
    start: () => {
      recovery.start();
    },
    stop: async () => {
      stopping = true;
      await drained(() => registry.live.size + onePhase.size === 0, clock, limits.drainTimeoutMs);
      branches.stopAll(STOPPING);
      onePhase.stopAll(STOPPING);
      const votes = [...registry.live.values()].map(({ vote }) => vote);
      await Promise.allSettled([...votes, onePhase.ended()]);
      recovery.stop();
    },
    view: () => {
      const live = [...registry.live.values()];
      const prepared = live.filter(({ state }) =>
        /^(prepared|committing|aborting)$/.test(state.kind),
      );
      const nowMs = clock.monotonicMs();
      return {
        open: live.length - prepared.length,
        prepared: prepared.length,
        inDoubt: prepared.filter((branch) => isInDoubt(branch, nowMs)).length,
        onePhase: onePhase.size,
        counts: { ...registry.counts },
        replicationWarnings: settler.replicationWarnings,
        incidentCount: incidents.count,
        incidents: incidents.list(),
      };
    },
  };
}

function isInDoubt({ linkId, dueAtMs, attempts }: LiveBranch, nowMs: number): boolean {
  return linkId === null || attempts > 0 || dueAtMs <= nowMs;
}

/** Resolves when `isIdle` says so, or after the timeout. */
async function drained(isIdle: () => boolean, clock: Clock, timeoutMs: number): Promise<void> {
  const untilMs = clock.monotonicMs() + timeoutMs;
  while (!isIdle() && clock.monotonicMs() < untilMs) {
    await new Promise<void>((resolve) => {
      clock.after(DRAIN_CHECK_INTERVAL_MS, resolve);
    });
  }
}
