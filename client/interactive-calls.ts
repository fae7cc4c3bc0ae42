/**
 * The requests of interactive transactions, one by one, by the transaction's id: for programs that hold a transaction across
 * requests of their own. `begin` on the client is the easier way: it numbers the steps, rolls back and runs again.
 */
import type { z } from "zod";
import {
  BegunAnswer,
  CommittedAnswer,
  RolledBackAnswer,
  StatementAnswer,
  StepAnswer,
} from "../shared/model/answers.ts";
import { LIMITS, type WaitFor } from "../shared/model/api.ts";
import { INTERACTIVE_LIMITS, type InteractiveIsolation } from "../shared/model/interactive.ts";
import { Deadline, DEFAULT_DEADLINE_MS } from "./backoff.ts";
import { plainCall, type Call, type Caller } from "./caller.ts";
import { toWire, type Operation } from "./operation.ts";
import { TRANSACTIONS_PATH, transactionPath } from "./transaction-path.ts";

/** By these the server says that it has not looked at a step. */
const NOT_LOOKED_AT = new Set(["no-quorum", "draining", "overloaded"]);

export interface CallOptions {
  /** Default 30000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  readonly isolation?: InteractiveIsolation | undefined;
  /** With isolation `snapshot`, and only then: all that the transaction may use. */
  readonly shards?: readonly string[] | undefined;
  /** How long the transaction may wait for its next step. */
  readonly idleTimeoutMs?: number | undefined;
  /** How long it may be open. */
  readonly timeoutMs?: number | undefined;
}

export type SavepointStep =
  { readonly savepoint: string } | { readonly rollbackTo: string } | { readonly release: string };

export type Begun = z.infer<typeof BegunAnswer>;
export type StatementResult = z.infer<typeof StatementAnswer>;
export type Committed = z.infer<typeof CommittedAnswer>;

export class InteractiveCalls {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  begin(
    { isolation, shards, idleTimeoutMs, timeoutMs }: OpenOptions = {},
    options: CallOptions = {},
  ): Promise<Begun> {
    const body = JSON.stringify({ isolation, shards, idleTimeoutMs, timeoutMs });
    const request = { method: "POST", path: `${TRANSACTIONS_PATH}/begin`, body } as const;
    const openingMs = shards === undefined ? 0 : INTERACTIVE_LIMITS.maxOpeningMs;
    const serverTimeMs = LIMITS.defaultTimeoutMs + openingMs;
    return this.#run(plainCall("begin", request, serverTimeMs, BegunAnswer), options);
  }

  /** `seq` counts 1, 2, 3 … over all steps of the transaction; the last one may be asked again. */
  async query(
    id: string,
    seq: number,
    operation: Operation,
    options?: CallOptions,
  ): Promise<StatementResult> {
    return this.#step(id, { seq, ...toWire(operation) }, StatementAnswer, options);
  }

  async savepoint(
    id: string,
    seq: number,
    step: SavepointStep,
    options?: CallOptions,
  ): Promise<void> {
    await this.#step(id, { seq, ...step }, StepAnswer, options);
  }

  /** May be asked again: there is one outcome. */
  async commit(id: string, waitFor?: WaitFor, options: CallOptions = {}): Promise<Committed> {
    const body = JSON.stringify({ waitFor });
    const request = { method: "POST", path: `${transactionPath(id)}/commit`, body } as const;
    const call = plainCall("commit", request, LIMITS.defaultTimeoutMs, CommittedAnswer);
    return this.#run({ ...call, effect: "once" }, options);
  }

  async rollback(id: string, options: CallOptions = {}): Promise<void> {
    const request = { method: "DELETE", path: transactionPath(id) } as const;
    await this.#run(
      plainCall("rollback", request, LIMITS.defaultTimeoutMs, RolledBackAnswer),
      options,
    );
  }

  #step<Answer>(
    id: string,
    body: object,
    schema: z.ZodType<Answer>,
    options: CallOptions = {},
  ): Promise<Answer> {
    const path = `${transactionPath(id)}/statements`;
    const request = { method: "POST", path, body: JSON.stringify(body) } as const;
    const { deadlineMs = DEFAULT_DEADLINE_MS } = options;
    let sent = 0;
    const call: Call<Answer> = {
      ...plainCall("statement", request, deadlineMs, schema),
      request: () => {
        sent += 1;
        return request;
      },
      // Sent again while its first sending still runs.
      isPassing: ({ code }) =>
        NOT_LOOKED_AT.has(code) || (code === "sequence-conflict" && sent > 1),
    };
    return this.#run(call, options);
  }

  #run<Answer>(call: Call<Answer>, options: CallOptions): Promise<Answer> {
    const { deadlineMs = DEFAULT_DEADLINE_MS, signal } = options;
    return this.#caller.run(call, new Deadline(deadlineMs, signal));
  }
}
