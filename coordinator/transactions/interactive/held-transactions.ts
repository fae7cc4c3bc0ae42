/** The interactive transactions of one leader, by what they are found by. */
import { SynodError } from "../../../shared/model/errors.ts";
import type { CarrierId, GlobalId, ShardId, TransactionId } from "../../../shared/model/ids.ts";
import { INTERACTIVE_LIMITS } from "../../../shared/model/interactive.ts";
import { type HeldInteractive, isBeforeCommit } from "./held-interactive.ts";

const RETRY_AFTER_MS = 1_000;

export class HeldTransactions {
  readonly #byId = new Map<TransactionId, HeldInteractive>();
  readonly #byCarrier = new Map<CarrierId, HeldInteractive>();

  get size(): number {
    return this.#byId.size;
  }

  all(): Iterable<HeldInteractive> {
    return this.#byId.values();
  }

  *beforeCommit(): Iterable<HeldInteractive> {
    for (const held of this.#byId.values()) if (isBeforeCommit(held.state)) yield held;
  }

  find(id: TransactionId): HeldInteractive | undefined {
    return this.#byId.get(id);
  }

  ofCarrier(carrierId: CarrierId): HeldInteractive | undefined {
    return this.#byCarrier.get(carrierId);
  }

  /** Undefined: there is room for one more of this client's. */
  refusal(client: string, maxOpenPerClient: number): SynodError | undefined {
    if ((this.byClient().get(client) ?? 0) >= maxOpenPerClient) {
      const whose = client === "" ? "of clients that are not told apart" : `of client ${client}`;
      const sentence = `${maxOpenPerClient} interactive transactions ${whose} are open already: commit one or roll it back`;
      return new SynodError("too-many-open", sentence, { retryAfterMs: RETRY_AFTER_MS });
    }
    const { maxOpen } = INTERACTIVE_LIMITS;
    if (this.size < maxOpen) return undefined;
    return new SynodError("overloaded", `${maxOpen} interactive transactions are open already`);
  }

  /** How many each client has, of those who have any. */
  byClient(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { client } of this.#byId.values()) counts.set(client, (counts.get(client) ?? 0) + 1);
    return counts;
  }

  add(held: HeldInteractive): void {
    this.#byId.set(held.transactionId, held);
    this.#byCarrier.set(held.carrierId, held);
  }

  delete(held: HeldInteractive): void {
    this.#byId.delete(held.transactionId);
    this.#byCarrier.delete(held.carrierId);
  }

  /** A branch that runs a step is told by that; the others of its transaction wait for as long as it takes. */
  waiting(): ReadonlyMap<ShardId, readonly GlobalId[]> {
    const waiting = new Map<ShardId, GlobalId[]>();
    for (const { branches } of this.beforeCommit()) {
      for (const { shard, gid } of branches.waiting) {
        const ofShard = waiting.get(shard) ?? [];
        ofShard.push(gid);
        waiting.set(shard, ofShard);
      }
    }
    return waiting;
  }
}
