/**
 * What one answer, or its absence, means for a call: it is over, or the same request is sent again, or nobody can tell.
 *
 *   2xx that can be read                   done
 *   outcome `aborted`                      failed: a new attempt is a new transaction, and the caller's decision
 *   outcome `not_started`, 503             again, as it is
 *   outcome `not_started`, else            failed; after an unclear attempt nobody can tell: it speaks of its own attempt alone,
 *                                          and a node of another version or other settings may have taken the same request
 *   outcome `unknown`, no answer, nonsense again under the same key; never under another one
 */
import { errorOf, Problem, type SynodClientError } from "./errors.ts";
import type { Reply } from "./exchange.ts";

export interface Reason {
  readonly sentence: string;
  readonly problem?: Problem;
  readonly cause?: unknown;
}

export type Verdict<Result> =
  | { readonly kind: "done"; readonly result: Result }
  | { readonly kind: "failed"; readonly error: SynodClientError }
  /** Asking again does not help. */
  | { readonly kind: "unknowable"; readonly reason: Reason }
  | { readonly kind: "again"; readonly reason: Reason; readonly mayHaveBegun: boolean };

export interface Judged<Result> {
  /** Throws when the body is not what the API says. */
  readonly read: (body: unknown, headers: Readonly<Record<string, string | undefined>>) => Result;
  /** Whether this refusal of a request is passing, so that the same request may be sent again. */
  readonly isPassing?: (problem: Problem) => boolean;
}

const UNAVAILABLE = new Set([429, 503]);

/** `mayHaveBegun`: an earlier attempt of the same call is unclear. */
export function judge<Result>(
  reply: Reply,
  call: Judged<Result>,
  mayHaveBegun: boolean,
): Verdict<Result> {
  switch (reply.kind) {
    case "notSent":
      return again(`it cannot be reached: ${sentenceOf(reply.cause)}`, false, reply.cause);
    case "lost":
      return again(`no answer: ${sentenceOf(reply.cause)}`, true, reply.cause);
    case "answered": {
      if (reply.status >= 200 && reply.status < 300) return readAnswer(reply, call);
      const problem = Problem.safeParse(reply.body);
      return problem.success
        ? judgeProblem(problem.data, call, mayHaveBegun)
        : again(`status ${reply.status}, which is no answer of a coordinator`, true);
    }
  }
}

function readAnswer<Result>(
  reply: Reply & { readonly kind: "answered" },
  call: Judged<Result>,
): Verdict<Result> {
  try {
    return { kind: "done", result: call.read(reply.body, reply.headers) };
  } catch (error) {
    return again("the answer is not what the API says", true, error);
  }
}

function judgeProblem<Result>(
  problem: Problem,
  call: Judged<Result>,
  mayHaveBegun: boolean,
): Verdict<Result> {
  const { code, detail, outcome, retryable, status } = problem;
  const reason = { sentence: `${code}: ${detail}`, problem };
  const isPassing = call.isPassing?.(problem) ?? (retryable && UNAVAILABLE.has(status));
  switch (outcome) {
    case "unknown":
      return retryable || code === "internal-error"
        ? { kind: "again", reason, mayHaveBegun: true }
        : { kind: "unknowable", reason };
    case "not_started":
      if (isPassing) return { kind: "again", reason, mayHaveBegun: false };
      if (mayHaveBegun) return { kind: "unknowable", reason };
      return { kind: "failed", error: errorOf(problem) };
    case "aborted":
    case "committed":
      return { kind: "failed", error: errorOf(problem) };
  }
}

function again(sentence: string, mayHaveBegun: boolean, cause?: unknown): Verdict<never> {
  return { kind: "again", reason: { sentence, cause }, mayHaveBegun };
}

function sentenceOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "EPROTO") return "what is there does not speak TLS: is it http?";
  return cause.message === "" ? (code ?? cause.name) : cause.message;
}
