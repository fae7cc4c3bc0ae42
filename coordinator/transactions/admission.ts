/**
 * How many branches may be open on each shard at once: what the participant announced. A transaction takes its place on
 * all its shards together or on none, so waiting transactions cannot block each other; they wait in order of arrival,
 * and one that needs other shards may overtake.
 */
import { assert } from "../../shared/model/assert.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";

export type ReleasePlaces = () => void;

interface Waiter {
  readonly shards: readonly ShardId[];
  readonly admit: () => void;
}

export const ADMISSION_LIMITS = {
  /** Transactions waiting for a place; beyond, they are refused at once as overloaded. */
  maxWaiting: 1024,
  /** One that waited so long is refused, so that a full queue turns over. */
  maxWaitMs: 2_000,
} as const;

/** Interactive transactions hold their places while clients think: one half is left to the others. */
export function interactiveShare(capacity: number): number {
  return Math.ceil(capacity / 2);
}

export class Admission {
  readonly #capacity: (shard: ShardId) => number;
  readonly #clock: Clock;
  readonly #used = new Map<ShardId, number>();
  #waiting: Waiter[] = [];

  constructor(capacity: (shard: ShardId) => number, clock: Clock) {
    this.#capacity = capacity;
    this.#clock = clock;
  }

  /** Undefined when the transaction must wait: the common case needs no promise. */
  tryEnter(shards: readonly ShardId[]): ReleasePlaces | undefined {
    if (!this.#fits(shards)) return undefined;
    for (const shard of shards) this.#used.set(shard, (this.#used.get(shard) ?? 0) + 1);
    let released = false;
    return () => {
      assert(!released, "a place is released once");
      released = true;
      for (const shard of shards) this.#used.set(shard, (this.#used.get(shard) ?? 0) - 1);
      this.#admitWaiting();
    };
  }

  /** Rejects with `overloaded` when the queue is full or the wait too long. */
  async enter(shards: readonly ShardId[], timeoutMs: number): Promise<ReleasePlaces> {
    const entered = this.tryEnter(shards);
    if (entered !== undefined) return entered;
    if (this.#waiting.length >= ADMISSION_LIMITS.maxWaiting) throw overloaded(shards);
    const waitMs = Math.min(timeoutMs, ADMISSION_LIMITS.maxWaitMs);
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(waitMs, () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        reject(overloaded(shards));
      });
      const waiter: Waiter = {
        shards,
        admit: () => {
          cancel();
          const release = this.tryEnter(shards);
          assert(release !== undefined, "a waiter is admitted when it fits");
          resolve(release);
        },
      };
      this.#waiting.push(waiter);
    });
  }

  #fits(shards: readonly ShardId[]): boolean {
    return shards.every((shard) => (this.#used.get(shard) ?? 0) < this.#capacity(shard));
  }

  #admitWaiting(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (this.#fits(waiter.shards)) waiter.admit();
      else this.#waiting.push(waiter);
    }
  }
}

function overloaded(shards: readonly ShardId[]): SynodError {
  const names = shards.join(", ");
  return new SynodError("overloaded", `too many branches are open on ${names}`, {
    retryAfterMs: ADMISSION_LIMITS.maxWaitMs,
  });
}
