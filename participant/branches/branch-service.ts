/**
 * What coordinators ask about branches: execute, commit, abort, list. What they ask of interactive ones before the vote is
 * interactive.ts. Repeating any of these does no harm: a branch runs at
 * most once, and its end is joined, remembered, or read from the shard.
 */
import { SynodError } from "../../shared/model/errors.ts";
import { globalIdPrefix, parseGlobalId } from "../../shared/model/global-id.ts";
import type {
  Ballot,
  CarrierId,
  ClusterId,
  GlobalId,
  ShardId,
  Xid,
} from "../../shared/model/ids.ts";
import { carrierOrigin } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type {
  AbortReply,
  AbortRequest,
  CommitReply,
  CommitRequest,
  ExecuteRequest,
  ListReply,
  ListRequest,
  PreparedBranch,
  PrepareRequest,
  Refusal,
  StatementReply,
  StatementRequest,
  Vote,
} from "../../shared/model/protocol.ts";
import { type Shard, ShardUnreachable } from "../shard/shard.ts";
import { BEGINNING, isBeforeVote } from "./branch.ts";
import type { CarrierMemory } from "./carrier-memory.ts";
import type { Incidents } from "./incidents.ts";
import type { BranchRegistry, EndState, LiveBranch } from "./registry.ts";
import { ABORTED, HIGHER_BALLOT, LINK_LOST, MET_BEFORE } from "./refusals.ts";
import type { BranchRunner } from "./runner.ts";
import type { InteractiveBranches } from "./interactive.ts";
import type { Settler } from "./settler.ts";

export interface BranchServiceOptions {
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  readonly shard: Shard;
  readonly carriers: CarrierMemory;
  readonly registry: BranchRegistry;
  readonly settler: Settler;
  readonly runner: BranchRunner;
  readonly interactive: InteractiveBranches;
  readonly incidents: Incidents;
  readonly clock: Clock;
  /** Undefined: there is room for one more. */
  readonly overloaded: () => Refusal | undefined;
}

/** When a branch is asked about whose coordinator has gone away: well before a new leader can have come to it. */
const ORPHAN_INQUIRY_AFTER_MS = 100;

export class BranchService {
  readonly #options: BranchServiceOptions;

  constructor(options: BranchServiceOptions) {
    this.#options = options;
  }

  execute(linkId: string, request: ExecuteRequest): Promise<Vote> {
    const { registry, carriers } = this.#options;
    const { gid, carrierId, ballot } = request;
    this.#assertOurs(gid, carrierId);
    const live = registry.live.get(gid);
    if (live?.vote !== undefined) return live.vote;
    this.hear(ballot);
    if (ballot < carriers.highestBallot) return no(HIGHER_BALLOT);
    const overloaded = this.#options.overloaded();
    if (overloaded !== undefined) return no(overloaded);
    if (!carriers.meet(carrierId)) return no(MET_BEFORE);
    const branch = registry.add(gid, carrierId, ballot, linkId, BEGINNING);
    branch.vote = this.#options.runner.run(branch, request);
    return branch.vote;
  }

  statement(linkId: string, request: StatementRequest): Promise<StatementReply> {
    this.#assertOurs(request.gid, request.carrierId);
    this.hear(request.ballot);
    return this.#options.interactive.statement(linkId, request);
  }

  prepare(request: PrepareRequest): Promise<Vote> {
    this.#assertOurs(request.gid, request.carrierId);
    this.hear(request.ballot);
    return this.#options.interactive.prepare(request);
  }

  async commit({ gid, xid }: CommitRequest): Promise<CommitReply> {
    const { registry, settler } = this.#options;
    let branch = registry.live.get(gid);
    if (branch === undefined) {
      const past = registry.past(gid);
      if (past !== undefined) return this.#afterCommit(gid, past, xid);
      const found = await this.#find(gid, this.#carrierOf(gid), xid);
      if ("kind" in found) return found;
      branch = found.branch;
    }
    const { state } = branch;
    if (isBeforeVote(state)) return retry("the branch has not voted yet");
    if (state.kind === "prepared") {
      if (state.xid !== xid) return this.#lost(gid, otherXid(state.xid, xid));
      registry.advance(branch, { kind: "commitDecided", xid });
    } else if (state.kind !== "committing") {
      return this.#lost(gid, `decided to commit, but the branch is ${state.kind}`);
    }
    await settler.settle(branch);
    const end = registry.endOf(branch);
    return end === undefined ? retry(branch.trouble) : this.#afterCommit(gid, end, xid);
  }

  /** A branch that memory does not hold: as the shard shows it, or the reply when it is not prepared. */
  async #find(
    gid: GlobalId,
    carrierId: CarrierId,
    xid: Xid,
  ): Promise<{ readonly branch: LiveBranch } | CommitReply> {
    const { shard, registry } = this.#options;
    try {
      const prepared = (await shard.listPrepared(gid)).find((other) => other.gid === gid);
      if (prepared !== undefined) {
        const ballot = ballotOf(carrierId);
        return { branch: registry.adopt(gid, carrierId, ballot, prepared.xid) };
      }
      const status = await shard.xidStatus(xid);
      if (status === "committed") return { kind: "committed", evidence: "transactionStatus" };
      if (status === "in progress") return retry(`transaction ${xid} is in progress`);
      return this.#lost(
        gid,
        `decided to commit, but it is not prepared and the status of transaction ${xid} is "${status}"`,
      );
    } catch (error) {
      return retryAfter(error);
    }
  }

  #afterCommit(gid: GlobalId, end: EndState, xid: Xid): CommitReply {
    if (end.kind === "contradicted") return this.#lost(gid, end.sentence);
    if (end.outcome === "committed") {
      if (end.xid === xid) return { kind: "committed", evidence: end.evidence };
      return this.#lost(gid, otherXid(end.xid, xid));
    }
    return this.#lost(gid, `decided to commit, but the branch ended as ${end.outcome}`);
  }

  async abort({ gid }: AbortRequest): Promise<AbortReply> {
    const { registry, settler, carriers, interactive } = this.#options;
    // From now on an execute that comes late is refused.
    carriers.meet(this.#carrierOf(gid));
    const branch = registry.live.get(gid);
    if (branch === undefined) {
      const past = registry.past(gid);
      return past === undefined ? this.#rollBackUnknown(gid) : this.#afterAbort(gid, past);
    }
    this.#stop(branch, ABORTED);
    await branch.vote;
    await interactive.whenLeft(branch);
    if (branch.state.kind === "prepared") registry.advance(branch, { kind: "abortDecided" });
    if (branch.state.kind === "committing") {
      return this.#lost(gid, "decided to abort, but a commit of it is under way");
    }
    await settler.settle(branch);
    const end = registry.endOf(branch);
    return end === undefined ? retry(branch.trouble) : this.#afterAbort(gid, end);
  }

  async #rollBackUnknown(gid: GlobalId): Promise<AbortReply> {
    try {
      const outcome = await this.#options.shard.rollbackPrepared(gid);
      return outcome.kind === "refused" ? retry(outcome.message) : { kind: "aborted" };
    } catch (error) {
      return retryAfter(error);
    }
  }

  #afterAbort(gid: GlobalId, end: EndState): AbortReply {
    if (end.kind === "contradicted") return this.#lost(gid, end.sentence);
    if (end.outcome !== "committed") return { kind: "aborted" };
    return this.#lost(gid, `decided to abort, but transaction ${end.xid} is committed`);
  }

  async list({ ballot }: ListRequest): Promise<ListReply> {
    const { clusterId, shardId, shard, carriers } = this.#options;
    this.hear(ballot);
    if (ballot < carriers.highestBallot) return retry(HIGHER_BALLOT.sentence);
    try {
      const prepared = await shard.listPrepared(globalIdPrefix(clusterId));
      const branches = prepared.flatMap(({ gid, xid }): PreparedBranch[] => {
        const parts = parseGlobalId(clusterId, gid);
        return parts?.shard === shardId ? [{ gid, xid, carrierId: parts.carrier }] : [];
      });
      return { kind: "prepared", branches };
    } catch (error) {
      return retryAfter(error);
    }
  }

  /** A new leader is heard of: what older ones began and has not voted can no longer commit. */
  hear(ballot: Ballot): void {
    if (!this.#options.carriers.hear(ballot)) return;
    for (const branch of this.#options.registry.live.values()) {
      if (branch.ballot < ballot) this.#stop(branch, HIGHER_BALLOT);
    }
  }

  /** Branches that have not voted are rolled back; about those that have, somebody else is asked soon. */
  linkLost(linkId: string): void {
    const { registry, clock } = this.#options;
    for (const branch of registry.live.values()) {
      if (branch.linkId !== linkId) continue;
      this.#stop(branch, LINK_LOST);
      const soonMs = clock.monotonicMs() + ORPHAN_INQUIRY_AFTER_MS;
      branch.dueAtMs = Math.min(branch.dueAtMs, soonMs);
    }
  }

  stopAll(refusal: Refusal): void {
    for (const branch of this.#options.registry.live.values()) this.#stop(branch, refusal);
  }

  /** Does nothing to a branch that has voted. */
  #stop(branch: LiveBranch, refusal: Refusal): void {
    const { registry, interactive } = this.#options;
    registry.advance(branch, { kind: "stopRequested", refusal });
    if (branch.state.kind === "leaving") void interactive.leave(branch);
    else branch.session?.interrupt();
  }

  #lost(gid: GlobalId, sentence: string): { readonly kind: "lost"; readonly sentence: string } {
    this.#options.incidents.raise(gid, sentence);
    return { kind: "lost", sentence };
  }

  #carrierOf(gid: GlobalId): CarrierId {
    const { clusterId, shardId } = this.#options;
    const parts = parseGlobalId(clusterId, gid);
    if (parts?.shard === shardId) return parts.carrier;
    throw new SynodError("invalid-request", `${gid} is no branch of this shard`);
  }

  #assertOurs(gid: GlobalId, carrierId: CarrierId): void {
    if (this.#carrierOf(gid) === carrierId) return;
    throw new SynodError("invalid-request", `${gid} is no branch of carrier ${carrierId}`);
  }
}

function no(refusal: Refusal): Promise<Vote> {
  return Promise.resolve({ kind: "no", refusal });
}

function retry(sentence: string): { readonly kind: "retry"; readonly sentence: string } {
  return { kind: "retry", sentence };
}

/** Rethrows what is a mistake of ours. */
function retryAfter(error: unknown): { readonly kind: "retry"; readonly sentence: string } {
  if (error instanceof ShardUnreachable) return retry(error.message);
  throw error;
}

function otherXid(here: Xid, decided: Xid): string {
  return `decided to commit transaction ${decided}, but the branch of this name is transaction ${here}`;
}

function ballotOf(carrierId: CarrierId): Ballot {
  const origin = carrierOrigin(carrierId);
  if (origin === undefined) throw new SynodError("invalid-request", `${carrierId} is no carrier`);
  return origin.ballot;
}
