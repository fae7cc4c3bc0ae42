/**
 * Snapshots of several shards that show every transaction on all of them or on none, on unmodified Postgres.
 *
 *   one snapshot a shard ──▶ proof that this node led meanwhile ──▶ do they agree on all that committed? ──yes──▶ done
 *        ▲                                                                       │ no
 *        └── of the shards that lag, when what they lack is confirmed there ◀────┘
 *
 * Why it is enough to look at what Delivery has unconfirmed on these shards at the beginning, and at what is applied
 * from then on: a transaction that a snapshot lacks had not been confirmed by that shard at the beginning, because a shard confirms what
 * it has committed, and the snapshot was taken later. If it was applied by then, Delivery had it, unconfirmed on that shard: what this
 * leader decides is tracked in the same turn in which it is applied, what earlier leaders decided in the turn in which this node
 * begins to serve, and what a shard has lost stays unconfirmed. What was applied later is told by `applied`. And what one
 * shard has seen and this node has not applied cannot be: a branch commits only when a node says that the decision is applied, the
 * leader applies first (one that restores the log from another's snapshot leads no more), and the proof, asked for when all snapshots of
 * the shards are taken, tells that no other led.
 *
 * What bypasses Synod (a session of its own on one shard) is seen as Postgres shows it, and so are transactions of one shard. The order
 * of different transactions is not kept: no two of the snapshots need to be of one moment (ARCHITECTURE.md).
 */
import { assert } from "../../shared/model/assert.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Ballot, CarrierId, ShardId } from "../../shared/model/ids.ts";
import type { Cancel, Clock } from "../../shared/model/ports.ts";
import type { Delivery } from "./delivery.ts";
import { NotLeader, type LeaderHint } from "./gateway.ts";
import type { Applied } from "./ledger/ledger.ts";
import { lagsOf, type CommittedCarrier, type Lag, type Snapshot } from "./visibility.ts";

/** By all attempts together; at the bound the one that remembers most is given up as overloaded. */
const MAX_REMEMBERED = 500_000;

export interface AgreementsOptions {
  readonly clock: Clock;
  readonly delivery: Pick<Delivery, "unconfirmed" | "onConfirmed">;
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
  readonly maxRemembered?: number;
}

export interface Wanted {
  readonly shards: ReadonlySet<ShardId>;
  /** Under which this node serves. */
  readonly ballot: Ballot;
  /** By the monotonic clock. */
  readonly deadlineMs: number;
  /** Takes the shard's snapshot, for the first time or anew. What it rejects with ends the attempt. */
  readonly take: (shard: ShardId) => Promise<Snapshot>;
}

interface Attempt extends Wanted {
  /** Everything that a snapshot may have seen on one shard and not on another. */
  readonly committed: Map<CarrierId, CommittedCarrier>;
  /** More has committed than can be remembered: nothing is known of its snapshots. */
  isGivenUp: boolean;
}

export class Agreements {
  readonly #options: AgreementsOptions;
  readonly #open = new Set<Attempt>();
  #remembered = 0;

  constructor(options: AgreementsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the last snapshots of all shards agree. Rejects with NotLeader, with `transaction-timeout`, or with
   * `overloaded`.
   */
  async reach(wanted: Wanted): Promise<void> {
    const attempt: Attempt = { ...wanted, committed: new Map(), isGivenUp: false };
    this.#open.add(attempt);
    for (const carrier of this.#options.delivery.unconfirmed(wanted.shards)) {
      this.#watch(attempt, carrier);
    }
    try {
      await this.#reach(attempt);
    } finally {
      this.#open.delete(attempt);
      this.#forget(attempt);
    }
  }

  /** Called with everything that is applied to the ledger. */
  applied(applied: Applied): void {
    if (applied.kind !== "committed") return;
    for (const attempt of this.#open) this.#watch(attempt, applied.carrier);
  }

  /** Transactions that touch no two of the shards look the same from all of them. */
  #watch(attempt: Attempt, { carrierId, branches }: CommittedCarrier): void {
    const { shards, committed, isGivenUp } = attempt;
    if (isGivenUp || committed.has(carrierId)) return;
    if (branches.filter(({ shard }) => shards.has(shard)).length < 2) return;
    committed.set(carrierId, { carrierId, branches });
    this.#remembered += 1;
    if (this.#remembered > (this.#options.maxRemembered ?? MAX_REMEMBERED)) this.#giveOneUp();
  }

  #giveOneUp(): void {
    const [most] = [...this.#open].sort((one, other) => other.committed.size - one.committed.size);
    assert(most !== undefined, "only open attempts remember anything");
    most.isGivenUp = true;
    this.#forget(most);
  }

  #forget({ committed }: Attempt): void {
    this.#remembered -= committed.size;
    committed.clear();
  }

  async #reach(attempt: Attempt): Promise<void> {
    const { shards, committed, take } = attempt;
    const snapshots = new Map<ShardId, Snapshot>();
    let stale: Iterable<ShardId> = shards;
    for (;;) {
      await Promise.all(
        [...stale].map(async (shard) => {
          snapshots.set(shard, await take(shard));
        }),
      );
      await this.#prove(attempt);
      if (attempt.isGivenUp) throw tooMuchCommitted();
      const lags = lagsOf(snapshots, committed.values());
      if (lags.length === 0) return;
      await this.#confirmed(attempt, lags);
      if (this.#leftMs(attempt) <= 0) throw noAgreement();
      stale = new Set(lags.map(({ shard }) => shard));
    }
  }

  async #prove(attempt: Attempt): Promise<void> {
    if (attempt.shards.size === 1) return;
    const { stillLeads, leader } = this.#options;
    if (await this.#inTime(attempt, stillLeads(attempt.ballot))) return;
    throw new NotLeader(leader());
  }

  async #confirmed(attempt: Attempt, lags: readonly Lag[]): Promise<void> {
    const cancels: Cancel[] = [];
    const confirmed = lags.map(
      ({ carrierId, shard }) =>
        new Promise<void>((resolve) => {
          cancels.push(this.#options.delivery.onConfirmed(carrierId, shard, resolve));
        }),
    );
    try {
      await this.#inTime(attempt, Promise.all(confirmed));
    } finally {
      for (const cancel of cancels) cancel();
    }
  }

  #leftMs({ deadlineMs }: Attempt): number {
    return deadlineMs - this.#options.clock.monotonicMs();
  }

  #inTime<Result>(attempt: Attempt, work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const cancel = this.#options.clock.after(Math.max(0, this.#leftMs(attempt)), () => {
        reject(noAgreement());
      });
      work.then(resolve, reject).finally(cancel);
    });
  }
}

function noAgreement(): SynodError {
  const sentence = "the shards did not agree on every transaction before the deadline";
  return new SynodError("transaction-timeout", sentence);
}

function tooMuchCommitted(): SynodError {
  return new SynodError("overloaded", "too much has committed while the snapshots were taken");
}
