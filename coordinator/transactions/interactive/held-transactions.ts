/** The interactive transactions of one leader, by what they are found by. */
import type { CarrierId, GlobalId, ShardId, TransactionId } from "../../../shared/model/ids.ts";
import { type HeldInteractive, isBeforeCommit } from "./held-interactive.ts";

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
