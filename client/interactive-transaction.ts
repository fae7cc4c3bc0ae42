/**
 * What the closure of `begin` gets: an open transaction. Its steps are sent one after the other, so that a step whose answer was lost is
 * sent again as it was and answered from the server's memory; what is called while one runs waits its turn.
 */
import { Deadline } from "./backoff.ts";
import { SynodClientError } from "./errors.ts";
import type { Begun, CallOptions, InteractiveCalls } from "./interactive-calls.ts";
import type { NamedStatement, Operation } from "./operation.ts";
import type { SqlStatement, SqlValue } from "./sql.ts";

const MAX_WAITING_STEPS = 256;

export interface QueryResult<Row> {
  readonly rowCount: number;
  /** int8 and numeric are strings. */
  readonly rows: readonly Row[];
  readonly fields: readonly { readonly name: string; readonly type: string }[];
}

export type QueryOptions = Pick<Operation, "expect">;

export class InteractiveTransaction {
  readonly id: string;
  readonly #calls: InteractiveCalls;
  readonly #deadline: Deadline;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #seq = 0;
  #savepoints = 0;

  constructor(calls: InteractiveCalls, { id, timeoutMs }: Begun, signal: AbortSignal | undefined) {
    this.id = id;
    this.#calls = calls;
    this.#deadline = new Deadline(timeoutMs, signal);
  }

  /** Runs one statement on one shard: `` tx.query("s1", sql`select …`) ``, its text and its values, or its name. */
  async query<Row = Readonly<Record<string, unknown>>>(
    shard: string,
    statement: SqlStatement | NamedStatement | string,
    params: readonly SqlValue[] = [],
    options: QueryOptions = {},
  ): Promise<QueryResult<Row>> {
    const what = typeof statement === "string" ? { sql: statement, params } : statement;
    const operation = { shard, ...what, ...options };
    const { rowCount, rows, fields } = await this.#inTurn((seq, left) =>
      this.#calls.query(this.id, seq, operation, left),
    );
    return { rowCount, rows: rows as readonly Row[], fields };
  }

  /**
   * Runs `body` under a savepoint, on all shards. If it throws, what it did is undone, the transaction can go on, and the
   * error is thrown again; not if the error says that the transaction as a whole is aborted.
   */
  async savepoint<Result>(body: () => Promise<Result>): Promise<Result> {
    this.#savepoints += 1;
    const name = `synod_client_${this.#savepoints}`;
    await this.#mark({ savepoint: name });
    try {
      const result = await body();
      await this.#mark({ release: name });
      return result;
    } catch (error) {
      if (endsTransaction(error)) throw error;
      await this.#mark({ rollbackTo: name });
      await this.#mark({ release: name });
      throw error;
    }
  }

  #mark(step: Parameters<InteractiveCalls["savepoint"]>[2]): Promise<void> {
    return this.#inTurn((seq, left) => this.#calls.savepoint(this.id, seq, step, left));
  }

  #inTurn<Answer>(send: (seq: number, left: CallOptions) => Promise<Answer>): Promise<Answer> {
    if (this.#waiting >= MAX_WAITING_STEPS) {
      throw new RangeError(`more than ${MAX_WAITING_STEPS} steps of one transaction wait`);
    }
    this.#waiting += 1;
    const next = async (): Promise<Answer> => {
      this.#seq += 1;
      const { leftMs: deadlineMs, signal } = this.#deadline;
      try {
        return await send(this.#seq, { deadlineMs, ...(signal !== undefined && { signal }) });
      } catch (error) {
        if (isNotCounted(error)) this.#seq -= 1;
        throw error;
      }
    };
    const answer = this.#last.then(next, next).finally(() => {
      this.#waiting -= 1;
    });
    this.#last = answer;
    return answer;
  }
}

/** The server counts the steps that a shard has begun: one that was refused before that leaves its number to the next. */
function isNotCounted(error: unknown): boolean {
  if (!(error instanceof SynodClientError) || error.outcome !== "not_started") return false;
  return error.shard === undefined || error.transactionId === undefined;
}

/** After an abort, and when nobody answers, there is nothing to go back to. */
function endsTransaction(error: unknown): boolean {
  if (!(error instanceof SynodClientError)) return false;
  return error.outcome !== "not_started" || error.code === "unreachable";
}
