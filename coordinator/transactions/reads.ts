/** Reads of several shards that see every transaction on all of them or on none (agreements.ts). */
import type { OperationResult, ReadRequest } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type {
  BranchOperation,
  ReadReply,
  ReadRequest as ReadShard,
} from "../../shared/model/protocol.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import type { Agreements } from "./agreements.ts";
import { inRequestOrder, operationsByShard, refusedRead } from "./answer.ts";
import { NotLeader, type LeaderHint } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";
import { assertReachable } from "./reachable.ts";
import { parseSnapshot, type Snapshot } from "./visibility.ts";

/** How much longer than a shard may take for its statements its answer is awaited. */
const REPLY_GRACE_MS = 1_000;
/** At once; each remembers what commits meanwhile. */
const MAX_READS = 1_024;

export interface ReadsOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Leadership;
  readonly agreements: Agreements;
  readonly leader: () => LeaderHint | undefined;
}

interface Reading {
  readonly operations: ReadonlyMap<ShardId, readonly BranchOperation[]>;
  readonly deadlineMs: number;
  /** Of the last snapshot of each shard. */
  readonly results: Map<ShardId, readonly OperationResult[]>;
}

export class Reads {
  readonly #options: ReadsOptions;
  #open = 0;

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open;
  }

  /** Rejects with NotLeader, or with a SynodError. */
  async read(request: ReadRequest): Promise<readonly OperationResult[]> {
    const { leadership, leader, clock, links, agreements } = this.#options;
    const { ballot } = leadership;
    if (ballot === undefined) throw new NotLeader(leader());
    if (this.#open >= MAX_READS) {
      throw new SynodError("overloaded", `this node serves ${MAX_READS} reads at once`);
    }
    const operations = operationsByShard(request);
    const shards = new Set(operations.keys());
    assertReachable(links, [...shards]);
    const deadlineMs = clock.monotonicMs() + request.timeoutMs;
    const reading: Reading = { operations, deadlineMs, results: new Map() };
    this.#open += 1;
    try {
      const take = (shard: ShardId): Promise<Snapshot> => this.#take(reading, shard);
      await agreements.reach({ shards, ballot, deadlineMs, take });
    } finally {
      this.#open -= 1;
    }
    return inRequestOrder(operations, (shard) => reading.results.get(shard));
  }

  async #take({ operations, deadlineMs, results }: Reading, shard: ShardId): Promise<Snapshot> {
    const { links, clock, logger } = this.#options;
    const timeoutMs = Math.max(1, Math.ceil(deadlineMs - clock.monotonicMs()));
    const ofShard = operations.get(shard) ?? [];
    let reply: ReadReply;
    try {
      const request: ReadShard = { kind: "read", timeoutMs, operations: [...ofShard] };
      reply = await links.request(shard, request, timeoutMs + REPLY_GRACE_MS);
    } catch (error) {
      logger.debug({ error, shard }, "a shard cannot be read");
      throw new SynodError("shard-unavailable", `shard ${shard} did not answer`, { shard });
    }
    if (reply.kind === "no") throw refusedRead(shard, reply.refusal);
    results.set(shard, reply.results);
    return parseSnapshot(reply.snapshot);
  }
}
