/**
 * The front of the coordinator's heart: takes submissions, gives ids, finds replays, and answers what became of a
 * transaction. How a carrier runs is carriers.ts and one-phase.ts; what is replicated is the ledger.
 *
 * Exactly once: a key is looked up in the ledger (first answers of two-phase transactions), then among the running ones
 * (the second call waits for the first), and a one-phase transaction's key is looked up by its shard. A key counts as
 * running until the outcome is final, not just until its client was answered: a second attempt beside one that is still
 * being decided would meet its locks, abort, and call the whole thing aborted, while the first one goes on to commit. For the
 * same reason "aborted" is said under a key only by a node that has just proved that it leads: a leader that was replaced without
 * knowing it cannot see an earlier attempt that runs under its successor.
 */
import type { TransactionResponse, TransactionStatus } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Ballot, CarrierId, NodeId, ShardId, TransactionId } from "../../shared/model/ids.ts";
import {
  carrierId,
  onePhaseShard,
  onePhaseTransactionId,
  transactionId,
  transactionOrigin,
} from "../../shared/model/ids.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import type { Clock, Random } from "../../shared/model/ports.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import { assertReachable } from "./reachable.ts";
import type { Admission } from "./admission.ts";
import type { Carriers } from "./carriers.ts";
import type { CommitCommand } from "./command.ts";
import type { Delivery } from "./delivery.ts";
import { NotLeader, type Submission, type SubmissionAnswer } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";
import type { FirstAnswer } from "./ledger/answers.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { OnePhase } from "./one-phase.ts";

const TAIL_LENGTH = 12;

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
  /** True while the interactive transaction runs. */
  readonly isInteractive: (id: TransactionId) => boolean;
  readonly leader: () => NodeId | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
}

interface Running {
  readonly fingerprint: string;
  readonly answer: Promise<SubmissionAnswer>;
  readonly attempt: Attempt;
}

interface Attempt {
  /** Set once a carrier has been begun. */
  carrierId: CarrierId | undefined;
}

export class TransactionService {
  readonly #options: TransactionServiceOptions;
  readonly #runningByKey = new Map<string, Running>();

  constructor(options: TransactionServiceOptions) {
    this.#options = options;
  }

  async submit(submission: Submission): Promise<SubmissionAnswer> {
    const { clock, leadership } = this.#options;
    const { request, idempotency } = submission;
    const { ballot } = leadership;
    try {
      return await this.#submit(submission, clock.monotonicMs() + request.timeoutMs);
    } catch (error) {
      const isAborted = error instanceof SynodError && error.outcome === "aborted";
      if (idempotency === null || ballot === undefined || !isAborted) throw error;
      if (await this.#options.stillLeads(ballot)) throw error;
      throw perhapsReplaced(error);
    }
  }

  /** `deadlineMs` bounds how long it waits for an earlier attempt under the same key. */
  async #submit(submission: Submission, deadlineMs: number): Promise<SubmissionAnswer> {
    const { idempotency } = submission;
    const { leadership, leader } = this.#options;
    if (leadership.ballot === undefined) throw new NotLeader(leader());
    if (idempotency === null) return this.#begin(submission, { carrierId: undefined });
    const replayed = this.#replayed(idempotency);
    if (replayed !== undefined) return replayed;
    const running = this.#runningByKey.get(idempotency.key);
    return running === undefined
      ? this.#beginOnce(submission, idempotency)
      : this.#join(running, submission, idempotency, deadlineMs);
  }

  #replayed(idempotency: Idempotency): SubmissionAnswer | undefined {
    const { ledger } = this.#options;
    const first = ledger.firstAnswer(idempotency.key);
    if (first !== undefined) {
      if (first.fingerprint !== idempotency.fingerprint) throw keyReused();
      return { response: this.#firstResponse(first), replayed: true };
    }
    if (ledger.isExpiredKey(idempotency.key)) {
      throw new SynodError(
        "idempotency-key-expired",
        "the key is older than the answers that are kept: whether it was used cannot be told",
      );
    }
    return undefined;
  }

  #firstResponse({ transactionId: id, results }: FirstAnswer): TransactionResponse {
    return { id, outcome: "committed", results, pendingShards: this.pendingShards(id) };
  }

  async #beginOnce(
    submission: Submission,
    { key, fingerprint }: Idempotency,
  ): Promise<SubmissionAnswer> {
    const attempt: Attempt = { carrierId: undefined };
    const answer = this.#begin(submission, attempt);
    this.#runningByKey.set(key, { fingerprint, answer, attempt });
    try {
      return await answer;
    } finally {
      void this.#whenFinal(attempt).then(() => {
        this.#runningByKey.delete(key);
      });
    }
  }

  #whenFinal({ carrierId: id }: Attempt): Promise<void> {
    return id === undefined ? Promise.resolve() : this.#options.carriers.whenFinal(id);
  }

  /** The answer of the attempt that runs; if that is "unknown", whatever its final outcome leads to. */
  async #join(
    running: Running,
    submission: Submission,
    { fingerprint }: Idempotency,
    deadlineMs: number,
  ): Promise<SubmissionAnswer> {
    if (running.fingerprint !== fingerprint) throw keyReused();
    try {
      const { response } = await running.answer;
      return { response, replayed: true };
    } catch (error) {
      const isOpen = error instanceof SynodError && error.outcome === "unknown";
      if (!isOpen || !(await this.#isFinalBy(running, deadlineMs))) throw error;
      return this.#submit(submission, deadlineMs);
    }
  }

  #isFinalBy({ attempt }: Running, deadlineMs: number): Promise<boolean> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
        resolve(false);
      });
      void this.#whenFinal(attempt).then(() => {
        cancel();
        resolve(true);
      });
    });
  }

  async #begin(submission: Submission, attempt: Attempt): Promise<SubmissionAnswer> {
    const { request } = submission;
    const { leadership, leader, admission } = this.#options;
    const { ballot } = leadership;
    const shards = [...new Set(request.operations.map(({ shard }) => shard as ShardId))];
    assertReachable(this.#options.links, shards);
    const release =
      admission.tryEnter(shards) ?? (await admission.enter(shards, request.timeoutMs));
    // Under another ballot the key would have to be looked up again: another leader may have been in between.
    if (ballot === undefined || leadership.ballot !== ballot) {
      release();
      throw new NotLeader(leader());
    }
    const [shard] = shards;
    assert(shard !== undefined, "a transaction has operations");
    return shards.length === 1
      ? this.#runOnePhase(submission, ballot, shard, release)
      : this.#runTwoPhase(submission, attempt, ballot, release);
  }

  async #runOnePhase(
    { request, idempotency }: Submission,
    ballot: Ballot,
    shard: ShardId,
    release: () => void,
  ): Promise<SubmissionAnswer> {
    const sequence = this.#options.leadership.nextSequence();
    const tail = this.#options.random.token(TAIL_LENGTH);
    try {
      return await this.#options.onePhase.run({
        ballot,
        carrierId: carrierId(ballot, sequence),
        transactionId: onePhaseTransactionId(ballot, sequence, tail, shard),
        shard,
        request,
        idempotency,
      });
    } finally {
      release();
    }
  }

  async #runTwoPhase(
    { request, idempotency }: Submission,
    attempt: Attempt,
    ballot: Ballot,
    release: () => void,
  ): Promise<SubmissionAnswer> {
    const { leadership, random, carriers } = this.#options;
    const id = carrierId(ballot, leadership.nextSequence());
    attempt.carrierId = id;
    const response = await carriers.run({
      ballot,
      carrierId: id,
      transactionId: transactionId(ballot, leadership.nextSequence(), random.token(TAIL_LENGTH)),
      request,
      idempotency,
      release,
    });
    return { response, replayed: false };
  }

  async status(id: TransactionId): Promise<TransactionStatus> {
    const shard = onePhaseShard(id);
    return shard === undefined ? this.#twoPhaseStatus(id) : this.#onePhaseStatus(id, shard);
  }

  #twoPhaseStatus(id: TransactionId): TransactionStatus {
    const { ledger, carriers, isInteractive, leadership, leader } = this.#options;
    const outcome = ledger.transactionOutcome(id);
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
        // A ballot above this leader's own was never served by anyone this node knows of.
        return {
          id,
          state: transactionOrigin(id)?.ballot === leadership.ballot ? "aborted" : "unknown",
          pendingShards: [],
        };
    }
  }

  async #onePhaseStatus(id: TransactionId, shard: ShardId): Promise<TransactionStatus> {
    const { links, onePhase, leadership, leader } = this.#options;
    const state = (name: TransactionStatus["state"]): TransactionStatus => {
      return { id, state: name, pendingShards: [] };
    };
    if (onePhase.holds(id)) return state("active");
    if (leadership.ballot === undefined) throw new NotLeader(leader());
    const origin = transactionOrigin(id);
    if (
      !links.shards.includes(shard) ||
      origin === undefined ||
      origin.ballot > leadership.ballot
    ) {
      return state("unknown");
    }
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

function keyReused(): SynodError {
  return new SynodError(
    "idempotency-key-reused",
    "the idempotency key was used before with another body",
  );
}

function perhapsReplaced({ message, detail: { transactionId } }: SynodError): SynodError {
  return new SynodError(
    "outcome-unknown",
    `this attempt was aborted (${message}), but an earlier one may run under a newer leader`,
    { ...(transactionId !== undefined && { transactionId }) },
  );
}
