/**
 * The LogStore's twin without a disk: what survives a crash is decided by whoever owns the `MemoryDisk`. Passes the same
 * contract tests as the real log, and lets the simulator lose, delay and fail writes.
 */
import type { Clock } from "../../shared/model/ports.ts";
import type { DurableRecord } from "../paxos/record.ts";
import { LogFailure, type LogContents, type LogStore } from "./log-store.ts";

/** What outlives the process. One per node; a new MemoryLog on the same disk is the node after its restart. */
export class MemoryDisk {
  readonly storageId: string;
  readonly records: DurableRecord[] = [];
  wasOpened = false;

  constructor(storageId: string) {
    this.storageId = storageId;
  }
}

export interface MemoryLogOptions {
  readonly disk: MemoryDisk;
  readonly clock: Clock;
  /** How long the next append takes, or that it fails, or that it never ends. */
  readonly nextAppend?: () => number | "fail" | "hang";
  /**
   * For tests that must notice a broken node. `forgetPromises`: a restart loses every promise that no accept proves.
   */
  readonly mutation?: "forgetPromises";
}

interface Running {
  readonly records: readonly DurableRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class MemoryLog implements LogStore {
  readonly #options: MemoryLogOptions;
  #queue: Running[] = [];
  #running: Running | undefined;
  #failure: LogFailure | undefined;
  #crashed = false;

  constructor(options: MemoryLogOptions) {
    this.#options = options;
  }

  open(): Promise<LogContents> {
    const { disk, mutation } = this.#options;
    const created = !disk.wasOpened;
    disk.wasOpened = true;
    const records =
      mutation === "forgetPromises"
        ? disk.records.filter(({ kind }) => kind !== "promised")
        : [...disk.records];
    return Promise.resolve({ records, storageId: disk.storageId, created });
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    const last = this.#queue.at(-1) ?? this.#running;
    if (last !== undefined) await this.append([]);
    this.#failure ??= new LogFailure("the log is closed");
  }

  /**
   * The process ends here and now. Of what was being written the first `survivors` records reach the disk, and nobody is
   * told.
   */
  crash(survivors: (unsynced: number) => number): void {
    this.#crashed = true;
    const unsynced = [...(this.#running === undefined ? [] : [this.#running]), ...this.#queue];
    const records = unsynced.flatMap((entry) => entry.records);
    this.#keep(records.slice(0, survivors(records.length)));
    this.#queue = [];
    this.#running = undefined;
  }

  #keep(records: readonly DurableRecord[]): void {
    const kept = this.#options.disk.records;
    for (const record of records) kept.push(record);
  }

  #next(): void {
    if (this.#running !== undefined || this.#crashed) return;
    const running = this.#queue.shift();
    if (running === undefined) return;
    this.#running = running;
    const latency = this.#options.nextAppend?.() ?? 0;
    if (latency === "hang") return;
    this.#options.clock.after(latency === "fail" ? 0 : latency, () => {
      this.#finish(running, latency === "fail");
    });
  }

  #finish(running: Running, failed: boolean): void {
    if (this.#crashed) return;
    this.#running = undefined;
    if (failed) this.#failure ??= new LogFailure("the simulated disk failed");
    if (this.#failure !== undefined) {
      running.reject(this.#failure);
      for (const waiting of this.#queue.splice(0)) waiting.reject(this.#failure);
      return;
    }
    this.#keep(running.records);
    running.resolve();
    this.#next();
  }
}
