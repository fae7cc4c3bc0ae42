/**
 * The port to a node's durable memory: an append-only log of paxos records, owned by exactly one process.
 *
 * Contract, which every adapter passes (test/log/log-store-contract.ts):
 * - `open` repairs a torn tail durably before it returns, and returns every record whose `append` was ever
 *   acknowledged, in order; unacknowledged records may follow, as a prefix of what was written, never with a hole.
 * - `append` resolves when the records are durable. Calls are durable in call order; several calls may share one
 *   sync. An empty append resolves after everything before it.
 * - A failed write or sync rejects that append and every later one (`LogFailure`), for ever: a later sync can succeed
 *   over lost pages. The owner's only move is to stop.
 * - Damage to acknowledged data makes `open` reject with `LogCorruption`, naming file and offset. It is never "empty".
 * - A directory of another cluster or node, or a missing one where `expectExisting` says that the group already knows
 *   this node, makes `open` reject with `LogIdentityMismatch`.
 * - While one owner has the log open, `open` by another rejects with `LogInUse`. An owner that was killed holds nothing.
 */
import type { ClusterId, NodeId } from "../../shared/model/ids.ts";
import type { DurableRecord } from "../paxos/record.ts";

export interface LogIdentity {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
}

export interface LogContents {
  readonly records: readonly DurableRecord[];
  /** Random, made when the directory was created; another value under the same node id is another disk. */
  readonly storageId: string;
  /** True when this `open` created the log. */
  readonly created: boolean;
}

export interface LogStore {
  open(): Promise<LogContents>;
  append(records: readonly DurableRecord[]): Promise<void>;
  /** Waits for running appends; later appends reject. */
  close(): Promise<void>;
}

export class LogFailure extends Error {
  override readonly name = "LogFailure";
}

/** Acknowledged bytes are damaged: the node must not vote. */
export class LogCorruption extends Error {
  override readonly name = "LogCorruption";
  readonly file: string;
  readonly offset: number;

  constructor(file: string, offset: number, what: string) {
    super(
      `${what} in ${file} at offset ${offset}. Acknowledged data below the end of the log cannot be read, so ` +
        `this node must not vote. Replace the node (new node id, empty directory); do not delete single files.`,
    );
    this.file = file;
    this.offset = offset;
  }
}

export class LogIdentityMismatch extends Error {
  override readonly name = "LogIdentityMismatch";
}

/** Another process has the log open. */
export class LogInUse extends Error {
  override readonly name = "LogInUse";
}
