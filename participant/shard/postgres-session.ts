/**
 * One open transaction on one connection. BEGIN is not sent before the first statements are, with which it shares a round
 * trip; the reset of the session shares one with PREPARE or COMMIT. So a branch costs one round trip to prepare, or two
 * where the results must be seen first.
 */
import { LIMITS } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import type { GlobalId, Xid } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import type { BackendControl } from "./backend-control.ts";
import type { BatchEnd, Step, StepResult } from "./batch.ts";
import { cleanUp } from "./clean-up.ts";
import { receiptFrom } from "./receipts.ts";
import type { BatchReport, ServerConnection } from "./server-connection.ts";
import {
  commitStep,
  findReceiptStep,
  lookStep,
  openingSteps,
  prepareStep,
  resetSteps,
  writeReceiptStep,
} from "./session-steps.ts";
import type {
  CommitOutcome,
  ExecuteAndPrepareOutcome,
  ExecutionOutcome,
  PrepareOutcome,
  Receipt,
  ServerFailure,
  SessionOptions,
  ShardSession,
  StatementRefusal,
} from "./shard.ts";
import { ShardUnreachable } from "./shard.ts";
import { FEATURE_NOT_SUPPORTED, UNIQUE_VIOLATION } from "./sqlstate.ts";
import type { Repetitions } from "./statement-cache.ts";
import { toWire } from "./values.ts";
import { Watchdog } from "./watchdog.ts";

/** How long after the server's own timeout the session itself intervenes. */
const SERVER_TIMEOUT_GRACE_MS = 500;
const MAX_MESSAGE_LENGTH = 500;

export type CheckStatement = (sql: string) =>
  | { readonly ok: true; readonly parameterCount: number }
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

/** Where the client's statements lie in a batch. */
interface Span {
  readonly first: number;
  readonly count: number;
  readonly hasReceiptLookup: boolean;
}

export class PostgresSession implements ShardSession {
  readonly #connection: ServerConnection;
  readonly #release: (reusable: boolean) => void;
  readonly #options: SessionOptions;
  readonly #tools: SessionTools;
  readonly #mark: string;
  readonly #watchdog: Watchdog;
  #state: "new" | "open" | "spent" = "new";

  constructor(
    connection: ServerConnection,
    release: (reusable: boolean) => void,
    options: SessionOptions,
    mark: string,
    tools: SessionTools,
  ) {
    this.#connection = connection;
    this.#release = release;
    this.#options = options;
    this.#mark = mark;
    this.#tools = tools;
    this.#watchdog = new Watchdog(connection, tools.control, tools.clock, tools.logger);
  }

  async execute(
    operations: readonly BranchOperation[],
    idempotencyKey?: string,
  ): Promise<ExecutionOutcome> {
    const refusal = this.#refusal(operations);
    if (refusal !== undefined) return refusal;
    const [steps, span] = this.#executionSteps(operations, idempotencyKey);
    const report = await this.#run(steps, this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS);
    const outcome = this.#executed(report.end, span);
    if (outcome.kind !== "executed" || this.#connection.transactionStatus === "T") return outcome;
    return { ...outcome, insideTransaction: false };
  }

  async executeAndPrepare(
    operations: readonly BranchOperation[],
    gid: GlobalId,
    deadlineMs: number,
  ): Promise<ExecuteAndPrepareOutcome> {
    const refusal = this.#refusal(operations);
    if (refusal !== undefined) {
      await this.rollback();
      return { execution: refusal, prepare: null };
    }
    const [execution, span] = this.#executionSteps(operations);
    const { statements } = this.#connection;
    const steps = [...execution, prepareStep(statements, gid), ...resetSteps(statements)];
    const waitMs = this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS + deadlineMs;
    const report = await this.#run(steps, waitMs);
    const outcome = this.#executed(report.end, span);
    // A failure before the prepare is not a failure of it; either way the session must be alive to be believed.
    await this.#finish(report.end);
    if (outcome.kind !== "executed") return { execution: outcome, prepare: null };
    return { execution: outcome, prepare: prepared(report, execution.length) };
  }

  async prepare(gid: GlobalId, deadlineMs: number): Promise<PrepareOutcome> {
    const { statements } = this.#connection;
    const report = await this.#run(
      [prepareStep(statements, gid), ...resetSteps(statements)],
      deadlineMs,
    );
    await this.#finish(report.end);
    return prepared(report, 0);
  }

  async commit(receipt: Receipt | null): Promise<CommitOutcome> {
    const { statements } = this.#connection;
    const before = receipt === null ? [] : [writeReceiptStep(statements, receipt)];
    const steps = [...before, commitStep(statements), ...resetSteps(statements)];
    const waitMs = this.#options.timeoutMs + SERVER_TIMEOUT_GRACE_MS;
    const { end, warnings } = await this.#run(steps, waitMs);
    await this.#finish(end);
    if (end.kind === "failed") {
      const isConflict = end.step < before.length && end.error.code === UNIQUE_VIOLATION;
      return isConflict ? { kind: "conflict" } : failure(end.error);
    }
    const tag = end.results[before.length]?.tag;
    if (tag === "COMMIT") return { kind: "committed", warnings: warnings.map(messageOf) };
    return { kind: "failed", sqlstate: "25000", message: `the commit was answered by ${tag ?? ""}` };
  }

  async rollback(): Promise<void> {
    if (this.#state === "spent") return;
    const untouched = this.#state === "new";
    this.#state = "spent";
    if (untouched) {
      this.#release(true);
      return;
    }
    await this.#giveBack();
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
        const sentence = `the statement takes ${verdict.parameterCount} parameters and was given ${params.length}`;
        return { kind: "refused", index, code: "sql-error", sentence };
      }
    }
    return undefined;
  }

  #executionSteps(
    operations: readonly BranchOperation[],
    idempotencyKey?: string,
  ): [steps: readonly Step[], span: Span] {
    const { statements } = this.#connection;
    const { isolation, timeoutMs } = this.#options;
    const before =
      this.#state === "new" ? [...openingSteps(statements, this.#mark, isolation, timeoutMs)] : [];
    const hasReceiptLookup = idempotencyKey !== undefined;
    if (hasReceiptLookup) before.push(findReceiptStep(statements, idempotencyKey));
    const steps = [
      ...before,
      ...operations.map((operation) => this.#clientStep(operation)),
      lookStep(statements),
    ];
    return [steps, { first: before.length, count: operations.length, hasReceiptLookup }];
  }

  #clientStep({ sql, params }: BranchOperation): Step {
    const { statements } = this.#connection;
    const statement = this.#tools.repetitions.seen(sql)
      ? statements.kept(sql)
      : statements.once(sql);
    return { statement, values: params.map(toWire) };
  }

  async #run(steps: readonly Step[], deadlineMs: number): Promise<BatchReport> {
    assert(this.#state !== "spent", "a spent session is not used again");
    this.#state = "open";
    const stale = steps.some(({ statement }) => statement.state === "parsed");
    try {
      const work = this.#connection.run(steps, LIMITS.maxResultBytes);
      const report = await this.#watchdog.guard(work, deadlineMs);
      return report;
    } catch (error) {
      this.#lose();
      throw error;
    }
  }
}
