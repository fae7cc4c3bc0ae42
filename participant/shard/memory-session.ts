/**
 * The twin of an open transaction.
 */
import { assert } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import type { MemoryBackend } from "./memory-backend.ts";
import type { MemoryDatabase } from "./memory-database.ts";
import {
  fieldsOf,
  parseStatement,
  rowToLock,
  runStatement,
  type StatementOutcome,
} from "./memory-statements.ts";
import {
  type CommitOutcome,
  type ExecuteAndPrepareOutcome,
  type ExecutionOutcome,
  type PrepareOutcome,
  type ReadOutcome,
  type Receipt,
  type SavepointAction,
  type ServerFailure,
  type SessionOptions,
  type ShardSession,
  ShardUnreachable,
  type StepOutcome,
} from "./shard.ts";
import { LOCK_NOT_AVAILABLE, QUERY_CANCELED, READ_ONLY_TRANSACTION } from "./sqlstate.ts";

const CANCELED: ServerFailure = {
  kind: "failed",
  sqlstate: QUERY_CANCELED,
  message: "canceling statement due to user request",
};
const LOCK_TIMEOUT: ServerFailure = {
  kind: "failed",
  sqlstate: LOCK_NOT_AVAILABLE,
  message: "canceling statement due to lock timeout",
};
const IN_FAILED_TRANSACTION: ServerFailure = {
  kind: "failed",
  sqlstate: "25P02",
  message: "current transaction is aborted, commands ignored until end of transaction block",
};
const READ_ONLY: ServerFailure = {
  kind: "failed",
  sqlstate: READ_ONLY_TRANSACTION,
  message: "cannot execute a statement that writes in a read-only transaction",
};
const DUPLICATE_GID: ServerFailure = {
  kind: "failed",
  sqlstate: "42710",
  message: "transaction identifier is already in use",
};

const NO_SAVEPOINT: ServerFailure = {
  kind: "failed",
  sqlstate: "3B001",
  message: "savepoint does not exist",
};

export class MemorySession implements ShardSession {
  readonly #database: MemoryDatabase;
  readonly #backend: MemoryBackend;
  readonly #clock: Clock;
  readonly #options: SessionOptions;
  readonly #onLost: () => void;
  #spent = false;
  #interrupted = false;
  #runningSinceMs = Infinity;
  /** Ends the wait for a lock. */
  #wake: ((outcome: ServerFailure) => void) | undefined;

  constructor(
    database: MemoryDatabase,
    backend: MemoryBackend,
    clock: Clock,
    options: SessionOptions,
    onLost: () => void,
  ) {
    this.#database = database;
    this.#backend = backend;
    this.#clock = clock;
    this.#options = options;
    this.#onLost = onLost;
    for (const name of options.interactive?.savepoints ?? []) {
      backend.transaction.setSavepoint(name);
    }
  }

  /** When what runs now was begun; Infinity when nothing runs. */
  get runningSinceMs(): number {
    return this.#runningSinceMs;
  }

  execute(
    operations: readonly BranchOperation[],
    idempotencyKeys: readonly string[] = [],
  ): Promise<ExecutionOutcome> {
    return this.#guard(() =>
      this.#backend.run("execute", () => this.#execute(operations, idempotencyKeys)),
    );
  }

  async runStep(operation: BranchOperation): Promise<StepOutcome> {
    const execution = await this.execute([operation]);
    return { execution, fields: execution.kind === "executed" ? fieldsOf(operation) : [] };
  }

  takeSnapshot(): Promise<StepOutcome> {
    assert(this.#options.isolation === "repeatable read", "a snapshot lasts in repeatable read");
    return this.#guard(() => this.#backend.run("execute", () => this.#takeSnapshot()));
  }

  #takeSnapshot(): StepOutcome {
    const { transaction } = this.#backend;
    assert(transaction.xid === null, "what has written is not begun anew");
    if (this.#interrupted) return { execution: { ...CANCELED, index: 0 }, fields: [] };
    transaction.sees = this.#database.image();
    const execution = {
      kind: "executed",
      results: [],
      xid: null,
      insideTransaction: true,
    } as const;
    return { execution, fields: [], snapshot: this.#database.snapshot() };
  }

  savepoint(action: SavepointAction): Promise<ExecutionOutcome> {
    return this.#guard(() => this.#backend.run("execute", () => this.#savepoint(action)));
  }

  async executeAndPrepare(
    operations: readonly BranchOperation[],
    gid: GlobalId,
    deadlineMs: number,
    idempotencyKeys: readonly string[] = [],
  ): Promise<ExecuteAndPrepareOutcome> {
    const execution = await this.execute(operations, idempotencyKeys);
    const isRun = execution.kind === "executed" || execution.kind === "receiptFound";
    if (isRun && !this.#backend.transaction.failed) {
      return { execution, prepare: await this.prepare(gid, deadlineMs) };
    }
    await this.rollback();
    return { execution, prepare: null };
  }

  async read(operations: readonly BranchOperation[]): Promise<ReadOutcome> {
    assert(this.#options.isolation === "one snapshot", "only a session of one snapshot reads");
    try {
      return await this.#guard(() => this.#backend.run("read", () => this.#read(operations)));
    } finally {
      this.#finish();
    }
  }

  /** In one go, so that all of it sees one state. */
  #read(operations: readonly BranchOperation[]): ReadOutcome {
    const results: OperationResult[] = [];
    for (const [index, operation] of operations.entries()) {
      const statement = parseStatement(operation);
      const isWriting = statement.kind === "add" || statement.kind === "note";
      const outcome = this.#interrupted
        ? CANCELED
        : isWriting
          ? READ_ONLY
          : statement.kind === "failed"
            ? statement
            : runStatement(statement, this.#backend.transaction, this.#database);
      if (outcome.kind === "failed") return { ...outcome, index };
      results.push({ rowCount: outcome.rowCount, rows: outcome.rows });
    }
    const snapshot = this.#database.snapshot();
    return { kind: "read", snapshot, results, insideTransaction: true };
  }

  async prepare(gid: GlobalId, deadlineMs: number): Promise<PrepareOutcome> {
    const stop = this.#clock.after(deadlineMs, () => {
      this.interrupt();
    });
    try {
      return await this.#guard(() =>
        this.#backend.run("prepare", (isRolledBack) => this.#prepare(gid, isRolledBack)),
      );
    } finally {
      stop();
      this.#finish();
    }
  }

  async commit(receipt: Receipt | null): Promise<CommitOutcome> {
    try {
      return await this.#guard(() => this.#backend.run("commit", () => this.#commit(receipt)));
    } finally {
      this.#finish();
    }
  }

  async rollback(): Promise<void> {
    if (this.#spent) return;
    this.#spent = true;
    try {
      await this.#backend.run("rollback", () => {
        this.#backend.end();
      });
    } catch (error) {
      assert(error instanceof ShardUnreachable, "a rollback fails only when the server is lost");
      this.#onLost();
    }
  }

  interrupt(): void {
    if (this.#spent) return;
    this.#interrupted = true;
    this.#wake?.(CANCELED);
  }

  async #guard<Result>(work: () => Promise<Result>): Promise<Result> {
    assert(!this.#spent, "a spent session is not used again");
    this.#interrupted = false;
    this.#runningSinceMs = this.#clock.monotonicMs();
    try {
      return await work();
    } catch (error) {
      this.#spent = true;
      this.#onLost();
      throw error;
    } finally {
      this.#runningSinceMs = Infinity;
    }
  }

  async #execute(
    operations: readonly BranchOperation[],
    idempotencyKeys: readonly string[],
  ): Promise<ExecutionOutcome> {
    const [receipt] = idempotencyKeys.flatMap((key) => this.#database.receiptByKey(key) ?? []);
    const results: OperationResult[] = [];
    for (const [index, operation] of operations.entries()) {
      const outcome = this.#backend.transaction.failed
        ? IN_FAILED_TRANSACTION
        : await this.#runOne(operation);
      if (outcome.kind === "failed") {
        this.#backend.transaction.failed = true;
        return receipt === undefined ? { ...outcome, index } : { kind: "receiptFound", receipt };
      }
      results.push({ rowCount: outcome.rowCount, rows: outcome.rows });
    }
    if (receipt !== undefined) return { kind: "receiptFound", receipt };
    return {
      kind: "executed",
      results,
      xid: this.#backend.transaction.xid,
      insideTransaction: true,
    };
  }

  #savepoint({ kind, name }: SavepointAction): ExecutionOutcome {
    const { transaction } = this.#backend;
    const place = transaction.findSavepoint(name);
    const trouble = transaction.failed && kind !== "rollbackTo" ? IN_FAILED_TRANSACTION : undefined;
    if (trouble !== undefined) return { ...trouble, index: 0 };
    if (kind === "savepoint") {
      transaction.setSavepoint(name);
    } else if (place === undefined) {
      transaction.failed = true;
      return { ...NO_SAVEPOINT, index: 0 };
    } else if (kind === "rollbackTo") {
      this.#database.rollbackTo(transaction, place);
    } else {
      transaction.savepoints.length = place;
    }
    return { kind: "executed", results: [], xid: transaction.xid, insideTransaction: true };
  }

  async #runOne(operation: BranchOperation): Promise<StatementOutcome> {
    if (this.#interrupted) return CANCELED;
    const { isolation } = this.#options;
    if (isolation === "serializable") {
      const message = "the memory shard does not know serializable";
      return { kind: "failed", sqlstate: "0A000", message };
    }
    if (isolation === "repeatable read") this.#backend.transaction.sees ??= this.#database.image();
    const statement = parseStatement(operation);
    if (statement.kind === "failed") return statement;
    const row = rowToLock(statement, this.#database);
    const trouble = row === undefined ? undefined : await this.#lock(row);
    return trouble ?? runStatement(statement, this.#backend.transaction, this.#database);
  }

  /** Undefined when the lock is held. */
  #lock(row: string): Promise<ServerFailure | undefined> {
    return new Promise((resolve, reject) => {
      let isWaiting = true;
      const stopWaiting = (): void => {
        isWaiting = false;
        this.#wake = undefined;
        stopTimer();
        giveUp();
      };
      this.#wake = (trouble) => {
        stopWaiting();
        resolve(trouble);
      };
      this.#backend.onKill(() => {
        if (!isWaiting) return;
        stopWaiting();
        reject(new ShardUnreachable("the server process ended"));
      });
      const { timeoutMs, lockTimeoutMs, interactive } = this.#options;
      const waitMs = interactive?.lockTimeoutMs ?? lockTimeoutMs ?? timeoutMs;
      const stopTimer = this.#clock.after(waitMs, () => {
        this.#wake?.(LOCK_TIMEOUT);
      });
      let giveUp = (): void => undefined;
      giveUp = this.#database.lock(this.#backend.transaction, row, () => {
        isWaiting = false;
        this.#wake = undefined;
        stopTimer();
        resolve(undefined);
      });
    });
  }

  #prepare(gid: GlobalId, isRolledBack: boolean): PrepareOutcome {
    if (this.#interrupted) {
      this.#rollBack();
      return CANCELED;
    }
    if (isRolledBack || this.#backend.transaction.failed) {
      this.#rollBack();
      return { kind: "answered", tag: "ROLLBACK", warnings: [] };
    }
    if (this.#database.prepared.has(gid)) {
      this.#rollBack();
      return DUPLICATE_GID;
    }
    this.#database.prepare(gid, this.#backend.transaction);
    return { kind: "answered", tag: "PREPARE TRANSACTION", warnings: [] };
  }

  #commit(receipt: Receipt | null): CommitOutcome {
    if (this.#interrupted || this.#backend.transaction.failed) {
      this.#rollBack();
      return this.#interrupted ? CANCELED : IN_FAILED_TRANSACTION;
    }
    if (receipt !== null) {
      const { transactionId, idempotencyKey } = receipt;
      const isTaken =
        this.#database.receipts.has(transactionId) ||
        (idempotencyKey !== null && this.#database.receiptByKey(idempotencyKey) !== undefined);
      if (isTaken) {
        this.#rollBack();
        return { kind: "conflict" };
      }
      this.#database.receipts.set(transactionId, receipt);
    }
    this.#database.commit(this.#backend.transaction);
    return { kind: "committed", warnings: [] };
  }

  #rollBack(): void {
    this.#database.rollback(this.#backend.transaction);
  }

  /** The session is over as asked: its server process has nothing left to do. */
  #finish(): void {
    this.#spent = true;
    this.#backend.lose();
  }
}
