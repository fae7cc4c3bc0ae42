/**
 * What a call can end with, other than its result. `code` says what happened, the class says what it means for the data:
 *
 *   TransactionAbortedError   no effect on any shard; `retryable` says whether a new attempt can help
 *   RequestRefusedError       the cluster did not begin: the request is wrong, or not permitted
 *   UnavailableError          the cluster did not begin: unreachable, no quorum, overloaded, in time
 *   OutcomeUnknownError       it may have committed: `resolve()` asks again until it is known
 */
import { z } from "zod";
import { ProblemAnswer } from "../shared/model/answers.ts";
import type { Outcome } from "../shared/model/errors.ts";

/** A newer server may know codes that this client does not. */
export const Problem = ProblemAnswer.extend({ code: z.string() });
export type Problem = z.infer<typeof Problem>;

export abstract class SynodClientError extends Error {
  /** One of the server's codes (shared/model/errors.ts), or of the client's own: `unreachable`, `client-overloaded`. */
  readonly code: string;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  /** What the server said, where it said something. */
  readonly problem: Problem | undefined;

  constructor(message: string, code: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.outcome = facts.outcome;
    this.retryable = facts.retryable;
    this.problem = facts.problem;
  }

  get transactionId(): string | undefined {
    return this.problem?.transactionId;
  }

  get shard(): string | undefined {
    return this.problem?.shard;
  }
}

interface ErrorFacts {
  readonly outcome: Outcome;
  readonly retryable: boolean;
  readonly problem?: Problem | undefined;
  readonly cause?: unknown;
}

export class TransactionAbortedError extends SynodClientError {
  override readonly name = "TransactionAbortedError";
}

export class RequestRefusedError extends SynodClientError {
  override readonly name = "RequestRefusedError";
}

export class UnavailableError extends SynodClientError {
  override readonly name = "UnavailableError";
}

export interface ResolveOptions {
  /** How long it is asked for; by default as long as the call itself was. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export class OutcomeUnknownError<Result = unknown> extends SynodClientError {
  override readonly name = "OutcomeUnknownError";
  /** What the request was sent under; undefined for the commit of an interactive transaction, which its id names. */
  readonly idempotencyKey: string | undefined;
  /**
   * Asks again, under the same key, until the outcome is known. A request that never arrived is carried out now: there is
   * one outcome for a key, whenever it comes about. Ends like the call that threw this, also with this error again.
   */
  readonly resolve: (options?: ResolveOptions) => Promise<Result>;

  constructor(message: string, code: string, facts: UnknownFacts<Result>) {
    super(message, code, { ...facts, outcome: "unknown" });
    this.idempotencyKey = facts.idempotencyKey;
    this.resolve = facts.resolve;
  }
}

interface UnknownFacts<Result> {
  readonly retryable: boolean;
  readonly problem?: Problem | undefined;
  readonly cause?: unknown;
  readonly idempotencyKey: string | undefined;
  readonly resolve: (options?: ResolveOptions) => Promise<Result>;
}

/** The error of a problem document whose outcome is not `unknown`. */
export function errorOf(problem: Problem): SynodClientError {
  const { code, outcome, retryable } = problem;
  const message = `${code}: ${problem.detail}`;
  const facts = { outcome, retryable, problem };
  if (outcome === "aborted") return new TransactionAbortedError(message, code, facts);
  return outcome === "not_started" && problem.status === 503
    ? new UnavailableError(message, code, facts)
    : new RequestRefusedError(message, code, facts);
}
