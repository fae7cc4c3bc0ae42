/**
 * One table of everything that can go wrong for a client: code → HTTP status, title, what it says about the outcome,
 * and whether trying again can help. coordinator/api/problem.ts turns a row into RFC 9457 problem+json.
 *
 * `outcome` is the column that matters, and it decides what an idempotency key is worth afterwards:
 *
 *   outcome       this attempt            its key                                      to try again
 *   not_started   has no effect, ever     open: other attempts are not spoken of       the same key
 *   aborted       has no effect, ever     answered: every attempt gets this error      a new key, if `retryable`
 *   unknown       may have committed      open                                         the same key, always
 *
 * So what lies in the transaction or in what it met (a conflict, a constraint, its deadline) is `aborted`, and what lies in the
 * moment (a shard or a leader that is away, too much in flight) is `not_started`, even where a branch had begun and was
 * rolled back.
 */
export type Outcome = "not_started" | "aborted" | "committed" | "unknown";

interface ErrorRow {
  readonly status: number;
  readonly title: string;
  readonly outcome: Outcome;
  readonly retryable: boolean;
}

const row = (status: number, title: string, outcome: Outcome, retryable: boolean): ErrorRow => ({
  status,
  title,
  outcome,
  retryable,
});

export const ERRORS = {
  "invalid-request": row(400, "The request is not valid", "not_started", false),
  "malformed-json": row(400, "The body is not JSON", "not_started", false),
  "idempotency-key-invalid": row(400, "The idempotency key is not valid", "not_started", false),
  unauthenticated: row(401, "It is not known who asks", "not_started", false),
  forbidden: row(403, "Not allowed", "not_started", false),
  "too-many-requests": row(429, "Too many requests", "not_started", true),
  "too-many-open": row(429, "Too many open transactions of one client", "not_started", true),
  "idempotency-key-too-long": row(400, "The idempotency key is too long", "not_started", false),
  "unknown-shard": row(400, "There is no such shard", "not_started", false),
  "unknown-statement": row(400, "There is no such statement", "not_started", false),
  "statement-not-allowed": row(422, "The statement is not allowed here", "not_started", false),
  "not-found": row(404, "Not found", "not_started", false),
  "method-not-allowed": row(405, "The method is not allowed here", "not_started", false),
  "body-too-large": row(413, "The body is too large", "not_started", false),
  "unsupported-media-type": row(415, "The body must be application/json", "not_started", false),
  "idempotency-key-reused": row(422, "The key was used with another body", "not_started", false),
  "idempotency-key-expired": row(409, "The key is older than what is remembered", "unknown", false),
  "idempotency-in-progress": row(409, "An attempt under this key still runs", "unknown", true),
  "participant-conflict": row(409, "Conflict on a shard", "aborted", true),
  deadlock: row(409, "Deadlock between shards", "aborted", true),
  "lock-timeout": row(409, "A lock was not granted in time", "aborted", true),
  "transaction-timeout": row(409, "The deadline passed", "aborted", true),
  "constraint-violation": row(422, "A constraint was violated", "aborted", false),
  "sql-error": row(422, "A statement failed", "aborted", false),
  "sequence-conflict": row(409, "The step does not follow the last one", "not_started", false),
  "transaction-failed": row(409, "A statement failed: go back first", "not_started", false),
  "transaction-expired": row(410, "The transaction is over", "aborted", true),
  "already-committed": row(409, "The transaction has committed", "committed", false),
  "expectation-failed": row(422, "An expectation was not met", "aborted", false),
  "not-preparable": row(422, "The branch cannot be prepared", "aborted", false),
  "result-too-large": row(422, "The results are too large", "aborted", false),
  "shard-unavailable": row(503, "A shard cannot be reached", "not_started", true),
  "no-quorum": row(503, "No coordinator leads a quorum", "not_started", true),
  overloaded: row(503, "Too much is in flight", "not_started", true),
  draining: row(503, "This node is shutting down", "not_started", true),
  "coordinator-changed": row(503, "The leader changed before the decision", "not_started", true),
  "outcome-unknown": row(504, "The outcome is not known yet", "unknown", true),
  "internal-error": row(500, "Something is broken on our side", "unknown", false),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;
export const ERROR_CODES = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]];

/**
 * What the refusal of a branch says of its transaction, which has begun and is rolled back: what its row says where that
 * speaks of the moment or of the key, else that it is aborted.
 */
export function outcomeOfRefusal(code: ErrorCode): Outcome {
  const { outcome, retryable } = ERRORS[code];
  return retryable || code.startsWith("idempotency-") ? outcome : "aborted";
}

/** What is known beyond the code. Never parameters, never row contents. */
export interface ErrorDetail {
  readonly shard?: string;
  /** JSON path of the offending field of the request, e.g. `operations[2].params[0]`. */
  readonly field?: string;
  readonly sqlstate?: string;
  readonly constraint?: string;
  readonly transactionId?: string;
  readonly retryAfterMs?: number;
  /** Overrides the table's column where the place of failure knows better. */
  readonly outcome?: Outcome;
  /** This is the answer of an earlier attempt under the same idempotency key. */
  readonly replayed?: boolean;
}

export class SynodError extends Error {
  override readonly name = "SynodError";
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, sentence: string, detail: ErrorDetail = {}, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = detail;
  }

  get outcome(): Outcome {
    return this.detail.outcome ?? ERRORS[this.code].outcome;
  }
}
