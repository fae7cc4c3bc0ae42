/**
 * Reads of several shards that see every transaction on all of them or on none. One that is lost has left nothing behind, so it
 * is asked again as it is.
 */
import { ReadAnswer } from "../shared/model/answers.ts";
import { LIMITS, type ReadResponse } from "../shared/model/api.ts";
import { Deadline, DEFAULT_DEADLINE_MS } from "./backoff.ts";
import type { Call, Caller } from "./caller.ts";
import { withinTimeLeft } from "./one-shot.ts";
import { toWire, type Operation } from "./operation.ts";

export interface ReadOptions {
  /** What the server gives one attempt. */
  readonly timeoutMs?: number;
  /** What the whole call may take, repetitions included. Default 30000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** `results` in the order of the operations; int8 and numeric are strings. */
export type ReadResult = ReadResponse;

/** Rejects with the typed errors of errors.ts; throws a TypeError for values that cannot travel. */
export async function runRead(
  caller: Caller,
  operations: readonly Operation[],
  options: ReadOptions,
): Promise<ReadResult> {
  const { timeoutMs = LIMITS.defaultTimeoutMs, deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const wire = operations.map(toWire);
  const call: Call<ReadResult> = {
    ...{ name: "read", effect: "none", serverTimeMs: timeoutMs },
    request: (leftMs) => ({
      method: "POST",
      path: "/v1/reads",
      body: JSON.stringify({ operations: wire, timeoutMs: withinTimeLeft(timeoutMs, leftMs) }),
    }),
    read: (answer) => ReadAnswer.parse(answer),
  };
  return caller.run(call, new Deadline(deadlineMs, options.signal));
}
