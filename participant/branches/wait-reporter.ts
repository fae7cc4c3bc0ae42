/**
 * Tells which branches of this shard wait for which others, by carrier. Whoever compares two reports must be able to rely on
 * the second having been looked at after it was asked for: a look that is under way answers nobody who comes later.
 */
import { parseGlobalId } from "../../shared/model/global-id.ts";
import type { CarrierId, ClusterId } from "../../shared/model/ids.ts";
import type { BranchWait, WaitsReply } from "../../shared/model/protocol.ts";
import { type LockWait, type Shard, type ShardSession, ShardUnreachable } from "../shard/shard.ts";
import type { OnePhase } from "./one-phase.ts";
import type { BranchRegistry } from "./registry.ts";

/** Nothing that runs for less than this makes the shard be asked. */
const LOOK_AFTER_MS = 50;

export class WaitReporter {
  readonly #clusterId: ClusterId;
  readonly #shard: Shard;
  readonly #registry: BranchRegistry;
  readonly #onePhase: OnePhase;
  #looking: Promise<unknown> = Promise.resolve();
  /** Not begun: whoever asks now shares it. */
  #next: Promise<WaitsReply> | undefined;

  constructor(clusterId: ClusterId, shard: Shard, registry: BranchRegistry, onePhase: OnePhase) {
    this.#clusterId = clusterId;
    this.#shard = shard;
    this.#registry = registry;
    this.#onePhase = onePhase;
  }

  report(): Promise<WaitsReply> {
    if (this.#next !== undefined) return this.#next;
    const next = this.#looking.then(() => {
      this.#next = undefined;
      return this.#look();
    });
    this.#next = next;
    this.#looking = Promise.allSettled([next]);
    return next;
  }

  async #look(): Promise<WaitsReply> {
    try {
      const waits = await this.#shard.lockWaits(LOOK_AFTER_MS);
      return { kind: "waits", waits: waits.length === 0 ? [] : this.#byCarrier(waits) };
    } catch (error) {
      if (error instanceof ShardUnreachable) return { kind: "retry", sentence: error.message };
      throw error;
    }
  }

  /** A session that is nobody's any more has ended since. */
  #byCarrier(waits: readonly LockWait[]): BranchWait[] {
    const carriers = new Map<ShardSession, CarrierId>(this.#onePhase.sessions());
    for (const { session, carrierId } of this.#registry.live.values()) {
      if (session !== undefined) carriers.set(session, carrierId);
    }
    return waits.flatMap(({ waiter, holder, evidence }) => {
      const waiting = carriers.get(waiter);
      const holding =
        holder.kind === "session"
          ? carriers.get(holder.session)
          : parseGlobalId(this.#clusterId, holder.gid)?.carrier;
      if (waiting === undefined || holding === undefined) return [];
      return [{ waiter: waiting, holder: holding, evidence }];
    });
  }
}
