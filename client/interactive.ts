/**
 * Interactive transactions: begin, run the caller's closure, commit. Where an attempt was aborted and a new one can help,
 * the closure runs again from its start, in a new transaction: so it must have no effects but those on the transaction.
 */
import { LIMITS, type WaitFor } from "../shared/model/api.ts";
import type { InteractiveIsolation } from "../shared/model/interactive.ts";
import { Backoff, Deadline, DEFAULT_DEADLINE_MS } from "./backoff.ts";
import { SynodClientError, UnavailableError } from "./errors.ts";
import type { Hooks } from "./hooks.ts";
import type { Begun, InteractiveCalls } from "./interactive-calls.ts";
import { InteractiveTransaction } from "./interactive-transaction.ts";

export interface BeginOptions {
  readonly isolation?: InteractiveIsolation;
  /** With isolation `snapshot`, and only then: all that the transaction may use. */
  readonly shards?: readonly string[];
  readonly waitFor?: WaitFor;
  /** How long the transaction may wait for the closure's next step. */
  readonly idleTimeoutMs?: number;
  /** How long one transaction may be open. */
  readonly timeoutMs?: number;
  /** After so long no new attempt begins. Default 30000. */
  readonly deadlineMs?: number;
  /** How often the closure runs at most. Default 10; 1 never runs it again. */
  readonly maxRuns?: number;
  /** Ends the call; the transaction is rolled back, unless its commit was asked for. */
  readonly signal?: AbortSignal;
}

export type Closure<Result> = (tx: InteractiveTransaction) => Promise<Result>;

const DEFAULT_MAX_RUNS = 10;

/** Resolves with what the closure returned, committed. Rejects with the closure's own error, rolled back. */
export async function runInteractive<Result>(
  calls: InteractiveCalls,
  hooks: Hooks,
  closure: Closure<Result>,
  options: BeginOptions,
): Promise<Result> {
  const { deadlineMs = DEFAULT_DEADLINE_MS, maxRuns = DEFAULT_MAX_RUNS, signal } = options;
  const deadline = new Deadline(deadlineMs, signal);
  const backoff = new Backoff();
  let last: SynodClientError | undefined;
  for (let run = 1; ; run += 1) {
    try {
      return await runOnce(calls, hooks, closure, options, () =>
        begin(calls, options, deadline, last),
      );
    } catch (error) {
      if (run >= maxRuns || !isWorthAnotherRun(error)) throw error;
      if (!(await backoff.pause(deadline, error.problem?.retryAfterMs))) throw error;
      last = error;
    }
  }
}

/** One to which the deadline leaves less than a node's time is no attempt: what ended the `last` one is told instead. */
async function begin(
  calls: InteractiveCalls,
  options: BeginOptions,
  { leftMs, signal }: Deadline,
  last: SynodClientError | undefined,
): Promise<Begun> {
  try {
    return await calls.begin(options, {
      deadlineMs: leftMs,
      ...(signal !== undefined && { signal }),
    });
  } catch (error) {
    const isCutShort = error instanceof UnavailableError && leftMs < LIMITS.defaultTimeoutMs;
    throw isCutShort && last !== undefined ? last : error;
  }
}

async function runOnce<Result>(
  calls: InteractiveCalls,
  hooks: Hooks,
  closure: Closure<Result>,
  { waitFor, signal }: BeginOptions,
  begin: () => Promise<Begun>,
): Promise<Result> {
  const aborting = signal === undefined ? {} : { signal };
  const begun = await begin();
  const tx = new InteractiveTransaction(calls, begun, signal);
  let result: Result;
  try {
    result = await closure(tx);
    signal?.throwIfAborted();
  } catch (error) {
    await rollBack(calls, tx.id, hooks, error);
    throw error;
  }
  try {
    await calls.commit(tx.id, waitFor, { deadlineMs: begun.timeoutMs, ...aborting });
  } catch (error) {
    const isOpen = error instanceof SynodClientError && error.outcome === "not_started";
    if (isOpen) await rollBack(calls, tx.id, hooks, error);
    throw error;
  }
  return result;
}

/** The error that led here is the caller's; that of the rollback is told to the hooks. */
async function rollBack(
  calls: InteractiveCalls,
  id: string,
  hooks: Hooks,
  error: unknown,
): Promise<void> {
  const isOver = error instanceof SynodClientError && error.outcome === "aborted";
  if (isOver && error.transactionId === id) return;
  try {
    await calls.rollback(id, { deadlineMs: LIMITS.defaultTimeoutMs });
  } catch (failure) {
    hooks.rollbackFailed?.(id, failure);
  }
}

function isWorthAnotherRun(error: unknown): error is SynodClientError {
  if (!(error instanceof SynodClientError) || !error.retryable) return false;
  return (
    error.outcome === "aborted" || (error.outcome === "not_started" && error.problem !== undefined)
  );
}
