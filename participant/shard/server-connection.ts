/**
 * One connection to the server with what belongs to it: its server process, its prepared statements, and the batch that
 * runs on it. Taken from a pool and given back clean, or not at all.
 */
import pg from "pg";
import { LIMITS } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { Backend } from "./backend-control.ts";
import { Batch, type BatchEnd, type Step, type Warning } from "./batch.ts";
import { ResultTooLarge, ShardUnreachable } from "./shard.ts";
import { StatementCache } from "./statement-cache.ts";

/** What may come in for one batch: rows are bounded more tightly, this also stops a single giant value. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** Successful completion, which RAISE NOTICE carries too; everything else is a warning. */
const NO_WARNING = "00000";

export interface BatchReport {
  readonly end: BatchEnd;
  readonly warnings: readonly Warning[];
}

export class ServerConnection {
  readonly backend: Backend;
  /** The role that logged in. */
  readonly role: string;
  readonly statements = new StatementCache();
  readonly #client: pg.Client;
  readonly #clock: Clock;
  #batch: Batch | undefined;
  #received = 0;

  constructor(client: pg.Client, backend: Backend, role: string, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
    this.backend = backend;
    this.role = role;
    client.on("notice", (notice) => {
      if (notice.code !== NO_WARNING) this.#batch?.warn(notice.message ?? "");
    });
    client.connection.stream.on("data", (chunk: Buffer) => {
      this.#received += chunk.length;
      if (this.#received > MAX_BATCH_BYTES && this.#batch !== undefined) this.destroy();
    });
  }

  /** "I" idle, "T" in a transaction, "E" in one that has failed; as of the end of the last batch. */
  get transactionStatus(): "I" | "T" | "E" | null {
    return this.#client.getTransactionStatus();
  }

  /** As `run`, but the connection is given up when the server has not answered by then. */
  runWithin(steps: readonly Step[], deadlineMs: number): Promise<BatchReport> {
    return this.within(this.run(steps), deadlineMs);
  }

  /** Settles as `work` does, which runs on this connection; the connection is given up when it has not by then. */
  async within<Result>(work: Promise<Result>, deadlineMs: number): Promise<Result> {
    const stop = this.#clock.after(deadlineMs, () => {
      this.destroy();
    });
    try {
      return await work;
    } finally {
      stop();
    }
  }

  /** Rejects with `ShardUnreachable` when the connection is lost: what was sent may or may not have happened. */
  run(steps: readonly Step[]): Promise<BatchReport> {
    return new Promise((resolve, reject) => {
      this.#start(this.#batchOf(steps, undefined, resolve, reject));
    });
  }

  /**
   * Several batches in one write, each with a Sync of its own: what fails in one does not touch those behind it. As `run`
   * for each; when the connection is lost, all that have not ended reject. Only statements without a name: one that is
   * prepared in a batch that fails would be missing in those behind it, which are on their way already.
   */
  runEach(series: readonly (readonly Step[])[]): readonly Promise<BatchReport>[] {
    const isNamed = series.flat().some(({ statement }) => statement.name !== "");
    assert(!isNamed, "a series prepares no statements");
    const batches: Batch[] = [];
    const reports = series.toReversed().map(
      (steps) =>
        new Promise<BatchReport>((resolve, reject) => {
          batches.push(this.#batchOf(steps, batches.at(-1), resolve, reject));
        }),
    );
    const first = batches.at(-1);
    if (first !== undefined) this.#start(first);
    return reports.reverse();
  }

  #start(batch: Batch): void {
    assert(this.#batch === undefined, "a connection runs one batch at a time");
    this.#received = 0;
    this.#batch = batch;
    this.#client.query(batch);
  }

  #batchOf(
    steps: readonly Step[],
    behind: Batch | undefined,
    resolve: (report: BatchReport) => void,
    reject: (error: Error) => void,
  ): Batch {
    let tooLarge = false;
    const lost = (error: Error): void => {
      this.#batch = undefined;
      const large = tooLarge || this.#received > MAX_BATCH_BYTES;
      const Reason = large ? ResultTooLarge : ShardUnreachable;
      reject(new Reason(error.message, { cause: error }));
      behind?.handleError(error);
    };
    const batch = new Batch({
      steps,
      ...(behind !== undefined && { behind }),
      close: this.statements.takeEvicted(),
      maxResultBytes: LIMITS.maxResultBytes,
      onTooLarge: () => {
        tooLarge = true;
        this.destroy();
      },
      isServerError: (error) => error instanceof pg.DatabaseError,
      resolve: (end) => {
        // The end may have been among the bytes that were there already; the rows that were dropped were not only the client's.
        if (tooLarge) {
          lost(new Error("the rows were larger than allowed"));
          return;
        }
        this.#batch = undefined;
        if (end.kind === "failed") this.#forgetFrom(steps, end.results.length);
        resolve({ end, warnings: batch.warnings });
        if (behind !== undefined) this.#start(behind);
      },
      reject: lost,
    });
    return batch;
  }

  /** The failed statement may or may not be known to the server, and those behind it were skipped. */
  #forgetFrom(steps: readonly Step[], failed: number): void {
    for (const [index, { statement }] of steps.entries()) {
      if (index === failed || (index > failed && statement.state === "sent")) {
        this.statements.forget(statement);
      }
    }
  }

  /** Ends the connection from this side, at once; the server process may live on for a while. */
  destroy(): void {
    this.#client.connection.stream.destroy();
  }
}
