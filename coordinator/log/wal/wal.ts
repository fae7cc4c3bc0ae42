/**
 * The LogStore on a real disk. One write is under way at a time; what is appended meanwhile goes into the next, with one
 * sync for all (group commit). The first error ends it for good: a later sync may succeed over lost pages.
 *
 *   directory/identity.json      {clusterId, nodeId, storageId}; there before anything is acknowledged
 *   directory/lock.1             who has it open
 *   directory/log/00000001.segment …
 *   directory/log/0000000000000001.snapshot
 *
 * Opening writes the last batch once more into a fresh segment (segment-writer.ts): the page cache may have shown bytes that an
 * earlier, failed sync dropped, and only what this process has synced itself may be voted upon, and removed upon. Closing
 * writes an empty batch, so that the last one that means something has a witness (recovery.ts).
 *
 * A snapshot is written beside the batches. When the record that names it is durable, older snapshots and segments are removed
 * beside the batches, too; what a crash leaves of that the next opening finishes.
 */
import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { assert, InvariantViolation } from "../../../shared/model/assert.ts";
import type { Slot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import {
  LogCorruption,
  LogFailure,
  LogIdentityMismatch,
  SnapshotAbandoned,
  type LogContents,
  type LogIdentity,
  type LogStore,
  type SnapshotChunk,
} from "../log-store.ts";
import { AppendQueue, type Append } from "./append-queue.ts";
import { BLOCK_BYTES } from "./codec.ts";
import { makeDirectories, writeFileAtomically, type Disk } from "./disk.ts";
import { identityPath, identityText, readIdentity, type StoredIdentity } from "./identity.ts";
import { LogDirectory } from "./log-directory.ts";
import { scan, type IntactScan, type Scan, type SegmentSource } from "./recovery.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { segmentName } from "./segment.ts";
import { SnapshotFiles } from "./snapshot-files.ts";
import { systemDisk } from "./system-disk.ts";

export interface WriteAheadLogOptions {
  readonly directory: string;
  readonly identity: LogIdentity;
  /** The group already knows this node: a directory without its log is refused, not filled. */
  readonly expectExisting?: boolean;
  readonly segmentBytes?: number;
  readonly disk?: Disk;
}

/** Zeroing a segment takes a few dozen ms, and so does reading one on the way back from a crash. */
const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;

export class WriteAheadLog implements LogStore {
  readonly #options: WriteAheadLogOptions;
  readonly #disk: Disk;
  readonly #logDirectory: string;
  readonly #files: LogDirectory;
  readonly #queue = new AppendQueue();
  #opened = false;
  #unlock: () => void = () => undefined;
  #writer: SegmentWriter | undefined;
  #snapshots: SnapshotFiles | undefined;
  #writing: Promise<void> | undefined;
  #isSaving = false;
  /** The operation on the disk that a snapshot waits for. */
  #saving: Promise<void> = Promise.resolve();
  #tidying: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #failure: LogFailure | undefined;

  constructor(options: WriteAheadLogOptions) {
    this.#options = options;
    this.#disk = options.disk ?? systemDisk;
    this.#logDirectory = join(options.directory, "log");
    this.#files = new LogDirectory(this.#disk, this.#logDirectory);
  }

  async open(): Promise<LogContents> {
    assert(!this.#opened, "a log is opened once");
    this.#opened = true;
    const { directory, identity } = this.#options;
    await makeDirectories(this.#disk, this.#logDirectory);
    this.#unlock = this.#disk.lock(directory);
    try {
      const stored = readIdentity(this.#disk, directory, identity);
      return await (stored === undefined ? this.#create() : this.#recover(stored));
    } catch (error) {
      this.#failure = new LogFailure("the log could not be opened", { cause: error });
      await this.close();
      throw error;
    }
  }

  /**
   * The identity comes last, when there is a first segment: so a log without one was never used, and one without its
   * first segment was not always empty.
   */
  async #create(): Promise<LogContents> {
    const { directory, identity, expectExisting = false } = this.#options;
    if (expectExisting) {
      throw new LogIdentityMismatch(
        `${directory} holds no log, but the group knows node ${identity.nodeId}: on another disk it has forgotten ` +
          `its promises. Bring its disk back, or give this one a new node id`,
      );
    }
    if (!this.#isUnused()) {
      throw new LogIdentityMismatch(`${directory} holds a log, but identity.json is missing`);
    }
    await this.#files.removeDrafts();
    await this.#files.removeSegments(() => true);
    await this.#disk.syncDirectory(dirname(directory));
    const { clusterId, nodeId } = identity;
    const stored = { clusterId, nodeId, storageId: randomUUID() };
    await this.#begin(stored).beginLog();
    await writeFileAtomically(this.#disk, identityPath(directory), identityText(stored));
    return { records: [], storageId: stored.storageId, created: true, snapshot: undefined };
  }

  /** A crash while the log was being made may have left its first segment, without records. */
  #isUnused(): boolean {
    const isBlank = ({ segment, read }: SegmentSource): boolean => {
      const behindFirstBatch = read().subarray(2 * BLOCK_BYTES);
      return segment === 1 && behindFirstBatch.every((byte) => byte === 0);
    };
    return !this.#files.holdsSnapshot && this.#files.segments().every(isBlank);
  }

  async #recover(stored: StoredIdentity): Promise<LogContents> {
    // A process that was killed may have left names that only the cache knows.
    await this.#disk.syncDirectory(this.#options.directory);
    const segments = this.#files.segments();
    if (segments.length === 0) {
      throw new LogCorruption(join(this.#logDirectory, segmentName(1)), 0, "A missing segment");
    }
    const found = intact(scan(segments, identityText(stored)));
    this.#begin(stored);
    const named = found.snapshot;
    const snapshot = named === undefined ? undefined : this.#snapshots?.recover(named);
    await this.#files.removeDrafts();
    if ((await this.#writer?.goOn(found)) === "next") {
      await this.#files.cutOff(found.tail.file, found.tail.end);
    }
    await this.#files.removeSegments((segment) => segment < found.firstNeeded);
    await this.#files.removeSnapshots((slot) => slot !== named?.slot);
    const { records } = found;
    return { records, storageId: stored.storageId, created: false, snapshot };
  }

  #begin(stored: StoredIdentity): SegmentWriter {
    const [disk, directory, owner] = [this.#disk, this.#logDirectory, identityText(stored)];
    const { segmentBytes = DEFAULT_SEGMENT_BYTES } = this.#options;
    this.#snapshots = new SnapshotFiles({ disk, directory, owner });
    this.#writer = new SegmentWriter({ disk, directory, owner, segmentBytes });
    return this.#writer;
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    assert(this.#writer !== undefined, "only an open log takes records");
    for (const record of records) if (record.kind === "snapshot") this.#snapshots?.name(record);
    return new Promise((resolve, reject) => {
      if (!this.#queue.push({ records, resolve, reject })) {
        this.#failure = new LogFailure("the disk does not keep up: too much waits to be written");
        reject(this.#failure);
      }
      this.#writing ??= this.#drain();
    });
  }

  async saveSnapshot(
    slot: Slot,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const snapshots = this.#snapshots;
    assert(snapshots !== undefined, "only an open log takes snapshots");
    assert(!this.#isSaving, "snapshots are saved one at a time");
    this.#isSaving = true;
    try {
      await snapshots.save(slot, chunks, (operation) => this.#saveStep(operation));
    } catch (error) {
      if (isHarmless(error)) throw error;
      throw this.#fail(error);
    } finally {
      this.#isSaving = false;
    }
  }

  /** None begins when the log has failed or is being closed, and closing waits for the one that runs. */
  #saveStep<Result>(operation: () => Promise<Result>): Promise<Result> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    const running = operation();
    this.#saving = running.then(
      () => undefined,
      () => undefined,
    );
    return running;
  }

  keepSnapshots(slots: ReadonlySet<Slot>): ReadonlySet<Slot> {
    if (this.#snapshots === undefined || this.#refusal() !== undefined) return new Set();
    const kept = this.#snapshots.keep(slots);
    this.#tidying = this.#tidying.then(() => this.#tidy());
    return kept;
  }

  readSnapshotChunk(slot: Slot, index: number): Promise<SnapshotChunk | undefined> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    assert(this.#snapshots !== undefined, "only an open log has snapshots");
    return this.#snapshots.readChunk(slot, index);
  }

  #refusal(): LogFailure | undefined {
    return this.#failure ?? (this.#closing && new LogFailure("the log is closed"));
  }

  #fail(cause: unknown): LogFailure {
    this.#failure ??= new LogFailure(`the log cannot be written: ${String(cause)}`, { cause });
    return this.#failure;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#saving;
      await this.#writing;
      await this.#tidying;
      await this.#writer?.end(this.#failure === undefined);
    } finally {
      this.#unlock();
    }
  }

  /** Never rejects: an error goes to every append that waits, and to every later one. */
  async #drain(): Promise<void> {
    // What is appended in the same turn shares the first write.
    await Promise.resolve();
    for (let group = this.#queue.take(); group.length > 0; group = this.#queue.take()) {
      await this.#commit(group);
    }
    this.#writing = undefined;
  }

  async #commit(group: readonly Append[]): Promise<void> {
    const records = group.flatMap((append) => append.records);
    try {
      if (this.#failure !== undefined) throw this.#failure;
      if (records.length > 0) await this.#writer?.write(records);
      this.#countSnapshot(records);
      for (const { resolve } of group) resolve();
    } catch (cause) {
      const failure = this.#fail(cause);
      for (const { reject } of group) reject(failure);
    }
  }

  /** Of what was just made durable: the last snapshot that is named counts from now on. */
  #countSnapshot(records: readonly DurableRecord[]): void {
    const named = records.findLast((record) => record.kind === "snapshot");
    if (named === undefined) return;
    this.#snapshots?.count(named.slot);
    // Taken now: what the next batch says of it is not durable yet.
    const firstNeeded = this.#writer?.firstNeeded ?? 1;
    this.#tidying = this.#tidying.then(() => this.#tidy(firstNeeded));
  }

  /** Never rejects. */
  async #tidy(firstNeeded = 0): Promise<void> {
    try {
      if (this.#failure !== undefined) return;
      await this.#files.removeSnapshots((slot) => this.#snapshots?.isObsolete(slot) === true);
      await this.#files.removeSegments((segment) => segment < firstNeeded);
    } catch (cause) {
      this.#fail(cause);
    }
  }
}

/** What `saveSnapshot` may end with although the disk is well. */
function isHarmless(error: unknown): boolean {
  const kinds = [SnapshotAbandoned, LogFailure, InvariantViolation];
  return kinds.some((kind) => error instanceof kind);
}

function intact(found: Scan): IntactScan {
  if (found.kind === "corrupt") throw new LogCorruption(found.file, found.offset, found.what);
  if (found.kind === "foreign") {
    throw new LogIdentityMismatch(`${found.file} belongs to another log: ${found.owner}`);
  }
  return found;
}
