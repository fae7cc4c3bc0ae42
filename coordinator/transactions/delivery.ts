/**
 * Brings decided commits to their branches until each has confirmed with evidence, and tells the log when a carrier is
 * complete. First attempts go out at once; what fails is tried again when the shard's link comes back and on a timer, a
 * bounded number at a time. Only a leader tries again: after it, the next leader starts from the ledger.
 */
import type { CarrierId, ShardId } from "../../shared/model/ids.ts";
import type { ReachFailpoint } from "../../shared/model/failpoints.ts";
import type { CommitReply } from "../../shared/model/protocol.ts";
import type { Cancel, Clock, Logger } from "../../shared/model/ports.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import type { DecidedBranch } from "./command.ts";
import { Confirmations } from "./confirmations.ts";
import type { Incidents } from "./incidents.ts";

const DELIVERY_LIMITS = {
  requestTimeoutMs: 10_000,
  retryIntervalMs: 250,
  /** Repeated deliveries in flight per shard; first attempts are bounded by admission. */
  maxRetriesInFlight: 32,
  /** Completions gathered before they are logged: off the critical path, one command for many. */
  completionIntervalMs: 100,
  maxCompletionsPerCommand: 1024,
} as const;

export interface DecidedCarrier {
  readonly carrierId: CarrierId;
  readonly branches: readonly DecidedBranch[];
}

export interface DeliveryOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly incidents: Incidents;
  /** Logs that these are complete. False: not now, they are offered again. */
  readonly complete: (carrierIds: readonly CarrierId[]) => boolean;
  readonly failpoint: ReachFailpoint;
}

interface Undelivered {
  readonly carrier: DecidedCarrier;
  readonly branch: DecidedBranch;
  /** `lost`: the shard knows it no more. Not tried again, and never confirmed. */
  state: "idle" | "inFlight" | "lost";
}

export class Delivery {
  readonly #options: DeliveryOptions;
  /** Unconfirmed branches by shard, in order of decision. */
  readonly #byShard = new Map<ShardId, Map<CarrierId, Undelivered>>();
  readonly #unconfirmed = new Map<CarrierId, Set<ShardId>>();
  readonly #confirmations = new Confirmations();
  #completed: CarrierId[] = [];
  #leading = false;
  #cancelRetry: Cancel = () => undefined;
  #cancelCompletion: Cancel | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** From now on what is undelivered is tried again; `backlog` is what earlier leaders left. */
  startLeading(backlog: Iterable<DecidedCarrier>): void {
    this.#leading = true;
    for (const carrier of backlog) this.#track(carrier);
    this.#retry();
  }

  stopLeading(): void {
    this.#leading = false;
    this.#cancelRetry();
    this.#cancelCompletion?.();
    this.#cancelCompletion = undefined;
    this.#byShard.clear();
    this.#unconfirmed.clear();
    this.#completed = [];
    this.#confirmations.end();
  }

  /** Shards of a carrier that have not confirmed; undefined when this node does not deliver it. */
  pendingShards(carrierId: CarrierId): readonly ShardId[] | undefined {
    const shards = this.#unconfirmed.get(carrierId);
    return shards === undefined ? undefined : [...shards];
  }

  /**
   * Starts delivery; `attempted` is called once per branch when its first attempt has ended, or at once where this node
   * no longer leads: then the new leader delivers.
   */
  deliver(carrier: DecidedCarrier, attempted: (shard: ShardId, confirmed: boolean) => void): void {
    if (!this.#leading) {
      for (const { shard } of carrier.branches) attempted(shard, false);
      return;
    }
    this.#track(carrier);
    for (const branch of carrier.branches) {
      const undelivered = this.#byShard.get(branch.shard)?.get(carrier.carrierId);
      if (undelivered === undefined) continue;
      void this.#attempt(undelivered).then((confirmed) => {
        attempted(branch.shard, confirmed);
      });
    }
  }

  /** Carriers that some of the shards have not confirmed; one comes as often as there are such shards. */
  *unconfirmed(shards: Iterable<ShardId>): Iterable<DecidedCarrier> {
    for (const shard of shards) {
      for (const { carrier } of this.#byShard.get(shard)?.values() ?? []) yield carrier;
    }
  }

  /**
   * Calls `notify` once, unless cancelled: when the shard has confirmed the carrier's branch, or this node does not deliver
   * it any more; at once where that is so already.
   */
  onConfirmed(carrierId: CarrierId, shard: ShardId, notify: () => void): Cancel {
    if (this.#unconfirmed.get(carrierId)?.has(shard) === true) {
      return this.#confirmations.await(carrierId, shard, notify);
    }
    notify();
    return () => undefined;
  }

  /** How many wait for a confirmation. */
  get waiting(): number {
    return this.#confirmations.waiting;
  }

  linkChanged(shard: ShardId): void {
    if (this.#leading && this.#options.links.connected(shard) !== undefined) {
      this.#retryShard(shard);
    }
  }

  #track(carrier: DecidedCarrier): void {
    const { carrierId, branches } = carrier;
    if (this.#unconfirmed.has(carrierId)) return;
    this.#unconfirmed.set(carrierId, new Set(branches.map(({ shard }) => shard)));
    for (const branch of branches) {
      const ofShard = this.#byShard.get(branch.shard) ?? new Map<CarrierId, Undelivered>();
      ofShard.set(carrierId, { carrier, branch, state: "idle" });
      this.#byShard.set(branch.shard, ofShard);
    }
  }

  #retry(): void {
    for (const shard of this.#byShard.keys()) this.#retryShard(shard);
    this.#cancelRetry = this.#options.clock.after(DELIVERY_LIMITS.retryIntervalMs, () => {
      this.#retry();
    });
  }

  #retryShard(shard: ShardId): void {
    if (this.#options.links.connected(shard) === undefined) return;
    let inFlight = 0;
    for (const undelivered of this.#byShard.get(shard)?.values() ?? []) {
      if (undelivered.state === "lost") continue;
      if (inFlight >= DELIVERY_LIMITS.maxRetriesInFlight) return;
      inFlight += 1;
      if (undelivered.state === "idle") void this.#attempt(undelivered);
    }
  }

  /** Never rejects: what went wrong is logged and tried again. */
  async #attempt(undelivered: Undelivered): Promise<boolean> {
    const { branch, carrier } = undelivered;
    undelivered.state = "inFlight";
    try {
      const request = { kind: "commit", gid: branch.gid, xid: branch.xid } as const;
      const { links } = this.#options;
      const reply = await links.request(branch.shard, request, DELIVERY_LIMITS.requestTimeoutMs);
      return this.#onReply(undelivered, reply);
    } catch (error) {
      const { carrierId } = carrier;
      this.#options.logger.debug({ error, shard: branch.shard, carrierId }, "commit not delivered");
      this.#retryLater(undelivered);
      return false;
    }
  }

  #onReply(undelivered: Undelivered, reply: CommitReply): boolean {
    const { branch, carrier } = undelivered;
    if (reply.kind === "committed") {
      this.#confirmed(branch.shard, carrier.carrierId);
      return true;
    }
    if (reply.kind === "lost") {
      const { shard, gid } = branch;
      this.#options.incidents.raise({
        kind: "participantLost",
        shard,
        gid,
        sentence: reply.sentence,
      });
      // Never complete, never silently wrong: it stays in the ledger as pending on that shard, and reads wait for it.
      undelivered.state = "lost";
    } else {
      this.#retryLater(undelivered);
    }
    return false;
  }

  /** Behind the others of its shard, so that one stubborn branch does not keep the rest from their turn. */
  #retryLater(undelivered: Undelivered): void {
    const { branch, carrier } = undelivered;
    undelivered.state = "idle";
    const ofShard = this.#byShard.get(branch.shard);
    if (ofShard?.get(carrier.carrierId) !== undelivered) return;
    ofShard.delete(carrier.carrierId);
    ofShard.set(carrier.carrierId, undelivered);
  }

  #confirmed(shard: ShardId, carrierId: CarrierId): void {
    this.#byShard.get(shard)?.delete(carrierId);
    const shards = this.#unconfirmed.get(carrierId);
    if (shards?.delete(shard) !== true) return;
    this.#confirmations.confirmed(carrierId, shard);
    this.#options.failpoint("afterFirstCommit");
    if (shards.size > 0) return;
    this.#unconfirmed.delete(carrierId);
    this.#completed.push(carrierId);
    this.#cancelCompletion ??= this.#options.clock.after(
      DELIVERY_LIMITS.completionIntervalMs,
      () => {
        this.#logCompletions();
      },
    );
  }

  #logCompletions(): void {
    this.#cancelCompletion = undefined;
    if (!this.#leading) return;
    this.#options.failpoint("beforeComplete");
    const carrierIds = this.#completed.splice(0, DELIVERY_LIMITS.maxCompletionsPerCommand);
    if (!this.#options.complete(carrierIds)) this.#completed.unshift(...carrierIds);
    if (this.#completed.length === 0) return;
    this.#cancelCompletion = this.#options.clock.after(DELIVERY_LIMITS.completionIntervalMs, () => {
      this.#logCompletions();
    });
  }
}
