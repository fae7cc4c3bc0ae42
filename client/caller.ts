/**
 * Sends one request until its outcome is known or the deadline has passed, to one coordinator after the other. Every
 * repetition is the same request, with the same key: what is a new transaction is decided elsewhere.
 */
import type { z } from "zod";
import { Backoff, Deadline } from "./backoff.ts";
import type { Endpoints } from "./endpoints.ts";
import { errorOf, OutcomeUnknownError, UnavailableError } from "./errors.ts";
import type { Exchange, HttpRequest } from "./exchange.ts";
import type { AttemptInfo, Hooks } from "./hooks.ts";
import { judge, type Judged, type Reason, type Verdict } from "./judgement.ts";

/** What the server may take beyond the transaction's own time: waiting for a leader, forwarding, the way. */
const ANSWER_GRACE_MS = 5_000;
/** With less time an answer hardly comes, and its absence would make unclear what is clear: that nothing has begun. */
const LEAST_ATTEMPT_MS = 500;
/**
 * A node that stands still says nothing, however long it is waited for. Under a key another one may be asked meanwhile: it waits
 * for the first attempt, or carries it out where that died. Each time twice as long, so that what just takes long is not repeated
 * for ever.
 */
const FIRST_PATIENCE_MS = 2_000;

export interface Call<Result> extends Judged<Result> {
  readonly name: AttemptInfo["call"];
  /** The request, for an attempt that may take so long. */
  readonly request: (leftMs: number) => HttpRequest;
  /** How long the server may take by its own rules. */
  readonly serverTimeMs: number;
  /** What a lost attempt may have left behind: nothing that counts, or an effect that must be known. */
  readonly effect: "none" | "once";
  readonly idempotencyKey?: string | undefined;
  /** Only this one is asked. */
  readonly endpoint?: string;
}

interface Attempt<Result> {
  readonly verdict: Verdict<Result>;
  /** The node was given less than its time, and did not answer: that says less than what was heard before. */
  readonly isCutShort: boolean;
}

export class Caller {
  readonly #endpoints: Endpoints;
  readonly #exchange: Exchange;
  readonly #hooks: Hooks;

  constructor(endpoints: Endpoints, exchange: Exchange, hooks: Hooks) {
    this.#endpoints = endpoints;
    this.#exchange = exchange;
    this.#hooks = hooks;
  }

  /** Rejects with one of the typed errors, or, where nothing can have begun, with the signal's reason. */
  run<Result>(call: Call<Result>, deadline: Deadline): Promise<Result> {
    return this.#ask(call, deadline, false);
  }

  async #ask<Result>(
    call: Call<Result>,
    deadline: Deadline,
    hadBegunPerhaps: boolean,
  ): Promise<Result> {
    const backoff = new Backoff();
    let mayHaveBegun = hadBegunPerhaps;
    let told: Reason | undefined;
    if (!mayHaveBegun) deadline.signal?.throwIfAborted();
    for (let attempt = 1; ; attempt += 1) {
      const { verdict, isCutShort } = await this.#attempt(call, attempt, deadline, mayHaveBegun);
      if (verdict.kind === "done") return verdict.result;
      if (verdict.kind === "failed") throw verdict.error;
      if (verdict.kind === "unknowable") throw this.#unknown(call, deadline, verdict.reason);
      const { reason } = verdict;
      if (!isCutShort) told = reason;
      mayHaveBegun ||= verdict.mayHaveBegun && call.effect === "once";
      const isWorthIt = (): boolean =>
        mayHaveBegun || call.effect === "none" || deadline.leftMs >= LEAST_ATTEMPT_MS;
      if ((await backoff.pause(deadline, waitOf(reason))) && isWorthIt()) continue;
      if (mayHaveBegun) throw this.#unknown(call, deadline, reasonOf(deadline, reason));
      deadline.signal?.throwIfAborted();
      throw unavailable(told ?? reason);
    }
  }

  async #attempt<Result>(
    call: Call<Result>,
    attempt: number,
    { leftMs, signal }: Deadline,
    mayHaveBegun: boolean,
  ): Promise<Attempt<Result>> {
    const url = call.endpoint ?? this.#endpoints.next();
    const fullTimeMs = call.serverTimeMs + ANSWER_GRACE_MS;
    const request = call.request(Math.min(leftMs, fullTimeMs));
    const timeoutMs = Math.min(leftMs, fullTimeMs, this.#patienceMs(call, attempt));
    const { name, idempotencyKey } = call;
    const info: AttemptInfo = { call: name, attempt, url, path: request.path, idempotencyKey };
    const more = this.#hooks.beforeAttempt?.(info) ?? {};
    const startedMs = performance.now();
    const headers = { ...request.headers, ...more };
    const reply = await this.#exchange.send(url, { ...request, headers }, timeoutMs, signal);
    if (reply.kind === "answered") this.#endpoints.heard(reply.headers["synod-leader"]);
    const verdict = judge(reply, call, mayHaveBegun);
    if (verdict.kind === "again") this.#endpoints.failed(url);
    this.#hooks.afterAttempt?.(info, {
      durationMs: performance.now() - startedMs,
      status: reply.kind === "answered" ? reply.status : undefined,
      ended: verdict.kind === "again" && verdict.mayHaveBegun ? "unclear" : verdict.kind,
    });
    const isCutShort = reply.kind === "lost" && reply.hasTimedOut && timeoutMs < fullTimeMs;
    return { verdict, isCutShort };
  }

  /** Without end where nobody else may be asked, or nobody else is there. */
  #patienceMs({ endpoint, idempotencyKey }: Call<unknown>, attempt: number): number {
    const hasOthers = endpoint === undefined && this.#endpoints.urls.length > 1;
    if (!hasOthers || idempotencyKey === undefined) return Infinity;
    return FIRST_PATIENCE_MS * 2 ** (attempt - 1);
  }

  #unknown<Result>(
    call: Call<Result>,
    { durationMs }: Deadline,
    { sentence, problem, cause }: Reason,
  ): OutcomeUnknownError<Result> {
    const code = problem?.outcome === "unknown" ? problem.code : "outcome-unknown";
    return new OutcomeUnknownError(`the outcome is not known: ${sentence}`, code, {
      ...{ problem, cause, idempotencyKey: call.idempotencyKey },
      retryable: problem?.retryable ?? true,
      // What was unclear stays so, whoever refuses to look.
      resolve: ({ deadlineMs = durationMs, signal } = {}) =>
        this.#ask(call, new Deadline(deadlineMs, signal), call.effect === "once"),
    });
  }
}

function reasonOf({ signal }: Deadline, reason: Reason): Reason {
  if (signal?.aborted !== true) return reason;
  return { ...reason, sentence: "the caller gave up", cause: signal.reason };
}

function unavailable({ sentence, problem, cause }: Reason): Error {
  if (problem?.outcome === "not_started") return errorOf(problem);
  const facts = { outcome: "not_started", retryable: true, cause, problem } as const;
  return problem === undefined
    ? new UnavailableError(`no coordinator answered in time: ${sentence}`, "unreachable", facts)
    : new UnavailableError(`no coordinator could tell in time: ${sentence}`, problem.code, facts);
}

/** Another node takes what this one refuses while it shuts down. */
function waitOf({ problem }: Reason): number | undefined {
  return problem?.code === "draining" ? undefined : problem?.retryAfterMs;
}

/** A call that may be repeated as it is, and whose loss leaves nothing behind that counts. */
export function plainCall<Answer>(
  name: Call<Answer>["name"],
  request: HttpRequest,
  serverTimeMs: number,
  schema: z.ZodType<Answer>,
): Call<Answer> {
  return {
    ...{ name, effect: "none", serverTimeMs },
    request: () => request,
    read: (body) => schema.parse(body),
  };
}
