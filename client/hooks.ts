/** What a tracer or a meter needs to see of every request. Hooks must not throw. */
export interface AttemptInfo {
  readonly call:
    | "transaction"
    | "read"
    | "begin"
    | "statement"
    | "commit"
    | "rollback"
    | "status"
    | "list"
    | "cluster";
  /** Counts from 1 within a call: the same request, sent again. */
  readonly attempt: number;
  readonly url: string;
  readonly path: string;
  readonly idempotencyKey: string | undefined;
}

export interface AttemptResult {
  readonly durationMs: number;
  /** Undefined where no answer came. */
  readonly status: number | undefined;
  /** `again`: certainly not begun, it is sent again. `unclear`: it may have been carried out, and is asked again. */
  readonly ended: "done" | "failed" | "again" | "unclear" | "unknowable";
}

export interface Hooks {
  /** What it returns is added to the headers: `traceparent`, for example. */
  readonly beforeAttempt?: (attempt: AttemptInfo) => Readonly<Record<string, string>> | undefined;
  readonly afterAttempt?: (attempt: AttemptInfo, result: AttemptResult) => void;
  /** The rollback of an interactive transaction failed; the server's idle timeout ends it. */
  readonly rollbackFailed?: (transactionId: string, error: unknown) => void;
}
