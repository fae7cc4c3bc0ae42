/**
 * What is not finished, as a leader knows it: transactions that it runs, and committed ones that a shard has not confirmed. In the
 * order of their ids, so that a page goes on where the one before ended, whatever came or went in between.
 */
import type { Origin, TransactionId } from "../../shared/model/ids.ts";
import { onePhaseShard, originOf } from "../../shared/model/ids.ts";
import type { ListAnswer, ListedTransaction, ListRequest } from "../../shared/model/listing.ts";
import type { Carriers } from "./carriers.ts";
import type { Delivery } from "./delivery.ts";
import { NotLeader, type LeaderHint } from "./gateway.ts";
import type { InteractiveTransactions } from "./interactive/interactive-transactions.ts";
import type { Leadership } from "./leadership.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { OnePhase } from "./one-phase.ts";

export interface ListingOptions {
  readonly ledger: Pick<Ledger, "incomplete" | "carrierOutcome">;
  readonly leadership: Pick<Leadership, "ballot">;
  readonly carriers: Pick<Carriers, "held">;
  readonly onePhase: Pick<OnePhase, "active">;
  readonly interactive: Pick<InteractiveTransactions, "open">;
  readonly delivery: Pick<Delivery, "pendingShards">;
  readonly leader: () => LeaderHint | undefined;
}

export class Listing {
  readonly #options: ListingOptions;

  constructor(options: ListingOptions) {
    this.#options = options;
  }

  /** Throws NotLeader where another node knows. */
  page(
    { state, limit, cursor }: ListRequest,
    isVisible: (id: TransactionId) => boolean = () => true,
  ): ListAnswer {
    const { leadership, leader } = this.#options;
    if (leadership.ballot === undefined) throw new NotLeader(leader());
    const after = cursor === undefined ? undefined : originOf(cursor as TransactionId);
    const found = this.#unfinished()
      .filter(({ state: found }) => state === undefined || found === state)
      .filter(({ id }) => isVisible(id as TransactionId))
      .map((listed) => ({ listed, origin: originOf(listed.id as TransactionId) }))
      .filter(({ origin }) => after === undefined || inOrder(after, origin) < 0)
      .sort((one, other) => inOrder(one.origin, other.origin))
      .map(({ listed }) => listed);
    const transactions = found.slice(0, limit);
    const last = transactions.at(-1);
    return { transactions, nextCursor: found.length > limit ? (last?.id ?? null) : null };
  }

  #unfinished(): ListedTransaction[] {
    return [
      ...[...this.#options.interactive.open()].map((it) => active(it.transactionId, it.shards)),
      ...[...this.#twoPhase(), ...this.#onePhase(), ...this.#undelivered()],
    ];
  }

  *#twoPhase(): Iterable<ListedTransaction> {
    const { carriers, ledger } = this.#options;
    for (const { carrierId, transactionId, shards } of carriers.held()) {
      if (ledger.carrierOutcome(carrierId).kind === "undecided")
        yield active(transactionId, shards);
    }
  }

  *#onePhase(): Iterable<ListedTransaction> {
    for (const id of this.#options.onePhase.active()) yield active(id, [onePhaseShard(id) ?? ""]);
  }

  *#undelivered(): Iterable<ListedTransaction> {
    const { ledger, delivery } = this.#options;
    for (const { carrierId, members, branches, atMs } of ledger.incomplete()) {
      const pendingShards = [...(delivery.pendingShards(carrierId) ?? [])];
      if (pendingShards.length === 0) continue;
      const shards = branches.map(({ shard }) => shard);
      const decidedAt = new Date(atMs).toISOString();
      for (const { transactionId: id } of members) {
        yield { id, state: "committed", shards, pendingShards, decidedAt };
      }
    }
  }
}

function active(id: TransactionId, shards: readonly string[]): ListedTransaction {
  return { id, state: "active", shards: [...shards], pendingShards: [], decidedAt: null };
}

function inOrder(one: Origin, other: Origin): number {
  return one.ballot - other.ballot || one.sequence - other.sequence;
}
