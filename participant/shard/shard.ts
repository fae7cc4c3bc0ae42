/**
 * The port to one Postgres database. postgres-shard.ts is the adapter; memory-shard.ts the twin for the simulator.
 * The port speaks of what Postgres did, never of what it must have meant: branch-service.ts draws the conclusions.
 *
 * Contract (test/participant/shard-contract.ts):
 * - A session is one open transaction on one connection. After `executeAndPrepare`, `prepare`, `commit` or `rollback`
 *   it is spent; `rollback` of a spent session does nothing.
 * - Any method may reject with `ShardUnreachable`: then what it asked for may or may not have happened. A session
 *   that rejected so is spent; the adapter makes sure that its transaction can no longer change its state unseen
 *   (it ends the server process, or knows it ended) before `fence` resolves.
 * - Statement errors are values (`failed`), because they are ordinary votes.
 * - Savepoints nest as SQL's do: a name may be set again and then hides the earlier one; going back keeps the savepoint,
 *   releasing it drops it and all that were set after it.
 */
import type { Isolation, OperationResult } from "../../shared/model/api.ts";
import type { ErrorCode } from "../../shared/model/errors.ts";
import type { ResultField } from "../../shared/model/interactive.ts";
import type { BranchAction, BranchOperation } from "../../shared/model/protocol.ts";
import type { GlobalId, TransactionId, Xid } from "../../shared/model/ids.ts";

/** The server said no; the transaction is rolled back, or can only be rolled back. */
export interface ServerFailure {
  readonly kind: "failed";
  readonly sqlstate: string;
  readonly message: string;
  readonly constraint?: string;
}

export interface StatementFailure extends ServerFailure {
  /** Place in the list that was passed in. */
  readonly index: number;
}

/** Not sent to the server at all: only one statement of the allowed classes may be. */
export interface StatementRefusal {
  readonly kind: "refused";
  /** Place in the list that was passed in. */
  readonly index: number;
  readonly code: ErrorCode;
  readonly sentence: string;
}

export type ExecutionOutcome =
  | {
      readonly kind: "executed";
      readonly results: readonly OperationResult[];
      /**
       * Null when the transaction has written nothing and locked no row, by what the server knows and by the texts of its
       * statements: what they have written through a foreign table has an xid, too.
       */
      readonly xid: Xid | null;
      /** False when the session is no longer inside the transaction that `begin` opened. */
      readonly insideTransaction: boolean;
    }
  /** The idempotency key that was passed in is used up; what was executed must be rolled back. */
  | { readonly kind: "receiptFound"; readonly receipt: Receipt }
  | StatementRefusal
  | StatementFailure;

export type PrepareOutcome =
  /** `tag` is the command tag word for word: only "PREPARE TRANSACTION" means prepared. */
  | { readonly kind: "answered"; readonly tag: string; readonly warnings: readonly string[] }
  | ServerFailure;

export interface ExecuteAndPrepareOutcome {
  readonly execution: ExecutionOutcome;
  /** Null when the execution did not get so far. */
  readonly prepare: PrepareOutcome | null;
}

export type FinishOutcome =
  | { readonly kind: "finished"; readonly warnings: readonly string[] }
  | { readonly kind: "doesNotExist" }
  /** Another session is finishing it, or the server refused for now. */
  | { readonly kind: "refused"; readonly sqlstate: string; readonly message: string };

/**
 * What the server remembers of an xid; `forgotten` when it is older than its commit log, or was never given out here (the
 * database is a copy of an earlier state).
 */
export type XidStatus = "in progress" | "committed" | "aborted" | "forgotten";

export interface Receipt {
  readonly transactionId: TransactionId;
  readonly idempotencyKey: string | null;
  readonly fingerprint: string | null;
  /** Null is a tombstone: the transaction did not commit, and this row keeps it from ever doing so. */
  readonly results: readonly OperationResult[] | null;
}

/** `conflict`: a receipt of the same transaction or the same key is there already; nothing was committed. */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly warnings: readonly string[] }
  | { readonly kind: "conflict" }
  | ServerFailure;

/** `snapshot` as Postgres writes it, `xmin:xmax:running,…`: which transactions the results have seen. */
export type ReadOutcome =
  | {
      readonly kind: "read";
      readonly snapshot: string;
      readonly results: readonly OperationResult[];
      /** False when a statement has changed what the session is. */
      readonly insideTransaction: boolean;
    }
  | StatementRefusal
  | StatementFailure;

/** Sessions of one snapshot that may be open at once: they have connections of their own. */
export const READ_CONNECTIONS = 16;

export interface SessionOptions {
  /** `one snapshot`: for `read`, and for nothing else. */
  readonly isolation: Isolation | "one snapshot";
  /** Bounds each statement and each lock wait. */
  readonly timeoutMs: number;
  /** Bounds each lock wait instead. */
  readonly lockTimeoutMs?: number | undefined;
  /** For a session that runs one step after the other. */
  readonly interactive?: InteractiveOptions;
}

export interface InteractiveOptions {
  /** Set right behind BEGIN, the oldest first. */
  readonly savepoints: readonly string[];
  /** Bounds each lock wait instead. */
  readonly lockTimeoutMs: number;
  /** The server rolls back by itself what waits for longer than this. */
  readonly maxIdleMs: number;
}

/** What is done to a savepoint. */
export type SavepointAction = Extract<BranchAction, { readonly name: string }>;

export interface StepOutcome {
  readonly execution: ExecutionOutcome;
  /** The columns of what was returned, in order. */
  readonly fields: readonly ResultField[];
  /** That was taken; as in a ReadOutcome. */
  readonly snapshot?: string;
}

export interface ShardSession {
  /**
   * All statements in one round trip; stops at the first failure, after which only `rollback` may follow. Receipts of the
   * keys are looked up first, and if there is one it is the outcome, whatever became of the statements.
   */
  execute(
    operations: readonly BranchOperation[],
    idempotencyKeys?: readonly string[],
  ): Promise<ExecutionOutcome>;
  /**
   * Both in one round trip. The prepare is sent without looking at the results: whoever dislikes them afterwards (an
   * expectation, nothing written, a receipt under a key) must roll the prepared transaction back.
   */
  executeAndPrepare(
    operations: readonly BranchOperation[],
    gid: GlobalId,
    deadlineMs: number,
    idempotencyKeys?: readonly string[],
  ): Promise<ExecuteAndPrepareOutcome>;
  /**
   * The whole life of a session of one snapshot, in one round trip: everything sees that snapshot, and a statement that writes
   * fails.
   */
  read(operations: readonly BranchOperation[]): Promise<ReadOutcome>;
  /** One statement. When it fails, only `rollback` and `savepoint` with `rollbackTo` may follow. */
  runStep(operation: BranchOperation): Promise<StepOutcome>;
  /**
   * Of `repeatable read`: all that comes sees this snapshot. What came before is rolled back, so it may be asked for again,
   * until there is something to lose.
   */
  takeSnapshot(): Promise<StepOutcome>;
  /** `executed` without results, or what `runStep` would say of a statement. */
  savepoint(action: SavepointAction): Promise<ExecutionOutcome>;
  /** Not bounded by any statement timeout of the server: `deadlineMs` ends it from a second connection. */
  prepare(gid: GlobalId, deadlineMs: number): Promise<PrepareOutcome>;
  /** One-phase: writes the receipt (if any) and commits, in one round trip. */
  commit(receipt: Receipt | null): Promise<CommitOutcome>;
  /** Never rejects. */
  rollback(): Promise<void>;
  /** Makes whatever runs end soon, from another connection; the pending call then settles as usual. */
  interrupt(): void;
}

/** A session waits for a lock until another session or a prepared transaction lets go of it. */
export interface LockWait {
  readonly waiter: ShardSession;
  readonly holder:
    | { readonly kind: "session"; readonly session: ShardSession }
    | { readonly kind: "prepared"; readonly gid: GlobalId };
  /** The same text in two answers means: the same wait, and it has not ended in between. */
  readonly evidence: string;
}

export interface PreparedOnShard {
  readonly gid: GlobalId;
  readonly xid: Xid;
}

export interface Shard {
  begin(options: SessionOptions): Promise<ShardSession>;
  commitPrepared(gid: GlobalId): Promise<FinishOutcome>;
  rollbackPrepared(gid: GlobalId): Promise<FinishOutcome>;
  /** Prepared transactions of this database whose gid starts with the prefix. */
  listPrepared(prefix: string): Promise<readonly PreparedOnShard[]>;
  xidStatus(xid: Xid): Promise<XidStatus>;
  /**
   * Which sessions of this object wait for which others of it and for which prepared transactions (of anybody), also through
   * sessions of others that wait themselves. Waits that end whatever transactions do are left out. The server is not asked
   * unless some session has been running something for `runningForMs`.
   */
  lockWaits(runningForMs: number): Promise<readonly LockWait[]>;
  /**
   * Resolves when no server process that this shard object lost sight of (a session that ended in
   * `ShardUnreachable`) can still prepare or commit.
   */
  fence(): Promise<void>;
  findReceiptByKey(key: string): Promise<Receipt | undefined>;
  /**
   * When the newest receipt with a key was written among those that are deleted, or are about to be; 0 when none is. Raised
   * before the first of them can be missed.
   */
  readonly keysForgottenUpToMs: number;
  /**
   * Settles a one-phase transaction for ever: waits for one that is just committing, then answers its receipt, or
   * leaves a tombstone and answers that. `forgotten`: older than the receipts that are kept, no claim either way.
   */
  settleReceipt(transactionId: TransactionId): Promise<Receipt | "forgotten">;
}

export class ShardUnreachable extends Error {
  override readonly name = "ShardUnreachable";
}

/** The results were larger than LIMITS.maxResultBytes, and the session was ended in the middle of them. */
export class ResultTooLarge extends ShardUnreachable {}
