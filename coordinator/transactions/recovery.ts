/**
 * A new leader's first duty after its barrier: ask every shard which branches are prepared there and end those that
 * nobody else will. Commits that the ledger owes are delivery's; what is left here are branches without a decision
 * (aborted, by the floor rule or by this leader's own memory) and branches that came back from the dead.
 *
 * A shard that cannot be asked now is asked when its link is up again, and so is one whose link merely broke: branches may
 * have been prepared behind the broken link.
 */
import type { ShardId } from "../../shared/model/ids.ts";
import type { PreparedBranch } from "../../shared/model/protocol.ts";
import type { Cancel, Clock, Logger } from "../../shared/model/ports.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import type { Incidents } from "./incidents.ts";
import type { Leadership } from "./leadership.ts";
import type { Outcomes } from "./outcomes.ts";

const RECOVERY_LIMITS = { requestTimeoutMs: 5_000, retryIntervalMs: 250 } as const;

export interface RecoveryOptions {
  readonly links: ParticipantLinks;
  readonly outcomes: Outcomes;
  readonly leadership: Leadership;
  readonly incidents: Incidents;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  /** Shards still to be swept under the present leadership. */
  readonly #due = new Set<ShardId>();
  readonly #running = new Set<ShardId>();
  #cancelRetry: Cancel = () => undefined;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  startLeading(): void {
    for (const shard of this.#options.links.shards) this.#due.add(shard);
    this.#sweepDue();
  }

  stopLeading(): void {
    this.#cancelRetry();
    this.#due.clear();
  }

  linkChanged(shard: ShardId): void {
    const { leadership, links } = this.#options;
    if (leadership.ballot === undefined) return;
    this.#due.add(shard);
    if (links.connected(shard) !== undefined) this.#sweep(shard);
  }

  #sweepDue(): void {
    for (const shard of this.#due) this.#sweep(shard);
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(RECOVERY_LIMITS.retryIntervalMs, () => {
      this.#sweepDue();
    });
  }

  #sweep(shard: ShardId): void {
    const { links, leadership, logger } = this.#options;
    const { ballot } = leadership;
    if (ballot === undefined || links.connected(shard) === undefined) return;
    if (this.#running.has(shard)) return;
    this.#running.add(shard);
    const request = { kind: "list", ballot } as const;
    links
      .request(shard, request, RECOVERY_LIMITS.requestTimeoutMs)
      .then((reply) => {
        if (reply.kind === "retry" || leadership.ballot !== ballot) return;
        this.#due.delete(shard);
        for (const branch of reply.branches) this.#resolve(shard, branch);
      })
      .catch((error: unknown) => {
        logger.debug({ error, shard }, "prepared branches not listed");
      })
      .finally(() => {
        this.#running.delete(shard);
      });
  }

  #resolve(shard: ShardId, { gid, carrierId, xid }: PreparedBranch): void {
    const outcome = this.#options.outcomes.of(carrierId);
    switch (outcome.kind) {
      case "aborted":
        this.#tell(shard, { kind: "abort", gid });
        return;
      case "committed":
        // Incomplete ones are being delivered. A complete one that is prepared again came back with an old standby.
        if (outcome.carrier === undefined) this.#tell(shard, { kind: "commit", gid, xid });
        return;
      case "forgotten":
        this.#options.incidents.raise({
          kind: "participantLost",
          shard,
          gid,
          sentence: "prepared, but older than the decisions that are kept: decide by hand",
        });
        return;
      case "undecided":
        return;
    }
  }

  /** Once; a branch that is not reached by this asks by itself. */
  #tell(
    shard: ShardId,
    request:
      | { readonly kind: "abort"; readonly gid: PreparedBranch["gid"] }
      | {
          readonly kind: "commit";
          readonly gid: PreparedBranch["gid"];
          readonly xid: PreparedBranch["xid"];
        },
  ): void {
    const { links, logger, incidents } = this.#options;
    links
      .request(shard, request, RECOVERY_LIMITS.requestTimeoutMs)
      .then((reply) => {
        if (reply.kind !== "lost") return;
        const { gid } = request;
        incidents.raise({ kind: "participantLost", shard, gid, sentence: reply.sentence });
      })
      .catch((error: unknown) => {
        logger.debug({ error, shard, gid: request.gid }, "decision not delivered");
      });
  }
}
