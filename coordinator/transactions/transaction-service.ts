/**
 * The front of the coordinator's heart: takes submissions, gives ids, finds replays, and answers what became of a
 * transaction. How a carrier runs is carriers.ts and one-phase.ts; what is replicated is the ledger.
 */
import type { TransactionResponse, TransactionStatus } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import type { Ballot, ShardId, TransactionId } from "../../shared/model/ids.ts";
import {
  carrierId,
  onePhaseShard,
  onePhaseTransactionId,
  originOf,
  transactionId,
} from "../../shared/model/ids.ts";
import type { Clock, Random } from "../../shared/model/ports.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import type { Admission } from "./admission.ts";
import { operationsByShard, soleAnswer } from "./answer.ts";
import type { AnsweredKeys } from "./answered-keys.ts";
import { assertReachable } from "./reachable.ts";
import type { Carriers } from "./carriers.ts";
import type { CommitCommand } from "./command.ts";
import type { TransactionCounts } from "./counts.ts";
import type { Delivery } from "./delivery.ts";
import { NotLeader, type LeaderHint, type Submission, type SubmissionAnswer } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";
import { ballotFor, KeyedAttempts, type Attempt } from "./keyed-attempts.ts";
import type { Lane, Ride } from "./lane/lane.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { OnePhase } from "./one-phase.ts";
import { refuseNotGiven } from "./not-given.ts";
import { ownedId } from "./owner.ts";

export interface TransactionServiceOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  readonly carriers: Carriers;
  readonly onePhase: OnePhase;
  readonly delivery: Delivery;
  readonly admission: Admission;
  readonly lane: Lane;
  readonly answeredKeys: AnsweredKeys;
  readonly counts: TransactionCounts;
  /** True while the interactive transaction runs. */
  readonly isInteractive: (id: TransactionId) => boolean;
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
}

export class TransactionService {
  readonly #options: TransactionServiceOptions;
  readonly #keyed: KeyedAttempts;

  constructor(options: TransactionServiceOptions) {
    this.#options = options;
    this.#keyed = new KeyedAttempts({
      ...options,
      begin: (submission, attempt) => this.#begin(submission, attempt),
      pendingShards: (id) => this.pendingShards(id),
    });
  }

  async submit(submission: Submission): Promise<SubmissionAnswer> {
    const { idempotency } = submission;
    if (idempotency !== null) return this.#keyed.submit(submission, idempotency);
    ballotFor(submission, this.#options);
    return this.#begin(submission, { carrierId: undefined });
  }

  async #begin(submission: Submission, attempt: Attempt): Promise<SubmissionAnswer> {
    const { request } = submission;
    const { leadership, leader, admission, clock, lane, counts } = this.#options;
    const { ballot } = leadership;
    const operationsOn = operationsByShard(request);
    const shards = [...operationsOn.keys()];
    assertReachable(this.#options.links, shards);
    let { timeoutMs } = request;
    if (ballot !== undefined && shards.length > 1) {
      const deadlineMs = clock.monotonicMs() + timeoutMs;
      const riding = lane.run({ submission, attempt, ballot, operationsOn });
      if (riding !== undefined) {
        const together = await this.#inLane(riding);
        if (together !== undefined) return together;
        timeoutMs = Math.max(1, Math.floor(deadlineMs - clock.monotonicMs()));
      }
    }
    const release = admission.tryEnter(shards) ?? (await admission.enter(shards, timeoutMs));
    // Under another ballot the key would have to be looked up again: another leader may have been in between.
    if (ballot === undefined || leadership.ballot !== ballot) {
      release();
      throw new NotLeader(leader());
    }
    const [shard] = shards;
    assert(shard !== undefined, "a transaction has operations");
    if (shards.length === 1) {
      const running = this.#runOnePhase(submission, ballot, shard, release);
      return counts.counted("one_shot one_phase", running);
    }
    const ride = { submission, attempt, ballot, operationsOn };
    const running = this.#runTwoPhase(ride, timeoutMs, release);
    const answer = await counts.counted("one_shot two_phase", running);
    lane.committedAlone(ride);
    return answer;
  }

  /** Undefined: it takes the ordinary path. */
  async #inLane(
    riding: Promise<TransactionResponse | undefined>,
  ): Promise<SubmissionAnswer | undefined> {
    const { counts } = this.#options;
    try {
      const response = await riding;
      if (response === undefined) return undefined;
      counts.committed("one_shot two_phase");
      return { response, replayed: false };
    } catch (error) {
      counts.failed("one_shot two_phase", error);
      throw error;
    }
  }

  async #runOnePhase(
    { request, idempotency, owner }: Submission,
    ballot: Ballot,
    shard: ShardId,
    release: () => void,
  ): Promise<SubmissionAnswer> {
    const { leadership, ledger, onePhase } = this.#options;
    const sequence = leadership.nextSequence();
    try {
      return await onePhase.run({
        ballot,
        carrierId: carrierId(ballot, sequence),
        transactionId: ownedId(owner, this.#options.random, (tail) =>
          onePhaseTransactionId(ballot, sequence, tail, shard),
        ),
        shard,
        request,
        idempotency,
        isKeyExpired: idempotency !== null && ledger.isExpiredKey(idempotency.key),
      });
    } finally {
      release();
    }
  }

  async #runTwoPhase(
    { submission, attempt, ballot, operationsOn: operations }: Ride,
    timeoutMs: number,
    release: () => void,
  ): Promise<SubmissionAnswer> {
    const { request, idempotency, owner } = submission;
    const { leadership, random, carriers } = this.#options;
    const id = carrierId(ballot, leadership.nextSequence());
    attempt.carrierId = id;
    const sequence = leadership.nextSequence();
    const own = ownedId(owner, random, (tail) => transactionId(ballot, sequence, tail));
    const { isolation, waitFor } = request;
    const answer = await carriers.run({
      ...{ ballot, carrierId: id, release, terms: { timeoutMs, waitFor } },
      members: [{ transactionId: own, operations, idempotency }],
      limits: { isolation, timeoutMs },
    });
    return { response: soleAnswer(answer, own), replayed: false };
  }

  async status(id: TransactionId): Promise<TransactionStatus> {
    const shard = onePhaseShard(id);
    return shard === undefined ? this.#twoPhaseStatus(id) : this.#onePhaseStatus(id, shard);
  }

  async #twoPhaseStatus(id: TransactionId): Promise<TransactionStatus> {
    const { ledger, carriers, isInteractive, leadership, leader } = this.#options;
    const outcome = ledger.transactionOutcome(id);
    const origin = originOf(id);
    switch (outcome.kind) {
      case "committed":
        return { id, state: "committed", pendingShards: this.pendingShards(id) };
      case "aborted":
      case "forgotten":
        return { id, state: outcome.kind, pendingShards: [] };
      case "undecided":
        if (carriers.holdsTransaction(id) || isInteractive(id)) {
          return { id, state: "active", pendingShards: [] };
        }
        if (leadership.ballot === undefined) throw new NotLeader(leader());
        if (!leadership.mayHaveGiven(origin)) return refuseNotGiven(origin, this.#options);
        assert(origin.ballot === leadership.ballot, "below the floor nothing is undecided");
        return { id, state: "aborted", pendingShards: [] };
    }
  }

  async #onePhaseStatus(id: TransactionId, shard: ShardId): Promise<TransactionStatus> {
    const { links, onePhase, leadership, leader } = this.#options;
    const state = (name: TransactionStatus["state"]): TransactionStatus => {
      return { id, state: name, pendingShards: [] };
    };
    if (onePhase.holds(id)) return state("active");
    if (leadership.ballot === undefined) throw new NotLeader(leader());
    const origin = originOf(id);
    // Not settled: the shard would keep a row of it.
    if (!leadership.mayHaveGiven(origin)) return refuseNotGiven(origin, this.#options);
    if (!links.shards.includes(shard)) return state("unknown");
    const carrier = carrierId(origin.ballot, origin.sequence);
    const reply = await onePhase.settle(shard, id, carrier);
    return state(reply.kind === "retry" ? "unknown" : reply.kind);
  }

  /** Shards where a committed transaction has not confirmed: all of them, on a node that does not deliver. */
  pendingShards(id: TransactionId): readonly ShardId[] {
    const outcome = this.#options.ledger.transactionOutcome(id);
    const carrier = outcome.kind === "committed" ? outcome.carrier : undefined;
    return carrier === undefined ? [] : this.#undelivered(carrier);
  }

  #undelivered({ carrierId: id, branches }: CommitCommand): readonly ShardId[] {
    const delivering = this.#options.delivery.pendingShards(id);
    if (delivering !== undefined) return delivering;
    return this.#options.leadership.ballot === undefined ? branches.map(({ shard }) => shard) : [];
  }
}
