/**
 * The LogStore's twin without a disk: what survives a crash is decided by whoever owns the `MemoryDisk`. Passes the same
 * contract tests as the real log, and lets the simulator lose, delay and fail writes.
 *
 * Like the real one it has one write under way at a time, and what is appended meanwhile goes into the next. It is the more
 * hostile of the two: a crash may tear a write between any two records, and may keep what was never yet being written.
 */
import { assert } from "../../shared/model/assert.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { DurableRecord } from "../paxos/record.ts";
import {
  LogFailure,
  LogIdentityMismatch,
  LogInUse,
  type LogContents,
  type LogIdentity,
  type LogStore,
} from "./log-store.ts";

/** What outlives the process. One per node; a new MemoryLog on the same disk is the node after its restart. */
export class MemoryDisk {
  readonly storageId: string;
  readonly records: DurableRecord[] = [];
  wasOpened = false;
  identity: LogIdentity | undefined;
  owner: MemoryLog | undefined;

  constructor(storageId: string) {
    this.storageId = storageId;
  }
}

export interface MemoryLogOptions {
  readonly disk: MemoryDisk;
  readonly clock: Clock;
  /** Must be the one that the disk was first opened with. */
  readonly identity?: LogIdentity;
  /** How many milliseconds the next write takes, or that it fails, or that it never ends. */
  readonly nextAppend?: () => number | "fail" | "hang";
  /**
   * For tests that must notice a broken node. `forgetPromises`: a restart loses every promise that no accept proves.
   */
  readonly mutation?: "forgetPromises";
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
    disk.owner = this;
    const records =
      mutation === "forgetPromises"
        ? disk.records.filter(({ kind }) => kind !== "promised")
        : [...disk.records];
    return Promise.resolve({ records, storageId: disk.storageId, created });
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    assert(this.#crashed || this.#options.disk.owner === this, "a log is opened before it is used");
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records: records.map(copied), resolve, reject });
      this.#next();
    });
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
   * The process ends here and now. Of what was not durable the first `survivors` records reach the disk, and nobody is told.
   */
  crash(survivors: (unsynced: number) => number): void {
    this.#crashed = true;
    const unsynced = [...this.#writing, ...this.#waiting].flatMap(({ records }) => records);
    const records = [...this.#doubtful, ...unsynced];
    this.#keep(records.slice(0, survivors(records.length)));
    this.#writing = [];
    this.#waiting = [];
    if (this.#options.disk.owner === this) this.#options.disk.owner = undefined;
  }

  #keep(records: readonly DurableRecord[]): void {
    for (const record of records) this.#options.disk.records.push(record);
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
    for (const { records } of written) this.#keep(records);
    for (const { resolve } of written) resolve();
    this.#next();
  }

  #fail(written: readonly Waiting[]): void {
    const failure = new LogFailure("the simulated disk failed");
    this.#failure = failure;
    this.#doubtful = written.flatMap(({ records }) => records);
    for (const { reject } of [...written, ...this.#waiting.splice(0)]) reject(failure);
  }
}

/** A disk does not see what its writer does to a value later. */
function copied(record: DurableRecord): DurableRecord {
  return "value" in record ? { ...record, value: record.value.slice() } : record;
}

function isSame(one: LogIdentity, other: LogIdentity | undefined): boolean {
  return one.clusterId === other?.clusterId && one.nodeId === other.nodeId;
}
