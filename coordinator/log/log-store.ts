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
 *
 * Beside the records stands at most one snapshot that counts (older ones may be kept for readers): the one that the last
 * `snapshot` record names.
 *
 *   saveSnapshot ──▶ durable under its name ──▶ append of the record that names it ──▶ it counts ──▶ older ones and what the
 *   record stands for are removed
 *
 * - Once it counts, `open` leaves out what the record stands for: slots up to its `truncatedUpTo`, and promises and hints that
 *   were written before it.
 * - A snapshot that no record names is removed by the next `open`. A record whose snapshot is missing or damaged is
 *   `LogCorruption`.
 */
import type { ClusterId, NodeId, Slot } from "../../shared/model/ids.ts";
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
  /** The one that counts. */
  readonly snapshot: StoredSnapshot | undefined;
}

export interface StoredSnapshot {
  readonly slot: Slot;
  /** Read and checked one by one; throws LogCorruption. Valid until another snapshot counts. */
  chunks(): Iterable<Uint8Array>;
}

export interface SnapshotChunk {
  readonly bytes: Uint8Array;
  /** With the last chunk: the CRC-32 of all chunks' bytes, one after another. */
  readonly wholeCrc: number | null;
}

export const SNAPSHOT_CHUNK_BYTES = 64 * 1024;

export interface LogStore {
  open(): Promise<LogContents>;
  /** A `snapshot` record names one that was saved before, and none older than the one that counts. */
  append(records: readonly DurableRecord[]): Promise<void>;
  /**
   * Resolves when the snapshot is durable under its name; it does not count yet. One at a time; one chunk at least, none empty
   * or above SNAPSHOT_CHUNK_BYTES. Chunks are taken one by one, each when the one before it was written, and appends go on
   * meanwhile.
   * Rejects with SnapshotAbandoned when `chunks` throws or a snapshot of this slot or a later one counts already: nothing is
   * left of it and the log goes on. Rejects with LogFailure when the disk fails: for good, as for appends.
   */
  saveSnapshot(slot: Slot, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * From now on those of `slots` that count or are kept stay readable, also when a later one counts, until this is called without
   * them; every other older one goes. Says which they are. Nothing is kept beyond the process.
   */
  keepSnapshots(slots: ReadonlySet<Slot>): ReadonlySet<Slot>;
  /**
   * Of the snapshot that counts, or one that is kept; undefined when there is no such one of `slot`, or no such chunk. Rejects
   * with LogCorruption: damaged bytes never leave the node.
   */
  readSnapshotChunk(slot: Slot, index: number): Promise<SnapshotChunk | undefined>;
  /** Waits for running appends, not for a snapshot's chunks; later appends reject. */
  close(): Promise<void>;
}

/** The snapshot was not taken, and nothing else happened. */
export class SnapshotAbandoned extends Error {
  override readonly name = "SnapshotAbandoned";
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
