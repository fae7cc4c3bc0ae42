/**
 * One open transaction on one connection. BEGIN is not sent before the first statements are, with which it shares a round
 * trip; the reset of the session shares one with PREPARE or COMMIT. So a branch costs one round trip to prepare, or two
 * where the results must be seen first.
 */
import { assert } from "../../shared/model/assert.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import type { Backend, BackendControl } from "./backend-control.ts";
import type { BatchEnd, Step } from "./batch.ts";
import { cleanUp } from "./give-back.ts";
import type { BatchReport, ServerConnection } from "./server-connection.ts";
import {
  readAssignedXid,
  readCommit,
  readExecution,
  readPrepare,
  readSnapshot,
  readSnapshotRead,
  type Span,
} from "./session-outcome.ts";
import * as steps from "./session-steps.ts";
import type {
  CommitOutcome,
  ExecuteAndPrepareOutcome,
  ExecutionOutcome,
  PrepareOutcome,
  ReadOutcome,
  Receipt,
  SavepointAction,
  SessionOptions,
  ShardSession,
  StatementRefusal,
  StepOutcome,
} from "./shard.ts";
import { ShardUnreachable } from "./shard.ts";
import { FEATURE_NOT_SUPPORTED } from "./sqlstate.ts";
import type { Repetitions } from "./statement-cache.ts";
import { toWire } from "./wire-values.ts";
import { Watchdog } from "./watchdog.ts";

/** How long after the server's own timeout the session itself intervenes. */
const SERVER_TIMEOUT_GRACE_MS = 500;

export type CheckStatement = (sql: string) =>
  | {
      readonly ok: true;
      readonly parameterCount: number;
      /** As in shared/runtime/sql-rules.ts. */
      readonly classes: readonly string[];
    }
  | {
      readonly ok: false;
      readonly code: "statement-not-allowed" | "sql-error";
      readonly sentence: string;
    };

export interface SessionTools {
  readonly control: BackendControl;
  readonly repetitions: Repetitions;
  readonly checkStatement: CheckStatement;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class PostgresSession implements ShardSession {
  readonly #connection: ServerConnection;
  readonly #release: (reusable: boolean) => void;
  readonly #options: SessionOptions;
  readonly #tools: SessionTools;
  readonly #watchdog: Watchdog;
  #state: "new" | "open" | "spent" = "new";
  #runningSinceMs = Infinity;

  constructor(
    connection: ServerConnection,
    release: (reusable: boolean) => void,
    options: SessionOptions,
    tools: SessionTools,
  ) {
    this.#connection = connection;
    this.#release = release;
    this.#options = options;
    this.#tools = tools;
    this.#watchdog = new Watchdog(connection, tools.control, tools.clock, tools.logger);
  }

  get backend(): Backend {
    return this.#connection.backend;
  }

  /** When what runs now was sent; Infinity when nothing runs. */
  get runningSinceMs(): number {
    return this.#runningSinceMs;
  }

  async execute(
    operations: readonly BranchOperation[],
    idempotencyKeys: readonly string[] = [],
  ): Promise<ExecutionOutcome> {
    const refusal = this.#refusal(operations);
    if (refusal !== undefined) return refusal;
    const { report, span } = await this.#runClient(operations, idempotencyKeys, [], 0);
    return this.#withXid(this.#readStep(report.end, span), operations);
  }

  async runStep(operation: BranchOperation): Promise<StepOutcome> {
    // A cancel of an earlier statement that is still on its way would hit this one.
    await this.#watchdog.quiet();
    const refusal = this.#refusal([operation]);
    if (refusal !== undefined) return { execution: refusal, fields: [] };
    const { report, span } = await this.#runClient([operation], [], [], 0);
    const execution = await this.#withXid(this.#readStep(report.end, span), [operation]);
    const shape = report.end.results[span.first]?.shape;
    return { execution, fields: execution.kind === "executed" ? (shape?.fields ?? []) : [] };
  }

  async takeSnapshot(): Promise<StepOutcome> {
    assert(this.#options.isolation === "repeatable read", "a snapshot lasts in repeatable read");
    await this.#watchdog.quiet();
    const { statements } = this.#connection;
    const before = this.#state === "new" ? [] : [steps.rollbackStep(statements)];
    const opening = [...before, ...steps.openingSteps(statements, this.#options)];
    const batch = [...opening, steps.snapshotStep(statements), steps.lookStep(statements)];
    const { end } = await this.#run(batch, this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS);
    const first = opening.length + 1;
    const execution = this.#readStep(end, { first, count: 0, before: "snapshot" });
    if (execution.kind !== "executed") return { execution, fields: [] };
    return { execution, fields: [], snapshot: readSnapshot(end, first - 1) };
  }

  async savepoint(action: SavepointAction): Promise<ExecutionOutcome> {
    await this.#watchdog.quiet();
    const { statements } = this.#connection;
    const opening = this.#state === "new" ? steps.openingSteps(statements, this.#options) : [];
    const own = [...opening, steps.savepointStep(statements, action)];
    const deadlineMs = this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS;
    const { end } = await this.#run([...own, steps.lookStep(statements)], deadlineMs);
    return this.#readStep(end, { first: own.length, count: 0, before: undefined });
  }

  async executeAndPrepare(
    operations: readonly BranchOperation[],
    gid: GlobalId,
    deadlineMs: number,
    idempotencyKeys: readonly string[] = [],
  ): Promise<ExecuteAndPrepareOutcome> {
    const refusal = this.#refusal(operations);
    if (refusal !== undefined) {
      await this.rollback();
      return { execution: refusal, prepare: null };
    }
    const { statements } = this.#connection;
    const more = [steps.prepareStep(statements, gid), steps.resetStep(statements)];
    const { report, span } = await this.#runClient(operations, idempotencyKeys, more, deadlineMs);
    const execution = this.#read(report.end, span);
    await this.#finish(report.end, execution.kind === "executed" && execution.insideTransaction);
    const isRun = execution.kind === "executed" || execution.kind === "receiptFound";
    if (!isRun || (execution.kind === "receiptFound" && report.end.kind === "failed")) {
      return { execution, prepare: null };
    }
    return { execution, prepare: readPrepare(report, span.first + span.count + 1) };
  }

  async read(operations: readonly BranchOperation[]): Promise<ReadOutcome> {
    assert(this.#options.isolation === "one snapshot", "only a session of one snapshot reads");
    const refusal = this.#refusal(operations);
    if (refusal !== undefined) {
      await this.rollback();
      return refusal;
    }
    const { statements } = this.#connection;
    const more = [steps.commitStep(statements), steps.resetStep(statements)];
    const { report, span } = await this.#runClient(operations, [], more, 0);
    const outcome = readSnapshotRead(report.end, span, this.#connection.role);
    await this.#finish(report.end, outcome.kind === "read" && outcome.insideTransaction);
    return outcome;
  }

  async prepare(gid: GlobalId, deadlineMs: number): Promise<PrepareOutcome> {
    const { statements } = this.#connection;
    const batch = [steps.prepareStep(statements, gid), steps.resetStep(statements)];
    const report = await this.#run(batch, deadlineMs);
    await this.#finish(report.end);
    return readPrepare(report, 0);
  }

  async commit(receipt: Receipt | null): Promise<CommitOutcome> {
    const { statements } = this.#connection;
    const before = receipt === null ? [] : [steps.writeReceiptStep(statements, receipt)];
    const after = receipt === null ? [] : [steps.discardTemporaryStep(statements)];
    const batch = [
      ...[...before, steps.commitStep(statements)],
      ...[...after, steps.resetStep(statements)],
    ];
    const report = await this.#run(batch, this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS);
    await this.#finish(report.end);
    return readCommit(report, before.length);
  }

  async rollback(): Promise<void> {
    if (this.#state === "new") this.#release(true);
    if (this.#state === "open") await this.#giveBack();
    this.#state = "spent";
  }

  interrupt(): void {
    this.#watchdog.interrupt();
  }

  #refusal(operations: readonly BranchOperation[]): StatementRefusal | undefined {
    for (const [index, { sql, params }] of operations.entries()) {
      const verdict = this.#tools.checkStatement(sql);
      if (!verdict.ok) {
        return { kind: "refused", index, code: verdict.code, sentence: verdict.sentence };
      }
      if (verdict.parameterCount !== params.length) {
        const sentence = `the statement takes ${verdict.parameterCount} parameters, but was given ${params.length}`;
        return { kind: "refused", index, code: "sql-error", sentence };
      }
    }
    return undefined;
  }

  /**
   * The client's statements in one batch with what comes before and `more` behind. A prepared statement whose plan the
   * server holds for stale (somebody altered a table) is prepared anew, once, in a new transaction.
   */
  async #runClient(
    operations: readonly BranchOperation[],
    idempotencyKeys: readonly string[],
    more: readonly Step[],
    moreTimeMs: number,
  ): Promise<{ readonly report: BatchReport; readonly span: Span }> {
    const opens = this.#state === "new";
    const deadlineMs = this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS + moreTimeMs;
    const first = this.#clientSteps(operations, idempotencyKeys, opens);
    const reused = first.batch.map(({ statement }) => statement.state === "parsed");
    const report = await this.#run([...first.batch, ...more], deadlineMs);
    const { end } = report;
    const isStale =
      end.kind === "failed" &&
      end.error.code === FEATURE_NOT_SUPPORTED &&
      reused[end.results.length] === true;
    if (!isStale || !opens || this.#watchdog.wasInterrupted || !(await cleanUp(this.#connection))) {
      return { report, span: first.span };
    }
    const second = this.#clientSteps(operations, idempotencyKeys, opens);
    return { report: await this.#run([...second.batch, ...more], deadlineMs), span: second.span };
  }

  #clientSteps(
    operations: readonly BranchOperation[],
    idempotencyKeys: readonly string[],
    opens: boolean,
  ): { readonly batch: readonly Step[]; readonly span: Span } {
    const { statements } = this.#connection;
    const batch = opens ? steps.openingSteps(statements, this.#options) : [];
    let before: Span["before"];
    if (this.#options.isolation === "one snapshot") {
      before = "snapshot";
      batch.push(steps.snapshotStep(statements));
    } else if (idempotencyKeys.length > 0) {
      before = "receipt";
      batch.push(steps.findReceiptStep(statements, idempotencyKeys));
    }
    const span: Span = { first: batch.length, count: operations.length, before };
    for (const { sql, params } of operations) {
      // Only what opens the transaction can be run anew when its plan is stale.
      const isRepeated = this.#tools.repetitions.seen(sql) && opens;
      const statement = isRepeated ? statements.kept(sql) : statements.once(sql);
      batch.push({ statement, values: params.map(toWire), isClients: true });
    }
    batch.push(steps.lookStep(statements));
    return { batch, span };
  }

  async #run(batch: readonly Step[], deadlineMs: number): Promise<BatchReport> {
    assert(this.#state !== "spent", "a spent session is not used again");
    this.#state = "open";
    this.#runningSinceMs = this.#tools.clock.monotonicMs();
    try {
      const work = this.#connection.run(batch);
      return await this.#watchdog.guard(work, deadlineMs);
    } catch (error) {
      this.#state = "spent";
      this.#lose();
      throw error;
    } finally {
      this.#runningSinceMs = Infinity;
    }
  }

  #read(end: BatchEnd, span: Span): ExecutionOutcome {
    return readExecution(end, span, this.#connection.role);
  }

  /** After a batch that leaves the transaction open. */
  #readStep(end: BatchEnd, span: Span): ExecutionOutcome {
    const outcome = this.#read(end, span);
    if (outcome.kind !== "executed" || this.#connection.transactionStatus === "T") return outcome;
    return { ...outcome, insideTransaction: false };
  }

  /**
   * What is written through a foreign table is no other server's before the commit, and has no xid here. It gets one: what has
   * none counts as having written nothing, and is committed before the others have voted.
   */
  async #withXid(
    outcome: ExecutionOutcome,
    operations: readonly BranchOperation[],
  ): Promise<ExecutionOutcome> {
    if (outcome.kind !== "executed" || !outcome.insideTransaction || outcome.xid !== null) {
      return outcome;
    }
    const { results } = outcome;
    const isOfReads = operations.every(({ sql }, index) =>
      this.#onlyRead(sql, results[index]?.rowCount ?? 0),
    );
    if (isOfReads) return outcome;
    const step = steps.assignXidStep(this.#connection.statements);
    const { end } = await this.#run([step], this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS);
    return readAssignedXid(end, outcome);
  }

  /** A statement whose tag counts no row may have written some within `WITH`. */
  #onlyRead(sql: string, rowCount: number): boolean {
    const verdict = this.#tools.checkStatement(sql);
    const [first, second] = verdict.ok ? verdict.classes : [];
    return second === undefined && (first === "select" || rowCount === 0);
  }

  /**
   * After the last batch. A failure is believed only from a session that is still alive: the last words of a dying server
   * process look the same, and it may have prepared. `isOrderly`: no statement has changed the role, which would stay.
   */
  async #finish(end: BatchEnd, isOrderly = true): Promise<void> {
    this.#state = "spent";
    const isClean = isOrderly && end.kind === "done" && this.#connection.transactionStatus === "I";
    if (isClean && !this.#watchdog.wasInterrupted) {
      this.#release(true);
      return;
    }
    const isAlive = await this.#giveBack();
    if (!isAlive && end.kind === "failed") {
      throw new ShardUnreachable(end.error.message, { cause: end.error });
    }
  }

  async #giveBack(): Promise<boolean> {
    const isAlive = (await this.#watchdog.quiet()) && (await cleanUp(this.#connection));
    if (isAlive) this.#release(true);
    else this.#lose();
    return isAlive;
  }

  #lose(): void {
    this.#tools.control.lose(this.#connection.backend);
    this.#connection.destroy();
    this.#release(false);
  }
}
