/** From a typed error to RFC 9457 problem+json. The table of codes is shared/model/errors.ts; this adds no judgement. */
import { ERRORS, SynodError, type ErrorCode, type Outcome } from "../../shared/model/errors.ts";
import type { AnswerHeaders } from "../../shared/runtime/http.ts";
import type { FieldError } from "./field-errors.ts";

export const PROBLEM_TYPE = "application/problem+json";
/** Told with every 503 that does not know better. */
const DEFAULT_RETRY_AFTER_MS = 1_000;
const MAX_FIELD_ERRORS = 20;

/** A request that is refused for one or more of its fields, before anything has begun. */
export class InvalidRequest extends SynodError {
  readonly fields: readonly FieldError[];

  constructor(code: ErrorCode, fields: readonly FieldError[]) {
    const [first = { field: "", sentence: "the request is not valid" }] = fields;
    const sentence = first.field === "" ? first.sentence : `${first.field}: ${first.sentence}`;
    super(code, sentence, { field: first.field, outcome: "not_started" });
    this.fields = fields.slice(0, MAX_FIELD_ERRORS);
  }
}

export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly transactionId?: string;
  readonly shard?: string;
  readonly sqlstate?: string;
  readonly constraint?: string;
  readonly errors: readonly FieldError[];
}

export interface Problem {
  readonly status: number;
  readonly body: ProblemBody;
  readonly headers: AnswerHeaders;
}

export function problemOf(error: SynodError, instance: string): Problem {
  const { status, title, retryable } = ERRORS[error.code];
  const {
    field,
    retryAfterMs: waitMs,
    transactionId,
    shard,
    sqlstate,
    constraint,
    replayed,
  } = error.detail;
  const named = field === undefined ? [] : [{ field, sentence: error.message }];
  const errors = error instanceof InvalidRequest ? error.fields : named;
  const retryAfterMs = waitMs ?? (status === 503 ? DEFAULT_RETRY_AFTER_MS : undefined);
  return {
    status,
    body: {
      ...{ type: `urn:synod:problem:${error.code}`, title, status, detail: error.message },
      ...{ instance, code: error.code, outcome: error.outcome, retryable },
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(transactionId !== undefined && { transactionId }),
      ...(shard !== undefined && { shard }),
      ...(sqlstate !== undefined && { sqlstate }),
      ...(constraint !== undefined && { constraint }),
      errors,
    },
    headers: {
      ...(error.code === "unauthenticated" && { "WWW-Authenticate": "Bearer" }),
      ...(retryAfterMs !== undefined && {
        "Retry-After": String(Math.max(1, Math.ceil(retryAfterMs / 1_000))),
      }),
      ...(replayed === true && { "Idempotent-Replayed": "true" }),
      ...(error.outcome === "unknown" &&
        transactionId !== undefined && {
          Location: `/v1/transactions/${transactionId}`,
        }),
    },
  };
}
