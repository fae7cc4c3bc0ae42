/**
 * Exactly once: attempts under an idempotency key, of which at most one may run and all get the same answer.
 *
 * A key is looked up in the ledger (first answers of two-phase transactions), in this leader's own memory (answered-keys.ts), then
 * among the running ones (the second call waits for the first, until its own deadline), and last by the shards, each of which
 * knows the keys of what it did alone.
 *
 * A key counts as running until the outcome is final, not just until its client was answered: a second attempt beside one that
 * is still being decided would meet its locks, abort, and call the whole thing aborted, while the first one goes on to commit.
 * For the same reason "aborted" is said under a key only by a node that has just proved that it leads: a leader that was
 * replaced without knowing it cannot see an earlier attempt that runs under its successor.
 */
import type { TransactionResponse } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Ballot, CarrierId, ShardId, TransactionId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import { keyExpired } from "./answer.ts";
import type { AnsweredKeys, KeyAnswer } from "./answered-keys.ts";
import type { Carriers } from "./carriers.ts";
import type { TransactionCounts } from "./counts.ts";
import { NotLeader, type LeaderHint, type Submission, type SubmissionAnswer } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";
import type { FirstAnswer } from "./ledger/answers.ts";
import type { Ledger } from "./ledger/ledger.ts";

export interface KeyedAttemptsOptions {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  readonly carriers: Carriers;
  readonly answeredKeys: AnsweredKeys;
  readonly counts: TransactionCounts;
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
  readonly begin: (submission: Submission, attempt: Attempt) => Promise<SubmissionAnswer>;
  readonly pendingShards: (id: TransactionId) => readonly ShardId[];
}

interface Running {
  readonly fingerprint: string;
  readonly answer: Promise<SubmissionAnswer>;
  readonly attempt: Attempt;
}

export interface Attempt {
  /** Set once a carrier has been begun. */
  carrierId: CarrierId | undefined;
}

/**
 * The ballot under which this node takes the submission. What was meant for another one may have been held up for long, while
 * its client was told that it is aborted: it is not begun.
 */
export function ballotFor(
  { meantFor }: Submission,
  { leadership: { ballot }, leader }: Pick<KeyedAttemptsOptions, "leadership" | "leader">,
): Ballot {
  if (ballot === undefined || (meantFor ?? ballot) !== ballot) throw new NotLeader(leader());
  return ballot;
}

export class KeyedAttempts {
  readonly #options: KeyedAttemptsOptions;
  readonly #runningByKey = new Map<string, Running>();

  constructor(options: KeyedAttemptsOptions) {
    this.#options = options;
  }

  async submit(submission: Submission, idempotency: Idempotency): Promise<SubmissionAnswer> {
    const { clock, counts, leadership, stillLeads } = this.#options;
    const { ballot } = leadership;
    const deadlineMs = clock.monotonicMs() + submission.request.timeoutMs;
    try {
      const answer = await this.#submit(submission, idempotency, deadlineMs);
      if (answer.replayed) counts.replayed("committed");
      return answer;
    } catch (error) {
      if (ballot === undefined || !isAborted(error)) throw error;
      if (!(await stillLeads(ballot))) throw perhapsReplaced(error);
      if (error.detail.replayed === true) counts.replayed("aborted");
      throw error;
    }
  }

  /** `deadlineMs` bounds how long it waits for an earlier attempt under the same key. */
  async #submit(
    submission: Submission,
    idempotency: Idempotency,
    deadlineMs: number,
  ): Promise<SubmissionAnswer> {
    const ballot = ballotFor(submission, this.#options);
    const replayed = this.#replayed(submission, idempotency, ballot);
    if (replayed !== undefined) return replayed;
    const running = this.#runningByKey.get(idempotency.key);
    return running === undefined
      ? this.#beginOnce(submission, idempotency, ballot)
      : this.#join(running, submission, idempotency, deadlineMs);
  }

  #replayed(
    { request }: Submission,
    idempotency: Idempotency,
    ballot: Ballot,
  ): SubmissionAnswer | undefined {
    const { ledger, answeredKeys } = this.#options;
    const first = ledger.firstAnswer(idempotency.key);
    if (first !== undefined) {
      if (first.fingerprint !== idempotency.fingerprint) throw keyReused();
      return { response: this.#firstResponse(first), replayed: true };
    }
    const answered = answeredKeys.find(ballot, idempotency.key);
    if (answered !== undefined) {
      if (answered.fingerprint !== idempotency.fingerprint) throw keyReused();
      const { answer } = answered;
      if (answer.kind === "aborted") throw asReplay(answer.error);
      if (answer.kind === "wroteNothing") return { response: answer.response, replayed: true };
    }
    // One shard is asked first: it keeps answers for longer.
    const isOfOneShard = new Set(request.operations.map(({ shard }) => shard)).size === 1;
    if (!isOfOneShard && ledger.isExpiredKey(idempotency.key)) throw keyExpired();
    return undefined;
  }

  #firstResponse({ transactionId: id, results }: FirstAnswer): TransactionResponse {
    const pendingShards = this.#options.pendingShards(id);
    return { id, outcome: "committed", results, pendingShards };
  }

  async #beginOnce(
    submission: Submission,
    idempotency: Idempotency,
    ballot: Ballot,
  ): Promise<SubmissionAnswer> {
    const { key, fingerprint } = idempotency;
    const attempt: Attempt = { carrierId: undefined };
    const answer = this.#options.begin(submission, attempt);
    this.#runningByKey.set(key, { fingerprint, answer, attempt });
    try {
      const answered = await answer;
      const { response, isKeptByShard = false } = answered;
      this.#remember(
        ballot,
        idempotency,
        isKeptByShard ? { kind: "notKept" } : { kind: "wroteNothing", response },
      );
      return answered;
    } catch (error) {
      if (isAborted(error)) this.#remember(ballot, idempotency, { kind: "aborted", error });
      throw error;
    } finally {
      void this.#whenFinal(attempt).then(() => {
        this.#runningByKey.delete(key);
      });
    }
  }

  /** Before anybody is told, and before another attempt can begin. */
  #remember(ballot: Ballot, idempotency: Idempotency, answer: KeyAnswer): void {
    const { ledger, leadership, answeredKeys } = this.#options;
    if (leadership.ballot !== ballot || ledger.firstAnswer(idempotency.key) !== undefined) return;
    answeredKeys.add(ballot, idempotency, answer);
  }

  #whenFinal({ carrierId: id }: Attempt): Promise<void> {
    return id === undefined ? Promise.resolve() : this.#options.carriers.whenFinal(id);
  }

  /**
   * The answer of the attempt that runs; if that is "unknown", whatever its final outcome leads to. Not waited for beyond the
   * deadline of the one that waits.
   */
  async #join(
    running: Running,
    submission: Submission,
    idempotency: Idempotency,
    deadlineMs: number,
  ): Promise<SubmissionAnswer> {
    if (running.fingerprint !== idempotency.fingerprint) throw keyReused();
    try {
      if (!(await this.#isEndedBy(deadlineMs, running.answer))) throw keyInProgress();
      const { response } = await running.answer;
      return { response, replayed: true };
    } catch (error) {
      if (isAborted(error)) throw asReplay(error);
      const isOpen = error instanceof SynodError && error.code === "outcome-unknown";
      if (!isOpen) throw error;
      const isFinal = await this.#isEndedBy(deadlineMs, this.#whenFinal(running.attempt));
      if (!isFinal) throw keyInProgress();
      return this.#submit(submission, idempotency, deadlineMs);
    }
  }

  /** Whether the work has ended by then, in whatever way. */
  #isEndedBy(deadlineMs: number, work: Promise<unknown>): Promise<boolean> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
        resolve(false);
      });
      const ended = (): void => {
        cancel();
        resolve(true);
      };
      work.then(ended, ended);
    });
  }
}

function isAborted(error: unknown): error is SynodError {
  return error instanceof SynodError && error.outcome === "aborted";
}

function asReplay({ code, message, detail }: SynodError): SynodError {
  return new SynodError(code, message, { ...detail, replayed: true });
}

function keyInProgress(): SynodError {
  return new SynodError(
    "idempotency-in-progress",
    "an earlier attempt under this idempotency key had not ended when the deadline passed",
  );
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
