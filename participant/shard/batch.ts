/**
 * Several statements in one round trip, as a query object for `pg`'s client.
 *
 *   Parse? Bind Describe? Execute · Parse? Bind Describe? Execute · … · Sync        (extended protocol)
 *
 * One Sync at the end, not one per statement as the client's own pipelining does: after an error the server skips
 * everything up to the Sync. So when BEGIN fails (a stray cancel is enough), the statements behind it are not run as
 * transactions of their own, and when a statement fails, PREPARE TRANSACTION is not even looked at.
 */
import type pg from "pg";
import type { Row } from "./row-shape.ts";
import { RowShape } from "./row-shape.ts";
import type { Statement } from "./statement-cache.ts";
import { type Field, gather, type WireConnection } from "./wire.ts";

export interface Step {
  readonly statement: Statement;
  readonly values: readonly (string | null)[];
  /** Sent by a client: its rows count against the limit of results. */
  readonly isClients?: true;
}

export interface StepResult {
  /** The command tag, word for word. */
  readonly tag: string;
  readonly rows: readonly Row[];
  /** Null when it returns no rows. */
  readonly shape: RowShape | null;
}

export interface Warning {
  /** Place of the step that was running. */
  readonly step: number;
  readonly message: string;
}

export type BatchEnd =
  | { readonly kind: "done"; readonly results: readonly StepResult[] }
  /** `results` are those of the steps before. */
  | {
      readonly kind: "failed";
      readonly results: readonly StepResult[];
      readonly error: pg.DatabaseError;
    };

export interface BatchOptions {
  readonly steps: readonly Step[];
  /** Prepared statements to drop first. */
  readonly close: readonly string[];
  readonly maxResultBytes: number;
  /** Leaves in the same write, with a Sync of its own; whoever made it gives it to the client when this one has ended. */
  readonly behind?: Batch;
  /** Called once, when the rows are larger than that; the rest of them is thrown away. */
  readonly onTooLarge: () => void;
  readonly resolve: (end: BatchEnd) => void;
  /** The connection is lost. */
  readonly reject: (error: Error) => void;
  readonly isServerError: (error: Error) => error is pg.DatabaseError;
}

const NO_ROWS: readonly Row[] = [];

export class Batch implements pg.Submittable {
  readonly #options: BatchOptions;
  readonly #results: StepResult[] = [];
  readonly warnings: Warning[] = [];
  #rows: Row[] | undefined;
  #bytes = 0;
  #isWritten = false;

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  submit(connection: pg.Connection): void {
    if (this.#isWritten) return;
    const bytes = gather((wire) => {
      this.#write(wire);
    });
    // A connection that has just ended tells the client so itself.
    if (connection.stream.writable) connection.stream.write(bytes);
  }

  #write(wire: WireConnection): void {
    this.#isWritten = true;
    for (const name of this.#options.close) wire.close({ type: "S", name });
    for (const { statement, values } of this.#options.steps) {
      const { name, text } = statement;
      if (statement.state === "new") {
        wire.parse({ name, text });
        if (name !== "") statement.state = "sent";
      }
      wire.bind({ statement: name, values });
      if (statement.shape === undefined) wire.describe({ type: "P" });
      wire.execute();
    }
    wire.sync();
    const { behind } = this.#options;
    if (behind !== undefined) behind.#write(wire);
  }

  /** The notices of a session come outside of any query; whoever hears them passes them on. */
  warn(message: string): void {
    this.warnings.push({ step: this.#results.length, message });
  }

  get #step(): Step | undefined {
    return this.#options.steps[this.#results.length];
  }

  handleRowDescription({ fields }: { readonly fields: readonly Field[] }): void {
    const step = this.#step;
    if (step !== undefined) step.statement.shape = new RowShape(fields);
  }

  handleDataRow(message: {
    readonly length: number;
    readonly fields: readonly (string | null)[];
  }): void {
    const step = this.#step;
    const shape = step?.statement.shape;
    if (shape === undefined || shape === null || this.#bytes > this.#options.maxResultBytes) return;
    if (step?.isClients === true) this.#bytes += message.length + shape.nameBytes;
    if (this.#bytes > this.#options.maxResultBytes) {
      this.#options.onTooLarge();
      return;
    }
    this.#rows ??= [];
    this.#rows.push(shape.row(message.fields));
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#complete(text);
  }

  handleEmptyQuery(): void {
    this.#complete("");
  }

  #complete(tag: string): void {
    const statement = this.#step?.statement;
    if (statement !== undefined) {
      if (statement.state === "sent") statement.state = "parsed";
      // Described and no columns announced: it returns none.
      statement.shape ??= null;
    }
    this.#results.push({ tag, rows: this.#rows ?? NO_ROWS, shape: statement?.shape ?? null });
    this.#rows = undefined;
  }

  handleCopyInResponse(connection: WireConnection): void {
    connection.sendCopyFail("there is nothing to copy");
  }

  handleCopyData(): void {
    // COPY TO sends its rows so; they are nobody's.
  }

  handlePortalSuspended(): void {
    // Only happens to executions with a row limit, and none has one.
  }

  handleError(error: Error): void {
    if (this.#options.isServerError(error)) {
      this.#options.resolve({ kind: "failed", results: this.#results, error });
    } else {
      this.#options.reject(error);
    }
  }

  handleReadyForQuery(): void {
    this.#options.resolve({ kind: "done", results: this.#results });
  }
}
