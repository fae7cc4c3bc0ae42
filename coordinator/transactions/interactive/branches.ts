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
  /** Asked for something that they have not answered. */
  readonly #busy = new Set<ShardId>();
  /** How often anything was asked of branches before the client's first step. */
  #snapshotsTaken = 0;

  constructor(options: InteractiveBranchesOptions, owner: BranchOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  /** Every branch that has been asked for anything. */
  get all(): readonly OpenBranch[] {
    return [...this.#open.values()];
  }

  /** Those that wait to be asked for something. */
  get waiting(): readonly OpenBranch[] {
    return this.all.filter(({ shard }) => !this.#busy.has(shard));
  }

  gidOn(shard: ShardId): GlobalId | undefined {
    return this.#open.get(shard)?.gid;
  }

  /** Resolves when there is a place for one more branch; rejects as not started. */
  admit(shard: ShardId): Promise<ReleasePlaces> {
    return placesOn([shard], this.#leftMs(), this.#options);
  }

  /** The places are this transaction's until its branches have ended. */
  open(shards: readonly ShardId[], places: ReleasePlaces): void {
    const { clusterId, links } = this.#options;
    this.#places.push(places);
    for (const shard of shards) {
      const gid = globalId(clusterId, this.#owner.carrierId, shard);
      this.#open.set(shard, { shard, gid, bootId: links.connected(shard)?.bootId ?? "" });
    }
  }

  /** Rejects when nothing is known of the step. */
  run(shard: ShardId, order: StepOrder): Promise<StatementReply> {
    return this.#ask(shard, { ...order, seq: this.#snapshotsTaken + order.seq });
  }

  /** Opens the branch on what is committed now, or begins it anew. As `run`. */
  takeSnapshot(shard: ShardId): Promise<StatementReply> {
    this.#snapshotsTaken += 1;
    return this.#ask(shard, {
      ...{ seq: this.#snapshotsTaken, opens: { savepoints: [] }, outlivesFailure: false },
      action: { kind: "takeSnapshot" },
    });
  }

  async #ask(shard: ShardId, order: StepOrder): Promise<StatementReply> {
    const { links } = this.#options;
    const { ballot, carrierId, request } = this.#owner;
    const branch = this.#open.get(shard);
    if (branch === undefined) throw new SynodError("internal-error", `no branch on ${shard}`);
    const timeoutMs = Math.max(1, Math.ceil(this.#leftMs()));
    const { bootId, gid } = branch;
    this.#busy.add(shard);
    try {
      return await links.request(
        shard,
        {
          ...{ kind: "statement", ballot, carrierId, bootId, gid, timeoutMs, ...order },
          isolation: request.isolation === "snapshot" ? "repeatable read" : request.isolation,
          silenceLimitMs: request.idleTimeoutMs,
        },
        Math.min(timeoutMs, INTERACTIVE_LIMITS.maxStatementMs) + BRANCH_LIMITS.answerGraceMs,
      );
    } finally {
      this.#busy.delete(shard);
    }
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

/** Resolves when there is a place on each; rejects as not started. */
export async function placesOn(
  shards: readonly ShardId[],
  timeoutMs: number,
  { links, share, admission }: InteractiveBranchesOptions,
): Promise<ReleasePlaces> {
  assertReachable(links, shards);
  const releaseShare = await share.enter(shards, timeoutMs);
  try {
    const release = await admission.enter(shards, timeoutMs);
    return () => {
      releaseShare();
      release();
    };
  } catch (error) {
    releaseShare();
    throw error;
  }
}
