/**
 * Who waits for a shard to confirm its branch of a carrier. As many as there are readers that wait, each until it is told or
 * cancels: what a reader that gave up left here would stay for as long as its shard is down.
 */
import type { CarrierId, ShardId } from "../../shared/model/ids.ts";
import type { Cancel } from "../../shared/model/ports.ts";

interface Waiter {
  readonly shard: ShardId;
  readonly notify: () => void;
}

export class Confirmations {
  readonly #waiting = new Map<CarrierId, Set<Waiter>>();

  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0);
  }

  await(carrierId: CarrierId, shard: ShardId, notify: () => void): Cancel {
    const waiter: Waiter = { shard, notify };
    const ofCarrier = this.#waiting.get(carrierId) ?? new Set<Waiter>();
    this.#waiting.set(carrierId, ofCarrier.add(waiter));
    return () => {
      this.#remove(carrierId, waiter);
    };
  }

  confirmed(carrierId: CarrierId, shard: ShardId): void {
    for (const waiter of this.#waiting.get(carrierId) ?? []) {
      if (waiter.shard !== shard) continue;
      this.#remove(carrierId, waiter);
      waiter.notify();
    }
  }

  /** Nothing will be confirmed here any more: those who wait look for themselves. */
  end(): void {
    const all = [...this.#waiting.values()].flatMap((ofCarrier) => [...ofCarrier]);
    this.#waiting.clear();
    for (const { notify } of all) notify();
  }

  #remove(carrierId: CarrierId, waiter: Waiter): void {
    const ofCarrier = this.#waiting.get(carrierId);
    if (ofCarrier?.delete(waiter) === true && ofCarrier.size === 0) this.#waiting.delete(carrierId);
  }
}
