/**
 * The branches of one interactive transaction: a place on each shard, the messages to them, and their end.
 */
import type { Clock, Logger } from "../../../shared/model/ports.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import { globalId } from "../../../shared/model/global-id.ts";
import type { Ballot, CarrierId, ClusterId, GlobalId, ShardId } from "../../../shared/model/ids.ts";
import { type BeginRequest, INTERACTIVE_LIMITS } from "../../../shared/model/interactive.ts";
import type {
  BranchAction,
  StatementReply,
  StatementRequest,
} from "../../../shared/model/protocol.ts";
import type { ParticipantLinks } from "../../transport/participant-link.ts";
import type { Admission, ReleasePlaces } from "../admission.ts";
import type { OpenBranch } from "../held-carrier.ts";
import { assertReachable } from "../reachable.ts";

const BRANCH_LIMITS = {
  /** How long after its time a step's answer may still be on its way. */
  answerGraceMs: 1_000,
  abortTimeoutMs: 5_000,
} as const;

export interface InteractiveBranchesOptions {
  readonly clusterId: ClusterId;
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  /** All places of the shards. */
  readonly admission: Admission;
  /** The share of them that interactive transactions may take. */
  readonly share: Admission;
}

export interface BranchOwner {
  readonly ballot: Ballot;
  readonly carrierId: CarrierId;
  readonly request: BeginRequest;
  /** When the transaction's time is over, on the monotonic clock. */
  readonly untilMs: number;
}

/** What is the same for every branch of a step. */
export type StepOrder = Pick<StatementRequest, "seq" | "opens" | "outlivesFailure"> & {
  readonly action: BranchAction;
};

export class Branches {
  readonly #options: InteractiveBranchesOptions;
  readonly #owner: BranchOwner;
  readonly #open = new Map<ShardId, OpenBranch>();
  readonly #places: ReleasePlaces[] = [];

  constructor(options: InteractiveBranchesOptions, owner: BranchOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  /** Every branch that has been asked for anything. */
  get all(): readonly OpenBranch[] {
    return [...this.#open.values()];
  }

  gidOn(shard: ShardId): GlobalId | undefined {
    return this.#open.get(shard)?.gid;
  }

  /** Resolves when there is a place for one more branch; rejects as not started. */
  async admit(shard: ShardId): Promise<ReleasePlaces> {
    const { links, share, admission } = this.#options;
    assertReachable(links, [shard]);
    const timeoutMs = this.#leftMs();
    const releaseShare = await share.enter([shard], timeoutMs);
    try {
      const release = await admission.enter([shard], timeoutMs);
      return () => {
        releaseShare();
        release();
      };
    } catch (error) {
      releaseShare();
      throw error;
    }
  }

  /** The place is this transaction's until its branches have ended. */
  open(shard: ShardId, place: ReleasePlaces): void {
    const { clusterId, links } = this.#options;
    this.#places.push(place);
    const gid = globalId(clusterId, this.#owner.carrierId, shard);
    this.#open.set(shard, { shard, gid, bootId: links.connected(shard)?.bootId ?? "" });
  }

  /** Rejects when nothing is known of the step. */
  async run(shard: ShardId, order: StepOrder): Promise<StatementReply> {
    const { links } = this.#options;
    const { ballot, carrierId, request } = this.#owner;
    const branch = this.#open.get(shard);
    if (branch === undefined) throw new SynodError("internal-error", `no branch on ${shard}`);
    const timeoutMs = Math.max(1, Math.ceil(this.#leftMs()));
    const { bootId, gid } = branch;
    return links.request(
      shard,
      {
        ...{ kind: "statement", ballot, carrierId, bootId, gid, timeoutMs, ...order },
        isolation: request.isolation,
        silenceLimitMs: request.idleTimeoutMs,
      },
      Math.min(timeoutMs, INTERACTIVE_LIMITS.maxStatementMs) + BRANCH_LIMITS.answerGraceMs,
    );
  }

  /** Tells them once, whoever is not reached notices by itself; then the places are given back. */
  async rollBack(shards: readonly ShardId[]): Promise<void> {
    await Promise.all(shards.map((shard) => this.#abort(shard)));
    this.release();
  }

  async #abort(shard: ShardId): Promise<void> {
    const { links, logger } = this.#options;
    const gid = this.gidOn(shard);
    if (gid === undefined) return;
    try {
      await links.request(shard, { kind: "abort", gid }, BRANCH_LIMITS.abortTimeoutMs);
    } catch (error) {
      logger.debug({ error, shard, gid }, "an open branch was not told to roll back");
    }
  }

  release(): void {
    for (const release of this.#places.splice(0)) release();
  }

  #leftMs(): number {
    return Math.max(0, this.#owner.untilMs - this.#options.clock.monotonicMs());
  }
}
