/**
 * The port to one Postgres database. postgres-shard.ts is the adapter; memory-shard.ts the twin for the simulator.
 * The port speaks of what Postgres did, never of what it must have meant: branch-service.ts draws the conclusions.
 *
 * Contract (test/participant/shard-contract.ts):
 * - A session is one open transaction on one connection. After `prepare`, `commit` or `rollback` it is spent.
 * - Any method may reject with `ShardUnreachable`: then what it asked for may or may not have happened. A session
 *   that rejected so is spent; the adapter makes sure that its transaction can no longer change its state unseen
 *   (it ends the server process, or knows it ended) before `fence` resolves.
 * - Statement errors are values (`failed`), because they are ordinary votes.
 */
import type { Isolation, OperationResult } from "../../shared/model/api.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import type { GlobalId, TransactionId, Xid } from "../../shared/model/ids.ts";

export interface StatementFailure {
  readonly kind: "failed";
  /** Place in the list that was passed in. */
  readonly index: number;
  readonly sqlstate: string;
  readonly message: string;
  readonly constraint?: string;
}

export type ExecutionOutcome =
  | {
      readonly kind: "executed";
      readonly results: readonly OperationResult[];
      /** Null when the transaction has written nothing and locked no row. */
      readonly xid: Xid | null;
      /** False when the session is no longer inside the transaction that `begin` opened. */
      readonly insideTransaction: boolean;
    }
  | StatementFailure;

export type PrepareOutcome =
  /** `tag` is the command tag word for word: only "PREPARE TRANSACTION" means prepared. */
  | { readonly kind: "answered"; readonly tag: string; readonly warnings: readonly string[] }
  | { readonly kind: "failed"; readonly sqlstate: string; readonly message: string };

export type FinishOutcome =
  | { readonly kind: "finished"; readonly warnings: readonly string[] }
  | { readonly kind: "doesNotExist" }
  /** Another session is finishing it, or the server refused for now. */
  | { readonly kind: "refused"; readonly sqlstate: string; readonly message: string };

/** What the server remembers of an xid; `forgotten` when it is older than its commit log. */
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
  | { readonly kind: "committed" }
  | { readonly kind: "conflict" }
  | { readonly kind: "failed"; readonly sqlstate: string; readonly message: string };

export interface SessionOptions {
  readonly isolation: Isolation;
  /** Bounds each statement and each lock wait. */
  readonly timeoutMs: number;
}

export interface ShardSession {
  /** All statements in one round trip. Stops at the first failure. */
  execute(operations: readonly BranchOperation[]): Promise<ExecutionOutcome>;
  /** Not bounded by any statement timeout of the server: `deadlineMs` ends it from a second connection. */
  prepare(gid: GlobalId, deadlineMs: number): Promise<PrepareOutcome>;
  /** One-phase: writes the receipt (if any) and commits, in one round trip. */
  commit(receipt: Receipt | null): Promise<CommitOutcome>;
  rollback(): Promise<void>;
  /** Interrupts whatever runs, from another connection, and rolls back. Resolves when the transaction is over. */
  cancel(): Promise<void>;
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
   * Resolves when no server process that this shard object lost sight of (a session that ended in
   * `ShardUnreachable`) can still prepare or commit.
   */
  fence(): Promise<void>;
  findReceiptByKey(key: string): Promise<Receipt | undefined>;
  findReceipt(transactionId: TransactionId): Promise<Receipt | undefined>;
  /**
   * Settles a one-phase transaction for ever: waits for one that is just committing, then answers its receipt, or
   * leaves a tombstone and answers that.
   */
  settleReceipt(transactionId: TransactionId): Promise<Receipt>;
}

export class ShardUnreachable extends Error {
  override readonly name = "ShardUnreachable";
}
