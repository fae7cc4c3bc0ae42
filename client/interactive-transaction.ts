/** What the closure of `begin` gets: an open transaction. */
import type { z } from "zod";
import {
  type BegunAnswer,
  CommittedAnswer,
  RolledBackAnswer,
  StatementAnswer,
  StepAnswer,
} from "../shared/model/answers.ts";
import { LIMITS, type WaitFor } from "../shared/model/api.ts";
import { Deadline } from "./backoff.ts";
import type { Call, Caller } from "./caller.ts";
import { SynodClientError } from "./errors.ts";
import { toWire, type Operation } from "./operation.ts";
import type { SqlStatement, SqlValue } from "./sql.ts";
import { plainCall, Steps } from "./steps.ts";

export type Begun = z.infer<typeof BegunAnswer>;
type Committed = z.infer<typeof CommittedAnswer>;

export interface QueryResult<Row> {
  readonly rowCount: number;
  /** int8 and numeric are strings. */
  readonly rows: readonly Row[];
  readonly fields: readonly { readonly name: string; readonly type: string }[];
}

export type QueryOptions = Pick<Operation, "expect">;

export class InteractiveTransaction {
  readonly id: string;
  readonly #caller: Caller;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #steps: Steps;
  #savepoints = 0;

  constructor(caller: Caller, { id, timeoutMs }: Begun, signal: AbortSignal | undefined) {
    this.id = id;
    this.#caller = caller;
    this.#path = `/v1/transactions/${id}`;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    this.#steps = new Steps(caller, this.#path, new Deadline(timeoutMs, signal));
  }

  /** Runs one statement on one shard: `` tx.query("s1", sql`select …`) ``, or its text and its values. */
  async query<Row = Readonly<Record<string, unknown>>>(
    shard: string,
    statement: SqlStatement | string,
    params: readonly SqlValue[] = [],
    options: QueryOptions = {},
  ): Promise<QueryResult<Row>> {
    const { sql, params: values } =
      typeof statement === "string" ? { sql: statement, params } : statement;
    const operation = toWire({ shard, sql, params: values, ...options });
    const { rowCount, rows, fields } = await this.#steps.run(operation, StatementAnswer);
    return { rowCount, rows: rows as readonly Row[], fields };
  }

  /**
   * Runs `body` under a savepoint, on all shards. If it throws, what it did is undone, the transaction can go on, and the
   * error is thrown again; not if the error says that the transaction as a whole is aborted.
   */
  async savepoint<Result>(body: () => Promise<Result>): Promise<Result> {
    this.#savepoints += 1;
    const name = `synod_client_${this.#savepoints}`;
    await this.#steps.run({ savepoint: name }, StepAnswer);
    try {
      const result = await body();
      await this.#steps.run({ release: name }, StepAnswer);
      return result;
    } catch (error) {
      if (endsTransaction(error)) throw error;
      await this.#steps.run({ rollbackTo: name }, StepAnswer);
      await this.#steps.run({ release: name }, StepAnswer);
      throw error;
    }
  }

  /** For `begin`. */
  commit(waitFor: WaitFor | undefined): Promise<Committed> {
    const body = JSON.stringify(waitFor === undefined ? {} : { waitFor });
    const request = { method: "POST", path: `${this.#path}/commit`, body } as const;
    const call: Call<Committed> = {
      ...plainCall("commit", request, LIMITS.defaultTimeoutMs, CommittedAnswer),
      effect: "once",
      resolve: ({ deadlineMs = this.#timeoutMs, signal }) =>
        this.#caller.run(call, new Deadline(deadlineMs, signal)),
    };
    return this.#caller.run(call, new Deadline(this.#timeoutMs, this.#signal));
  }

  /** For `begin`. */
  async rollback(): Promise<void> {
    const request = { method: "DELETE", path: this.#path } as const;
    const call = plainCall("rollback", request, LIMITS.defaultTimeoutMs, RolledBackAnswer);
    await this.#caller.run(call, new Deadline(LIMITS.defaultTimeoutMs));
  }
}

/** After an abort, and when nobody answers, there is nothing to go back to. */
function endsTransaction(error: unknown): boolean {
  if (!(error instanceof SynodClientError)) return false;
  return error.outcome !== "not_started" || error.code === "unreachable";
}
