/**
 * The client of Synod for programs: `import { Synod, sql } from "synod/client"`.
 *
 * A call ends with its result or with a typed error that says what it means for the data (errors.ts). In between it asks
 * the leader, or whoever answers, and repeats what may be repeated, inside a deadline.
 */
import { Synod, type SynodOptions } from "./synod.ts";

export type { AttemptInfo, AttemptResult, Hooks } from "./hooks.ts";
export type { BeginOptions, Closure } from "./interactive.ts";
export type {
  Begun,
  CallOptions,
  Committed,
  InteractiveCalls,
  OpenOptions,
  SavepointStep,
  StatementResult,
} from "./interactive-calls.ts";
export type {
  InteractiveTransaction,
  QueryOptions,
  QueryResult,
} from "./interactive-transaction.ts";
export type { TransactionOptions, TransactionResult } from "./one-shot.ts";
export type { NamedStatement, Operation } from "./operation.ts";
export type { ReadOptions, ReadResult } from "./reads.ts";
export type { SqlStatement, SqlValue } from "./sql.ts";
export type { Problem, ResolveOptions } from "./errors.ts";
export {
  OutcomeUnknownError,
  RequestRefusedError,
  SynodClientError,
  TransactionAbortedError,
  UnavailableError,
} from "./errors.ts";
export { newIdempotencyKey } from "./idempotency-key.ts";
export { sql } from "./sql.ts";

export { Synod };
export type { ListOptions, LookOptions, SynodOptions } from "./synod.ts";

export function createClient(options: SynodOptions): Synod {
  return new Synod(options);
}
