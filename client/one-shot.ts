/**
 * One-shot transactions: one request, one outcome. The idempotency key is made once for a call and goes with every
 * repetition of an unclear answer. An abort is an outcome: whoever allows it gets a new attempt under a new key.
 */
import { CommittedAnswer } from "../shared/model/answers.ts";
import { LIMITS, type Isolation, type WaitFor } from "../shared/model/api.ts";
import { Backoff, Deadline, DEFAULT_DEADLINE_MS } from "./backoff.ts";
import type { Caller, Call } from "./caller.ts";
import { TransactionAbortedError } from "./errors.ts";
import { newIdempotencyKey } from "./idempotency-key.ts";
import { toWire, type Operation } from "./operation.ts";
import { TRANSACTIONS_PATH } from "./transaction-path.ts";

export interface TransactionOptions {
  /** Names the call across restarts of the caller: the same key is never carried out twice. Made anew by default. */
  readonly idempotencyKey?: string;
  /**
   * After an abort that may pass (a conflict, a lock timeout, a deadlock, a changed leader): begin again, as a new transaction under a
   * new key. Not together with `idempotencyKey`. Default false.
   */
  readonly retryAborted?: boolean;
  readonly isolation?: Isolation;
  readonly waitFor?: WaitFor;
  /** False: shares no Postgres transaction with others. */
  readonly lane?: boolean;
  /** What the server gives one attempt. */
  readonly timeoutMs?: number;
  /** What the whole call may take, repetitions included. Default 30000. */
  readonly deadlineMs?: number;
  /** Ends the call. If the transaction may have begun, with an OutcomeUnknownError. */
  readonly signal?: AbortSignal;
}

export interface TransactionResult {
  readonly id: string;
  readonly outcome: "committed";
  readonly results: readonly {
    readonly rowCount: number;
    /** int8 and numeric are strings. */
    readonly rows: readonly Readonly<Record<string, unknown>>[];
  }[];
  /** Shards that are decided but have not confirmed; they commit as soon as they can be reached. */
  readonly pendingShards: readonly string[];
  /** It had been committed before, under the same key. */
  readonly replayed: boolean;
  readonly idempotencyKey: string;
}

/** So much less than the client's is the server's time, so that its answer still arrives. */
const WAY_BACK_MS = 250;

/** Rejects with the typed errors of errors.ts; throws a TypeError for values that cannot travel. */
export async function runTransaction(
  caller: Caller,
  operations: readonly Operation[],
  options: TransactionOptions,
): Promise<TransactionResult> {
  const { idempotencyKey, retryAborted = false, deadlineMs = DEFAULT_DEADLINE_MS } = options;
  if (retryAborted && idempotencyKey !== undefined) {
    throw new TypeError("retryAborted makes new keys: it cannot go with an idempotencyKey");
  }
  const body = { ...pickBody(options), operations: operations.map(toWire) };
  const deadline = new Deadline(deadlineMs, options.signal);
  const backoff = new Backoff();
  for (;;) {
    const call = oneShot(body, idempotencyKey ?? newIdempotencyKey());
    try {
      return await caller.run(call, deadline);
    } catch (error) {
      const mayPass = error instanceof TransactionAbortedError && error.retryable;
      if (!retryAborted || !mayPass) throw error;
      if (!(await backoff.pause(deadline, error.problem?.retryAfterMs))) throw error;
    }
  }
}

interface Body {
  readonly operations: readonly object[];
  readonly isolation?: Isolation;
  readonly waitFor?: WaitFor;
  readonly lane?: boolean;
  readonly timeoutMs: number;
}

function pickBody({
  isolation,
  waitFor,
  lane,
  timeoutMs,
}: TransactionOptions): Omit<Body, "operations"> {
  return {
    ...(isolation !== undefined && { isolation }),
    ...(waitFor !== undefined && { waitFor }),
    ...(lane !== undefined && { lane }),
    timeoutMs: timeoutMs ?? LIMITS.defaultTimeoutMs,
  };
}

function oneShot(body: Body, idempotencyKey: string): Call<TransactionResult> {
  return {
    name: "transaction",
    effect: "once",
    idempotencyKey,
    serverTimeMs: body.timeoutMs,
    request: (leftMs) => ({
      method: "POST",
      path: TRANSACTIONS_PATH,
      headers: { "Idempotency-Key": idempotencyKey },
      body: JSON.stringify({ ...body, timeoutMs: withinTimeLeft(body.timeoutMs, leftMs) }),
    }),
    read: (answer, headers) => ({
      ...CommittedAnswer.parse(answer),
      replayed: headers["idempotent-replayed"] === "true",
      idempotencyKey,
    }),
  };
}

/** A timeout may shrink with the time that is left: the fingerprint of a key leaves it out. */
export function withinTimeLeft(timeoutMs: number, leftMs: number): number {
  return Math.min(timeoutMs, Math.max(LIMITS.minTimeoutMs, Math.floor(leftMs - WAY_BACK_MS)));
}
