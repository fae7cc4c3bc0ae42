/**
 * The LogStore's twin without a disk: what survives a crash is decided by whoever owns the `MemoryDisk`. Passes the same
 * contract tests as the real log, and lets the simulator lose, delay and fail writes.
 *
 * Like the real one it has one write under way at a time, and what is appended meanwhile goes into the next; a snapshot is
 * written beside them, each chunk a write of its own. It is the more hostile of the two: a crash may tear a write between any
 * two records, and may keep what was never yet being written; and a snapshot that counts takes with it, at once, all that
 * it may.
 */
import { assert } from "../../shared/model/assert.ts";
import { ZERO_BALLOT, ZERO_SLOT, type Slot } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { DurableRecord, SnapshotRecord } from "../paxos/record.ts";
import {
  LogFailure,
  LogIdentityMismatch,
  LogInUse,
  SnapshotAbandoned,
  type LogContents,
  type LogIdentity,
  type LogStore,
  type SnapshotChunk,
} from "./log-store.ts";
import type { MemoryDisk } from "./memory-disk.ts";
import { taken } from "./snapshot-chunks.ts";
import { assertGoesOn } from "./truncation.ts";
import { crc32 } from "./wal/crc32.ts";

export interface MemoryLogOptions {
  readonly disk: MemoryDisk;
  readonly clock: Clock;
  /** Must be the one that the disk was first opened with. */
  readonly identity?: LogIdentity;
  /** How many milliseconds the next write takes, or that it fails, or that it never ends. A snapshot's writes, too. */
  readonly nextAppend?: () => number | "fail" | "hang";
  /**
   * For tests that must notice a broken node. `forgetPromises`: a restart loses every promise that no accept proves.
   * `truncateBeforeDurable`: the log is cut before the record that names the snapshot is durable.
   */
  readonly mutation?: "forgetPromises" | "truncateBeforeDurable";
}

interface Waiting {
  readonly records: readonly DurableRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class MemoryLog implements LogStore {
  readonly #options: MemoryLogOptions;
  #waiting: Waiting[] = [];
  #writing: readonly Waiting[] = [];
  /** Of a write that failed: nobody was told that it is durable, yet it may be. */
  #doubtful: readonly DurableRecord[] = [];
  #failure: LogFailure | undefined;
  #crashed = false;
  #isSaving = false;
  /** A snapshot that is whole, and may or may not have its name when the process ends now. */
  #unnamed: { readonly slot: Slot; readonly chunks: readonly Uint8Array[] } | undefined;
  /** By the last `snapshot` record that was appended. */
  #named: SnapshotRecord | undefined;

  constructor(options: MemoryLogOptions) {
    this.#options = options;
  }

  open(): Promise<LogContents> {
    const { disk, identity, mutation } = this.#options;
    if (disk.owner !== undefined) return Promise.reject(new LogInUse("the disk has an owner"));
    disk.identity ??= identity;
    if (identity !== undefined && !isSame(identity, disk.identity)) {
      return Promise.reject(new LogIdentityMismatch("the disk belongs to another node"));
    }
    const created = !disk.wasOpened;
    disk.wasOpened = true;
    const snapshot = disk.recoverSnapshot();
    disk.owner = this;
    this.#named = disk.counting;
    const records =
      mutation === "forgetPromises" ? withoutPromises(disk.records) : [...disk.records];
    return Promise.resolve({ records, storageId: disk.storageId, created, snapshot });
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    assert(this.#crashed || this.#options.disk.owner === this, "a log is opened before it is used");
    for (const record of records) if (record.kind === "snapshot") this.#name(record);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records: records.map(copied), resolve, reject });
      this.#next();
    });
  }

  #name(record: SnapshotRecord): void {
    const { disk, mutation } = this.#options;
    assert(
      this.#crashed || disk.snapshots.has(record.slot),
      "a snapshot is saved before it is named",
    );
    assertGoesOn(this.#named, record);
    this.#named = record;
    if (mutation === "truncateBeforeDurable") disk.truncate(record);
  }

  async saveSnapshot(
    slot: Slot,
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const { disk } = this.#options;
    assert(this.#crashed || disk.owner === this, "a log is opened before it is used");
    assert(!this.#isSaving, "snapshots are saved one at a time");
    if (slot <= (this.#named?.slot ?? ZERO_SLOT))
      throw new SnapshotAbandoned("a later snapshot counts already");
    this.#isSaving = true;
    try {
      const chunks: Uint8Array[] = [];
      for await (const chunk of taken(source)) {
        chunks.push(chunk.slice());
        await this.#writeOfSnapshot();
      }
      this.#unnamed = { slot, chunks };
      await this.#writeOfSnapshot();
      disk.snapshots.set(slot, chunks);
    } finally {
      this.#isSaving = false;
      this.#unnamed = undefined;
    }
  }

  /** Never settles once the process has ended. */
  #writeOfSnapshot(): Promise<void> {
    const latency = this.#options.nextAppend?.() ?? 0;
    return new Promise((resolve, reject) => {
      if (latency === "hang") return;
      this.#options.clock.after(latency === "fail" ? 0 : latency, () => {
        if (this.#crashed) return;
        if (latency === "fail") this.#fail([]);
        if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      });
    });
  }

  keepSnapshots(slots: ReadonlySet<Slot>): ReadonlySet<Slot> {
    const { disk } = this.#options;
    const isOpen = this.#failure === undefined && disk.owner === this;
    return isOpen ? disk.keepSnapshots(slots) : new Set();
  }

  readSnapshotChunk(slot: Slot, index: number): Promise<SnapshotChunk | undefined> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const chunks = this.#options.disk.snapshot(slot);
    const bytes = chunks?.[index]?.slice();
    if (chunks === undefined || bytes === undefined) return Promise.resolve(undefined);
    const isLast = index === chunks.length - 1;
    const wholeCrc = isLast ? chunks.reduce((crc, chunk) => crc32(chunk, crc), 0) : null;
    return Promise.resolve({ bytes, wholeCrc });
  }

  async close(): Promise<void> {
    const isBusy = this.#writing.length > 0 || this.#waiting.length > 0;
    const idle = isBusy && this.#failure === undefined ? this.append([]) : undefined;
    this.#failure ??= new LogFailure("the log is closed");
    // A write that fails has told those who wait for it.
    await idle?.catch(() => undefined);
    if (this.#options.disk.owner === this) this.#options.disk.owner = undefined;
  }

  /**
   * The process ends here and now. Of what was not durable the first `survivors` records reach the disk, and nobody is told;
   * a snapshot that waits for its name counts as one.
   */
  crash(survivors: (unsynced: number) => number): void {
    this.#crashed = true;
    const unsynced = [...this.#writing, ...this.#waiting].flatMap(({ records }) => records);
    const records = [...this.#doubtful, ...unsynced];
    this.#options.disk.keep(records.slice(0, survivors(records.length)));
    if (this.#unnamed !== undefined && survivors(1) === 1) {
      this.#options.disk.snapshots.set(this.#unnamed.slot, this.#unnamed.chunks);
    }
    this.#writing = [];
    this.#waiting = [];
    if (this.#options.disk.owner === this) this.#options.disk.owner = undefined;
  }

  #next(): void {
    if (this.#writing.length > 0 || this.#waiting.length === 0 || this.#crashed) return;
    this.#writing = this.#waiting;
    this.#waiting = [];
    const latency = this.#options.nextAppend?.() ?? 0;
    if (latency === "hang") return;
    this.#options.clock.after(latency === "fail" ? 0 : latency, () => {
      this.#finish(latency === "fail");
    });
  }

  #finish(failed: boolean): void {
    if (this.#crashed) return;
    const written = this.#writing;
    this.#writing = [];
    if (failed) {
      this.#fail(written);
      return;
    }
    for (const { records } of written) this.#options.disk.keep(records);
    for (const { resolve } of written) resolve();
    this.#next();
  }

  #fail(written: readonly Waiting[]): void {
    const failure = (this.#failure ??= new LogFailure("the simulated disk failed"));
    this.#doubtful = written.flatMap(({ records }) => records);
    for (const { reject } of [...written, ...this.#waiting.splice(0)]) reject(failure);
  }
}

/** A disk does not see what its writer does to a value later. */
function copied(record: DurableRecord): DurableRecord {
  return "value" in record ? { ...record, value: record.value.slice() } : record;
}

function withoutPromises(records: readonly DurableRecord[]): readonly DurableRecord[] {
  return records
    .filter(({ kind }) => kind !== "promised")
    .map((record) => (record.kind === "snapshot" ? { ...record, promised: ZERO_BALLOT } : record));
}

function isSame(one: LogIdentity, other: LogIdentity | undefined): boolean {
  return one.clusterId === other?.clusterId && one.nodeId === other.nodeId;
}
