/**
 * From an error to what a person reads, what to do next, and the exit code:
 *
 *   0 done   1 error   2 usage   3 aborted   4 outcome unknown   5 unreachable or no quorum   6 denied
 */
import {
  OutcomeUnknownError,
  RequestRefusedError,
  SynodClientError,
  TransactionAbortedError,
  UnavailableError,
} from "../sdk.ts";

export const EXIT = {
  error: 1,
  usage: 2,
  aborted: 3,
  unknown: 4,
  unavailable: 5,
  denied: 6,
} as const;

export interface Failure {
  readonly exitCode: number;
  readonly message: string;
  readonly next: string | undefined;
  /** For programs. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly next: string;

  constructor(message: string, next: string) {
    super(message);
    this.next = next;
  }
}

/** The command did what was asked, and found that something is not as it should be. */
export class FoundWrong extends Error {
  override readonly name = "FoundWrong";
  readonly next: string;
  readonly exitCode: number;

  constructor(message: string, next: string, exitCode: number = EXIT.error) {
    super(message);
    this.next = next;
    this.exitCode = exitCode;
  }
}

const DENIED = new Set([401, 403]);

export function describeFailure(error: unknown): Failure {
  if (error instanceof UsageError) return failure(EXIT.usage, error.message, error.next);
  if (error instanceof FoundWrong) return failure(error.exitCode, error.message, error.next);
  if (error instanceof SynodClientError) {
    const { code, outcome, retryable, problem, transactionId, shard } = error;
    const idempotencyKey = error instanceof OutcomeUnknownError ? error.idempotencyKey : undefined;
    const facts = { code, outcome, retryable, transactionId, shard, idempotencyKey };
    const fields = problem?.errors ?? [];
    return {
      ...failure(exitCodeOf(error), error.message, nextAfter(error)),
      facts: { ...facts, fields },
    };
  }
  return failure(EXIT.error, error instanceof Error ? error.message : String(error), undefined);
}

function failure(exitCode: number, message: string, next: string | undefined): Failure {
  return { exitCode, message, next, facts: {} };
}

function exitCodeOf(error: SynodClientError): number {
  if (error instanceof OutcomeUnknownError) return EXIT.unknown;
  if (error instanceof TransactionAbortedError) return EXIT.aborted;
  if (error.problem?.outcome === "unknown") return EXIT.unknown;
  if (error instanceof UnavailableError) return EXIT.unavailable;
  return DENIED.has(error.problem?.status ?? 0) ? EXIT.denied : EXIT.error;
}

const NEXT: Readonly<Record<string, string>> = {
  unreachable: "see whether the addresses are right and a coordinator runs there: synod members",
  "no-quorum": "see which coordinators run: synod members",
  "shard-unavailable":
    "see whether its participant is connected: synod shards check; whether that reaches its database: GET /readyz of the participant",
  "unknown-shard": "see which shards there are: synod shards list",
  "transaction-expired": "begin again: synod tx begin",
  "sequence-conflict":
    "--seq counts 1, 2, 3: give the number after the last step that was answered",
  "transaction-failed": "go back: synod tx exec --rollback-to, or synod tx rollback",
  "not-found": "give the id as it was printed, all of it: what follows a dot is part of it",
  "already-committed": "nothing is left to do; what it did is undone by another transaction alone",
  "idempotency-key-reused":
    "another request has this key: give the request that it was first used for, or another --key",
  "outcome-unknown": "ask again: the same command gives the one outcome",
};

/** Under a savepoint. */
const AFTER_FAILED_STEP =
  "the transaction is open still: go back with synod tx exec --rollback-to, or end it with synod tx rollback";

/** Where nothing was begun. */
const NEXT_AFTER_REFUSAL: Readonly<Record<string, string>> = {
  "sql-error": "nothing was run: put the statement right",
  "statement-not-allowed": "nothing was run: give a statement that is allowed",
  "invalid-request":
    "nothing was run: put right what is named; synod help shows what each command takes",
};

function nextAfter(error: SynodClientError): string | undefined {
  if (error instanceof OutcomeUnknownError) {
    return error.idempotencyKey === undefined
      ? "ask again: the same command gives the one outcome"
      : `ask again under the same key, the one outcome follows: the same command with --key ${error.idempotencyKey}`;
  }
  const isInteractive = /\/(?:statements|commit)$/.test(error.problem?.instance ?? "");
  const known = NEXT[error.code];
  if (known !== undefined) return known;
  if (isInteractive && error.outcome === "not_started" && error.shard !== undefined)
    return AFTER_FAILED_STEP;
  if (error instanceof TransactionAbortedError) {
    if (isInteractive)
      return "the whole transaction is rolled back: begin again with synod tx begin";
    return error.retryable
      ? "nothing was changed on any shard: run it again, or let it with --retry-aborted"
      : "nothing was changed on any shard: the statement or the data must be put right first";
  }
  const refused = error.outcome === "not_started" ? NEXT_AFTER_REFUSAL[error.code] : undefined;
  if (refused !== undefined) return refused;
  if (error instanceof RequestRefusedError && DENIED.has(error.problem?.status ?? 0)) {
    return "give a token that may do this: --token-file or SYNOD_TOKEN_FILE";
  }
  return undefined;
}
