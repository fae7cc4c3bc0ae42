/**
 * The LogStore on a real disk. One write is under way at a time; what is appended meanwhile goes into the next, with one
 * sync for all (group commit). The first error ends it for good: a later sync may succeed over lost pages.
 *
 *   directory/identity.json      {clusterId, nodeId, storageId}; there before anything is acknowledged
 *   directory/lock.1             who has it open
 *   directory/log/00000001.segment …
 *
 * Opening begins a fresh segment and writes the last batch once more into it: the page cache may have shown bytes that an
 * earlier, failed sync dropped, and only what this process has synced itself may be voted upon. Closing writes an empty
 * batch, so that the last one that means something has a witness (recovery.ts).
 */
import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { assert } from "../../../shared/model/assert.ts";
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
import { scan, type Scan, type SegmentSource } from "./recovery.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { isDraftName, isSegmentName, segmentName } from "./segment.ts";
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
  readonly #queue = new AppendQueue();
  #opened = false;
  #unlock: () => void = () => undefined;
  #writer: SegmentWriter | undefined;
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #failure: LogFailure | undefined;

  constructor(options: WriteAheadLogOptions) {
    this.#options = options;
    this.#disk = options.disk ?? systemDisk;
    this.#logDirectory = join(options.directory, "log");
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
    await this.#remove((name) => isSegmentName(name) || isDraftName(name));
    await this.#disk.syncDirectory(dirname(directory));
    const { clusterId, nodeId } = identity;
    const stored = { clusterId, nodeId, storageId: randomUUID() };
    this.#writer = this.#writerOf(stored);
    await this.#writer.beginLog();
    await writeFileAtomically(this.#disk, identityPath(directory), identityText(stored));
    return { records: [], storageId: stored.storageId, created: true, snapshot: undefined };
  }

  /** A crash while the log was being made may have left its first segment, without records. */
  #isUnused(): boolean {
    return this.#segmentNames().every((name) => {
      const behindFirstBatch = this.#source(name)
        .read()
        .subarray(2 * BLOCK_BYTES);
      return name === segmentName(1) && behindFirstBatch.every((byte) => byte === 0);
    });
  }

  async #recover(stored: StoredIdentity): Promise<LogContents> {
    // A process that was killed may have left names that only the cache knows.
    await this.#disk.syncDirectory(this.#options.directory);
    const names = this.#segmentNames();
    if (names.length === 0) {
      throw new LogCorruption(join(this.#logDirectory, segmentName(1)), 0, "A missing segment");
    }
    const sources = names.map((name) => this.#source(name));
    const { records, tail } = intact(scan(sources, identityText(stored)));
    await this.#remove(isDraftName);
    const writer = this.#writerOf(stored);
    this.#writer = writer;
    await writer.goOn(tail, records);
    await this.#cutOff(tail.file, tail.end);
    return { records, storageId: stored.storageId, created: false, snapshot: undefined };
  }

  #writerOf(stored: StoredIdentity): SegmentWriter {
    return new SegmentWriter({
      disk: this.#disk,
      directory: this.#logDirectory,
      owner: identityText(stored),
      segmentBytes: this.#options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
    });
  }

  #segmentNames(): readonly string[] {
    return this.#disk.list(this.#logDirectory).filter(isSegmentName);
  }

  #source(name: string): SegmentSource {
    const file = join(this.#logDirectory, name);
    return {
      file,
      readHeader: () => this.#disk.readStart(file, BLOCK_BYTES),
      read: () => this.#disk.read(file),
    };
  }

  async #remove(isRemoved: (name: string) => boolean): Promise<void> {
    for (const name of this.#disk.list(this.#logDirectory).filter(isRemoved)) {
      this.#disk.remove(join(this.#logDirectory, name));
    }
    await this.#disk.syncDirectory(this.#logDirectory);
  }

  /** Gives back what the crash left: a torn batch, preallocated zeros. The new segment's header already says it does not count. */
  async #cutOff(path: string, end: number): Promise<void> {
    const file = await this.#disk.openDurable(path);
    try {
      await file.truncate(end);
    } finally {
      await file.close();
    }
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    const refusal = this.#failure ?? (this.#closing && new LogFailure("the log is closed"));
    if (refusal !== undefined) return Promise.reject(refusal);
    assert(this.#writer !== undefined, "only an open log takes records");
    return new Promise((resolve, reject) => {
      if (!this.#queue.push({ records, resolve, reject })) {
        this.#failure = new LogFailure("the disk does not keep up: too much waits to be written");
        reject(this.#failure);
      }
      this.#writing ??= this.#drain();
    });
  }

  /** Not kept yet. */
  saveSnapshot(): Promise<void> {
    return Promise.reject(new SnapshotAbandoned("this log keeps no snapshots"));
  }

  readSnapshotChunk(): Promise<SnapshotChunk | undefined> {
    return Promise.resolve(undefined);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#writing;
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
      for (const { resolve } of group) resolve();
    } catch (cause) {
      this.#failure ??= new LogFailure(`the log cannot be written: ${String(cause)}`, { cause });
      for (const { reject } of group) reject(this.#failure);
    }
  }
}

function intact(found: Scan): Extract<Scan, { kind: "intact" }> {
  if (found.kind === "corrupt") throw new LogCorruption(found.file, found.offset, found.what);
  if (found.kind === "foreign") {
    throw new LogIdentityMismatch(`${found.file} belongs to another log: ${found.owner}`);
  }
  return found;
}
