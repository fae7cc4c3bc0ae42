/**
 * Reads of several shards that see every transaction on all of them or on none, on unmodified Postgres.
 *
 *   one snapshot a shard ──▶ proof that this node led meanwhile ──▶ do they agree on all that committed? ──yes──▶ results
 *        ▲                                                                       │ no
 *        └── of the shards that lag, when what they lack is confirmed there ◀────┘
 *
 * Why it is enough to look at what Delivery has unconfirmed on the read's shards when the read begins, and at what is applied
 * from then on: a transaction that a snapshot lacks had not been confirmed by that shard when the read began, because a shard confirms what
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
import type { OperationResult, ReadRequest } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Ballot, CarrierId, ShardId } from "../../shared/model/ids.ts";
import type { Cancel, Clock, Logger } from "../../shared/model/ports.ts";
import type {
  BranchOperation,
  ReadReply,
  ReadRequest as ReadShard,
} from "../../shared/model/protocol.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import { inRequestOrder, operationsByShard, refusedRead } from "./answer.ts";
import type { Delivery } from "./delivery.ts";
import { NotLeader, type LeaderHint } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";
import type { Applied } from "./ledger/ledger.ts";
import { assertReachable } from "./reachable.ts";
import {
  lagsOf,
  parseSnapshot,
  type CommittedCarrier,
  type Lag,
  type Snapshot,
} from "./visibility.ts";

/** How much longer than a shard may take for its statements its answer is awaited. */
const REPLY_GRACE_MS = 1_000;
/** At once; each remembers what commits meanwhile. */
const MAX_READS = 1_024;

export interface ReadsOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Leadership;
  readonly delivery: Pick<Delivery, "unconfirmed" | "onConfirmed">;
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
}

interface Taken {
  readonly snapshot: Snapshot;
  readonly results: readonly OperationResult[];
}

interface Reading {
  readonly operations: ReadonlyMap<ShardId, readonly BranchOperation[]>;
  readonly deadlineMs: number;
  /** Everything that a snapshot may have seen on one shard and not on another. */
  readonly committed: Map<CarrierId, CommittedCarrier>;
  readonly taken: Map<ShardId, Taken>;
}

export class Reads {
  readonly #options: ReadsOptions;
  readonly #open = new Set<Reading>();

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Rejects with NotLeader, or with a SynodError. */
  async read(request: ReadRequest): Promise<readonly OperationResult[]> {
    const { leadership, leader, clock, links, delivery } = this.#options;
    const { ballot } = leadership;
    if (ballot === undefined) throw new NotLeader(leader());
    if (this.#open.size >= MAX_READS) {
      throw new SynodError("overloaded", `this node serves ${MAX_READS} reads at once`);
    }
    const operations = operationsByShard(request);
    assertReachable(links, [...operations.keys()]);
    const reading: Reading = {
      operations,
      deadlineMs: clock.monotonicMs() + request.timeoutMs,
      committed: new Map(),
      taken: new Map(),
    };
    for (const carrier of delivery.unconfirmed(operations.keys())) watch(reading, carrier);
    this.#open.add(reading);
    try {
      return await this.#read(reading, ballot);
    } finally {
      this.#open.delete(reading);
    }
  }

  /** Called with everything that is applied to the ledger. */
  applied(applied: Applied): void {
    if (applied.kind !== "committed") return;
    for (const reading of this.#open) watch(reading, applied.carrier);
  }

  async #read(reading: Reading, ballot: Ballot): Promise<readonly OperationResult[]> {
    const { operations, taken, committed } = reading;
    let stale: readonly ShardId[] = [...operations.keys()];
    for (;;) {
      await Promise.all(stale.map((shard) => this.#take(reading, shard)));
      await this.#prove(reading, ballot);
      const snapshots = new Map([...taken].map(([shard, { snapshot }]) => [shard, snapshot]));
      const lags = lagsOf(snapshots, committed.values());
      if (lags.length === 0) break;
      await this.#confirmed(reading, lags);
      stale = [...new Set(lags.map(({ shard }) => shard))];
    }
    return inRequestOrder(
      operations,
      new Map([...taken].map(([shard, { results }]) => [shard, results])),
    );
  }

  async #take({ operations, deadlineMs, taken }: Reading, shard: ShardId): Promise<void> {
    const { links, clock, logger } = this.#options;
    const timeoutMs = Math.ceil(deadlineMs - clock.monotonicMs());
    if (timeoutMs <= 0) throw noAgreement();
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
    taken.set(shard, { snapshot: parseSnapshot(reply.snapshot), results: reply.results });
  }

  async #prove(reading: Reading, ballot: Ballot): Promise<void> {
    if (reading.operations.size === 1) return;
    if (await this.#inTime(reading, this.#options.stillLeads(ballot))) return;
    throw new NotLeader(this.#options.leader());
  }

  async #confirmed(reading: Reading, lags: readonly Lag[]): Promise<void> {
    const cancels: Cancel[] = [];
    const confirmed = lags.map(
      ({ carrierId, shard }) =>
        new Promise<void>((resolve) => {
          cancels.push(this.#options.delivery.onConfirmed(carrierId, shard, resolve));
        }),
    );
    try {
      await this.#inTime(reading, Promise.all(confirmed));
    } finally {
      for (const cancel of cancels) cancel();
    }
  }

  #inTime<Result>({ deadlineMs }: Reading, work: Promise<Result>): Promise<Result> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
        reject(noAgreement());
      });
      work.then(resolve, reject).finally(cancel);
    });
  }
}

/** Transactions that touch no two of the shards look the same from all of them. */
function watch(
  { operations, committed }: Reading,
  { carrierId, branches }: CommittedCarrier,
): void {
  if (branches.filter(({ shard }) => operations.has(shard)).length < 2) return;
  committed.set(carrierId, { carrierId, branches });
}

function noAgreement(): SynodError {
  const sentence = "the shards did not agree on every transaction before the deadline";
  return new SynodError("transaction-timeout", sentence);
}
