/** One transaction of a load, and what its client was told of it. */
import {
  OutcomeUnknownError,
  type Operation,
  type Synod,
  TransactionAbortedError,
  UnavailableError,
} from "../../../client/sdk.ts";
import type { Operation as HistoryOperation } from "../../histories/history/event.ts";

/** A load that several clients can carry. */
export interface Workload {
  next(): Task;
}

export interface Task {
  /** The client's own name for it, unique in the run; its idempotency key, where it has one. */
  readonly name: string;
  readonly operations: readonly HistoryOperation[];
  run(synod: Synod): Promise<Told>;
}

export type Told =
  | {
      readonly kind: "committed";
      readonly acknowledged: "applied" | "decided";
      /** As asked for, with what the reads found. */
      readonly operations: readonly HistoryOperation[];
    }
  /** Without effect, for ever; also when it cannot have begun. */
  | { readonly kind: "aborted"; readonly reason: string }
  | { readonly kind: "unclear"; readonly reason: string; readonly askAgain: () => Promise<Told> };

const MAX_REASON_LENGTH = 200;
/** Then a client asks anew: what is unclear is asked for under its key until somebody knows. */
export const CALL_DEADLINE_MS = 10_000;

/** Throws what no fault of the cluster's explains. */
export async function told<Result>(
  call: () => Promise<Result>,
  committed: (result: Result) => Told,
): Promise<Told> {
  try {
    return committed(await call());
  } catch (error) {
    if (error instanceof TransactionAbortedError || error instanceof UnavailableError) {
      return { kind: "aborted", reason: error.code };
    }
    if (!(error instanceof OutcomeUnknownError)) throw error;
    const unknown = error as OutcomeUnknownError<Result>;
    return {
      kind: "unclear",
      reason: unknown.message.slice(0, MAX_REASON_LENGTH),
      askAgain: () => told(() => unknown.resolve({ deadlineMs: CALL_DEADLINE_MS }), committed),
    };
  }
}

/** In one request, under the task's name as its key. */
export function oneShot(
  synod: Synod,
  name: string,
  statements: readonly Operation[],
  operations: readonly HistoryOperation[],
  more: { readonly isolation?: "repeatable read" } = {},
  found: (results: readonly Rows[]) => readonly HistoryOperation[] = () => operations,
): Promise<Told> {
  const options = { idempotencyKey: name, deadlineMs: CALL_DEADLINE_MS, ...more };
  return told(
    () => synod.transaction(statements, options),
    ({ results, pendingShards }) => ({
      kind: "committed",
      acknowledged: pendingShards.length === 0 ? "applied" : "decided",
      operations: found(results),
    }),
  );
}

export interface Rows {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}
